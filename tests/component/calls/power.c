/* SPDX-License-Identifier: Apache-2.0
 *
 * power.c - the power management framework, requests to keep the system on, and interrupts.
 */
#include "calls.h"

static const GUID Code = { 0x0B2C1E55, 0x7A10, 0x4C02, { 1, 2, 3, 4, 5, 6, 7, 8 } };
static PO_FX_COMPONENT_IDLE_STATE States[2];
static POHANDLE Handle;
static volatile LONG Active, Idle, Answers;

static VOID NTAPI IsActive(PVOID Context, ULONG Component)
{
    if (Context == &Active && Component == 1)
        (void)InterlockedIncrement(&Active);
}

static VOID NTAPI IsIdle(PVOID Context, ULONG Component)
{
    if (Context == &Active && Component == 1)
        (void)InterlockedIncrement(&Idle);
    if (Answers)
        PoFxCompleteIdleCondition(Handle, Component);
}

static VOID NTAPI State(PVOID Context, ULONG Component, ULONG To)
{
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(To);
    PoFxCompleteIdleState(Handle, Component);
}

static struct {
    PO_FX_DEVICE Device;
    PO_FX_COMPONENT Second;
} Described;

static NTSTATUS Register(VOID)
{
    RtlZeroMemory(&Described, sizeof(Described));
    Described.Device.Version = PO_FX_VERSION;
    Described.Device.ComponentCount = 2;
    Described.Device.ComponentActiveConditionCallback = IsActive;
    Described.Device.ComponentIdleConditionCallback = IsIdle;
    Described.Device.ComponentIdleStateCallback = State;
    Described.Device.DeviceContext = (PVOID)(ULONG_PTR)&Active;
    Described.Device.Components[0].IdleStateCount = RTL_NUMBER_OF(States);
    Described.Device.Components[0].IdleStates = States;
    Described.Second = Described.Device.Components[0];
    Active = Idle = 0;
    Answers = 1;
    return PoFxRegisterDevice(Pdo, &Described.Device, &Handle);
}

PROBE(Probe_PoFxRegisterDevice)
{
    EXPECT(NT_SUCCESS(Register()), "fails");
    PoFxUnregisterDevice(Handle);
    EXPECT(!Active && !Idle, "calls the driver before its power management has started");
    Described.Second.IdleStateCount = 0;
    EXPECT(PoFxRegisterDevice(Pdo, &Described.Device, &Handle) == STATUS_INVALID_PARAMETER,
           "takes a component without states");
    EXPECT(PoFxRegisterDevice(NULL, &Described.Device, &Handle) == STATUS_INVALID_PARAMETER, "takes no device");
}

PROBE(Probe_PoFxStartDevicePowerManagement)
{
    EXPECT(NT_SUCCESS(Register()), "finds what cannot be registered");
    PoFxStartDevicePowerManagement(Handle);
    EXPECT(Reaches(&Idle, 1), "makes no component idle");
    PoFxUnregisterDevice(Handle);
    EXPECT(NT_SUCCESS(Register()), "finds what cannot be registered again");
    PoFxActivateComponent(Handle, 1, PO_FX_FLAG_BLOCKING);
    PoFxStartDevicePowerManagement(Handle);
    Sleep(50);
    PoFxUnregisterDevice(Handle);
    EXPECT(!Idle && !Active, "does not leave a component active that the driver holds");
}

PROBE(Probe_PoFxActivateComponent)
{
    EXPECT(NT_SUCCESS(Register()), "finds what cannot be registered");
    PoFxStartDevicePowerManagement(Handle);
    (void)Reaches(&Idle, 1);
    PoFxActivateComponent(Handle, 1, PO_FX_FLAG_BLOCKING);
    EXPECT(Active == 1, "returns before the component is active");
    PoFxActivateComponent(Handle, 1, PO_FX_FLAG_BLOCKING);
    EXPECT(Active == 1, "calls the driver for a component that is active");
    PoFxIdleComponent(Handle, 1, PO_FX_FLAG_BLOCKING);
    PoFxIdleComponent(Handle, 1, PO_FX_FLAG_BLOCKING);
    PoFxActivateComponent(Handle, 1, PO_FX_FLAG_ASYNC_ONLY);
    EXPECT(Reaches(&Active, 2), "never makes the component active from another thread");
    PoFxUnregisterDevice(Handle);
}

/* The driver has yet to say that the component is idle. */
PROBE(ActivatedBeforeIdle)
{
    EXPECT(NT_SUCCESS(Register()), "finds what cannot be registered");
    Answers = 0;
    PoFxStartDevicePowerManagement(Handle);
    (void)Reaches(&Idle, 1);
    PoFxActivateComponent(Handle, 1, PO_FX_FLAG_ASYNC_ONLY);
    Sleep(50);
    EXPECT(!Active, "makes a component active that is not idle yet");
    PoFxCompleteIdleCondition(Handle, 1);
    EXPECT(Reaches(&Active, 1), "forgets a component that was not idle yet");
    PoFxUnregisterDevice(Handle);
}

PROBE(Probe_PoFxIdleComponent)
{
    EXPECT(NT_SUCCESS(Register()), "finds what cannot be registered");
    PoFxActivateComponent(Handle, 1, 0);
    PoFxStartDevicePowerManagement(Handle);
    PoFxActivateComponent(Handle, 1, 0);
    PoFxIdleComponent(Handle, 1, PO_FX_FLAG_BLOCKING);
    EXPECT(!Idle, "makes a component idle that is still held");
    PoFxIdleComponent(Handle, 1, PO_FX_FLAG_BLOCKING);
    EXPECT(Idle == 1, "returns before the component is idle");
    PoFxUnregisterDevice(Handle);
}

PROBE(Probe_PoFxPowerControl)
{
    EXPECT(NT_SUCCESS(Register()), "finds what cannot be registered");
    EXPECT(PoFxPowerControl(Handle, &Code, NULL, 0, NULL, 0, NULL) == STATUS_NOT_IMPLEMENTED,
           "knows a code that nobody has made");
    PoFxUnregisterDevice(Handle);
}

PROBE(Probe_PoCreatePowerRequest)
{
    COUNTED_REASON_CONTEXT reason;
    PVOID request = NULL;

    RtlZeroMemory(&reason, sizeof(reason));
    EXPECT(NT_SUCCESS(PoCreatePowerRequest(&request, Fdo, &reason)) && request, "fails");
    EXPECT(NT_SUCCESS(PoSetPowerRequest(request, PowerRequestSystemRequired)), "makes what cannot be set");
    EXPECT(NT_SUCCESS(PoClearPowerRequest(request, PowerRequestSystemRequired)), "makes what cannot be cleared");
    EXPECT(!NT_SUCCESS(PoClearPowerRequest(request, PowerRequestSystemRequired)), "makes what is cleared twice");
    PoDeletePowerRequest(request);
}

/* ---- interrupts: this device has none ------------------------------------------------------------ */

static BOOLEAN NTAPI Serve(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    UNREFERENCED_PARAMETER(Context);
    return FALSE;
}

PROBE(Probe_IoConnectInterrupt)
{
    PKINTERRUPT interrupt = (PKINTERRUPT)1;

    EXPECT(!NT_SUCCESS(IoConnectInterrupt(&interrupt, Serve, NULL, NULL, 0x91, 9, 9, LevelSensitive, TRUE, 0, FALSE)),
           "connects what is on no processor");
}

PROBE(Probe_IoConnectInterruptEx)
{
    IO_CONNECT_INTERRUPT_PARAMETERS parameters;
    PKINTERRUPT interrupt = NULL;

    RtlZeroMemory(&parameters, sizeof(parameters));
    parameters.Version = CONNECT_LINE_BASED;
    parameters.LineBased.PhysicalDeviceObject = Pdo;
    parameters.LineBased.InterruptObject = &interrupt;
    parameters.LineBased.ServiceRoutine = Serve;
    EXPECT(IoConnectInterruptEx(&parameters) == STATUS_NOT_FOUND, "does not answer STATUS_NOT_FOUND");
    parameters.LineBased.PhysicalDeviceObject = NULL;
    EXPECT(IoConnectInterruptEx(&parameters) == STATUS_INVALID_PARAMETER, "takes no device");
    parameters.Version = 99;
    EXPECT(IoConnectInterruptEx(&parameters) == STATUS_INVALID_PARAMETER_1, "takes any version");
}

const PROBE PowerProbes[] = {
    P(PoFxRegisterDevice), P(PoFxStartDevicePowerManagement), P(PoFxActivateComponent),
    CASE(PoFxActivateComponent, "before the component is idle", ActivatedBeforeIdle), P(PoFxIdleComponent),
    P(PoFxPowerControl), P(PoCreatePowerRequest), P(IoConnectInterrupt), P(IoConnectInterruptEx), ENDS
};
