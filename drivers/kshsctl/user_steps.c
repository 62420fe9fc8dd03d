/* SPDX-License-Identifier: Apache-2.0
 *
 * user_steps.c - the slots of the user side: open, close, release.
 *
 * An I/O control is synchronous or asynchronous by the way its handle was
 * opened.  Opens here make asynchronous handles, unless the OPEN step's route
 * is KSHS_ROUTE_SYNC; a REQUEST whose route does not fit is refused.
 */
#include "user.h"

/* {146F1A80-4791-11D0-A5D6-28DB04C10000}\ : KSNAME_Pin, the name by which a filter creates pins. */
static const wchar_t pin_prefix[] = L"{146F1A80-4791-11D0-A5D6-28DB04C10000}\\";

struct pin_connect {                /* KSPIN_CONNECT */
    kshs_guid interface_set;
    uint32_t interface_id, interface_flags;
    kshs_guid medium_set;
    uint32_t medium_id, medium_flags;
    uint32_t pin_id;
    void *pin_to_handle;
    uint32_t priority_class, priority_sub_class;
};

#define FORMAT_BYTES 64u            /* sizeof(KSDATAFORMAT) */
#define MAX_NAME_BYTES 65534u       /* of a UNICODE_STRING */
#define MAX_PATH_BYTES 32000u

static user_slot slots[KSHS_MAX_SLOTS];

user_slot *slot_get(uint32_t number)
{
    return number < KSHS_MAX_SLOTS && slots[number].handle ? &slots[number] : NULL;
}

static bool slot_free(step_context *context)
{
    uint32_t number = context->step->slot;

    if (number >= KSHS_MAX_SLOTS) {
        step_refuse(context, STATUS_INVALID_PARAMETER, L"there is no slot %lu", (unsigned long)number);
        return false;
    }
    if (slots[number].handle) {
        step_refuse(context, STATUS_OBJECT_NAME_COLLISION, L"slot %lu is open", (unsigned long)number);
        return false;
    }
    return true;
}

static void record_open(kshs_record *record, NTSTATUS returned, const IO_STATUS_BLOCK *status)
{
    record->returned = (uint32_t)returned;
    record->flags |= KSHS_REC_IOSB_VISIBLE;
    record->status = (uint32_t)status->Status;
    if (record->status != KSHS_POISON_STATUS)
        record->flags |= KSHS_REC_STATUS_WRITTEN;
    if (status->Information != (ULONG_PTR)KSHS_POISON_INFORMATION) {
        record->flags |= KSHS_REC_INFO_WRITTEN;
        record->information = status->Information;
    }
}

/* Ends an open: the step is this thread's still, or everything is undone. */
static void settle(step_context *context, const user_slot *opened, NTSTATUS returned, const IO_STATUS_BLOCK *status,
                   uint32_t flags)
{
    if (!step_claim(context)) {
        if (opened->handle)
            NtClose(opened->handle);
        free(opened->path);
        return;
    }
    record_open(&context->record, returned, status);
    context->record.flags |= flags;
    if (NT_SUCCESS(returned))
        slots[context->step->slot] = *opened;
    else
        free(opened->path);
}

static void open_path(step_context *context, const void *path, uint32_t bytes)
{
    IO_STATUS_BLOCK status;
    uint32_t flags = 0;
    user_slot opened;
    NTSTATUS returned;

    memset(&opened, 0, sizeof(opened));
    opened.synchronous = context->step->route == KSHS_ROUTE_SYNC;
    opened.path = malloc(bytes + sizeof(wchar_t));
    if (!opened.path) {
        step_refuse(context, STATUS_NO_MEMORY, L"no memory for the path");
        return;
    }
    memcpy(opened.path, path, bytes);
    opened.path[bytes / sizeof(wchar_t)] = 0;
    if (open_by_path(context, opened.path, bytes, opened.synchronous, &opened.handle, &returned, &status, &flags))
        settle(context, &opened, returned, &status, flags);
    else
        free(opened.path);
}

static void open_device(step_context *context)
{
    const kshs_step *step = context->step;

    if (!step->data_length || step->data_length % sizeof(wchar_t) || step->data_length > MAX_PATH_BYTES) {
        step_refuse(context, STATUS_OBJECT_NAME_INVALID, L"a path is UTF-16, not empty and has at most %u bytes",
                    MAX_PATH_BYTES);
        return;
    }
    open_path(context, context->data, step->data_length);
}

static void open_filter(step_context *context)
{
    wchar_t path[512];
    DWORD error = interface_path(&context->step->guid, context->step->value, path, ARRAY_COUNT(path));

    if (error)
        step_refuse(context, error == ERROR_NO_MORE_ITEMS ? STATUS_NO_SUCH_DEVICE : STATUS_UNSUCCESSFUL,
                    L"the category has no instance %lu (Win32 error %lu)", (unsigned long)context->step->value, error);
    else
        open_path(context, path, (uint32_t)(wcslen(path) * sizeof(wchar_t)));
}

/* The make-pin control of refks: a second file object of the filter becomes the pin. */
static void make_pin(step_context *context, const user_slot *filter, const uint8_t *name, uint32_t bytes,
                     user_slot *pin)
{
    IO_STATUS_BLOCK status;
    uint32_t flags = 0;
    NTSTATUS returned;

    if (!open_by_path(context, filter->path, (uint32_t)(wcslen(filter->path) * sizeof(wchar_t)), pin->synchronous,
                      &pin->handle, &returned, &status, &flags))
        return;
    if (NT_SUCCESS(returned) &&
        !open_make(context, IOCTL_KSHS_MAKE_PIN, name, bytes, &pin->handle, &returned, &status))
        return;
    settle(context, pin, returned, &status, KSHS_REC_MADE);
}

static void open_pin(step_context *context)
{
    const kshs_step *step = context->step;
    const user_slot *filter = slot_get(step->slot2), *other = NULL;
    const uint32_t allowed = KSHS_STEP_FALLBACK | KSHS_STEP_NO_FALLBACK;
    uint32_t bytes = (uint32_t)(sizeof(pin_prefix) - sizeof(wchar_t)) + step->data_length;
    struct pin_connect connect;
    IO_STATUS_BLOCK status;
    user_slot pin;
    NTSTATUS returned;
    uint8_t *name;

    if (!filter || filter->closed) {
        step_refuse(context, STATUS_INVALID_HANDLE, L"slot %lu holds no filter", (unsigned long)step->slot2);
        return;
    }
    if (step->slot3 != KSHS_NO_SLOT && ((other = slot_get(step->slot3)) == NULL || other->closed)) {
        step_refuse(context, STATUS_INVALID_HANDLE, L"slot %lu holds no pin to connect to",
                    (unsigned long)step->slot3);
        return;
    }
    if (step->flags & ~allowed || step->flags == allowed) {
        step_refuse(context, STATUS_INVALID_PARAMETER, L"the flags 0x%lx make no sense here",
                    (unsigned long)step->flags);
        return;
    }
    if (step->data_length < sizeof(connect) + FORMAT_BYTES || step->data_length % sizeof(wchar_t) ||
        bytes > MAX_NAME_BYTES) {
        step_refuse(context, STATUS_INVALID_BUFFER_SIZE, L"OPEN_PIN needs KSPIN_CONNECT and KSDATAFORMAT as its data");
        return;
    }
    memcpy(&connect, context->data, sizeof(connect));
    if (connect.pin_to_handle) {
        step_refuse(context, STATUS_INVALID_HANDLE, L"PinToHandle is the agent's to fill in: say slot3");
        return;
    }
    name = malloc(bytes);
    if (!name) {
        step_refuse(context, STATUS_NO_MEMORY, L"no memory for the pin's name");
        return;
    }
    memcpy(name, pin_prefix, sizeof(pin_prefix) - sizeof(wchar_t));
    memcpy(name + sizeof(pin_prefix) - sizeof(wchar_t), context->data, step->data_length);
    if (other)
        memcpy(name + sizeof(pin_prefix) - sizeof(wchar_t) + offsetof(struct pin_connect, pin_to_handle),
               &other->handle, sizeof(other->handle));
    memset(&pin, 0, sizeof(pin));
    pin.synchronous = step->route == KSHS_ROUTE_SYNC;
    pin.is_pin = true;
    returned = open_file(filter->handle, name, bytes, pin.synchronous, &pin.handle, &status);
    if (returned == STATUS_OBJECT_NAME_NOT_FOUND && nt_is_wine() && !(step->flags & KSHS_STEP_NO_FALLBACK) &&
        context->state != STEP_ABANDONED && filter->path)
        make_pin(context, filter, name, bytes, &pin);
    else
        settle(context, &pin, returned, &status, KSHS_REC_NATIVE);
    free(name);
}

static NTSTATUS slot_close(uint32_t number)
{
    HANDLE handle = slots[number].closed ? NULL : slots[number].handle;

    request_slot_closing(number);
    free(slots[number].path);
    memset(&slots[number], 0, sizeof(slots[number]));   /* before the close: it may never return */
    return handle ? NtClose(handle) : STATUS_SUCCESS;
}

/* Closes the slot's handle and keeps its number. */
static NTSTATUS slot_retire(uint32_t number)
{
    user_slot kept = slots[number];
    NTSTATUS status;

    request_slot_closing(number);
    memset(&slots[number], 0, sizeof(slots[number]));
    status = handle_retire(&kept.handle);
    kept.closed = true;
    slots[number] = kept;
    return status;
}

static void close_slot(step_context *context)
{
    const user_slot *slot = slot_get(context->step->slot);
    bool keep = (context->step->flags & KSHS_STEP_KEEP) != 0;
    NTSTATUS status;

    if (!slot || (keep && slot->closed)) {
        step_refuse(context, STATUS_INVALID_HANDLE, L"slot %lu is not open", (unsigned long)context->step->slot);
        return;
    }
    status = keep ? slot_retire(context->step->slot) : slot_close(context->step->slot);
    if (step_claim(context))
        context->record.returned = (uint32_t)status;
}

/* A handle of our own to what the client has in a slot. */
static void share(step_context *context)
{
    kshs_record *record = &context->record;
    HANDLE handle, process;
    user_slot shared;

    kernel_share(context, context->step->slot2);
    if (!step_claim(context) || context->answered || record->outcome != KSHS_OUTCOME_DONE)
        return;
    memset(&shared, 0, sizeof(shared));
    handle = (HANDLE)(ULONG_PTR)record->information;
    if (record->changed_bytes) {
        process = OpenProcess(PROCESS_DUP_HANDLE, FALSE, record->changed_bytes);
        if (!process || !DuplicateHandle(process, handle, GetCurrentProcess(), &shared.handle, 0, FALSE,
                                         DUPLICATE_SAME_ACCESS))
            shared.handle = NULL;
        if (process)
            CloseHandle(process);
    } else {
        shared.handle = handle;
    }
    record->information = KSHS_POISON_INFORMATION;
    record->changed_bytes = 0;
    if (!shared.handle) {
        step_unsupported(context, STATUS_NOT_SUPPORTED, L"the drivers' process does not let its handles be duplicated");
        return;
    }
    shared.synchronous = true;          /* as the client opens everything */
    shared.is_pin = true;               /* or to be closed as early as one */
    slots[context->step->slot] = shared;
}

/* Pins before what they belong to.  A thread whose step was taken over leaves the rest to its successor. */
static void release_all(const step_context *context)
{
    uint32_t number;
    int pins;

    requests_forget();
    for (pins = 1; pins >= 0; pins--)
        for (number = 0; number < KSHS_MAX_SLOTS; number++)
            if (slots[number].handle && slots[number].is_pin == (pins != 0)) {
                slot_close(number);
                if (context && context->state == STEP_ABANDONED)
                    return;
            }
}

void user_step(step_context *context)
{
    switch (context->step->op) {
    case KSHS_OP_OPEN_FILTER:
        if (slot_free(context))
            open_filter(context);
        break;
    case KSHS_OP_OPEN_DEVICE:
        if (slot_free(context))
            open_device(context);
        break;
    case KSHS_OP_OPEN_PIN:
        if (slot_free(context))
            open_pin(context);
        break;
    case KSHS_OP_SHARE:
        if (slot_free(context))
            share(context);
        break;
    case KSHS_OP_CLOSE:
        close_slot(context);
        break;
    case KSHS_OP_REQUEST:
        request_step(context);
        break;
    case KSHS_OP_WAIT:
        request_wait_step(context);
        break;
    case KSHS_OP_CANCEL:
        request_cancel_step(context);
        break;
    case KSHS_OP_PROPERTY:
        property_step(context);
        break;
    case KSHS_OP_RELEASE_ALL:
        release_all(context);
        if (step_claim(context))
            context->record.returned = (uint32_t)STATUS_SUCCESS;
        break;
    default:
        step_refuse(context, STATUS_INVALID_PARAMETER, L"there is no operation %lu", (unsigned long)context->step->op);
    }
}

void user_end(void)
{
    release_all(NULL);
}
