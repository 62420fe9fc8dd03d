/* SPDX-License-Identifier: Apache-2.0
 *
 * irql.c - the IRQL as a driver asks for it.
 *
 * Wine raises none.  Here it is written down for each thread which raised it
 * last, so that assertions of a driver hold that hold on a kernel: DISPATCH_LEVEL
 * in DPCs and under spin locks.  It keeps nobody off the processor, and what the
 * compiler has made a read of CR8 of is PASSIVE_LEVEL still.
 */
#include "irql.h"
#include "timer.h"

#define SLOTS 64                        /* threads that have raised it at once */

typedef struct SLOT {
    PVOID volatile Thread;              /* whose, or NULL; only that thread gives it up */
    volatile KIRQL Irql;
} SLOT;

static SLOT Slots[SLOTS];

KIRQL NTAPI SupKeGetCurrentIrql(VOID);
KIRQL FASTCALL SupKfRaiseIrql(KIRQL Irql);
KIRQL NTAPI SupKeRaiseIrqlToDpcLevel(VOID);
VOID FASTCALL SupKeLowerIrql(KIRQL Irql);
KIRQL FASTCALL SupKeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK Lock);
VOID NTAPI SupKeReleaseSpinLock(PKSPIN_LOCK Lock, KIRQL Irql);
VOID FASTCALL SupKeAcquireInStackQueuedSpinLock(PKSPIN_LOCK Lock, PKLOCK_QUEUE_HANDLE Handle);
VOID FASTCALL SupKeReleaseInStackQueuedSpinLock(PKLOCK_QUEUE_HANDLE Handle);

static SLOT *Mine(PVOID Me)
{
    ULONG i;

    for (i = 0; i < SLOTS; i++) {
        if (Slots[i].Thread == Me)
            return &Slots[i];
    }
    return NULL;
}

static KIRQL Base(VOID)
{
    return SupKeIsExecutingDpc() ? DISPATCH_LEVEL : PASSIVE_LEVEL;
}

static SLOT *Take(PVOID Me)
{
    ULONG i;

    for (i = 0;; i = (i + 1) % SLOTS) {
        if (!InterlockedCompareExchangePointer(&Slots[i].Thread, Me, NULL))
            return &Slots[i];
        if (i == SLOTS - 1)
            kshs_sleep_ms(1);           /* so many threads: one of them lowers it soon */
    }
}

KIRQL SupRaise(KIRQL Irql)
{
    PVOID me = PsGetCurrentThreadId();
    SLOT *slot = Mine(me);
    KIRQL was = slot ? slot->Irql : Base();

    if (Irql == was)
        return was;
    if (!slot)
        slot = Take(me);
    slot->Irql = Irql;
    return was;
}

VOID SupLower(KIRQL Irql)
{
    SLOT *slot = Mine(PsGetCurrentThreadId());

    if (!slot)
        return;
    if (Irql == Base())
        (void)InterlockedExchangePointer(&slot->Thread, NULL);
    else
        slot->Irql = Irql;
}

KIRQL NTAPI SupKeGetCurrentIrql(VOID)
{
    SLOT *slot = Mine(PsGetCurrentThreadId());

    return slot ? slot->Irql : Base();
}

KIRQL FASTCALL SupKfRaiseIrql(KIRQL Irql)
{
    return SupRaise(Irql);
}

KIRQL NTAPI SupKeRaiseIrqlToDpcLevel(VOID)
{
    return SupRaise(DISPATCH_LEVEL);
}

VOID FASTCALL SupKeLowerIrql(KIRQL Irql)
{
    SupLower(Irql);
}

KIRQL FASTCALL SupKeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK Lock)
{
    KIRQL was = SupRaise(DISPATCH_LEVEL);

    KeAcquireSpinLockAtDpcLevel(Lock);
    return was;
}

VOID NTAPI SupKeReleaseSpinLock(PKSPIN_LOCK Lock, KIRQL Irql)
{
    KeReleaseSpinLockFromDpcLevel(Lock);
    SupLower(Irql);
}

VOID FASTCALL SupKeAcquireInStackQueuedSpinLock(PKSPIN_LOCK Lock, PKLOCK_QUEUE_HANDLE Handle)
{
    KIRQL was = SupRaise(DISPATCH_LEVEL);

    KeAcquireInStackQueuedSpinLockAtDpcLevel(Lock, Handle);
    Handle->OldIrql = was;
}

VOID FASTCALL SupKeReleaseInStackQueuedSpinLock(PKLOCK_QUEUE_HANDLE Handle)
{
    KIRQL was = Handle->OldIrql;

    KeReleaseInStackQueuedSpinLockFromDpcLevel(Handle);
    SupLower(was);
}
