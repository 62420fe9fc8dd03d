/* SPDX-License-Identifier: Apache-2.0
 *
 * irps.c - IRPs and the devices that they are sent to.  Fdo completes device
 * controls (the first ULONG grows by one) and reads (with their length).
 */
#include "calls.h"

#define IOCTL_NEXT CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS)

NTKERNELAPI PEPROCESS NTAPI IoGetRequestorProcess(PIRP Irp);

static KEVENT Done;
static volatile LONG Completions;

static NTSTATUS NTAPI Keeps(PDEVICE_OBJECT Device, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Irp);
    (void)InterlockedIncrement(&Completions);
    (void)KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

PROBE(Probe_IoAllocateIrp)
{
    PIRP irp = IoAllocateIrp(3, FALSE);

    EXPECT(irp, "answers NULL");
    EXPECT(irp->StackCount == 3 && irp->CurrentLocation == 4, "makes another number of stack locations");
    IoFreeIrp(irp);
}

PROBE(Probe_IoInitializeIrp)
{
    PIRP irp = ExAllocatePoolWithTag(NonPagedPool, IoSizeOfIrp(2), TAG);

    RtlFillMemory(irp, IoSizeOfIrp(2), 0xCC);
    IoInitializeIrp(irp, IoSizeOfIrp(2), 2);
    EXPECT(irp->StackCount == 2 && irp->CurrentLocation == 3 && !irp->MdlAddress && !irp->Cancel,
           "does not fill the IRP in");
    ExFreePoolWithTag(irp, TAG);
}

PROBE(Probe_IoReuseIrp)
{
    PIRP irp = IoAllocateIrp(2, FALSE);

    irp->CurrentLocation--;
    irp->Cancel = TRUE;
    IoReuseIrp(irp, (NTSTATUS)STATUS_NOT_SUPPORTED);
    EXPECT(irp->CurrentLocation == 3 && !irp->Cancel && irp->IoStatus.Status == (NTSTATUS)STATUS_NOT_SUPPORTED,
           "does not make the IRP as good as new");
    IoFreeIrp(irp);
}

/* An IRP to Fdo whose completion is kept. */
static PIRP Sent(UCHAR Major)
{
    PIRP irp = IoAllocateIrp(1, FALSE);
    PIO_STACK_LOCATION next = IoGetNextIrpStackLocation(irp);

    Completions = 0;
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    next->MajorFunction = Major;
    next->Parameters.Read.Length = 77;
    IoSetCompletionRoutine(irp, Keeps, &Done, TRUE, TRUE, TRUE);
    return irp;
}

PROBE(Probe_IofCallDriver)
{
    PIRP irp = Sent(IRP_MJ_READ);

    EXPECT(IofCallDriver(Fdo, irp) == STATUS_SUCCESS, "does not answer what the driver answers");
    EXPECT(irp->IoStatus.Information == 77, "does not show the IRP to the driver");
    IoFreeIrp(irp);
}

PROBE(Probe_IofCompleteRequest)
{
    PIRP irp = Sent(IRP_MJ_READ);

    (void)IofCallDriver(Fdo, irp);
    EXPECT(Completions == 1, "does not call the completion routine once");
    IoFreeIrp(irp);
}

static VOID NTAPI CancelRoutine(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    (void)InterlockedIncrement(&Completions);
}

PROBE(Probe_IoCancelIrp)
{
    PIRP irp = IoAllocateIrp(1, FALSE);

    EXPECT(!IoCancelIrp(irp) && irp->Cancel, "does not mark an IRP without a routine, and answer FALSE");
    irp->Cancel = FALSE;
    Completions = 0;
    (void)IoSetCancelRoutine(irp, CancelRoutine);
    irp->CurrentLocation--;
    irp->Tail.Overlay.CurrentStackLocation--;
    EXPECT(IoCancelIrp(irp) && Completions == 1, "does not call the cancel routine");
    irp->CurrentLocation++;
    irp->Tail.Overlay.CurrentStackLocation++;
    IoFreeIrp(irp);
}

PROBE(Probe_IoAcquireCancelSpinLock)
{
    KIRQL irql;

    IoAcquireCancelSpinLock(&irql);
    IoReleaseCancelSpinLock(irql);
    IoAcquireCancelSpinLock(&irql);
    IoReleaseCancelSpinLock(irql);
}

PROBE(Probe_IoBuildDeviceIoControlRequest)
{
    IO_STATUS_BLOCK status = { .Status = -1 };
    ULONG number = 41;
    PIRP irp;

    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    irp = IoBuildDeviceIoControlRequest(IOCTL_NEXT, Fdo, &number, sizeof(number), &number, sizeof(number), FALSE,
                                        &Done, &status);
    EXPECT(irp, "answers NULL");
    EXPECT(IofCallDriver(Fdo, irp) == STATUS_SUCCESS, "makes an IRP that the driver does not understand");
    EXPECT(Came(&Done), "makes an IRP whose event is not set");
    EXPECT(status.Status == STATUS_SUCCESS && status.Information == sizeof(number),
           "makes an IRP whose status block is not filled in");
    EXPECT(number == 42, "makes an IRP whose output does not come back");
}

PROBE(Probe_IoBuildSynchronousFsdRequest)
{
    IO_STATUS_BLOCK status = { .Status = -1 };
    LARGE_INTEGER offset = { .QuadPart = 0 };
    UCHAR buffer[77];
    PIRP irp;

    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    irp = IoBuildSynchronousFsdRequest(IRP_MJ_READ, Fdo, buffer, sizeof(buffer), &offset, &Done, &status);
    EXPECT(irp, "answers NULL");
    (void)IofCallDriver(Fdo, irp);
    EXPECT(Came(&Done) && status.Information == 77, "makes an IRP whose status block is not filled in");
}

PROBE(Probe_IoBuildAsynchronousFsdRequest)
{
    LARGE_INTEGER offset = { .QuadPart = 0 };
    IO_STATUS_BLOCK status;
    UCHAR buffer[77];
    PIRP irp = IoBuildAsynchronousFsdRequest(IRP_MJ_WRITE, Fdo, buffer, sizeof(buffer), &offset, &status);

    EXPECT(irp, "answers NULL");
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    IoSetCompletionRoutine(irp, Keeps, &Done, TRUE, TRUE, TRUE);
    EXPECT(IofCallDriver(Fdo, irp) == STATUS_SUCCESS && irp->IoStatus.Information == 77,
           "makes an IRP that the driver does not understand");
}

/* ---- forwarding --------------------------------------------------------------------------------- */

static PDEVICE_OBJECT Device(VOID)
{
    PDEVICE_OBJECT device = NULL;

    (void)IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
    if (device)
        device->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
    return device;
}

PROBE(Probe_IoForwardIrpSynchronously)
{
    PIRP irp = IoAllocateIrp(2, FALSE);
    PIO_STACK_LOCATION own = IoGetNextIrpStackLocation(irp);

    own->MajorFunction = IRP_MJ_READ;
    own->Parameters.Read.Length = 77;
    IoSetNextIrpStackLocation(irp);
    EXPECT(IoForwardIrpSynchronously(Fdo, irp), "answers FALSE");
    EXPECT(irp->IoStatus.Information == 77, "does not show the IRP to the driver");
    IoFreeIrp(irp);
}

PROBE(Probe_IoSetCompletionRoutineEx)
{
    PIRP irp = Sent(IRP_MJ_READ);

    EXPECT(IoSetCompletionRoutineEx(Fdo, irp, Keeps, &Done, TRUE, TRUE, TRUE) == STATUS_SUCCESS, "fails");
    (void)IofCallDriver(Fdo, irp);
    EXPECT(Completions == 1, "sets no routine");
    IoFreeIrp(irp);
}

/* ---- devices ------------------------------------------------------------------------------------ */

PROBE(Probe_IoCreateDevice)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\KshsCalls");
    PDEVICE_OBJECT device = NULL, second = NULL;

    EXPECT(IoCreateDevice(Driver, 40, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device) == STATUS_SUCCESS && device,
           "fails");
    EXPECT(device->DeviceExtension && !*(PULONG)device->DeviceExtension && device->StackSize == 1,
           "makes a device without a zeroed extension");
    EXPECT(IoCreateDevice(Driver, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &second) ==
               (NTSTATUS)STATUS_OBJECT_NAME_COLLISION, "makes two devices of one name");
    IoDeleteDevice(device);
}

PROBE(Probe_IoDeleteDevice)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\KshsCallsAgain");
    PDEVICE_OBJECT device = NULL;

    (void)IoCreateDevice(Driver, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
    IoDeleteDevice(device);
    device = NULL;
    EXPECT(IoCreateDevice(Driver, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device) == STATUS_SUCCESS,
           "leaves the name in use");
    IoDeleteDevice(device);
}

PROBE(Probe_IoCreateSymbolicLink)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\??\\KshsCallsLink"), device = RTL_CONSTANT_STRING(L"\\Device\\Null");

    EXPECT(IoCreateSymbolicLink(&name, &device) == STATUS_SUCCESS, "fails");
    MINOR(IoCreateSymbolicLink(&name, &device) == (NTSTATUS)STATUS_OBJECT_NAME_COLLISION, "makes a link twice");
    (void)IoDeleteSymbolicLink(&name);
}

PROBE(Probe_IoDeleteSymbolicLink)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\??\\KshsCallsLink2"), device = RTL_CONSTANT_STRING(L"\\Device\\Null");

    (void)IoCreateSymbolicLink(&name, &device);
    EXPECT(IoDeleteSymbolicLink(&name) == STATUS_SUCCESS, "fails");
    EXPECT(IoDeleteSymbolicLink(&name) == (NTSTATUS)STATUS_OBJECT_NAME_NOT_FOUND, "deletes what there is not");
}

PROBE(Probe_IoAttachDeviceToDeviceStack)
{
    PDEVICE_OBJECT lower = Device(), upper = Device();

    EXPECT(IoAttachDeviceToDeviceStack(upper, lower) == lower, "does not answer what it is attached to");
    EXPECT(lower->AttachedDevice == upper && upper->StackSize == 2, "does not make the stack one higher");
    IoDetachDevice(lower);
    EXPECT(!lower->AttachedDevice, "makes what IoDetachDevice does not undo");
    IoDeleteDevice(upper);
    IoDeleteDevice(lower);
}

PROBE(Probe_IoGetAttachedDeviceReference)
{
    PDEVICE_OBJECT lower = Device(), upper = Device(), top;

    (void)IoAttachDeviceToDeviceStack(upper, lower);
    top = IoGetAttachedDeviceReference(lower);
    EXPECT(top == upper, "does not answer the top of the stack");
    ObDereferenceObject(top);
    IoDetachDevice(lower);
    IoDeleteDevice(upper);
    IoDeleteDevice(lower);
}

PROBE(Probe_IoGetDeviceObjectPointer)
{
    UNICODE_STRING none = RTL_CONSTANT_STRING(L"\\Device\\KshsCallsNowhere");
    UNICODE_STRING null = RTL_CONSTANT_STRING(L"\\Device\\Null");
    PFILE_OBJECT file = NULL;
    PDEVICE_OBJECT device = NULL;

    EXPECT(!NT_SUCCESS(IoGetDeviceObjectPointer(&none, FILE_READ_DATA, &file, &device)),
           "succeeds for a name that does not exist");
    MINOR(IoGetDeviceObjectPointer(&null, FILE_READ_DATA, &file, &device) == STATUS_SUCCESS && file,
          "gives no file object for a device that no driver has made");
    ObDereferenceObject(file);
}

PROBE(PointerToADevice)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\KshsCallsPointer");
    PFILE_OBJECT file = NULL;
    PDEVICE_OBJECT own = NULL, device = NULL;

    (void)IoCreateDevice(Driver, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &own);
    own->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
    EXPECT(IoGetDeviceObjectPointer(&name, FILE_READ_DATA, &file, &device) == STATUS_SUCCESS && file, "fails");
    EXPECT(device == own && file->DeviceObject == own, "gives another device");
    ObDereferenceObject(file);
    IoDeleteDevice(own);
}

PROBE(Probe_IoGetRelatedDeviceObject)
{
    static FILE_OBJECT file;

    RtlZeroMemory(&file, sizeof(file));
    file.Type = 5;
    file.Size = sizeof(file);
    file.DeviceObject = Fdo;
    EXPECT(IoGetRelatedDeviceObject(&file) == Fdo, "does not answer the file's device");
}

PROBE(Probe_IoGetRequestorProcess)
{
    PIRP irp = IoAllocateIrp(1, FALSE);

    EXPECT(!IoGetRequestorProcess(irp), "does not answer NULL");
    IoFreeIrp(irp);
}

PROBE(Probe_IoAllocateDriverObjectExtension)
{
    static ULONG id;
    PVOID extension = NULL, again = NULL;

    EXPECT(IoAllocateDriverObjectExtension(Driver, &id, 100, &extension) == STATUS_SUCCESS && extension, "fails");
    EXPECT(IoAllocateDriverObjectExtension(Driver, &id, 100, &again) == (NTSTATUS)STATUS_OBJECT_NAME_COLLISION,
           "gives two for one address");
}

PROBE(Probe_IoGetDriverObjectExtension)
{
    static ULONG id, other;
    PVOID extension = NULL;

    (void)IoAllocateDriverObjectExtension(Driver, &id, 100, &extension);
    EXPECT(extension && IoGetDriverObjectExtension(Driver, &id) == extension, "does not find what there is");
    EXPECT(!IoGetDriverObjectExtension(Driver, &other), "finds what there is not");
}

PROBE(Probe_IoRegisterShutdownNotification)
{
    PDEVICE_OBJECT device = Device();

    EXPECT(IoRegisterShutdownNotification(device) == STATUS_SUCCESS, "fails");
    IoUnregisterShutdownNotification(device);
    IoDeleteDevice(device);
}

const PROBE IrpProbes[] = {
    P(IoAllocateIrp), P(IoInitializeIrp), P(IoReuseIrp), P(IofCallDriver), P(IofCompleteRequest), P(IoCancelIrp),
    P(IoAcquireCancelSpinLock), P(IoBuildDeviceIoControlRequest), P(IoBuildSynchronousFsdRequest),
    P(IoBuildAsynchronousFsdRequest), P(IoForwardIrpSynchronously), P(IoSetCompletionRoutineEx), P(IoCreateDevice),
    P(IoDeleteDevice), P(IoCreateSymbolicLink), P(IoDeleteSymbolicLink), P(IoAttachDeviceToDeviceStack),
    P(IoGetAttachedDeviceReference), P(IoGetDeviceObjectPointer),
    CASE(IoGetDeviceObjectPointer, "to a driver's device", PointerToADevice), P(IoGetRelatedDeviceObject),
    CASE(IoGetRequestorProcess, "for an IRP of no thread", Probe_IoGetRequestorProcess),
    P(IoAllocateDriverObjectExtension), P(IoGetDriverObjectExtension),
    P(IoRegisterShutdownNotification), ENDS
};
