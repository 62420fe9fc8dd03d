/* SPDX-License-Identifier: Apache-2.0
 *
 * seen.c - which pins exist, how each pin id is to behave, and what its
 * callbacks saw.
 *
 * The state belongs to the driver's image and not to a device or filter: the
 * image outlives every pin and every callback that is still inside when a
 * device goes away, so nothing here can be freed under a late callback, and
 * what was seen survives a restart of the device.
 *
 * A class driver that calls back for a closed pin is a bug to be shown, not
 * to be died of.  A callback therefore never follows a pointer out of its
 * KSPIN before the address was found among the open pins.
 */
#include "avshs.h"

/* Addresses of pins that were closed last, to know a late callback's pin id by. */
#define AVSHS_CLOSED_KEPT 256

typedef struct AVSHS_INSTANCE {
    LIST_ENTRY link;
    PKSPIN pin;
    ULONG pin_id;
    uint64_t number;
} AVSHS_INSTANCE;

typedef struct AVSHS_PIN_STATE {
    kshs_behaviour behaviour;
    kshs_seen seen;
    ULONG epoch;                /* RESETs so far */
    ULONG inside;               /* callbacks that have begun and not ended; RESET leaves it */
} AVSHS_PIN_STATE;

static struct {
    KSPIN_LOCK lock;            /* everything here */
    LIST_ENTRY open;            /* AVSHS_INSTANCE */
    uint64_t last_number;
    AVSHS_PIN_STATE pins[KSHS_AVSHS_PINS];
    struct {
        PKSPIN pin;
        ULONG pin_id;
    } closed[AVSHS_CLOSED_KEPT];
    ULONG next_closed;
} Seen;

static void SetDefault(ULONG PinId)
{
    AVSHS_PIN_STATE *state = &Seen.pins[PinId];

    RtlZeroMemory(&state->behaviour, sizeof(state->behaviour));
    state->behaviour.pin_id = PinId;
    state->behaviour.kind = KSHS_BEHAVE_DEFAULT;
    RtlZeroMemory(&state->seen, sizeof(state->seen));
    state->seen.pin_id = PinId;
}

void AvshsSeenInitialize(void)
{
    ULONG pin_id;

    KeInitializeSpinLock(&Seen.lock);
    InitializeListHead(&Seen.open);
    for (pin_id = 0; pin_id < KSHS_AVSHS_PINS; pin_id++)
        SetDefault(pin_id);
}

/* The open instance at this address, or NULL.  The lock is held; the pin is not touched. */
static AVSHS_INSTANCE *FindOpen(PKSPIN Pin)
{
    LIST_ENTRY *entry;

    for (entry = Seen.open.Flink; entry != &Seen.open; entry = entry->Flink) {
        AVSHS_INSTANCE *instance = CONTAINING_RECORD(entry, AVSHS_INSTANCE, link);

        if (instance->pin == Pin)
            return instance;
    }
    return NULL;
}

/* The pin id that a closed pin at this address had, or KSHS_AVSHS_PINS.  The lock is held. */
static ULONG FindClosed(PKSPIN Pin)
{
    ULONG age;

    for (age = 1; age <= AVSHS_CLOSED_KEPT; age++) {
        ULONG index = (Seen.next_closed + AVSHS_CLOSED_KEPT - age) % AVSHS_CLOSED_KEPT;

        if (Seen.closed[index].pin == Pin)
            return Seen.closed[index].pin_id;
    }
    return KSHS_AVSHS_PINS;
}

NTSTATUS AvshsSeenOpened(PKSPIN Pin, BOOLEAN *RegisterCallback)
{
    AVSHS_INSTANCE *instance;
    KIRQL irql;

    if (Pin->Id >= KSHS_AVSHS_PINS)
        return STATUS_INVALID_PARAMETER;
    instance = ExAllocatePoolWithTag(NonPagedPool, sizeof(*instance), AVSHS_POOL_TAG);
    if (instance == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    instance->pin = Pin;
    instance->pin_id = Pin->Id;

    KeAcquireSpinLock(&Seen.lock, &irql);
    instance->number = ++Seen.last_number;
    InsertHeadList(&Seen.open, &instance->link);
    Seen.pins[instance->pin_id].seen.opened++;
    *RegisterCallback = Seen.pins[instance->pin_id].behaviour.kind != KSHS_BEHAVE_NO_CALLBACK;
    KeReleaseSpinLock(&Seen.lock, irql);

    Pin->Context = instance;
    return STATUS_SUCCESS;
}

void AvshsSeenClosed(PKSPIN Pin)
{
    AVSHS_INSTANCE *instance = Pin->Context;
    KIRQL irql;

    if (instance == NULL)
        return;
    Pin->Context = NULL;

    KeAcquireSpinLock(&Seen.lock, &irql);
    RemoveEntryList(&instance->link);
    Seen.pins[instance->pin_id].seen.closed++;
    Seen.closed[Seen.next_closed].pin = Pin;
    Seen.closed[Seen.next_closed].pin_id = instance->pin_id;
    Seen.next_closed = (Seen.next_closed + 1) % AVSHS_CLOSED_KEPT;
    KeReleaseSpinLock(&Seen.lock, irql);

    ExFreePoolWithTag(instance, AVSHS_POOL_TAG);
}

/* A caller's memory may be paged out: it is read before the lock is taken, which raises the IRQL. */
static void ReadRequest(kshs_handshake *Target, const KSHANDSHAKE *In)
{
    RtlZeroMemory(Target, sizeof(*Target));
    if (In == NULL)
        return;
    RtlCopyMemory(&Target->protocol, &In->ProtocolId, sizeof(Target->protocol));
    Target->argument1 = (uint64_t)(ULONG_PTR)In->Argument1;
    Target->argument2 = (uint64_t)(ULONG_PTR)In->Argument2;
}

NTSTATUS AvshsSeenBegin(PKSPIN Pin, const KSHANDSHAKE *In, const KSHANDSHAKE *Out, AVSHS_CALL *Call)
{
    AVSHS_INSTANCE *instance;
    AVSHS_PIN_STATE *state;
    kshs_handshake request;
    NTSTATUS status = STATUS_SUCCESS;
    KIRQL irql;

    RtlZeroMemory(Call, sizeof(*Call));
    Call->pin = Pin;
    ReadRequest(&request, In);

    KeAcquireSpinLock(&Seen.lock, &irql);
    instance = FindOpen(Pin);
    Call->instance = instance != NULL ? instance->number : 0;
    Call->pin_id = instance != NULL ? instance->pin_id : FindClosed(Pin);
    if (Call->pin_id < KSHS_AVSHS_PINS) {
        state = &Seen.pins[Call->pin_id];
        Call->epoch = state->epoch;
        Call->behaviour = state->behaviour;
        state->seen.count++;
        if (state->inside++ > 0)
            state->seen.overlapped++;
        if (instance == NULL)
            state->seen.after_close++;
        state->seen.irql = irql;
        state->seen.device_state = instance != NULL ? (uint32_t)Pin->DeviceState : 0;
        state->seen.thread = (uint64_t)(ULONG_PTR)PsGetCurrentThreadId();
        state->seen.in_pointer = (uint64_t)(ULONG_PTR)In;
        state->seen.out_pointer = (uint64_t)(ULONG_PTR)Out;
        state->seen.request = request;
    } else {
        status = STATUS_INVALID_DEVICE_STATE;
    }
    KeReleaseSpinLock(&Seen.lock, irql);
    return status;
}

void AvshsSeenEnd(const AVSHS_CALL *Call, NTSTATUS Returned)
{
    AVSHS_PIN_STATE *state = &Seen.pins[Call->pin_id];
    AVSHS_INSTANCE *instance;
    KIRQL irql;

    KeAcquireSpinLock(&Seen.lock, &irql);
    state->inside--;
    /* A call that began before a RESET belongs to the count that the RESET threw away. */
    if (Call->epoch == state->epoch) {
        state->seen.finished++;
        state->seen.shared += Call->shared;
        state->seen.returned = (uint32_t)Returned;
        /* The number tells a pin from a newer one at the same address. */
        instance = FindOpen(Call->pin);
        if (Call->instance != 0 && (instance == NULL || instance->number != Call->instance))
            state->seen.after_close++;
    }
    KeReleaseSpinLock(&Seen.lock, irql);
}

NTSTATUS AvshsSeenRead(ULONG PinId, kshs_seen *Target)
{
    kshs_seen seen;
    KIRQL irql;

    if (PinId >= KSHS_AVSHS_PINS)
        return STATUS_INVALID_PARAMETER;
    KeAcquireSpinLock(&Seen.lock, &irql);
    seen = Seen.pins[PinId].seen;
    KeReleaseSpinLock(&Seen.lock, irql);
    *Target = seen;
    return STATUS_SUCCESS;
}

NTSTATUS AvshsSetBehaviour(const kshs_behaviour *Behaviour)
{
    const kshs_behaviour behaviour = *Behaviour;
    KIRQL irql;

    if (behaviour.pin_id >= KSHS_AVSHS_PINS || behaviour.kind > KSHS_BEHAVE_LAST)
        return STATUS_INVALID_PARAMETER;
    KeAcquireSpinLock(&Seen.lock, &irql);
    Seen.pins[behaviour.pin_id].behaviour = behaviour;
    KeReleaseSpinLock(&Seen.lock, irql);
    return STATUS_SUCCESS;
}

NTSTATUS AvshsReset(ULONG PinId)
{
    KIRQL irql;

    if (PinId >= KSHS_AVSHS_PINS)
        return STATUS_INVALID_PARAMETER;
    KeAcquireSpinLock(&Seen.lock, &irql);
    SetDefault(PinId);
    Seen.pins[PinId].epoch++;
    KeReleaseSpinLock(&Seen.lock, irql);
    AvshsBlockReleaseAll(PinId);
    return STATUS_SUCCESS;
}

ULONG AvshsStateBegin(ULONG PinId, ULONG *Epoch, NTSTATUS *Status)
{
    ULONG delay = 0;
    KIRQL irql;

    *Epoch = 0;
    *Status = STATUS_SUCCESS;
    if (PinId >= KSHS_AVSHS_PINS)
        return 0;
    KeAcquireSpinLock(&Seen.lock, &irql);
    Seen.pins[PinId].seen.changes_begun++;
    *Epoch = Seen.pins[PinId].epoch;
    if (Seen.pins[PinId].behaviour.kind == KSHS_BEHAVE_SLOW_STATE)
        delay = Seen.pins[PinId].behaviour.delay_ms;
    if (Seen.pins[PinId].behaviour.kind == KSHS_BEHAVE_STATE_STATUS)
        *Status = (NTSTATUS)Seen.pins[PinId].behaviour.status;
    KeReleaseSpinLock(&Seen.lock, irql);
    return delay;
}

/* One that began before a RESET belongs to the count that the RESET threw away. */
void AvshsStateEnd(ULONG PinId, ULONG Epoch)
{
    KIRQL irql;

    if (PinId >= KSHS_AVSHS_PINS)
        return;
    KeAcquireSpinLock(&Seen.lock, &irql);
    if (Seen.pins[PinId].epoch == Epoch)
        Seen.pins[PinId].seen.changes_ended++;
    KeReleaseSpinLock(&Seen.lock, irql);
}
