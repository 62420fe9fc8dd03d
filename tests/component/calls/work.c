/* SPDX-License-Identifier: Apache-2.0
 *
 * work.c - threads, work items, objects, exceptions.
 */
#include "calls.h"

/* What mingw-w64 does not declare for x64, or in other headers only. */
NTKERNELAPI NTSTATUS NTAPI KeSaveFloatingPointState(PKFLOATING_SAVE State);
NTKERNELAPI NTSTATUS NTAPI KeRestoreFloatingPointState(PKFLOATING_SAVE State);
NTSYSAPI NTSTATUS NTAPI ZwCreateEvent(PHANDLE Event, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes, EVENT_TYPE Type,
                                      BOOLEAN State);
NTSYSAPI VOID NTAPI RtlRaiseException(PEXCEPTION_RECORD Record);
NTKERNELAPI NTSTATUS NTAPI ZwWaitForSingleObject(HANDLE Handle, BOOLEAN Alertable, PLARGE_INTEGER Timeout);

extern POBJECT_TYPE *__imp_ExEventObjectType;  /* mingw-w64 declares the datum with one indirection too many */

static KEVENT One, Two;
static volatile LONG Runs;

static VOID Fresh(VOID)
{
    KeInitializeEvent(&One, NotificationEvent, FALSE);
    KeInitializeEvent(&Two, NotificationEvent, FALSE);
}

/* ---- threads ------------------------------------------------------------------------------------ */

static VOID NTAPI Returns(PVOID Context)
{
    (void)KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
}

static VOID NTAPI Terminates(PVOID Context)
{
    (void)KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
    (void)PsTerminateSystemThread(STATUS_SUCCESS);
    (void)InterlockedIncrement(&Runs);
}

static VOID NTAPI WaitsForOne(PVOID Context)
{
    (void)Came(&One);
    (void)PsTerminateSystemThread((NTSTATUS)(ULONG_PTR)Context);
}

static HANDLE Thread(PKSTART_ROUTINE Routine, PVOID Context)
{
    OBJECT_ATTRIBUTES attributes;
    HANDLE thread = NULL;

    InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    if (!NT_SUCCESS(PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, &attributes, NULL, NULL, Routine, Context)))
        return NULL;
    return thread;
}

PROBE(Probe_PsCreateSystemThread)
{
    HANDLE thread;

    Fresh();
    thread = Thread(Returns, &One);
    EXPECT(thread, "fails");
    EXPECT(Came(&One), "does not run the routine");
    (void)ZwClose(thread);
}

PROBE(Probe_PsTerminateSystemThread)
{
    LARGE_INTEGER limit = { .QuadPart = MS(4000) };
    HANDLE thread;

    Fresh();
    Runs = 0;
    thread = Thread(Terminates, &One);
    EXPECT(thread && ZwWaitForSingleObject(thread, FALSE, &limit) == STATUS_SUCCESS, "does not end the thread");
    EXPECT(!Runs, "returns");
    (void)ZwClose(thread);
}

/* The way of every driver that ends its thread: a wait for the thread's object. */
PROBE(WaitForThread)
{
    PVOID object = NULL;
    HANDLE thread;

    Fresh();
    thread = Thread(WaitsForOne, NULL);
    EXPECT(thread, "fails");
    EXPECT(ObReferenceObjectByHandle(thread, THREAD_ALL_ACCESS, NULL, KernelMode, &object, NULL) == STATUS_SUCCESS,
           "fails for a thread");
    (void)ZwClose(thread);
    EXPECT(StaysAway(object), "gives a thread object that is signalled while the thread runs");
    (void)KeSetEvent(&One, IO_NO_INCREMENT, FALSE);
    EXPECT(Came(object), "gives a thread object that is not signalled when the thread has ended");
    ObDereferenceObject(object);
}

PROBE(Probe_KeSetPriorityThread)
{
    PVOID object = NULL;
    HANDLE thread;

    Fresh();
    thread = Thread(WaitsForOne, NULL);
    (void)ObReferenceObjectByHandle(thread, THREAD_ALL_ACCESS, NULL, KernelMode, &object, NULL);
    (void)ZwClose(thread);
    (void)KeSetPriorityThread(object, LOW_REALTIME_PRIORITY);
    (void)KeSetEvent(&One, IO_NO_INCREMENT, FALSE);
    EXPECT(Came(object), "stops the thread");
    ObDereferenceObject(object);
}

static volatile LONG_PTR Seen;

static VOID NTAPI SaysItsId(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    Seen = (LONG_PTR)PsGetCurrentThreadId();
    (void)KeSetEvent(&One, IO_NO_INCREMENT, FALSE);
    (void)PsTerminateSystemThread(STATUS_SUCCESS);
}

PROBE(Probe_PsGetCurrentThreadId)
{
    Fresh();
    Beside(SaysItsId, NULL);
    EXPECT(Came(&One) && Seen && Seen != (LONG_PTR)PsGetCurrentThreadId(), "gives two threads one number");
}

PROBE(Probe_PsGetCurrentProcessId)
{
    EXPECT(PsGetCurrentProcessId(), "answers 0");
}

PROBE(Probe_IoGetCurrentProcess)
{
    EXPECT(IoGetCurrentProcess(), "answers NULL");
}

PROBE(Probe_KeQueryActiveProcessorCount)
{
    KAFFINITY processors = 0;

    EXPECT(KeQueryActiveProcessorCount(&processors) >= 1 && processors, "answers no processor");
}

PROBE(Probe_KeSetSystemAffinityThread)
{
    KeSetSystemAffinityThread(1);
    KeRevertToUserAffinityThread();
}

PROBE(Probe_KeSaveFloatingPointState)
{
    KFLOATING_SAVE state;

    EXPECT(KeSaveFloatingPointState(&state) == STATUS_SUCCESS, "fails");
    EXPECT(KeRestoreFloatingPointState(&state) == STATUS_SUCCESS, "saves what cannot be restored");
}

PROBE(Probe_KeSaveExtendedProcessorState)
{
    XSTATE_SAVE state;

    EXPECT(KeSaveExtendedProcessorState(3, &state) == STATUS_SUCCESS, "fails");
    KeRestoreExtendedProcessorState(&state);
}

/* ---- work items --------------------------------------------------------------------------------- */

static VOID NTAPI Sets(PVOID Context)
{
    (void)KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
}

static VOID NTAPI WaitsAndSets(PVOID Context)
{
    if (Came(&Two))
        (void)KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
}

static VOID NTAPI DeviceSets(PDEVICE_OBJECT Device, PVOID Context)
{
    if (Device == Fdo)
        (void)KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
}

static VOID NTAPI DeviceWaits(PDEVICE_OBJECT Device, PVOID Context)
{
    UNREFERENCED_PARAMETER(Device);
    if (Came(&Two))
        (void)KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
}

static PIO_WORKITEM volatile ItemSeen;

static VOID NTAPI DeviceSetsEx(PVOID Object, PVOID Context, PIO_WORKITEM Item)
{
    if (Object == Fdo)
        ItemSeen = Item;
    (void)KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
}

PROBE(Probe_ExQueueWorkItem)
{
    static WORK_QUEUE_ITEM item;

    Fresh();
    ExInitializeWorkItem(&item, Sets, &One);
    ExQueueWorkItem(&item, DelayedWorkQueue);
    EXPECT(Came(&One), "does not run the routine");
}

PROBE(QueueWaits)
{
    static WORK_QUEUE_ITEM first, second;

    Fresh();
    ExInitializeWorkItem(&first, WaitsAndSets, &One);
    ExInitializeWorkItem(&second, Sets, &Two);
    ExQueueWorkItem(&first, DelayedWorkQueue);
    ExQueueWorkItem(&second, DelayedWorkQueue);
    EXPECT(Came(&One), "does not run an item for which another waits");
}

PROBE(Probe_IoAllocateWorkItem)
{
    PIO_WORKITEM item = IoAllocateWorkItem(Fdo);

    EXPECT(item, "answers NULL");
    IoFreeWorkItem(item);
}

PROBE(Probe_IoQueueWorkItem)
{
    PIO_WORKITEM item = IoAllocateWorkItem(Fdo);

    Fresh();
    IoQueueWorkItem(item, DeviceSets, DelayedWorkQueue, &One);
    EXPECT(Came(&One), "does not run the routine for the device");
    Fresh();
    IoQueueWorkItem(item, DeviceSets, DelayedWorkQueue, &One);
    EXPECT(Came(&One), "does not run an item for the second time");
    Sleep(20);
    IoFreeWorkItem(item);
}

PROBE(IoQueueWaits)
{
    PIO_WORKITEM first = IoAllocateWorkItem(Fdo), second = IoAllocateWorkItem(Fdo);

    Fresh();
    IoQueueWorkItem(first, DeviceWaits, DelayedWorkQueue, &One);
    IoQueueWorkItem(second, DeviceSets, DelayedWorkQueue, &Two);
    EXPECT(Came(&One), "does not run an item for which another waits");
    Sleep(20);
    IoFreeWorkItem(first);
    IoFreeWorkItem(second);
}

PROBE(Probe_IoQueueWorkItemEx)
{
    PIO_WORKITEM item = IoAllocateWorkItem(Fdo);

    Fresh();
    ItemSeen = NULL;
    IoQueueWorkItemEx(item, DeviceSetsEx, DelayedWorkQueue, &One);
    EXPECT(Came(&One) && ItemSeen == item, "does not run the routine with its item");
}

PROBE(Probe_IoInitializeWorkItem)
{
    PIO_WORKITEM item = ExAllocatePoolWithTag(NonPagedPool, IoSizeofWorkItem(), TAG);

    Fresh();
    IoInitializeWorkItem(Fdo, item);
    IoQueueWorkItem(item, DeviceSets, DelayedWorkQueue, &One);
    EXPECT(Came(&One), "makes an item that is not run");
    Sleep(20);
    IoUninitializeWorkItem(item);
    ExFreePoolWithTag(item, TAG);
}

/* ---- objects ------------------------------------------------------------------------------------ */

PROBE(Probe_ObReferenceObjectByHandle)
{
    OBJECT_ATTRIBUTES attributes;
    PVOID object = NULL;
    HANDLE event;

    InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    EXPECT(NT_SUCCESS(ZwCreateEvent(&event, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE)),
           "has no event to ask about");
    EXPECT(ObReferenceObjectByHandle(event, EVENT_ALL_ACCESS, *__imp_ExEventObjectType, KernelMode, &object, NULL) ==
               STATUS_SUCCESS, "fails for an event");
    (void)KeSetEvent(object, IO_NO_INCREMENT, FALSE);
    EXPECT(Came(object), "gives an event that cannot be waited for");
    ObDereferenceObject(object);
    (void)ZwClose(event);
}

PROBE(ReferenceNothing)
{
    PVOID object = NULL;

    EXPECT(ObReferenceObjectByHandle((HANDLE)(ULONG_PTR)0x7FF0, EVENT_ALL_ACCESS, NULL, KernelMode, &object, NULL) ==
               (NTSTATUS)STATUS_INVALID_HANDLE, "does not answer STATUS_INVALID_HANDLE for what is no handle");
}

PROBE(Probe_ObfReferenceObject)
{
    (void)ObfReferenceObject(Fdo);      /* what they answer is reserved */
    (void)ObfDereferenceObject(Fdo);
    EXPECT(Fdo->DriverObject == Driver, "does not keep the object");
}

PROBE(Probe_ObReferenceObjectByPointer)
{
    EXPECT(ObReferenceObjectByPointer(Fdo, 0, NULL, KernelMode) == STATUS_SUCCESS, "fails for a device object");
    ObDereferenceObject(Fdo);
}

PROBE(Probe_IoCreateNotificationEvent)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\BaseNamedObjects\\KshsCallsEvent");
    HANDLE handle = NULL;
    PKEVENT event = IoCreateNotificationEvent(&name, &handle);

    EXPECT(event && handle, "answers NULL");
    EXPECT(Came(event), "makes an event that is not set");
    (void)ZwClose(handle);
}

static VOID NTAPI Called(PVOID Context, PVOID Argument1, PVOID Argument2)
{
    if (Argument1 == (PVOID)1 && Argument2 == (PVOID)2)
        (void)InterlockedIncrement(Context);
}

PROBE(Probe_ExCreateCallback)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Callback\\KshsCalls");
    OBJECT_ATTRIBUTES attributes;
    PCALLBACK_OBJECT object = NULL;
    PVOID registered;

    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    EXPECT(ExCreateCallback(&object, &attributes, TRUE, TRUE) == STATUS_SUCCESS && object, "fails");
    Runs = 0;
    registered = ExRegisterCallback(object, Called, (PVOID)(ULONG_PTR)&Runs);
    EXPECT(registered, "makes an object with which nobody can register");
    ExNotifyCallback(object, (PVOID)1, (PVOID)2);
    EXPECT(Runs == 1, "makes an object that calls nobody");
    ExUnregisterCallback(registered);
}

PROBE(CallbackThatIsNot)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Callback\\KshsCallsNowhere");
    UNICODE_STRING power = RTL_CONSTANT_STRING(L"\\Callback\\PowerState");
    OBJECT_ATTRIBUTES attributes;
    PCALLBACK_OBJECT object = NULL;

    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    EXPECT(!NT_SUCCESS(ExCreateCallback(&object, &attributes, FALSE, TRUE)), "opens one that nobody has made");
    EXPECT(ExCreateCallback(&object, &attributes, TRUE, FALSE) == STATUS_SUCCESS, "fails");
    ObDereferenceObject(object);
    EXPECT(!NT_SUCCESS(ExCreateCallback(&object, &attributes, FALSE, TRUE)),
           "makes one that stays after its last reference");
    InitializeObjectAttributes(&attributes, &power, OBJ_CASE_INSENSITIVE, NULL, NULL);
    EXPECT(ExCreateCallback(&object, &attributes, FALSE, TRUE) == STATUS_SUCCESS && object,
           "does not open the system's own");
    ObDereferenceObject(object);
}

/* ---- exceptions --------------------------------------------------------------------------------- */

static DECLSPEC_NOINLINE VOID Raise(VOID)
{
    ExRaiseStatus(STATUS_DEVICE_BUSY);
}

static DECLSPEC_NOINLINE VOID RaiseAccess(VOID)
{
    ExRaiseAccessViolation();
}

static DECLSPEC_NOINLINE VOID RaiseMisaligned(VOID)
{
    ExRaiseDatatypeMisalignment();
}

static DECLSPEC_NOINLINE VOID RaiseRtl(VOID)
{
    RtlRaiseException(&(EXCEPTION_RECORD){ .ExceptionCode = (NTSTATUS)STATUS_DEVICE_BUSY });
}

/* What a call raises is caught here: what Wine raises in place of one that it lacks goes on to who asks. */
static VOID Raises(VOID (*Routine)(VOID), NTSTATUS Expected)
{
    NTSTATUS status = STATUS_SUCCESS;

    __try {
        Routine();
    } __except (status = (NTSTATUS)GetExceptionCode(),
                status == (NTSTATUS)0x80000100 ? EXCEPTION_CONTINUE_SEARCH : EXCEPTION_EXECUTE_HANDLER) {
    }
    EXPECT(status == Expected, "does not raise the status that a handler sees");
}

PROBE(Probe_ExRaiseStatus)
{
    Raises(Raise, (NTSTATUS)STATUS_DEVICE_BUSY);
}

PROBE(Probe_ExRaiseAccessViolation)
{
    Raises(RaiseAccess, (NTSTATUS)STATUS_ACCESS_VIOLATION);
}

PROBE(Probe_ExRaiseDatatypeMisalignment)
{
    Raises(RaiseMisaligned, (NTSTATUS)STATUS_DATATYPE_MISALIGNMENT);
}

PROBE(Probe_RtlRaiseException)
{
    Raises(RaiseRtl, (NTSTATUS)STATUS_DEVICE_BUSY);
}

const PROBE WorkProbes[] = {
    P(PsCreateSystemThread), P(PsTerminateSystemThread),
    CASE(ObReferenceObjectByHandle, "for a thread", WaitForThread), P(KeSetPriorityThread), P(PsGetCurrentThreadId),
    P(PsGetCurrentProcessId), P(IoGetCurrentProcess), P(KeQueryActiveProcessorCount), P(KeSetSystemAffinityThread),
    P(KeSaveFloatingPointState), P(KeSaveExtendedProcessorState), P(ExQueueWorkItem),
    CASE(ExQueueWorkItem, "for an item that waits for another", QueueWaits), P(IoAllocateWorkItem),
    P(IoQueueWorkItem), CASE(IoQueueWorkItem, "for an item that waits for another", IoQueueWaits),
    P(IoQueueWorkItemEx), P(IoInitializeWorkItem), P(ObReferenceObjectByHandle),
    CASE(ObReferenceObjectByHandle, "for what is no handle", ReferenceNothing), P(ObfReferenceObject),
    P(ObReferenceObjectByPointer), P(IoCreateNotificationEvent), P(ExCreateCallback),
    CASE(ExCreateCallback, "for one that is not there", CallbackThatIsNot), P(ExRaiseStatus),
    P(ExRaiseAccessViolation), P(ExRaiseDatatypeMisalignment), P(RtlRaiseException), ENDS
};
