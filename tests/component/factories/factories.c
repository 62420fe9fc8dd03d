/* SPDX-License-Identifier: Apache-2.0
 *
 * factories.c - a device with several filter factories: two that share a
 * category and have one each of their own, one that lets no user in, and one
 * that comes and goes (test_factories.py).
 */
#ifdef __MINGW32__
/* mingw-w64's wdm.h defines these two after its intrinsics have declared them. */
#define __INTRINSIC_DEFINED_InterlockedBitTestAndSet
#define __INTRINSIC_DEFINED_InterlockedBitTestAndReset
#endif
#include <ntddk.h>
#include <windef.h>
#include <ks.h>

#ifdef __clang__
#pragma clang diagnostic ignored "-Wmissing-braces"     /* ks.h's GUIDs are flat lists */
#endif

#define OWN(low) 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x01, low

/* What the sample target speaks and sends, so that the tests' words fit. */
#define PROTOCOL_A 0x6B2F7A12, 0x52D3, 0x4C0E, 0x9E, 0x1B, 0x0B, 0x9C, 0x1B, 0x7D, 0x5A, 0x01
#define FORMAT 0x6B2F7A14, 0x52D3, 0x4C0E, 0x9E, 0x1B, 0x0B, 0x9C, 0x1B, 0x7D, 0x5A, 0x01
#define SUBFORMAT 0x6B2F7A15, 0x52D3, 0x4C0E, 0x9E, 0x1B, 0x0B, 0x9C, 0x1B, 0x7D, 0x5A, 0x01

enum { FIRST, SECOND, CLOSED, LATE, FACTORIES };        /* CLOSED: to user mode */

enum {                          /* properties, also in test_factories.py */
    WHO = 1,                    /* filter: which factory's */
    COUNTS = 2,                 /* filter: ULONGs, filters created of each factory and filters closed of each */
    TELL = 3,                   /* filter, behind KSPROPERTY two ULONGs: of which factory the next filter, and what */
    MAKE = 4,                   /* filter: the factory LATE; status */
    UNMAKE = 5,                 /* filter, behind KSPROPERTY a ULONG: that factory; status */
    ENABLE = 6,                 /* filter, behind KSPROPERTY two ULONGs: that factory, or not; status */
    HANDSHAKE = 7,              /* pin: ULONGLONGs, what KsPinHandshake returned, and Argument1 of the answer */
};

#define TOLD_LATER 0x10000000   /* TELL: with this bit the answer comes later; the rest is its status */

static const GUID Shared[] = { { OWN(0x01) } };
static const GUID OfFirst[] = { { OWN(0x01) }, { OWN(0x02) } };
static const GUID OfSecond[] = { { OWN(0x03) }, { OWN(0x01) } };
static const GUID OfClosed[] = { { OWN(0x04) } };
static const GUID FirstReference = { OWN(0x11) };
static const GUID SecondReference = { OWN(0x12) };
static const GUID ClosedReference = { OWN(0x13) };
static const GUID PropertiesId = { OWN(0x20) };
static const GUID Protocol = { PROTOCOL_A };

static volatile LONG Created[FACTORIES], Closed[FACTORIES], Told[FACTORIES];
static PKSFILTERFACTORY Late;

static const KSFILTER_DESCRIPTOR Filters[FACTORIES];

static ULONG Which(PKSFILTER Filter)
{
    PKSFILTERFACTORY factory = KsGetParent(Filter);

    return (ULONG)(factory->FilterDescriptor - Filters);
}

/* ---- pins ----------------------------------------------------------------------------- */

static NTSTATUS Handshake(PKSPIN Pin, PKSHANDSHAKE In, PKSHANDSHAKE Out)
{
    if (RtlCompareMemory(&In->ProtocolId, &Protocol, sizeof(GUID)) != sizeof(GUID))
        return STATUS_INVALID_DEVICE_REQUEST;
    *Out = *In;
    Out->Argument1 = (PVOID)((ULONG_PTR)In->Argument1 + 0x100 * (Which(KsPinGetParentFilter(Pin)) + 1) + Pin->Id);
    return STATUS_SUCCESS;
}

static NTSTATUS PinCreate(PKSPIN Pin, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Irp);
    KsPinRegisterHandshakeCallback(Pin, Handshake);
    return STATUS_SUCCESS;
}

static NTSTATUS GetHandshake(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    PKSPIN pin = KsGetPinFromIrp(Irp);
    KSHANDSHAKE in, out;
    PULONGLONG seen = Data;

    UNREFERENCED_PARAMETER(Request);
    RtlZeroMemory(&in, sizeof(in));
    RtlZeroMemory(&out, sizeof(out));
    in.ProtocolId = Protocol;
    seen[0] = (ULONG)KsPinHandshake(pin, &in, &out);
    seen[1] = (ULONGLONG)(ULONG_PTR)out.Argument1;
    Irp->IoStatus.Information = 2 * sizeof(ULONGLONG);
    return STATUS_SUCCESS;
}

#define GET(id, handler, input, size) DEFINE_KSPROPERTY_ITEM(id, handler, input, size, NULL, NULL, 0, NULL, NULL, 0)

static const KSPROPERTY_ITEM PinItems[] = {
    GET(HANDSHAKE, GetHandshake, sizeof(KSPROPERTY), 2 * sizeof(ULONGLONG)),
};
static const KSPROPERTY_SET PinSets[] = {
    DEFINE_KSPROPERTY_SET(&PropertiesId, SIZEOF_ARRAY(PinItems), PinItems, 0, NULL),
};
static const KSAUTOMATION_TABLE PinTable = {
    .PropertySetsCount = SIZEOF_ARRAY(PinSets), .PropertyItemSize = sizeof(KSPROPERTY_ITEM), .PropertySets = PinSets,
};

static const KSDATARANGE Range = { { sizeof(KSDATARANGE), 0, 0, 0, { FORMAT }, { SUBFORMAT },
                                     { STATICGUIDOF(KSDATAFORMAT_SPECIFIER_NONE) } } };
static const PKSDATARANGE Ranges[] = { (PKSDATARANGE)&Range };
static const KSPIN_DISPATCH PinDispatch = { .Create = PinCreate };

#define PIN(flow, communication) \
    { .Dispatch = &PinDispatch, .AutomationTable = &PinTable, \
      .PinDescriptor = { .DataRangesCount = SIZEOF_ARRAY(Ranges), .DataRanges = Ranges, .DataFlow = (flow), \
                         .Communication = (communication) }, \
      .InstancesPossible = 2 }

static const KSPIN_DESCRIPTOR_EX Pins[] = {
    PIN(KSPIN_DATAFLOW_IN, KSPIN_COMMUNICATION_SINK),
    PIN(KSPIN_DATAFLOW_OUT, KSPIN_COMMUNICATION_BOTH),
    PIN(KSPIN_DATAFLOW_IN, KSPIN_COMMUNICATION_SINK),
};

/* ---- filters -------------------------------------------------------------------------- */

typedef struct LATER {
    PIRP Irp;
    NTSTATUS Status;
} LATER;

static VOID NTAPI AnswerLater(PVOID Context)
{
    LATER later = *(LATER *)Context;
    LARGE_INTEGER while_others_look;

    ExFreePool(Context);
    while_others_look.QuadPart = -50 * 10000;           /* 50 ms */
    (void)KeDelayExecutionThread(KernelMode, FALSE, &while_others_look);
    later.Irp->IoStatus.Status = later.Status;
    KsCompletePendingRequest(later.Irp);
    (void)PsTerminateSystemThread(STATUS_SUCCESS);
}

static NTSTATUS FilterCreate(PKSFILTER Filter, PIRP Irp)
{
    ULONG which = Which(Filter);
    LONG told = InterlockedExchange(&Told[which], 0);
    OBJECT_ATTRIBUTES attributes;
    LATER *later;
    HANDLE thread;

    if (NT_SUCCESS((NTSTATUS)(told & ~TOLD_LATER)))
        InterlockedIncrement(&Created[which]);
    if (!(told & TOLD_LATER))
        return (NTSTATUS)told;
    later = ExAllocatePoolWithTag(NonPagedPool, sizeof(*later), 'tcaF');
    if (!later)
        return STATUS_INSUFFICIENT_RESOURCES;
    later->Irp = Irp;
    later->Status = (NTSTATUS)(told & ~TOLD_LATER);
    IoMarkIrpPending(Irp);
    InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    if (!NT_SUCCESS(PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, &attributes, NULL, NULL, AnswerLater, later)))
        return STATUS_INSUFFICIENT_RESOURCES;
    (void)ZwClose(thread);
    return STATUS_PENDING;
}

static NTSTATUS FilterClose(PKSFILTER Filter, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Irp);
    InterlockedIncrement(&Closed[Which(Filter)]);
    return STATUS_SUCCESS;
}

static NTSTATUS MakeLate(PKSDEVICE Device)
{
    NTSTATUS status;

    KsAcquireDevice(Device);
    status = Late ? STATUS_OBJECT_NAME_COLLISION
                  : KsCreateFilterFactory(Device->FunctionalDeviceObject, &Filters[LATE], L"late", NULL, 0, NULL, NULL,
                                          &Late);
    if (NT_SUCCESS(status))
        status = KsFilterFactorySetDeviceClassesState(Late, TRUE);
    KsReleaseDevice(Device);
    return status;
}

static PKSFILTERFACTORY Factory(PKSDEVICE Device, ULONG Number)
{
    PKSFILTERFACTORY factory = KsGetFirstChild(Device);

    while (factory && factory->FilterDescriptor != &Filters[Number])
        factory = KsGetNextSibling(factory);
    return factory;
}

static NTSTATUS Delete(PKSDEVICE Device, ULONG Number)
{
    PKSFILTERFACTORY factory;
    NTSTATUS status = STATUS_OBJECT_NAME_NOT_FOUND;

    KsAcquireDevice(Device);
    factory = Number < FACTORIES ? Factory(Device, Number) : NULL;
    if (factory)                /* as KsDeleteFilterFactory of ks.h */
        status = KsFreeObjectCreateItemsByContext(*(KSDEVICE_HEADER *)Device->FunctionalDeviceObject->DeviceExtension,
                                                  factory);
    if (NT_SUCCESS(status) && Number == LATE)
        Late = NULL;
    KsReleaseDevice(Device);
    return status;
}

static NTSTATUS Enable(PKSDEVICE Device, ULONG Number, BOOLEAN On)
{
    PKSFILTERFACTORY factory = Number < FACTORIES ? Factory(Device, Number) : NULL;

    return factory ? KsFilterFactorySetDeviceClassesState(factory, On) : STATUS_OBJECT_NAME_NOT_FOUND;
}

static NTSTATUS GetCounts(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    ULONG number;

    UNREFERENCED_PARAMETER(Request);
    for (number = 0; number < FACTORIES; number++) {
        ((PULONG)Data)[number] = (ULONG)Created[number];
        ((PULONG)Data)[FACTORIES + number] = (ULONG)Closed[number];
    }
    Irp->IoStatus.Information = 2 * FACTORIES * sizeof(ULONG);
    return STATUS_SUCCESS;
}

static NTSTATUS GetUlong(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    const ULONG *given = (const ULONG *)((PKSPROPERTY)Request + 1);
    PKSFILTER filter = KsGetFilterFromIrp(Irp);
    PULONG answer = Data;

    *answer = 0;
    Irp->IoStatus.Information = sizeof(ULONG);
    switch (Request->Id) {
    case WHO:
        *answer = Which(filter);
        break;
    case TELL:
        if (given[0] < FACTORIES)
            InterlockedExchange(&Told[given[0]], (LONG)given[1]);
        break;
    case MAKE:
        *answer = (ULONG)MakeLate(KsGetDevice(filter));
        break;
    case UNMAKE:
        *answer = (ULONG)Delete(KsGetDevice(filter), given[0]);
        break;
    default:
        *answer = (ULONG)Enable(KsGetDevice(filter), given[0], (BOOLEAN)(given[1] != 0));
        break;
    }
    return STATUS_SUCCESS;
}

static const KSPROPERTY_ITEM FilterItems[] = {
    GET(WHO, GetUlong, sizeof(KSPROPERTY), sizeof(ULONG)),
    GET(COUNTS, GetCounts, sizeof(KSPROPERTY), 2 * FACTORIES * sizeof(ULONG)),
    GET(TELL, GetUlong, sizeof(KSPROPERTY) + 2 * sizeof(ULONG), sizeof(ULONG)),
    GET(MAKE, GetUlong, sizeof(KSPROPERTY), sizeof(ULONG)),
    GET(UNMAKE, GetUlong, sizeof(KSPROPERTY) + sizeof(ULONG), sizeof(ULONG)),
    GET(ENABLE, GetUlong, sizeof(KSPROPERTY) + 2 * sizeof(ULONG), sizeof(ULONG)),
};
static const KSPROPERTY_SET FilterSets[] = {
    DEFINE_KSPROPERTY_SET(&PropertiesId, SIZEOF_ARRAY(FilterItems), FilterItems, 0, NULL),
};
static const KSAUTOMATION_TABLE FilterTable = {
    .PropertySetsCount = SIZEOF_ARRAY(FilterSets), .PropertyItemSize = sizeof(KSPROPERTY_ITEM),
    .PropertySets = FilterSets,
};
static const KSFILTER_DISPATCH FilterDispatch = { .Create = FilterCreate, .Close = FilterClose };

#define FILTER(reference, categories, flags) \
    { .Dispatch = &FilterDispatch, .AutomationTable = &FilterTable, .Version = KSFILTER_DESCRIPTOR_VERSION, \
      .Flags = (flags), .ReferenceGuid = (reference), .PinDescriptorsCount = SIZEOF_ARRAY(Pins), \
      .PinDescriptorSize = sizeof(Pins[0]), .PinDescriptors = Pins, \
      .CategoriesCount = SIZEOF_ARRAY(categories), .Categories = (categories) }

static const KSFILTER_DESCRIPTOR Filters[FACTORIES] = {
    FILTER(&FirstReference, OfFirst, 0),
    FILTER(&SecondReference, OfSecond, 0),
    FILTER(&ClosedReference, OfClosed, KSFILTER_FLAG_DENY_USERMODE_ACCESS),
    FILTER(NULL, Shared, 0),
};

static const KSFILTER_DESCRIPTOR *const AtFirst[] = { &Filters[FIRST], &Filters[SECOND], &Filters[CLOSED] };
static const KSDEVICE_DESCRIPTOR Device = {
    .FilterDescriptorsCount = SIZEOF_ARRAY(AtFirst), .FilterDescriptors = AtFirst,
    .Version = KSDEVICE_DESCRIPTOR_VERSION,
};

DRIVER_INITIALIZE DriverEntry;

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    return KsInitializeDriver(DriverObject, RegistryPath, &Device);
}
