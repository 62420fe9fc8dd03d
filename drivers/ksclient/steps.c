/* SPDX-License-Identifier: Apache-2.0
 *
 * steps.c - the steps about requests: REQUEST, PROPERTY, WAIT, CANCEL.
 */
#include "ksclient.h"

static void fail(ksc_call *call, NTSTATUS status)
{
    if (status == STATUS_NOT_SUPPORTED)
        ksc_call_unsupported(call, status);
    else
        ksc_call_refuse(call, status);
}

static void request_parameters(const ksc_call *call, ksc_parameters *p)
{
    const kshs_step *step = &call->step;

    p->op = step->op;
    p->route = step->route;
    p->mode = step->mode;
    p->control = step->control;
    p->in_kind = step->in_kind;
    p->out_kind = step->out_kind;
    p->in_length = step->in_length;
    p->out_length = step->out_length;
    p->repeat = step->repeat;
    p->flips = (step->flags & KSHS_STEP_FLIP) != 0;
    p->errors_alike = (step->flags & KSHS_STEP_ERRORS_ALIKE) != 0;
    if (p->flips) {
        p->first_bit = step->value;
    } else if (!(step->flags & KSHS_STEP_TAKE)) {   /* there they say what is taken */
        p->in_stride = step->value;
        p->out_stride = step->value2;
    }
    p->keep = KSHS_KEEP_BYTES;
    p->in_data = call->data;
    p->in_data_length = step->data_length;
}

static NTSTATUS make_request(ksc_call *call, ksc_request **request)
{
    PFILE_OBJECT file = ksc_slot_file(call->context, call->step.slot);
    ksc_parameters parameters;
    void *block = NULL;
    NTSTATUS status = STATUS_SUCCESS;

    if (!file)
        return STATUS_INVALID_HANDLE;
    RtlZeroMemory(&parameters, sizeof parameters);
    if (call->step.op == KSHS_OP_PROPERTY)
        status = ksc_property_parameters(&call->step, call->data, &parameters, &block);
    else
        request_parameters(call, &parameters);
    if (call->step.flags & (KSHS_STEP_ARGUMENTS | KSHS_STEP_TAKE))
        status = ksc_made_arguments(call->context, &call->step, call->data, &parameters);
    if (NT_SUCCESS(status))
        status = ksc_request_create(call->context, file, &parameters, request);
    if (!NT_SUCCESS(status))
        ksc_made_release(&parameters);
    if (block)
        ExFreePoolWithTag(block, KSC_TAG);
    ObDereferenceObject(file);
    return status;
}

static NTSTATUS claim_token(ksc_request *request, uint32_t token)
{
    ksc_context *context = request->context;
    NTSTATUS status = STATUS_SUCCESS;
    KIRQL irql;

    KeAcquireSpinLock(&context->lock, &irql);
    if (context->released) {
        status = STATUS_DELETE_PENDING;
    } else if (context->tokens[token]) {
        status = STATUS_OBJECT_NAME_COLLISION;
    } else {
        ksc_request_reference(request);
        context->tokens[token] = request;
        request->token = token;
    }
    KeReleaseSpinLock(&context->lock, irql);
    return status;
}

/* The request of a token together with the token's reference, or NULL. */
static ksc_request *take_token(ksc_context *context, uint32_t token, const ksc_request *only)
{
    ksc_request *request;
    KIRQL irql;

    KeAcquireSpinLock(&context->lock, &irql);
    request = context->tokens[token];
    if (only && request != only)
        request = NULL;
    if (request)
        context->tokens[token] = NULL;
    KeReleaseSpinLock(&context->lock, irql);
    return request;
}

static void run_async(ksc_call *call, ksc_request *request)
{
    uint32_t token = call->step.token;
    NTSTATUS status = claim_token(request, token);
    ksc_request *unused;

    if (!NT_SUCCESS(status)) {
        fail(call, status);
        return;
    }
    request->starter = call;            /* this job holds the call */
    status = ksc_request_begin(request, NULL);
    if (NT_SUCCESS(status))
        status = ksc_request_send(request);
    if (request->starter) {             /* nothing was sent */
        request->starter = NULL;
        unused = take_token(request->context, token, request);
        if (unused)
            ksc_request_release(unused);
        ksc_request_finish(request);
        fail(call, status);
    } else {
        ksc_request_finish(request);
    }
}

static void run_sync(ksc_call *call, ksc_request *request)
{
    NTSTATUS status = ksc_request_begin(request, call);

    if (!NT_SUCCESS(status)) {
        fail(call, status);
        return;
    }
    status = ksc_request_send(request);
    if (!NT_SUCCESS(status)) {
        ksc_request_part(call, NULL);
        fail(call, status);
    }
    ksc_request_finish(request);
}

void ksc_request_step(ksc_call *call)
{
    ksc_request *request = NULL;
    NTSTATUS status = make_request(call, &request);

    if (!NT_SUCCESS(status)) {
        fail(call, status);
        return;
    }
    if (call->step.flags & KSHS_STEP_ASYNC)
        run_async(call, request);
    else
        run_sync(call, request);
    ksc_request_release(request);
}

void ksc_wait_step(ksc_call *call)
{
    ksc_context *context = call->context;
    uint32_t token = call->step.token;
    NTSTATUS status = STATUS_SUCCESS;
    ksc_request *finished = NULL;
    ksc_request *request;
    KIRQL irql;

    KeAcquireSpinLock(&context->lock, &irql);
    request = context->tokens[token];
    if (context->released) {
        status = STATUS_DELETE_PENDING;
    } else if (!request) {
        status = STATUS_NOT_FOUND;
    } else if (request->done) {
        finished = request;
        context->tokens[token] = NULL;
    } else if (request->call) {
        status = STATUS_DEVICE_BUSY;            /* somebody else waits for it */
    } else if (!call->answered) {
        ksc_call_reference(call);
        ksc_request_reference(request);
        request->call = call;
        call->request = request;
    }
    KeReleaseSpinLock(&context->lock, irql);

    if (!NT_SUCCESS(status)) {
        ksc_call_refuse(call, status);
    } else if (finished) {
        kshs_record record = finished->record;

        record.op = KSHS_OP_WAIT;
        if (ksc_call_answer(call, &record, finished->result->pointer)) {
            ksc_request_release(finished);
        } else {
            /* The caller has gone: the record stays to be fetched, if there is room. */
            KeAcquireSpinLock(&context->lock, &irql);
            if (!context->released && !context->tokens[token]) {
                context->tokens[token] = finished;
                finished = NULL;
            }
            KeReleaseSpinLock(&context->lock, irql);
            if (finished)
                ksc_request_release(finished);
        }
    }
}

void ksc_cancel_step(ksc_call *call)
{
    ksc_context *context = call->context;
    kshs_record *record = &call->record;
    ksc_request *request;
    int found;
    KIRQL irql;

    KeAcquireSpinLock(&context->lock, &irql);
    request = context->tokens[call->step.token];
    if (request)
        ksc_request_reference(request);
    KeReleaseSpinLock(&context->lock, irql);
    if (!request) {
        ksc_call_refuse(call, STATUS_NOT_FOUND);
        return;
    }
    if (request->p.route != KSHS_ROUTE_IRP) {
        ksc_call_unsupported(call, STATUS_NOT_SUPPORTED);   /* its IRP is not ours to see */
    } else {
        found = ksc_request_cancel(request);
        record->returned = KSHS_STATUS_U32(found == KSC_CANCEL_NOTHING ? STATUS_NOT_FOUND : STATUS_SUCCESS);
        record->information = found == KSC_CANCEL_ROUTINE;
        if (found != KSC_CANCEL_NOTHING)
            record->flags |= KSHS_REC_CANCELLED;
        ksc_call_answer(call, record, NULL);
    }
    ksc_request_release(request);
}
