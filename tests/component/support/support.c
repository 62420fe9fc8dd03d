/* SPDX-License-Identifier: Apache-2.0
 *
 * support.c - calls each function that the support library for Wine supplies
 * and leaves below HKLM\SOFTWARE\kshs\Support one value a function: 1 where it
 * did what its page says, otherwise 0 (test_wdmsup.py).
 */
#include <ntddk.h>
#include <stdarg.h>

#define TAG 'pusK'
#define SECONDS(n) (-(LONGLONG)(n) * 10000000)
#define MS(n) (-(LONGLONG)(n) * 10000)

/* What mingw-w64 does not declare. */
NTKERNELAPI PVOID NTAPI ExAllocatePool3(ULONGLONG Flags, SIZE_T Bytes, ULONG Tag, const VOID *Parameters, ULONG Count);
NTKERNELAPI VOID NTAPI ExFreePool2(PVOID Memory, ULONG Tag, const VOID *Parameters, ULONG Count);
NTKERNELAPI NTSTATUS __cdecl WmiTraceMessage(ULONGLONG Logger, ULONG Flags, LPCGUID Message, USHORT Number, ...);
NTKERNELAPI NTSTATUS NTAPI USBD_CreateHandle(PVOID Device, PVOID Target, ULONG Version, ULONG Tag, PVOID *Handle);
NTKERNELAPI NTSTATUS NTAPI PcInitializeAdapterDriver(PVOID Driver, PVOID Path, PVOID AddDevice);

DRIVER_INITIALIZE DriverEntry;

static HANDLE Key;

static VOID Report(PCWSTR Name, BOOLEAN Good)
{
    UNICODE_STRING name;
    ULONG value = Good;

    RtlInitUnicodeString(&name, Name);
    (void)ZwSetValueKey(Key, &name, 0, REG_DWORD, &value, sizeof(value));
}

#define REPORT(name, good) Report(L"" #name, !!(good))

static VOID OpenKey(VOID)
{
    static const PCWSTR keys[] = { L"\\Registry\\Machine\\SOFTWARE\\kshs", L"\\Registry\\Machine\\SOFTWARE\\kshs\\Support" };
    OBJECT_ATTRIBUTES attributes;
    UNICODE_STRING name;
    ULONG i;

    for (i = 0; i < RTL_NUMBER_OF(keys); i++) {
        RtlInitUnicodeString(&name, keys[i]);
        InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
        (void)ZwCreateKey(&Key, KEY_ALL_ACCESS, &attributes, 0, NULL, REG_OPTION_NON_VOLATILE, NULL);
    }
}

static BOOLEAN Zeroed(const UCHAR *Memory, SIZE_T Bytes)
{
    while (Bytes && !*Memory++)
        Bytes--;
    return Bytes == 0;
}

static VOID Pool(VOID)
{
    PUCHAR memory = ExAllocatePool2(POOL_FLAG_PAGED, 5000, TAG);
    BOOLEAN good = memory && Zeroed(memory, 5000);

    if (memory)
        ExFreePoolWithTag(memory, TAG);
    good = good && !ExAllocatePool2(POOL_FLAG_PAGED | POOL_FLAG_NON_PAGED, 16, TAG);    /* two types */
    good = good && !ExAllocatePool2(0, 16, TAG) && !ExAllocatePool2(POOL_FLAG_PAGED, 16, 0);
    good = good && !ExAllocatePool2(POOL_FLAG_PAGED | 0x80000000ull, 16, TAG);
    memory = ExAllocatePool2(POOL_FLAG_NON_PAGED | 0x100000000ull, 16, TAG);            /* may be ignored */
    good = good && memory;
    if (memory)
        ExFreePoolWithTag(memory, TAG);
    REPORT(ExAllocatePool2, good);
    memory = ExAllocatePool3(POOL_FLAG_NON_PAGED, 64, TAG, NULL, 0);
    REPORT(ExAllocatePool3, memory && Zeroed(memory, 64));
    if (memory)
        ExFreePool2(memory, TAG, NULL, 0);
    REPORT(ExFreePool2, TRUE);
}

static VOID Etw(VOID)
{
    static const GUID provider = { 1, 2, 3, { 4 } };
    static const EVENT_DESCRIPTOR event;
    REGHANDLE handle = 0;

    REPORT(EtwRegister, EtwRegister(&provider, NULL, NULL, &handle) == STATUS_SUCCESS && handle);
    REPORT(EtwProviderEnabled, !EtwProviderEnabled(handle, 5, ~0ull));
    REPORT(EtwEventEnabled, !EtwEventEnabled(handle, &event));
    REPORT(EtwWrite, EtwWrite(handle, &event, NULL, 0, NULL) == STATUS_SUCCESS);
    REPORT(EtwUnregister, EtwUnregister(handle) == STATUS_SUCCESS);
    REPORT(WmiTraceMessage, WmiTraceMessage(0, 0, &provider, 10, NULL) == STATUS_SUCCESS);
}

/* ---- timers and DPCs -------------------------------------------------------------------- */

typedef struct CLOCK {
    KTIMER Timer;
    KDPC Dpc;
    KEVENT Done;
    KSPIN_LOCK Lock;
    volatile LONG Calls;
    LONG Stop;
    BOOLEAN Again;
} CLOCK;

static VOID NTAPI Tick(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    CLOCK *clock = Context;
    LARGE_INTEGER due;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeAcquireSpinLockAtDpcLevel(&clock->Lock);
    if (++clock->Calls == clock->Stop) {
        (void)KeCancelTimer(&clock->Timer);
        KeSetEvent(&clock->Done, IO_NO_INCREMENT, FALSE);
    } else if (clock->Again) {
        due.QuadPart = MS(1);
        (void)KeSetTimer(&clock->Timer, due, &clock->Dpc);
    }
    KeReleaseSpinLockFromDpcLevel(&clock->Lock);
}

static VOID Prepare(CLOCK *Clock, LONG Stop, BOOLEAN Again)
{
    RtlZeroMemory(Clock, sizeof(*Clock));
    KeInitializeTimer(&Clock->Timer);
    KeInitializeDpc(&Clock->Dpc, Tick, Clock);
    KeInitializeEvent(&Clock->Done, NotificationEvent, FALSE);
    KeInitializeSpinLock(&Clock->Lock);
    Clock->Stop = Stop;
    Clock->Again = Again;
}

/* Nobody is called here; a record is registered once, and can be registered again when it was taken back. */
static VOID NTAPI HearOfBugcheck(PVOID Buffer, ULONG Length)
{
    UNREFERENCED_PARAMETER(Buffer);
    UNREFERENCED_PARAMETER(Length);
}

static VOID NTAPI HearOfReason(KBUGCHECK_CALLBACK_REASON Reason, PKBUGCHECK_REASON_CALLBACK_RECORD Record, PVOID Data,
                               ULONG Length)
{
    UNREFERENCED_PARAMETER(Reason);
    UNREFERENCED_PARAMETER(Record);
    UNREFERENCED_PARAMETER(Data);
    UNREFERENCED_PARAMETER(Length);
}

static VOID Bugchecks(PDRIVER_OBJECT Driver)
{
    static UCHAR name[] = "support", space[16];
    KBUGCHECK_CALLBACK_RECORD record = { .State = 0 };
    KBUGCHECK_REASON_CALLBACK_RECORD reason = { .State = 0 };
    const PKBUGCHECK_REASON_CALLBACK_ROUTINE hear = (PKBUGCHECK_REASON_CALLBACK_ROUTINE)(ULONG_PTR)HearOfReason;

    REPORT(MmIsDriverVerifying, !MmIsDriverVerifying(Driver));
    REPORT(MmIsDriverVerifyingByAddress, !MmIsDriverVerifyingByAddress(name));
    REPORT(KeRegisterBugCheckCallback,
           KeRegisterBugCheckCallback(&record, HearOfBugcheck, space, sizeof(space), name) && record.State == 1 &&
               !KeRegisterBugCheckCallback(&record, HearOfBugcheck, space, sizeof(space), name));
    REPORT(KeDeregisterBugCheckCallback,
           KeDeregisterBugCheckCallback(&record) && !KeDeregisterBugCheckCallback(&record) && !record.State);
    REPORT(KeRegisterBugCheckReasonCallback,
           KeRegisterBugCheckReasonCallback(&reason, hear, KbCallbackSecondaryDumpData, name) && reason.State == 1 &&
               !KeRegisterBugCheckReasonCallback(&reason, hear, KbCallbackSecondaryDumpData, name));
    REPORT(KeDeregisterBugCheckReasonCallback,
           KeDeregisterBugCheckReasonCallback(&reason) && !KeDeregisterBugCheckReasonCallback(&reason));
}

static BOOLEAN Wait(PVOID Object)
{
    LARGE_INTEGER limit = { .QuadPart = SECONDS(20) };

    return KeWaitForSingleObject(Object, Executive, KernelMode, FALSE, &limit) == STATUS_SUCCESS;
}

/* The way of every capture driver without hardware: the DPC sets its timer again, the other side stops it, all
 * under one spin lock. */
static VOID Pace(VOID)
{
    static CLOCK clock;
    LARGE_INTEGER due = { .QuadPart = MS(1) };
    KIRQL irql;
    ULONG i;

    Prepare(&clock, 50, TRUE);
    REPORT(KeSetTimer, !KeSetTimer(&clock.Timer, due, &clock.Dpc) && Wait(&clock.Done) && clock.Calls == 50);
    KeFlushQueuedDpcs();
    Prepare(&clock, -1, TRUE);
    for (i = 0; i < 2000; i++) {
        KeAcquireSpinLock(&clock.Lock, &irql);
        due.QuadPart = -1;
        (void)KeSetTimer(&clock.Timer, due, &clock.Dpc);
        (void)KeCancelTimer(&clock.Timer);
        KeReleaseSpinLock(&clock.Lock, irql);
    }
    KeFlushQueuedDpcs();
    KeAcquireSpinLock(&clock.Lock, &irql);
    (void)KeCancelTimer(&clock.Timer);
    clock.Again = FALSE;
    KeReleaseSpinLock(&clock.Lock, irql);
    KeFlushQueuedDpcs();
    REPORT(KeCancelTimer, !KeCancelTimer(&clock.Timer));
}

static VOID Timers(VOID)
{
    static CLOCK clock;
    LARGE_INTEGER due, now;
    BOOLEAN good;

    Prepare(&clock, 5, FALSE);
    due.QuadPart = MS(1);
    good = !KeSetTimerEx(&clock.Timer, due, 1, &clock.Dpc) && Wait(&clock.Done);
    KeFlushQueuedDpcs();
    REPORT(KeSetTimerEx, good && clock.Calls == 5 && !KeCancelTimer(&clock.Timer));

    KeInitializeTimerEx(&clock.Timer, SynchronizationTimer);
    due.QuadPart = MS(1);
    (void)KeSetTimer(&clock.Timer, due, NULL);
    good = Wait(&clock.Timer) && !KeReadStateTimer(&clock.Timer);       /* the wait took the signal */
    KeInitializeTimer(&clock.Timer);
    (void)KeSetTimer(&clock.Timer, due, NULL);
    good = good && Wait(&clock.Timer) && KeReadStateTimer(&clock.Timer);
    KeQuerySystemTime(&now);
    (void)KeSetTimer(&clock.Timer, now, NULL);                          /* absolute, and past */
    REPORT(KeInitializeTimerEx, good && Wait(&clock.Timer));
    due.QuadPart = SECONDS(1000);
    good = !KeSetTimer(&clock.Timer, due, NULL) && KeSetTimer(&clock.Timer, due, NULL);
    good = good && !KeReadStateTimer(&clock.Timer);
    REPORT(KeReadStateTimer, good && KeCancelTimer(&clock.Timer) && !KeCancelTimer(&clock.Timer));

    Prepare(&clock, 1, FALSE);
    good = KeInsertQueueDpc(&clock.Dpc, NULL, NULL) && Wait(&clock.Done);
    KeFlushQueuedDpcs();
    REPORT(KeInsertQueueDpc, good && !KeRemoveQueueDpc(&clock.Dpc));
    REPORT(KeFlushQueuedDpcs, clock.Calls == 1);
}

/* ---- work items --------------------------------------------------------------------------- */

static KEVENT First, Second;

static VOID NTAPI Work(PVOID Context)
{
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
}

static VOID NTAPI Waiting(PVOID Context)
{
    if (Wait(&First))
        KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
}

static VOID NTAPI DeviceWork(PDEVICE_OBJECT Device, PVOID Context)
{
    UNREFERENCED_PARAMETER(Device);
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
}

/* The first item waits for the second. */
static VOID WorkItems(PDRIVER_OBJECT Driver)
{
    static WORK_QUEUE_ITEM one, two;
    PDEVICE_OBJECT device = NULL;
    PIO_WORKITEM item;

    KeInitializeEvent(&First, NotificationEvent, FALSE);
    KeInitializeEvent(&Second, NotificationEvent, FALSE);
    ExInitializeWorkItem(&one, Waiting, &Second);
    ExInitializeWorkItem(&two, Work, &First);
    ExQueueWorkItem(&one, DelayedWorkQueue);
    ExQueueWorkItem(&two, DelayedWorkQueue);
    REPORT(ExQueueWorkItem, Wait(&Second));
    if (!NT_SUCCESS(IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &device)))
        return;
    KeInitializeEvent(&First, NotificationEvent, FALSE);
    item = ExAllocatePoolWithTag(NonPagedPool, IoSizeofWorkItem(), TAG);
    IoInitializeWorkItem(device, item);
    IoQueueWorkItem(item, DeviceWork, DelayedWorkQueue, &First);
    REPORT(IoInitializeWorkItem, Wait(&First));
    IoUninitializeWorkItem(item);
    KeInitializeEvent(&First, NotificationEvent, FALSE);
    item = IoAllocateWorkItem(device);
    IoQueueWorkItem(item, DeviceWork, DelayedWorkQueue, &First);
    REPORT(IoAllocateWorkItem, Wait(&First));
    IoFreeWorkItem(item);
    REPORT(IoGetDmaAdapter, IoGetDmaAdapter(device, NULL, NULL) == NULL);
    IoDeleteDevice(device);
}

/* ---- tables ----------------------------------------------------------------------------------- */

static RTL_GENERIC_COMPARE_RESULTS NTAPI Compare(PRTL_GENERIC_TABLE Table, PVOID First_, PVOID Second_)
{
    ULONG first = *(PULONG)First_, second = *(PULONG)Second_;

    UNREFERENCED_PARAMETER(Table);
    return first < second ? GenericLessThan : first > second ? GenericGreaterThan : GenericEqual;
}

static PVOID NTAPI Allocate(PRTL_GENERIC_TABLE Table, CLONG Bytes)
{
    UNREFERENCED_PARAMETER(Table);
    return ExAllocatePoolWithTag(NonPagedPool, Bytes, TAG);
}

static VOID NTAPI Free(PRTL_GENERIC_TABLE Table, PVOID Memory)
{
    UNREFERENCED_PARAMETER(Table);
    ExFreePoolWithTag(Memory, TAG);
}

#define ELEMENTS 1000u
#define ELEMENT(i) ((i) * 7919u % ELEMENTS)

/* Every element once, in order; then every other one goes while the table is enumerated. */
static VOID Tables(VOID)
{
    static RTL_GENERIC_TABLE table;
    BOOLEAN good = TRUE, fresh;
    ULONG i, last, count;
    PULONG element;
    PVOID key = NULL;

    RtlInitializeGenericTable(&table, Compare, Allocate, Free, NULL);
    good = RtlIsGenericTableEmpty(&table) && !RtlEnumerateGenericTable(&table, TRUE);
    for (i = 0; i < ELEMENTS; i++) {
        ULONG value = ELEMENT(i);

        element = RtlInsertElementGenericTable(&table, &value, sizeof(value), &fresh);
        good = good && element && *element == value && fresh;
        good = good && RtlInsertElementGenericTable(&table, &value, sizeof(value), &fresh) == element && !fresh;
    }
    REPORT(RtlInsertElementGenericTable, good && RtlNumberGenericTableElements(&table) == ELEMENTS);
    element = RtlGetElementGenericTable(&table, 3);
    REPORT(RtlGetElementGenericTable, element && *element == ELEMENT(3) && !RtlGetElementGenericTable(&table, ELEMENTS));
    for (count = 0; (element = RtlEnumerateGenericTableWithoutSplaying(&table, &key)) != NULL; count++)
        good = good && *element == count;
    REPORT(RtlEnumerateGenericTableWithoutSplaying, good && count == ELEMENTS);
    last = 0;
    for (element = RtlEnumerateGenericTable(&table, TRUE); element; element = RtlEnumerateGenericTable(&table, FALSE)) {
        good = good && *element >= last;
        last = *element;
        if (last % 2)
            good = good && RtlDeleteElementGenericTable(&table, &last);
    }
    REPORT(RtlEnumerateGenericTable, good && last == ELEMENTS - 1);
    last = 501;
    good = good && !RtlLookupElementGenericTable(&table, &last) && !RtlDeleteElementGenericTable(&table, &last);
    last = 500;
    element = RtlLookupElementGenericTable(&table, &last);
    REPORT(RtlLookupElementGenericTable, good && element && *element == 500);
    while ((element = RtlGetElementGenericTable(&table, 0)) != NULL)
        good = good && RtlDeleteElementGenericTable(&table, element);
    REPORT(RtlDeleteElementGenericTable, good && RtlIsGenericTableEmpty(&table));
}

static RTL_GENERIC_COMPARE_RESULTS NTAPI CompareAvl(PRTL_AVL_TABLE Table, PVOID First_, PVOID Second_)
{
    UNREFERENCED_PARAMETER(Table);
    return Compare(NULL, First_, Second_);
}

static PVOID NTAPI AllocateAvl(PRTL_AVL_TABLE Table, CLONG Bytes)
{
    UNREFERENCED_PARAMETER(Table);
    return ExAllocatePoolWithTag(NonPagedPool, Bytes, TAG);
}

static VOID NTAPI FreeAvl(PRTL_AVL_TABLE Table, PVOID Memory)
{
    UNREFERENCED_PARAMETER(Table);
    ExFreePoolWithTag(Memory, TAG);
}

static VOID AvlTables(VOID)
{
    static RTL_AVL_TABLE table;
    BOOLEAN good = TRUE;
    PULONG element;
    ULONG i;

    RtlInitializeGenericTableAvl(&table, CompareAvl, AllocateAvl, FreeAvl, NULL);
    for (i = 0; i < ELEMENTS; i++) {
        ULONG value = ELEMENT(i);

        good = good && RtlInsertElementGenericTableAvl(&table, &value, sizeof(value), NULL);
    }
    REPORT(RtlInsertElementGenericTableAvl, good && RtlNumberGenericTableElementsAvl(&table) == ELEMENTS);
    for (i = 0; (element = RtlEnumerateGenericTableAvl(&table, i == 0)) != NULL; i++)
        good = good && *element == i;
    REPORT(RtlEnumerateGenericTableAvl, good && i == ELEMENTS);
    element = RtlGetElementGenericTableAvl(&table, 7);
    REPORT(RtlGetElementGenericTableAvl, element && *element == 7);
    for (i = 0; i < ELEMENTS; i++)
        good = good && RtlLookupElementGenericTableAvl(&table, &i) && RtlDeleteElementGenericTableAvl(&table, &i);
    REPORT(RtlDeleteElementGenericTableAvl, good && RtlIsGenericTableEmptyAvl(&table));
}

/* ---- the rest ------------------------------------------------------------------------------------ */

static VOID Extensions(PDRIVER_OBJECT Driver)
{
    static ULONG one, two;
    PVOID first = NULL, second = NULL, again = &one;
    BOOLEAN good = !IoGetDriverObjectExtension(Driver, &one);

    good = good && IoAllocateDriverObjectExtension(Driver, &one, 100, &first) == STATUS_SUCCESS;
    good = good && IoAllocateDriverObjectExtension(Driver, &two, 100, &second) == STATUS_SUCCESS && first != second;
    good = good && IoAllocateDriverObjectExtension(Driver, &one, 8, &again) == STATUS_OBJECT_NAME_COLLISION;
    REPORT(IoAllocateDriverObjectExtension, good && Zeroed(first, 100) && ((ULONG_PTR)first & 15) == 0);
    good = IoGetDriverObjectExtension(Driver, &one) == first && IoGetDriverObjectExtension(Driver, &two) == second;
    REPORT(IoGetDriverObjectExtension, good);
}

static EX_RUNDOWN_REF Rundown;

static VOID NTAPI RunDown(PVOID Context)
{
    ExWaitForRundownProtectionRelease(&Rundown);
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
}

static VOID Locks(VOID)
{
    static EX_SPIN_LOCK spin;
    static LIST_ENTRY head, one, two;
    static KSPIN_LOCK lock;
    static WORK_QUEUE_ITEM item;
    KIRQL irql = ExAcquireSpinLockShared(&spin), other = ExAcquireSpinLockShared(&spin);

    ExReleaseSpinLockShared(&spin, other);
    ExReleaseSpinLockShared(&spin, irql);
    REPORT(ExAcquireSpinLockShared, spin == 0);
    irql = ExAcquireSpinLockExclusive(&spin);
    REPORT(ExAcquireSpinLockExclusive, spin != 0);
    ExReleaseSpinLockExclusive(&spin, irql);
    REPORT(ExReleaseSpinLockExclusive, spin == 0);
    InitializeListHead(&head);
    KeInitializeSpinLock(&lock);
    REPORT(ExInterlockedInsertTailList, !ExInterlockedInsertTailList(&head, &one, &lock) &&
                                        ExInterlockedInsertTailList(&head, &two, &lock) == &one);
    ExInitializeRundownProtection(&Rundown);
    KeInitializeEvent(&First, NotificationEvent, FALSE);
    REPORT(ExAcquireRundownProtection, ExAcquireRundownProtection(&Rundown));
    ExInitializeWorkItem(&item, RunDown, &First);
    ExQueueWorkItem(&item, DelayedWorkQueue);
    while (ExAcquireRundownProtection(&Rundown))        /* until it runs down */
        ExReleaseRundownProtection(&Rundown);
    REPORT(ExReleaseRundownProtection, !KeReadStateEvent(&First));
    ExReleaseRundownProtection(&Rundown);
    REPORT(ExWaitForRundownProtectionRelease, Wait(&First));
}

static VOID NotServed(PDRIVER_OBJECT Driver)
{
    PVOID handle = NULL;

    REPORT(USBD_CreateHandle, USBD_CreateHandle(NULL, NULL, 0x600, TAG, &handle) == STATUS_NOT_IMPLEMENTED);
    REPORT(PcInitializeAdapterDriver, PcInitializeAdapterDriver(Driver, NULL, NULL) == STATUS_NOT_IMPLEMENTED);
}

static VOID NTAPI Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    OpenKey();
    Pool();
    Etw();
    Pace();
    Timers();
    WorkItems(Driver);
    Tables();
    AvlTables();
    Extensions(Driver);
    Locks();
    Bugchecks(Driver);
    NotServed(Driver);
    REPORT(Finished, TRUE);
    (void)ZwClose(Key);
    return STATUS_SUCCESS;
}
