/* SPDX-License-Identifier: Apache-2.0
 *
 * request.c - from a sender's raw pointers to a handler in a table of
 * properties or methods, and back.
 */
#include "request.h"

#define ALIGN_UP_8(value) (((SIZE_T)(value) + 7) & ~(SIZE_T)7)

/* The same bit for properties and methods. */
#define ON_NODE KSPROPERTY_TYPE_TOPOLOGY
C_ASSERT(KSPROPERTY_TYPE_TOPOLOGY == KSMETHOD_TYPE_TOPOLOGY);

static KSPIN_LOCK RequestsLock;
static LIST_ENTRY Requests = { &Requests, &Requests };

/* ---- the sender's buffers ------------------------------------------------------ */

static NTSTATUS Capture(PIRP Irp, REFKS_REQUEST **Captured)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    ULONG in = stack->Parameters.DeviceIoControl.InputBufferLength;
    ULONG out = stack->Parameters.DeviceIoControl.OutputBufferLength;
    SIZE_T head = ALIGN_UP_8(sizeof(REFKS_REQUEST)), identifier = ALIGN_UP_8(in);
    REFKS_REQUEST *request;
    NTSTATUS status;

    *Captured = NULL;
    if (in < sizeof(KSIDENTIFIER))
        return STATUS_INVALID_BUFFER_SIZE;
    if (identifier + out < out || head + identifier + out < out)
        return STATUS_INVALID_BUFFER_SIZE;
    request = RefksAllocate(head + identifier + out);
    if (!request)
        return STATUS_INSUFFICIENT_RESOURCES;
    InitializeListHead(&request->Entry);
    request->Irp = Irp;
    request->Identifier = (PKSIDENTIFIER)((PUCHAR)request + head);
    request->IdentifierLength = in;
    request->Data = out ? (PUCHAR)request->Identifier + identifier : NULL;
    request->DataLength = out;
    request->UserData = Irp->UserBuffer;
    status = RefksCaptureIn(request->Identifier, stack->Parameters.DeviceIoControl.Type3InputBuffer, in,
                            Irp->RequestorMode);
    if (!NT_SUCCESS(status)) {
        RefksFree(request);
        return status;
    }
    *Captured = request;
    return STATUS_SUCCESS;
}

static void FreeRequest(REFKS_REQUEST *Request)
{
    RefksUnlockOut(Request->UserPages);
    RefksFree(Request);
}

NTSTATUS RefksCaptureData(REFKS_REQUEST *Request)
{
    if (!Request->DataLength)
        return STATUS_SUCCESS;
    return RefksCaptureIn(Request->Data, Request->UserData, Request->DataLength, Request->Irp->RequestorMode);
}

NTSTATUS RefksCheckData(REFKS_REQUEST *Request)
{
    KPROCESSOR_MODE mode = Request->Irp->RequestorMode;
    NTSTATUS status = RefksCheckOut(Request->UserData, Request->DataLength, mode);

    /* Before the handler is called: a request that it leaves pending may be over in another process at any time. */
    if (NT_SUCCESS(status) && !Request->UserPages)
        status = RefksLockOut(Request->UserData, Request->DataLength, mode, &Request->UserPages);
    return status;
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

/* ---- tables ---------------------------------------------------------------------- */

const REFKS_SET *RefksFindSet(const REFKS_SETS *Table, const GUID *Set)
{
    ULONG index;

    for (index = 0; index < Table->Count; index++) {
        if (RefksSameGuid(Table->Sets[index].Set, Set))
            return &Table->Sets[index];
    }
    return NULL;
}

const VOID *RefksFindItem(const REFKS_SET *Set, ULONG ItemSize, ULONG Id)
{
    ULONG index;

    for (index = 0; index < Set->Count; index++) {
        const VOID *item = (const UCHAR *)Set->Items + (SIZE_T)index * ItemSize;

        if (*(const ULONG *)item == Id)         /* every kind of item begins with it */
            return item;
    }
    return NULL;
}

NTSTATUS RefksListSets(REFKS_REQUEST *Request, const REFKS_SETS *Tables, ULONG TableCount)
{
    ULONG table, index, count = 0;
    GUID *list = Request->Data;

    for (table = 0; table < TableCount; table++) {
        for (index = 0; index < Tables[table].Count; index++) {
            const GUID *set = Tables[table].Sets[index].Set;
            BOOLEAN known = FALSE;
            ULONG earlier;

            for (earlier = 0; earlier < table; earlier++)
                known = known || RefksFindSet(&Tables[earlier], set);
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

NTSTATUS RefksCheckLengths(REFKS_REQUEST *Request, ULONG MinIdentifier, ULONG MinData, BOOLEAN AsksForSize)
{
    if (Request->IdentifierLength < MinIdentifier)
        return STATUS_INVALID_BUFFER_SIZE;
    if (Request->DataLength >= MinData)
        return STATUS_SUCCESS;
    if (AsksForSize && !Request->DataLength) {
        Request->Irp->IoStatus.Information = MinData;           /* how much it would be */
        return STATUS_BUFFER_OVERFLOW;
    }
    return STATUS_BUFFER_TOO_SMALL;
}

static ULONG AddSets(REFKS_SETS *Tables, ULONG Count, const KSPROPERTY_SET *Sets, ULONG SetsCount)
{
    Tables[Count].Count = SetsCount;
    Tables[Count].Sets = (const REFKS_SET *)Sets;
    Tables[Count].ItemSize = sizeof(KSPROPERTY_ITEM);
    return Count + 1;
}

static NTSTATUS NodeAutomation(const KSFILTER_DESCRIPTOR *Filter, const REFKS_REQUEST *Request,
                               const KSAUTOMATION_TABLE **Automation)
{
    const KSP_NODE *node = (const KSP_NODE *)Request->Identifier;

    C_ASSERT(FIELD_OFFSET(KSP_NODE, NodeId) == FIELD_OFFSET(KSM_NODE, NodeId));
    if (Request->IdentifierLength < sizeof(KSP_NODE))
        return STATUS_INVALID_BUFFER_SIZE;
    if (node->NodeId >= Filter->NodeDescriptorsCount || Filter->NodeDescriptorSize < sizeof(KSNODE_DESCRIPTOR))
        return STATUS_INVALID_PARAMETER;
    *Automation = ((const KSNODE_DESCRIPTOR *)((const UCHAR *)Filter->NodeDescriptors +
                                               (SIZE_T)node->NodeId * Filter->NodeDescriptorSize))->AutomationTable;
    return STATUS_SUCCESS;
}

/* The minidriver's tables come first: it may replace a property of ours. */
static NTSTATUS GatherTables(REFKS_HEADER *Header, const REFKS_REQUEST *Request, const REFKS_CONTROL *Control,
                             REFKS_SETS *Tables, ULONG *Count)
{
    const KSAUTOMATION_TABLE *automation;
    const KSPROPERTY_SET *ours;
    ULONG ours_count;

    *Count = 0;
    if (Header->Type == KsObjectTypePin) {
        automation = CONTAINING_RECORD(Header, REFKS_PIN, Header)->Public.Descriptor->AutomationTable;
        ours = RefksPinSets;
        ours_count = RefksPinSetsCount;
    } else {
        const KSFILTER_DESCRIPTOR *filter = RefksFilterDescriptor(CONTAINING_RECORD(Header, REFKS_FILTER, Header));

        automation = filter->AutomationTable;
        ours = RefksFilterSets;
        ours_count = RefksFilterSetsCount;
        if (Request->Identifier->Flags & ON_NODE) {
            NTSTATUS status = NodeAutomation(filter, Request, &automation);

            if (!NT_SUCCESS(status))
                return status;
            ours = RefksNodeSets;
            ours_count = RefksNodeSetsCount;
        }
    }
    if (automation)
        *Count = Control->Gather(automation, Tables, *Count);
    if (Control->BuiltIn)
        *Count = AddSets(Tables, *Count, ours, ours_count);
    return STATUS_SUCCESS;
}

/* ---- and back ---------------------------------------------------------------------------- */

/* A warning hands data out too: that is how a handler says that there was more than room for it. */
static NTSTATUS Answer(REFKS_REQUEST *Request, NTSTATUS Status)
{
    PIRP irp = Request->Irp;
    SIZE_T length = irp->IoStatus.Information;

    Status = kshs_final_status(Status);
    if (NT_ERROR(Status)) {
        irp->IoStatus.Information = 0;
    } else if (Request->Delivers && length && Request->DataLength) {
        NTSTATUS delivered;

        if (length > Request->DataLength)
            length = Request->DataLength;
        delivered = Request->UserPages ? RefksDeliverLocked(Request->UserPages, Request->Data, length)
                                       : RefksDeliverOut(Request->UserData, Request->Data, length);
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
    FreeRequest(Request);
    if (object)
        RefksLeave(object);
    return kshs_complete(irp, Status, irp->IoStatus.Information);
}

BOOLEAN RefksCompleteRequest(PIRP Irp)
{
    REFKS_REQUEST *request = FindRequest(Irp, FALSE);

    if (!request)
        return FALSE;
    if (RefksPostpone(Irp))
        return TRUE;
    (void)FindRequest(Irp, TRUE);
    (void)CompleteRequest(request, Irp->IoStatus.Status);
    return TRUE;
}

NTSTATUS RefksServe(REFKS_HEADER *Header, PIRP Irp, const REFKS_CONTROL *Control)
{
    REFKS_SETS tables[REFKS_MAX_TABLES];
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
    status = Control->Prepare(request);
    if (NT_SUCCESS(status))
        status = GatherTables(Header, request, Control, tables, &count);
    if (NT_SUCCESS(status))
        status = Control->Route(request, tables, count);
    if (status == STATUS_PENDING)       /* it is the minidriver's now, until KsCompletePendingRequest */
        return status;
    (void)FindRequest(Irp, TRUE);
    return CompleteRequest(request, status);
}

NTSTATUS RefksServeTable(PIRP Irp, const REFKS_CONTROL *Control, const REFKS_SETS *Table)
{
    REFKS_REQUEST *request = FindRequest(Irp, FALSE);
    NTSTATUS status;

    if (request)                        /* called from a handler: the buffers are captured, the answer is the outer's */
        return Control->Route(request, Table, 1);
    Irp->IoStatus.Information = 0;
    status = Capture(Irp, &request);
    if (!NT_SUCCESS(status))
        return status;
    Enlist(request);
    status = Control->Prepare(request);
    if (NT_SUCCESS(status))
        status = Control->Route(request, Table, 1);
    (void)FindRequest(Irp, TRUE);
    status = Answer(request, status);
    FreeRequest(request);
    return status;
}

/* ---- helpers for handlers ------------------------------------------------------------------------ */

/* The node that a request is about, as long as its handler runs. */
ULONG NTAPI KsGetNodeIdFromIrp(PIRP Irp)
{
    REFKS_REQUEST *request = FindRequest(Irp, FALSE);

    if (!request || !(request->Identifier->Flags & ON_NODE) || request->IdentifierLength < sizeof(KSP_NODE))
        return KSFILTER_NODE;
    return ((const KSP_NODE *)request->Identifier)->NodeId;
}

/* For a handler of a request that an earlier one left pending: the buffers are those that were captured then. */
static NTSTATUS DispatchSpecific(PIRP Irp, PFNKSHANDLER Handler)
{
    REFKS_REQUEST *request = FindRequest(Irp, FALSE);

    return request ? Handler(Irp, request->Identifier, request->Data) : STATUS_INVALID_DEVICE_REQUEST;
}

NTSTATUS NTAPI KsDispatchSpecificProperty(PIRP Irp, PFNKSHANDLER Handler)
{
    return DispatchSpecific(Irp, Handler);
}

NTSTATUS NTAPI KsDispatchSpecificMethod(PIRP Irp, PFNKSHANDLER Handler)
{
    return DispatchSpecific(Irp, Handler);
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
