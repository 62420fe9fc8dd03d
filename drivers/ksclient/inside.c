/* SPDX-License-Identifier: Apache-2.0
 *
 * inside.c - WAIT_INSIDE: asks the target what its pin has seen, until enough
 * calls of its callback have begun and not ended, or there is no more time.
 *
 * Asked again and again, because a target has a property for the question and
 * none for waiting.  Each question is a PROPERTY like any other.
 */
#include "ksclient.h"
#include <ks.h>

#define ASK_AGAIN_MS 1

static NTSTATUS ask(ksc_call *call, ksc_request **request)
{
    PFILE_OBJECT file = ksc_slot_file(call->context, call->step.slot);
    kshs_step step = call->step;
    uint32_t pin_id = call->step.value;
    ksc_parameters parameters;
    void *block = NULL;
    NTSTATUS status;

    if (!file)
        return STATUS_INVALID_HANDLE;
    RtlZeroMemory(&parameters, sizeof parameters);
    step.mode = KSHS_MODE_KERNEL;
    step.value = KSHS_PROP_SEEN;
    step.value2 = KSPROPERTY_TYPE_GET;
    step.in_length = step.data_length = sizeof pin_id;
    step.out_length = sizeof(kshs_seen);
    status = ksc_property_parameters(&step, (const uint8_t *)&pin_id, &parameters, &block);
    if (NT_SUCCESS(status))
        status = ksc_request_create(call->context, file, &parameters, request);
    if (block)
        ExFreePoolWithTag(block, KSC_TAG);
    ObDereferenceObject(file);
    if (!NT_SUCCESS(status))
        return status;
    status = ksc_request_begin(*request, NULL);
    if (NT_SUCCESS(status)) {
        status = ksc_request_send(*request);
        ksc_request_finish(*request);
    }
    if (!NT_SUCCESS(status))
        ksc_request_release(*request);
    return status;
}

/* A record that does not hold what was seen is an answer, too: whoever asked reads why. */
static BOOLEAN is_over(const ksc_call *call, const kshs_record *record, const kshs_seen *seen)
{
    if (record->data_length != sizeof *seen)
        return TRUE;
    if (call->step.mode == KSHS_INSIDE_STATE)
        return seen->changes_begun - seen->changes_ended >= call->step.value2;
    return seen->count - seen->finished >= call->step.value2;
}

void ksc_inside_step(ksc_call *call)
{
    uint64_t begin = kshs_now_ns();
    uint64_t end = begin + (uint64_t)call->step.repeat * 1000000u;

    for (;;) {
        ksc_request *request = NULL;
        kshs_record record;
        kshs_seen seen;
        BOOLEAN late = kshs_now_ns() >= end;        /* before the last question, which is asked in any case */
        NTSTATUS status = ask(call, &request);

        if (!NT_SUCCESS(status)) {
            ksc_call_refuse(call, status);
            return;
        }
        record = request->record;
        RtlZeroMemory(&seen, sizeof seen);
        if (record.data_length <= sizeof seen)
            RtlCopyMemory(&seen, request->result->pointer, record.data_length);
        ksc_request_release(request);
        if (late || call->answered || is_over(call, &record, &seen)) {
            record.op = call->step.op;
            record.begin_ns = begin;
            record.duration_ns = kshs_now_ns() - begin;
            ksc_call_answer(call, &record, &seen);
            return;
        }
        kshs_sleep_ms(ASK_AGAIN_MS);
    }
}
