/* SPDX-License-Identifier: Apache-2.0
 *
 * threads.c - system threads of our own for everything that may block.
 *
 * The system's work queues have few threads, shared with the rest of the
 * kernel: a target that hangs would take them away for good, and requests that
 * are meant to be concurrent would queue behind each other.  So every job that
 * finds no idle thread of ours gets a new one.
 */
#include "ksclient.h"

#define MAX_WORKERS 1024            /* 8 agents with every token in flight */
#define KEEP_IDLE 8

typedef struct worker {
    LIST_ENTRY all;
    struct worker *next_idle;
    KEVENT wake;
    ksc_job *job;                   /* NULL when woken: end */
    HANDLE thread;                  /* NULL until its creator has stored it */
    BOOLEAN ended;
} worker;

static struct {
    KSPIN_LOCK lock;
    LIST_ENTRY all;
    worker *idle;                   /* last in, first out: its stack is still warm */
    ULONG idle_count;
    ULONG count;
    BOOLEAN stopping;
} pool;

static struct {
    KSPIN_LOCK lock;
    PDRIVER_OBJECT driver;
    PDRIVER_UNLOAD unload;
    ULONG pins;
} image;

void ksc_threads_init(void)
{
    KeInitializeSpinLock(&pool.lock);
    InitializeListHead(&pool.all);
}

NTSTATUS ksc_thread_create(PKSTART_ROUTINE routine, PVOID argument, HANDLE *thread)
{
    OBJECT_ATTRIBUTES attributes;

    InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    return PsCreateSystemThread(thread, THREAD_ALL_ACCESS, &attributes, NULL, NULL, routine, argument);
}

void ksc_thread_join(HANDLE thread)
{
    ZwWaitForSingleObject(thread, FALSE, NULL);
    ZwClose(thread);
}

/* Returns the next job, or NULL when this thread is to end. */
static ksc_job *next_job(worker *self)
{
    KIRQL irql;

    KeAcquireSpinLock(&pool.lock, &irql);
    if (pool.stopping || pool.idle_count >= KEEP_IDLE) {
        self->ended = TRUE;
        KeReleaseSpinLock(&pool.lock, irql);
        return NULL;
    }
    self->job = NULL;
    self->next_idle = pool.idle;
    pool.idle = self;
    pool.idle_count++;
    KeReleaseSpinLock(&pool.lock, irql);

    KeWaitForSingleObject(&self->wake, Executive, KernelMode, FALSE, NULL);
    if (!self->job) {
        KeAcquireSpinLock(&pool.lock, &irql);
        self->ended = TRUE;
        KeReleaseSpinLock(&pool.lock, irql);
    }
    return self->job;
}

static VOID NTAPI worker_main(PVOID argument)
{
    worker *self = argument;
    ksc_job *job;

    for (job = self->job; job; job = next_job(self))
        job->run(job);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

/* Frees what threads have left that have ended by themselves. */
static void reap(void)
{
    for (;;) {
        worker *found = NULL;
        PLIST_ENTRY entry;
        KIRQL irql;

        KeAcquireSpinLock(&pool.lock, &irql);
        for (entry = pool.all.Flink; entry != &pool.all; entry = entry->Flink) {
            worker *candidate = CONTAINING_RECORD(entry, worker, all);

            if (candidate->ended && candidate->thread) {
                found = candidate;
                RemoveEntryList(&found->all);
                pool.count--;
                break;
            }
        }
        KeReleaseSpinLock(&pool.lock, irql);
        if (!found)
            return;
        ksc_thread_join(found->thread);
        ExFreePoolWithTag(found, KSC_TAG);
    }
}

static NTSTATUS start_worker(ksc_job *job)
{
    worker *created;
    HANDLE thread;
    NTSTATUS status;
    KIRQL irql;

    reap();
    created = kshs_zalloc(sizeof *created, KSC_TAG);
    if (!created)
        return STATUS_INSUFFICIENT_RESOURCES;
    KeInitializeEvent(&created->wake, SynchronizationEvent, FALSE);
    created->job = job;

    KeAcquireSpinLock(&pool.lock, &irql);
    if (pool.stopping || pool.count >= MAX_WORKERS) {
        KeReleaseSpinLock(&pool.lock, irql);
        ExFreePoolWithTag(created, KSC_TAG);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    pool.count++;
    InsertTailList(&pool.all, &created->all);
    KeReleaseSpinLock(&pool.lock, irql);

    status = ksc_thread_create(worker_main, created, &thread);
    KeAcquireSpinLock(&pool.lock, &irql);
    if (NT_SUCCESS(status)) {
        created->thread = thread;
    } else {
        RemoveEntryList(&created->all);
        pool.count--;
    }
    KeReleaseSpinLock(&pool.lock, irql);
    if (!NT_SUCCESS(status))
        ExFreePoolWithTag(created, KSC_TAG);
    return status;
}

NTSTATUS ksc_threads_run(ksc_job *job)
{
    worker *idle;
    KIRQL irql;

    KeAcquireSpinLock(&pool.lock, &irql);
    idle = pool.idle;
    if (idle) {
        pool.idle = idle->next_idle;
        pool.idle_count--;
        idle->job = job;
    }
    KeReleaseSpinLock(&pool.lock, irql);
    if (!idle)
        return start_worker(job);
    KeSetEvent(&idle->wake, IO_NO_INCREMENT, FALSE);
    return STATUS_SUCCESS;
}

/* Called by the unload routine: nobody submits jobs any more. */
void ksc_threads_stop(void)
{
    KIRQL irql;

    KeAcquireSpinLock(&pool.lock, &irql);
    pool.stopping = TRUE;
    while (pool.idle) {
        worker *idle = pool.idle;

        pool.idle = idle->next_idle;
        pool.idle_count--;
        idle->job = NULL;
        KeSetEvent(&idle->wake, IO_NO_INCREMENT, FALSE);
    }
    while (!IsListEmpty(&pool.all)) {
        worker *last = CONTAINING_RECORD(RemoveHeadList(&pool.all), worker, all);

        pool.count--;
        KeReleaseSpinLock(&pool.lock, irql);
        ksc_thread_join(last->thread);      /* a thread runs our code until it is gone */
        ExFreePoolWithTag(last, KSC_TAG);
        KeAcquireSpinLock(&pool.lock, &irql);
    }
    KeReleaseSpinLock(&pool.lock, irql);
}

/*
 * A driver without an unload routine is not unloaded.  While a request is in a
 * target's hands (perhaps for ever) its completion routine and buffers must
 * stay, so the unload routine is taken away until the request is back.
 */
void ksc_image_init(PDRIVER_OBJECT driver)
{
    KeInitializeSpinLock(&image.lock);
    image.driver = driver;
    image.unload = driver->DriverUnload;
}

void ksc_image_pin(void)
{
    KIRQL irql;

    KeAcquireSpinLock(&image.lock, &irql);
    if (!image.pins++)
        image.driver->DriverUnload = NULL;
    KeReleaseSpinLock(&image.lock, irql);
}

void ksc_image_unpin(void)
{
    KIRQL irql;

    KeAcquireSpinLock(&image.lock, &irql);
    if (!--image.pins)
        image.driver->DriverUnload = image.unload;
    KeReleaseSpinLock(&image.lock, irql);
}
