/* SPDX-License-Identifier: Apache-2.0
 *
 * dispatch.c - create, cleanup, close and device control: from the file
 * object to the object behind it.
 */
#include "refks.h"

static const WCHAR PinName[] = KSSTRING_Pin;
#define PIN_NAME_CHARACTERS (sizeof(PinName) / sizeof(WCHAR) - 1)

/* ---- file objects ----------------------------------------------------------- */

REFKS_HEADER *RefksEnterFileObject(PFILE_OBJECT FileObject)
{
    REFKS_HEADER *header;
    KIRQL irql;

    /* Under the lock, because Wine closes a file object while others still hold references to it. */
    KeAcquireSpinLock(&RefksLock, &irql);
    header = FileObject->FsContext;
    if (header && !RefksEnter(header))
        header = NULL;
    KeReleaseSpinLock(&RefksLock, irql);
    return header;
}

REFKS_HEADER *RefksHeaderFromFileObject(PFILE_OBJECT FileObject)
{
    return FileObject ? FileObject->FsContext : NULL;
}

/* A pin on loan takes the file object over from its parent filter; FALSE: the filter has none to lend. */
BOOLEAN RefksBindFileObject(REFKS_HEADER *Header, PFILE_OBJECT FileObject, BOOLEAN OnLoan)
{
    BOOLEAN bound;
    KIRQL irql;

    KeAcquireSpinLock(&RefksLock, &irql);
    bound = !OnLoan || FileObject->FsContext == Header->Parent;
    if (bound) {
        if (OnLoan)
            Header->Parent->FileObject = NULL;
        Header->OnLoan = OnLoan;
        FileObject->FsContext = Header;
        Header->FileObject = FileObject;
    }
    KeReleaseSpinLock(&RefksLock, irql);
    return bound;
}

/* A pin on loan that never came to be gives the file object back, unless that was closed meanwhile. */
void RefksUnbindFileObject(REFKS_HEADER *Header)
{
    PFILE_OBJECT file;
    KIRQL irql;

    KeAcquireSpinLock(&RefksLock, &irql);
    file = Header->FileObject;
    Header->FileObject = NULL;
    if (file && Header->OnLoan && !Header->Created && !Header->CloseIrp) {
        file->FsContext = Header->Parent;
        Header->Parent->FileObject = file;
        Header->OnLoan = FALSE;
    } else if (file) {
        file->FsContext = NULL;
    }
    KeReleaseSpinLock(&RefksLock, irql);
}

void RefksLinkOpen(REFKS_HEADER *Header)
{
    KIRQL irql;

    InsertTailList(&Header->Parent->Children, &Header->Sibling);
    Header->Linked = TRUE;
    KeAcquireSpinLock(&RefksLock, &irql);
    InsertTailList(&Header->Device->Open, &Header->Open);
    KeReleaseSpinLock(&RefksLock, irql);
}

void RefksUnlinkOpen(REFKS_HEADER *Header)
{
    KIRQL irql;

    if (!Header->Linked)
        return;
    RemoveEntryList(&Header->Sibling);
    Header->Linked = FALSE;
    KeAcquireSpinLock(&RefksLock, &irql);
    RemoveEntryList(&Header->Open);
    KeReleaseSpinLock(&RefksLock, irql);
}

/* Wine frees a device's memory under open handles.  Whoever still holds a file object follows its pointers to
 * the device stack, so each handle keeps that memory. */
static void HoldDevices(PFILE_OBJECT FileObject, PDEVICE_OBJECT Functional)
{
    if (kshs_is_wine() && FileObject->DeviceObject) {
        ObReferenceObject(FileObject->DeviceObject);
        ObReferenceObject(Functional);
    }
}

static void ReleaseDevices(PFILE_OBJECT FileObject, PDEVICE_OBJECT Functional)
{
    if (kshs_is_wine() && FileObject->DeviceObject) {
        ObDereferenceObject(FileObject->DeviceObject);
        ObDereferenceObject(Functional);
    }
}

/* ---- create ----------------------------------------------------------------------- */

/* The end of a creation, successful or not: the creator's stay in the object is over. */
NTSTATUS RefksEndCreate(REFKS_HEADER *Header, PIRP Irp, NTSTATUS Status)
{
    Status = kshs_final_status(Status);
    RefksReference(Header);
    if (NT_SUCCESS(Status)) {
        Header->Created = TRUE;
    } else {
        RefksUnbindFileObject(Header);
        (void)RefksCloseUnlocked(Header);       /* busy with us: the leave below finishes it */
    }
    RefksLeave(Header);
    RefksDereference(Header);
    return kshs_complete(Irp, Status, 0);
}

static NTSTATUS CreatePinByName(REFKS_DEVICE *Device, PIRP Irp, PFILE_OBJECT FileObject, const WCHAR *Name,
                                ULONG Characters)
{
    PFILE_OBJECT related = FileObject->RelatedFileObject;
    REFKS_HEADER *parent;
    NTSTATUS status;

    if (Characters <= PIN_NAME_CHARACTERS || Name[PIN_NAME_CHARACTERS] != L'\\' ||
        _wcsnicmp(Name, PinName, PIN_NAME_CHARACTERS))
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
                            (const UCHAR *)(Name + PIN_NAME_CHARACTERS + 1),
                            (Characters - PIN_NAME_CHARACTERS - 1) * sizeof(WCHAR));
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
    HoldDevices(file, DeviceObject);
    file->FsContext = NULL;
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
    ReleaseDevices(file, DeviceObject);
    status = Close(file, Irp);
    ObDereferenceObject(DeviceObject);
    return status;
}

/* ---- device control --------------------------------------------------------------------- */

/* Turns the filter handle that the request came on into a pin.  Only for Wine, which cannot open a file
 * relative to another: everywhere else a pin is opened by its name. */
static NTSTATUS MakePin(REFKS_HEADER *Header, PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    const WCHAR *name = Irp->AssociatedIrp.SystemBuffer;
    ULONG length = stack->Parameters.DeviceIoControl.InputBufferLength;
    const ULONG prefix = (PIN_NAME_CHARACTERS + 1) * sizeof(WCHAR);

    if (!kshs_is_wine() || Header->Type != KsObjectTypeFilter)
        return kshs_complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    if (length <= prefix || !name || _wcsnicmp(name, PinName, PIN_NAME_CHARACTERS) ||
        name[PIN_NAME_CHARACTERS] != L'\\')
        return kshs_complete(Irp, STATUS_OBJECT_NAME_NOT_FOUND, 0);
    return RefksCreatePin(CONTAINING_RECORD(Header, REFKS_FILTER, Header), Irp, stack->FileObject, TRUE,
                          (const UCHAR *)name + prefix, length - prefix);
}

/* Who keeps the object and its device: for the client, which tells what leaks (docs/client.md). */
static NTSTATUS Held(REFKS_HEADER *Header, PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    REFKS_HEADER *device = &Header->Device->Header;
    kshs_held *held = Irp->AssociatedIrp.SystemBuffer;

    if (!kshs_is_wine() || Irp->RequestorMode != KernelMode)
        return kshs_complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    if (!held || stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(*held))
        return kshs_complete(Irp, STATUS_BUFFER_TOO_SMALL, 0);
    held->object_inside = (uint32_t)Header->Rundown.Value / 2;
    held->object_references = (uint32_t)Header->References;
    held->device_inside = (uint32_t)device->Rundown.Value / 2;
    held->device_references = (uint32_t)device->References;
    return kshs_complete(Irp, STATUS_SUCCESS, sizeof(*held));
}

NTSTATUS NTAPI RefksDispatchControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    ULONG_PTR information = 0;
    REFKS_HEADER *header;
    NTSTATUS status;

    UNREFERENCED_PARAMETER(DeviceObject);
    header = stack->FileObject ? RefksEnterFileObject(stack->FileObject) : NULL;
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
        status = MakePin(header, Irp);
        RefksLeave(header);
        return status;
    case IOCTL_KSHS_HELD:
        status = Held(header, Irp);
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
