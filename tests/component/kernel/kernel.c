/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel.c - see kernel.h.  Conditions of IofCompleteRequest, IoFreeIrp and
 * IoReuseIrp are those of the documentation and of Driver Verifier's I/O
 * verification (bugcheck 0xC9).
 */
#include "kernel.h"
#include "win32.h"

struct _IO_WORKITEM {
    PIO_WORKITEM_ROUTINE routine;
    PVOID context;
    BOOLEAN queued;
};

KIRQL kernel_irql;
LONG kernel_irps, kernel_pool, kernel_mdls;
void (*kernel_while_waiting)(void);
UCHAR *kernel_user, *kernel_pages;

static BOOLEAN is_wine, in_sender = TRUE;
static int broken;
static PIO_WORKITEM items[8];

void kernel_check(BOOLEAN holds, const char *text)
{
    if (!holds) {
        broken++;
        win32_write(text);
    }
}

/* The user's pages are there for the sender's process, and as long as a page fault may be handled. */
static void show_user_pages(void)
{
    win32_protect(kernel_user, KERNEL_USER_BYTES, in_sender && kernel_irql < DISPATCH_LEVEL);
}

void kernel_start(BOOLEAN wine)
{
    is_wine = wine;
    win32_start(&kernel_irql);
    win32_map_twice(KERNEL_USER_BYTES, &kernel_user, &kernel_pages);
}

void kernel_raise(KIRQL irql)
{
    kernel_irql = irql;
    show_user_pages();
}

void kernel_attach(BOOLEAN sender)
{
    in_sender = sender;
    show_user_pages();
}

int kernel_end(void)
{
    kernel_check(kernel_irql == PASSIVE_LEVEL, "the IRQL was left raised");
    kernel_check(!kernel_irps, "not every IRP was freed");
    kernel_check(!kernel_mdls, "not every MDL was freed");
    kernel_check(!kernel_pool, "not all pool was freed");
    win32_write(broken ? "broken" : "held");
    return broken != 0;
}

/* ---- routines that are looked up ------------------------------------------------ */

static PETHREAD NTAPI current_thread(VOID)
{
    static UCHAR thread;

    return (PETHREAD)&thread;
}

static BOOLEAN is_called(PUNICODE_STRING name, const WCHAR *wanted)
{
    USHORT i;

    for (i = 0; i < name->Length / sizeof(WCHAR); i++)
        if (name->Buffer[i] != wanted[i])
            return FALSE;
    return !wanted[i];
}

PVOID NTAPI MmGetSystemRoutineAddress(PUNICODE_STRING name)
{
    if (is_called(name, L"wine_ntoskrnl_main_loop"))
        return is_wine ? (PVOID)&is_wine : NULL;
    return is_called(name, L"PsGetCurrentThread") ? (PVOID)(ULONG_PTR)current_thread : NULL;
}

HANDLE NTAPI PsGetCurrentThreadId(VOID)
{
    return (HANDLE)4;
}

ULONG DbgPrint(PCSTR format, ...)
{
    (void)format;
    return 0;
}

/* ---- memory, objects ------------------------------------------------------------------ */

PVOID NTAPI ExAllocatePoolWithTag(POOL_TYPE type, SIZE_T bytes, ULONG tag)
{
    (void)type;
    (void)tag;
    kernel_pool++;
    return win32_allocate(bytes);
}

VOID NTAPI ExFreePoolWithTag(PVOID memory, ULONG tag)
{
    (void)tag;
    kernel_pool--;
    win32_free(memory);
}

LONG_PTR FASTCALL ObfReferenceObject(PVOID object)
{
    (void)object;
    return 1;
}

LONG_PTR FASTCALL ObfDereferenceObject(PVOID object)
{
    (void)object;
    return 1;
}

PDEVICE_OBJECT NTAPI IoGetRelatedDeviceObject(PFILE_OBJECT file)
{
    return file->DeviceObject;
}

/* ---- locks, events ------------------------------------------------------------------------ */

/* Each asking is a tick of 100 ns. */
LARGE_INTEGER NTAPI KeQueryPerformanceCounter(PLARGE_INTEGER frequency)
{
    static LARGE_INTEGER now;

    if (frequency)
        frequency->QuadPart = 10000000;
    now.QuadPart++;
    return now;
}

VOID NTAPI KeInitializeSpinLock(PKSPIN_LOCK lock)
{
    *lock = 0;
}

KIRQL NTAPI KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK lock)
{
    KIRQL before = kernel_irql;

    kernel_check(!*lock, "a spin lock was taken twice");
    *lock = 1;
    if (before < DISPATCH_LEVEL)
        kernel_raise(DISPATCH_LEVEL);
    return before;
}

VOID NTAPI KeReleaseSpinLock(PKSPIN_LOCK lock, KIRQL irql)
{
    *lock = 0;
    kernel_raise(irql);
}

VOID NTAPI KeInitializeEvent(PRKEVENT event, EVENT_TYPE type, BOOLEAN state)
{
    event->Header.Type = (UCHAR)type;
    event->Header.SignalState = state;
}

LONG NTAPI KeSetEvent(PRKEVENT event, KPRIORITY increment, BOOLEAN wait)
{
    LONG before = event->Header.SignalState;

    (void)increment;
    (void)wait;
    event->Header.SignalState = 1;
    return before;
}

NTSTATUS NTAPI KeWaitForSingleObject(PVOID object, KWAIT_REASON reason, KPROCESSOR_MODE mode, BOOLEAN alertable,
                                     PLARGE_INTEGER timeout)
{
    PRKEVENT event = object;
    void (*meanwhile)(void) = kernel_while_waiting;

    (void)reason;
    (void)mode;
    (void)alertable;
    (void)timeout;
    kernel_check(kernel_irql < DISPATCH_LEVEL, "somebody waits at a raised IRQL");
    kernel_while_waiting = NULL;
    if (meanwhile && !event->Header.SignalState)
        meanwhile();
    kernel_check(event->Header.SignalState != 0, "somebody waits for ever");
    return STATUS_SUCCESS;
}

/* ---- IRPs -------------------------------------------------------------------------------------- */

static void initialize(PIRP irp, CCHAR locations)
{
    RtlZeroMemory(irp, IoSizeOfIrp(locations));
    irp->Type = IO_TYPE_IRP;
    irp->Size = IoSizeOfIrp(locations);
    irp->StackCount = locations;
    irp->CurrentLocation = (CCHAR)(locations + 1);
    InitializeListHead(&irp->ThreadListEntry);
    irp->Tail.Overlay.CurrentStackLocation = (PIO_STACK_LOCATION)(irp + 1) + locations;
}

PIRP NTAPI IoAllocateIrp(CCHAR locations, BOOLEAN charge)
{
    PIRP irp = win32_allocate(IoSizeOfIrp(locations));

    (void)charge;
    kernel_irps++;
    initialize(irp, locations);
    return irp;
}

VOID NTAPI IoReuseIrp(PIRP irp, NTSTATUS status)
{
    kernel_check(!irp->CancelRoutine, "IoReuseIrp: the IRP has a cancel routine");
    kernel_check(IsListEmpty(&irp->ThreadListEntry), "IoReuseIrp: the IRP is in a thread's list");
    initialize(irp, irp->StackCount);
    irp->IoStatus.Status = status;
}

VOID NTAPI IoFreeIrp(PIRP irp)
{
    kernel_check(irp->Type == IO_TYPE_IRP, "IoFreeIrp: no IRP");
    kernel_check(IsListEmpty(&irp->ThreadListEntry), "IoFreeIrp: the IRP is in a thread's list");
    kernel_check(irp->CurrentLocation >= irp->StackCount, "IoFreeIrp: the IRP is in flight");
    irp->Type = 0;
    kernel_irps--;
    win32_free(irp);
}

NTSTATUS FASTCALL IofCallDriver(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION location;

    kernel_check(irp->CurrentLocation > 1, "IofCallDriver: no stack location is left");
    IoSetNextIrpStackLocation(irp);
    location = IoGetCurrentIrpStackLocation(irp);
    location->DeviceObject = device;
    return device->DriverObject->MajorFunction[location->MajorFunction](device, irp);
}

VOID FASTCALL IofCompleteRequest(PIRP irp, CCHAR boost)
{
    (void)boost;
    kernel_check(!irp->CancelRoutine, "IofCompleteRequest: the IRP has a cancel routine");
    kernel_check(irp->IoStatus.Status != STATUS_PENDING, "IofCompleteRequest: STATUS_PENDING");
    kernel_check(irp->IoStatus.Status != (NTSTATUS)0xFFFFFFFF, "IofCompleteRequest: status -1");
    while (irp->CurrentLocation <= irp->StackCount) {
        PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(irp);

        irp->PendingReturned = location->Control & SL_PENDING_RETURNED;
        irp->CurrentLocation++;
        irp->Tail.Overlay.CurrentStackLocation++;
        if (location->CompletionRoutine &&
            location->CompletionRoutine(NULL, irp, location->Context) == STATUS_MORE_PROCESSING_REQUIRED)
            return;
    }
}

/* ---- MDLs, probes ---------------------------------------------------------------------------------- */

PMDL NTAPI IoAllocateMdl(PVOID address, ULONG length, BOOLEAN secondary, BOOLEAN charge, PIRP irp)
{
    PMDL mdl = win32_allocate(sizeof *mdl);

    (void)secondary;
    (void)charge;
    (void)irp;
    kernel_mdls++;
    mdl->StartVa = address;
    mdl->ByteCount = length;
    mdl->MdlFlags = 0;
    return mdl;
}

VOID NTAPI IoFreeMdl(PMDL mdl)
{
    kernel_check(!(mdl->MdlFlags & MDL_PAGES_LOCKED), "IoFreeMdl: its pages are locked");
    kernel_mdls--;
    win32_free(mdl);
}

VOID NTAPI MmProbeAndLockPages(PMDL mdl, KPROCESSOR_MODE mode, LOCK_OPERATION operation)
{
    (void)mode;
    (void)operation;
    kernel_check(kernel_irql < DISPATCH_LEVEL, "MmProbeAndLockPages at a raised IRQL");
    *(volatile UCHAR *)mdl->StartVa = *(volatile UCHAR *)mdl->StartVa;
    mdl->MdlFlags |= MDL_PAGES_LOCKED;
}

PVOID NTAPI MmMapLockedPagesSpecifyCache(PMDL mdl, KPROCESSOR_MODE mode, MEMORY_CACHING_TYPE cache, PVOID base,
                                         ULONG bugcheck, MM_PAGE_PRIORITY priority)
{
    (void)mode;
    (void)cache;
    (void)base;
    (void)bugcheck;
    (void)priority;
    kernel_check((mdl->MdlFlags & MDL_PAGES_LOCKED) != 0, "an MDL is mapped whose pages are not locked");
    return kernel_pages + ((UCHAR *)mdl->StartVa - kernel_user);
}

VOID NTAPI MmUnlockPages(PMDL mdl)
{
    kernel_check((mdl->MdlFlags & MDL_PAGES_LOCKED) != 0, "MmUnlockPages: they are not locked");
    mdl->MdlFlags &= ~MDL_PAGES_LOCKED;
}

VOID NTAPI ProbeForRead(const VOID *address, SIZE_T length, ULONG alignment)
{
    (void)alignment;
    if (length)
        (void)*(const volatile UCHAR *)address;
}

VOID NTAPI ProbeForWrite(PVOID address, SIZE_T length, ULONG alignment)
{
    (void)alignment;
    if (length)
        *(volatile UCHAR *)address = *(volatile UCHAR *)address;
}

/* ---- work items --------------------------------------------------------------------------------------- */

PIO_WORKITEM NTAPI IoAllocateWorkItem(PDEVICE_OBJECT device)
{
    (void)device;
    kernel_pool++;
    return win32_allocate(sizeof(struct _IO_WORKITEM));
}

VOID NTAPI IoFreeWorkItem(PIO_WORKITEM item)
{
    kernel_check(!item->queued, "IoFreeWorkItem: it is queued");
    kernel_pool--;
    win32_free(item);
}

VOID NTAPI IoQueueWorkItem(PIO_WORKITEM item, PIO_WORKITEM_ROUTINE routine, WORK_QUEUE_TYPE type, PVOID context)
{
    int i;

    (void)type;
    kernel_check(!item->queued, "IoQueueWorkItem: it is queued already");
    item->routine = routine;
    item->context = context;
    item->queued = TRUE;
    for (i = 0; i < 8; i++) {
        if (!items[i]) {
            items[i] = item;
            return;
        }
    }
    kernel_check(FALSE, "too many work items");
}

void kernel_work(void)
{
    int i;

    for (i = 0; i < 8; i++) {
        PIO_WORKITEM item = items[i];

        if (!item)
            continue;
        items[i] = NULL;
        item->queued = FALSE;
        item->routine(NULL, item->context);
    }
}
