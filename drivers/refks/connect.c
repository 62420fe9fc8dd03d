/* SPDX-License-Identifier: Apache-2.0
 *
 * connect.c - what a pin is asked to be, whether its descriptor allows that,
 * and which other pin it is connected to.
 */
#include "refks.h"

const KSPIN_INTERFACE RefksDefaultInterface =
    { { { { STATIC_KSINTERFACESETID_Standard }, KSINTERFACE_STANDARD_STREAMING, 0 } } };
const KSPIN_MEDIUM RefksDefaultMedium =
    { { { { STATIC_KSMEDIUMSETID_Standard }, KSMEDIUM_TYPE_ANYINSTANCE, 0 } } };

static const GUID Wildcard = { STATIC_GUID_NULL };      /* of major formats and subformats */
static const GUID SpecifierWildcard = { STATIC_KSDATAFORMAT_SPECIFIER_WILDCARD };

#define ALIGN_UP_8(value) (((value) + 7) & ~(ULONG)7)

/* The bytes come from a name: unaligned, and as long as the caller liked. */
NTSTATUS RefksParseConnect(const UCHAR *Parameters, ULONG Length, REFKS_CONNECT *Connect)
{
    PKSDATAFORMAT format;
    ULONG rest;

    RtlZeroMemory(Connect, sizeof(*Connect));
    if (Length < sizeof(KSPIN_CONNECT) + sizeof(KSDATAFORMAT))
        return STATUS_INVALID_BUFFER_SIZE;
    RtlCopyMemory(&Connect->Connect, Parameters, sizeof(KSPIN_CONNECT));
    rest = Length - sizeof(KSPIN_CONNECT);
    format = RefksAllocate(rest);
    if (!format)
        return STATUS_INSUFFICIENT_RESOURCES;
    Connect->Format = format;           /* the caller frees it, whatever we return */
    RtlCopyMemory(format, Parameters + sizeof(KSPIN_CONNECT), rest);
    if (format->FormatSize < sizeof(KSDATAFORMAT) || format->FormatSize > rest)
        return STATUS_INVALID_BUFFER_SIZE;
    if (format->Flags & KSDATAFORMAT_ATTRIBUTES) {
        ULONG offset = ALIGN_UP_8(format->FormatSize);
        PKSMULTIPLE_ITEM attributes = (PKSMULTIPLE_ITEM)((PUCHAR)format + offset);

        if (offset < format->FormatSize || offset > rest || rest - offset < sizeof(*attributes) ||
            attributes->Size < sizeof(*attributes) || attributes->Size > rest - offset)
            return STATUS_INVALID_BUFFER_SIZE;
        Connect->Attributes = attributes;
    }
    return STATUS_SUCCESS;
}

static BOOLEAN SameIdentifier(const KSIDENTIFIER *One, const KSIDENTIFIER *Other)
{
    return One->Id == Other->Id && One->Flags == Other->Flags && RefksSameGuid(&One->Set, &Other->Set);
}

static BOOLEAN Listed(const KSIDENTIFIER *Wanted, const KSIDENTIFIER *List, ULONG Count, const KSIDENTIFIER *Default)
{
    ULONG index;

    if (!Count)
        return SameIdentifier(Wanted, Default);
    for (index = 0; index < Count; index++) {
        if (SameIdentifier(Wanted, &List[index]))
            return TRUE;
    }
    return FALSE;
}

/* A pin that is connected to another one sends, all others receive. */
static BOOLEAN CommunicationAllows(KSPIN_COMMUNICATION Communication, HANDLE PinToHandle)
{
    if (Communication == KSPIN_COMMUNICATION_BOTH)
        return TRUE;
    return Communication == (PinToHandle ? KSPIN_COMMUNICATION_SOURCE : KSPIN_COMMUNICATION_SINK);
}

NTSTATUS RefksCheckConnect(const KSPIN_DESCRIPTOR *Descriptor, const REFKS_CONNECT *Connect)
{
    const KSPIN_CONNECT *connect = &Connect->Connect;

    if (!CommunicationAllows(Descriptor->Communication, connect->PinToHandle))
        return STATUS_INVALID_PARAMETER;
    if (!Listed(&connect->Interface, Descriptor->Interfaces, Descriptor->InterfacesCount, &RefksDefaultInterface) ||
        !Listed(&connect->Medium, Descriptor->Mediums, Descriptor->MediumsCount, &RefksDefaultMedium))
        return STATUS_NO_MATCH;
    return STATUS_SUCCESS;
}

BOOLEAN RefksFormatInRange(const KSDATAFORMAT *Format, const KSDATARANGE *Range)
{
    if (RefksSameGuid(&Range->MajorFormat, &Wildcard))
        return TRUE;
    if (!RefksSameGuid(&Range->MajorFormat, &Format->MajorFormat))
        return FALSE;
    if (RefksSameGuid(&Range->SubFormat, &Wildcard))
        return TRUE;
    if (!RefksSameGuid(&Range->SubFormat, &Format->SubFormat))
        return FALSE;
    return RefksSameGuid(&Range->Specifier, &SpecifierWildcard) ||
           RefksSameGuid(&Range->Specifier, &Format->Specifier);
}

/* A range with KSDATARANGE_ATTRIBUTES is followed by its attribute list, in the place of a range. */
const KSDATARANGE *RefksNextRange(const KSPIN_DESCRIPTOR *Descriptor, PULONG Index,
                                  const KSATTRIBUTE_LIST **Attributes)
{
    const KSDATARANGE *range;

    if (*Index >= Descriptor->DataRangesCount)
        return NULL;
    range = Descriptor->DataRanges[(*Index)++];
    *Attributes = NULL;
    if ((range->Flags & KSDATARANGE_ATTRIBUTES) && *Index < Descriptor->DataRangesCount)
        *Attributes = (const KSATTRIBUTE_LIST *)Descriptor->DataRanges[(*Index)++];
    return range;
}

NTSTATUS RefksMatchFormat(REFKS_PIN *Pin, PKSDATAFORMAT OldFormat, PKSMULTIPLE_ITEM OldAttributes)
{
    const KSPIN_DESCRIPTOR_EX *descriptor = Pin->Public.Descriptor;
    const KSATTRIBUTE_LIST *attributes;
    const KSDATARANGE *range;
    ULONG index = 0;

    while ((range = RefksNextRange(&descriptor->PinDescriptor, &index, &attributes)) != NULL) {
        NTSTATUS status = STATUS_SUCCESS;

        if (!RefksFormatInRange(Pin->Public.ConnectionFormat, range))
            continue;
        if (descriptor->Dispatch && descriptor->Dispatch->SetDataFormat)
            status = kshs_final_status(descriptor->Dispatch->SetDataFormat(&Pin->Public, OldFormat, OldAttributes, range,
                                                                          attributes));
        if (status != STATUS_NO_MATCH)  /* which means: try the next range */
            return status;
    }
    return STATUS_NO_MATCH;
}

/* ---- connections ------------------------------------------------------------- */

static BOOLEAN IsOurs(PFILE_OBJECT FileObject)
{
    PDEVICE_OBJECT device;

    /* Other drivers may have put filters above ours. */
    for (device = FileObject->DeviceObject; device; device = device->AttachedDevice)
        if (device->DriverObject && device->DriverObject->MajorFunction[IRP_MJ_CREATE] == RefksDispatchCreate)
            return TRUE;
    return FALSE;
}

/* Wine looks a handle up in the driver's process, whoever sent it: a handle of another process must not be
 * mistaken for one of ours. */
static BOOLEAN HandleIsTheRequestors(const REFKS_PIN *Sink, PIRP Irp)
{
    return !kshs_is_wine() || (Sink->Creator && Sink->Creator == RefksRequestor(Irp));
}

static NTSTATUS Link(REFKS_PIN *Source, PFILE_OBJECT SinkFile, PIRP Irp)
{
    NTSTATUS status = STATUS_SUCCESS;
    REFKS_HEADER *header;
    REFKS_PIN *sink;
    KIRQL irql;

    KeAcquireSpinLock(&RefksLock, &irql);
    header = SinkFile->FsContext;
    if (!header || RefksIsClosing(header)) {
        status = STATUS_FILE_CLOSED;
    } else if (header->Type != KsObjectTypePin || !header->Created) {
        status = STATUS_INVALID_HANDLE;
    } else {
        sink = CONTAINING_RECORD(header, REFKS_PIN, Header);
        if (!HandleIsTheRequestors(sink, Irp)) {
            status = STATUS_INVALID_HANDLE;
        } else if (sink->Public.DataFlow == Source->Public.DataFlow ||
                   sink->Public.Communication != KSPIN_COMMUNICATION_SINK) {
            status = STATUS_INVALID_PARAMETER;
        } else if (sink->Peer) {
            status = STATUS_CONNECTION_IN_USE;
        } else {
            sink->Peer = Source;
            Source->Peer = sink;
            sink->Public.ConnectionIsExternal = FALSE;
            Source->Public.ConnectionIsExternal = FALSE;
        }
    }
    KeReleaseSpinLock(&RefksLock, irql);
    return status;
}

/* The source keeps the sink's file object, so that the sink outlives the connection. */
NTSTATUS RefksConnectPins(REFKS_PIN *Source, HANDLE PinToHandle, PIRP Irp)
{
    PVOID file = NULL;
    NTSTATUS status;

    status = ObReferenceObjectByHandle(PinToHandle, 0, KSHS_IO_FILE_OBJECT_TYPE, Irp->RequestorMode, &file, NULL);
    if (!NT_SUCCESS(status))
        return status;
    status = IsOurs(file) ? Link(Source, file, Irp) : STATUS_INVALID_HANDLE;
    if (!NT_SUCCESS(status)) {
        ObDereferenceObject(file);
        return status;
    }
    Source->ConnectedFile = file;       /* RefksPinClosed lets go of it */
    return STATUS_SUCCESS;
}

void RefksDisconnectPin(REFKS_PIN *Pin)
{
    REFKS_PIN *peer;
    KIRQL irql;

    KeAcquireSpinLock(&RefksLock, &irql);
    peer = Pin->Peer;
    if (peer) {
        peer->Peer = NULL;
        peer->Public.ConnectionIsExternal = TRUE;
        Pin->Peer = NULL;
        Pin->Public.ConnectionIsExternal = TRUE;
    }
    KeReleaseSpinLock(&RefksLock, irql);
}

PFILE_OBJECT NTAPI KsPinGetConnectedPinFileObject(PKSPIN Pin)
{
    return REFKS_PIN_OF(Pin)->ConnectedFile;    /* NULL unless Pin is a source, as documented */
}

PDEVICE_OBJECT NTAPI KsPinGetConnectedPinDeviceObject(PKSPIN Pin)
{
    PFILE_OBJECT file = REFKS_PIN_OF(Pin)->ConnectedFile;

    return file ? kshs_related_device(file) : NULL;
}
