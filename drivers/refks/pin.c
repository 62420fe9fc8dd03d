/* SPDX-License-Identifier: Apache-2.0
 *
 * pin.c - pins from creation to close.
 */
#include "refks.h"

static const KSPIN_DISPATCH *PinDispatch(const REFKS_PIN *Pin)
{
    return Pin->Public.Descriptor->Dispatch;
}

REFKS_FILTER *RefksPinFilter(const REFKS_PIN *Pin)
{
    return CONTAINING_RECORD(Pin->Header.Parent, REFKS_FILTER, Header);
}

/* The format's block belongs to the pin's bag from here on. */
static NTSTATUS TakeFormat(REFKS_PIN *Pin, REFKS_CONNECT *Connect)
{
    NTSTATUS status = KsAddItemToObjectBag(Pin->Public.Bag, Connect->Format, NULL);

    if (NT_SUCCESS(status)) {
        Pin->Public.ConnectionFormat = Connect->Format;
        Pin->Public.AttributeList = Connect->Attributes;
        Connect->Format = NULL;
    }
    return status;
}

static REFKS_PIN *AllocatePin(REFKS_FILTER *Filter, const KSPIN_DESCRIPTOR_EX *Descriptor,
                              const KSPIN_CONNECT *Connect)
{
    REFKS_PIN *pin = RefksAllocate(sizeof(*pin));

    if (!pin)
        return NULL;
    RefksInitializeHeader(&pin->Header, KsObjectTypePin, Filter->Header.Device, &Filter->Header);
    (void)RefksEnter(&pin->Header);             /* the creation is inside until it ends */
    ExInitializeFastMutex(&pin->Processing);
    KsGateInitializeAnd(&pin->Gate, NULL);
    pin->Public.Descriptor = Descriptor;
    pin->Public.Bag = &pin->Header.Bag;
    pin->Public.Context = Filter->Public.Context;
    pin->Public.Id = Connect->PinId;
    pin->Public.Communication = Connect->PinToHandle ? KSPIN_COMMUNICATION_SOURCE : KSPIN_COMMUNICATION_SINK;
    pin->Public.ConnectionIsExternal = TRUE;    /* until another pin of ours is at the other end */
    pin->Public.ConnectionInterface = Connect->Interface;
    pin->Public.ConnectionMedium = Connect->Medium;
    pin->Public.ConnectionPriority = Connect->Priority;
    pin->Public.DataFlow = Descriptor->PinDescriptor.DataFlow;
    pin->Public.DeviceState = KSSTATE_STOP;
    pin->Public.ClientState = KSSTATE_STOP;
    pin->Public.ResetState = KSRESET_END;
    return pin;
}

/* Control mutex held. */
static NTSTATUS BuildPin(REFKS_PIN *Pin, PIRP Irp, PFILE_OBJECT FileObject, BOOLEAN OnLoan, REFKS_CONNECT *Connect)
{
    REFKS_FILTER *filter = RefksPinFilter(Pin);
    NTSTATUS status;

    if (RefksPinCount(filter, Pin->Public.Id) >= Pin->Public.Descriptor->InstancesPossible)
        return STATUS_NOT_FOUND;
    RefksLinkOpen(&Pin->Header);
    Pin->Header.Lender = OnLoan ? Pin->Header.Parent : NULL;
    if (!RefksBindFileObject(&Pin->Header, FileObject, OnLoan))
        return STATUS_INVALID_DEVICE_REQUEST;   /* another request made a pin of it meanwhile */
    if (!OnLoan) {
        Pin->ParentFile = FileObject->RelatedFileObject;
        ObReferenceObject(Pin->ParentFile);
    }
    status = TakeFormat(Pin, Connect);
    if (NT_SUCCESS(status))
        status = RefksMatchFormat(Pin, NULL, NULL);
    if (NT_SUCCESS(status) && Connect->Connect.PinToHandle)
        status = RefksConnectPins(Pin, Connect->Connect.PinToHandle, Irp);
    if (NT_SUCCESS(status) && PinDispatch(Pin) && PinDispatch(Pin)->Create)
        status = PinDispatch(Pin)->Create(&Pin->Public, Irp);
    return status;
}

/* The caller has entered the filter.  Completes the IRP, unless the minidriver will. */
NTSTATUS RefksCreatePin(REFKS_FILTER *Filter, PIRP Irp, PFILE_OBJECT FileObject, BOOLEAN OnLoan,
                        const UCHAR *Parameters, ULONG Length)
{
    const KSPIN_DESCRIPTOR_EX *descriptor = NULL;
    REFKS_CONNECT connect;
    REFKS_PIN *pin = NULL;
    NTSTATUS status;

    if (!RefksEnter(&Filter->Header))           /* the pin's own stay, until it is closed */
        return kshs_complete(Irp, STATUS_FILE_CLOSED, 0);
    status = RefksParseConnect(Parameters, Length, &connect);
    if (NT_SUCCESS(status)) {
        descriptor = RefksPinDescriptor(Filter, connect.Connect.PinId);
        if (!descriptor)
            status = STATUS_INVALID_PARAMETER;
        else if ((descriptor->Flags & KSPIN_FLAG_DENY_USERMODE_ACCESS) && Irp->RequestorMode != KernelMode)
            status = STATUS_INVALID_DEVICE_REQUEST;
        else
            status = RefksCheckConnect(&descriptor->PinDescriptor, &connect);
    }
    if (NT_SUCCESS(status)) {
        pin = AllocatePin(Filter, descriptor, &connect.Connect);
        if (!pin)
            status = STATUS_INSUFFICIENT_RESOURCES;
    }
    if (!NT_SUCCESS(status)) {
        RefksFree(connect.Format);
        RefksLeave(&Filter->Header);
        return kshs_complete(Irp, status, 0);
    }
    pin->Creator = RefksRequestor(Irp);

    RefksLockMutex(&Filter->Control);
    status = BuildPin(pin, Irp, FileObject, OnLoan, &connect);
    RefksUnlockMutex(&Filter->Control);
    RefksFree(connect.Format);
    if (status == STATUS_PENDING)
        return status;
    return RefksEndCreate(&pin->Header, Irp, status);
}

NTSTATUS RefksFinishPin(REFKS_PIN *Pin)
{
    REFKS_FILTER *filter = RefksPinFilter(Pin);
    NTSTATUS status = STATUS_SUCCESS;

    if (Pin->Header.Created) {
        PIRP irp = RefksCloseIrp(&Pin->Header);

        RefksReference(&filter->Header);        /* the pin, and its hold on the filter, may go before the mutex */
        RefksLockMutex(&filter->Control);
        (void)RefksSetPinState(Pin, KSSTATE_STOP);
        if (irp && PinDispatch(Pin) && PinDispatch(Pin)->Close)
            status = PinDispatch(Pin)->Close(&Pin->Public, irp);
        RefksUnlockMutex(&filter->Control);
        RefksDereference(&filter->Header);
        if (status == STATUS_PENDING)
            return status;
    }
    RefksPinClosed(Pin);
    return STATUS_SUCCESS;
}

void RefksPinClosed(REFKS_PIN *Pin)
{
    REFKS_FILTER *filter = RefksPinFilter(Pin);
    PFILE_OBJECT connected = Pin->ConnectedFile;
    PFILE_OBJECT parent = Pin->ParentFile;
    BOOLEAN loaned;

    RefksReference(&filter->Header);
    RefksDisconnectPin(Pin);
    RefksLockMutex(&filter->Control);
    RefksUnlinkOpen(&Pin->Header);
    RefksUnlockMutex(&filter->Control);
    RefksUnbindFileObject(&Pin->Header);
    loaned = Pin->Header.OnLoan;
    RefksEmptyBag(&Pin->Header.Bag);
    RefksEndClose(&Pin->Header);
    RefksDereference(&Pin->Header);

    if (loaned)
        (void)RefksCloseUnlocked(&filter->Header);      /* its handle was ours; we are still inside */
    RefksLeave(&filter->Header);
    RefksDereference(&filter->Header);
    if (parent)
        ObDereferenceObject(parent);
    if (connected)
        ObDereferenceObject(connected);
}
