/* SPDX-License-Identifier: Apache-2.0
 *
 * dispatch.c - create, cleanup, close and device control: from the file
 * object to the object behind it (fileobject.c).
 */
#include "refks.h"

/* ---- create ----------------------------------------------------------------------- */

/* The end of a creation, successful or not: the creator's stay in the object is over. */
NTSTATUS RefksEndCreate(REFKS_HEADER *Header, PIRP Irp, NTSTATUS Status)
{
    Status = kshs_final_status(Status);
    RefksReference(Header);
    if (NT_SUCCESS(Status)) {
        Header->Created = TRUE;
        if (Header->Type == KsObjectTypeFilter)
            RefksKeepLoan(Header);
    } else {
        RefksUnbindFileObject(Header);
        (void)RefksCloseUnlocked(Header);       /* busy with us: the leave below finishes it */
    }
    RefksLeave(Header);
    RefksDereference(Header);
    return kshs_complete(Irp, Status, 0);
}

BOOLEAN RefksIsPinName(const WCHAR *Name, ULONG Characters)
{
    return Characters > REFKS_PIN_NAME_CHARACTERS && Name[REFKS_PIN_NAME_CHARACTERS] == L'\\' &&
           !_wcsnicmp(Name, KSSTRING_Pin, REFKS_PIN_NAME_CHARACTERS);
}

static NTSTATUS CreatePinByName(REFKS_DEVICE *Device, PIRP Irp, PFILE_OBJECT FileObject, const WCHAR *Name,
                                ULONG Characters)
{
    PFILE_OBJECT related = FileObject->RelatedFileObject;
    REFKS_HEADER *parent;
    NTSTATUS status;

    if (!RefksIsPinName(Name, Characters))
        return kshs_complete(Irp, STATUS_OBJECT_NAME_NOT_FOUND, 0);
    if (related->DeviceObject != FileObject->DeviceObject)
        return kshs_complete(Irp, STATUS_OBJECT_NAME_NOT_FOUND, 0);
    parent = RefksEnterFileObject(related);
    if (!parent)
        return kshs_complete(Irp, STATUS_FILE_CLOSED, 0);
    if (parent->Type != KsObjectTypeFilter || parent->Device != Device) {
        RefksLeave(parent);
        return kshs_complete(Irp, STATUS_OBJECT_NAME_NOT_FOUND, 0);
    }
    status = RefksCreatePin(CONTAINING_RECORD(parent, REFKS_FILTER, Header), Irp, FileObject, FALSE,
                            (const UCHAR *)(Name + REFKS_PIN_NAME_CHARACTERS + 1),
                            (Characters - REFKS_PIN_NAME_CHARACTERS - 1) * sizeof(WCHAR));
    RefksLeave(parent);
    return status;
}

static NTSTATUS Create(REFKS_DEVICE *Device, PIRP Irp)
{
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(Irp)->FileObject;
    const WCHAR *name = file->FileName.Buffer;
    ULONG characters = file->FileName.Length / sizeof(WCHAR);

    if (Device->Removed)
        return kshs_complete(Irp, STATUS_DEVICE_REMOVED, 0);
    if (!Device->Public.Started)
        return kshs_complete(Irp, STATUS_DEVICE_NOT_READY, 0);
    if (characters && name[0] == L'\\') {
        name++;
        characters--;
    }
    if (file->RelatedFileObject && characters)
        return CreatePinByName(Device, Irp, file, name, characters);
    return RefksCreateFilter(Device, Irp, name, characters);
}

NTSTATUS NTAPI RefksDispatchCreate(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(Irp)->FileObject;
    REFKS_DEVICE *device;
    NTSTATUS status;

    RefksWriteMissing();
    if (!file)
        return kshs_complete(Irp, STATUS_INVALID_PARAMETER, 0);
    RefksOpenFileObject(file, DeviceObject);
    device = RefksDeviceFromDeviceObject(DeviceObject);
    if (!device)
        return kshs_complete(Irp, STATUS_NO_SUCH_DEVICE, 0);
    if (RefksEnter(&device->Header)) {
        status = Create(device, Irp);
        RefksLeave(&device->Header);
    } else {
        status = kshs_complete(Irp, STATUS_DEVICE_REMOVED, 0);
    }
    RefksDereference(&device->Header);
    return status;
}

/* ---- cleanup, close --------------------------------------------------------------- */

/* The last handle is closed, but whoever referenced the file object may go on; nothing is queued that would
 * have to be cancelled. */
NTSTATUS NTAPI RefksDispatchCleanup(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    RefksWriteMissing();
    return kshs_complete(Irp, STATUS_SUCCESS, 0);
}

/* The IRP that closes an object, or a stand-in when nobody sent one: the device is being removed, or the
 * object is a filter whose file object became a pin. */
PIRP RefksCloseIrp(REFKS_HEADER *Header)
{
    if (!Header->CloseIrp) {
        Header->CloseIrp = RefksPrivateIrp(Header, IRP_MJ_CLOSE, 0);
        Header->CloseIrpIsPrivate = Header->CloseIrp != NULL;
    }
    return Header->CloseIrp;
}

void RefksEndClose(REFKS_HEADER *Header)
{
    PIRP irp = Header->CloseIrp, late = Header->LateCloseIrp;

    Header->CloseIrp = NULL;
    Header->LateCloseIrp = NULL;
    if (irp && Header->CloseIrpIsPrivate)
        (void)kshs_irp_free(irp);
    else if (irp)
        (void)kshs_complete(irp, STATUS_SUCCESS, 0);
    if (late)
        (void)kshs_complete(late, STATUS_SUCCESS, 0);
}

/* Idle: the caller finishes the object.  Busy: whoever is inside finishes it when he leaves, and completes
 * the IRP, which is marked pending for that.  Already: the same, but its device's removal closed it. */
static REFKS_CLOSING BeginClose(REFKS_HEADER *Header, PIRP Irp)         /* RefksLock held */
{
    if (RefksIsClosing(Header)) {
        IoMarkIrpPending(Irp);
        Header->LateCloseIrp = Irp;
        return RefksClosingAlready;
    }
    Header->CloseIrp = Irp;
    if (RefksCloseIfIdle(Header))
        return RefksClosingIdle;
    IoMarkIrpPending(Irp);
    return RefksClose(Header);
}

static NTSTATUS Close(PFILE_OBJECT FileObject, PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    REFKS_CLOSING closing = RefksClosingIdle;
    REFKS_HEADER *header;
    BOOLEAN pending;
    NTSTATUS status;
    KIRQL irql;

    KeAcquireSpinLock(&RefksLock, &irql);
    header = FileObject->FsContext;
    RefksMarkClosed(FileObject);
    if (header) {
        RefksReference(header);
        closing = BeginClose(header, Irp);
    }
    pending = (BOOLEAN)(header && (closing != RefksClosingIdle || (stack->Control & SL_PENDING_RETURNED)));
    KeReleaseSpinLock(&RefksLock, irql);
    if (!header)
        return kshs_complete(Irp, STATUS_SUCCESS, 0);
    status = closing == RefksClosingIdle ? RefksFinish(header) : STATUS_PENDING;
    RefksDereference(header);
    return pending ? STATUS_PENDING : status;
}

NTSTATUS NTAPI RefksDispatchClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(Irp)->FileObject;
    NTSTATUS status;

    if (!file)
        return kshs_complete(Irp, STATUS_SUCCESS, 0);
    ObReferenceObject(DeviceObject);
    RefksReleaseDevices(file, DeviceObject);
    status = Close(file, Irp);
    ObDereferenceObject(DeviceObject);
    return status;
}

/* ---- device control --------------------------------------------------------------------- */

NTSTATUS NTAPI RefksDispatchControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    ULONG_PTR information = 0;
    REFKS_HEADER *header;
    NTSTATUS status;

    header = stack->FileObject ? RefksEnterFileObject(stack->FileObject) : NULL;
    if (!header && stack->FileObject && RefksIsNobodys(stack->FileObject) &&
        stack->Parameters.DeviceIoControl.IoControlCode == IOCTL_KSHS_MAKE_FILTER)
        return RefksMakeFilter(DeviceObject, NULL, Irp);
    if (!header)
        return kshs_complete(Irp, STATUS_FILE_CLOSED, 0);
    if (header->Device->Removed) {
        RefksLeave(header);
        return kshs_complete(Irp, STATUS_DEVICE_REMOVED, 0);
    }
    switch (stack->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_KS_HANDSHAKE:
        status = RefksHandshake(header, Irp, &information);
        break;
    case IOCTL_KS_PROPERTY:
        return RefksProperty(header, Irp);      /* leaves the object itself: a handler may answer later */
    case IOCTL_KS_METHOD:
        return RefksMethod(header, Irp);
    case IOCTL_KSHS_MAKE_PIN:
        status = RefksMakePin(header, Irp);
        RefksLeave(header);
        return status;
    case IOCTL_KSHS_MAKE_FILTER:
        return RefksMakeFilter(DeviceObject, header, Irp);      /* leaves it itself */
    case IOCTL_KSHS_HELD:
        status = RefksHeld(header, Irp);
        RefksLeave(header);
        return status;
    case IOCTL_KS_ENABLE_EVENT:
    case IOCTL_KS_DISABLE_EVENT:
        status = STATUS_PROPSET_NOT_FOUND;      /* no object of ours has any */
        break;
    default:
        status = STATUS_INVALID_DEVICE_REQUEST;
        break;
    }
    RefksLeave(header);
    return kshs_complete(Irp, status, information);
}

/* ---- answers for minidrivers that dispatch for themselves ---------------------------------- */

/* For controls that nobody handles. */
NTSTATUS NTAPI KsDefaultDeviceIoCompletion(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    switch (IoGetCurrentIrpStackLocation(Irp)->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_KS_PROPERTY:
    case IOCTL_KS_METHOD:
    case IOCTL_KS_ENABLE_EVENT:
    case IOCTL_KS_DISABLE_EVENT:
        return kshs_complete(Irp, STATUS_PROPSET_NOT_FOUND, 0);
    default:
        return kshs_complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

/* FALSE sends the I/O manager the long way, with an IRP.  That is all that these two are for. */
BOOLEAN NTAPI KsDispatchFastIoDeviceControlFailure(PFILE_OBJECT FileObject, BOOLEAN Wait, PVOID InputBuffer,
                                                   ULONG InputBufferLength, PVOID OutputBuffer,
                                                   ULONG OutputBufferLength, ULONG IoControlCode,
                                                   PIO_STATUS_BLOCK IoStatus, PDEVICE_OBJECT DeviceObject)
{
    UNREFERENCED_PARAMETER(FileObject);
    UNREFERENCED_PARAMETER(Wait);
    UNREFERENCED_PARAMETER(InputBuffer);
    UNREFERENCED_PARAMETER(InputBufferLength);
    UNREFERENCED_PARAMETER(OutputBuffer);
    UNREFERENCED_PARAMETER(OutputBufferLength);
    UNREFERENCED_PARAMETER(IoControlCode);
    UNREFERENCED_PARAMETER(IoStatus);
    UNREFERENCED_PARAMETER(DeviceObject);
    return FALSE;
}

BOOLEAN NTAPI KsDispatchFastReadFailure(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset, ULONG Length,
                                        BOOLEAN Wait, ULONG LockKey, PVOID Buffer, PIO_STATUS_BLOCK IoStatus,
                                        PDEVICE_OBJECT DeviceObject)
{
    UNREFERENCED_PARAMETER(FileObject);
    UNREFERENCED_PARAMETER(FileOffset);
    UNREFERENCED_PARAMETER(Length);
    UNREFERENCED_PARAMETER(Wait);
    UNREFERENCED_PARAMETER(LockKey);
    UNREFERENCED_PARAMETER(Buffer);
    UNREFERENCED_PARAMETER(IoStatus);
    UNREFERENCED_PARAMETER(DeviceObject);
    return FALSE;
}

/* ---- pending requests -------------------------------------------------------------------- */

/* The minidriver answered STATUS_PENDING to a create, a close, a property or a method, and is done with it now. */
void NTAPI KsCompletePendingRequest(PIRP Irp)
{
    if (!RefksPostpone(Irp))
        RefksEndPending(Irp);
}

void RefksEndPending(PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    REFKS_HEADER *header;

    if (RefksCompleteRequest(Irp))
        return;
    header = RefksHeaderFromFileObject(stack->FileObject);
    if (stack->MajorFunction == IRP_MJ_CLOSE && stack->Parameters.Others.Argument1)
        header = stack->Parameters.Others.Argument1;    /* a stand-in of ours */
    if (!header) {
        (void)kshs_complete(Irp, Irp->IoStatus.Status, Irp->IoStatus.Information);
    } else if (stack->MajorFunction == IRP_MJ_CLOSE) {
        if (header->Type == KsObjectTypePin)
            RefksPinClosed(CONTAINING_RECORD(header, REFKS_PIN, Header));
        else
            RefksFilterClosed(CONTAINING_RECORD(header, REFKS_FILTER, Header));
    } else {
        (void)RefksEndCreate(header, Irp, Irp->IoStatus.Status);
    }
}
