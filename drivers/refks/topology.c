/* SPDX-License-Identifier: Apache-2.0
 *
 * topology.c - KSPROPSETID_Topology, and the pins, nodes and connections that
 * a filter gets at run time.
 *
 * What is added belongs to one filter.  It gets a descriptor of its own, which
 * is never changed but replaced as a whole: whoever reads one without the
 * control mutex sees count and table of the same one.  All of them stay in the
 * filter's bag until it is closed, because its pins point into them.
 */
#include "refks.h"

#define ALIGN_UP_8(value) (((SIZE_T)(value) + 7) & ~(SIZE_T)7)
#define MAX_TABLE 0x100000              /* bytes; nobody means that many */

const GUID RefksTopologySetId = { STATIC_KSPROPSETID_Topology };

const KSFILTER_DESCRIPTOR *RefksFilterDescriptor(const REFKS_FILTER *Filter)
{
    return *(const KSFILTER_DESCRIPTOR *const volatile *)&Filter->Public.Descriptor;
}

/* ---- what changes at run time: control mutex held by the caller, as documented ---- */

typedef struct REFKS_TABLE {
    const VOID *Items;
    ULONG Count;
    ULONG ItemSize;
} REFKS_TABLE;

/* A copy of the filter's descriptor and, behind it, of one of its tables with more items.  An item may be shorter
 * than the table's are: the rest is zero. */
static NTSTATUS Extend(REFKS_FILTER *Filter, const REFKS_TABLE *Table, const REFKS_TABLE *More,
                       PKSFILTER_DESCRIPTOR *Copy, PVOID *Items)
{
    const ULONG head = (ULONG)ALIGN_UP_8(sizeof(KSFILTER_DESCRIPTOR));
    ULONG size = More->ItemSize < Table->ItemSize ? More->ItemSize : Table->ItemSize;
    ULONG old = Table->Count * Table->ItemSize, index;
    PUCHAR items, block;
    NTSTATUS status;

    if (More->Count > MAX_TABLE / Table->ItemSize || old > MAX_TABLE - More->Count * Table->ItemSize)
        return STATUS_INVALID_PARAMETER;
    block = RefksAllocate(head + old + More->Count * Table->ItemSize);
    if (!block)
        return STATUS_INSUFFICIENT_RESOURCES;
    items = block + head;
    RtlCopyMemory(block, Filter->Public.Descriptor, sizeof(KSFILTER_DESCRIPTOR));
    if (old)
        RtlCopyMemory(items, Table->Items, old);
    for (index = 0; index < More->Count; index++)
        RtlCopyMemory(items + old + index * Table->ItemSize, (const UCHAR *)More->Items + index * More->ItemSize,
                      size);
    status = KsAddItemToObjectBag(Filter->Public.Bag, block, NULL);
    if (!NT_SUCCESS(status)) {
        RefksFree(block);
        return status;
    }
    *Copy = (PKSFILTER_DESCRIPTOR)block;
    *Items = items;
    return STATUS_SUCCESS;
}

static void Publish(REFKS_FILTER *Filter, PKSFILTER_DESCRIPTOR Descriptor)
{
    (void)InterlockedExchangePointer((PVOID volatile *)&Filter->Public.Descriptor, Descriptor);
}

static REFKS_TABLE MakeTable(const VOID *Items, ULONG Count, ULONG ItemSize)
{
    REFKS_TABLE table;

    table.Items = Items;
    table.Count = Count;
    table.ItemSize = ItemSize;
    return table;
}

NTSTATUS NTAPI KsFilterCreatePinFactory(PKSFILTER Filter, const KSPIN_DESCRIPTOR_EX *const PinDescriptor,
                                        PULONG PinID)
{
    const KSFILTER_DESCRIPTOR *now = Filter->Descriptor;
    REFKS_TABLE table = MakeTable(now->PinDescriptors, now->PinDescriptorsCount,
                                  now->PinDescriptorsCount ? now->PinDescriptorSize : sizeof(*PinDescriptor));
    REFKS_TABLE more = MakeTable(PinDescriptor, 1, sizeof(*PinDescriptor));
    PKSFILTER_DESCRIPTOR copy;
    NTSTATUS status;
    PVOID items;

    if (!PinDescriptor || !PinID)
        return STATUS_INVALID_PARAMETER;
    status = Extend(REFKS_FILTER_OF(Filter), &table, &more, &copy, &items);
    if (!NT_SUCCESS(status))
        return status;
    copy->PinDescriptors = items;
    copy->PinDescriptorSize = table.ItemSize;
    *PinID = copy->PinDescriptorsCount++;
    Publish(REFKS_FILTER_OF(Filter), copy);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI KsFilterCreateNode(PKSFILTER Filter, const KSNODE_DESCRIPTOR *const NodeDescriptor, PULONG NodeID)
{
    const KSFILTER_DESCRIPTOR *now = Filter->Descriptor;
    REFKS_TABLE table = MakeTable(now->NodeDescriptors, now->NodeDescriptorsCount,
                                  now->NodeDescriptorsCount ? now->NodeDescriptorSize : sizeof(*NodeDescriptor));
    REFKS_TABLE more = MakeTable(NodeDescriptor, 1, sizeof(*NodeDescriptor));
    PKSFILTER_DESCRIPTOR copy;
    NTSTATUS status;
    PVOID items;

    if (!NodeDescriptor || !NodeID || table.ItemSize < sizeof(*NodeDescriptor))
        return STATUS_INVALID_PARAMETER;
    status = Extend(REFKS_FILTER_OF(Filter), &table, &more, &copy, &items);
    if (!NT_SUCCESS(status))
        return status;
    copy->NodeDescriptors = items;
    copy->NodeDescriptorSize = table.ItemSize;
    *NodeID = copy->NodeDescriptorsCount++;
    Publish(REFKS_FILTER_OF(Filter), copy);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI KsFilterAddTopologyConnections(PKSFILTER Filter, ULONG NewConnectionsCount,
                                              const KSTOPOLOGY_CONNECTION *const NewTopologyConnections)
{
    const KSFILTER_DESCRIPTOR *now = Filter->Descriptor;
    REFKS_TABLE table = MakeTable(now->Connections, now->ConnectionsCount, sizeof(KSTOPOLOGY_CONNECTION));
    REFKS_TABLE more = MakeTable(NewTopologyConnections, NewConnectionsCount, sizeof(KSTOPOLOGY_CONNECTION));
    PKSFILTER_DESCRIPTOR copy;
    NTSTATUS status;
    PVOID items;

    if (!NewConnectionsCount)
        return STATUS_SUCCESS;
    if (!NewTopologyConnections)
        return STATUS_INVALID_PARAMETER;
    status = Extend(REFKS_FILTER_OF(Filter), &table, &more, &copy, &items);
    if (!NT_SUCCESS(status))
        return status;
    copy->Connections = items;
    copy->ConnectionsCount += NewConnectionsCount;
    Publish(REFKS_FILTER_OF(Filter), copy);
    return STATUS_SUCCESS;
}

/* ---- KSPROPSETID_Topology ----------------------------------------------------------- */

static NTSTATUS GiveNodeName(PIRP Irp, const KSP_NODE *Request, PVOID Data, const KSTOPOLOGY *Topology)
{
    const GUID *names = Topology->TopologyNodesNames ? Topology->TopologyNodesNames : Topology->TopologyNodes;

    if (IoGetCurrentIrpStackLocation(Irp)->Parameters.DeviceIoControl.InputBufferLength < sizeof(*Request))
        return STATUS_INVALID_BUFFER_SIZE;
    if (Request->NodeId >= Topology->TopologyNodesCount)
        return STATUS_INVALID_PARAMETER;
    return RefksGiveName(Irp, Data, &names[Request->NodeId]);
}

NTSTATUS NTAPI KsTopologyPropertyHandler(PIRP Irp, PKSPROPERTY Property, PVOID Data, const KSTOPOLOGY *Topology)
{
    Irp->IoStatus.Information = 0;
    switch (Property->Id) {
    case KSPROPERTY_TOPOLOGY_CATEGORIES:
        return KsHandleSizedListQuery(Irp, Topology->CategoriesCount, sizeof(GUID), Topology->Categories);
    case KSPROPERTY_TOPOLOGY_NODES:
        return KsHandleSizedListQuery(Irp, Topology->TopologyNodesCount, sizeof(GUID), Topology->TopologyNodes);
    case KSPROPERTY_TOPOLOGY_CONNECTIONS:
        return KsHandleSizedListQuery(Irp, Topology->TopologyConnectionsCount, sizeof(KSTOPOLOGY_CONNECTION),
                                      Topology->TopologyConnections);
    case KSPROPERTY_TOPOLOGY_NAME:
        return GiveNodeName(Irp, (const KSP_NODE *)Property, Data, Topology);
    default:
        return STATUS_NOT_FOUND;
    }
}

/* As documented: a filter without connections has one node, to which each of its pins is connected. */
static void DefaultConnection(const KSFILTER_DESCRIPTOR *Descriptor, ULONG PinId, PKSTOPOLOGY_CONNECTION Connection)
{
    const KSPIN_DESCRIPTOR_EX *pin = RefksPinDescriptorIn(Descriptor, PinId);
    BOOLEAN sinks = pin->PinDescriptor.DataFlow == KSPIN_DATAFLOW_IN;

    Connection->FromNode = sinks ? KSFILTER_NODE : 0;
    Connection->FromNodePin = PinId;
    Connection->ToNode = sinks ? 0 : KSFILTER_NODE;
    Connection->ToNodePin = PinId;
}

static const KSNODE_DESCRIPTOR *Node(const KSFILTER_DESCRIPTOR *Descriptor, ULONG NodeId)
{
    return (const KSNODE_DESCRIPTOR *)((const UCHAR *)Descriptor->NodeDescriptors +
                                       (SIZE_T)NodeId * Descriptor->NodeDescriptorSize);
}

/* The filter's descriptor in the words of a KSTOPOLOGY.  A type or name that a node does not have is GUID_NULL. */
static PKSTOPOLOGY MakeTopology(const KSFILTER_DESCRIPTOR *Descriptor)
{
    ULONG nodes = Descriptor->NodeDescriptorSize >= sizeof(KSNODE_DESCRIPTOR) ? Descriptor->NodeDescriptorsCount : 0;
    ULONG defaults = Descriptor->ConnectionsCount ? 0 : Descriptor->PinDescriptorsCount, index;
    SIZE_T head = ALIGN_UP_8(sizeof(KSTOPOLOGY)), guids = (SIZE_T)nodes * sizeof(GUID);
    PKSTOPOLOGY topology = RefksAllocate(head + 2 * guids + (SIZE_T)defaults * sizeof(KSTOPOLOGY_CONNECTION));
    PKSTOPOLOGY_CONNECTION connections;
    GUID *types, *names;

    if (!topology)
        return NULL;
    types = (GUID *)((PUCHAR)topology + head);
    names = types + nodes;
    connections = (PKSTOPOLOGY_CONNECTION)(names + nodes);
    for (index = 0; index < nodes; index++) {
        const KSNODE_DESCRIPTOR *node = Node(Descriptor, index);

        if (node->Type)
            types[index] = *node->Type;
        if (node->Name || node->Type)
            names[index] = node->Name ? *node->Name : *node->Type;
    }
    for (index = 0; index < defaults; index++)
        DefaultConnection(Descriptor, index, &connections[index]);
    topology->CategoriesCount = Descriptor->CategoriesCount;
    topology->Categories = Descriptor->Categories;
    topology->TopologyNodesCount = nodes;
    topology->TopologyNodes = types;
    topology->TopologyNodesNames = names;
    topology->TopologyConnectionsCount = defaults ? defaults : Descriptor->ConnectionsCount;
    topology->TopologyConnections = defaults ? connections : Descriptor->Connections;
    return topology;
}

static NTSTATUS FilterTopology(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    PKSTOPOLOGY topology = MakeTopology(RefksFilterDescriptor(REFKS_FILTER_OF(KsGetFilterFromIrp(Irp))));
    NTSTATUS status;

    if (!topology)
        return STATUS_INSUFFICIENT_RESOURCES;
    status = KsTopologyPropertyHandler(Irp, Request, Data, topology);
    RefksFree(topology);
    return status;
}

const KSPROPERTY_ITEM RefksTopologyItems[REFKS_TOPOLOGY_ITEMS] = {
    DEFINE_KSPROPERTY_ITEM_TOPOLOGY_CATEGORIES(FilterTopology),
    DEFINE_KSPROPERTY_ITEM_TOPOLOGY_NODES(FilterTopology),
    DEFINE_KSPROPERTY_ITEM_TOPOLOGY_CONNECTIONS(FilterTopology),
    DEFINE_KSPROPERTY_ITEM_TOPOLOGY_NAME(FilterTopology),
};

/* What a node is asked for itself. */
static const KSPROPERTY_ITEM NodeItems[] = {
    DEFINE_KSPROPERTY_ITEM_TOPOLOGY_NAME(FilterTopology),
};

const KSPROPERTY_SET RefksNodeSets[] = {
    DEFINE_KSPROPERTY_SET(&RefksTopologySetId, SIZEOF_ARRAY(NodeItems), NodeItems, 0, NULL),
};
const ULONG RefksNodeSetsCount = SIZEOF_ARRAY(RefksNodeSets);
