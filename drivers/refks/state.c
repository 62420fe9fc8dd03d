/* SPDX-License-Identifier: Apache-2.0
 *
 * state.c - KSPROPERTY_CONNECTION_STATE: the way from one state to another.
 */
#include "refks.h"

/* Pins with a transport of their own are told the target at once, all others every step on the way. */
static BOOLEAN StepsSingly(const REFKS_PIN *Pin)
{
    ULONG flags = Pin->Public.Descriptor->Flags;

    if (flags & KSPIN_FLAG_USE_STANDARD_TRANSPORT)
        return TRUE;
    if (flags & KSPIN_FLAG_DO_NOT_USE_STANDARD_TRANSPORT)
        return FALSE;
    return RefksSameGuid(&Pin->Public.ConnectionInterface.Set, &RefksDefaultInterface.Set) &&
           RefksSameGuid(&Pin->Public.ConnectionMedium.Set, &RefksDefaultMedium.Set);
}

/* A sink that another pin of ours is connected to hears of the connection when it leaves the stopped state,
 * and of its end when it is back there. */
static NTSTATUS ConnectSink(REFKS_PIN *Pin)
{
    const KSPIN_DISPATCH *dispatch = Pin->Public.Descriptor->Dispatch;
    NTSTATUS status = STATUS_SUCCESS;

    if (Pin->Public.Communication == KSPIN_COMMUNICATION_SINK && !Pin->Public.ConnectionIsExternal &&
        !Pin->Connects) {
        if (dispatch && dispatch->Connect)
            status = kshs_final_status(dispatch->Connect(&Pin->Public));
        Pin->Connects = NT_SUCCESS(status);
    }
    return status;
}

static void DisconnectSink(REFKS_PIN *Pin)
{
    const KSPIN_DISPATCH *dispatch = Pin->Public.Descriptor->Dispatch;

    if (Pin->Connects && dispatch && dispatch->Disconnect)
        dispatch->Disconnect(&Pin->Public);
    Pin->Connects = FALSE;
}

static NTSTATUS Step(REFKS_PIN *Pin, KSSTATE To)
{
    const KSPIN_DISPATCH *dispatch = Pin->Public.Descriptor->Dispatch;
    KSSTATE from = Pin->Public.ClientState;
    NTSTATUS status = STATUS_SUCCESS;

    if (from == KSSTATE_STOP) {
        status = ConnectSink(Pin);
        if (!NT_SUCCESS(status))
            return status;
    }
    Pin->Public.ClientState = To;       /* as documented: before the call, and back if that fails */
    if (dispatch && dispatch->SetDeviceState)
        status = kshs_final_status(dispatch->SetDeviceState(&Pin->Public, To, from));
    if (!NT_SUCCESS(status))
        Pin->Public.ClientState = from;
    if (Pin->Public.ClientState == KSSTATE_STOP)
        DisconnectSink(Pin);
    return status;
}

NTSTATUS RefksSetPinState(REFKS_PIN *Pin, KSSTATE State)
{
    BOOLEAN singly = StepsSingly(Pin);
    NTSTATUS status = STATUS_SUCCESS;

    if (State < KSSTATE_STOP || State > KSSTATE_RUN)
        return STATUS_INVALID_PARAMETER;
    Pin->Public.DeviceState = State;
    while (NT_SUCCESS(status) && Pin->Public.ClientState != State) {
        KSSTATE from = Pin->Public.ClientState;
        KSSTATE to = State;

        if (singly)
            to = (KSSTATE)(State > from ? from + 1 : from - 1);
        status = Step(Pin, to);
    }
    if (!NT_SUCCESS(status))
        Pin->Public.DeviceState = Pin->Public.ClientState;
    return status;
}
