/* SPDX-License-Identifier: Apache-2.0
 *
 * workers.c - work items of registered workers.
 */
#include "probe.h"

typedef struct JOB {
    WORK_QUEUE_ITEM Item;
    struct BOARD *Board;
    ULONG Again;                /* queues itself so often once it runs */
} JOB;

typedef struct BOARD {
    PKSWORKER Worker;
    KEVENT Open;                /* jobs wait for it */
    volatile LONG Runs;
    volatile LONG Tasks;
    volatile LONG Elsewhere;    /* not in the thread that queued them */
    ULONG_PTR Caller;
    JOB *Order[8];
} BOARD;

static ULONG_PTR Here(void)
{
    return (ULONG_PTR)PsGetCurrentThreadId();
}

static VOID NTAPI RunJob(PVOID Context)
{
    JOB *job = Context;
    BOARD *board = job->Board;
    LONG run;

    (void)KeWaitForSingleObject(&board->Open, Executive, KernelMode, FALSE, NULL);
    run = InterlockedIncrement(&board->Runs);
    if (run <= 8)
        board->Order[run - 1] = job;
    if (Here() != board->Caller)
        InterlockedIncrement(&board->Elsewhere);
    if (job->Again) {
        job->Again--;
        (void)KsQueueWorkItem(board->Worker, &job->Item);
    }
}

static void MakeJob(JOB *Job, BOARD *Board, ULONG Again, PWORKER_THREAD_ROUTINE Routine)
{
    RtlZeroMemory(Job, sizeof(*Job));
    ExInitializeWorkItem(&Job->Item, Routine, Job);
    Job->Board = Board;
    Job->Again = Again;
}

static void Sleep(void)
{
    LARGE_INTEGER interval;

    interval.QuadPart = -50 * 10000;
    KeDelayExecutionThread(KernelMode, FALSE, &interval);
}

static void MakeBoard(BOARD *Board)
{
    RtlZeroMemory(Board, sizeof(*Board));
    KeInitializeEvent(&Board->Open, NotificationEvent, FALSE);
    Board->Caller = Here();
}

NTSTATUS ProbeWorker(PULONGLONG Numbers)
{
    NTSTATUS status;
    JOB jobs[3];
    BOARD board;
    ULONG index;

    MakeBoard(&board);
    Numbers[0] = (ULONG)KsRegisterWorker(MaximumWorkQueue, &board.Worker);
    status = KsRegisterWorker(DelayedWorkQueue, &board.Worker);
    if (!NT_SUCCESS(status))
        return status;
    Sleep();                                            /* the worker has nothing to do, and stays */
    for (index = 0; index < 3; index++) {
        MakeJob(&jobs[index], &board, index == 1 ? 2 : 0, RunJob);
        Numbers[1] |= (ULONG)KsQueueWorkItem(board.Worker, &jobs[index].Item);
    }
    Numbers[2] = (ULONG)board.Runs;                     /* 0: all wait */
    KeSetEvent(&board.Open, IO_NO_INCREMENT, FALSE);
    KsUnregisterWorker(board.Worker);
    Numbers[3] = (ULONG)board.Runs;                     /* 5: unregistering waited for every one */
    Numbers[4] = (ULONG)board.Elsewhere;
    Numbers[5] = board.Order[0] == &jobs[0] && board.Order[1] == &jobs[1] && board.Order[2] == &jobs[2] &&
                 board.Order[3] == &jobs[1] && board.Order[4] == &jobs[1];
    return STATUS_SUCCESS;
}

/* One run for all the tasks that there are. */
static VOID NTAPI RunTasks(PVOID Context)
{
    BOARD *board = ((JOB *)Context)->Board;

    (void)KeWaitForSingleObject(&board->Open, Executive, KernelMode, FALSE, NULL);
    InterlockedIncrement(&board->Runs);
    do
        InterlockedIncrement(&board->Tasks);
    while (KsDecrementCountedWorker(board->Worker));
}

NTSTATUS ProbeCountedWorker(PULONGLONG Numbers)
{
    NTSTATUS status;
    BOARD board;
    ULONG round;
    JOB job;

    MakeBoard(&board);
    MakeJob(&job, &board, 0, RunTasks);
    status = KsRegisterCountedWorker(CriticalWorkQueue, &job.Item, &board.Worker);
    if (!NT_SUCCESS(status))
        return status;
    Numbers[0] = KsIncrementCountedWorker(board.Worker);
    Numbers[1] = KsIncrementCountedWorker(board.Worker);
    Numbers[2] = KsIncrementCountedWorker(board.Worker);
    KeSetEvent(&board.Open, IO_NO_INCREMENT, FALSE);
    for (round = 0; board.Tasks < 3 && round < 200; round++)
        Sleep();
    Sleep();
    Numbers[3] = (ULONG)board.Runs;
    Numbers[4] = (ULONG)board.Tasks;
    Numbers[5] = KsIncrementCountedWorker(board.Worker);        /* 1: there was nothing left */
    KsUnregisterWorker(board.Worker);
    Numbers[6] = (ULONG)board.Runs;
    Numbers[7] = (ULONG)board.Tasks;
    return STATUS_SUCCESS;
}
