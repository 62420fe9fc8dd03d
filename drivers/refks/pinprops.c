/* SPDX-License-Identifier: Apache-2.0
 *
 * pinprops.c - the properties that every filter and pin has: KSPROPSETID_Pin
 * and KSPROPSETID_General on filters, KSPROPSETID_Connection on pins.
 * KSPROPSETID_Topology is in topology.c.
 */
#include "refks.h"

static const GUID PinSetId = { STATIC_KSPROPSETID_Pin };
static const GUID GeneralSetId = { STATIC_KSPROPSETID_General };
static const GUID ConnectionSetId = { STATIC_KSPROPSETID_Connection };

static ULONG DataLength(PIRP Irp)
{
    return IoGetCurrentIrpStackLocation(Irp)->Parameters.DeviceIoControl.OutputBufferLength;
}

/* ---- KSPROPSETID_Pin, on filters ------------------------------------------------ */

static REFKS_FILTER *FilterOf(PIRP Irp)
{
    return REFKS_FILTER_OF(KsGetFilterFromIrp(Irp));
}

static NTSTATUS PinTypes(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    UNREFERENCED_PARAMETER(Request);
    return RefksGiveUlong(Irp, Data, RefksFilterDescriptor(FilterOf(Irp))->PinDescriptorsCount);
}

static ULONG CountPins(REFKS_FILTER *Filter, ULONG PinId)
{
    ULONG count;

    RefksLockMutex(&Filter->Control);
    count = RefksPinCount(Filter, PinId);
    RefksUnlockMutex(&Filter->Control);
    return count;
}

/* Of this filter alone, or of all filters of its factory. */
static NTSTATUS Instances(PIRP Irp, PVOID Data, REFKS_FILTER *Filter, const KSPIN_DESCRIPTOR_EX *Descriptor,
                          ULONG PinId, BOOLEAN Global)
{
    REFKS_DEVICE *device = Filter->Header.Device;
    PKSPIN_CINSTANCES instances = Data;
    ULONG count = 0;

    if (Global) {
        PLIST_ENTRY head = &Filter->Header.Parent->Children, entry;

        RefksLockMutex(&device->Mutex);
        for (entry = head->Flink; entry != head; entry = entry->Flink)
            count += CountPins(CONTAINING_RECORD(entry, REFKS_FILTER, Header.Sibling), PinId);
        RefksUnlockMutex(&device->Mutex);
        instances->PossibleCount = KSINSTANCE_INDETERMINATE;
    } else {
        count = CountPins(Filter, PinId);
        instances->PossibleCount = Descriptor->InstancesPossible;
    }
    instances->CurrentCount = count;
    Irp->IoStatus.Information = sizeof(*instances);
    return STATUS_SUCCESS;
}

static NTSTATUS PinProperty(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    PKSP_PIN request = (PKSP_PIN)Request;
    REFKS_FILTER *filter = FilterOf(Irp);
    const KSPIN_DESCRIPTOR_EX *descriptor = RefksPinDescriptor(filter, request->PinId);

    if (!descriptor)
        return STATUS_INVALID_PARAMETER;
    switch (request->Property.Id) {
    case KSPROPERTY_PIN_CINSTANCES:
        return Instances(Irp, Data, filter, descriptor, request->PinId, FALSE);
    case KSPROPERTY_PIN_GLOBALCINSTANCES:
        return Instances(Irp, Data, filter, descriptor, request->PinId, TRUE);
    case KSPROPERTY_PIN_NECESSARYINSTANCES:
        return RefksGiveUlong(Irp, Data, descriptor->InstancesNecessary);
    case KSPROPERTY_PIN_DATAINTERSECTION:
        return RefksIntersect(Irp, request, Data, &descriptor->PinDescriptor, descriptor->IntersectHandler,
                              &filter->Public);
    default:
        return RefksPinDescriptorProperty(Irp, request->Property.Id, Data, &descriptor->PinDescriptor);
    }
}

/* ---- KSPROPSETID_General, on filters ---------------------------------------------------- */

static NTSTATUS ComponentId(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    const KSCOMPONENTID *component = FilterOf(Irp)->Public.Descriptor->ComponentId;

    UNREFERENCED_PARAMETER(Request);
    if (!component)
        return STATUS_NOT_FOUND;
    *(PKSCOMPONENTID)Data = *component;
    Irp->IoStatus.Information = sizeof(*component);
    return STATUS_SUCCESS;
}

/* ---- KSPROPSETID_Connection, on pins ------------------------------------------------------ */

static NTSTATUS GetState(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    UNREFERENCED_PARAMETER(Request);
    return RefksGiveUlong(Irp, Data, KsGetPinFromIrp(Irp)->DeviceState);
}

static NTSTATUS SetState(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    REFKS_PIN *pin = REFKS_PIN_OF(KsGetPinFromIrp(Irp));
    NTSTATUS status;

    UNREFERENCED_PARAMETER(Request);
    KsAcquireControl(&pin->Public);
    status = RefksSetPinState(pin, *(PKSSTATE)Data);
    KsReleaseControl(&pin->Public);
    return status;
}

static NTSTATUS GetPriority(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    UNREFERENCED_PARAMETER(Request);
    *(PKSPRIORITY)Data = KsGetPinFromIrp(Irp)->ConnectionPriority;
    Irp->IoStatus.Information = sizeof(KSPRIORITY);
    return STATUS_SUCCESS;
}

static NTSTATUS SetPriority(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    PKSPIN pin = KsGetPinFromIrp(Irp);

    UNREFERENCED_PARAMETER(Request);
    KsAcquireControl(pin);
    pin->ConnectionPriority = *(PKSPRIORITY)Data;
    KsReleaseControl(pin);
    return STATUS_SUCCESS;
}

static NTSTATUS GetFormat(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    PKSPIN pin = KsGetPinFromIrp(Irp);
    NTSTATUS status;

    UNREFERENCED_PARAMETER(Request);
    KsAcquireControl(pin);
    status = RefksGiveBlock(Irp, Data, pin->ConnectionFormat, pin->ConnectionFormat->FormatSize);
    KsReleaseControl(pin);
    return status;
}

/* Control mutex held.  The old format stays if neither a range nor the minidriver has the new one. */
static NTSTATUS ReplaceFormat(REFKS_PIN *Pin, PKSDATAFORMAT Format)
{
    PKSDATAFORMAT old = Pin->Public.ConnectionFormat;
    PKSMULTIPLE_ITEM attributes = Pin->Public.AttributeList;
    NTSTATUS status = KsAddItemToObjectBag(Pin->Public.Bag, Format, NULL);

    if (!NT_SUCCESS(status)) {
        RefksFree(Format);
        return status;
    }
    Pin->Public.ConnectionFormat = Format;
    Pin->Public.AttributeList = NULL;
    status = RefksMatchFormat(Pin, old, attributes);
    if (!NT_SUCCESS(status)) {
        Pin->Public.ConnectionFormat = old;
        Pin->Public.AttributeList = attributes;
        old = Format;
    }
    (void)KsRemoveItemFromObjectBag(Pin->Public.Bag, old, TRUE);
    return status;
}

static NTSTATUS SetFormat(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    REFKS_PIN *pin = REFKS_PIN_OF(KsGetPinFromIrp(Irp));
    const KSDATAFORMAT *given = Data;
    PKSDATAFORMAT format;
    NTSTATUS status;

    UNREFERENCED_PARAMETER(Request);
    if (pin->Public.Descriptor->Flags & KSPIN_FLAG_FIXED_FORMAT)
        return STATUS_INVALID_DEVICE_REQUEST;
    if (DataLength(Irp) < sizeof(*given))       /* the item has no MinData, because a get may ask for the size */
        return STATUS_BUFFER_TOO_SMALL;
    if (given->FormatSize < sizeof(*given) || given->FormatSize > DataLength(Irp))
        return STATUS_INVALID_BUFFER_SIZE;
    if (given->Flags & KSDATAFORMAT_ATTRIBUTES)
        return STATUS_NOT_SUPPORTED;
    format = RefksAllocate(given->FormatSize);
    if (!format)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlCopyMemory(format, given, given->FormatSize);
    KsAcquireControl(&pin->Public);
    status = ReplaceFormat(pin, format);
    KsReleaseControl(&pin->Public);
    return status;
}

/* Whether the format would do: nothing changes, so the minidriver is not asked. */
static NTSTATUS ProposeFormat(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    PKSPIN pin = KsGetPinFromIrp(Irp);
    const KSDATAFORMAT *format = Data;
    const KSATTRIBUTE_LIST *attributes;
    const KSDATARANGE *range;
    ULONG index = 0;

    UNREFERENCED_PARAMETER(Request);
    if (format->FormatSize < sizeof(*format) || format->FormatSize > DataLength(Irp))
        return STATUS_INVALID_BUFFER_SIZE;
    while ((range = RefksNextRange(&pin->Descriptor->PinDescriptor, &index, &attributes)) != NULL) {
        if (RefksFormatInRange(format, range))
            return STATUS_SUCCESS;
    }
    return STATUS_NO_MATCH;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static const KSPROPERTY_ITEM PinItems[] = {
    DEFINE_KSPROPERTY_ITEM_PIN_CINSTANCES(PinProperty),
    DEFINE_KSPROPERTY_ITEM_PIN_CTYPES(PinTypes),
    DEFINE_KSPROPERTY_ITEM_PIN_DATAFLOW(PinProperty),
    DEFINE_KSPROPERTY_ITEM_PIN_DATARANGES(PinProperty),
    DEFINE_KSPROPERTY_ITEM_PIN_DATAINTERSECTION(PinProperty),
    DEFINE_KSPROPERTY_ITEM_PIN_INTERFACES(PinProperty),
    DEFINE_KSPROPERTY_ITEM_PIN_MEDIUMS(PinProperty),
    DEFINE_KSPROPERTY_ITEM_PIN_COMMUNICATION(PinProperty),
    DEFINE_KSPROPERTY_ITEM_PIN_GLOBALCINSTANCES(PinProperty),
    DEFINE_KSPROPERTY_ITEM_PIN_NECESSARYINSTANCES(PinProperty),
    DEFINE_KSPROPERTY_ITEM_PIN_CATEGORY(PinProperty),
    DEFINE_KSPROPERTY_ITEM_PIN_NAME(PinProperty),
    DEFINE_KSPROPERTY_ITEM_PIN_CONSTRAINEDDATARANGES(PinProperty),
};

static const KSPROPERTY_ITEM GeneralItems[] = {
    DEFINE_KSPROPERTY_ITEM_GENERAL_COMPONENTID(ComponentId),
};

static const KSPROPERTY_ITEM ConnectionItems[] = {
    DEFINE_KSPROPERTY_ITEM_CONNECTION_STATE(GetState, SetState),
    DEFINE_KSPROPERTY_ITEM_CONNECTION_PRIORITY(GetPriority, SetPriority),
    DEFINE_KSPROPERTY_ITEM(KSPROPERTY_CONNECTION_DATAFORMAT, GetFormat, sizeof(KSPROPERTY), 0, SetFormat, NULL, 0, NULL,
                           NULL, 0),
    DEFINE_KSPROPERTY_ITEM_CONNECTION_PROPOSEDATAFORMAT(ProposeFormat),
};

const KSPROPERTY_SET RefksFilterSets[] = {
    DEFINE_KSPROPERTY_SET(&PinSetId, SIZEOF_ARRAY(PinItems), PinItems, 0, NULL),
    DEFINE_KSPROPERTY_SET(&GeneralSetId, SIZEOF_ARRAY(GeneralItems), GeneralItems, 0, NULL),
    DEFINE_KSPROPERTY_SET(&RefksTopologySetId, REFKS_TOPOLOGY_ITEMS, RefksTopologyItems, 0, NULL),
};
const ULONG RefksFilterSetsCount = SIZEOF_ARRAY(RefksFilterSets);

const KSPROPERTY_SET RefksPinSets[] = {
    DEFINE_KSPROPERTY_SET(&ConnectionSetId, SIZEOF_ARRAY(ConnectionItems), ConnectionItems, 0, NULL),
};
const ULONG RefksPinSetsCount = SIZEOF_ARRAY(RefksPinSets);
