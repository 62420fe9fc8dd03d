/* SPDX-License-Identifier: Apache-2.0
 *
 * extimers.c - timers that the system allocates, and the IRQL in their callbacks and elsewhere.
 */
#include "calls.h"

/* The header has these inline: what is asked here is what is imported. */
extern KIRQL (NTAPI *const ImportedIrql)(VOID) __asm__("__imp_KeGetCurrentIrql");
extern KIRQL (NTAPI *const ImportedRaiseToDpc)(VOID) __asm__("__imp_KeRaiseIrqlToDpcLevel");
extern KIRQL (FASTCALL *const ImportedRaise)(KIRQL Irql) __asm__("__imp_KfRaiseIrql");
extern VOID (FASTCALL *const ImportedLower)(KIRQL Irql) __asm__("__imp_KeLowerIrql");
NTKERNELAPI VOID NTAPI KeInitializeThreadedDpc(PRKDPC Dpc, PKDEFERRED_ROUTINE Routine, PVOID Context);

typedef struct CLOCK {
    PEX_TIMER Timer;
    volatile LONG Calls;
    volatile LONG Answer;
    volatile LONG Irql;
    volatile LONG Deleted;
    LONG Stop;
} CLOCK;

#define SOON (-10000)
#define LATE (-1000000000ll)
#define TICK 10000

static VOID NTAPI Counts(PEX_TIMER Timer, PVOID Context)
{
    CLOCK *clock = Context;

    UNREFERENCED_PARAMETER(Timer);
    (void)InterlockedIncrement(&clock->Calls);
}

static VOID NTAPI SetsAgain(PEX_TIMER Timer, PVOID Context)
{
    CLOCK *clock = Context;

    if (clock->Calls + 1 < clock->Stop)
        clock->Answer = ExSetTimer(Timer, SOON, 0, NULL);
    (void)InterlockedIncrement(&clock->Calls);
}

static VOID NTAPI CancelsItself(PEX_TIMER Timer, PVOID Context)
{
    CLOCK *clock = Context;

    if (clock->Calls + 1 == clock->Stop)
        clock->Answer = ExCancelTimer(Timer, NULL);
    (void)InterlockedIncrement(&clock->Calls);
}

static VOID NTAPI DeletesItself(PEX_TIMER Timer, PVOID Context)
{
    CLOCK *clock = Context;
    EXT_DELETE_PARAMETERS parameters = { 0, 0, NULL, NULL };

    (void)ExDeleteTimer(Timer, TRUE, FALSE, &parameters);
    (void)InterlockedIncrement(&clock->Calls);
}

static VOID NTAPI Slow(PEX_TIMER Timer, PVOID Context)
{
    CLOCK *clock = Context;

    UNREFERENCED_PARAMETER(Timer);
    clock->Answer = 1;
    Sleep(100);
    (void)InterlockedIncrement(&clock->Calls);
}

static VOID NTAPI AsksTheIrql(PEX_TIMER Timer, PVOID Context)
{
    CLOCK *clock = Context;

    UNREFERENCED_PARAMETER(Timer);
    clock->Irql = ImportedIrql();
    (void)InterlockedIncrement(&clock->Calls);
}

static VOID NTAPI WasDeleted(PVOID Context)
{
    CLOCK *clock = Context;

    clock->Deleted = clock->Calls + 1;
}

static CLOCK *New(PEXT_CALLBACK Routine, ULONG Attributes)
{
    CLOCK *clock = ExAllocatePoolWithTag(NonPagedPool, sizeof(*clock), TAG);     /* stays: a timer may be late */

    RtlZeroMemory(clock, sizeof(*clock));
    clock->Timer = ExAllocateTimer(Routine, clock, Attributes);
    return clock;
}

PROBE(Probe_ExAllocateTimer)
{
    CLOCK *clock = New(Counts, EX_TIMER_HIGH_RESOLUTION | EX_TIMER_NOTIFICATION);

    EXPECT(clock->Timer, "gives no timer");
    EXPECT(StaysAway(clock->Timer), "makes a timer that is signalled");
}

PROBE(Probe_ExSetTimer)
{
    CLOCK *clock = New(Counts, 0);

    EXPECT(!ExSetTimer(clock->Timer, SOON, 0, NULL), "answers TRUE for a timer that was not set");
    EXPECT(Reaches(&clock->Calls, 1), "never calls the routine");
    EXPECT(Came(clock->Timer), "never signals the timer");
    EXPECT(StaysAway(clock->Timer), "leaves a synchronization timer signalled after a wait");
    EXPECT(clock->Calls == 1, "calls the routine again and again");
}

PROBE(NotificationStays)
{
    CLOCK *clock = New(NULL, EX_TIMER_NOTIFICATION);

    (void)ExSetTimer(clock->Timer, SOON, 0, NULL);
    EXPECT(Came(clock->Timer) && Came(clock->Timer), "leaves a notification timer not signalled after a wait");
}

/* A rate of 30 a second is no whole number of milliseconds. */
PROBE(PeriodOfFrames)
{
    CLOCK *clock = New(Counts, EX_TIMER_HIGH_RESOLUTION);
    LARGE_INTEGER frequency, before = KeQueryPerformanceCounter(&frequency), after;
    LONGLONG took;

    EXPECT(!ExSetTimer(clock->Timer, -333333, 333333, NULL), "answers TRUE for a timer that was not set");
    EXPECT(Reaches(&clock->Calls, 30), "does not call the routine each period");
    after = KeQueryPerformanceCounter(NULL);
    EXPECT(ExCancelTimer(clock->Timer, NULL), "makes a periodic timer that is not set while it runs");
    took = (after.QuadPart - before.QuadPart) * 1000 / frequency.QuadPart;
    EXPECT(took >= 990, "calls the routine more often than the period says");
}

PROBE(SetTwice)
{
    CLOCK *clock = New(Counts, 0);

    (void)ExSetTimer(clock->Timer, LATE, 0, NULL);
    EXPECT(ExSetTimer(clock->Timer, SOON, 0, NULL), "answers FALSE for a timer that was set");
    EXPECT(Reaches(&clock->Calls, 1), "keeps the time that was set before");
}

PROBE(SetByItsCallback)
{
    CLOCK *clock = New(SetsAgain, EX_TIMER_HIGH_RESOLUTION);

    clock->Stop = 20;
    (void)ExSetTimer(clock->Timer, SOON, 0, NULL);
    COMES_BACK(Reaches(&clock->Calls, 20));
    EXPECT(!clock->Answer, "answers TRUE for a timer that has expired");
}

PROBE(CallbackAtDispatch)
{
    CLOCK *clock = New(AsksTheIrql, 0);

    (void)ExSetTimer(clock->Timer, SOON, 0, NULL);
    EXPECT(Reaches(&clock->Calls, 1), "never calls the routine");
    EXPECT(clock->Irql == DISPATCH_LEVEL, "calls the routine at another IRQL than DISPATCH_LEVEL");
}

PROBE(Probe_ExCancelTimer)
{
    CLOCK *clock = New(Counts, 0);

    EXPECT(!ExCancelTimer(clock->Timer, NULL), "answers TRUE for a timer that was never set");
    (void)ExSetTimer(clock->Timer, -1000000, 0, NULL);
    EXPECT(ExCancelTimer(clock->Timer, NULL), "answers FALSE for a timer that was set");
    EXPECT(!ExCancelTimer(clock->Timer, NULL), "answers TRUE for a timer that was cancelled");
    Sleep(300);
    EXPECT(!clock->Calls, "does not keep the routine from being called");
}

PROBE(CancelByItsCallback)
{
    CLOCK *clock = New(CancelsItself, 0);

    clock->Stop = 3;
    (void)ExSetTimer(clock->Timer, SOON, TICK, NULL);
    COMES_BACK(Reaches(&clock->Calls, 3));
    EXPECT(clock->Answer, "answers FALSE for a periodic timer");
    Sleep(50);
    EXPECT(clock->Calls == 3, "does not keep the routine from being called");
}

PROBE(Probe_ExDeleteTimer)
{
    CLOCK *clock = New(Counts, 0);
    EXT_DELETE_PARAMETERS parameters = { 0, 0, WasDeleted, clock };

    (void)ExSetTimer(clock->Timer, LATE, TICK, NULL);
    EXPECT(ExDeleteTimer(clock->Timer, TRUE, TRUE, &parameters), "answers FALSE for a timer that was set");
    EXPECT(clock->Deleted, "returns before the routine for deletion has run");
    EXPECT(!clock->Calls, "calls the routine of a timer that it has cancelled");
}

PROBE(DeleteWaits)
{
    CLOCK *clock = New(Slow, 0);

    (void)ExSetTimer(clock->Timer, SOON, 0, NULL);
    EXPECT(Reaches(&clock->Answer, 1), "finds a routine that is never called");
    EXPECT(!ExDeleteTimer(clock->Timer, TRUE, TRUE, NULL), "answers TRUE for a timer that has expired");
    EXPECT(clock->Calls == 1, "returns while the routine runs");
}

PROBE(DeleteByItsCallback)
{
    CLOCK *clock = New(DeletesItself, 0);

    (void)ExSetTimer(clock->Timer, SOON, TICK, NULL);
    COMES_BACK(Reaches(&clock->Calls, 1));
    Sleep(50);
    EXPECT(clock->Calls == 1, "does not keep the routine from being called");
}

PROBE(DeleteLater)
{
    CLOCK *clock = New(Counts, 0);
    EXT_DELETE_PARAMETERS parameters = { 0, 0, WasDeleted, clock };

    (void)ExSetTimer(clock->Timer, -1000000, 0, NULL);
    EXPECT(!ExDeleteTimer(clock->Timer, FALSE, FALSE, &parameters), "answers TRUE for what is not to be cancelled");
    EXPECT(Reaches(&clock->Deleted, 2), "does not let the timer expire before it is gone");
}

/* Somebody else's callbacks run all the while. */
PROBE(ManyTimers)
{
    CLOCK *clocks[16];
    ULONG i, round;

    for (round = 0; round < 20; round++) {
        for (i = 0; i < RTL_NUMBER_OF(clocks); i++) {
            clocks[i] = New(Counts, EX_TIMER_HIGH_RESOLUTION);
            (void)ExSetTimer(clocks[i]->Timer, -1, TICK / 10, NULL);
        }
        for (i = 0; i < RTL_NUMBER_OF(clocks); i++) {
            LONG calls;

            (void)ExDeleteTimer(clocks[i]->Timer, TRUE, TRUE, NULL);
            calls = clocks[i]->Calls;
            Sleep(1);
            EXPECT(calls == clocks[i]->Calls, "calls the routine of a timer that is gone");
            ExFreePoolWithTag(clocks[i], TAG);
        }
    }
}

/* ---- the IRQL, as drivers import it -------------------------------------------------------------- */

static VOID NTAPI DpcAsksTheIrql(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    CLOCK *clock = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    clock->Irql = ImportedIrql();
    (void)InterlockedIncrement(&clock->Calls);
}

PROBE(Probe_KeGetCurrentIrql)
{
    EXPECT(ImportedIrql() == PASSIVE_LEVEL, "does not answer PASSIVE_LEVEL in a thread of the driver's");
}

PROBE(IrqlOfADpc)
{
    static CLOCK clock;
    static KDPC dpc;

    EXPECT(ImportedIrql() == PASSIVE_LEVEL, "does not answer PASSIVE_LEVEL before the DPC");
    RtlZeroMemory(&clock, sizeof(clock));
    KeInitializeDpc(&dpc, DpcAsksTheIrql, &clock);
    (void)KeInsertQueueDpc(&dpc, NULL, NULL);
    EXPECT(Reaches(&clock.Calls, 1), "finds a DPC that is never called");
    EXPECT(clock.Irql == DISPATCH_LEVEL, "does not answer DISPATCH_LEVEL in a DPC");
}

PROBE(IrqlUnderALock)
{
    static KSPIN_LOCK lock, other;
    KLOCK_QUEUE_HANDLE handle;
    KIRQL irql, inner, under, between;

    KeInitializeSpinLock(&lock);
    KeInitializeSpinLock(&other);
    KeAcquireSpinLock(&lock, &irql);
    KeAcquireSpinLock(&other, &inner);
    under = ImportedIrql();
    KeReleaseSpinLock(&other, inner);
    between = ImportedIrql();
    KeReleaseSpinLock(&lock, irql);
    EXPECT(under == DISPATCH_LEVEL && between == DISPATCH_LEVEL, "does not answer DISPATCH_LEVEL under a spin lock");
    EXPECT(ImportedIrql() == PASSIVE_LEVEL, "does not answer PASSIVE_LEVEL after a spin lock");
    KeAcquireInStackQueuedSpinLock(&lock, &handle);
    under = ImportedIrql();
    KeReleaseInStackQueuedSpinLock(&handle);
    EXPECT(under == DISPATCH_LEVEL && ImportedIrql() == PASSIVE_LEVEL, "does not know of queued spin locks");
}

PROBE(Probe_KeRaiseIrqlToDpcLevel)
{
    KIRQL irql = ImportedRaiseToDpc(), raised = ImportedIrql();

    ImportedLower(irql);
    EXPECT(irql == PASSIVE_LEVEL && raised == DISPATCH_LEVEL, "does not raise the IRQL");
}

PROBE(Probe_KeLowerIrql)
{
    KIRQL irql = ImportedRaise(APC_LEVEL), raised = ImportedIrql();

    ImportedLower(irql);
    EXPECT(raised == APC_LEVEL && ImportedIrql() == PASSIVE_LEVEL, "does not undo what KfRaiseIrql did");
}

PROBE(Probe_KeInitializeThreadedDpc)
{
    static CLOCK clock;
    static KDPC dpc;

    RtlZeroMemory(&clock, sizeof(clock));
    KeInitializeThreadedDpc(&dpc, DpcAsksTheIrql, &clock);
    EXPECT(KeInsertQueueDpc(&dpc, NULL, NULL), "makes a DPC that is queued already");
    EXPECT(Reaches(&clock.Calls, 1), "makes a DPC that is never called");
}

const PROBE ExTimerProbes[] = {
    P(ExAllocateTimer), P(ExSetTimer),
    CASE(ExSetTimer, "for a notification timer", NotificationStays),
    CASE(ExSetTimer, "with a period", PeriodOfFrames),
    CASE(ExSetTimer, "for a timer that is set", SetTwice),
    CASE(ExSetTimer, "by the timer's own callback", SetByItsCallback),
    CASE(ExSetTimer, "and the IRQL", CallbackAtDispatch), P(ExCancelTimer),
    CASE(ExCancelTimer, "by the timer's own callback", CancelByItsCallback), P(ExDeleteTimer),
    CASE(ExDeleteTimer, "while the callback runs", DeleteWaits),
    CASE(ExDeleteTimer, "by the timer's own callback", DeleteByItsCallback),
    CASE(ExDeleteTimer, "without cancelling", DeleteLater),
    CASE(ExDeleteTimer, "for many timers", ManyTimers), P(KeGetCurrentIrql),
    CASE(KeGetCurrentIrql, "in a DPC", IrqlOfADpc), CASE(KeGetCurrentIrql, "under a spin lock", IrqlUnderALock),
    P(KeRaiseIrqlToDpcLevel), P(KeLowerIrql), P(KeInitializeThreadedDpc), ENDS
};
