/* SPDX-License-Identifier: Apache-2.0
 *
 * timers.c - timers and deferred procedure calls, with the ways in which drivers
 * that pace themselves use them.
 */
#include "calls.h"

typedef struct CLOCK {
    KTIMER Timer;
    KDPC Dpc;
    KSPIN_LOCK Lock;
    volatile LONG Calls;
    volatile LONG Answer;       /* of what the DPC called */
    LONG Stop;                  /* it does what it does until then */
} CLOCK;

static const LARGE_INTEGER Soon = { .QuadPart = MS(1) };
static const LARGE_INTEGER Late = { .QuadPart = MS(100000) };

static VOID NTAPI Counts(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    CLOCK *clock = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    (void)InterlockedIncrement(&clock->Calls);
}

static VOID NTAPI SetsAgain(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    CLOCK *clock = Context;

    if (clock->Calls + 1 < clock->Stop)
        clock->Answer = KeSetTimer(&clock->Timer, Soon, &clock->Dpc);
    Counts(Dpc, Context, Argument1, Argument2);
}

static VOID NTAPI Cancels(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    CLOCK *clock = Context;

    if (clock->Calls + 1 == clock->Stop)
        clock->Answer = KeCancelTimer(&clock->Timer);
    Counts(Dpc, Context, Argument1, Argument2);
}

static VOID NTAPI TakesTheLock(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    CLOCK *clock = Context;

    clock->Answer = 1;
    KeAcquireSpinLockAtDpcLevel(&clock->Lock);
    Counts(Dpc, Context, Argument1, Argument2);
    KeReleaseSpinLockFromDpcLevel(&clock->Lock);
}

static VOID NTAPI Slow(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    CLOCK *clock = Context;

    clock->Answer = 1;
    Sleep(100);
    Counts(Dpc, Context, Argument1, Argument2);
}

static CLOCK *New(PKDEFERRED_ROUTINE Routine)
{
    CLOCK *clock = ExAllocatePoolWithTag(NonPagedPool, sizeof(*clock), TAG);     /* stays: a timer may be late */

    RtlZeroMemory(clock, sizeof(*clock));
    KeInitializeTimer(&clock->Timer);
    KeInitializeDpc(&clock->Dpc, Routine, clock);
    KeInitializeSpinLock(&clock->Lock);
    return clock;
}

/* ---- once --------------------------------------------------------------------------------------- */

PROBE(Probe_KeInitializeTimer)
{
    CLOCK *clock = New(Counts);

    EXPECT(StaysAway(&clock->Timer), "makes a timer that is signalled");
}

PROBE(Probe_KeInitializeTimerEx)
{
    CLOCK *clock = New(Counts);

    KeInitializeTimerEx(&clock->Timer, SynchronizationTimer);
    (void)KeSetTimer(&clock->Timer, Soon, NULL);
    EXPECT(Came(&clock->Timer), "makes a synchronization timer that no wait sees expire");
    EXPECT(StaysAway(&clock->Timer), "makes a synchronization timer that stays signalled after a wait");
}

PROBE(Probe_KeSetTimer)
{
    CLOCK *clock = New(Counts);

    EXPECT(!KeSetTimer(&clock->Timer, Soon, &clock->Dpc), "answers TRUE for a timer that was not set");
    EXPECT(Reaches(&clock->Calls, 1), "never calls the DPC");
    Sleep(50);
    EXPECT(clock->Calls == 1, "calls the DPC again and again");
}

PROBE(SetWaits)
{
    CLOCK *clock = New(Counts);

    (void)KeSetTimer(&clock->Timer, Soon, NULL);
    EXPECT(Came(&clock->Timer), "never signals the timer");
    EXPECT(Came(&clock->Timer), "leaves a notification timer not signalled after a wait");
}

PROBE(SetTwice)
{
    CLOCK *clock = New(Counts);

    (void)KeSetTimer(&clock->Timer, Late, &clock->Dpc);
    EXPECT(KeSetTimer(&clock->Timer, Soon, &clock->Dpc), "answers FALSE for a timer that was set");
    EXPECT(Reaches(&clock->Calls, 1), "keeps the time that was set before");
}

PROBE(SetExpired)
{
    CLOCK *clock = New(Counts);

    (void)KeSetTimer(&clock->Timer, Soon, &clock->Dpc);
    (void)Reaches(&clock->Calls, 1);
    Sleep(50);
    EXPECT(!KeSetTimer(&clock->Timer, Soon, &clock->Dpc), "answers TRUE for a timer that has expired");
    EXPECT(Reaches(&clock->Calls, 2), "does not call the DPC the second time");
}

PROBE(SetAbsolute)
{
    CLOCK *clock = New(Counts);
    volatile LONGLONG time;
    LARGE_INTEGER now;

    KeQuerySystemTime(&now);
    time = now.QuadPart;                /* apart from the sum: time.c says why */
    now.QuadPart = time + 100000;
    (void)KeSetTimer(&clock->Timer, now, &clock->Dpc);
    EXPECT(Reaches(&clock->Calls, 1), "does not call the DPC at an absolute time");
    now.QuadPart = 1;
    (void)KeSetTimer(&clock->Timer, now, &clock->Dpc);
    EXPECT(Reaches(&clock->Calls, 2), "does not call the DPC at once for a time that is past");
}

PROBE(SetByItsDpc)
{
    CLOCK *clock = New(SetsAgain);

    clock->Stop = 20;
    (void)KeSetTimer(&clock->Timer, Soon, &clock->Dpc);
    COMES_BACK(Reaches(&clock->Calls, 20));
    EXPECT(!clock->Answer, "answers TRUE for a timer that has expired");
}

/* The timer is set anew from outside while its DPC runs. */
PROBE(SetWhileItsDpcRuns)
{
    CLOCK *clock = New(Slow);

    (void)KeSetTimer(&clock->Timer, Soon, &clock->Dpc);
    EXPECT(Reaches(&clock->Answer, 1), "never calls the DPC");
    (void)KeSetTimer(&clock->Timer, Soon, &clock->Dpc);
    EXPECT(Reaches(&clock->Calls, 2), "does not call the DPC the second time");
}

PROBE(Probe_KeSetTimerEx)
{
    CLOCK *clock = New(Counts);

    EXPECT(!KeSetTimerEx(&clock->Timer, Soon, 1, &clock->Dpc), "answers TRUE for a timer that was not set");
    EXPECT(Reaches(&clock->Calls, 20), "does not call the DPC each period");
    EXPECT(KeCancelTimer(&clock->Timer), "makes a periodic timer that is not set while it runs");
}

PROBE(PeriodWaits)
{
    CLOCK *clock = New(Counts);
    LONG i;

    KeInitializeTimerEx(&clock->Timer, SynchronizationTimer);
    (void)KeSetTimerEx(&clock->Timer, Soon, 1, NULL);
    for (i = 0; i < 5; i++)
        EXPECT(Came(&clock->Timer), "does not signal the timer each period");
    (void)KeCancelTimer(&clock->Timer);
}

PROBE(Probe_KeSetCoalescableTimer)
{
    CLOCK *clock = New(Counts);

    (void)KeSetCoalescableTimer(&clock->Timer, Soon, 1, 5, &clock->Dpc);
    EXPECT(Reaches(&clock->Calls, 5), "does not call the DPC each period");
    (void)KeCancelTimer(&clock->Timer);
}

PROBE(Probe_KeCancelTimer)
{
    CLOCK *clock = New(Counts);
    LARGE_INTEGER due = { .QuadPart = MS(100) };

    (void)KeSetTimer(&clock->Timer, due, &clock->Dpc);
    EXPECT(KeCancelTimer(&clock->Timer), "answers FALSE for a timer that was set");
    EXPECT(!KeCancelTimer(&clock->Timer), "answers TRUE for a timer that was cancelled");
    Sleep(300);
    EXPECT(!clock->Calls, "does not keep the DPC from being called");
}

PROBE(CancelExpired)
{
    CLOCK *clock = New(Counts);

    (void)KeSetTimer(&clock->Timer, Soon, &clock->Dpc);
    (void)Reaches(&clock->Calls, 1);
    Sleep(50);
    EXPECT(!KeCancelTimer(&clock->Timer), "answers TRUE for a timer that has expired");
}

PROBE(CancelNeverSet)
{
    CLOCK *clock = New(Counts);

    EXPECT(!KeCancelTimer(&clock->Timer), "answers TRUE for a timer that was never set");
}

PROBE(CancelByItsDpc)
{
    CLOCK *clock = New(Cancels);

    clock->Stop = 3;
    (void)KeSetTimerEx(&clock->Timer, Soon, 1, &clock->Dpc);
    COMES_BACK(Reaches(&clock->Calls, 3));
    EXPECT(clock->Answer, "answers FALSE for a periodic timer");
    Sleep(50);
    EXPECT(clock->Calls == 3, "does not keep the DPC from being called");
}

/* Whoever stops a stream holds the lock that the DPC waits for. */
PROBE(CancelUnderALock)
{
    CLOCK *clock = New(TakesTheLock);
    KIRQL irql;

    KeAcquireSpinLock(&clock->Lock, &irql);
    (void)KeSetTimer(&clock->Timer, Soon, &clock->Dpc);
    while (!clock->Answer)      /* the DPC is there, and waits */
        YieldProcessor();
    (void)KeCancelTimer(&clock->Timer);
    KeReleaseSpinLock(&clock->Lock, irql);
    COMES_BACK(Reaches(&clock->Calls, 1));
}

PROBE(CancelWhileItsDpcRuns)
{
    CLOCK *clock = New(Slow);

    (void)KeSetTimer(&clock->Timer, Soon, &clock->Dpc);
    EXPECT(Reaches(&clock->Answer, 1), "finds a DPC that is never called");
    (void)KeCancelTimer(&clock->Timer);
    EXPECT(!clock->Calls, "waits for the DPC that runs");
    COMES_BACK(Reaches(&clock->Calls, 1));
}

PROBE(Probe_KeReadStateTimer)
{
    CLOCK *clock = New(Counts);

    EXPECT(!KeReadStateTimer(&clock->Timer), "answers TRUE for a timer that was never set");
    (void)KeSetTimer(&clock->Timer, Soon, NULL);
    (void)Came(&clock->Timer);
    EXPECT(KeReadStateTimer(&clock->Timer), "answers FALSE for a timer that has expired");
}

/* ---- deferred procedure calls ------------------------------------------------------------------- */

PROBE(Probe_KeInitializeDpc)
{
    CLOCK *clock = New(Counts);

    EXPECT(clock->Dpc.DeferredRoutine == Counts && clock->Dpc.DeferredContext == clock, "does not fill the DPC in");
}

PROBE(Probe_KeInsertQueueDpc)
{
    CLOCK *clock = New(Counts);

    EXPECT(KeInsertQueueDpc(&clock->Dpc, NULL, NULL), "answers FALSE for a DPC that was not queued");
    EXPECT(Reaches(&clock->Calls, 1), "never calls the DPC");
}

PROBE(Probe_KeRemoveQueueDpc)
{
    CLOCK *clock = New(Counts);

    EXPECT(!KeRemoveQueueDpc(&clock->Dpc), "answers TRUE for a DPC that was not queued");
}

PROBE(Probe_KeFlushQueuedDpcs)
{
    CLOCK *clock = New(Slow);

    (void)KeSetTimer(&clock->Timer, Soon, &clock->Dpc);
    EXPECT(Reaches(&clock->Answer, 1), "finds a DPC that is never called");
    KeFlushQueuedDpcs();
    EXPECT(clock->Calls == 1, "returns while a DPC runs");
}

PROBE(Probe_KeSetImportanceDpc)
{
    CLOCK *clock = New(Counts);

    KeSetImportanceDpc(&clock->Dpc, HighImportance);
    (void)KeSetTimer(&clock->Timer, Soon, &clock->Dpc);
    EXPECT(Reaches(&clock->Calls, 1), "makes a DPC that is never called");
}

PROBE(Probe_KeSetTargetProcessorDpc)
{
    CLOCK *clock = New(Counts);

    KeSetTargetProcessorDpc(&clock->Dpc, 0);
    (void)KeSetTimer(&clock->Timer, Soon, &clock->Dpc);
    EXPECT(Reaches(&clock->Calls, 1), "makes a DPC that is never called");
}

PROBE(DpcsExclude)
{
    static CLOCK *one, *two;

    one = New(Slow);
    two = New(Slow);
    (void)KeSetTimer(&one->Timer, Soon, &one->Dpc);
    (void)KeSetTimer(&two->Timer, Soon, &two->Dpc);
    EXPECT(Reaches(&one->Calls, 1) && Reaches(&two->Calls, 1), "calls one of two DPCs only");
}

/* ---- the timer of a device, once a second ------------------------------------------------------- */

static volatile LONG Ticks;

static VOID NTAPI Ticked(PDEVICE_OBJECT Device, PVOID Context)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Context);
    (void)InterlockedIncrement(&Ticks);
}

PROBE(Probe_IoInitializeTimer)
{
    EXPECT(IoInitializeTimer(Fdo, Ticked, NULL) == STATUS_SUCCESS, "fails");
}

PROBE(Probe_IoStartTimer)
{
    (void)IoInitializeTimer(Fdo, Ticked, NULL);
    IoStartTimer(Fdo);
    EXPECT(Reaches(&Ticks, 1), "never calls the routine");
}

PROBE(Probe_IoStopTimer)
{
    LONG before;

    (void)IoInitializeTimer(Fdo, Ticked, NULL);
    IoStartTimer(Fdo);
    IoStopTimer(Fdo);
    before = Ticks;
    Sleep(1500);
    EXPECT(Ticks == before, "does not keep the routine from being called");
}

const PROBE TimerProbes[] = {
    P(KeInitializeTimer), P(KeInitializeTimerEx), P(KeSetTimer),
    CASE(KeSetTimer, "and a wait", SetWaits),
    CASE(KeSetTimer, "for a timer that is set", SetTwice),
    CASE(KeSetTimer, "for a timer that has expired", SetExpired),
    CASE(KeSetTimer, "at an absolute time", SetAbsolute),
    CASE(KeSetTimer, "by the timer's own DPC", SetByItsDpc),
    CASE(KeSetTimer, "while the timer's DPC runs", SetWhileItsDpcRuns),
    CASE(KeSetTimer, "for two timers", DpcsExclude),
    P(KeSetTimerEx),
    CASE(KeSetTimerEx, "with a period, and a wait", PeriodWaits),
    P(KeSetCoalescableTimer), P(KeCancelTimer),
    CASE(KeCancelTimer, "for a timer that has expired", CancelExpired),
    CASE(KeCancelTimer, "for a timer that was never set", CancelNeverSet),
    CASE(KeCancelTimer, "by the timer's own DPC", CancelByItsDpc),
    CASE(KeCancelTimer, "under a spin lock that the timer's DPC waits for", CancelUnderALock),
    CASE(KeCancelTimer, "while the timer's DPC runs", CancelWhileItsDpcRuns),
    P(KeReadStateTimer), P(KeInitializeDpc), P(KeInsertQueueDpc), P(KeRemoveQueueDpc), P(KeFlushQueuedDpcs),
    P(KeSetImportanceDpc), P(KeSetTargetProcessorDpc), P(IoInitializeTimer), P(IoStartTimer), P(IoStopTimer), ENDS
};
