/* SPDX-License-Identifier: Apache-2.0
 *
 * worker.c - workers: work items at PASSIVE_LEVEL for whoever is not there.
 *
 * Each worker has a thread of its own, because the system's queue of work
 * items is not implemented everywhere and its other functions want a device
 * object, which an export driver has none of.  The items of one worker
 * therefore run one after another, and the kind of queue makes no difference.
 */
#include "refks.h"

typedef struct REFKS_WORKER {
    KSPIN_LOCK Lock;
    LIST_ENTRY Items;           /* WORK_QUEUE_ITEM.List */
    KEVENT Wake;
    HANDLE Thread;
    BOOLEAN Ending;             /* under Lock */
    volatile LONG Count;
    PWORK_QUEUE_ITEM Counted;   /* NULL: not a counted worker */
} REFKS_WORKER;

/* FALSE: there is none now; *Over: and there will be none. */
static BOOLEAN TakeItem(REFKS_WORKER *Worker, PWORK_QUEUE_ITEM *Item, BOOLEAN *Over)
{
    BOOLEAN found = FALSE;
    KIRQL irql;

    KeAcquireSpinLock(&Worker->Lock, &irql);
    if (!IsListEmpty(&Worker->Items)) {
        *Item = CONTAINING_RECORD(RemoveHeadList(&Worker->Items), WORK_QUEUE_ITEM, List);
        found = TRUE;
    }
    *Over = Worker->Ending;
    KeReleaseSpinLock(&Worker->Lock, irql);
    return found;
}

/* An item may queue itself again, or free itself, as soon as it runs: it is not looked at afterwards. */
static VOID NTAPI Work(PVOID Context)
{
    REFKS_WORKER *worker = Context;
    BOOLEAN over = FALSE;

    for (;;) {
        PWORK_QUEUE_ITEM item;

        if (TakeItem(worker, &item, &over))
            item->WorkerRoutine(item->Parameter);
        else if (over)
            break;
        else
            (void)KeWaitForSingleObject(&worker->Wake, Executive, KernelMode, FALSE, NULL);
    }
    (void)PsTerminateSystemThread(STATUS_SUCCESS);
}

static NTSTATUS Register(WORK_QUEUE_TYPE WorkQueueType, PWORK_QUEUE_ITEM Counted, PKSWORKER *Worker)
{
    OBJECT_ATTRIBUTES attributes;
    REFKS_WORKER *worker;
    NTSTATUS status;

    *Worker = NULL;
    if ((ULONG)WorkQueueType >= (ULONG)MaximumWorkQueue)
        return STATUS_INVALID_PARAMETER;
    worker = RefksAllocate(sizeof(*worker));
    if (!worker)
        return STATUS_INSUFFICIENT_RESOURCES;
    KeInitializeSpinLock(&worker->Lock);
    InitializeListHead(&worker->Items);
    KeInitializeEvent(&worker->Wake, SynchronizationEvent, FALSE);
    worker->Counted = Counted;
    InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    status = PsCreateSystemThread(&worker->Thread, THREAD_ALL_ACCESS, &attributes, NULL, NULL, Work, worker);
    if (!NT_SUCCESS(status)) {
        RefksFree(worker);
        return status;
    }
    *Worker = worker;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI KsRegisterWorker(WORK_QUEUE_TYPE WorkQueueType, PKSWORKER *Worker)
{
    return Register(WorkQueueType, NULL, Worker);
}

NTSTATUS NTAPI KsRegisterCountedWorker(WORK_QUEUE_TYPE WorkQueueType, PWORK_QUEUE_ITEM CountedWorkItem,
                                       PKSWORKER *Worker)
{
    return Register(WorkQueueType, CountedWorkItem, Worker);
}

/* Waits until everything that was queued has run, and until the thread is out of our code. */
void NTAPI KsUnregisterWorker(PKSWORKER Worker)
{
    REFKS_WORKER *worker = Worker;
    KIRQL irql;

    KeAcquireSpinLock(&worker->Lock, &irql);
    worker->Ending = TRUE;
    KeReleaseSpinLock(&worker->Lock, irql);
    KeSetEvent(&worker->Wake, IO_NO_INCREMENT, FALSE);
    (void)ZwWaitForSingleObject(worker->Thread, FALSE, NULL);
    (void)ZwClose(worker->Thread);
    RefksFree(worker);
}

/* Up to DISPATCH_LEVEL.  The event is set under the lock: a worker that is being unregistered must not be freed
 * between the two. */
NTSTATUS NTAPI KsQueueWorkItem(PKSWORKER Worker, PWORK_QUEUE_ITEM WorkItem)
{
    REFKS_WORKER *worker = Worker;
    KIRQL irql;

    KeAcquireSpinLock(&worker->Lock, &irql);
    InsertTailList(&worker->Items, &WorkItem->List);
    KeSetEvent(&worker->Wake, IO_NO_INCREMENT, FALSE);
    KeReleaseSpinLock(&worker->Lock, irql);
    return STATUS_SUCCESS;
}

/* The first task queues the item, which then goes on until it has taken the count back to zero. */
ULONG NTAPI KsIncrementCountedWorker(PKSWORKER Worker)
{
    REFKS_WORKER *worker = Worker;
    LONG count = InterlockedIncrement(&worker->Count);

    if (count == 1 && worker->Counted)
        (void)KsQueueWorkItem(Worker, worker->Counted);
    return (ULONG)count;
}

ULONG NTAPI KsDecrementCountedWorker(PKSWORKER Worker)
{
    return (ULONG)InterlockedDecrement(&((REFKS_WORKER *)Worker)->Count);
}
