/* SPDX-License-Identifier: Apache-2.0
 *
 * step.c - IOCTL_KSHS_STEP: every field is checked before anything is done.
 *
 * A control that cannot carry an answer fails with an NTSTATUS.  One that can,
 * but whose step makes no sense, gets a record that says REFUSED and why.
 */
#include "ksclient.h"
#include <ks.h>
#include "kshs_varied.h"

/* ---- what is well-formed ----------------------------------------------------------------- */

static BOOLEAN is_slot(uint32_t slot)
{
    return slot < KSHS_MAX_SLOTS;
}

static BOOLEAN is_token(uint32_t token)
{
    return token < KSHS_MAX_TOKENS;
}

static NTSTATUS check_open_device(const kshs_step *step)
{
    if (!is_slot(step->slot))
        return STATUS_INVALID_PARAMETER;
    if (!step->data_length || step->data_length % sizeof(WCHAR) || step->data_length > MAXUSHORT - 1)
        return STATUS_OBJECT_NAME_INVALID;
    return STATUS_SUCCESS;
}

static NTSTATUS check_open_pin(const kshs_step *step, const uint8_t *data)
{
    KSPIN_CONNECT connect;

    if (!is_slot(step->slot) || !is_slot(step->slot2))
        return STATUS_INVALID_PARAMETER;
    if (step->slot3 != KSHS_NO_SLOT && !is_slot(step->slot3))
        return STATUS_INVALID_PARAMETER;
    if ((step->flags & KSHS_STEP_FALLBACK) && (step->flags & KSHS_STEP_NO_FALLBACK))
        return STATUS_INVALID_PARAMETER;
    /* With the prefix it must fit into a UNICODE_STRING. */
    if (step->data_length < sizeof(KSPIN_CONNECT) + sizeof(KSDATAFORMAT) || step->data_length % sizeof(WCHAR) ||
        step->data_length > MAXUSHORT - 1 - sizeof KSSTRING_Pin)
        return STATUS_INVALID_BUFFER_SIZE;
    /* A handle value from outside would be taken for a kernel handle: slot3 is the way. */
    RtlCopyMemory(&connect, data, sizeof connect);
    return connect.PinToHandle ? STATUS_INVALID_HANDLE : STATUS_SUCCESS;
}

/* The arguments that are put in need room to stand in. */
static NTSTATUS check_arguments(const kshs_step *step)
{
    const uint32_t numbers[4] = { step->slot2, step->slot3, step->value, step->value2 };
    unsigned i;

    for (i = 0; i < 4; i++)
        if ((step->flags & (i < 2 ? KSHS_STEP_ARGUMENTS : KSHS_STEP_TAKE)) && numbers[i] != KSHS_NO_SLOT &&
            numbers[i] >= KSHS_MAX_MADE)
            return STATUS_INVALID_PARAMETER;
    if ((step->flags & KSHS_STEP_ARGUMENTS) && step->data_length < sizeof(KSHANDSHAKE))
        return STATUS_INVALID_BUFFER_SIZE;
    return STATUS_SUCCESS;
}

static NTSTATUS check_varied(const kshs_step *step)
{
    BOOLEAN flips = (step->flags & KSHS_STEP_FLIP) != 0;

    if (!kshs_is_varied(step))
        return STATUS_SUCCESS;
    if (!kshs_may_vary(step) || (flips && (step->flags & KSHS_STEP_TAKE)))
        return STATUS_INVALID_PARAMETER;
    if (flips)
        return kshs_flips_fit(step) ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
    return kshs_strides_fit(step) ? STATUS_SUCCESS : STATUS_INVALID_BUFFER_SIZE;
}

static NTSTATUS check_request(const kshs_step *step)
{
    NTSTATUS varied = check_varied(step);
    ULONG method = step->control & 3;

    if (!is_slot(step->slot) || step->mode > KSHS_MODE_USER)
        return STATUS_INVALID_PARAMETER;
    if (!NT_SUCCESS(varied))
        return varied;
    if (step->route != KSHS_ROUTE_CALL && step->route != KSHS_ROUTE_IRP)
        return STATUS_INVALID_PARAMETER;
    if (step->in_kind > KSHS_BUFFER_PAGE_END || step->in_kind == KSHS_BUFFER_ALIAS ||
        step->out_kind > KSHS_BUFFER_PAGE_END)
        return STATUS_INVALID_PARAMETER;
    if ((step->flags & KSHS_STEP_ASYNC) && !is_token(step->token))
        return STATUS_INVALID_PARAMETER;
    if (step->data_length > KSHS_BUFFER_SIZE)
        return STATUS_INVALID_BUFFER_SIZE;
    if (step->flags & (KSHS_STEP_ARGUMENTS | KSHS_STEP_TAKE)) {
        NTSTATUS status = check_arguments(step);

        if (!NT_SUCCESS(status))
            return status;
    }
    if (method == METHOD_NEITHER)
        return STATUS_SUCCESS;
    /* The direct methods would need pages locked in the caller's name. */
    if (method != METHOD_BUFFERED)
        return STATUS_INVALID_DEVICE_REQUEST;
    /* Here the lengths are a promise of the I/O manager, which a driver need not check. */
    if (step->in_kind != KSHS_BUFFER_NORMAL || step->out_kind != KSHS_BUFFER_NORMAL)
        return STATUS_INVALID_PARAMETER;
    if (step->in_length > KSHS_BUFFER_SIZE || step->out_length > KSHS_BUFFER_SIZE)
        return STATUS_INVALID_BUFFER_SIZE;
    return STATUS_SUCCESS;
}

static NTSTATUS check_property(const kshs_step *step)
{
    uint32_t value_length;

    if (!is_slot(step->slot) || step->mode > KSHS_MODE_USER)
        return STATUS_INVALID_PARAMETER;
    if ((step->flags & KSHS_STEP_ASYNC) && !is_token(step->token))
        return STATUS_INVALID_PARAMETER;
    if (step->in_length > step->data_length || step->in_length > KSHS_BUFFER_SIZE - sizeof(KSPROPERTY) ||
        step->out_length > KSHS_BUFFER_SIZE)
        return STATUS_INVALID_BUFFER_SIZE;
    if (step->flags & KSHS_STEP_FLIP) {
        if ((step->flags & KSHS_STEP_ASYNC) || !step->repeat ||
            (uint64_t)step->slot2 + step->repeat > (uint64_t)step->in_length * 8)
            return STATUS_INVALID_PARAMETER;
    }
    value_length = step->data_length - step->in_length;
    if (value_length > KSHS_BUFFER_SIZE || (step->out_length && value_length > step->out_length))
        return STATUS_INVALID_BUFFER_SIZE;
    return STATUS_SUCCESS;
}

static NTSTATUS check_inside(const kshs_step *step, uint32_t data_bytes)
{
    if (!is_slot(step->slot) || data_bytes || !step->value2 || step->mode > KSHS_INSIDE_STATE)
        return STATUS_INVALID_PARAMETER;
    /* What is not seen in time is an answer; a question that does not come back is hung. */
    return step->timeout_ms && step->repeat >= step->timeout_ms ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
}

static NTSTATUS check_counters(const kshs_step *step, uint32_t data_bytes)
{
    if ((step->slot != KSHS_NO_SLOT && !is_slot(step->slot)) || data_bytes)
        return STATUS_INVALID_PARAMETER;
    if (step->out_length < sizeof(kshs_counters) + sizeof(kshs_pool_use) || step->out_length > KSHS_MAX_DATA)
        return STATUS_INVALID_BUFFER_SIZE;
    return STATUS_SUCCESS;
}

static uint32_t flags_of(uint32_t op)
{
    switch (op) {
    case KSHS_OP_OPEN_PIN:
        return KSHS_STEP_FALLBACK | KSHS_STEP_NO_FALLBACK;
    case KSHS_OP_REQUEST:
        return KSHS_STEP_ASYNC | KSHS_STEP_ARGUMENTS | KSHS_STEP_TAKE | KSHS_STEP_FLIP | KSHS_STEP_ERRORS_ALIKE;
    case KSHS_OP_PROPERTY:
        return KSHS_STEP_ASYNC | KSHS_STEP_FLIP;
    case KSHS_OP_CLOSE:
        return KSHS_STEP_KEEP;
    case KSHS_OP_RELEASE_ALL:
        return KSHS_STEP_COUNT;
    default:
        return 0;
    }
}

NTSTATUS ksc_step_check(const kshs_step *step, uint32_t data_bytes)
{
    if (step->size != sizeof *step)
        return STATUS_REVISION_MISMATCH;
    if (step->data_length != data_bytes || data_bytes > KSHS_MAX_DATA)
        return STATUS_INVALID_BUFFER_SIZE;
    if (step->side != KSHS_SIDE_KERNEL || (step->flags & ~flags_of(step->op)))
        return STATUS_INVALID_PARAMETER;
    switch (step->op) {
    case KSHS_OP_OPEN_DEVICE:
        return check_open_device(step);
    case KSHS_OP_OPEN_PIN:
        return check_open_pin(step, (const uint8_t *)(step + 1));
    case KSHS_OP_REQUEST:
        return check_request(step);
    case KSHS_OP_PROPERTY:
        return check_property(step);
    case KSHS_OP_WAIT_INSIDE:
        return check_inside(step, data_bytes);
    case KSHS_OP_MAKE:
    case KSHS_OP_INSPECT:
    case KSHS_OP_REFERENCE:
    case KSHS_OP_VANISH:
        return ksc_made_check(step, (const uint8_t *)(step + 1));
    case KSHS_OP_COUNTERS:
        return check_counters(step, data_bytes);
    case KSHS_OP_CLOSE:
    case KSHS_OP_SHARE:
        return is_slot(step->slot) && !data_bytes ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
    case KSHS_OP_WAIT:
    case KSHS_OP_CANCEL:
        return is_token(step->token) && !data_bytes ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
    case KSHS_OP_RELEASE_ALL:
        if ((step->flags & KSHS_STEP_COUNT) && step->out_length != sizeof(kshs_left))
            return STATUS_INVALID_BUFFER_SIZE;
        return data_bytes ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
    case KSHS_OP_NOP:
        return data_bytes ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
    default:
        return STATUS_INVALID_DEVICE_REQUEST;       /* the agent's, or nobody's */
    }
}

/* Bytes after the record that a well-formed step may be answered with. */
uint32_t ksc_step_answer_bytes(const kshs_step *step)
{
    if (step->flags & KSHS_STEP_ASYNC)
        return 0;
    switch (step->op) {
    case KSHS_OP_REQUEST:
        return step->out_length < KSHS_KEEP_BYTES && !step->value2 ? step->out_length : KSHS_KEEP_BYTES;
    case KSHS_OP_WAIT:
    case KSHS_OP_INSPECT:
        return KSHS_KEEP_BYTES;
    case KSHS_OP_WAIT_INSIDE:
        return sizeof(kshs_seen);
    case KSHS_OP_RELEASE_ALL:
        return step->flags & KSHS_STEP_COUNT ? sizeof(kshs_left) : 0;
    case KSHS_OP_COUNTERS:
        return step->out_length;
    case KSHS_OP_PROPERTY:
        return step->out_length ? step->out_length : step->data_length - step->in_length;
    default:
        return 0;
    }
}

/* ---- what is done --------------------------------------------------------------------------- */

void ksc_step_run(ksc_job *job)
{
    ksc_call *call = CONTAINING_RECORD(job, ksc_call, job);

    switch (call->step.op) {
    case KSHS_OP_OPEN_DEVICE:
        ksc_open_device(call);
        break;
    case KSHS_OP_OPEN_PIN:
        ksc_open_pin(call);
        break;
    case KSHS_OP_CLOSE:
        ksc_close(call);
        break;
    case KSHS_OP_RELEASE_ALL:
        ksc_release_all(call);
        break;
    case KSHS_OP_REQUEST:
    case KSHS_OP_PROPERTY:
        ksc_request_step(call);
        break;
    case KSHS_OP_CANCEL:
        ksc_cancel_step(call);
        break;
    case KSHS_OP_WAIT_INSIDE:
        ksc_inside_step(call);
        break;
    case KSHS_OP_MAKE:
    case KSHS_OP_INSPECT:
    case KSHS_OP_REFERENCE:
    case KSHS_OP_VANISH:
        ksc_made_step(call);
        break;
    case KSHS_OP_COUNTERS:
        ksc_counters_step(call);
        break;
    default:
        ksc_call_refuse(call, STATUS_INVALID_DEVICE_REQUEST);
        break;
    }
    ksc_call_release(call);
}

static NTSTATUS complete_with(PIRP irp, uint32_t op, uint32_t outcome, NTSTATUS detail)
{
    kshs_record record;

    ksc_record_init(&record, op);
    record.outcome = outcome;
    record.detail = KSHS_STATUS_U32(detail);
    RtlCopyMemory(irp->AssociatedIrp.SystemBuffer, &record, sizeof record);
    return kshs_complete(irp, STATUS_SUCCESS, sizeof record);
}

NTSTATUS ksc_step(ksc_context *context, PIRP irp, PIO_STACK_LOCATION stack)
{
    ULONG in_bytes = stack->Parameters.DeviceIoControl.InputBufferLength;
    ULONG out_bytes = stack->Parameters.DeviceIoControl.OutputBufferLength;
    const kshs_step *step = irp->AssociatedIrp.SystemBuffer;    /* and where the answer goes: read it first */
    uint32_t op;
    ksc_call *call;
    NTSTATUS status;

    if (in_bytes < sizeof *step)
        return kshs_complete(irp, STATUS_INVALID_BUFFER_SIZE, 0);
    if (out_bytes < sizeof(kshs_record))
        return kshs_complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
    op = step->op;
    status = ksc_step_check(step, in_bytes - (ULONG)sizeof *step);
    if (!NT_SUCCESS(status))
        return complete_with(irp, op, KSHS_OUTCOME_REFUSED, status);
    if (out_bytes - sizeof(kshs_record) < ksc_step_answer_bytes(step))
        return kshs_complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
    if (op == KSHS_OP_NOP)
        return complete_with(irp, op, KSHS_OUTCOME_DONE, STATUS_SUCCESS);
    if (op == KSHS_OP_SHARE)        /* at once: the handle is to be the caller's, whose process this is */
        return ksc_share(context, irp, step->slot);

    call = ksc_call_create(context, irp, step, step + 1);
    if (!call)
        return complete_with(irp, op, KSHS_OUTCOME_REFUSED, STATUS_INSUFFICIENT_RESOURCES);
    call->job.run = ksc_step_run;
    if (!ksc_call_pend(call)) {
        ksc_call_release(call);
    } else if (op == KSHS_OP_WAIT) {
        ksc_wait_step(call);
        ksc_call_release(call);
    } else if (!NT_SUCCESS(ksc_threads_run(&call->job))) {
        ksc_call_refuse(call, STATUS_INSUFFICIENT_RESOURCES);
        ksc_call_release(call);
    }
    return STATUS_PENDING;
}
