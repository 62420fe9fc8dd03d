/* SPDX-License-Identifier: Apache-2.0
 *
 * batch.c - IOCTL_KSHS_BATCH: steps carried out one after the other.
 *
 * As long as the control is under way a thread of ours waits for the bell, and
 * runs the steps of the block in their order, each as a call of its own that has
 * no IRP: its answer goes to the block.  The time of a step is watched as ever.
 * When it is over the step is answered as HUNG by the thread that watches, which
 * then answers the control, too; the batch's own thread may be inside a driver
 * for good, and does nothing more if it ever comes back.
 *
 * The opener can write to the block at any time: what is read there is copied
 * first, and then checked.
 */
#include "ksclient.h"

struct ksc_batch {
    volatile LONG references;       /* of its thread and of each call that is under way */
    volatile LONG ended;            /* steps of the present batch that have an answer */
    volatile LONG over;             /* 1: no further one begins */
    volatile LONG hung;             /* 1: nor any of another batch: the thread may be inside a driver */
    ksc_call *whole;                /* the control; counted */
    const ksc_shared *shared;       /* the context's, which `whole` keeps */
    KEVENT answered;
    DECLSPEC_ALIGN(8) uint8_t question[KSHS_BATCH_BYTES];      /* a copy */
};

static const kshs_batch_entry *entry_of(const ksc_batch *batch, uint32_t number)
{
    return (const kshs_batch_entry *)(batch->question + sizeof(kshs_batch)) + number;
}

static volatile LONG *mark(const ksc_batch *batch, size_t offset)
{
    return (volatile LONG *)(batch->shared->block + offset);
}

void ksc_batch_release(ksc_batch *batch)
{
    if (InterlockedDecrement(&batch->references))
        return;
    ksc_call_release(batch->whole);
    ExFreePoolWithTag(batch, KSC_TAG);
}

/* ---- what is well-formed ------------------------------------------------------------------ */

static BOOLEAN is_within(uint32_t offset, uint32_t bytes, uint32_t from, uint32_t end)
{
    return offset % 8 == 0 && offset >= from && offset <= end && bytes <= end - offset;
}

/* The step of an entry that lies where it may, and whose answer does. */
static NTSTATUS check_entry(const uint8_t *input, uint32_t size, uint32_t steps_from, const kshs_batch_entry *entry)
{
    const kshs_step *step;

    if (!is_within(entry->step_offset, entry->step_bytes, steps_from, size) || entry->step_bytes < sizeof *step)
        return STATUS_INVALID_BUFFER_SIZE;
    step = (const kshs_step *)(input + entry->step_offset);
    if (!is_within(entry->answer_offset, entry->answer_bytes, KSHS_BLOCK_ANSWERS, KSHS_BLOCK_BYTES) ||
        entry->answer_bytes < sizeof(kshs_record))
        return STATUS_BUFFER_TOO_SMALL;
    if ((entry->flags & ~KSHS_BATCH_MUST_EXIST) || entry->reserved)
        return STATUS_INVALID_PARAMETER;
    /* One that makes no sense is refused in its turn, and takes no more than a record. */
    if (NT_SUCCESS(ksc_step_check(step, entry->step_bytes - (uint32_t)sizeof *step)) &&
        entry->answer_bytes - sizeof(kshs_record) < ksc_step_answer_bytes(step))
        return STATUS_BUFFER_TOO_SMALL;
    return STATUS_SUCCESS;
}

/* The batch as it is in the block now; the size is read once. */
static NTSTATUS copy_question(ksc_batch *batch)
{
    const uint8_t *place = batch->shared->block + KSHS_BLOCK_QUESTION;
    kshs_batch *head = (kshs_batch *)batch->question;
    uint32_t size;

    RtlCopyMemory(head, place, sizeof *head);
    size = head->size;
    if (size < sizeof *head || size > KSHS_BATCH_BYTES)
        return STATUS_INVALID_BUFFER_SIZE;
    RtlCopyMemory(head, place, size);
    head->size = size;
    return STATUS_SUCCESS;
}

/* Where the answers lie one behind the other, no step can reach another's. */
static NTSTATUS check_batch(const ksc_batch *batch)
{
    const uint8_t *input = batch->question;
    const kshs_batch *head = (const kshs_batch *)input;
    const kshs_batch_entry *entry = (const kshs_batch_entry *)(head + 1);
    uint32_t steps_from, answers_from = KSHS_BLOCK_ANSWERS, i;

    if (!head->count || head->count > KSHS_BATCH_STEPS || (head->flags & ~KSHS_BATCH_QUEUE) || head->reserved)
        return STATUS_INVALID_PARAMETER;
    steps_from = (uint32_t)sizeof *head + head->count * (uint32_t)sizeof *entry;
    if (steps_from > head->size)
        return STATUS_INVALID_BUFFER_SIZE;
    for (i = 0; i < head->count; i++, entry++) {
        NTSTATUS status = check_entry(input, head->size, steps_from, entry);

        if (!NT_SUCCESS(status))
            return status;
        if (entry->answer_offset < answers_from)
            return STATUS_INVALID_PARAMETER;
        answers_from = entry->answer_offset + entry->answer_bytes;
    }
    return STATUS_SUCCESS;
}

/* ---- answers ------------------------------------------------------------------------------ */

/* Answers the control, after which another one may come. */
static void finish(ksc_batch *batch)
{
    kshs_record record;

    ksc_record_init(&record, KSHS_OP_BATCH);
    InterlockedExchange(&batch->whole->context->serving, 0);
    ksc_call_answer(batch->whole, &record, NULL);
}

/* For the one who has the right to answer the step of this number; the step before it has been answered. */
static void put_answer(ksc_batch *batch, uint32_t number, const kshs_record *record, const void *data)
{
    const kshs_batch_entry *entry = entry_of(batch, number);
    uint8_t *answer = batch->shared->block + entry->answer_offset;

    RtlCopyMemory(answer, record, sizeof *record);
    if (record->data_length)        /* there is room: check_entry */
        RtlCopyMemory(answer + sizeof *record, data, record->data_length);
    if (record->outcome == KSHS_OUTCOME_HUNG) {
        InterlockedExchange(&batch->hung, 1);
        InterlockedExchange(&batch->over, 1);
    }
    InterlockedExchange(mark(batch, offsetof(kshs_marks, ended)), (LONG)number + 1);
    InterlockedExchange(&batch->ended, (LONG)number + 1);
}

/* A path that its asker took from a list which has changed meanwhile. */
static BOOLEAN is_stale(const ksc_batch *batch, uint32_t number, const kshs_record *record)
{
    return (entry_of(batch, number)->flags & KSHS_BATCH_MUST_EXIST) && record->outcome == KSHS_OUTCOME_DONE &&
           record->returned == KSHS_STATUS_U32(STATUS_OBJECT_NAME_NOT_FOUND);
}

void ksc_batch_answer(ksc_call *call, const kshs_record *record, const void *data)
{
    ksc_batch *batch = call->batch;

    if (is_stale(batch, call->number, record)) {
        InterlockedExchange(&batch->over, 1);
    } else {
        put_answer(batch, call->number, record, data);
        if (record->outcome == KSHS_OUTCOME_HUNG)
            finish(batch);
    }
    KeSetEvent(&batch->answered, IO_NO_INCREMENT, FALSE);
}

static void put_plain(ksc_batch *batch, uint32_t number, uint32_t op, uint32_t outcome, NTSTATUS detail)
{
    kshs_record record;

    ksc_record_init(&record, op);
    record.outcome = outcome;
    record.detail = KSHS_STATUS_U32(detail);
    put_answer(batch, number, &record, NULL);
}

/* ---- the steps ---------------------------------------------------------------------------- */

/* Gives the call's reference away.  An ASYNC request is answered long before its thread is free again. */
static void start(ksc_call *call)
{
    call->job.run = ksc_step_run;
    ksc_call_time(call);
    if (call->step.op == KSHS_OP_WAIT) {
        ksc_wait_step(call);
        ksc_call_release(call);
    } else if (!(call->step.flags & KSHS_STEP_ASYNC)) {
        ksc_step_run(&call->job);
    } else if (!NT_SUCCESS(ksc_threads_run(&call->job))) {
        ksc_call_refuse(call, STATUS_INSUFFICIENT_RESOURCES);
        ksc_call_release(call);
    }
}

static void carry_out_one(ksc_batch *batch, uint32_t number)
{
    const kshs_batch_entry *entry = entry_of(batch, number);
    const kshs_step *step = (const kshs_step *)(batch->question + entry->step_offset);
    NTSTATUS status = ksc_step_check(step, entry->step_bytes - (uint32_t)sizeof *step);
    ksc_call *call;

    if (NT_SUCCESS(status) && step->op == KSHS_OP_SHARE)
        status = STATUS_INVALID_PARAMETER;          /* this is nobody's process to have a handle in */
    if (!NT_SUCCESS(status)) {
        put_plain(batch, number, step->op, KSHS_OUTCOME_REFUSED, status);
        return;
    }
    if (step->op == KSHS_OP_NOP) {
        put_plain(batch, number, step->op, KSHS_OUTCOME_DONE, STATUS_SUCCESS);
        return;
    }
    call = ksc_call_create(batch->whole->context, NULL, step, step + 1);
    if (!call) {
        put_plain(batch, number, step->op, KSHS_OUTCOME_REFUSED, STATUS_INSUFFICIENT_RESOURCES);
        return;
    }
    InterlockedIncrement(&batch->references);
    call->batch = batch;
    call->number = number;
    KeClearEvent(&batch->answered);
    if (step->op != KSHS_OP_CLOSE && step->op != KSHS_OP_OPEN_DEVICE && step->op != KSHS_OP_OPEN_PIN)
        ksc_closes_await(call->context, FALSE); /* those go through the queue themselves */
    start(call);
    /* Somebody's answer to the step before may have set the event just now. */
    while ((uint32_t)batch->ended <= number && !batch->over)
        KeWaitForSingleObject(&batch->answered, Executive, KernelMode, FALSE, NULL);
}

/* TRUE: the opener wants the control back. */
static BOOLEAN carry_out(ksc_batch *batch)
{
    const kshs_batch *head = (const kshs_batch *)batch->question;
    ksc_context *context = batch->whole->context;
    NTSTATUS status = copy_question(batch);
    uint32_t i;

    if (NT_SUCCESS(status) && head->flags == KSHS_BATCH_END)
        return TRUE;
    if (NT_SUCCESS(status))
        status = check_batch(batch);
    if (!NT_SUCCESS(status)) {
        InterlockedExchange(mark(batch, offsetof(kshs_marks, refused)), status);
        return FALSE;
    }
    batch->ended = batch->over = 0;
    if (head->flags & KSHS_BATCH_QUEUE)
        ksc_closes_await(context, TRUE);
    for (i = 0; i < head->count && !batch->over && !batch->whole->answered && !context->released; i++) {
        InterlockedExchange(mark(batch, offsetof(kshs_marks, begun)), (LONG)i + 1);
        carry_out_one(batch, i);
    }
    return FALSE;
}

static void serve(ksc_job *job)
{
    ksc_call *whole = CONTAINING_RECORD(job, ksc_call, job);
    ksc_batch *batch = kshs_zalloc(sizeof *batch, KSC_TAG);

    if (!batch) {
        InterlockedExchange(&whole->context->serving, 0);
        ksc_call_refuse(whole, STATUS_INSUFFICIENT_RESOURCES);
        ksc_call_release(whole);
        return;
    }
    batch->references = 1;
    batch->whole = whole;
    batch->shared = whole->context->shared;
    KeInitializeEvent(&batch->answered, SynchronizationEvent, FALSE);
    while (NT_SUCCESS(ZwWaitForSingleObject(batch->shared->bell, FALSE, NULL)) && !whole->answered &&
           !whole->context->released) {
        if (carry_out(batch) || batch->hung)
            break;                  /* hung: answered, and perhaps another thread waits for the bell by now */
        ZwSetEvent(batch->shared->done, NULL);
    }
    if (!batch->hung)
        finish(batch);
    ksc_batch_release(batch);
}

NTSTATUS ksc_batch_start(ksc_context *context, PIRP irp, PIO_STACK_LOCATION stack)
{
    kshs_step step;
    ksc_call *whole;

    if (stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(kshs_record))
        return kshs_complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
    if (!context->shared)
        return kshs_complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    if (InterlockedExchange(&context->serving, 1))
        return kshs_complete(irp, STATUS_DEVICE_BUSY, 0);
    RtlZeroMemory(&step, sizeof step);
    step.op = KSHS_OP_BATCH;
    whole = ksc_call_create(context, irp, &step, NULL);
    if (!whole) {
        InterlockedExchange(&context->serving, 0);
        return kshs_complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    }
    whole->job.run = serve;
    if (!ksc_call_pend(whole)) {
        ksc_call_release(whole);
    } else if (!NT_SUCCESS(ksc_threads_run(&whole->job))) {
        InterlockedExchange(&context->serving, 0);
        ksc_call_refuse(whole, STATUS_INSUFFICIENT_RESOURCES);
        ksc_call_release(whole);
    }
    return STATUS_PENDING;
}
