/* SPDX-License-Identifier: Apache-2.0
 *
 * probe.c - the filter and its properties.
 */
#include "probe.h"

#define STATIC_PROBE_CATEGORY 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x01
#define STATIC_PROBE_PROPERTIES 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x03
#define STATIC_PROBE_PINS 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x04
#define STATIC_PROBE_TOPOLOGY 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x05
#define STATIC_PROBE_NODE_A 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x06
#define STATIC_PROBE_NODE_B 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x07
#define STATIC_PROBE_NAME 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x08
#define STATIC_PROBE_FORMAT_TYPE 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x09
#define STATIC_PROBE_FORMAT_A 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x0A
#define STATIC_PROBE_FORMAT_B 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x0B
#define STATIC_PROBE_INNER 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x0E
#define STATIC_PROBE_OTHER_FILTER 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x0C

static const GUID Categories[] = { { STATIC_PROBE_CATEGORY } };
static const GUID ReferenceGuid = { STATICGUIDOF(KSNAME_Filter) };
static const GUID OtherReference = { STATIC_PROBE_OTHER_FILTER };
static const GUID PropertiesId = { STATIC_PROBE_PROPERTIES };
static const GUID PinsId = { STATIC_PROBE_PINS };
static const GUID TopologyId = { STATIC_PROBE_TOPOLOGY };
static const GUID NodeA = { STATIC_PROBE_NODE_A };
static const GUID NodeB = { STATIC_PROBE_NODE_B };
static const GUID Name = { STATIC_PROBE_NAME };
static const GUID InnerId = { STATIC_PROBE_INNER };

/* ---- formats: a range with members of its own, and a plain one ------------------------- */

typedef struct LONG_RANGE {
    KSDATARANGE Range;
    ULONG Least;
    ULONG Most;
} LONG_RANGE;

#define RANGE(size, subformat) \
    { { size, 0, 0, 0, { STATIC_PROBE_FORMAT_TYPE }, { subformat }, { STATICGUIDOF(KSDATAFORMAT_SPECIFIER_NONE) } } }

static const LONG_RANGE RangeA = { RANGE(sizeof(LONG_RANGE), STATIC_PROBE_FORMAT_A), 8, 48 };
static const KSDATARANGE RangeB = RANGE(sizeof(KSDATARANGE), STATIC_PROBE_FORMAT_B);
static const PKSDATARANGE RangesA[] = { (PKSDATARANGE)&RangeA };
static const PKSDATARANGE RangesBoth[] = { (PKSDATARANGE)&RangeB, (PKSDATARANGE)&RangeA };

/* ---- KSPROPSETID_Pin by the functions for drivers with descriptors of their own --------- */

static const KSPIN_DESCRIPTOR OwnPins[] = {
    { .DataRangesCount = SIZEOF_ARRAY(RangesA), .DataRanges = RangesA, .DataFlow = KSPIN_DATAFLOW_IN,
      .Communication = KSPIN_COMMUNICATION_SINK },
    { .DataRangesCount = SIZEOF_ARRAY(RangesBoth), .DataRanges = RangesBoth, .DataFlow = KSPIN_DATAFLOW_OUT,
      .Communication = KSPIN_COMMUNICATION_SOURCE, .Category = &NodeA, .Name = &Name },
};

static NTSTATUS OwnPinProperty(PIRP Irp, PKSPROPERTY Property, PVOID Data)
{
    return KsPinPropertyHandler(Irp, Property, Data, SIZEOF_ARRAY(OwnPins), OwnPins);
}

/* A format is a range with Least in the place of both ends; it has to be told the size first. */
static NTSTATUS GiveFormat(PIRP Irp, const KSDATARANGE *Wanted, ULONG Room, PVOID Data, PULONG Size)
{
    LONG_RANGE format = RangeA;

    UNREFERENCED_PARAMETER(Irp);
    if (Wanted->FormatSize != sizeof(format))
        return STATUS_NO_MATCH;
    *Size = sizeof(format);
    if (!Room)
        return STATUS_BUFFER_OVERFLOW;
    if (Room < sizeof(format))
        return STATUS_BUFFER_TOO_SMALL;
    format.Most = format.Least = ((const LONG_RANGE *)Wanted)->Least;
    RtlCopyMemory(Data, &format, sizeof(format));
    return STATUS_SUCCESS;
}

static volatile LONG Asked;     /* how often a handler was, since the last intersection began */

static NTSTATUS Intersect(PIRP Irp, PKSP_PIN Pin, PKSDATARANGE Range, PVOID Data)
{
    ULONG room = IoGetCurrentIrpStackLocation(Irp)->Parameters.DeviceIoControl.OutputBufferLength, size = 0;
    NTSTATUS status;

    UNREFERENCED_PARAMETER(Pin);
    InterlockedIncrement(&Asked);
    status = GiveFormat(Irp, Range, room, Data, &size);
    Irp->IoStatus.Information = size;
    return status;
}

static NTSTATUS IntersectEx(PVOID Context, PIRP Irp, PKSP_PIN Pin, PKSDATARANGE Range, PKSDATARANGE Matching,
                            ULONG Room, PVOID Data, PULONG Size)
{
    UNREFERENCED_PARAMETER(Pin);
    InterlockedIncrement(&Asked);
    if (Context != (PVOID)&PinsId || Matching != &RangeA.Range)
        return STATUS_NO_MATCH;
    return GiveFormat(Irp, Range, Room, Data, Size);
}

static NTSTATUS OwnIntersection(PIRP Irp, PKSP_PIN Pin, PVOID Data)
{
    Asked = 0;
    if (Pin->PinId == 0)
        return KsPinDataIntersection(Irp, Pin, Data, SIZEOF_ARRAY(OwnPins), OwnPins, Intersect);
    return KsPinDataIntersectionEx(Irp, Pin, Data, SIZEOF_ARRAY(OwnPins), OwnPins, sizeof(OwnPins[0]), IntersectEx,
                                   (PVOID)&PinsId);
}

/* In the place of the instances: how often the handlers were asked. */
static NTSTATUS OwnInstances(PIRP Irp, PKSP_PIN Pin, PVOID Data)
{
    UNREFERENCED_PARAMETER(Pin);
    ((PKSPIN_CINSTANCES)Data)->PossibleCount = 0;
    ((PKSPIN_CINSTANCES)Data)->CurrentCount = (ULONG)Asked;
    Irp->IoStatus.Information = sizeof(KSPIN_CINSTANCES);
    return STATUS_SUCCESS;
}

static DEFINE_KSPROPERTY_PINSET(PinItems, OwnPinProperty, OwnInstances, OwnIntersection);

/* ---- KSPROPSETID_Topology by the function for drivers with a KSTOPOLOGY ------------------- */

static const GUID OwnNodes[] = { { STATIC_PROBE_NODE_B }, { STATIC_PROBE_NODE_A } };
static const KSTOPOLOGY_CONNECTION OwnConnections[] = { { KSFILTER_NODE, 0, 0, 1 }, { 0, 0, 1, 1 } };
static const KSTOPOLOGY OwnTopology = { SIZEOF_ARRAY(Categories), Categories, SIZEOF_ARRAY(OwnNodes), OwnNodes,
                                        SIZEOF_ARRAY(OwnConnections), OwnConnections, NULL, 0 };

static NTSTATUS OwnTopologyProperty(PIRP Irp, PKSPROPERTY Property, PVOID Data)
{
    return KsTopologyPropertyHandler(Irp, Property, Data, &OwnTopology);
}

static DEFINE_KSPROPERTY_TOPOLOGYSET(TopologyItems, OwnTopologyProperty);

/* ---- pins ------------------------------------------------------------------------------------ */

static NTSTATUS Handshake(PKSPIN Pin, PKSHANDSHAKE In, PKSHANDSHAKE Out)
{
    *Out = *In;
    Out->Argument1 = (PVOID)((ULONG_PTR)In->Argument1 + 0x100 + Pin->Id);
    return STATUS_SUCCESS;
}

static NTSTATUS PinCreate(PKSPIN Pin, PIRP Irp)
{
    KsPinRegisterHandshakeCallback(Pin, Handshake);
    return ProbeAnswer(Irp, STATUS_SUCCESS);
}

static NTSTATUS PinClose(PKSPIN Pin, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Pin);
    return ProbeAnswer(Irp, STATUS_SUCCESS);
}

static const KSPIN_DISPATCH PinDispatch = { .Create = PinCreate, .Close = PinClose };

#define PIN(table) \
    { .Dispatch = &PinDispatch, .AutomationTable = (table), \
      .PinDescriptor = { .DataRangesCount = 1, .DataRanges = &RangesBoth[0], .DataFlow = KSPIN_DATAFLOW_IN, \
                         .Communication = KSPIN_COMMUNICATION_SINK, .Category = &NodeA }, \
      .InstancesPossible = 2 }

static NTSTATUS CreatePinFactory(PKSFILTER Filter, PULONG Id)
{
    KSPIN_DESCRIPTOR_EX pin = PIN(NULL);
    PKSAUTOMATION_TABLE table = NULL;
    NTSTATUS status;

    KsAcquireControl(Filter);
    status = ProbeMergedTable(Filter, &table);
    pin.AutomationTable = table;
    pin.PinDescriptor.DataFlow = KSPIN_DATAFLOW_OUT;
    pin.PinDescriptor.Communication = KSPIN_COMMUNICATION_BOTH;
    if (NT_SUCCESS(status))
        status = KsFilterCreatePinFactory(Filter, &pin, Id);
    KsReleaseControl(Filter);
    return status;
}

static NTSTATUS CreateNode(PKSFILTER Filter, PULONG Id)
{
    static const KSNODE_DESCRIPTOR node = { NULL, &NodeB, &Name };
    NTSTATUS status;

    KsAcquireControl(Filter);
    status = KsFilterCreateNode(Filter, &node, Id);
    KsReleaseControl(Filter);
    return status;
}

static NTSTATUS AddConnections(PKSFILTER Filter)
{
    static const KSTOPOLOGY_CONNECTION connections[] = { { KSFILTER_NODE, 0, 1, 0 }, { 1, 1, KSFILTER_NODE, 1 } };
    NTSTATUS status;

    KsAcquireControl(Filter);
    status = KsFilterAddTopologyConnections(Filter, SIZEOF_ARRAY(connections), connections);
    KsReleaseControl(Filter);
    return status;
}

/* From now on the other filter is opened by every name that is nobody's. */
static NTSTATUS AddWildcard(PKSFILTER Filter)
{
    PKSFILTERFACTORY factory = KsGetNextSibling(KsGetFirstChild(KsGetDevice(Filter)));

    return KsFilterFactoryAddCreateItem(factory, L"", NULL, KSCREATE_ITEM_WILDCARD);
}

/* ---- properties of the filter and of its pin -------------------------------------------------- */

static volatile LONG FiltersClosed;

static NTSTATUS FilterClose(PKSFILTER Filter, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Filter);
    UNREFERENCED_PARAMETER(Irp);
    InterlockedIncrement(&FiltersClosed);
    return STATUS_SUCCESS;
}

static NTSTATUS GetUlong(PIRP Irp, PKSPROPERTY Property, PVOID Data)
{
    PKSFILTER filter = KsGetFilterFromIrp(Irp);

    Irp->IoStatus.Information = sizeof(ULONG);
    switch (Property->Id) {
    case PROBE_PIN_FACTORY:
        return CreatePinFactory(filter, Data);
    case PROBE_NODE:
        return CreateNode(filter, Data);
    case PROBE_WILDCARD:
        return AddWildcard(filter);
    case PROBE_QUEUED:
        *(PULONG)Data = 0x9E0E;
        return ProbeQueued(Irp);
    case PROBE_RELEASE:
        *(PULONG)Data = ProbeRelease();
        return STATUS_SUCCESS;
    case PROBE_MISSING:
        *(PULONG)Data = ProbeMissing();
        return STATUS_SUCCESS;
    case PROBE_CLOSED:
        *(PULONG)Data = (ULONG)FiltersClosed;
        return STATUS_SUCCESS;
    default:
        return AddConnections(filter);
    }
}

static NTSTATUS GetNumbers(PIRP Irp, PKSPROPERTY Property, PVOID Data)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    PKSFILTER filter = KsGetFilterFromIrp(Irp);

    RtlZeroMemory(Data, PROBE_NUMBERS * sizeof(ULONGLONG));
    Irp->IoStatus.Information = PROBE_NUMBERS * sizeof(ULONGLONG);
    switch (Property->Id) {
    case PROBE_MERGE:
        return ProbeMerge(filter, Data);
    case PROBE_QUEUE_ORDER:
        return ProbeQueueOrder(Data);
    case PROBE_QUEUE_CANCEL:
        return ProbeQueueCancel(Data);
    case PROBE_QUEUE_CANCEL_ALL:
        return ProbeQueueCancelAll(Data);
    case PROBE_QUEUE_MOVE:
        return ProbeQueueMove(Data);
    case PROBE_QUEUE_RACE:
        return ProbeQueueRace(Data);
    case PROBE_WORKER:
        return ProbeWorker(Data);
    case PROBE_COUNTED_WORKER:
        return ProbeCountedWorker(Data);
    case PROBE_OPEN:
        return ProbeOpen(filter, (const WCHAR *)(Property + 1),
                         stack->Parameters.DeviceIoControl.InputBufferLength - sizeof(*Property), Data);
    case PROBE_FAST:
        return ProbeFast(stack->FileObject, Data);
    case PROBE_BAGS:
        return ProbeBags(filter, Data);
    case PROBE_EDIT:
        return ProbeEdit(filter, Data);
    case PROBE_PINS:
        return ProbePins(Irp, filter, Data);
    case PROBE_NAMES:
        return ProbeNames(Irp, filter, Data);
    case PROBE_FACTORIES:
        return ProbeFactories(filter, Data);
    case PROBE_ARGUMENTS:
        return ProbeArguments(Irp, filter, Data);
    case PROBE_DEVICE:
        return ProbeDevice(Data);
    case PROBE_REMOVED:
        return ProbeRemoved(Data);
    case PROBE_POWER:
        return ProbePower(Data);
    case PROBE_FAILURES:
        return ProbeFailures(Data);
    case PROBE_TABLE:
        return ProbeTable(filter, Data);
    case PROBE_ALONE:
        return ProbeAlone(filter, Data);
    case PROBE_LATE:
        return ProbeLate(Data);
    case PROBE_LATE_PINS:
        return ProbeLatePins(Irp, filter, Data);
    case PROBE_FORWARD:
        return ProbeForward(KsGetPinFromIrp(Irp), stack->FileObject, Data);
    case PROBE_FORWARD_MORE:
        return ProbeForwardMore(KsGetPinFromIrp(Irp), stack->FileObject, Data);
    default:
        return STATUS_NOT_FOUND;
    }
}

#define GET(id, handler, size) \
    DEFINE_KSPROPERTY_ITEM(id, handler, sizeof(KSPROPERTY), size, NULL, NULL, 0, NULL, NULL, 0)
#define GET_NUMBERS(id) GET(id, GetNumbers, PROBE_NUMBERS * sizeof(ULONGLONG))

static const KSPROPERTY_ITEM FilterItems[] = {
    GET(PROBE_PIN_FACTORY, GetUlong, sizeof(ULONG)),
    GET(PROBE_NODE, GetUlong, sizeof(ULONG)),
    GET(PROBE_CONNECTIONS, GetUlong, sizeof(ULONG)),
    GET(PROBE_WILDCARD, GetUlong, sizeof(ULONG)),
    GET(PROBE_QUEUED, GetUlong, sizeof(ULONG)),
    GET(PROBE_RELEASE, GetUlong, sizeof(ULONG)),
    GET(PROBE_CLOSED, GetUlong, sizeof(ULONG)),
    GET(PROBE_MISSING, GetUlong, sizeof(ULONG)),
    GET_NUMBERS(PROBE_MERGE),
    GET_NUMBERS(PROBE_QUEUE_ORDER),
    GET_NUMBERS(PROBE_QUEUE_CANCEL),
    GET_NUMBERS(PROBE_QUEUE_CANCEL_ALL),
    GET_NUMBERS(PROBE_QUEUE_MOVE),
    GET_NUMBERS(PROBE_QUEUE_RACE),
    GET_NUMBERS(PROBE_WORKER),
    GET_NUMBERS(PROBE_COUNTED_WORKER),
    GET_NUMBERS(PROBE_OPEN),
    GET_NUMBERS(PROBE_FAST),
    GET_NUMBERS(PROBE_BAGS),
    GET_NUMBERS(PROBE_EDIT),
    GET_NUMBERS(PROBE_PINS),
    GET_NUMBERS(PROBE_NAMES),
    GET_NUMBERS(PROBE_FACTORIES),
    GET_NUMBERS(PROBE_ARGUMENTS),
    GET_NUMBERS(PROBE_DEVICE),
    GET_NUMBERS(PROBE_REMOVED),
    GET_NUMBERS(PROBE_POWER),
    GET_NUMBERS(PROBE_FAILURES),
    GET_NUMBERS(PROBE_TABLE),
    GET_NUMBERS(PROBE_ALONE),
    GET_NUMBERS(PROBE_LATE),
    GET_NUMBERS(PROBE_LATE_PINS),
    GET(PROBE_PEND, ProbePendProperty, sizeof(ULONG)),
};

static const KSPROPERTY_ITEM HandedOnItems[] = {
    GET(PROBE_HAND_ON, ProbeHandOnProperty, sizeof(ULONG)),
};

static const KSPROPERTY_ITEM PinOwnItems[] = {
    GET_NUMBERS(PROBE_FORWARD),
    GET_NUMBERS(PROBE_FORWARD_MORE),
};

static const KSPROPERTY_SET FilterSets[] = {
    DEFINE_KSPROPERTY_SET(&PropertiesId, SIZEOF_ARRAY(FilterItems), FilterItems, 0, NULL),
    DEFINE_KSPROPERTY_SET(&PinsId, SIZEOF_ARRAY(PinItems), PinItems, 0, NULL),
    DEFINE_KSPROPERTY_SET(&TopologyId, SIZEOF_ARRAY(TopologyItems), TopologyItems, 0, NULL),
    DEFINE_KSPROPERTY_SET(&InnerId, SIZEOF_ARRAY(HandedOnItems), HandedOnItems, 0, NULL),
};

static const KSPROPERTY_SET PinSets[] = {
    DEFINE_KSPROPERTY_SET(&PropertiesId, SIZEOF_ARRAY(PinOwnItems), PinOwnItems, 0, NULL),
};

static const KSAUTOMATION_TABLE FilterTable = {
    .PropertySetsCount = SIZEOF_ARRAY(FilterSets), .PropertyItemSize = sizeof(KSPROPERTY_ITEM),
    .PropertySets = FilterSets,
    .MethodSetsCount = SIZEOF_ARRAY(ProbeMethodSets), .MethodItemSize = sizeof(KSMETHOD_ITEM),
    .MethodSets = ProbeMethodSets,
};

static const KSAUTOMATION_TABLE PinTable = {
    .PropertySetsCount = SIZEOF_ARRAY(PinSets), .PropertyItemSize = sizeof(KSPROPERTY_ITEM), .PropertySets = PinSets,
};

/* ---- filters: one is opened by its category, the other by name only ------------------------------ */

static const KSPIN_DESCRIPTOR_EX Pins[] = { PIN(&PinTable) };
static const KSNODE_DESCRIPTOR Nodes[] = { { &ProbeNodeTable, &NodeA, NULL } };
static const KSNODE_DESCRIPTOR OtherNodes[] = { { NULL, &NodeA, NULL }, { NULL, &NodeB, NULL } };

static const KSFILTER_DISPATCH FilterDispatch = { .Close = FilterClose };

static const KSFILTER_DESCRIPTOR Filter = {
    .Dispatch = &FilterDispatch, .AutomationTable = &FilterTable, .Version = KSFILTER_DESCRIPTOR_VERSION, .ReferenceGuid = &ReferenceGuid,
    .PinDescriptorsCount = SIZEOF_ARRAY(Pins), .PinDescriptorSize = sizeof(Pins[0]), .PinDescriptors = Pins,
    .CategoriesCount = SIZEOF_ARRAY(Categories), .Categories = Categories,
    .NodeDescriptorsCount = SIZEOF_ARRAY(Nodes), .NodeDescriptorSize = sizeof(Nodes[0]), .NodeDescriptors = Nodes,
};

static const KSFILTER_DESCRIPTOR OtherFilter = {
    .Version = KSFILTER_DESCRIPTOR_VERSION, .ReferenceGuid = &OtherReference,
    .NodeDescriptorsCount = SIZEOF_ARRAY(OtherNodes), .NodeDescriptorSize = sizeof(OtherNodes[0]),
    .NodeDescriptors = OtherNodes,
};

static NTSTATUS Start(PKSDEVICE Device, PIRP Irp, PCM_RESOURCE_LIST Translated, PCM_RESOURCE_LIST Untranslated)
{
    PKSFILTERFACTORY factory = KsGetNextSibling(KsGetFirstChild(Device));
    NTSTATUS status;

    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Translated);
    UNREFERENCED_PARAMETER(Untranslated);
    status = KsFilterFactoryAddCreateItem(factory, L"alias", NULL, KSCREATE_ITEM_FREEONSTOP);
    if (NT_SUCCESS(status))
        status = KsFilterFactoryAddCreateItem(factory, L"second", NULL, KSCREATE_ITEM_FREEONSTOP);
    if (NT_SUCCESS(status) &&
        KsFilterFactoryAddCreateItem(factory, L"SECOND", NULL, 0) != STATUS_OBJECT_NAME_COLLISION)
        status = STATUS_INTERNAL_ERROR;
    return status;
}

static const KSDEVICE_DISPATCH DeviceDispatch = { .Start = Start };
static const KSFILTER_DESCRIPTOR *const Filters[] = { &Filter, &OtherFilter };

/* KSDEVICE_DESCRIPTOR of version 0x110, which drivers for Windows 8 and later have; mingw-w64 knows the one before
 * it alone, with padding where the flags are.  avshs has that one. */
typedef struct NEWER_DESCRIPTOR {
    const KSDEVICE_DISPATCH *Dispatch;
    ULONG FilterDescriptorsCount;
    const KSFILTER_DESCRIPTOR *const *FilterDescriptors;
    ULONG Version;
    ULONG Flags;
} NEWER_DESCRIPTOR;

C_ASSERT(FIELD_OFFSET(NEWER_DESCRIPTOR, Flags) == 28);

static const NEWER_DESCRIPTOR Device = {
    .Dispatch = &DeviceDispatch, .FilterDescriptorsCount = SIZEOF_ARRAY(Filters), .FilterDescriptors = Filters,
    .Version = 0x110, .Flags = 0x00000004,      /* KSDEVICE_FLAG_ENABLE_QUERYINTERFACE */
};

DRIVER_INITIALIZE DriverEntry;

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NTSTATUS status = KsInitializeDriver(DriverObject, RegistryPath, (const KSDEVICE_DESCRIPTOR *)&Device);

    if (NT_SUCCESS(status))
        ProbeTakeOver(DriverObject);
    return status;
}
