/* SPDX-License-Identifier: Apache-2.0
 *
 * avshs.c - what the class driver is told of the device: one filter with four
 * pins.  The ranges, interfaces and mediums are spelt out, because a class
 * driver matches a connection against every one of them.
 */
#include "avshs.h"

static const GUID AvshsReference = { STATICGUIDOF(KSNAME_Filter) };
static const GUID AvshsCategories[] = { { STATICGUIDOF(KSCATEGORY_KSHS) } };

static const KSDATARANGE AvshsRange = {
    {
        sizeof(KSDATARANGE),    /* FormatSize */
        0,                      /* Flags */
        0,                      /* SampleSize */
        0,                      /* Reserved */
        { STATICGUIDOF(KSHS_FORMAT_TYPE) },
        { STATICGUIDOF(KSHS_FORMAT_SUBTYPE) },
        { STATICGUIDOF(KSDATAFORMAT_SPECIFIER_NONE) },
    }
};

/* ks.h wants pointers to changeable ranges in a constant table; nobody writes to them. */
static const PKSDATARANGE AvshsRanges[] = { (PKSDATARANGE)&AvshsRange };

static DEFINE_KSPIN_INTERFACE_TABLE(AvshsInterfaces)
{
    { { { { STATICGUIDOF(KSINTERFACESETID_Standard) }, KSINTERFACE_STANDARD_STREAMING, 0 } } }
};

static DEFINE_KSPIN_MEDIUM_TABLE(AvshsMediums)
{
    { { { { STATICGUIDOF(KSMEDIUMSETID_Standard) }, KSMEDIUM_TYPE_ANYINSTANCE, 0 } } }
};

static NTSTATUS AvshsPinCreate(PKSPIN Pin, PIRP Irp)
{
    BOOLEAN registers = FALSE;
    NTSTATUS status;

    UNREFERENCED_PARAMETER(Irp);
    status = AvshsSeenOpened(Pin, &registers);
    if (NT_SUCCESS(status) && registers)
        KsPinRegisterHandshakeCallback(Pin, AvshsPinHandshake);
    return status;
}

static NTSTATUS AvshsPinClose(PKSPIN Pin, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Irp);
    AvshsSeenClosed(Pin);
    return STATUS_SUCCESS;
}

/* No data ever streams: every change of state is agreed to, so that a handshake can be sent in each.  It may
 * be told to wait, so that one can be sent in the midst of a change, and to return whatever status. */
static NTSTATUS AvshsPinSetDeviceState(PKSPIN Pin, KSSTATE ToState, KSSTATE FromState)
{
    NTSTATUS status;
    ULONG epoch, delay = AvshsStateBegin(Pin->Id, &epoch, &status);

    UNREFERENCED_PARAMETER(FromState);
    if (delay != 0)
        AvshsBlockWait(Pin->Id, delay);
    AvshsStateEnd(Pin->Id, epoch);
    return ToState >= KSSTATE_STOP && ToState <= KSSTATE_RUN ? status : STATUS_INVALID_PARAMETER;
}

static const KSPIN_DISPATCH AvshsPinDispatch = {
    .Create = AvshsPinCreate,
    .Close = AvshsPinClose,
    .SetDeviceState = AvshsPinSetDeviceState,
};

/* A source pin may be opened alone or onto a sink pin's handle; a sink pin is only ever connected to. */
#define AVSHS_PIN(Flow, Comm)                               \
    {                                                       \
        .Dispatch = &AvshsPinDispatch,                      \
        .AutomationTable = &AvshsPinAutomation,             \
        .PinDescriptor = {                                  \
            .InterfacesCount = SIZEOF_ARRAY(AvshsInterfaces), \
            .Interfaces = AvshsInterfaces,                  \
            .MediumsCount = SIZEOF_ARRAY(AvshsMediums),     \
            .Mediums = AvshsMediums,                        \
            .DataRangesCount = SIZEOF_ARRAY(AvshsRanges),   \
            .DataRanges = AvshsRanges,                      \
            .DataFlow = (Flow),                             \
            .Communication = (Comm),                        \
        },                                                  \
        .InstancesPossible = AVSHS_INSTANCES_POSSIBLE,      \
    }

static const KSPIN_DESCRIPTOR_EX AvshsPins[KSHS_AVSHS_PINS] = {
    AVSHS_PIN(KSPIN_DATAFLOW_OUT, KSPIN_COMMUNICATION_BOTH),
    AVSHS_PIN(KSPIN_DATAFLOW_IN, KSPIN_COMMUNICATION_SINK),
    AVSHS_PIN(KSPIN_DATAFLOW_OUT, KSPIN_COMMUNICATION_BOTH),
    AVSHS_PIN(KSPIN_DATAFLOW_IN, KSPIN_COMMUNICATION_SINK),
};

static const KSFILTER_DESCRIPTOR AvshsFilter = {
    .AutomationTable = &AvshsFilterAutomation,
    .Version = KSFILTER_DESCRIPTOR_VERSION,
    .ReferenceGuid = &AvshsReference,
    .PinDescriptorsCount = SIZEOF_ARRAY(AvshsPins),
    .PinDescriptorSize = sizeof(AvshsPins[0]),
    .PinDescriptors = AvshsPins,
    .CategoriesCount = SIZEOF_ARRAY(AvshsCategories),
    .Categories = AvshsCategories,
};

static const KSFILTER_DESCRIPTOR *const AvshsFilters[] = { &AvshsFilter };

static const KSDEVICE_DESCRIPTOR AvshsDevice = {
    .FilterDescriptorsCount = SIZEOF_ARRAY(AvshsFilters),
    .FilterDescriptors = AvshsFilters,
    .Version = KSDEVICE_DESCRIPTOR_VERSION,
};

DRIVER_INITIALIZE DriverEntry;

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    AvshsSeenInitialize();
    AvshsBlockInitialize();
    return KsInitializeDriver(DriverObject, RegistryPath, &AvshsDevice);
}
