/* SPDX-License-Identifier: Apache-2.0
 *
 * call.c - one step from its IRP to its answer.
 *
 * A call can be answered by the job that carries the step out, by the thread
 * that watches timeout_ms, by the teardown of its context, or be cancelled when
 * the agent dies.  Whoever sets `answered` first has the right to the IRP; the
 * others do not touch it.  If the I/O manager has begun to cancel an IRP that
 * somebody else is answering, both hold a pointer to it, and the second of the
 * two to be finished completes it (`rendezvous`).
 */
#include "ksclient.h"
#include "kshs_step_time.h"

static struct {
    KSPIN_LOCK lock;
    LIST_ENTRY calls;
    KEVENT wake;
    uint64_t wake_ns;               /* when the watch looks again by itself */
    BOOLEAN stopping;
    HANDLE thread;
} deadlines;

/* ---- life -------------------------------------------------------------------- */

ksc_call *ksc_call_create(ksc_context *context, PIRP irp, const kshs_step *step, const void *data)
{
    ksc_call *call = kshs_zalloc(sizeof *call + step->data_length, KSC_TAG);

    if (!call)
        return NULL;
    call->references = 1;
    call->irp = irp;
    call->step = *step;
    if (step->data_length)
        RtlCopyMemory(call->data, data, step->data_length);
    ksc_record_init(&call->record, step->op);
    ksc_context_reference(context);
    call->context = context;
    return call;
}

void ksc_call_reference(ksc_call *call)
{
    InterlockedIncrement(&call->references);
}

void ksc_call_release(ksc_call *call)
{
    if (InterlockedDecrement(&call->references))
        return;
    if (call->batch)
        ksc_batch_release(call->batch);
    ksc_context_release(call->context);
    ExFreePoolWithTag(call, KSC_TAG);
}

/* ---- timeouts ------------------------------------------------------------------ */

#define NS_A_MS ((uint64_t)1000000)

static void deadline_set(ksc_call *call)
{
    uint64_t now = kshs_now_ns();
    BOOLEAN sooner;
    KIRQL irql;

    ksc_call_reference(call);
    KeAcquireSpinLock(&deadlines.lock, &irql);
    call->deadline_ns = now + call->step.timeout_ms * NS_A_MS;
    call->limit_ns = now + kshs_step_time_ms(&call->step) * NS_A_MS;
    call->timed = TRUE;
    InsertTailList(&deadlines.calls, &call->deadline_link);
    sooner = call->deadline_ns < deadlines.wake_ns;
    if (sooner)
        deadlines.wake_ns = call->deadline_ns;
    KeReleaseSpinLock(&deadlines.lock, irql);
    /* Most calls end long before the earliest deadline, and wake nobody. */
    if (sooner)
        KeSetEvent(&deadlines.wake, IO_NO_INCREMENT, FALSE);
}

static void deadline_clear(ksc_call *call)
{
    BOOLEAN was_timed;
    KIRQL irql;

    KeAcquireSpinLock(&deadlines.lock, &irql);
    was_timed = call->timed;
    if (was_timed) {
        RemoveEntryList(&call->deadline_link);
        call->timed = FALSE;
    }
    KeReleaseSpinLock(&deadlines.lock, irql);
    if (was_timed)
        ksc_call_release(call);
}

/* Takes one call out whose time is over, or NULL; then *next is the earliest deadline left. */
static ksc_call *deadline_next(uint64_t now, uint64_t *next)
{
    ksc_call *expired = NULL;
    PLIST_ENTRY entry;
    KIRQL irql;

    KeAcquireSpinLock(&deadlines.lock, &irql);
    *next = ~(uint64_t)0;
    for (entry = deadlines.calls.Flink; entry != &deadlines.calls; entry = entry->Flink) {
        ksc_call *call = CONTAINING_RECORD(entry, ksc_call, deadline_link);

        if (call->deadline_ns <= now) {
            expired = call;
            RemoveEntryList(&call->deadline_link);
            call->timed = FALSE;
            break;
        }
        if (call->deadline_ns < *next)
            *next = call->deadline_ns;
    }
    if (!expired)
        deadlines.wake_ns = *next;
    KeReleaseSpinLock(&deadlines.lock, irql);
    return expired;
}

/*
 * Each repeat of a request has the whole time.  Looked at only when the time of
 * the call is over, so that a repeat costs no more than to note when it was sent.
 * TRUE: the call waits on, and again holds the reference that came with it.
 */
static BOOLEAN extend(ksc_call *call, uint64_t now)
{
    uint64_t sent = ksc_request_sent_ns(call);
    uint64_t deadline = sent + call->step.timeout_ms * NS_A_MS;
    BOOLEAN waits = FALSE;
    KIRQL irql;

    if (!sent)
        return FALSE;
    KeAcquireSpinLock(&deadlines.lock, &irql);
    if (deadline > call->limit_ns)
        deadline = call->limit_ns;
    /* Who has answered meanwhile has looked for it here already, and found nothing to take out. */
    if (deadline > now && !call->answered) {
        call->deadline_ns = deadline;
        call->timed = TRUE;
        InsertTailList(&deadlines.calls, &call->deadline_link);
        waits = TRUE;
    }
    KeReleaseSpinLock(&deadlines.lock, irql);
    return waits;
}

static void expire(ksc_call *call)
{
    kshs_record record;

    ksc_record_init(&record, call->step.op);
    ksc_request_part(call, &record);
    record.outcome = KSHS_OUTCOME_HUNG;
    record.detail = KSHS_STATUS_U32(STATUS_TIMEOUT);
    ksc_call_answer(call, &record, NULL);
    ksc_request_part(call, NULL);           /* a WAIT that was just being attached */
}

static VOID NTAPI deadline_main(PVOID argument)
{
    KSHS_UNUSED(argument);
    for (;;) {
        uint64_t now = kshs_now_ns();
        uint64_t next;
        ksc_call *call = deadline_next(now, &next);

        if (call) {
            if (extend(call, now))
                continue;
            expire(call);
            ksc_call_release(call);
        } else if (deadlines.stopping) {
            break;
        } else if (next == ~(uint64_t)0) {
            KeWaitForSingleObject(&deadlines.wake, Executive, KernelMode, FALSE, NULL);
        } else {
            LARGE_INTEGER interval;

            interval.QuadPart = -(LONGLONG)((next - now + 99) / 100);
            KeWaitForSingleObject(&deadlines.wake, Executive, KernelMode, FALSE, &interval);
        }
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

NTSTATUS ksc_calls_init(void)
{
    KeInitializeSpinLock(&deadlines.lock);
    InitializeListHead(&deadlines.calls);
    KeInitializeEvent(&deadlines.wake, SynchronizationEvent, FALSE);
    deadlines.wake_ns = ~(uint64_t)0;
    return ksc_thread_create(deadline_main, NULL, &deadlines.thread);
}

void ksc_calls_stop(void)
{
    deadlines.stopping = TRUE;
    KeSetEvent(&deadlines.wake, IO_NO_INCREMENT, FALSE);
    ksc_thread_join(deadlines.thread);
}

/* ---- the IRP ------------------------------------------------------------------- */

static VOID NTAPI cancel_routine(PDEVICE_OBJECT device, PIRP irp)
{
    ksc_call *call = irp->Tail.Overlay.DriverContext[0];

    KSHS_UNUSED(device);
    IoReleaseCancelSpinLock(irp->CancelIrql);
    if (InterlockedExchange(&call->answered, 1)) {
        if (InterlockedIncrement(&call->rendezvous) < 2)
            return;
        IoCompleteRequest(irp, IO_NO_INCREMENT);
    } else {
        /* The step goes on without its caller; its request belongs to the context. */
        deadline_clear(call);
        kshs_complete(irp, STATUS_CANCELLED, 0);
        ksc_request_part(call, NULL);
    }
    ksc_call_release(call);
}

void ksc_call_time(ksc_call *call)
{
    if (call->step.timeout_ms && !(call->step.flags & KSHS_STEP_ASYNC))
        deadline_set(call);
}

BOOLEAN ksc_call_pend(ksc_call *call)
{
    PIRP irp = call->irp;

    ksc_call_reference(call);               /* the IRP's: dropped by whoever completes it */
    irp->Tail.Overlay.DriverContext[0] = call;
    IoMarkIrpPending(irp);
    IoSetCancelRoutine(irp, cancel_routine);
    if (irp->Cancel && IoSetCancelRoutine(irp, NULL)) {
        /* Cancelled before there was a routine to call. */
        call->answered = 1;
        kshs_complete(irp, STATUS_CANCELLED, 0);
        ksc_call_release(call);
        return FALSE;
    }
    ksc_call_time(call);
    return TRUE;
}

BOOLEAN ksc_call_answer(ksc_call *call, const kshs_record *record, const void *data)
{
    PIRP irp = call->irp;
    uint8_t *output;

    if (InterlockedExchange(&call->answered, 1))
        return FALSE;
    deadline_clear(call);
    if (call->batch) {
        ksc_batch_answer(call, record, data);
        return TRUE;
    }
    output = irp->AssociatedIrp.SystemBuffer;
    RtlCopyMemory(output, record, sizeof *record);
    if (record->data_length)
        RtlCopyMemory(output + sizeof *record, data, record->data_length);
    irp->IoStatus.Status = STATUS_SUCCESS;
    irp->IoStatus.Information = sizeof *record + record->data_length;
    if (!IoSetCancelRoutine(irp, NULL) && InterlockedIncrement(&call->rendezvous) < 2)
        return TRUE;                        /* the cancel routine completes it */
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    ksc_call_release(call);
    return TRUE;
}

static BOOLEAN answer_without_doing(ksc_call *call, uint32_t outcome, NTSTATUS detail)
{
    kshs_record record;

    ksc_record_init(&record, call->step.op);
    record.outcome = outcome;
    record.detail = KSHS_STATUS_U32(detail);
    return ksc_call_answer(call, &record, NULL);
}

BOOLEAN ksc_call_refuse(ksc_call *call, NTSTATUS detail)
{
    return answer_without_doing(call, KSHS_OUTCOME_REFUSED, detail);
}

BOOLEAN ksc_call_unsupported(ksc_call *call, NTSTATUS detail)
{
    return answer_without_doing(call, KSHS_OUTCOME_UNSUPPORTED, detail);
}
