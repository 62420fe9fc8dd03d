/* SPDX-License-Identifier: Apache-2.0
 *
 * timer.c - timers and deferred procedure calls.
 *
 * Wine's KeCancelTimer waits for the DPC, and its KeSetTimer cancels first, with
 * the lock of every wait held: a driver whose DPC sets its own timer again never
 * comes out of it, and every other driver stands still (tests/component/calls).
 * Here one thread keeps the timers and calls every DPC, one after the other and
 * with no lock of ours held, as one processor does: a DPC may set and cancel its
 * own timer, and no two DPCs run at once.
 * DISPATCH_LEVEL as such Wine does not have: a DPC that blocks holds up the
 * others, and a driver's spin locks exclude it as between processors.
 *
 * A timer's header is that of an event, which Wine's waits know: it is set
 * when the timer expires.
 */
#include "timer.h"

NTSYSAPI NTSTATUS NTAPI NtCreateEvent(PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes,
                                      EVENT_TYPE Type, BOOLEAN State);
NTSYSAPI NTSTATUS NTAPI NtSetEvent(HANDLE Handle, PLONG Previous);
NTSYSAPI NTSTATUS NTAPI NtWaitForSingleObject(HANDLE Handle, BOOLEAN Alertable, PLARGE_INTEGER Timeout);
NTSYSAPI NTSTATUS NTAPI NtQuerySystemTime(PLARGE_INTEGER Time);

#define FIRST_OF(list, type, member) CONTAINING_RECORD((list)->Flink, type, member)

static SUP_LOCK Lock;                   /* over everything here but Started */
static LIST_ENTRY Timers = { &Timers, &Timers };        /* soonest first */
static LIST_ENTRY Dpcs = { &Dpcs, &Dpcs };              /* in the order in which they run */
static HANDLE Wake;                     /* the soonest timer is another, or there is a DPC */
static ULONG Queued;                    /* DPCs so far, and how many of them have run */
static volatile ULONG Ran;
static volatile HANDLE Runner;          /* id of the thread while it is in a DPC */

/* 100 ns since some moment; goes on whatever the clock is set to. */
static ULONGLONG Now(VOID)
{
    return kshs_now_ns() / 100;
}

static VOID Enqueue(PKTIMER Timer)
{
    PLIST_ENTRY place = Timers.Blink;

    while (place != &Timers &&
           CONTAINING_RECORD(place, KTIMER, TimerListEntry)->DueTime.QuadPart > Timer->DueTime.QuadPart)
        place = place->Blink;
    InsertHeadList(place, &Timer->TimerListEntry);
    Timer->Header.Inserted = TRUE;
}

static BOOLEAN Dequeue(PKTIMER Timer)
{
    if (!Timer->Header.Inserted)
        return FALSE;
    RemoveEntryList(&Timer->TimerListEntry);
    Timer->Header.Inserted = FALSE;
    return TRUE;
}

static BOOLEAN QueueDpc(PKDPC Dpc, PVOID Argument1, PVOID Argument2)
{
    if (Dpc->DpcData)
        return FALSE;
    Dpc->DpcData = &Dpcs;
    Dpc->SystemArgument1 = Argument1;
    Dpc->SystemArgument2 = Argument2;
    if (Dpc->Importance == HighImportance)
        InsertHeadList(&Dpcs, &Dpc->DpcListEntry);
    else
        InsertTailList(&Dpcs, &Dpc->DpcListEntry);
    Queued++;
    return TRUE;
}

/* A periodic timer that is late skips what it missed, and keeps its rhythm. */
static VOID Expire(PKTIMER Timer, ULONGLONG now)
{
    (void)Dequeue(Timer);
    if (Timer->Period) {
        ULONGLONG period = (ULONGLONG)Timer->Period * Timer->Processor;
        ULONGLONG missed = (now - Timer->DueTime.QuadPart) / period;

        Timer->DueTime.QuadPart += (missed + 1) * period;
        Enqueue(Timer);
    }
    (void)KeSetEvent((PRKEVENT)Timer, IO_NO_INCREMENT, FALSE);
    if (Timer->Dpc)
        (void)QueueDpc(Timer->Dpc, (PVOID)(ULONG_PTR)(ULONG)now, (PVOID)(ULONG_PTR)(now >> 32));
}

/* With the lock held; gives it up around the call. */
static VOID RunDpc(VOID)
{
    PKDPC dpc = FIRST_OF(&Dpcs, KDPC, DpcListEntry);
    PKDEFERRED_ROUTINE routine = dpc->DeferredRoutine;
    PVOID context = dpc->DeferredContext, argument1 = dpc->SystemArgument1, argument2 = dpc->SystemArgument2;

    RemoveEntryList(&dpc->DpcListEntry);
    dpc->DpcData = NULL;        /* from here on it may be queued again, or be gone */
    Runner = PsGetCurrentThreadId();
    RtlReleaseSRWLockExclusive(&Lock);
    routine(dpc, context, argument1, argument2);
    RtlAcquireSRWLockExclusive(&Lock);
    Runner = NULL;
    Ran++;
    RtlWakeAddressAll(&Ran);
}

static VOID NTAPI Thread(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    for (;;) {
        LARGE_INTEGER wait;
        PLARGE_INTEGER timeout = NULL;
        ULONGLONG now = Now();

        RtlAcquireSRWLockExclusive(&Lock);
        while (!IsListEmpty(&Timers) && FIRST_OF(&Timers, KTIMER, TimerListEntry)->DueTime.QuadPart <= now)
            Expire(FIRST_OF(&Timers, KTIMER, TimerListEntry), now);
        if (!IsListEmpty(&Dpcs)) {
            RunDpc();
            RtlReleaseSRWLockExclusive(&Lock);
            continue;
        }
        if (!IsListEmpty(&Timers)) {
            wait.QuadPart = -(LONGLONG)(FIRST_OF(&Timers, KTIMER, TimerListEntry)->DueTime.QuadPart - now);
            timeout = &wait;
        }
        RtlReleaseSRWLockExclusive(&Lock);
        (void)NtWaitForSingleObject(Wake, FALSE, timeout);
    }
}

/* Once; what comes before the thread is there waits for it. */
static VOID Start(VOID)
{
    static volatile LONG started;
    HANDLE thread;

    if (InterlockedExchange(&started, 1))
        return;
    SupStay();
    (void)NtCreateEvent(&Wake, EVENT_ALL_ACCESS, NULL, SynchronizationEvent, FALSE);
    if (NT_SUCCESS(PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Thread, NULL)))
        (void)ZwClose(thread);
}

static VOID Leave(BOOLEAN Tell)
{
    RtlReleaseSRWLockExclusive(&Lock);
    if (Tell && Wake)
        (void)NtSetEvent(Wake, NULL);
}

/* ---- timers: IRQL <= DISPATCH_LEVEL, from DPCs too ------------------------------------------------- */

VOID NTAPI SupKeInitializeTimerEx(PKTIMER Timer, TIMER_TYPE Type)
{
    RtlZeroMemory(Timer, sizeof(*Timer));
    KeInitializeEvent((PRKEVENT)Timer, Type == SynchronizationTimer ? SynchronizationEvent : NotificationEvent,
                      FALSE);
    Timer->Header.Inserted = FALSE;
    InitializeListHead(&Timer->TimerListEntry);
}

VOID NTAPI SupKeInitializeTimer(PKTIMER Timer)
{
    SupKeInitializeTimerEx(Timer, NotificationTimer);
}

/* A timer that is set already is set anew, and the answer says that it was.  Time: negative is from now on. */
BOOLEAN SupSetTimer(PKTIMER Timer, LONGLONG DueTime, ULONG Period, ULONG Unit, PKDPC Dpc)
{
    LONGLONG wait = -DueTime;
    LARGE_INTEGER system;
    BOOLEAN was;

    Start();
    if (DueTime >= 0) {
        (void)NtQuerySystemTime(&system);
        wait = max(DueTime - system.QuadPart, 0);
    }
    RtlAcquireSRWLockExclusive(&Lock);
    was = Dequeue(Timer);
    KeClearEvent((PRKEVENT)Timer);
    Timer->Dpc = Dpc;
    Timer->Period = Period;
    Timer->Processor = Unit;
    Timer->DueTime.QuadPart = Now() + (ULONGLONG)wait;
    Enqueue(Timer);
    Leave(Timers.Flink == &Timer->TimerListEntry);
    return was;
}

BOOLEAN SupTimerIsSet(PKTIMER Timer)
{
    BOOLEAN set;

    RtlAcquireSRWLockExclusive(&Lock);
    set = Timer->Header.Inserted;
    Leave(FALSE);
    return set;
}

BOOLEAN NTAPI SupKeSetTimerEx(PKTIMER Timer, LARGE_INTEGER DueTime, LONG Period, PKDPC Dpc)
{
    return SupSetTimer(Timer, DueTime.QuadPart, (ULONG)max(Period, 0), SUP_MILLISECONDS, Dpc);
}

BOOLEAN NTAPI SupKeSetTimer(PKTIMER Timer, LARGE_INTEGER DueTime, PKDPC Dpc)
{
    return SupKeSetTimerEx(Timer, DueTime, 0, Dpc);
}

BOOLEAN NTAPI SupKeSetCoalescableTimer(PKTIMER Timer, LARGE_INTEGER DueTime, ULONG Period, ULONG Delay, PKDPC Dpc)
{
    UNREFERENCED_PARAMETER(Delay);      /* how late it may be */
    return SupKeSetTimerEx(Timer, DueTime, (LONG)Period, Dpc);
}

/* A DPC that is queued already runs all the same: KeFlushQueuedDpcs waits for it. */
BOOLEAN NTAPI SupKeCancelTimer(PKTIMER Timer)
{
    BOOLEAN was;

    RtlAcquireSRWLockExclusive(&Lock);
    was = Dequeue(Timer);
    Leave(FALSE);
    return was;
}

BOOLEAN NTAPI SupKeReadStateTimer(PKTIMER Timer)
{
    return KeReadStateEvent((PRKEVENT)Timer) != 0;
}

/* ---- deferred procedure calls: any IRQL, KeFlushQueuedDpcs PASSIVE_LEVEL ------------------------------- */

VOID NTAPI SupKeInitializeDpc(PKDPC Dpc, PKDEFERRED_ROUTINE Routine, PVOID Context)
{
    RtlZeroMemory(Dpc, sizeof(*Dpc));
    Dpc->Type = 19;                     /* DpcObject */
    Dpc->Importance = MediumImportance;
    Dpc->DeferredRoutine = Routine;
    Dpc->DeferredContext = Context;
}

/* Runs where the others run. */
VOID NTAPI SupKeInitializeThreadedDpc(PKDPC Dpc, PKDEFERRED_ROUTINE Routine, PVOID Context)
{
    SupKeInitializeDpc(Dpc, Routine, Context);
    Dpc->Type = 24;                     /* ThreadedDpcObject */
}

/* FALSE: it is queued already, and keeps the arguments that it has. */
BOOLEAN NTAPI SupKeInsertQueueDpc(PKDPC Dpc, PVOID Argument1, PVOID Argument2)
{
    BOOLEAN queued;

    Start();
    RtlAcquireSRWLockExclusive(&Lock);
    queued = QueueDpc(Dpc, Argument1, Argument2);
    Leave(queued);
    return queued;
}

BOOLEAN NTAPI SupKeRemoveQueueDpc(PKDPC Dpc)
{
    BOOLEAN queued;

    RtlAcquireSRWLockExclusive(&Lock);
    queued = Dpc->DpcData != NULL;
    if (queued) {
        RemoveEntryList(&Dpc->DpcListEntry);
        Dpc->DpcData = NULL;
        Queued--;
        RtlWakeAddressAll(&Ran);
    }
    Leave(FALSE);
    return queued;
}

VOID NTAPI SupKeFlushQueuedDpcs(VOID)
{
    const LARGE_INTEGER moment = { .QuadPart = -100000 };      /* what was removed wakes nobody for sure */
    ULONG until, ran;

    if (SupKeIsExecutingDpc())
        return;                         /* it would wait for itself */
    RtlAcquireSRWLockExclusive(&Lock);
    until = Queued;
    RtlReleaseSRWLockExclusive(&Lock);
    while ((LONG)(until - (ran = Ran)) > 0 && (LONG)(*(volatile ULONG *)&Queued - ran) > 0)
        (void)RtlWaitOnAddress(&Ran, &ran, sizeof(ran), &moment);
}

VOID NTAPI SupKeSetImportanceDpc(PKDPC Dpc, KDPC_IMPORTANCE Importance)
{
    Dpc->Importance = (UCHAR)Importance;
}

VOID NTAPI SupKeSetTargetProcessorDpc(PKDPC Dpc, CCHAR Number)
{
    Dpc->Number = (USHORT)(Number + 32);        /* all run on one thread */
}

/* A processor that is not there is refused, as the page says. */
NTSTATUS NTAPI SupKeSetTargetProcessorDpcEx(PKDPC Dpc, PPROCESSOR_NUMBER Number)
{
    if (Number->Group || Number->Reserved || Number->Number >= KeQueryActiveProcessorCount(NULL))
        return STATUS_INVALID_PARAMETER;
    SupKeSetTargetProcessorDpc(Dpc, (CCHAR)Number->Number);
    return STATUS_SUCCESS;
}

BOOLEAN NTAPI SupKeIsExecutingDpc(VOID)
{
    return Runner == PsGetCurrentThreadId();
}
