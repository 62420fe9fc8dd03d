/* SPDX-License-Identifier: Apache-2.0
 *
 * forward.c - IRPs of the driver's own: handshakes that it passes on to a pin,
 * and opens by name.
 */
#include "probe.h"

#define STATIC_PROBE_PROTOCOL 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x02

typedef struct SENT {
    PIRP Irp;
    KSHANDSHAKE In;
    KSHANDSHAKE Out;
    volatile LONG Completions;
    NTSTATUS Status;
    ULONG_PTR Information;
} SENT;

static NTSTATUS NTAPI Completed(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    SENT *sent = Context;

    UNREFERENCED_PARAMETER(DeviceObject);
    sent->Status = Irp->IoStatus.Status;
    sent->Information = Irp->IoStatus.Information;
    InterlockedIncrement(&sent->Completions);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

static void Describe(PIO_STACK_LOCATION Location, SENT *Sent)
{
    Location->MajorFunction = IRP_MJ_DEVICE_CONTROL;
    Location->Parameters.DeviceIoControl.IoControlCode = IOCTL_KS_HANDSHAKE;
    Location->Parameters.DeviceIoControl.InputBufferLength = sizeof(Sent->In);
    Location->Parameters.DeviceIoControl.OutputBufferLength = sizeof(Sent->Out);
    Location->Parameters.DeviceIoControl.Type3InputBuffer = &Sent->In;
}

/* A handshake as a dispatch routine would have got it, with so many locations left below it. */
static BOOLEAN MakeHandshake(SENT *Sent, CCHAR Below)
{
    static const GUID protocol = { STATIC_PROBE_PROTOCOL };
    PIRP irp = IoAllocateIrp((CCHAR)(Below + 2), FALSE);

    RtlZeroMemory(Sent, sizeof(*Sent));
    if (!irp)
        return FALSE;
    Sent->Irp = irp;
    Sent->In.ProtocolId = protocol;
    Sent->In.Argument1 = (PVOID)(ULONG_PTR)5;
    irp->RequestorMode = KernelMode;
    irp->UserBuffer = &Sent->Out;
    IoSetNextIrpStackLocation(irp);
    IoSetCompletionRoutine(irp, Completed, Sent, TRUE, TRUE, TRUE);
    IoSetNextIrpStackLocation(irp);
    Describe(IoGetCurrentIrpStackLocation(irp), Sent);
    return TRUE;
}

static ULONGLONG Answer(const SENT *Sent)
{
    return (ULONGLONG)(ULONG_PTR)Sent->Out.Argument1;
}

/* Numbers from At: status, Information, answer, runs of the routine above, whether the location is as it was. */
static BOOLEAN Catch(PDEVICE_OBJECT Device, PFILE_OBJECT FileObject, KSSTACK_USE Use, CCHAR Below, PULONGLONG At)
{
    PIO_STACK_LOCATION location;
    SENT sent;

    if (!MakeHandshake(&sent, Below))
        return FALSE;
    location = IoGetCurrentIrpStackLocation(sent.Irp);
    if (Use == KsStackUseNewLocation) {
        Describe(IoGetNextIrpStackLocation(sent.Irp), &sent);
        location->Parameters.DeviceIoControl.IoControlCode = 0;
    }
    At[0] = (ULONG)KsForwardAndCatchIrp(Device, sent.Irp, FileObject, Use);
    At[1] = sent.Irp->IoStatus.Information;
    At[2] = Answer(&sent);
    At[3] = (ULONG)sent.Completions;            /* 0: the IRP was caught */
    At[4] = IoGetCurrentIrpStackLocation(sent.Irp) == location &&
            location->CompletionRoutine == Completed && location->Context == &sent && !location->FileObject;
    sent.Irp->IoStatus.Status = STATUS_SUCCESS;
    IoCompleteRequest(sent.Irp, IO_NO_INCREMENT);
    At[5] = (ULONG)sent.Completions;            /* 1 */
    IoFreeIrp(sent.Irp);
    return TRUE;
}

static BOOLEAN Forward(PFILE_OBJECT FileObject, BOOLEAN Reuse, CCHAR Below, PULONGLONG At)
{
    SENT sent;

    if (!MakeHandshake(&sent, Below))
        return FALSE;
    At[0] = (ULONG)KsForwardIrp(sent.Irp, FileObject, Reuse);
    At[1] = sent.Information;
    At[2] = Answer(&sent);
    At[3] = (ULONG)sent.Completions << 8 | (sent.Status == (NTSTATUS)At[0]);
    IoFreeIrp(sent.Irp);
    return TRUE;
}

NTSTATUS ProbeForward(PKSPIN Pin, PFILE_OBJECT FileObject, PULONGLONG Numbers)
{
    PDEVICE_OBJECT device = KsGetDevice(Pin)->FunctionalDeviceObject;
    CCHAR depth = device->StackSize;

    if (Catch(device, FileObject, KsStackCopyToNewLocation, depth, Numbers) &&
        Catch(device, FileObject, KsStackReuseCurrentLocation, depth, Numbers + 6) &&
        Catch(device, FileObject, KsStackUseNewLocation, depth, Numbers + 12) &&
        Forward(FileObject, FALSE, depth, Numbers + 18))
        return STATUS_SUCCESS;
    return STATUS_INSUFFICIENT_RESOURCES;
}

/* The rest of the cases: in place, and without a location to go on with. */
NTSTATUS ProbeForwardMore(PKSPIN Pin, PFILE_OBJECT FileObject, PULONGLONG Numbers)
{
    PDEVICE_OBJECT device = KsGetDevice(Pin)->FunctionalDeviceObject;

    if (Forward(FileObject, TRUE, device->StackSize, Numbers) && Forward(FileObject, FALSE, 0, Numbers + 4) &&
        Catch(device, FileObject, KsStackCopyToNewLocation, 0, Numbers + 8))
        return STATUS_SUCCESS;
    return STATUS_INSUFFICIENT_RESOURCES;
}

/* ---- opens, which the I/O manager of Wine cannot send with a name -------------------------- */

/* An IRP of ours as the dispatch routine of a device gets it, without its end. */
static PIRP MakeIrp(PDEVICE_OBJECT Device, UCHAR Major, UCHAR Minor, const IO_STACK_LOCATION *Parameters, SENT *Sent)
{
    PIRP irp = IoAllocateIrp(Device->StackSize, FALSE);
    PIO_STACK_LOCATION location;

    RtlZeroMemory(Sent, sizeof(*Sent));
    if (!irp)
        return NULL;
    irp->RequestorMode = KernelMode;
    irp->IoStatus.Status = STATUS_NOT_SUPPORTED;        /* as every PnP IRP begins */
    location = IoGetNextIrpStackLocation(irp);
    location->MajorFunction = Major;
    location->MinorFunction = Minor;
    if (Parameters)
        location->Parameters = Parameters->Parameters;
    IoSetCompletionRoutine(irp, Completed, Sent, TRUE, TRUE, TRUE);
    return irp;
}

NTSTATUS ProbeSend(PDEVICE_OBJECT Device, PFILE_OBJECT FileObject, UCHAR Major, UCHAR Minor,
                   const IO_STACK_LOCATION *Parameters)
{
    NTSTATUS status;
    SENT sent;
    PIRP irp = MakeIrp(Device, Major, Minor, Parameters, &sent);

    if (!irp)
        return STATUS_INSUFFICIENT_RESOURCES;
    IoGetNextIrpStackLocation(irp)->FileObject = FileObject;
    (void)IoCallDriver(Device, irp);            /* nobody in this driver pends */
    status = sent.Completions == 1 ? sent.Status : STATUS_INTERNAL_ERROR;
    IoFreeIrp(irp);
    return status;
}

NTSTATUS ProbeSendLate(PDEVICE_OBJECT Device, PFILE_OBJECT FileObject, UCHAR Major, void (*Finish)(void))
{
    NTSTATUS status = STATUS_INTERNAL_ERROR;
    SENT sent;
    PIRP irp = MakeIrp(Device, Major, 0, NULL, &sent);

    if (!irp)
        return STATUS_INSUFFICIENT_RESOURCES;
    IoGetNextIrpStackLocation(irp)->FileObject = FileObject;
    if (IoCallDriver(Device, irp) == STATUS_PENDING && !sent.Completions) {
        Finish();
        if (sent.Completions == 1)
            status = sent.Status;
    }
    IoFreeIrp(irp);
    return status;
}

NTSTATUS ProbeDispatch(PDRIVER_DISPATCH Routine, PDEVICE_OBJECT Device, UCHAR Major,
                       const IO_STACK_LOCATION *Parameters, PVOID Out)
{
    NTSTATUS status, returned;
    SENT sent;
    PIRP irp = MakeIrp(Device, Major, 0, Parameters, &sent);

    if (!irp)
        return STATUS_INSUFFICIENT_RESOURCES;
    IoSetNextIrpStackLocation(irp);
    IoGetCurrentIrpStackLocation(irp)->DeviceObject = Device;
    irp->UserBuffer = Out;
    returned = Routine(Device, irp);
    status = sent.Completions == 1 && returned == sent.Status ? sent.Status : STATUS_INTERNAL_ERROR;
    IoFreeIrp(irp);
    return status;
}

/* Opens a filter by its name, and says which kind of filter it is. */
NTSTATUS ProbeOpen(PKSFILTER Filter, const WCHAR *Name, ULONG Bytes, PULONGLONG Numbers)
{
    PDEVICE_OBJECT device = KsGetDevice(Filter)->FunctionalDeviceObject;
    FILE_OBJECT *file = ExAllocatePoolWithTag(NonPagedPool, sizeof(*file), PROBE_TAG);
    PKSFILTER opened;

    if (!file)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(file, sizeof(*file));
    file->DeviceObject = device;
    file->FileName.Buffer = (PWSTR)Name;
    file->FileName.Length = file->FileName.MaximumLength = (USHORT)Bytes;
    Numbers[0] = (ULONG)ProbeSend(device, file, IRP_MJ_CREATE, 0, NULL);
    opened = NT_SUCCESS((NTSTATUS)Numbers[0]) ? KsGetObjectFromFileObject(file) : NULL;
    Numbers[1] = opened ? opened->Descriptor->NodeDescriptorsCount : 99;
    Numbers[2] = (ULONG)ProbeSend(device, file, IRP_MJ_CLEANUP, 0, NULL);
    Numbers[3] = (ULONG)ProbeSend(device, file, IRP_MJ_CLOSE, 0, NULL);
    ExFreePoolWithTag(file, PROBE_TAG);
    return STATUS_SUCCESS;
}
