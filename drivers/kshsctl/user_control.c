/* SPDX-License-Identifier: Apache-2.0
 *
 * user_control.c - controls of the user side that are no measured requests:
 * IOCTL_KS_PROPERTY, and the make controls of refks (user_open.c).
 */
#include "user.h"

#define IOCTL_PROPERTY 0x002F0003u  /* IOCTL_KS_PROPERTY: FILE_DEVICE_KS, function 0, METHOD_NEITHER, FILE_ANY_ACCESS */

struct property {                   /* KSPROPERTY */
    kshs_guid set;
    uint32_t id;
    uint32_t flags;
};

plain_control *plain_new(uint32_t in_length, uint32_t out_length)
{
    plain_control *c = calloc(1, sizeof(*c) + in_length + out_length);

    if (!c)
        return NULL;
    c->event = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!c->event) {
        free(c);
        return NULL;
    }
    c->in = c->room;
    c->in_length = in_length;
    c->out = c->room + in_length;
    c->out_length = out_length;
    return c;
}

void plain_free(plain_control *c)
{
    CloseHandle(c->event);
    free(c);
}

bool plain_send(plain_control *c, HANDLE file, uint32_t control, uint32_t timeout_ms)
{
    c->status.Status = (NTSTATUS)KSHS_POISON_STATUS;
    c->status.Information = (ULONG_PTR)KSHS_POISON_INFORMATION;
    c->returned = NtDeviceIoControlFile(file, c->event, NULL, NULL, &c->status, control, c->in_length ? c->in : NULL,
                                        c->in_length, c->out_length ? c->out : NULL, c->out_length);
    c->result = c->returned;
    if (c->returned != STATUS_PENDING)
        return true;
    if (WaitForSingleObject(c->event, timeout_ms ? timeout_ms : INFINITE) != WAIT_OBJECT_0)
        return false;
    c->result = c->status.Status;
    return true;
}

static void record_status(kshs_record *record, const plain_control *c)
{
    record->returned = (uint32_t)c->returned;
    record->flags |= KSHS_REC_IOSB_VISIBLE;
    record->status = (uint32_t)c->status.Status;
    if (record->status != KSHS_POISON_STATUS)
        record->flags |= KSHS_REC_STATUS_WRITTEN;
    if (c->status.Information != (ULONG_PTR)KSHS_POISON_INFORMATION) {
        record->flags |= KSHS_REC_INFO_WRITTEN;
        record->information = c->status.Information;
    }
    if (c->returned == STATUS_PENDING) {
        record->flags |= KSHS_REC_PENDING | KSHS_REC_SIGNALLED;
        record->completions = 1;
    }
}

static void property_of(struct property *property, const kshs_step *step)
{
    property->set = step->guid;
    property->id = step->value;
    property->flags = step->value2;
}

/* In flight it is a request like any other, whose output buffer begins with the property's data. */
static void property_start(step_context *context, user_slot *slot)
{
    kshs_step step = *context->step;
    uint32_t value_length = step.data_length - step.in_length;
    struct property property;
    uint8_t *data;

    if (step.in_length > KSHS_BUFFER_SIZE - sizeof(property)) {
        step_refuse(context, STATUS_INVALID_BUFFER_SIZE, L"the bytes after KSPROPERTY are too many");
        return;
    }
    property_of(&property, &step);
    step.in_length += (uint32_t)sizeof(property);
    step.data_length += (uint32_t)sizeof(property);
    data = malloc(step.data_length);
    if (!data) {
        step_refuse(context, STATUS_NO_MEMORY, L"no memory for its buffers");
        return;
    }
    memcpy(data, &property, sizeof(property));
    memcpy(data + sizeof(property), context->data, context->step->data_length);
    step.op = KSHS_OP_REQUEST;
    step.route = slot->synchronous ? KSHS_ROUTE_SYNC : KSHS_ROUTE_EVENT;
    step.control = IOCTL_PROPERTY;
    step.in_kind = step.out_kind = KSHS_BUFFER_NORMAL;
    step.repeat = 1;
    step.value = step.value2 = 0;       /* of a REQUEST they would be strides */
    if (!step.out_length)
        step.out_length = value_length;
    request_start_control(context, slot, &step, data, value_length);
    free(data);
}

void property_step(step_context *context)
{
    const kshs_step *step = context->step;
    user_slot *slot = slot_get(step->slot);
    uint32_t value_length = step->data_length - step->in_length, out_length;
    struct property property;
    plain_control *c;

    if (!slot) {
        step_refuse(context, STATUS_INVALID_HANDLE, L"slot %lu is not open", (unsigned long)step->slot);
        return;
    }
    if (step->in_length > step->data_length || step->out_length > KSHS_BUFFER_SIZE ||
        value_length > KSHS_BUFFER_SIZE || (step->out_length && value_length > step->out_length)) {
        step_refuse(context, STATUS_INVALID_BUFFER_SIZE,
                    L"a property's data is in_length bytes, then at most out_length bytes of property data");
        return;
    }
    if (step->flags & ~(uint32_t)KSHS_STEP_ASYNC) {
        step_refuse(context, STATUS_INVALID_PARAMETER, L"the user side sends a property once, as it is");
        return;
    }
    if (!closed_usable(context, slot))
        return;
    if (step->flags & KSHS_STEP_ASYNC) {
        property_start(context, slot);
        return;
    }
    out_length = step->out_length ? step->out_length : value_length;
    c = plain_new((uint32_t)sizeof(property) + step->in_length, out_length);
    if (!c) {
        step_refuse(context, STATUS_NO_MEMORY, L"no memory for its buffers");
        return;
    }
    property_of(&property, step);
    memcpy(c->in, &property, sizeof(property));
    memcpy(c->in + sizeof(property), context->data, step->in_length);
    memcpy(c->out, context->data + step->in_length, value_length);
    if (!plain_send(c, slot->handle, IOCTL_PROPERTY, step->timeout_ms)) {
        if (step_claim(context)) {      /* the driver may still write to the buffers: they are left alone */
            context->record.outcome = KSHS_OUTCOME_HUNG;
            context->record.detail = (uint32_t)STATUS_TIMEOUT;
        }
        return;
    }
    if (step_claim(context)) {
        record_status(&context->record, c);
        if (!NT_ERROR(c->result) && c->status.Information <= out_length) {
            context->record.data_length = (uint32_t)c->status.Information;
            memcpy(context->reply, c->out, context->record.data_length);
        }
    }
    plain_free(c);
}
