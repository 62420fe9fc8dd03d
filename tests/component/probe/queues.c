/* SPDX-License-Identifier: Apache-2.0
 *
 * queues.c - IRPs in cancelable queues.
 */
#include "probe.h"

typedef struct QUEUE {
    LIST_ENTRY List;
    KSPIN_LOCK Lock;
} QUEUE;

typedef struct TRACE {          /* of one IRP */
    PIRP Irp;
    volatile LONG Completions;
    NTSTATUS Status;
    BOOLEAN Pending;
} TRACE;

static void InitializeQueue(QUEUE *Queue)
{
    InitializeListHead(&Queue->List);
    KeInitializeSpinLock(&Queue->Lock);
}

static NTSTATUS NTAPI Completed(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    TRACE *trace = Context;

    UNREFERENCED_PARAMETER(DeviceObject);
    trace->Status = Irp->IoStatus.Status;
    trace->Pending = Irp->PendingReturned;
    InterlockedIncrement(&trace->Completions);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* An IRP as a dispatch routine gets it: completing it runs the routine above. */
static BOOLEAN MakeIrp(TRACE *Trace)
{
    PIRP irp = IoAllocateIrp(2, FALSE);

    RtlZeroMemory(Trace, sizeof(*Trace));
    if (!irp)
        return FALSE;
    Trace->Irp = irp;
    IoSetNextIrpStackLocation(irp);
    IoSetCompletionRoutine(irp, Completed, Trace, TRUE, TRUE, TRUE);
    IoSetNextIrpStackLocation(irp);
    IoGetCurrentIrpStackLocation(irp)->MajorFunction = IRP_MJ_READ;
    return TRUE;
}

static BOOLEAN MakeIrps(TRACE *Traces, ULONG Count)
{
    ULONG index;
    BOOLEAN made = TRUE;

    for (index = 0; index < Count; index++)
        made = MakeIrp(&Traces[index]) && made;
    return made;
}

static void FreeIrps(TRACE *Traces, ULONG Count)
{
    ULONG index;

    for (index = 0; index < Count; index++)
        if (Traces[index].Irp)
            IoFreeIrp(Traces[index].Irp);
}

static ULONG Length(QUEUE *Queue)
{
    PLIST_ENTRY entry;
    ULONG length = 0;

    for (entry = Queue->List.Flink; entry != &Queue->List; entry = entry->Flink)
        length++;
    return length;
}

/* Which of the IRPs, counted from 1; 0: none. */
static ULONGLONG NumberOf(const TRACE *Traces, ULONG Count, PIRP Irp)
{
    ULONG index;

    for (index = 0; Irp && index < Count; index++)
        if (Traces[index].Irp == Irp)
            return index + 1;
    return Irp ? 99 : 0;
}

static void Add(QUEUE *Queue, PIRP Irp)
{
    KsAddIrpToCancelableQueue(&Queue->List, &Queue->Lock, Irp, KsListEntryTail, NULL);
}

static PIRP Remove(QUEUE *Queue, KSLIST_ENTRY_LOCATION Location, KSIRP_REMOVAL_OPERATION Operation)
{
    return KsRemoveIrpFromCancelableQueue(&Queue->List, &Queue->Lock, Location, Operation);
}

NTSTATUS ProbeQueueOrder(PULONGLONG Numbers)
{
    TRACE traces[4];
    QUEUE queue;

    InitializeQueue(&queue);
    if (!MakeIrps(traces, 4)) {
        FreeIrps(traces, 4);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Add(&queue, traces[0].Irp);
    Add(&queue, traces[1].Irp);
    Add(&queue, traces[2].Irp);
    KsAddIrpToCancelableQueue(&queue.List, &queue.Lock, traces[3].Irp, KsListEntryHead, NULL);  /* 4 1 2 3 */
    Numbers[0] = NumberOf(traces, 4, Remove(&queue, KsListEntryHead, KsAcquireAndRemove));      /* 4 */
    Numbers[1] = NumberOf(traces, 4, Remove(&queue, KsListEntryTail, KsAcquireAndRemove));      /* 3 */
    Numbers[2] = NumberOf(traces, 4, Remove(&queue, KsListEntryHead, KsAcquireOnly));           /* 1 */
    Numbers[3] = Length(&queue);                                                                /* 2: it stays */
    Numbers[4] = NumberOf(traces, 4, Remove(&queue, KsListEntryHead, KsAcquireOnlySingleItem)); /* 0 */
    Numbers[5] = NumberOf(traces, 4, Remove(&queue, KsListEntryHead, KsAcquireAndRemoveOnlySingleItem));
    Numbers[6] = NumberOf(traces, 4, Remove(&queue, KsListEntryHead, KsAcquireOnly));           /* 2 */
    Numbers[7] = NumberOf(traces, 4, Remove(&queue, KsListEntryHead, KsAcquireAndRemove));      /* 0: all are taken */
    KsReleaseIrpOnCancelableQueue(traces[0].Irp, NULL);
    Numbers[8] = NumberOf(traces, 4, Remove(&queue, KsListEntryTail, KsAcquireAndRemove));      /* 1, past 2 */
    KsRemoveSpecificIrpFromCancelableQueue(traces[1].Irp);
    Numbers[9] = Length(&queue);                                                                /* 0 */
    Numbers[10] = (ULONGLONG)(traces[0].Completions + traces[1].Completions + traces[2].Completions +
                              traces[3].Completions);                                           /* 0 */
    Numbers[11] = IoGetCurrentIrpStackLocation(traces[0].Irp)->Control & SL_PENDING_RETURNED;
    FreeIrps(traces, 4);
    return STATUS_SUCCESS;
}

static volatile LONG OwnCancels;

/* As documented: the class driver takes the IRP out of the queue, and this one completes it. */
static VOID NTAPI OwnCancel(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    InterlockedIncrement(&OwnCancels);
    Irp->IoStatus.Status = STATUS_CANCELLED;
    KsCancelRoutine(DeviceObject, Irp);
    Irp->IoStatus.Status = STATUS_DEVICE_BUSY;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
}

NTSTATUS ProbeQueueCancel(PULONGLONG Numbers)
{
    TRACE traces[5];
    QUEUE queue;

    InitializeQueue(&queue);
    OwnCancels = 0;
    if (!MakeIrps(traces, 5)) {
        FreeIrps(traces, 5);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    /* in the queue */
    Add(&queue, traces[0].Irp);
    Numbers[0] = IoCancelIrp(traces[0].Irp);
    Numbers[1] = (ULONG)traces[0].Completions;
    Numbers[2] = (ULONG)traces[0].Status;
    Numbers[3] = traces[0].Pending;
    Numbers[4] = Length(&queue);
    /* acquired: the cancel waits until it is released */
    Add(&queue, traces[1].Irp);
    (void)Remove(&queue, KsListEntryHead, KsAcquireOnly);
    Numbers[5] = IoCancelIrp(traces[1].Irp);
    Numbers[6] = (ULONG)traces[1].Completions;
    KsReleaseIrpOnCancelableQueue(traces[1].Irp, NULL);
    Numbers[7] = (ULONG)traces[1].Completions;
    /* before it came into the queue */
    (void)IoCancelIrp(traces[2].Irp);
    Add(&queue, traces[2].Irp);
    Numbers[8] = (ULONG)traces[2].Completions;
    Numbers[9] = Length(&queue);
    /* with a routine of the driver's own */
    KsAddIrpToCancelableQueue(&queue.List, &queue.Lock, traces[3].Irp, KsListEntryTail, OwnCancel);
    (void)IoCancelIrp(traces[3].Irp);
    Numbers[10] = (ULONG)OwnCancels;
    Numbers[11] = (ULONG)traces[3].Completions;
    Numbers[12] = (ULONG)traces[3].Status;
    /* ... that it gets when it is released, and after it was cancelled */
    Add(&queue, traces[4].Irp);
    (void)Remove(&queue, KsListEntryHead, KsAcquireOnly);
    (void)IoCancelIrp(traces[4].Irp);
    KsReleaseIrpOnCancelableQueue(traces[4].Irp, OwnCancel);
    Numbers[13] = (ULONG)OwnCancels;
    Numbers[14] = (ULONG)traces[4].Completions;
    Numbers[15] = Length(&queue);
    FreeIrps(traces, 5);
    return STATUS_SUCCESS;
}

/* ---- requests of the sender's ------------------------------------------------------- */

static QUEUE Waiting = { { &Waiting.List, &Waiting.List }, 0 };

NTSTATUS ProbeQueued(PIRP Irp)
{
    IoMarkIrpPending(Irp);
    Add(&Waiting, Irp);
    return STATUS_PENDING;
}

ULONG ProbeRelease(void)
{
    ULONG count = 0;
    PIRP irp;

    for (; (irp = Remove(&Waiting, KsListEntryHead, KsAcquireAndRemove)) != NULL; count++) {
        irp->IoStatus.Status = STATUS_SUCCESS;
        irp->IoStatus.Information = sizeof(ULONG);
        KsCompletePendingRequest(irp);
    }
    return count;
}

/* ---- all at once ----------------------------------------------------------------------- */

NTSTATUS ProbeQueueCancelAll(PULONGLONG Numbers)
{
    TRACE traces[4];
    QUEUE queue;

    InitializeQueue(&queue);
    OwnCancels = 0;
    if (!MakeIrps(traces, 4)) {
        FreeIrps(traces, 4);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Add(&queue, traces[0].Irp);
    (void)Remove(&queue, KsListEntryHead, KsAcquireOnly);
    Add(&queue, traces[1].Irp);
    KsAddIrpToCancelableQueue(&queue.List, &queue.Lock, traces[2].Irp, KsListEntryTail, OwnCancel);
    Add(&queue, traces[3].Irp);
    KsCancelIo(&queue.List, &queue.Lock);
    Numbers[0] = (ULONG)traces[0].Completions;          /* acquired: marked only */
    Numbers[1] = traces[0].Irp->Cancel;
    Numbers[2] = (ULONG)traces[1].Completions;
    Numbers[3] = (ULONG)traces[2].Completions;
    Numbers[4] = (ULONG)traces[3].Completions;
    Numbers[5] = (ULONG)OwnCancels;
    Numbers[6] = Length(&queue);
    KsReleaseIrpOnCancelableQueue(traces[0].Irp, NULL);
    Numbers[7] = (ULONG)traces[0].Completions;
    Numbers[8] = Length(&queue);
    FreeIrps(traces, 4);
    return STATUS_SUCCESS;
}

typedef struct MOVE {
    PIRP Keep;                  /* not moved */
    PIRP Stop;                  /* ends the enumeration */
    ULONG Calls;
    ULONG Ends;                 /* calls without an IRP */
} MOVE;

static NTSTATUS Choose(PIRP Irp, PVOID Context)
{
    MOVE *move = Context;

    if (!Irp) {
        move->Ends++;
        return STATUS_SUCCESS;
    }
    move->Calls++;
    if (Irp == move->Stop)
        return STATUS_DEVICE_BUSY;
    return Irp == move->Keep ? STATUS_NO_MATCH : STATUS_SUCCESS;
}

NTSTATUS ProbeQueueMove(PULONGLONG Numbers)
{
    QUEUE from, to, same;
    MOVE move = { NULL, NULL, 0, 0 };
    TRACE traces[5];
    ULONG index;

    InitializeQueue(&from);
    InitializeQueue(&to);
    InitializeQueue(&same);
    if (!MakeIrps(traces, 5)) {
        FreeIrps(traces, 5);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    for (index = 0; index < 5; index++)
        Add(&from, traces[index].Irp);
    /* to a queue with another lock: 1, 3 and 4 */
    move.Keep = traces[1].Irp;
    move.Stop = traces[4].Irp;
    Numbers[0] = (ULONG)KsMoveIrpsOnCancelableQueue(&from.List, &from.Lock, &to.List, &to.Lock, KsListEntryHead,
                                                    Choose, &move);
    Numbers[1] = move.Calls;
    Numbers[2] = move.Ends;
    Numbers[3] = Length(&from);
    Numbers[4] = Length(&to);
    Numbers[5] = KSQUEUE_SPINLOCK_IRP_STORAGE(traces[0].Irp) == &to.Lock;
    Numbers[6] = KSQUEUE_SPINLOCK_IRP_STORAGE(traces[1].Irp) == &from.Lock;
    /* one that was moved is cancelled where it is */
    Numbers[7] = IoCancelIrp(traces[2].Irp);
    Numbers[8] = (ULONG)traces[2].Completions;
    Numbers[9] = NumberOf(traces, 5, Remove(&to, KsListEntryHead, KsAcquireAndRemove));
    Numbers[10] = NumberOf(traces, 5, Remove(&to, KsListEntryHead, KsAcquireAndRemove));
    /* under one lock, from the tail: the order stays */
    move.Keep = move.Stop = NULL;
    Numbers[11] = (ULONG)KsMoveIrpsOnCancelableQueue(&from.List, &from.Lock, &same.List, NULL, KsListEntryTail, Choose,
                                                     &move);
    Numbers[12] = move.Ends;
    Numbers[13] = KSQUEUE_SPINLOCK_IRP_STORAGE(traces[4].Irp) == &from.Lock;
    Numbers[14] = NumberOf(traces, 5, KsRemoveIrpFromCancelableQueue(&same.List, &from.Lock, KsListEntryHead,
                                                                     KsAcquireAndRemove));
    Numbers[15] = NumberOf(traces, 5, KsRemoveIrpFromCancelableQueue(&same.List, &from.Lock, KsListEntryHead,
                                                                     KsAcquireAndRemove));
    Numbers[16] = Length(&from) + Length(&to) + Length(&same);
    FreeIrps(traces, 5);
    return STATUS_SUCCESS;
}

/* ---- who cancels, removes, moves and releases at the same time ------------------------ */

#define RACE_IRPS 3000

typedef struct RACE {
    QUEUE One;
    QUEUE Other;
    TRACE *Traces;
    volatile LONG Added;        /* so many are in a queue, or were */
    volatile LONG Go;
    ULONG Removed;
} RACE;

static NTSTATUS MoveAll(PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Context);
    return STATUS_SUCCESS;
}

static VOID NTAPI CancelEach(PVOID Context)
{
    RACE *race = Context;
    LONG index;

    while (!race->Go)
        ;
    for (index = 0; index < RACE_IRPS; index++) {
        while (index >= race->Added)
            ;
        (void)IoCancelIrp(race->Traces[index].Irp);
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

/* Takes every third or so out of the queues before the canceller gets it. */
static void RemoveSome(RACE *Race, ULONG Turn)
{
    QUEUE *queue = Turn & 1 ? &Race->One : &Race->Other;
    PIRP irp = Remove(queue, KsListEntryHead, Turn & 2 ? KsAcquireOnly : KsAcquireAndRemove);

    if (!irp)
        return;
    if (Turn & 2) {
        if (Turn & 4) {
            KsReleaseIrpOnCancelableQueue(irp, NULL);
            return;
        }
        KsRemoveSpecificIrpFromCancelableQueue(irp);
    }
    Race->Removed++;
    irp->IoStatus.Status = STATUS_SUCCESS;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
}

static NTSTATUS RunRace(RACE *Race)
{
    OBJECT_ATTRIBUTES attributes;
    NTSTATUS status;
    HANDLE thread;
    LONG index;

    InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    status = PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, &attributes, NULL, NULL, CancelEach, Race);
    if (!NT_SUCCESS(status))
        return status;
    Race->Go = 1;
    for (index = 0; index < RACE_IRPS; index++) {
        Add(&Race->One, Race->Traces[index].Irp);
        InterlockedIncrement(&Race->Added);
        if (index % 16 == 0)
            (void)KsMoveIrpsOnCancelableQueue(&Race->One.List, &Race->One.Lock, &Race->Other.List, &Race->Other.Lock,
                                              KsListEntryHead, MoveAll, NULL);
        RemoveSome(Race, (ULONG)index);
    }
    ZwWaitForSingleObject(thread, FALSE, NULL);
    ZwClose(thread);
    return STATUS_SUCCESS;
}

NTSTATUS ProbeQueueRace(PULONGLONG Numbers)
{
    RACE *race = ExAllocatePoolWithTag(NonPagedPool, sizeof(*race) + RACE_IRPS * sizeof(TRACE), PROBE_TAG);
    NTSTATUS status = STATUS_INSUFFICIENT_RESOURCES;
    ULONG index;

    if (!race)
        return status;
    RtlZeroMemory(race, sizeof(*race));
    race->Traces = (TRACE *)(race + 1);
    InitializeQueue(&race->One);
    InitializeQueue(&race->Other);
    if (MakeIrps(race->Traces, RACE_IRPS))
        status = RunRace(race);
    for (index = 0; index < RACE_IRPS && NT_SUCCESS(status); index++) {
        Numbers[0] += race->Traces[index].Completions == 1;
        Numbers[1] += race->Traces[index].Status == STATUS_CANCELLED;
        Numbers[2] += race->Traces[index].Status == STATUS_SUCCESS;
    }
    Numbers[3] = race->Removed;
    Numbers[4] = Length(&race->One) + Length(&race->Other);
    Numbers[5] = RACE_IRPS;
    FreeIrps(race->Traces, RACE_IRPS);
    ExFreePoolWithTag(race, PROBE_TAG);
    return status;
}
