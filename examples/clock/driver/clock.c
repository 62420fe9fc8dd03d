/* SPDX-License-Identifier: Apache-2.0
 *
 * clock.c - a filter whose pins follow the clock of whoever is to be connected to
 * them.  Its handshakes carry pointers, as the reference page of KSHANDSHAKE says
 * that they mostly do: the sender's clock comes as an interface by reference and
 * is kept until the pin is closed, and the pin gives an interface of its own back.
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

#define CLOCK_TAG 'kclC'
#define CLOCK_INSTANCES 32
#define CLOCK_VERSION 0x0100

enum { CLOCK_PIN_OUT, CLOCK_PIN_IN };

/* ---- what both sides agree on ----------------------------------------------- */

/* Protocol: Argument1 is the sender's CLOCK_INTERFACE, borrowed for the call; Argument2 is NULL.  The answer's
 * Argument1 is the pin's FOLLOWER_INTERFACE, with a reference that is the sender's to give back. */
static const GUID ProtocolClock = { 0x8C1F6E20, 0x51D4, 0x4B8E, { 0x9D, 0x37, 0x60, 0x2A, 0xB8, 0x15, 0xC7, 0x01 } };
/* Protocol: Argument1 points to a RATE, which is read during the call.  The answer's Argument1 points to the slowest
 * RATE that the pin can keep, in its own memory, and Argument2 is the rate in Hz that was agreed on. */
static const GUID ProtocolRate = { 0x8C1F6E20, 0x51D4, 0x4B8E, { 0x9D, 0x37, 0x60, 0x2A, 0xB8, 0x15, 0xC7, 0x02 } };

typedef struct CLOCK_INTERFACE {        /* INTERFACE of wdm.h, and one function */
    USHORT Size;
    USHORT Version;
    PVOID Context;
    VOID (NTAPI *InterfaceReference)(PVOID Context);
    VOID (NTAPI *InterfaceDereference)(PVOID Context);
    ULONGLONG (NTAPI *GetTime)(PVOID Context);
} CLOCK_INTERFACE;

typedef struct FOLLOWER_INTERFACE {
    USHORT Size;
    USHORT Version;
    PVOID Context;
    VOID (NTAPI *InterfaceReference)(PVOID Context);
    VOID (NTAPI *InterfaceDereference)(PVOID Context);
    ULONGLONG (NTAPI *GetLastTime)(PVOID Context);
} FOLLOWER_INTERFACE;

typedef struct RATE {
    ULONG Size;
    ULONG Numerator;
    ULONG Denominator;
} RATE;

#define RATE_MAX 48000
static const RATE SlowestRate = { sizeof(RATE), 8000, 1 };

/* ---- the follower: lives as long as somebody has a reference ------------------- */

typedef struct FOLLOWER {
    volatile LONG References;
    volatile LONGLONG LastTime;
    FOLLOWER_INTERFACE Interface;
} FOLLOWER;

static VOID NTAPI ReferenceFollower(PVOID Context)
{
    InterlockedIncrement(&((FOLLOWER *)Context)->References);
}

static VOID NTAPI DereferenceFollower(PVOID Context)
{
    if (!InterlockedDecrement(&((FOLLOWER *)Context)->References))
        ExFreePoolWithTag(Context, CLOCK_TAG);
}

static ULONGLONG NTAPI GetLastTime(PVOID Context)
{
    return (ULONGLONG)((FOLLOWER *)Context)->LastTime;
}

static FOLLOWER *CreateFollower(VOID)
{
    FOLLOWER *follower = ExAllocatePoolWithTag(NonPagedPool, sizeof(*follower), CLOCK_TAG);

    if (!follower)
        return NULL;
    RtlZeroMemory(follower, sizeof(*follower));
    follower->References = 1;
    follower->Interface.Size = sizeof(follower->Interface);
    follower->Interface.Version = CLOCK_VERSION;
    follower->Interface.Context = follower;
    follower->Interface.InterfaceReference = ReferenceFollower;
    follower->Interface.InterfaceDereference = DereferenceFollower;
    follower->Interface.GetLastTime = GetLastTime;
    return follower;
}

/* ---- the pins -------------------------------------------------------------------- */

typedef struct CLOCK_PIN {
    KSPIN_LOCK Lock;
    CLOCK_INTERFACE Clock;              /* a copy, as the sender's structure is borrowed; all zero: none */
    FOLLOWER *Follower;
} CLOCK_PIN;

/* Puts another clock, or none, into the place of the pin's. */
static VOID ReplaceClock(CLOCK_PIN *Pin, const CLOCK_INTERFACE *Clock)
{
    CLOCK_INTERFACE old;
    KIRQL irql;

    KeAcquireSpinLock(&Pin->Lock, &irql);
    old = Pin->Clock;
    Pin->Clock = *Clock;
    KeReleaseSpinLock(&Pin->Lock, irql);
    if (old.InterfaceDereference)
        old.InterfaceDereference(old.Context);
}

static NTSTATUS FollowClock(CLOCK_PIN *Pin, const CLOCK_INTERFACE *Clock)
{
    if (!Clock || Clock->Size < sizeof(*Clock) || Clock->Version != CLOCK_VERSION)
        return STATUS_INVALID_DEVICE_REQUEST;
    Clock->InterfaceReference(Clock->Context);
    Pin->Follower->LastTime = (LONGLONG)Clock->GetTime(Clock->Context);
    ReplaceClock(Pin, Clock);
    return STATUS_SUCCESS;
}

static NTSTATUS AgreeOnRate(const RATE *Rate, PKSHANDSHAKE Out)
{
    ULONG hertz;

    if (!Rate || Rate->Size < sizeof(*Rate) || !Rate->Denominator)
        return STATUS_INVALID_DEVICE_REQUEST;
    hertz = Rate->Numerator / Rate->Denominator;
    if (hertz < SlowestRate.Numerator)
        hertz = SlowestRate.Numerator;
    if (hertz > RATE_MAX)
        hertz = RATE_MAX;
    Out->Argument1 = (PVOID)&SlowestRate;
    Out->Argument2 = (PVOID)(ULONG_PTR)hertz;
    return STATUS_SUCCESS;
}

/* Called at PASSIVE_LEVEL, possibly by several senders at once. */
static NTSTATUS NTAPI ClockHandshake(PKSPIN Pin, PKSHANDSHAKE In, PKSHANDSHAKE Out)
{
    CLOCK_PIN *pin = Pin->Context;
    NTSTATUS status = STATUS_INVALID_DEVICE_REQUEST;

    if (IsEqualGUIDAligned(&In->ProtocolId, &ProtocolRate)) {
        status = AgreeOnRate(In->Argument1, Out);
    } else if (IsEqualGUIDAligned(&In->ProtocolId, &ProtocolClock)) {
        status = FollowClock(pin, In->Argument1);
        if (NT_SUCCESS(status)) {
            ReferenceFollower(pin->Follower);
            Out->Argument1 = &pin->Follower->Interface;
            Out->Argument2 = NULL;
        }
    }
    if (NT_SUCCESS(status))
        Out->ProtocolId = In->ProtocolId;
    return status;
}

static NTSTATUS NTAPI ClockPinCreate(PKSPIN Pin, PIRP Irp)
{
    CLOCK_PIN *pin = ExAllocatePoolWithTag(NonPagedPool, sizeof(*pin), CLOCK_TAG);

    UNREFERENCED_PARAMETER(Irp);
    if (!pin)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(pin, sizeof(*pin));
    KeInitializeSpinLock(&pin->Lock);
    pin->Follower = CreateFollower();
    if (!pin->Follower) {
        ExFreePoolWithTag(pin, CLOCK_TAG);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Pin->Context = pin;
    KsPinRegisterHandshakeCallback(Pin, ClockHandshake);
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI ClockPinClose(PKSPIN Pin, PIRP Irp)
{
    static const CLOCK_INTERFACE none;
    CLOCK_PIN *pin = Pin->Context;

    UNREFERENCED_PARAMETER(Irp);
    ReplaceClock(pin, &none);
    DereferenceFollower(pin->Follower);
    ExFreePoolWithTag(pin, CLOCK_TAG);
    return STATUS_SUCCESS;
}

/* The time at which the stream begins is the sender's. */
static NTSTATUS NTAPI ClockPinSetDeviceState(PKSPIN Pin, KSSTATE ToState, KSSTATE FromState)
{
    CLOCK_PIN *pin = Pin->Context;
    CLOCK_INTERFACE clock;
    KIRQL irql;

    UNREFERENCED_PARAMETER(FromState);
    if (ToState != KSSTATE_RUN)
        return STATUS_SUCCESS;
    KeAcquireSpinLock(&pin->Lock, &irql);
    clock = pin->Clock;
    if (clock.InterfaceReference)
        clock.InterfaceReference(clock.Context);        /* a handshake may replace it meanwhile */
    KeReleaseSpinLock(&pin->Lock, irql);
    if (clock.InterfaceReference) {
        pin->Follower->LastTime = (LONGLONG)clock.GetTime(clock.Context);
        clock.InterfaceDereference(clock.Context);
    }
    return STATUS_SUCCESS;
}

static const KSDATARANGE TicksRange = {
    {
        sizeof(KSDATARANGE), 0, 0, 0,
        { 0x8C1F6E20, 0x51D4, 0x4B8E, { 0x9D, 0x37, 0x60, 0x2A, 0xB8, 0x15, 0xC7, 0x10 } },
        { 0x8C1F6E20, 0x51D4, 0x4B8E, { 0x9D, 0x37, 0x60, 0x2A, 0xB8, 0x15, 0xC7, 0x11 } },
        { STATICGUIDOF(KSDATAFORMAT_SPECIFIER_NONE) },
    }
};

static const PKSDATARANGE Ranges[] = { (PKSDATARANGE)&TicksRange };
static const KSPIN_DISPATCH PinDispatch = {
    .Create = ClockPinCreate,
    .Close = ClockPinClose,
    .SetDeviceState = ClockPinSetDeviceState,
};

#define CLOCK_PIN_DESCRIPTOR(Flow, Comm)                \
    {                                                   \
        .Dispatch = &PinDispatch,                       \
        .PinDescriptor = {                              \
            .DataRangesCount = SIZEOF_ARRAY(Ranges),    \
            .DataRanges = Ranges,                       \
            .DataFlow = (Flow),                         \
            .Communication = (Comm),                    \
        },                                              \
        .InstancesPossible = CLOCK_INSTANCES,           \
    }

static const KSPIN_DESCRIPTOR_EX Pins[] = {
    CLOCK_PIN_DESCRIPTOR(KSPIN_DATAFLOW_OUT, KSPIN_COMMUNICATION_BOTH),
    CLOCK_PIN_DESCRIPTOR(KSPIN_DATAFLOW_IN, KSPIN_COMMUNICATION_SINK),
};

static const GUID ReferenceGuid = { STATICGUIDOF(KSNAME_Filter) };
static const GUID Categories[] = { { STATICGUIDOF(KSCATEGORY_DATATRANSFORM) } };

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
