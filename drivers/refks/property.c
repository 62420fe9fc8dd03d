/* SPDX-License-Identifier: Apache-2.0
 *
 * property.c - IOCTL_KS_PROPERTY: from the sender's raw pointers to the
 * handler in a property table, and back.
 *
 * A handler gets copies of both buffers; what it leaves in the data buffer is
 * handed out when it says in IoStatus.Information how much that is.
 */
#include "refks.h"

#define ALIGN_UP_8(value) (((SIZE_T)(value) + 7) & ~(SIZE_T)7)

/* Which verb a request carries; the rest of Flags are modifiers. */
#define VERBS (KSPROPERTY_TYPE_GET | KSPROPERTY_TYPE_SET | KSPROPERTY_TYPE_SETSUPPORT |         \
               KSPROPERTY_TYPE_BASICSUPPORT | KSPROPERTY_TYPE_RELATIONS |                       \
               KSPROPERTY_TYPE_SERIALIZESET | KSPROPERTY_TYPE_UNSERIALIZESET |                  \
               KSPROPERTY_TYPE_SERIALIZERAW | KSPROPERTY_TYPE_UNSERIALIZERAW |                  \
               KSPROPERTY_TYPE_SERIALIZESIZE | KSPROPERTY_TYPE_DEFAULTVALUES)

#define MAX_TABLES 2         /* the minidriver's and ours */

typedef struct REFKS_REQUEST {
    LIST_ENTRY Entry;           /* in Requests */
    PIRP Irp;
    REFKS_HEADER *Object;       /* entered; NULL for KsPropertyHandler */
    PKSPROPERTY Property;       /* copy of the whole input buffer */
    ULONG PropertyLength;
    PVOID Data;                 /* copy of, or room for, the output buffer; NULL if it has no length */
    ULONG DataLength;
    PVOID UserData;             /* the sender's */
} REFKS_REQUEST;

static KSPIN_LOCK RequestsLock;
static LIST_ENTRY Requests = { &Requests, &Requests };

/* ---- the sender's buffers ------------------------------------------------------ */

static NTSTATUS Capture(PIRP Irp, REFKS_REQUEST **Captured)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    ULONG in = stack->Parameters.DeviceIoControl.InputBufferLength;
    ULONG out = stack->Parameters.DeviceIoControl.OutputBufferLength;
    SIZE_T head = ALIGN_UP_8(sizeof(REFKS_REQUEST)), property = ALIGN_UP_8(in);
    REFKS_REQUEST *request;
    NTSTATUS status;

    *Captured = NULL;
    if (in < sizeof(KSPROPERTY))
        return STATUS_INVALID_BUFFER_SIZE;
    if (property + out < out || head + property + out < out)
        return STATUS_INVALID_BUFFER_SIZE;
    request = RefksAllocate(head + property + out);
    if (!request)
        return STATUS_INSUFFICIENT_RESOURCES;
    InitializeListHead(&request->Entry);
    request->Irp = Irp;
    request->Property = (PKSPROPERTY)((PUCHAR)request + head);
    request->PropertyLength = in;
    request->Data = out ? (PUCHAR)request->Property + property : NULL;
    request->DataLength = out;
    request->UserData = Irp->UserBuffer;
    status = RefksCaptureIn(request->Property, stack->Parameters.DeviceIoControl.Type3InputBuffer, in,
                            Irp->RequestorMode);
    if (NT_SUCCESS(status)) {
        if (request->Property->Flags & KSPROPERTY_TYPE_SET)
            status = out ? RefksCaptureIn(request->Data, Irp->UserBuffer, out, Irp->RequestorMode) : STATUS_SUCCESS;
        else
            status = RefksCheckOut(Irp->UserBuffer, out, Irp->RequestorMode);
    }
    if (!NT_SUCCESS(status)) {
        RefksFree(request);
        return status;
    }
    *Captured = request;
    return STATUS_SUCCESS;
}

static void Enlist(REFKS_REQUEST *Request)
{
    KIRQL irql;

    KeAcquireSpinLock(&RequestsLock, &irql);
    InsertTailList(&Requests, &Request->Entry);
    KeReleaseSpinLock(&RequestsLock, irql);
}

/* Finds the request of an IRP, and takes it off the list if Take. */
static REFKS_REQUEST *FindRequest(PIRP Irp, BOOLEAN Take)
{
    REFKS_REQUEST *found = NULL;
    PLIST_ENTRY entry;
    KIRQL irql;

    KeAcquireSpinLock(&RequestsLock, &irql);
    for (entry = Requests.Flink; entry != &Requests; entry = entry->Flink) {
        REFKS_REQUEST *request = CONTAINING_RECORD(entry, REFKS_REQUEST, Entry);

        if (request->Irp == Irp) {
            found = request;
            if (Take)
                RemoveEntryList(&request->Entry);
            break;
        }
    }
    KeReleaseSpinLock(&RequestsLock, irql);
    return found;
}

/* ---- from request to handler ---------------------------------------------------------- */

static const KSPROPERTY_SET *FindSet(const REFKS_SETS *Table, const GUID *Set)
{
    ULONG index;

    for (index = 0; index < Table->Count; index++) {
        if (RefksSameGuid(Table->Sets[index].Set, Set))
            return &Table->Sets[index];
    }
    return NULL;
}

static const KSPROPERTY_ITEM *FindItem(const KSPROPERTY_SET *Set, ULONG ItemSize, ULONG Id)
{
    ULONG index;

    for (index = 0; index < Set->PropertiesCount; index++) {
        const KSPROPERTY_ITEM *item =
            (const KSPROPERTY_ITEM *)((const UCHAR *)Set->PropertyItem + (SIZE_T)index * ItemSize);

        if (item->PropertyId == Id)
            return item;
    }
    return NULL;
}

/* The sets that an object has, each once: what KSPROPERTY_TYPE_SETSUPPORT on GUID_NULL asks for. */
static NTSTATUS ListSets(REFKS_REQUEST *Request, const REFKS_SETS *Tables, ULONG TableCount)
{
    ULONG table, index, count = 0;
    GUID *list = Request->Data;

    for (table = 0; table < TableCount; table++) {
        for (index = 0; index < Tables[table].Count; index++) {
            const GUID *set = Tables[table].Sets[index].Set;
            BOOLEAN known = FALSE;
            ULONG earlier;

            for (earlier = 0; earlier < table; earlier++)
                known = known || FindSet(&Tables[earlier], set);
            if (known)
                continue;
            if ((count + 1) * sizeof(GUID) <= Request->DataLength)
                list[count] = *set;
            count++;
        }
    }
    Request->Irp->IoStatus.Information = count * sizeof(GUID);
    if (!Request->DataLength)
        return count ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
    if (Request->DataLength < count * sizeof(GUID)) {
        Request->Irp->IoStatus.Information = 0;
        return STATUS_BUFFER_TOO_SMALL;
    }
    return STATUS_SUCCESS;
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

static NTSTATUS CallHandler(REFKS_REQUEST *Request, const KSPROPERTY_SET *Set, const KSPROPERTY_ITEM *Item,
                            PFNKSHANDLER Handler)
{
    PIRP irp = Request->Irp;

    KSPROPERTY_SET_IRP_STORAGE(irp) = Set;
    KSPROPERTY_ITEM_IRP_STORAGE(irp) = Item;
    KSPROPERTY_ATTRIBUTES_IRP_STORAGE(irp) = NULL;
    return Handler(irp, Request->Property, Request->Data);
}

static NTSTATUS GetOrSet(REFKS_REQUEST *Request, const KSPROPERTY_SET *Set, const KSPROPERTY_ITEM *Item, ULONG Verb)
{
    PFNKSHANDLER handler = Verb == KSPROPERTY_TYPE_GET ? Item->GetPropertyHandler : Item->SetPropertyHandler;

    if (!handler)
        return STATUS_NOT_FOUND;
    if (Request->PropertyLength < Item->MinProperty)
        return STATUS_INVALID_BUFFER_SIZE;
    if (Request->DataLength < Item->MinData) {
        if (Verb == KSPROPERTY_TYPE_GET && !Request->DataLength) {
            Request->Irp->IoStatus.Information = Item->MinData;         /* how much it would be */
            return STATUS_BUFFER_OVERFLOW;
        }
        return STATUS_BUFFER_TOO_SMALL;
    }
    return CallHandler(Request, Set, Item, handler);
}

static NTSTATUS Relations(REFKS_REQUEST *Request, const KSPROPERTY_ITEM *Item)
{
    return KsHandleSizedListQuery(Request->Irp, Item->RelationsCount, sizeof(KSPROPERTY), Item->Relations);
}

static NTSTATUS Route(REFKS_REQUEST *Request, const REFKS_SETS *Tables, ULONG TableCount)
{
    static const GUID none = { STATIC_GUID_NULL };
    const KSPROPERTY *property = Request->Property;
    ULONG verb = property->Flags & VERBS, table;
    BOOLEAN known = FALSE;

    if (verb == KSPROPERTY_TYPE_SETSUPPORT && RefksSameGuid(&property->Set, &none))
        return ListSets(Request, Tables, TableCount);
    for (table = 0; table < TableCount; table++) {
        const KSPROPERTY_SET *set = FindSet(&Tables[table], &property->Set);
        const KSPROPERTY_ITEM *item;

        if (!set)
            continue;
        known = TRUE;
        if (verb == KSPROPERTY_TYPE_SETSUPPORT)
            return STATUS_SUCCESS;
        item = FindItem(set, Tables[table].ItemSize, property->Id);
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

/* ---- and back ---------------------------------------------------------------------------- */

/* A warning hands data out too: that is how a handler says that there was more than room for it. */
static NTSTATUS Answer(REFKS_REQUEST *Request, NTSTATUS Status)
{
    PIRP irp = Request->Irp;
    SIZE_T length = irp->IoStatus.Information;

    if (NT_ERROR(Status)) {
        irp->IoStatus.Information = 0;
    } else if (!(Request->Property->Flags & KSPROPERTY_TYPE_SET) && length && Request->DataLength) {
        NTSTATUS delivered;

        if (length > Request->DataLength)
            length = Request->DataLength;
        delivered = RefksDeliverOut(Request->UserData, Request->Data, length);
        if (!NT_SUCCESS(delivered)) {
            irp->IoStatus.Information = 0;
            Status = delivered;
        }
    }
    return Status;
}

static NTSTATUS CompleteRequest(REFKS_REQUEST *Request, NTSTATUS Status)
{
    REFKS_HEADER *object = Request->Object;
    PIRP irp = Request->Irp;

    Status = Answer(Request, Status);
    RefksFree(Request);
    if (object)
        RefksLeave(object);
    return kshs_complete(irp, Status, irp->IoStatus.Information);
}

BOOLEAN RefksCompleteProperty(PIRP Irp)
{
    REFKS_REQUEST *request = FindRequest(Irp, TRUE);

    if (!request)
        return FALSE;
    (void)CompleteRequest(request, Irp->IoStatus.Status);
    return TRUE;
}

/* ---- the tables of an object ---------------------------------------------------------------- */

static ULONG AddAutomation(REFKS_SETS *Tables, ULONG Count, const KSAUTOMATION_TABLE *Automation)
{
    if (Automation && Automation->PropertySetsCount) {
        Tables[Count].Count = Automation->PropertySetsCount;
        Tables[Count].Sets = Automation->PropertySets;
        Tables[Count].ItemSize = Automation->PropertyItemSize ? Automation->PropertyItemSize
                                                               : sizeof(KSPROPERTY_ITEM);
        Count++;
    }
    return Count;
}

static ULONG AddSets(REFKS_SETS *Tables, ULONG Count, const KSPROPERTY_SET *Sets, ULONG SetsCount)
{
    Tables[Count].Count = SetsCount;
    Tables[Count].Sets = Sets;
    Tables[Count].ItemSize = sizeof(KSPROPERTY_ITEM);
    return Count + 1;
}

/* The minidriver's tables come first: it may replace a property of ours. */
static NTSTATUS GatherTables(REFKS_HEADER *Header, const REFKS_REQUEST *Request, REFKS_SETS *Tables, ULONG *Count)
{
    const KSFILTER_DESCRIPTOR *filter;

    *Count = 0;
    if (Header->Type == KsObjectTypePin) {
        *Count = AddAutomation(Tables, *Count,
                               CONTAINING_RECORD(Header, REFKS_PIN, Header)->Public.Descriptor->AutomationTable);
        *Count = AddSets(Tables, *Count, RefksPinSets, RefksPinSetsCount);
        return STATUS_SUCCESS;
    }
    filter = RefksFilterDescriptor(CONTAINING_RECORD(Header, REFKS_FILTER, Header));
    if (Request->Property->Flags & KSPROPERTY_TYPE_TOPOLOGY) {
        const KSP_NODE *node = (const KSP_NODE *)Request->Property;
        const KSNODE_DESCRIPTOR *descriptor;

        if (Request->PropertyLength < sizeof(KSP_NODE))
            return STATUS_INVALID_BUFFER_SIZE;
        if (node->NodeId >= filter->NodeDescriptorsCount || filter->NodeDescriptorSize < sizeof(*descriptor))
            return STATUS_INVALID_PARAMETER;
        descriptor = (const KSNODE_DESCRIPTOR *)((const UCHAR *)filter->NodeDescriptors +
                                                 (SIZE_T)node->NodeId * filter->NodeDescriptorSize);
        *Count = AddAutomation(Tables, *Count, descriptor->AutomationTable);
        *Count = AddSets(Tables, *Count, RefksNodeSets, RefksNodeSetsCount);
        return STATUS_SUCCESS;
    }
    *Count = AddAutomation(Tables, *Count, filter->AutomationTable);
    *Count = AddSets(Tables, *Count, RefksFilterSets, RefksFilterSetsCount);
    return STATUS_SUCCESS;
}

NTSTATUS RefksProperty(REFKS_HEADER *Header, PIRP Irp)
{
    REFKS_SETS tables[MAX_TABLES];
    REFKS_REQUEST *request;
    ULONG count = 0;
    NTSTATUS status;

    Irp->IoStatus.Information = 0;
    status = Capture(Irp, &request);
    if (!NT_SUCCESS(status)) {
        RefksLeave(Header);
        return kshs_complete(Irp, status, 0);
    }
    request->Object = Header;
    Enlist(request);
    status = GatherTables(Header, request, tables, &count);
    if (NT_SUCCESS(status))
        status = Route(request, tables, count);
    if (status == STATUS_PENDING)       /* it is the minidriver's now, until KsCompletePendingRequest */
        return status;
    (void)FindRequest(Irp, TRUE);
    return CompleteRequest(request, status);
}

static NTSTATUS HandleWithTable(PIRP Irp, const REFKS_SETS *Table)
{
    REFKS_REQUEST *request;
    NTSTATUS status;

    Irp->IoStatus.Information = 0;
    status = Capture(Irp, &request);
    if (!NT_SUCCESS(status))
        return status;
    Enlist(request);
    status = Route(request, Table, 1);
    (void)FindRequest(Irp, TRUE);
    status = Answer(request, status);
    RefksFree(request);
    return status;
}

/* For drivers with tables of their own: everything but the completion of the IRP.  Pending is not possible here. */
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
    table.Sets = PropertySet;
    table.ItemSize = PropertyItemSize ? PropertyItemSize : sizeof(KSPROPERTY_ITEM);
    return HandleWithTable(Irp, &table);
}

/* ---- helpers for handlers ------------------------------------------------------------------------ */

/* The node that a property request is about, as long as its handler runs. */
ULONG NTAPI KsGetNodeIdFromIrp(PIRP Irp)
{
    REFKS_REQUEST *request = FindRequest(Irp, FALSE);

    if (!request || !(request->Property->Flags & KSPROPERTY_TYPE_TOPOLOGY) ||
        request->PropertyLength < sizeof(KSP_NODE))
        return KSFILTER_NODE;
    return ((const KSP_NODE *)request->Property)->NodeId;
}

/* A KSMULTIPLE_ITEM and the items after it. */
NTSTATUS NTAPI KsHandleSizedListQuery(PIRP Irp, ULONG DataItemsCount, ULONG DataItemSize, const VOID *DataItems)
{
    REFKS_REQUEST *request = FindRequest(Irp, FALSE);
    ULONGLONG whole = sizeof(KSMULTIPLE_ITEM) + (ULONGLONG)DataItemsCount * DataItemSize;
    ULONG size = (ULONG)whole;
    PKSMULTIPLE_ITEM list;

    if (!request || size != whole)
        return STATUS_INVALID_DEVICE_REQUEST;
    if (!request->DataLength) {
        Irp->IoStatus.Information = size;
        return STATUS_BUFFER_OVERFLOW;
    }
    list = request->Data;
    if (request->DataLength == sizeof(ULONG)) {
        *(PULONG)request->Data = size;
        Irp->IoStatus.Information = sizeof(ULONG);
        return STATUS_SUCCESS;
    }
    if (request->DataLength < size)
        return STATUS_BUFFER_TOO_SMALL;
    list->Size = size;
    list->Count = DataItemsCount;
    if (DataItemsCount)
        RtlCopyMemory(list + 1, DataItems, (SIZE_T)DataItemsCount * DataItemSize);
    Irp->IoStatus.Information = size;
    return STATUS_SUCCESS;
}
