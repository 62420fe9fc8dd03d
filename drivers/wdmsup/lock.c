/* SPDX-License-Identifier: Apache-2.0
 *
 * lock.c - locks and lists under locks that Wine lacks.  Spin locks raise the IRQL
 * that a driver is told (irql.c), and nothing else.
 */
#include "irql.h"

/* ---- EX_SPIN_LOCK: the top bit is the writer's, the rest counts readers; any IRQL <= DISPATCH_LEVEL -- */

#define WRITER ((LONG)0x80000000)

VOID NTAPI SupExAcquireSpinLockExclusiveAtDpcLevel(volatile LONG *Lock);
KIRQL NTAPI SupExAcquireSpinLockExclusive(volatile LONG *Lock);
BOOLEAN NTAPI SupExTryAcquireSpinLockExclusiveAtDpcLevel(volatile LONG *Lock);
VOID NTAPI SupExReleaseSpinLockExclusiveFromDpcLevel(volatile LONG *Lock);
VOID NTAPI SupExReleaseSpinLockExclusive(volatile LONG *Lock, KIRQL Irql);
VOID NTAPI SupExAcquireSpinLockSharedAtDpcLevel(volatile LONG *Lock);
KIRQL NTAPI SupExAcquireSpinLockShared(volatile LONG *Lock);
BOOLEAN NTAPI SupExTryAcquireSpinLockSharedAtDpcLevel(volatile LONG *Lock);
VOID NTAPI SupExReleaseSpinLockSharedFromDpcLevel(volatile LONG *Lock);
VOID NTAPI SupExReleaseSpinLockShared(volatile LONG *Lock, KIRQL Irql);
LONG NTAPI SupExTryConvertSharedSpinLockExclusive(volatile LONG *Lock);

static VOID Pause(ULONG Turn)
{
    YieldProcessor();
    if (Turn % 64 == 63)
        kshs_sleep_ms(Turn > 4096);     /* the holder may be off the processor, unlike at DISPATCH_LEVEL */
}

BOOLEAN NTAPI SupExTryAcquireSpinLockExclusiveAtDpcLevel(volatile LONG *Lock)
{
    return InterlockedCompareExchange(Lock, WRITER, 0) == 0;
}

VOID NTAPI SupExAcquireSpinLockExclusiveAtDpcLevel(volatile LONG *Lock)
{
    ULONG turn;

    for (turn = 0; !SupExTryAcquireSpinLockExclusiveAtDpcLevel(Lock); turn++)
        Pause(turn);
}

KIRQL NTAPI SupExAcquireSpinLockExclusive(volatile LONG *Lock)
{
    KIRQL was = SupRaise(DISPATCH_LEVEL);

    SupExAcquireSpinLockExclusiveAtDpcLevel(Lock);
    return was;
}

VOID NTAPI SupExReleaseSpinLockExclusiveFromDpcLevel(volatile LONG *Lock)
{
    (void)InterlockedExchange(Lock, 0);
}

VOID NTAPI SupExReleaseSpinLockExclusive(volatile LONG *Lock, KIRQL Irql)
{
    SupExReleaseSpinLockExclusiveFromDpcLevel(Lock);
    SupLower(Irql);
}

BOOLEAN NTAPI SupExTryAcquireSpinLockSharedAtDpcLevel(volatile LONG *Lock)
{
    LONG value = *Lock;

    return !(value & WRITER) && InterlockedCompareExchange(Lock, value + 1, value) == value;
}

VOID NTAPI SupExAcquireSpinLockSharedAtDpcLevel(volatile LONG *Lock)
{
    ULONG turn;

    for (turn = 0; !SupExTryAcquireSpinLockSharedAtDpcLevel(Lock); turn++)
        Pause(turn);
}

KIRQL NTAPI SupExAcquireSpinLockShared(volatile LONG *Lock)
{
    KIRQL was = SupRaise(DISPATCH_LEVEL);

    SupExAcquireSpinLockSharedAtDpcLevel(Lock);
    return was;
}

VOID NTAPI SupExReleaseSpinLockSharedFromDpcLevel(volatile LONG *Lock)
{
    (void)InterlockedDecrement(Lock);
}

VOID NTAPI SupExReleaseSpinLockShared(volatile LONG *Lock, KIRQL Irql)
{
    SupExReleaseSpinLockSharedFromDpcLevel(Lock);
    SupLower(Irql);
}

/* For the only reader. */
LONG NTAPI SupExTryConvertSharedSpinLockExclusive(volatile LONG *Lock)
{
    return InterlockedCompareExchange(Lock, WRITER, 1) == 1;
}

/* ---- rundown protection: bit 0 says that it runs down, the rest counts references twice --------------- */

VOID NTAPI SupExInitializeRundownProtection(volatile LONG64 *Rundown);
VOID NTAPI SupExReInitializeRundownProtection(volatile LONG64 *Rundown);
BOOLEAN NTAPI SupExAcquireRundownProtectionEx(volatile LONG64 *Rundown, ULONG Count);
BOOLEAN NTAPI SupExAcquireRundownProtection(volatile LONG64 *Rundown);
VOID NTAPI SupExReleaseRundownProtectionEx(volatile LONG64 *Rundown, ULONG Count);
VOID NTAPI SupExReleaseRundownProtection(volatile LONG64 *Rundown);
VOID NTAPI SupExWaitForRundownProtectionRelease(volatile LONG64 *Rundown);
VOID NTAPI SupExRundownCompleted(volatile LONG64 *Rundown);

VOID NTAPI SupExInitializeRundownProtection(volatile LONG64 *Rundown)
{
    *Rundown = 0;
}

VOID NTAPI SupExReInitializeRundownProtection(volatile LONG64 *Rundown)
{
    (void)InterlockedExchange64(Rundown, 0);
}

BOOLEAN NTAPI SupExAcquireRundownProtectionEx(volatile LONG64 *Rundown, ULONG Count)
{
    LONG64 value;

    do {
        value = *Rundown;
        if (value & 1)
            return FALSE;
    } while (InterlockedCompareExchange64(Rundown, value + 2 * (LONG64)Count, value) != value);
    return TRUE;
}

BOOLEAN NTAPI SupExAcquireRundownProtection(volatile LONG64 *Rundown)
{
    return SupExAcquireRundownProtectionEx(Rundown, 1);
}

VOID NTAPI SupExReleaseRundownProtectionEx(volatile LONG64 *Rundown, ULONG Count)
{
    if (InterlockedExchangeAdd64(Rundown, -2 * (LONG64)Count) == 2 * (LONG64)Count + 1)
        RtlWakeAddressAll(Rundown);
}

VOID NTAPI SupExReleaseRundownProtection(volatile LONG64 *Rundown)
{
    SupExReleaseRundownProtectionEx(Rundown, 1);
}

/* PASSIVE_LEVEL. */
VOID NTAPI SupExWaitForRundownProtectionRelease(volatile LONG64 *Rundown)
{
    LONG64 value;

    (void)InterlockedOr64(Rundown, 1);
    while ((value = *Rundown) != 1)
        (void)RtlWaitOnAddress(Rundown, &value, sizeof(value), NULL);
}

VOID NTAPI SupExRundownCompleted(volatile LONG64 *Rundown)
{
    (void)InterlockedExchange64(Rundown, 1);
}

/* ---- fast and guarded mutexes, push locks ------------------------------------------------------------------ */

BOOLEAN NTAPI SupExTryToAcquireFastMutex(PFAST_MUTEX Mutex);
VOID NTAPI SupKeInitializeGuardedMutex(SUP_LOCK *Mutex);
VOID NTAPI SupKeAcquireGuardedMutex(SUP_LOCK *Mutex);
BOOLEAN NTAPI SupKeTryToAcquireGuardedMutex(SUP_LOCK *Mutex);
VOID NTAPI SupKeReleaseGuardedMutex(SUP_LOCK *Mutex);
VOID NTAPI SupExInitializePushLock(SUP_LOCK *Lock);
VOID NTAPI SupExAcquirePushLockExclusiveEx(SUP_LOCK *Lock, ULONG Flags);
VOID NTAPI SupExReleasePushLockExclusiveEx(SUP_LOCK *Lock, ULONG Flags);
VOID NTAPI SupExAcquirePushLockSharedEx(SUP_LOCK *Lock, ULONG Flags);
VOID NTAPI SupExReleasePushLockSharedEx(SUP_LOCK *Lock, ULONG Flags);

/* Wine's ExAcquireFastMutex counts from 1 down as NT's did. */
BOOLEAN NTAPI SupExTryToAcquireFastMutex(PFAST_MUTEX Mutex)
{
    return InterlockedCompareExchange((volatile LONG *)&Mutex->Count, 0, 1) == 1;
}

VOID NTAPI SupKeInitializeGuardedMutex(SUP_LOCK *Mutex)
{
    Mutex->Value = NULL;
}

VOID NTAPI SupKeAcquireGuardedMutex(SUP_LOCK *Mutex)
{
    RtlAcquireSRWLockExclusive(Mutex);
}

BOOLEAN NTAPI SupKeTryToAcquireGuardedMutex(SUP_LOCK *Mutex)
{
    return RtlTryAcquireSRWLockExclusive(Mutex);
}

VOID NTAPI SupKeReleaseGuardedMutex(SUP_LOCK *Mutex)
{
    RtlReleaseSRWLockExclusive(Mutex);
}

VOID NTAPI SupExInitializePushLock(SUP_LOCK *Lock)
{
    Lock->Value = NULL;
}

VOID NTAPI SupExAcquirePushLockExclusiveEx(SUP_LOCK *Lock, ULONG Flags)
{
    UNREFERENCED_PARAMETER(Flags);
    RtlAcquireSRWLockExclusive(Lock);
}

VOID NTAPI SupExReleasePushLockExclusiveEx(SUP_LOCK *Lock, ULONG Flags)
{
    UNREFERENCED_PARAMETER(Flags);
    RtlReleaseSRWLockExclusive(Lock);
}

VOID NTAPI SupExAcquirePushLockSharedEx(SUP_LOCK *Lock, ULONG Flags)
{
    UNREFERENCED_PARAMETER(Flags);
    RtlAcquireSRWLockShared(Lock);
}

VOID NTAPI SupExReleasePushLockSharedEx(SUP_LOCK *Lock, ULONG Flags)
{
    UNREFERENCED_PARAMETER(Flags);
    RtlReleaseSRWLockShared(Lock);
}

/* ---- lists under the caller's spin lock: that is what excludes its other users, too --------------------------- */

PLIST_ENTRY NTAPI SupExInterlockedInsertHeadList(PLIST_ENTRY Head, PLIST_ENTRY Entry, PKSPIN_LOCK Lock);
PLIST_ENTRY NTAPI SupExInterlockedInsertTailList(PLIST_ENTRY Head, PLIST_ENTRY Entry, PKSPIN_LOCK Lock);
PLIST_ENTRY NTAPI SupExInterlockedRemoveHeadList(PLIST_ENTRY Head, PKSPIN_LOCK Lock);
PSINGLE_LIST_ENTRY NTAPI SupExInterlockedPushEntryList(PSINGLE_LIST_ENTRY Head, PSINGLE_LIST_ENTRY Entry,
                                                       PKSPIN_LOCK Lock);
PSINGLE_LIST_ENTRY NTAPI SupExInterlockedPopEntryList(PSINGLE_LIST_ENTRY Head, PKSPIN_LOCK Lock);

/* The answers are what was first (or last) before, NULL for an empty list. */
PLIST_ENTRY NTAPI SupExInterlockedInsertHeadList(PLIST_ENTRY Head, PLIST_ENTRY Entry, PKSPIN_LOCK Lock)
{
    PLIST_ENTRY first;
    KIRQL irql = KeAcquireSpinLockRaiseToDpc(Lock);

    first = IsListEmpty(Head) ? NULL : Head->Flink;
    InsertHeadList(Head, Entry);
    KeReleaseSpinLock(Lock, irql);
    return first;
}

PLIST_ENTRY NTAPI SupExInterlockedInsertTailList(PLIST_ENTRY Head, PLIST_ENTRY Entry, PKSPIN_LOCK Lock)
{
    PLIST_ENTRY last;
    KIRQL irql = KeAcquireSpinLockRaiseToDpc(Lock);

    last = IsListEmpty(Head) ? NULL : Head->Blink;
    InsertTailList(Head, Entry);
    KeReleaseSpinLock(Lock, irql);
    return last;
}

PLIST_ENTRY NTAPI SupExInterlockedRemoveHeadList(PLIST_ENTRY Head, PKSPIN_LOCK Lock)
{
    KIRQL irql = KeAcquireSpinLockRaiseToDpc(Lock);
    PLIST_ENTRY first = IsListEmpty(Head) ? NULL : RemoveHeadList(Head);

    KeReleaseSpinLock(Lock, irql);
    return first;
}

PSINGLE_LIST_ENTRY NTAPI SupExInterlockedPushEntryList(PSINGLE_LIST_ENTRY Head, PSINGLE_LIST_ENTRY Entry,
                                                       PKSPIN_LOCK Lock)
{
    PSINGLE_LIST_ENTRY first;
    KIRQL irql = KeAcquireSpinLockRaiseToDpc(Lock);

    first = Head->Next;
    Entry->Next = first;
    Head->Next = Entry;
    KeReleaseSpinLock(Lock, irql);
    return first;
}

PSINGLE_LIST_ENTRY NTAPI SupExInterlockedPopEntryList(PSINGLE_LIST_ENTRY Head, PKSPIN_LOCK Lock)
{
    PSINGLE_LIST_ENTRY first;
    KIRQL irql = KeAcquireSpinLockRaiseToDpc(Lock);

    first = Head->Next;
    if (first)
        Head->Next = first->Next;
    KeReleaseSpinLock(Lock, irql);
    return first;
}
