/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.c - what belongs to driver objects, IRPs, devices and time.
 */
#include "wdmsup.h"

/* ---- driver object extensions: PASSIVE_LEVEL to allocate, <= DISPATCH_LEVEL to ask --------------------- */

typedef struct EXTENSION {
    struct EXTENSION *Next;
    PDRIVER_OBJECT Driver;
    PVOID Id;
    DECLSPEC_ALIGN(16) UCHAR Memory[16];
} EXTENSION;

static SUP_LOCK Lock;
static EXTENSION *Extensions;           /* as long as the process lives: driver objects of Wine do not come back */

NTSTATUS NTAPI SupIoAllocateDriverObjectExtension(PDRIVER_OBJECT Driver, PVOID Id, ULONG Size, PVOID *Extension);
PVOID NTAPI SupIoGetDriverObjectExtension(PDRIVER_OBJECT Driver, PVOID Id);

static EXTENSION *Find(PDRIVER_OBJECT Driver, PVOID Id)
{
    EXTENSION *extension = Extensions;

    while (extension && (extension->Driver != Driver || extension->Id != Id))
        extension = extension->Next;
    return extension;
}

NTSTATUS NTAPI SupIoAllocateDriverObjectExtension(PDRIVER_OBJECT Driver, PVOID Id, ULONG Size, PVOID *Extension)
{
    EXTENSION *fresh = kshs_zalloc(FIELD_OFFSET(EXTENSION, Memory) + (SIZE_T)Size, SUP_TAG);
    NTSTATUS status = STATUS_SUCCESS;

    *Extension = NULL;
    if (!fresh)
        return STATUS_INSUFFICIENT_RESOURCES;
    fresh->Driver = Driver;
    fresh->Id = Id;
    RtlAcquireSRWLockExclusive(&Lock);
    if (Find(Driver, Id)) {
        status = STATUS_OBJECT_NAME_COLLISION;
    } else {
        fresh->Next = Extensions;
        Extensions = fresh;
        *Extension = fresh->Memory;
    }
    RtlReleaseSRWLockExclusive(&Lock);
    if (!NT_SUCCESS(status))
        ExFreePoolWithTag(fresh, SUP_TAG);
    return status;
}

PVOID NTAPI SupIoGetDriverObjectExtension(PDRIVER_OBJECT Driver, PVOID Id)
{
    EXTENSION *extension;

    RtlAcquireSRWLockExclusive(&Lock);
    extension = Find(Driver, Id);
    RtlReleaseSRWLockExclusive(&Lock);
    return extension ? extension->Memory : NULL;
}

/* ---- devices without hardware ---------------------------------------------------------------------------- */

PVOID NTAPI SupIoGetDmaAdapter(PDEVICE_OBJECT Device, PVOID Description, PULONG Registers);
NTSTATUS NTAPI SupIoGetDeviceNumaNode(PDEVICE_OBJECT Device, PUSHORT Node);
NTSTATUS NTAPI SupIoSetDeviceInterfacePropertyData(PUNICODE_STRING Link, const VOID *Key, LCID Lcid, ULONG Flags,
                                                   ULONG Type, ULONG Size, PVOID Data);
NTSTATUS NTAPI SupIoGetDeviceProperty(PDEVICE_OBJECT Device, DEVICE_REGISTRY_PROPERTY Property, ULONG Bytes,
                                      PVOID Buffer, PULONG Length);
NTSTATUS NTAPI SupPoRegisterPowerSettingCallback(PDEVICE_OBJECT Device, const GUID *Setting, PVOID Callback,
                                                 PVOID Context, PVOID *Handle);
NTSTATUS NTAPI SupPoUnregisterPowerSettingCallback(PVOID Handle);
PULONG NTAPI SupPoRegisterDeviceForIdleDetection(PDEVICE_OBJECT Device, ULONG Conservation, ULONG Performance,
                                                 DEVICE_POWER_STATE State);
VOID NTAPI SupPoStartDeviceBusy(PULONG Idle);
VOID NTAPI SupPoEndDeviceBusy(PULONG Idle);

/* PASSIVE_LEVEL.  NULL, as for any device that has no DMA: such a driver must do without. */
PVOID NTAPI SupIoGetDmaAdapter(PDEVICE_OBJECT Device, PVOID Description, PULONG Registers)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Description);
    if (Registers)
        *Registers = 0;
    return NULL;
}

NTSTATUS NTAPI SupIoGetDeviceNumaNode(PDEVICE_OBJECT Device, PUSHORT Node)
{
    UNREFERENCED_PARAMETER(Device);
    *Node = 0;
    return STATUS_NOT_FOUND;
}

/* PASSIVE_LEVEL.  Wine keeps no properties of interfaces: nobody there would ask for what is said here. */
NTSTATUS NTAPI SupIoSetDeviceInterfacePropertyData(PUNICODE_STRING Link, const VOID *Key, LCID Lcid, ULONG Flags,
                                                   ULONG Type, ULONG Size, PVOID Data)
{
    UNREFERENCED_PARAMETER(Lcid);
    UNREFERENCED_PARAMETER(Flags);
    UNREFERENCED_PARAMETER(Type);
    return !Link || !Key || (Size && !Data) ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
}

/* The name of the driver's key below that of all classes: its last two parts. */
static NTSTATUS DriverKeyName(PDEVICE_OBJECT Device, ULONG Bytes, PVOID Buffer, PULONG Length)
{
    struct {
        ULONG Bytes;
        WCHAR Text[300];
    } key;                              /* KEY_NAME_INFORMATION */
    ULONG size, begin, parts = 0;
    NTSTATUS status;
    HANDLE handle;

    status = IoOpenDeviceRegistryKey(Device, PLUGPLAY_REGKEY_DRIVER, KEY_READ, &handle);
    if (!NT_SUCCESS(status))
        return status;
    status = ZwQueryKey(handle, KeyNameInformation, &key, sizeof(key), &size);
    (void)ZwClose(handle);
    if (!NT_SUCCESS(status))
        return status;
    for (begin = key.Bytes / sizeof(WCHAR); begin > 0; begin--) {
        if (key.Text[begin - 1] == '\\' && ++parts == 2)
            break;
    }
    size = key.Bytes - begin * (ULONG)sizeof(WCHAR);
    *Length = size + (ULONG)sizeof(WCHAR);
    if (Bytes < *Length)
        return STATUS_BUFFER_TOO_SMALL;
    RtlCopyMemory(Buffer, key.Text + begin, size);
    ((PWCHAR)Buffer)[size / sizeof(WCHAR)] = 0;
    return STATUS_SUCCESS;
}

/* PASSIVE_LEVEL.  Wine answers 0x7A, which is a success, where the buffer is too small, gives the instance for the
 * enumerator, of which guests on Wine have one, and has no name of the driver's key. */
NTSTATUS NTAPI SupIoGetDeviceProperty(PDEVICE_OBJECT Device, DEVICE_REGISTRY_PROPERTY Property, ULONG Bytes,
                                      PVOID Buffer, PULONG Length)
{
    static const WCHAR root[] = L"ROOT";
    NTSTATUS status;

    if (Property == DevicePropertyDriverKeyName)
        return DriverKeyName(Device, Bytes, Buffer, Length);
    if (Property != DevicePropertyEnumeratorName) {
        status = IoGetDeviceProperty(Device, Property, Bytes, Buffer, Length);
        return status == 0x7A ? (NTSTATUS)STATUS_BUFFER_TOO_SMALL : status;
    }
    *Length = sizeof(root);
    if (Bytes < sizeof(root))
        return STATUS_BUFFER_TOO_SMALL;
    RtlCopyMemory(Buffer, root, sizeof(root));
    return STATUS_SUCCESS;
}

/* No setting ever changes here. */
NTSTATUS NTAPI SupPoRegisterPowerSettingCallback(PDEVICE_OBJECT Device, const GUID *Setting, PVOID Callback,
                                                 PVOID Context, PVOID *Handle)
{
    static ULONG any;

    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Context);
    if (!Setting || !Callback)
        return STATUS_INVALID_PARAMETER;
    if (Handle)
        *Handle = &any;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI SupPoUnregisterPowerSettingCallback(PVOID Handle)
{
    return Handle ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

/* NULL: the device takes no part in idle detection. */
PULONG NTAPI SupPoRegisterDeviceForIdleDetection(PDEVICE_OBJECT Device, ULONG Conservation, ULONG Performance,
                                                 DEVICE_POWER_STATE State)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Conservation);
    UNREFERENCED_PARAMETER(Performance);
    UNREFERENCED_PARAMETER(State);
    return NULL;
}

VOID NTAPI SupPoStartDeviceBusy(PULONG Idle)
{
    UNREFERENCED_PARAMETER(Idle);
}

VOID NTAPI SupPoEndDeviceBusy(PULONG Idle)
{
    UNREFERENCED_PARAMETER(Idle);
}

/* ---- IRPs ---------------------------------------------------------------------------------------------------- */

BOOLEAN NTAPI SupIoForwardIrpSynchronously(PDEVICE_OBJECT Device, PIRP Irp);
NTSTATUS NTAPI SupIoSetCompletionRoutineEx(PDEVICE_OBJECT Device, PIRP Irp, PIO_COMPLETION_ROUTINE Routine,
                                           PVOID Context, BOOLEAN Success, BOOLEAN Error, BOOLEAN Cancel);
VOID NTAPI SupIoWriteErrorLogEntry(PVOID Entry);
VOID NTAPI SupIoFreeErrorLogEntry(PVOID Entry);

static NTSTATUS NTAPI Forwarded(PDEVICE_OBJECT Device, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Irp);
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* PASSIVE_LEVEL.  FALSE: there is no stack location left; TRUE says nothing of the IRP's status. */
BOOLEAN NTAPI SupIoForwardIrpSynchronously(PDEVICE_OBJECT Device, PIRP Irp)
{
    KEVENT done;

    if (Irp->CurrentLocation <= 1)
        return FALSE;
    KeInitializeEvent(&done, SynchronizationEvent, FALSE);
    IoCopyCurrentIrpStackLocationToNext(Irp);
    IoSetCompletionRoutine(Irp, Forwarded, &done, TRUE, TRUE, TRUE);
    (void)IoCallDriver(Device, Irp);
    (void)KeWaitForSingleObject(&done, Suspended, KernelMode, FALSE, NULL);
    return TRUE;
}

/* The driver of the device is not unloaded here before it asks for it. */
NTSTATUS NTAPI SupIoSetCompletionRoutineEx(PDEVICE_OBJECT Device, PIRP Irp, PIO_COMPLETION_ROUTINE Routine,
                                           PVOID Context, BOOLEAN Success, BOOLEAN Error, BOOLEAN Cancel)
{
    UNREFERENCED_PARAMETER(Device);
    IoSetCompletionRoutine(Irp, Routine, Context, Success, Error, Cancel);
    return STATUS_SUCCESS;
}

/* Entries are none: Wine's IoAllocateErrorLogEntry gives no memory. */
VOID NTAPI SupIoWriteErrorLogEntry(PVOID Entry)
{
    UNREFERENCED_PARAMETER(Entry);
}

VOID NTAPI SupIoFreeErrorLogEntry(PVOID Entry)
{
    UNREFERENCED_PARAMETER(Entry);
}

NTSTATUS NTAPI SupIoAttachDeviceToDeviceStackSafe(PDEVICE_OBJECT Source, PDEVICE_OBJECT Target,
                                                  PDEVICE_OBJECT *Lower);

/* IRQL <= DISPATCH_LEVEL.  The place is filled in before anybody can send what needs it: nobody sends meanwhile. */
NTSTATUS NTAPI SupIoAttachDeviceToDeviceStackSafe(PDEVICE_OBJECT Source, PDEVICE_OBJECT Target,
                                                  PDEVICE_OBJECT *Lower)
{
    *Lower = IoAttachDeviceToDeviceStack(Source, Target);
    return *Lower ? STATUS_SUCCESS : STATUS_NO_SUCH_DEVICE;
}

/* ---- time: any IRQL ------------------------------------------------------------------------------------------- */

VOID NTAPI SupKeQuerySystemTimePrecise(PLARGE_INTEGER Time);
ULONGLONG NTAPI SupKeQueryInterruptTimePrecise(PULONGLONG Counter);
ULONGLONG NTAPI SupKeQueryUnbiasedInterruptTime(VOID);
VOID NTAPI SupKeStallExecutionProcessor(ULONG Microseconds);
NTSYSAPI NTSTATUS NTAPI NtQuerySystemTime(PLARGE_INTEGER Time);

VOID NTAPI SupKeQuerySystemTimePrecise(PLARGE_INTEGER Time)
{
    (void)NtQuerySystemTime(Time);
}

ULONGLONG NTAPI SupKeQueryInterruptTimePrecise(PULONGLONG Counter)
{
    LARGE_INTEGER now = KeQueryPerformanceCounter(NULL);

    *Counter = (ULONGLONG)now.QuadPart;
    return kshs_now_ns() / 100;
}

ULONGLONG NTAPI SupKeQueryUnbiasedInterruptTime(VOID)
{
    return kshs_now_ns() / 100;
}

/* There is no counter beside the performance counter, as on many machines: the pages' answer is this one. */
SUP_VALUE(NTSTATUS, STATUS_NOT_SUPPORTED, KeQueryAuxiliaryCounterFrequency)
SUP_VALUE(NTSTATUS, STATUS_NOT_SUPPORTED, KeConvertAuxiliaryCounterToPerformanceCounter)
SUP_VALUE(NTSTATUS, STATUS_NOT_SUPPORTED, KeConvertPerformanceCounterToAuxiliaryCounter)

VOID NTAPI SupKeStallExecutionProcessor(ULONG Microseconds)
{
    const uint64_t end = kshs_now_ns() + (uint64_t)Microseconds * 1000;

    while (kshs_now_ns() < end)
        YieldProcessor();
}

/* ---- the processor's state: a thread of user mode keeps its own ---------------------------------------------- */

NTSTATUS NTAPI SupKeSaveFloatingPointState(PVOID State);
NTSTATUS NTAPI SupKeRestoreFloatingPointState(PVOID State);
NTSTATUS NTAPI SupKeSaveExtendedProcessorState(ULONG64 Mask, PVOID State);
VOID NTAPI SupKeRestoreExtendedProcessorState(PVOID State);

NTSTATUS NTAPI SupKeSaveFloatingPointState(PVOID State)
{
    UNREFERENCED_PARAMETER(State);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI SupKeRestoreFloatingPointState(PVOID State)
{
    UNREFERENCED_PARAMETER(State);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI SupKeSaveExtendedProcessorState(ULONG64 Mask, PVOID State)
{
    UNREFERENCED_PARAMETER(Mask);
    UNREFERENCED_PARAMETER(State);
    return STATUS_SUCCESS;
}

VOID NTAPI SupKeRestoreExtendedProcessorState(PVOID State)
{
    UNREFERENCED_PARAMETER(State);
}
