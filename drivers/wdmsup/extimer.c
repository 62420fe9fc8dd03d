/* SPDX-License-Identifier: Apache-2.0
 *
 * extimer.c - timers that the system allocates (ExAllocateTimer and its kin).
 *
 * Each is a timer and a DPC of timer.c.  What is high-resolution or need not
 * wake anybody is so for every timer here.  DPCs run one after the other, in
 * the order in which they were queued: a last one, which frees the timer, runs
 * when no callback of it is under way or to come.
 */
#include "timer.h"

#define HIGH_RESOLUTION 0x4u
#define NO_WAKE 0x8u
#define NOTIFICATION 0x80000000u
#define KNOWN_ATTRIBUTES (HIGH_RESOLUTION | NO_WAKE | NOTIFICATION)
#define TIMER_OR_DPC_INVALID 0xC7u      /* the pages say that it is a bugcheck, and not which */

typedef struct SUP_EX_TIMER {
    KTIMER Timer;                       /* first: it is waited for */
    KDPC Dpc, Last;
    VOID (NTAPI *Callback)(struct SUP_EX_TIMER *Timer, PVOID Context);
    PVOID Context;
    ULONG Attributes;
    /* Under Lock. */
    BOOLEAN Gone;                       /* deleted, perhaps with an expiry to come */
    BOOLEAN Ending;                     /* the last DPC is queued */
    VOID (NTAPI *Deleted)(PVOID Context);
    PVOID DeletedContext;
    PKEVENT Waits;                      /* whoever waits for its end */
} SUP_EX_TIMER;

typedef struct SUP_DELETE_PARAMETERS {
    ULONG Version;
    ULONG Reserved;
    VOID (NTAPI *Deleted)(PVOID Context);
    PVOID Context;
} SUP_DELETE_PARAMETERS;

static SUP_LOCK Lock;

SUP_EX_TIMER *NTAPI SupExAllocateTimer(VOID (NTAPI *Callback)(SUP_EX_TIMER *, PVOID), PVOID Context, ULONG Attributes);
BOOLEAN NTAPI SupExSetTimer(SUP_EX_TIMER *Timer, LONGLONG DueTime, LONGLONG Period, PVOID Parameters);
BOOLEAN NTAPI SupExCancelTimer(SUP_EX_TIMER *Timer, PVOID Parameters);
BOOLEAN NTAPI SupExDeleteTimer(SUP_EX_TIMER *Timer, BOOLEAN Cancel, BOOLEAN Wait,
                               const SUP_DELETE_PARAMETERS *Parameters);

static VOID NTAPI End(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    SUP_EX_TIMER *timer = Context;
    VOID (NTAPI *deleted)(PVOID) = timer->Deleted;
    PVOID context = timer->DeletedContext;
    PKEVENT waits = timer->Waits;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    ExFreePoolWithTag(timer, SUP_TAG);
    if (deleted)
        deleted(context);
    if (waits)
        KeSetEvent(waits, IO_NO_INCREMENT, FALSE);
}

/* Under the lock: without it the timer may be free when this returns. */
static VOID EndIfDone(SUP_EX_TIMER *Timer)
{
    if (!Timer->Gone || Timer->Ending || SupTimerIsSet(&Timer->Timer))
        return;
    Timer->Ending = TRUE;
    (void)SupKeInsertQueueDpc(&Timer->Last, NULL, NULL);
}

/* Runs for each expiry, whether there is a callback or not.  A periodic timer that was deleted without being
 * cancelled ends with it. */
static VOID NTAPI Expired(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    SUP_EX_TIMER *timer = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    if (timer->Callback)
        timer->Callback(timer, timer->Context);
    RtlAcquireSRWLockExclusive(&Lock);
    if (timer->Gone)
        (void)SupKeCancelTimer(&timer->Timer);
    EndIfDone(timer);
    RtlReleaseSRWLockExclusive(&Lock);
}

/* IRQL <= DISPATCH_LEVEL, as all here.  NULL where there is no memory. */
SUP_EX_TIMER *NTAPI SupExAllocateTimer(VOID (NTAPI *Callback)(SUP_EX_TIMER *, PVOID), PVOID Context, ULONG Attributes)
{
    SUP_EX_TIMER *timer;

    if ((Attributes & ~KNOWN_ATTRIBUTES) || (Attributes & (HIGH_RESOLUTION | NO_WAKE)) == (HIGH_RESOLUTION | NO_WAKE))
        KeBugCheckEx(TIMER_OR_DPC_INVALID, (ULONG_PTR)Callback, Attributes, 0, 0);
    timer = kshs_zalloc(sizeof(*timer), SUP_TAG);
    if (!timer)
        return NULL;
    SupKeInitializeTimerEx(&timer->Timer, Attributes & NOTIFICATION ? NotificationTimer : SynchronizationTimer);
    SupKeInitializeDpc(&timer->Dpc, Expired, timer);
    SupKeInitializeDpc(&timer->Last, End, timer);
    timer->Callback = Callback;
    timer->Context = Context;
    timer->Attributes = Attributes;
    return timer;
}

/* Times in 100 ns.  TRUE for one that was set: it is set anew. */
BOOLEAN NTAPI SupExSetTimer(SUP_EX_TIMER *Timer, LONGLONG DueTime, LONGLONG Period, PVOID Parameters)
{
    UNREFERENCED_PARAMETER(Parameters);         /* how late it may be */
    if ((Timer->Attributes & HIGH_RESOLUTION) && DueTime > 0)
        KeBugCheckEx(TIMER_OR_DPC_INVALID, (ULONG_PTR)Timer, (ULONG_PTR)DueTime, 0, 0);
    return SupSetTimer(&Timer->Timer, DueTime, (ULONG)min(max(Period, 0), MAXLONG), 1, &Timer->Dpc);
}

/* TRUE for one that was set.  A callback that is due runs all the same. */
BOOLEAN NTAPI SupExCancelTimer(SUP_EX_TIMER *Timer, PVOID Parameters)
{
    UNREFERENCED_PARAMETER(Parameters);
    return SupKeCancelTimer(&Timer->Timer);
}

/* TRUE for one that was set and is cancelled.  With Wait, which needs IRQL < DISPATCH_LEVEL, no callback runs after
 * it; without, the timer is freed after the last one. */
BOOLEAN NTAPI SupExDeleteTimer(SUP_EX_TIMER *Timer, BOOLEAN Cancel, BOOLEAN Wait,
                               const SUP_DELETE_PARAMETERS *Parameters)
{
    BOOLEAN wait = Wait && !SupKeIsExecutingDpc(), was = FALSE;
    KEVENT ended;

    if (Wait && !Cancel)
        KeBugCheckEx(TIMER_OR_DPC_INVALID, (ULONG_PTR)Timer, Wait, Cancel, 0);
    if (wait)
        KeInitializeEvent(&ended, NotificationEvent, FALSE);
    RtlAcquireSRWLockExclusive(&Lock);
    if (Cancel)
        was = SupKeCancelTimer(&Timer->Timer);
    if (Parameters) {
        Timer->Deleted = Parameters->Deleted;
        Timer->DeletedContext = Parameters->Context;
    }
    Timer->Waits = wait ? &ended : NULL;
    Timer->Gone = TRUE;
    EndIfDone(Timer);
    RtlReleaseSRWLockExclusive(&Lock);
    if (wait)
        (void)KeWaitForSingleObject(&ended, Executive, KernelMode, FALSE, NULL);
    return was;
}
