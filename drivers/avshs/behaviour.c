/* SPDX-License-Identifier: Apache-2.0
 *
 * behaviour.c - the handshake callback of every pin.  Half of it is a correct
 * driver, the other half are the mistakes that drivers make, made on purpose.
 */
#include "avshs.h"

#define CORRUPT_BLOCK_BYTES 64
#define CORRUPT_EXCESS_BYTES 64

static const GUID ProtocolA = { STATICGUIDOF(KSHS_PROTOCOL_A) };
static const GUID ProtocolB = { STATICGUIDOF(KSHS_PROTOCOL_B) };

/* ---- BLOCK -------------------------------------------------------------------- */

typedef struct AVSHS_WAITER {
    LIST_ENTRY link;
    KEVENT released;
    BOOLEAN queued;             /* still in the list; under the lock */
} AVSHS_WAITER;

static struct {
    KSPIN_LOCK lock;
    struct {
        LIST_ENTRY waiters;     /* first come, first released */
        ULONG credits;          /* releases that came before their callback */
    } pins[KSHS_AVSHS_PINS];
} Block;

void AvshsBlockInitialize(void)
{
    ULONG pin_id;

    KeInitializeSpinLock(&Block.lock);
    for (pin_id = 0; pin_id < KSHS_AVSHS_PINS; pin_id++)
        InitializeListHead(&Block.pins[pin_id].waiters);
}

/* The event is on a waiter's stack: it is set under the lock, so that a waiter that has
 * held the lock afterwards may leave its frame. */
static void ReleaseFirst(ULONG PinId)
{
    AVSHS_WAITER *waiter = CONTAINING_RECORD(RemoveHeadList(&Block.pins[PinId].waiters), AVSHS_WAITER, link);

    waiter->queued = FALSE;
    KeSetEvent(&waiter->released, IO_NO_INCREMENT, FALSE);
}

void AvshsBlockRelease(ULONG PinId)
{
    KIRQL irql;

    KeAcquireSpinLock(&Block.lock, &irql);
    if (IsListEmpty(&Block.pins[PinId].waiters))
        Block.pins[PinId].credits++;
    else
        ReleaseFirst(PinId);
    KeReleaseSpinLock(&Block.lock, irql);
}

void AvshsBlockReleaseAll(ULONG PinId)
{
    KIRQL irql;

    KeAcquireSpinLock(&Block.lock, &irql);
    Block.pins[PinId].credits = 0;
    while (!IsListEmpty(&Block.pins[PinId].waiters))
        ReleaseFirst(PinId);
    KeReleaseSpinLock(&Block.lock, irql);
}

void AvshsBlockWait(ULONG PinId, ULONG DelayMs)
{
    AVSHS_WAITER waiter;
    LARGE_INTEGER due;
    KIRQL irql;

    KeInitializeEvent(&waiter.released, NotificationEvent, FALSE);
    KeAcquireSpinLock(&Block.lock, &irql);
    waiter.queued = Block.pins[PinId].credits == 0;
    if (waiter.queued)
        InsertTailList(&Block.pins[PinId].waiters, &waiter.link);
    else
        Block.pins[PinId].credits--;
    KeReleaseSpinLock(&Block.lock, irql);
    if (!waiter.queued)
        return;

    due = kshs_relative_ms(DelayMs);
    KeWaitForSingleObject(&waiter.released, Executive, KernelMode, FALSE, DelayMs != 0 ? &due : NULL);

    KeAcquireSpinLock(&Block.lock, &irql);
    if (waiter.queued)
        RemoveEntryList(&waiter.link);
    KeReleaseSpinLock(&Block.lock, irql);
}

/* ---- answers -------------------------------------------------------------------- */

static NTSTATUS Transform(const KSHANDSHAKE *In, KSHANDSHAKE *Out, uint64_t Value, uint64_t Value2)
{
    /* A class driver may hand us one buffer for both: read all before writing. */
    const KSHANDSHAKE request = *In;

    Out->ProtocolId = request.ProtocolId;
    Out->Argument1 = (PVOID)((ULONG_PTR)request.Argument1 + (ULONG_PTR)Value);
    Out->Argument2 = (PVOID)((ULONG_PTR)request.Argument2 ^ (ULONG_PTR)Value2);
    return STATUS_SUCCESS;
}

static BOOLEAN IsProtocol(const KSHANDSHAKE *In, const GUID *Protocol)
{
    return RtlCompareMemory(&In->ProtocolId, Protocol, sizeof(*Protocol)) == sizeof(*Protocol);
}

/* What a driver does that follows its documentation (H9). */
static NTSTATUS AnswerByDefault(ULONG PinId, const KSHANDSHAKE *In, KSHANDSHAKE *Out)
{
    if (IsProtocol(In, &ProtocolA) || (PinId == AVSHS_PIN_OF_PROTOCOL_B && IsProtocol(In, &ProtocolB)))
        return Transform(In, Out, KSHS_DEFAULT_VALUE, KSHS_DEFAULT_VALUE2);
    return STATUS_INVALID_DEVICE_REQUEST;
}

/* ---- mistakes ------------------------------------------------------------------- */

/* The address is read at run time: a constant NULL would be refused by static analysis. */
static int *volatile NullPointer = NULL;

static void WriteThroughNull(void)
{
    *(volatile int *)NullPointer = 1;
}

/* What a driver says of itself, for whoever reads the evidence. */
static void Tell(const AVSHS_CALL *Call, const char *What)
{
    kshs_print("avshs: pin %u is %s\n", (unsigned)Call->pin_id, What);
}

static void NeverReturn(void)
{
    KEVENT never;
    LARGE_INTEGER now;

    now.QuadPart = 0;
    KeInitializeEvent(&never, NotificationEvent, FALSE);
    while (KeWaitForSingleObject(&never, Executive, KernelMode, FALSE, &now) == STATUS_TIMEOUT)
        kshs_sleep_ms(100);
}

static void NeverLetGo(void)
{
    static volatile LONG turns;

    for (;;)
        turns++;
}

static void CorruptPool(void)
{
    volatile UCHAR *block = ExAllocatePoolWithTag(NonPagedPool, CORRUPT_BLOCK_BYTES, AVSHS_POOL_TAG);
    ULONG i;

    if (block == NULL)
        return;
    for (i = 0; i < CORRUPT_BLOCK_BYTES + CORRUPT_EXCESS_BYTES; i++)
        block[i] = 0x41;
    ExFreePoolWithTag((PVOID)block, AVSHS_POOL_TAG);
}

/* Those that may take their time and answer as told after it. */
static BOOLEAN WaitsFirst(ULONG Kind)
{
    return Kind == KSHS_BEHAVE_ECHO || Kind == KSHS_BEHAVE_TRANSFORM || Kind == KSHS_BEHAVE_DECLINE ||
           Kind == KSHS_BEHAVE_STATUS;
}

static NTSTATUS Behave(const AVSHS_CALL *Call, const KSHANDSHAKE *In, KSHANDSHAKE *Out)
{
    const kshs_behaviour *behaviour = &Call->behaviour;

    if (WaitsFirst(behaviour->kind) && behaviour->delay_ms != 0)
        kshs_sleep_ms(behaviour->delay_ms);
    switch (behaviour->kind) {
    case KSHS_BEHAVE_ECHO:
        return Transform(In, Out, 0, 0);
    case KSHS_BEHAVE_TRANSFORM:
        return Transform(In, Out, behaviour->value, behaviour->value2);
    case KSHS_BEHAVE_DECLINE:
        return (NTSTATUS)behaviour->status;
    case KSHS_BEHAVE_SLOW:
        kshs_sleep_ms(behaviour->delay_ms);
        break;
    case KSHS_BEHAVE_FAULT:
        Tell(Call, "about to write through NULL");
        WriteThroughNull();
        break;
    case KSHS_BEHAVE_HANG:
        Tell(Call, "about to wait for ever");
        NeverReturn();
        break;
    case KSHS_BEHAVE_LOOP:
        Tell(Call, "about to loop for ever");
        NeverLetGo();
        break;
    case KSHS_BEHAVE_CORRUPT_POOL:
        Tell(Call, "about to write past a pool block");
        CorruptPool();
        break;
    case KSHS_BEHAVE_PENDING:
        Tell(Call, "about to answer STATUS_PENDING");
        return STATUS_PENDING;
    case KSHS_BEHAVE_BLOCK:
        AvshsBlockWait(Call->pin_id, behaviour->delay_ms);
        break;
    case KSHS_BEHAVE_BUGCHECK:
        Tell(Call, "about to stop the kernel");
        KeBugCheckEx(behaviour->status, Call->pin_id, (ULONG_PTR)behaviour->value,
                     (ULONG_PTR)behaviour->value2, 0);
    case KSHS_BEHAVE_STATUS:
        Transform(In, Out, 0, 0);
        return (NTSTATUS)behaviour->status;
    default:
        /* DEFAULT, SLOW_STATE, STATE_STATUS, and NO_CALLBACK for pins that had registered before it was set. */
        break;
    }
    return AnswerByDefault(Call->pin_id, In, Out);
}

NTSTATUS AvshsPinHandshake(PKSPIN Pin, PKSHANDSHAKE In, PKSHANDSHAKE Out)
{
    AVSHS_CALL call;
    KSHANDSHAKE before;
    NTSTATUS status;

    status = AvshsSeenBegin(Pin, In, Out, &call);
    if (!NT_SUCCESS(status))
        return status;
    if (In != NULL)
        before = *In;
    status = In != NULL && Out != NULL ? Behave(&call, In, Out) : STATUS_INVALID_PARAMETER;
    /* Wherever the two point: what was written to Out must not show in In. */
    call.shared = In != NULL && RtlCompareMemory(In, &before, sizeof(before)) != sizeof(before);
    AvshsSeenEnd(&call, status);
    return status;
}
