/* SPDX-License-Identifier: Apache-2.0
 *
 * relay.c - an AVStream minidriver as a team would write it: a filter with
 * three pins, two of which agree on a clock and a channel layout with whoever
 * is to be connected to them.  It knows nothing of any test harness.
 *
 * It builds with the WDK and with clang and mingw-w64 (docs/your-driver.md).
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

#define RELAY_TAG 'yleR'
#define RELAY_INSTANCES 8

enum { RELAY_PIN_IN, RELAY_PIN_OUT, RELAY_PIN_MONITOR };

/* Protocol: the sender proposes a rate in Hz in Argument1.  The answer is the nearest rate that the pin can keep,
 * and in Argument2 how many samples it will put into one packet of 10 ms. */
#define STATIC_RELAY_PROTOCOL_CLOCK \
    0xA7C1D2E0, 0x3B54, 0x4F6A, 0x8C, 0x90, 0x5D, 0x2E, 0x71, 0xB4, 0x06, 0x01
/* Protocol: the sender proposes a number of channels.  The answer is how many it gets, and which (a speaker mask). */
#define STATIC_RELAY_PROTOCOL_LAYOUT \
    0xA7C1D2E0, 0x3B54, 0x4F6A, 0x8C, 0x90, 0x5D, 0x2E, 0x71, 0xB4, 0x06, 0x02
#define STATIC_RELAY_FORMAT_TYPE \
    0xA7C1D2E0, 0x3B54, 0x4F6A, 0x8C, 0x90, 0x5D, 0x2E, 0x71, 0xB4, 0x06, 0x10
#define STATIC_RELAY_FORMAT_PACKETS \
    0xA7C1D2E0, 0x3B54, 0x4F6A, 0x8C, 0x90, 0x5D, 0x2E, 0x71, 0xB4, 0x06, 0x11

#define RELAY_RATE_MIN 8000
#define RELAY_RATE_MAX 48000
#define RELAY_PACKETS_PER_SECOND 100

static const GUID ProtocolClock = { STATIC_RELAY_PROTOCOL_CLOCK };
static const GUID ProtocolLayout = { STATIC_RELAY_PROTOCOL_LAYOUT };
static const GUID ReferenceGuid = { STATICGUIDOF(KSNAME_Filter) };
static const GUID Categories[] = { { STATICGUIDOF(KSCATEGORY_DATATRANSFORM) } };

typedef struct RELAY_PIN {      /* lives in the pin's object bag */
    volatile LONG Agreed;       /* handshakes that ended with an agreement */
} RELAY_PIN;

static VOID NTAPI FreePin(PVOID Memory)
{
    ExFreePoolWithTag(Memory, RELAY_TAG);
}

static ULONG_PTR Clamp(ULONG_PTR Value, ULONG_PTR Low, ULONG_PTR High)
{
    return Value < Low ? Low : Value > High ? High : Value;
}

/* Called at PASSIVE_LEVEL, possibly by several senders at once. */
static NTSTATUS RelayHandshake(PKSPIN Pin, PKSHANDSHAKE In, PKSHANDSHAKE Out)
{
    RELAY_PIN *pin = Pin->Context;
    ULONG_PTR value;

    if (IsEqualGUIDAligned(&In->ProtocolId, &ProtocolClock)) {
        value = Clamp((ULONG_PTR)In->Argument1, RELAY_RATE_MIN, RELAY_RATE_MAX);
        Out->Argument2 = (PVOID)(value / RELAY_PACKETS_PER_SECOND);
    } else if (Pin->Id == RELAY_PIN_OUT && IsEqualGUIDAligned(&In->ProtocolId, &ProtocolLayout)) {
        value = Clamp((ULONG_PTR)In->Argument1, 1, 2);
        Out->Argument2 = (PVOID)(ULONG_PTR)(value == 1 ? 4 : 3);    /* front centre; front left and right */
    } else {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    Out->ProtocolId = In->ProtocolId;
    Out->Argument1 = (PVOID)value;
    InterlockedIncrement(&pin->Agreed);
    return STATUS_SUCCESS;
}

static NTSTATUS RelayPinCreate(PKSPIN Pin, PIRP Irp)
{
    RELAY_PIN *pin = ExAllocatePoolWithTag(NonPagedPool, sizeof(*pin), RELAY_TAG);
    NTSTATUS status;

    UNREFERENCED_PARAMETER(Irp);
    if (!pin)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(pin, sizeof(*pin));
    status = KsAddItemToObjectBag(Pin->Bag, pin, FreePin);
    if (!NT_SUCCESS(status)) {
        FreePin(pin);
        return status;
    }
    Pin->Context = pin;
    if (Pin->Id != RELAY_PIN_MONITOR)
        KsPinRegisterHandshakeCallback(Pin, RelayHandshake);
    return STATUS_SUCCESS;
}

/* The stream is over for whoever waits for that event. */
static NTSTATUS RelayPinSetDeviceState(PKSPIN Pin, KSSTATE ToState, KSSTATE FromState)
{
    static const GUID set = { STATICGUIDOF(KSEVENTSETID_Connection) };

    if (FromState == KSSTATE_RUN && ToState == KSSTATE_PAUSE)
        KsPinGenerateEvents(Pin, &set, KSEVENT_CONNECTION_ENDOFSTREAM, 0, NULL, NULL, NULL);
    return STATUS_SUCCESS;
}

static const KSDATARANGE PacketRange = {
    {
        sizeof(KSDATARANGE), 0, 0, 0,
        { STATIC_RELAY_FORMAT_TYPE },
        { STATIC_RELAY_FORMAT_PACKETS },
        { STATICGUIDOF(KSDATAFORMAT_SPECIFIER_NONE) },
    }
};

static const PKSDATARANGE Ranges[] = { (PKSDATARANGE)&PacketRange };

static const KSPIN_DISPATCH PinDispatch = {
    .Create = RelayPinCreate,
    .SetDeviceState = RelayPinSetDeviceState,
};

/* No interfaces and mediums: the class driver's standard ones. */
#define RELAY_PIN(Flow, Comm)                           \
    {                                                   \
        .Dispatch = &PinDispatch,                       \
        .PinDescriptor = {                              \
            .DataRangesCount = SIZEOF_ARRAY(Ranges),    \
            .DataRanges = Ranges,                       \
            .DataFlow = (Flow),                         \
            .Communication = (Comm),                    \
        },                                              \
        .InstancesPossible = RELAY_INSTANCES,           \
    }

static const KSPIN_DESCRIPTOR_EX Pins[] = {
    RELAY_PIN(KSPIN_DATAFLOW_IN, KSPIN_COMMUNICATION_SINK),
    RELAY_PIN(KSPIN_DATAFLOW_OUT, KSPIN_COMMUNICATION_BOTH),
    RELAY_PIN(KSPIN_DATAFLOW_OUT, KSPIN_COMMUNICATION_SINK),
};

static const KSFILTER_DESCRIPTOR Filter = {
    .Version = KSFILTER_DESCRIPTOR_VERSION,
    .ReferenceGuid = &ReferenceGuid,
    .PinDescriptorsCount = SIZEOF_ARRAY(Pins),
    .PinDescriptorSize = sizeof(Pins[0]),
    .PinDescriptors = Pins,
    .CategoriesCount = SIZEOF_ARRAY(Categories),
    .Categories = Categories,
};

static const KSFILTER_DESCRIPTOR *const Filters[] = { &Filter };

static const KSDEVICE_DESCRIPTOR Device = {
    .FilterDescriptorsCount = SIZEOF_ARRAY(Filters),
    .FilterDescriptors = Filters,
    .Version = KSDEVICE_DESCRIPTOR_VERSION,
};

DRIVER_INITIALIZE DriverEntry;

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    return KsInitializeDriver(DriverObject, RegistryPath, &Device);
}
