/* SPDX-License-Identifier: Apache-2.0
 *
 * locks.c - spin locks, fast and guarded mutexes, push locks, resources, rundown
 * protection and remove locks: that they can be taken and given back, and that
 * another thread is kept out in between.
 */
#include "calls.h"

/* What mingw-w64 does not declare, or only as something inline. */
typedef struct PUSH_LOCK {
    PVOID Value;
} PUSH_LOCK;

NTKERNELAPI VOID NTAPI ExInitializePushLock(PUSH_LOCK *Lock);
NTKERNELAPI VOID NTAPI ExAcquirePushLockExclusiveEx(PUSH_LOCK *Lock, ULONG Flags);
NTKERNELAPI VOID NTAPI ExReleasePushLockExclusiveEx(PUSH_LOCK *Lock, ULONG Flags);
NTKERNELAPI VOID NTAPI ExAcquirePushLockSharedEx(PUSH_LOCK *Lock, ULONG Flags);
NTKERNELAPI VOID NTAPI ExReleasePushLockSharedEx(PUSH_LOCK *Lock, ULONG Flags);

/* A thread that takes a lock, says so, and gives it back. */
typedef struct RIVAL {
    VOID (*Take)(VOID);
    VOID (*Give)(VOID);
    KEVENT Has;
} RIVAL;

static RIVAL Rival;

static VOID NTAPI RivalThread(PVOID Context)
{
    RIVAL *rival = Context;

    rival->Take();
    rival->Give();
    (void)KeSetEvent(&rival->Has, IO_NO_INCREMENT, FALSE);
    (void)PsTerminateSystemThread(STATUS_SUCCESS);
}

static VOID Compete(VOID (*Take)(VOID), VOID (*Give)(VOID))
{
    Rival.Take = Take;
    Rival.Give = Give;
    KeInitializeEvent(&Rival.Has, NotificationEvent, FALSE);
    Beside(RivalThread, &Rival);
}

/* The lock is taken here, a rival is kept out, gets it afterwards, and it is free in the end. */
static VOID Excludes(VOID (*Take)(VOID), VOID (*Give)(VOID))
{
    Take();
    Compete(Take, Give);
    EXPECT(StaysAway(&Rival.Has), "lets two threads in at once");
    Give();
    EXPECT(Came(&Rival.Has), "does not let the next thread in");
    Take();
    Give();
}

/* Both may hold it at once. */
static VOID Shares(VOID (*Take)(VOID), VOID (*Give)(VOID))
{
    Take();
    Compete(Take, Give);
    EXPECT(Came(&Rival.Has), "keeps a second reader out");
    Give();
}

/* Readers keep a writer out. */
static VOID SharedExcludes(VOID (*Take)(VOID), VOID (*Give)(VOID), VOID (*TakeAll)(VOID), VOID (*GiveAll)(VOID))
{
    Take();
    Compete(TakeAll, GiveAll);
    EXPECT(StaysAway(&Rival.Has), "lets a writer in beside a reader");
    Give();
    EXPECT(Came(&Rival.Has), "does not let the writer in afterwards");
}

#define PAIR(name, take, give)          \
    static VOID Take##name(VOID)        \
    {                                   \
        take;                           \
    }                                   \
    static VOID Give##name(VOID)        \
    {                                   \
        give;                           \
    }

/* ---- spin locks --------------------------------------------------------------------------------- */

static KSPIN_LOCK Spin;
static KIRQL Irql;

PAIR(Spin, Irql = KeAcquireSpinLockRaiseToDpc(&Spin), KeReleaseSpinLock(&Spin, Irql))
PAIR(AtDpc, KeAcquireSpinLockAtDpcLevel(&Spin), KeReleaseSpinLockFromDpcLevel(&Spin))

PROBE(Probe_KeAcquireSpinLockRaiseToDpc)
{
    Spin = 0;
    Excludes(TakeSpin, GiveSpin);
}

PROBE(Probe_KeAcquireSpinLockAtDpcLevel)
{
    Spin = 0;
    Excludes(TakeAtDpc, GiveAtDpc);
}

PROBE(Probe_KeTryToAcquireSpinLockAtDpcLevel)
{
    Spin = 0;
    EXPECT(KeTryToAcquireSpinLockAtDpcLevel(&Spin), "does not take a lock that is free");
    EXPECT(!KeTryToAcquireSpinLockAtDpcLevel(&Spin), "takes a lock that is held");
    KeReleaseSpinLockFromDpcLevel(&Spin);
    EXPECT(KeTryToAcquireSpinLockAtDpcLevel(&Spin), "does not take a lock that was given back");
    KeReleaseSpinLockFromDpcLevel(&Spin);
}

static VOID Queued(BOOLEAN AtDpc)
{
    KLOCK_QUEUE_HANDLE handle;

    if (AtDpc)
        KeAcquireInStackQueuedSpinLockAtDpcLevel(&Spin, &handle);
    else
        KeAcquireInStackQueuedSpinLock(&Spin, &handle);
    Sleep(20);
    if (AtDpc)
        KeReleaseInStackQueuedSpinLockFromDpcLevel(&handle);
    else
        KeReleaseInStackQueuedSpinLock(&handle);
}

static VOID QueuedOnce(VOID)
{
    Queued(FALSE);
}

static VOID QueuedAtDpc(VOID)
{
    Queued(TRUE);
}

static VOID Nothing(VOID)
{
}

/* One waits for the other, and a third for both. */
static VOID InQueue(VOID (*Take)(VOID))
{
    Spin = 0;
    Take();
    EXPECT(!Spin, "leaves the lock held that was given back");
    Compete(Take, Nothing);
    Take();
    EXPECT(Came(&Rival.Has), "does not let the next thread in");
    Take();
    EXPECT(!Spin, "leaves the lock held that was given back");
}

PROBE(Probe_KeAcquireInStackQueuedSpinLock)
{
    InQueue(QueuedOnce);
}

PROBE(Probe_KeAcquireInStackQueuedSpinLockAtDpcLevel)
{
    InQueue(QueuedAtDpc);
}

/* ---- EX_SPIN_LOCK ------------------------------------------------------------------------------- */

static EX_SPIN_LOCK Ex;

PAIR(Ex, Irql = ExAcquireSpinLockExclusive(&Ex), ExReleaseSpinLockExclusive(&Ex, Irql))
PAIR(ExAtDpc, ExAcquireSpinLockExclusiveAtDpcLevel(&Ex), ExReleaseSpinLockExclusiveFromDpcLevel(&Ex))
PAIR(ExShared, Irql = ExAcquireSpinLockShared(&Ex), ExReleaseSpinLockShared(&Ex, Irql))
PAIR(ExSharedAtDpc, ExAcquireSpinLockSharedAtDpcLevel(&Ex), ExReleaseSpinLockSharedFromDpcLevel(&Ex))

PROBE(Probe_ExAcquireSpinLockExclusive)
{
    Ex = 0;
    Excludes(TakeEx, GiveEx);
}

PROBE(Probe_ExAcquireSpinLockExclusiveAtDpcLevel)
{
    Ex = 0;
    Excludes(TakeExAtDpc, GiveExAtDpc);
}

PROBE(Probe_ExAcquireSpinLockShared)
{
    Ex = 0;
    Shares(TakeExShared, GiveExShared);
    SharedExcludes(TakeExShared, GiveExShared, TakeEx, GiveEx);
}

PROBE(Probe_ExAcquireSpinLockSharedAtDpcLevel)
{
    Ex = 0;
    Shares(TakeExSharedAtDpc, GiveExSharedAtDpc);
    SharedExcludes(TakeExSharedAtDpc, GiveExSharedAtDpc, TakeExAtDpc, GiveExAtDpc);
}

/* ---- fast and guarded mutexes ------------------------------------------------------------------- */

static FAST_MUTEX Fast;
static KGUARDED_MUTEX Guarded;

PAIR(Fast, ExAcquireFastMutex(&Fast), ExReleaseFastMutex(&Fast))
PAIR(Unsafe, ExAcquireFastMutexUnsafe(&Fast), ExReleaseFastMutexUnsafe(&Fast))
PAIR(Guarded, KeAcquireGuardedMutex(&Guarded), KeReleaseGuardedMutex(&Guarded))

PROBE(Probe_ExAcquireFastMutex)
{
    ExInitializeFastMutex(&Fast);
    Excludes(TakeFast, GiveFast);
}

PROBE(Probe_ExAcquireFastMutexUnsafe)
{
    ExInitializeFastMutex(&Fast);
    Excludes(TakeUnsafe, GiveUnsafe);
}

PROBE(Probe_ExTryToAcquireFastMutex)
{
    ExInitializeFastMutex(&Fast);
    EXPECT(ExTryToAcquireFastMutex(&Fast), "does not take a mutex that is free");
    EXPECT(!ExTryToAcquireFastMutex(&Fast), "takes a mutex that is held");
    Compete(TakeFast, GiveFast);
    EXPECT(StaysAway(&Rival.Has), "lets two threads in at once");
    ExReleaseFastMutex(&Fast);
    EXPECT(Came(&Rival.Has), "does not let the next thread in");
}

PROBE(Probe_KeInitializeGuardedMutex)
{
    KeInitializeGuardedMutex(&Guarded);
}

PROBE(Probe_KeAcquireGuardedMutex)
{
    KeInitializeGuardedMutex(&Guarded);
    Excludes(TakeGuarded, GiveGuarded);
}

PROBE(Probe_KeTryToAcquireGuardedMutex)
{
    KeInitializeGuardedMutex(&Guarded);
    EXPECT(KeTryToAcquireGuardedMutex(&Guarded), "does not take a mutex that is free");
    EXPECT(!KeTryToAcquireGuardedMutex(&Guarded), "takes a mutex that is held");
    KeReleaseGuardedMutex(&Guarded);
}

/* ---- push locks --------------------------------------------------------------------------------- */

static PUSH_LOCK Push;

PAIR(Push, ExAcquirePushLockExclusiveEx(&Push, 0), ExReleasePushLockExclusiveEx(&Push, 0))
PAIR(PushShared, ExAcquirePushLockSharedEx(&Push, 0), ExReleasePushLockSharedEx(&Push, 0))

PROBE(Probe_ExInitializePushLock)
{
    FILLED(Push);
    ExInitializePushLock(&Push);
    EXPECT(!Push.Value, "does not fill the lock in");
}

PROBE(Probe_ExAcquirePushLockExclusiveEx)
{
    Push.Value = NULL;
    Excludes(TakePush, GivePush);
}

PROBE(Probe_ExAcquirePushLockSharedEx)
{
    Push.Value = NULL;
    Shares(TakePushShared, GivePushShared);
    SharedExcludes(TakePushShared, GivePushShared, TakePush, GivePush);
}

/* ---- regions ------------------------------------------------------------------------------------ */

PROBE(Probe_KeEnterCriticalRegion)
{
    KeEnterCriticalRegion();
    KeLeaveCriticalRegion();
}

PROBE(Probe_KeEnterGuardedRegion)
{
    KeEnterGuardedRegion();
    KeLeaveGuardedRegion();
}

PROBE(Probe_KeAreApcsDisabled)
{
    EXPECT(!KeAreApcsDisabled(), "answers TRUE outside of a region");
    KeEnterCriticalRegion();
    if (!KeAreApcsDisabled())
        Wrong("answers FALSE inside of a critical region");
    KeLeaveCriticalRegion();
}

/* ---- resources ---------------------------------------------------------------------------------- */

static ERESOURCE Resource;

PAIR(Resource, (void)ExAcquireResourceExclusiveLite(&Resource, TRUE), ExReleaseResourceLite(&Resource))
PAIR(ResourceShared, (void)ExAcquireResourceSharedLite(&Resource, TRUE), ExReleaseResourceLite(&Resource))

PROBE(Probe_ExInitializeResourceLite)
{
    EXPECT(ExInitializeResourceLite(&Resource) == STATUS_SUCCESS, "fails");
    EXPECT(ExDeleteResourceLite(&Resource) == STATUS_SUCCESS, "makes what cannot be deleted");
}

PROBE(Probe_ExAcquireResourceExclusiveLite)
{
    (void)ExInitializeResourceLite(&Resource);
    Excludes(TakeResource, GiveResource);
    TakeResource();
    EXPECT(ExAcquireResourceExclusiveLite(&Resource, TRUE), "does not let the holder in again");
    GiveResource();
    GiveResource();
    (void)ExDeleteResourceLite(&Resource);
}

PROBE(Probe_ExAcquireResourceSharedLite)
{
    (void)ExInitializeResourceLite(&Resource);
    Shares(TakeResourceShared, GiveResourceShared);
    SharedExcludes(TakeResourceShared, GiveResourceShared, TakeResource, GiveResource);
    (void)ExDeleteResourceLite(&Resource);
}

PROBE(Probe_ExIsResourceAcquiredExclusiveLite)
{
    (void)ExInitializeResourceLite(&Resource);
    EXPECT(!ExIsResourceAcquiredExclusiveLite(&Resource), "answers TRUE for what nobody holds");
    TakeResource();
    EXPECT(ExIsResourceAcquiredExclusiveLite(&Resource), "answers FALSE for what is held");
    GiveResource();
    (void)ExDeleteResourceLite(&Resource);
}

/* ---- rundown protection ------------------------------------------------------------------------- */

static EX_RUNDOWN_REF Rundown;

static VOID RunDown(VOID)
{
    ExWaitForRundownProtectionRelease(&Rundown);
}

PROBE(Probe_ExInitializeRundownProtection)
{
    FILLED(Rundown);
    ExInitializeRundownProtection(&Rundown);
    EXPECT(!Rundown.Count, "does not fill the reference in");
}

PROBE(Probe_ExAcquireRundownProtection)
{
    Rundown.Count = 0;
    EXPECT(ExAcquireRundownProtection(&Rundown), "refuses what does not run down");
    ExReleaseRundownProtection(&Rundown);
}

PROBE(Probe_ExWaitForRundownProtectionRelease)
{
    Rundown.Count = 0;
    (void)ExAcquireRundownProtection(&Rundown);
    Compete(RunDown, Nothing);
    EXPECT(StaysAway(&Rival.Has), "does not wait for who holds it");
    EXPECT(!ExAcquireRundownProtection(&Rundown), "lets somebody in who comes later");
    ExReleaseRundownProtection(&Rundown);
    EXPECT(Came(&Rival.Has), "does not end when it is released");
}

PROBE(Probe_ExRundownCompleted)
{
    Rundown.Count = 0;
    RunDown();
    ExRundownCompleted(&Rundown);
    EXPECT(!ExAcquireRundownProtection(&Rundown), "lets somebody in who comes later");
    ExReInitializeRundownProtection(&Rundown);
    EXPECT(ExAcquireRundownProtection(&Rundown), "cannot be begun again");
}

PROBE(Probe_ExReInitializeRundownProtection)
{
    Rundown.Count = 1;
    ExReInitializeRundownProtection(&Rundown);
    EXPECT(!Rundown.Count, "does not fill the reference in");
}

/* ---- remove locks ------------------------------------------------------------------------------- */

static IO_REMOVE_LOCK Remove;

static VOID WaitForRemoval(VOID)
{
    IoReleaseRemoveLockAndWait(&Remove, NULL);
}

PROBE(Probe_IoInitializeRemoveLockEx)
{
    FILLED(Remove);
    IoInitializeRemoveLock(&Remove, TAG, 0, 0);
    EXPECT(IoAcquireRemoveLock(&Remove, NULL) == STATUS_SUCCESS, "makes a lock that cannot be taken");
    IoReleaseRemoveLock(&Remove, NULL);
}

PROBE(Probe_IoAcquireRemoveLockEx)
{
    IoInitializeRemoveLock(&Remove, TAG, 0, 0);
    EXPECT(IoAcquireRemoveLock(&Remove, &Remove) == STATUS_SUCCESS, "refuses what is not removed");
    EXPECT(IoAcquireRemoveLock(&Remove, &Rival) == STATUS_SUCCESS, "refuses a second holder");
    IoReleaseRemoveLock(&Remove, &Rival);
    IoReleaseRemoveLock(&Remove, &Remove);
}

PROBE(Probe_IoReleaseRemoveLockAndWaitEx)
{
    IoInitializeRemoveLock(&Remove, TAG, 0, 0);
    (void)IoAcquireRemoveLock(&Remove, NULL);
    (void)IoAcquireRemoveLock(&Remove, NULL);
    Compete(WaitForRemoval, Nothing);
    EXPECT(StaysAway(&Rival.Has), "does not wait for who holds it");
    EXPECT(IoAcquireRemoveLock(&Remove, NULL) == STATUS_DELETE_PENDING, "lets somebody in who comes later");
    IoReleaseRemoveLock(&Remove, NULL);
    EXPECT(Came(&Rival.Has), "does not end when it is released");
}

/* ---- the IRQL, which drivers for x64 read and write themselves (CR8) ---------------------------- */

static DECLSPEC_NOINLINE KIRQL ReadCr8(VOID)
{
    return KeGetCurrentIrql();
}

static DECLSPEC_NOINLINE KIRQL WriteCr8(VOID)
{
    KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL), raised = ReadCr8();

    KeLowerIrql(irql);
    return raised;
}

PROBE(Probe_KeGetCurrentIrql)
{
    EXPECT(ReadCr8() == PASSIVE_LEVEL, "does not answer PASSIVE_LEVEL in a thread of the driver's");
}

PROBE(Probe_KfRaiseIrql)
{
    MINOR(WriteCr8() == DISPATCH_LEVEL, "does not raise the IRQL");
    EXPECT(ReadCr8() == PASSIVE_LEVEL, "makes what KeLowerIrql does not undo");
}

const PROBE LockProbes[] = {
    P(KeAcquireSpinLockRaiseToDpc), P(KeAcquireSpinLockAtDpcLevel), P(KeTryToAcquireSpinLockAtDpcLevel),
    P(KeAcquireInStackQueuedSpinLock),
    P(KeAcquireInStackQueuedSpinLockAtDpcLevel), P(ExAcquireSpinLockExclusive),
    P(ExAcquireSpinLockExclusiveAtDpcLevel), P(ExAcquireSpinLockShared), P(ExAcquireSpinLockSharedAtDpcLevel),
    P(ExAcquireFastMutex), P(ExAcquireFastMutexUnsafe), P(ExTryToAcquireFastMutex), P(KeInitializeGuardedMutex),
    P(KeAcquireGuardedMutex), P(KeTryToAcquireGuardedMutex), P(ExInitializePushLock),
    P(ExAcquirePushLockExclusiveEx), P(ExAcquirePushLockSharedEx), P(KeEnterCriticalRegion), P(KeEnterGuardedRegion),
    P(KeAreApcsDisabled), P(ExInitializeResourceLite), P(ExAcquireResourceExclusiveLite),
    P(ExAcquireResourceSharedLite), P(ExIsResourceAcquiredExclusiveLite), P(ExInitializeRundownProtection),
    P(ExAcquireRundownProtection), P(ExWaitForRundownProtectionRelease), P(ExRundownCompleted),
    P(ExReInitializeRundownProtection), P(IoInitializeRemoveLockEx), P(IoAcquireRemoveLockEx),
    P(IoReleaseRemoveLockAndWaitEx), CASE(KeGetCurrentIrql, "inline", Probe_KeGetCurrentIrql),
    CASE(KfRaiseIrql, "inline", Probe_KfRaiseIrql), ENDS
};
