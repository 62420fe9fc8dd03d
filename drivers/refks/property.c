/* SPDX-License-Identifier: Apache-2.0
 *
 * property.c - IOCTL_KS_PROPERTY: which handler a request for a property gets.
 */
#include "request.h"

/* Which verb a request carries; the rest of Flags are modifiers. */
#define VERBS (KSPROPERTY_TYPE_GET | KSPROPERTY_TYPE_SET | KSPROPERTY_TYPE_SETSUPPORT |         \
               KSPROPERTY_TYPE_BASICSUPPORT | KSPROPERTY_TYPE_RELATIONS |                       \
               KSPROPERTY_TYPE_SERIALIZESET | KSPROPERTY_TYPE_UNSERIALIZESET |                  \
               KSPROPERTY_TYPE_SERIALIZERAW | KSPROPERTY_TYPE_UNSERIALIZERAW |                  \
               KSPROPERTY_TYPE_SERIALIZESIZE | KSPROPERTY_TYPE_DEFAULTVALUES)

static NTSTATUS Prepare(REFKS_REQUEST *Request)
{
    Request->Delivers = !(Request->Identifier->Flags & KSPROPERTY_TYPE_SET);
    return Request->Delivers ? RefksCheckData(Request) : RefksCaptureData(Request);
}

/* Without a SupportHandler: what the item itself says.  Descriptions of values are the minidriver's to give. */
static NTSTATUS BasicSupport(REFKS_REQUEST *Request, const KSPROPERTY_ITEM *Item)
{
    KSPROPERTY_DESCRIPTION description;
    ULONG size = sizeof(description);

    RtlZeroMemory(&description, sizeof(description));
    if (Item->GetPropertyHandler)
        description.AccessFlags |= KSPROPERTY_TYPE_GET;
    if (Item->SetPropertyHandler)
        description.AccessFlags |= KSPROPERTY_TYPE_SET;
    description.DescriptionSize = sizeof(description);
    if (Item->Values) {
        if (Request->DataLength >= sizeof(description))
            return STATUS_NOT_IMPLEMENTED;
        size = sizeof(ULONG);
    }
    if (!Request->DataLength) {
        Request->Irp->IoStatus.Information = size;
        return STATUS_BUFFER_OVERFLOW;
    }
    if (Request->DataLength < sizeof(ULONG))
        return STATUS_BUFFER_TOO_SMALL;
    if (Request->DataLength < sizeof(description))
        size = sizeof(ULONG);
    RtlCopyMemory(Request->Data, &description, size);
    Request->Irp->IoStatus.Information = size;
    return STATUS_SUCCESS;
}

static NTSTATUS CallHandler(REFKS_REQUEST *Request, const REFKS_SET *Set, const KSPROPERTY_ITEM *Item,
                            PFNKSHANDLER Handler)
{
    PIRP irp = Request->Irp;

    KSPROPERTY_SET_IRP_STORAGE(irp) = (const KSPROPERTY_SET *)Set;
    KSPROPERTY_ITEM_IRP_STORAGE(irp) = Item;
    KSPROPERTY_ATTRIBUTES_IRP_STORAGE(irp) = NULL;
    return Handler(irp, Request->Identifier, Request->Data);
}

static NTSTATUS GetOrSet(REFKS_REQUEST *Request, const REFKS_SET *Set, const KSPROPERTY_ITEM *Item, ULONG Verb)
{
    PFNKSHANDLER handler = Verb == KSPROPERTY_TYPE_GET ? Item->GetPropertyHandler : Item->SetPropertyHandler;
    NTSTATUS status;

    if (!handler)
        return STATUS_NOT_FOUND;
    status = RefksCheckLengths(Request, Item->MinProperty, Item->MinData, Verb == KSPROPERTY_TYPE_GET);
    return status == STATUS_SUCCESS ? CallHandler(Request, Set, Item, handler) : status;
}

static NTSTATUS Relations(REFKS_REQUEST *Request, const KSPROPERTY_ITEM *Item)
{
    return KsHandleSizedListQuery(Request->Irp, Item->RelationsCount, sizeof(KSPROPERTY), Item->Relations);
}

static NTSTATUS Route(REFKS_REQUEST *Request, const REFKS_SETS *Tables, ULONG TableCount)
{
    static const GUID none = { STATIC_GUID_NULL };
    const KSPROPERTY *property = Request->Identifier;
    ULONG verb = property->Flags & VERBS, table;
    BOOLEAN known = FALSE;

    if (verb == KSPROPERTY_TYPE_SETSUPPORT && RefksSameGuid(&property->Set, &none))
        return RefksListSets(Request, Tables, TableCount);
    for (table = 0; table < TableCount; table++) {
        const REFKS_SET *set = RefksFindSet(&Tables[table], &property->Set);
        const KSPROPERTY_ITEM *item;

        if (!set)
            continue;
        known = TRUE;
        if (verb == KSPROPERTY_TYPE_SETSUPPORT)
            return STATUS_SUCCESS;
        item = RefksFindItem(set, Tables[table].ItemSize, property->Id);
        if (!item)
            continue;
        switch (verb) {
        case KSPROPERTY_TYPE_GET:
        case KSPROPERTY_TYPE_SET:
            return GetOrSet(Request, set, item, verb);
        case KSPROPERTY_TYPE_BASICSUPPORT:
            return item->SupportHandler ? CallHandler(Request, set, item, item->SupportHandler)
                                        : BasicSupport(Request, item);
        case KSPROPERTY_TYPE_RELATIONS:
            return Relations(Request, item);
        default:
            return STATUS_INVALID_PARAMETER;    /* no verb, several, or serialisation, which we do not have */
        }
    }
    return known ? STATUS_NOT_FOUND : STATUS_PROPSET_NOT_FOUND;
}

static ULONG Gather(const KSAUTOMATION_TABLE *Automation, REFKS_SETS *Tables, ULONG Count)
{
    if (!Automation->PropertySetsCount)
        return Count;
    Tables[Count].Count = Automation->PropertySetsCount;
    Tables[Count].Sets = (const REFKS_SET *)Automation->PropertySets;
    Tables[Count].ItemSize = Automation->PropertyItemSize ? Automation->PropertyItemSize : sizeof(KSPROPERTY_ITEM);
    return Count + 1;
}

static const REFKS_CONTROL Control = { Prepare, Gather, Route, TRUE };

NTSTATUS RefksProperty(REFKS_HEADER *Header, PIRP Irp)
{
    return RefksServe(Header, Irp, &Control);
}

/* For drivers with tables of their own: everything but the completion of the IRP. */
NTSTATUS NTAPI KsPropertyHandler(PIRP Irp, ULONG PropertySetsCount, const KSPROPERTY_SET *PropertySet)
{
    return KsPropertyHandlerWithAllocator(Irp, PropertySetsCount, PropertySet, NULL, 0);
}

/* The allocator would be asked for the memory of the copies that handlers get; here they are always ours. */
NTSTATUS NTAPI KsPropertyHandlerWithAllocator(PIRP Irp, ULONG PropertySetsCount, const KSPROPERTY_SET *PropertySet,
                                              PFNKSALLOCATOR Allocator, ULONG PropertyItemSize)
{
    REFKS_SETS table;

    UNREFERENCED_PARAMETER(Allocator);
    table.Count = PropertySetsCount;
    table.Sets = (const REFKS_SET *)PropertySet;
    table.ItemSize = PropertyItemSize ? PropertyItemSize : sizeof(KSPROPERTY_ITEM);
    return RefksServeTable(Irp, &Control, &table);
}
