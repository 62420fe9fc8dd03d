/* SPDX-License-Identifier: Apache-2.0
 *
 * pindesc.c - the properties that follow from a pin's descriptor alone, for our
 * filters and for minidrivers that have tables of descriptors of their own.
 */
#include "refks.h"

static ULONG InputLength(PIRP Irp)
{
    return IoGetCurrentIrpStackLocation(Irp)->Parameters.DeviceIoControl.InputBufferLength;
}

static ULONG DataLength(PIRP Irp)
{
    return IoGetCurrentIrpStackLocation(Irp)->Parameters.DeviceIoControl.OutputBufferLength;
}

NTSTATUS RefksGiveBlock(PIRP Irp, PVOID Data, const VOID *Block, ULONG Size)
{
    if (!DataLength(Irp)) {
        Irp->IoStatus.Information = Size;
        return STATUS_BUFFER_OVERFLOW;
    }
    if (DataLength(Irp) < Size)
        return STATUS_BUFFER_TOO_SMALL;
    RtlCopyMemory(Data, Block, Size);
    Irp->IoStatus.Information = Size;
    return STATUS_SUCCESS;
}

NTSTATUS RefksGiveUlong(PIRP Irp, PVOID Data, ULONG Value)
{
    return RefksGiveBlock(Irp, Data, &Value, sizeof(Value));
}

/* A KSMULTIPLE_ITEM and the ranges after it, each padded to 8 bytes. */
static ULONG PackRanges(const KSPIN_DESCRIPTOR *Descriptor, PUCHAR Into, PULONG Count)
{
    ULONG index = 0, size = sizeof(KSMULTIPLE_ITEM), items = 0;
    const KSATTRIBUTE_LIST *attributes;
    const KSDATARANGE *range;

    while ((range = RefksNextRange(Descriptor, &index, &attributes)) != NULL) {
        if (Into) {
            RtlCopyMemory(Into + size, range, range->FormatSize);
            /* Lists of attributes are not given out: the copy must not promise one. */
            ((PKSDATARANGE)(Into + size))->Flags &= ~(ULONG)(KSDATARANGE_ATTRIBUTES | KSDATARANGE_REQUIRED_ATTRIBUTES);
        }
        size += (range->FormatSize + 7) & ~(ULONG)7;
        items++;
    }
    *Count = items;
    return size;
}

static NTSTATUS Ranges(PIRP Irp, PVOID Data, const KSPIN_DESCRIPTOR *Descriptor)
{
    PKSMULTIPLE_ITEM list = Data;
    ULONG count, size = PackRanges(Descriptor, NULL, &count);

    if (!DataLength(Irp)) {
        Irp->IoStatus.Information = size;
        return STATUS_BUFFER_OVERFLOW;
    }
    if (DataLength(Irp) == sizeof(ULONG))
        return RefksGiveUlong(Irp, Data, size);
    if (DataLength(Irp) < size)
        return STATUS_BUFFER_TOO_SMALL;
    list->Size = PackRanges(Descriptor, Data, &list->Count);
    Irp->IoStatus.Information = size;
    return STATUS_SUCCESS;
}

NTSTATUS RefksPinDescriptorProperty(PIRP Irp, ULONG Id, PVOID Data, const KSPIN_DESCRIPTOR *Descriptor)
{
    switch (Id) {
    case KSPROPERTY_PIN_DATAFLOW:
        return RefksGiveUlong(Irp, Data, Descriptor->DataFlow);
    case KSPROPERTY_PIN_COMMUNICATION:
        return RefksGiveUlong(Irp, Data, Descriptor->Communication);
    case KSPROPERTY_PIN_DATARANGES:
    case KSPROPERTY_PIN_CONSTRAINEDDATARANGES:
        return Ranges(Irp, Data, Descriptor);
    case KSPROPERTY_PIN_INTERFACES:
        return Descriptor->InterfacesCount
                   ? KsHandleSizedListQuery(Irp, Descriptor->InterfacesCount, sizeof(KSPIN_INTERFACE),
                                            Descriptor->Interfaces)
                   : KsHandleSizedListQuery(Irp, 1, sizeof(KSPIN_INTERFACE), &RefksDefaultInterface);
    case KSPROPERTY_PIN_MEDIUMS:
        return Descriptor->MediumsCount
                   ? KsHandleSizedListQuery(Irp, Descriptor->MediumsCount, sizeof(KSPIN_MEDIUM), Descriptor->Mediums)
                   : KsHandleSizedListQuery(Irp, 1, sizeof(KSPIN_MEDIUM), &RefksDefaultMedium);
    case KSPROPERTY_PIN_CATEGORY:
        return Descriptor->Category ? RefksGiveBlock(Irp, Data, Descriptor->Category, sizeof(GUID))
                                    : STATUS_NOT_FOUND;
    case KSPROPERTY_PIN_NAME:
        return RefksGiveName(Irp, Data, Descriptor->Name ? Descriptor->Name : Descriptor->Category);
    default:
        return STATUS_NOT_FOUND;
    }
}

NTSTATUS NTAPI KsPinPropertyHandler(PIRP Irp, PKSPROPERTY Property, PVOID Data, ULONG DescriptorsCount,
                                    const KSPIN_DESCRIPTOR *Descriptor)
{
    const KSP_PIN *request = (const KSP_PIN *)Property;

    Irp->IoStatus.Information = 0;
    if (Property->Id == KSPROPERTY_PIN_CTYPES)
        return RefksGiveUlong(Irp, Data, DescriptorsCount);
    if (InputLength(Irp) < sizeof(*request))
        return STATUS_INVALID_BUFFER_SIZE;
    if (request->PinId >= DescriptorsCount)
        return STATUS_INVALID_PARAMETER;
    return RefksPinDescriptorProperty(Irp, Property->Id, Data, &Descriptor[request->PinId]);
}

/* ---- KSPROPERTY_PIN_DATAINTERSECTION ----------------------------------------------- */

typedef struct REFKS_INTERSECTION {
    PIRP Irp;
    PKSP_PIN Request;
    PVOID Data;
    const KSPIN_DESCRIPTOR *Descriptor;
    PFNKSINTERSECTHANDLER Plain;        /* at most one of the two */
    PFNKSINTERSECTHANDLEREX Extended;
    PVOID Context;                      /* of Extended */
} REFKS_INTERSECTION;

/* Of two ranges the one that is no wider: a format that both hold, if neither has members of its own. */
static NTSTATUS DefaultIntersection(PIRP Irp, const KSDATARANGE *Wanted, const KSDATARANGE *Offered, PVOID Data)
{
    static const GUID wildcard = { STATIC_GUID_NULL };
    KSDATAFORMAT format;

    format = *Offered;
    if (RefksSameGuid(&format.MajorFormat, &wildcard))
        format.MajorFormat = Wanted->MajorFormat;
    if (RefksSameGuid(&format.SubFormat, &wildcard))
        format.SubFormat = Wanted->SubFormat;
    if (RefksSameGuid(&format.MajorFormat, &wildcard) || RefksSameGuid(&format.SubFormat, &wildcard) ||
        Offered->FormatSize != sizeof(KSDATAFORMAT))
        return STATUS_NO_MATCH;
    format.FormatSize = sizeof(format);
    format.Flags = 0;
    return RefksGiveBlock(Irp, Data, &format, sizeof(format));
}

static NTSTATUS Ask(const REFKS_INTERSECTION *Intersection, PKSDATARANGE Wanted, const KSDATARANGE *Offered)
{
    PIRP irp = Intersection->Irp;
    ULONG size = 0;
    NTSTATUS status;

    if (Intersection->Plain)            /* which sets IoStatus.Information itself */
        return Intersection->Plain(irp, Intersection->Request, Wanted, Intersection->Data);
    if (!Intersection->Extended)
        return DefaultIntersection(irp, Wanted, Offered, Intersection->Data);
    status = Intersection->Extended(Intersection->Context, irp, Intersection->Request, Wanted, (PKSDATARANGE)Offered,
                                    DataLength(irp), Intersection->Data, &size);
    irp->IoStatus.Information = size;
    return status;
}

/* A handler that is not told which range matched is asked once for each range that is wanted. */
static NTSTATUS IntersectOne(const REFKS_INTERSECTION *Intersection, PKSDATARANGE Wanted)
{
    const KSATTRIBUTE_LIST *attributes;
    const KSDATARANGE *offered;
    ULONG index = 0;

    while ((offered = RefksNextRange(Intersection->Descriptor, &index, &attributes)) != NULL) {
        NTSTATUS status;

        if (!RefksFormatInRange(Wanted, offered) && !RefksFormatInRange(offered, Wanted))
            continue;
        status = Ask(Intersection, Wanted, offered);
        if (status != STATUS_NO_MATCH || Intersection->Plain)
            return status;
    }
    return STATUS_NO_MATCH;
}

/* The request goes on with a KSMULTIPLE_ITEM and the ranges that the sender could live with, best first. */
static NTSTATUS Intersect(const REFKS_INTERSECTION *Intersection)
{
    ULONG length = InputLength(Intersection->Irp), offset = sizeof(KSP_PIN) + sizeof(KSMULTIPLE_ITEM), left;
    PKSMULTIPLE_ITEM list = (PKSMULTIPLE_ITEM)(Intersection->Request + 1);

    Intersection->Irp->IoStatus.Information = 0;
    if (length < offset)
        return STATUS_INVALID_BUFFER_SIZE;
    for (left = list->Count; left; left--) {
        PKSDATARANGE wanted = (PKSDATARANGE)((PUCHAR)Intersection->Request + offset);
        NTSTATUS status;

        if (length - offset < sizeof(KSDATARANGE) || wanted->FormatSize < sizeof(KSDATARANGE) ||
            wanted->FormatSize > length - offset)
            return STATUS_INVALID_BUFFER_SIZE;
        status = IntersectOne(Intersection, wanted);
        if (status != STATUS_NO_MATCH)
            return status;
        if (((wanted->FormatSize + 7) & ~(ULONG)7) >= length - offset)
            break;
        offset += (wanted->FormatSize + 7) & ~(ULONG)7;
    }
    return STATUS_NO_MATCH;
}

static REFKS_INTERSECTION MakeIntersection(PIRP Irp, PKSP_PIN Pin, PVOID Data, const KSPIN_DESCRIPTOR *Descriptor)
{
    REFKS_INTERSECTION intersection;

    RtlZeroMemory(&intersection, sizeof(intersection));
    intersection.Irp = Irp;
    intersection.Request = Pin;
    intersection.Data = Data;
    intersection.Descriptor = Descriptor;
    return intersection;
}

NTSTATUS RefksIntersect(PIRP Irp, PKSP_PIN Request, PVOID Data, const KSPIN_DESCRIPTOR *Descriptor,
                        PFNKSINTERSECTHANDLEREX Handler, PVOID Context)
{
    REFKS_INTERSECTION intersection = MakeIntersection(Irp, Request, Data, Descriptor);

    intersection.Extended = Handler;
    intersection.Context = Context;
    return Intersect(&intersection);
}

NTSTATUS NTAPI KsPinDataIntersectionEx(PIRP Irp, PKSP_PIN Pin, PVOID Data, ULONG DescriptorsCount,
                                       const KSPIN_DESCRIPTOR *Descriptor, ULONG DescriptorSize,
                                       PFNKSINTERSECTHANDLEREX IntersectHandler, PVOID HandlerContext)
{
    if (InputLength(Irp) < sizeof(*Pin))
        return STATUS_INVALID_BUFFER_SIZE;
    if (Pin->PinId >= DescriptorsCount || DescriptorSize < sizeof(*Descriptor))
        return STATUS_INVALID_PARAMETER;
    Descriptor = (const KSPIN_DESCRIPTOR *)((const UCHAR *)Descriptor + (SIZE_T)Pin->PinId * DescriptorSize);
    return RefksIntersect(Irp, Pin, Data, Descriptor, IntersectHandler, HandlerContext);
}

NTSTATUS NTAPI KsPinDataIntersection(PIRP Irp, PKSP_PIN Pin, PVOID Data, ULONG DescriptorsCount,
                                     const KSPIN_DESCRIPTOR *Descriptor, PFNKSINTERSECTHANDLER IntersectHandler)
{
    REFKS_INTERSECTION intersection;

    if (InputLength(Irp) < sizeof(*Pin))
        return STATUS_INVALID_BUFFER_SIZE;
    if (Pin->PinId >= DescriptorsCount)
        return STATUS_INVALID_PARAMETER;
    intersection = MakeIntersection(Irp, Pin, Data, &Descriptor[Pin->PinId]);
    intersection.Plain = IntersectHandler;
    return Intersect(&intersection);
}
