/* SPDX-License-Identifier: Apache-2.0
 *
 * context.c - what one open of the client owns, and how it is given back.
 */
#include "ksclient.h"

/* How long the teardown waits for cancelled requests, before and after it has
 * closed their handles; closing one may be what a driver waits for. */
#define PATIENCE_BEFORE_CLOSE_MS 1000
#define PATIENCE_AFTER_CLOSE_MS 4000

static void teardown(ksc_job *job);

ksc_context *ksc_context_create(void)
{
    ksc_context *context = kshs_zalloc(sizeof *context, KSC_TAG);

    if (!context)
        return NULL;
    context->references = 1;
    KeInitializeSpinLock(&context->lock);
    KeInitializeEvent(&context->changed, NotificationEvent, FALSE);
    InitializeListHead(&context->requests);
    context->teardown.run = teardown;
    return context;
}

void ksc_context_reference(ksc_context *context)
{
    InterlockedIncrement(&context->references);
}

void ksc_context_release(ksc_context *context)
{
    if (InterlockedDecrement(&context->references))
        return;
    ksc_block_end(context);
    ExFreePoolWithTag(context, KSC_TAG);
}

/* ---- objects -------------------------------------------------------------------- */

ksc_object *ksc_object_create(const void *path, uint32_t path_bytes)
{
    ksc_object *object = kshs_zalloc(sizeof *object + path_bytes, KSC_TAG);

    if (!object)
        return NULL;
    object->references = 1;
    object->path_bytes = path_bytes;
    if (path_bytes)
        RtlCopyMemory(object->path, path, path_bytes);
    return object;
}

void ksc_object_reference(ksc_object *object)
{
    InterlockedIncrement(&object->references);
}

NTSTATUS ksc_object_release(ksc_object *object)
{
    NTSTATUS status = STATUS_SUCCESS;
    int i;

    if (InterlockedDecrement(&object->references))
        return STATUS_PENDING;
    if (object->handle) {
        status = ZwClose(object->handle);
        ksc_closed();
    }
    if (object->file && object->context)
        ksc_left_closed(object);
    else if (object->file)
        ObDereferenceObject(object->file);
    for (i = 0; i < 2; i++)
        if (object->devices[i])
            ObDereferenceObject(object->devices[i]);
    ExFreePoolWithTag(object, KSC_TAG);
    return status;
}

/* NT keeps a device for every file object that is not closed.  Wine closes the file object with its last
 * handle, and what a request would be sent to later must be kept by whoever sends it. */
ksc_object *ksc_object_keep(const ksc_object *object)
{
    ksc_object *kept = ksc_object_create(NULL, 0);
    int i;

    if (!kept)
        return NULL;
    ObReferenceObject(object->file);
    kept->file = object->file;
    kept->devices[0] = object->file->DeviceObject;
    kept->devices[1] = kshs_related_device(object->file);
    for (i = 0; i < 2; i++)
        if (kept->devices[i])
            ObReferenceObject(kept->devices[i]);
    return kept;
}

/* ---- slots ------------------------------------------------------------------------ */

NTSTATUS ksc_slot_reserve(ksc_context *context, uint32_t slot)
{
    NTSTATUS status = STATUS_SUCCESS;
    KIRQL irql;

    KeAcquireSpinLock(&context->lock, &irql);
    if (context->released)
        status = STATUS_DELETE_PENDING;
    else if (context->slots[slot].object || context->slots[slot].reserved)
        status = STATUS_OBJECT_NAME_COLLISION;
    else
        context->slots[slot].reserved = TRUE;
    KeReleaseSpinLock(&context->lock, irql);
    return status;
}

BOOLEAN ksc_slot_fill(ksc_context *context, uint32_t slot, ksc_object *object)
{
    BOOLEAN taken;
    KIRQL irql;

    KeAcquireSpinLock(&context->lock, &irql);
    taken = object && !context->released;
    context->slots[slot].reserved = FALSE;
    if (taken)
        context->slots[slot].object = object;
    KeReleaseSpinLock(&context->lock, irql);
    return taken;
}

ksc_object *ksc_slot_get(ksc_context *context, uint32_t slot)
{
    ksc_object *object;
    KIRQL irql;

    KeAcquireSpinLock(&context->lock, &irql);
    object = context->slots[slot].object;
    if (object)
        ksc_object_reference(object);
    KeReleaseSpinLock(&context->lock, irql);
    return object;
}

ksc_object *ksc_slot_take(ksc_context *context, uint32_t slot)
{
    ksc_object *object;
    KIRQL irql;

    KeAcquireSpinLock(&context->lock, &irql);
    object = context->slots[slot].object;
    context->slots[slot].object = NULL;
    KeReleaseSpinLock(&context->lock, irql);
    return object;
}

PFILE_OBJECT ksc_slot_file(ksc_context *context, uint32_t slot)
{
    PFILE_OBJECT file = NULL;
    KIRQL irql;

    /* The object cannot go away under the lock, so the file need not be counted through it:
     * a reference to the object would delay a CLOSE that comes at the same time. */
    KeAcquireSpinLock(&context->lock, &irql);
    if (context->slots[slot].object) {
        file = context->slots[slot].object->file;
        ObReferenceObject(file);
    }
    KeReleaseSpinLock(&context->lock, irql);
    return file;
}

/* For an open whose caller has gone: TRUE, and the slot's reference, if nobody closed it meanwhile. */
BOOLEAN ksc_slot_take_if(ksc_context *context, uint32_t slot, const ksc_object *object)
{
    BOOLEAN taken;
    KIRQL irql;

    KeAcquireSpinLock(&context->lock, &irql);
    taken = context->slots[slot].object == object;
    if (taken)
        context->slots[slot].object = NULL;
    KeReleaseSpinLock(&context->lock, irql);
    return taken;
}

/* TRUE: `after` is in the slot, and its reference to `before` the caller's. */
BOOLEAN ksc_slot_replace(ksc_context *context, uint32_t slot, const ksc_object *before, ksc_object *after)
{
    BOOLEAN replaced;
    KIRQL irql;

    KeAcquireSpinLock(&context->lock, &irql);
    replaced = !context->released && context->slots[slot].object == before;
    if (replaced)
        context->slots[slot].object = after;
    KeReleaseSpinLock(&context->lock, irql);
    return replaced;
}

void ksc_slots_close(ksc_context *context)
{
    uint32_t slot;

    for (slot = 0; slot < KSHS_MAX_SLOTS; slot++) {
        ksc_object *object = ksc_slot_take(context, slot);

        if (object)
            ksc_object_release(object);
    }
}

/* ---- teardown ------------------------------------------------------------------------ */

static ksc_request *next_unswept(ksc_context *context)
{
    ksc_request *found = NULL;
    PLIST_ENTRY entry;
    KIRQL irql;

    KeAcquireSpinLock(&context->lock, &irql);
    for (entry = context->requests.Flink; entry != &context->requests && !found; entry = entry->Flink) {
        ksc_request *request = CONTAINING_RECORD(entry, ksc_request, link);

        if (!request->swept) {
            request->swept = TRUE;
            ksc_request_reference(request);
            found = request;
        }
    }
    KeReleaseSpinLock(&context->lock, irql);
    return found;
}

static BOOLEAN wait_for_requests(ksc_context *context, uint32_t patience_ms)
{
    uint64_t end = kshs_now_ns() + (uint64_t)patience_ms * 1000000u;

    for (;;) {
        uint64_t now = kshs_now_ns();
        LARGE_INTEGER interval;
        BOOLEAN empty;
        KIRQL irql;

        KeAcquireSpinLock(&context->lock, &irql);
        empty = IsListEmpty(&context->requests);
        KeClearEvent(&context->changed);
        KeReleaseSpinLock(&context->lock, irql);
        if (empty || now >= end)
            return empty;
        interval.QuadPart = -(LONGLONG)((end - now + 99) / 100);
        KeWaitForSingleObject(&context->changed, Executive, KernelMode, FALSE, &interval);
    }
}

/* Somebody may still wait for a request that will not come back: a thread of
 * another process that shares the handle, for instance. */
static void abandon(ksc_context *context)
{
    ULONG left = 0;
    PLIST_ENTRY entry;
    KIRQL irql;

    for (;;) {
        ksc_call *call = NULL;
        kshs_record record;

        left = 0;
        KeAcquireSpinLock(&context->lock, &irql);
        for (entry = context->requests.Flink; entry != &context->requests; entry = entry->Flink) {
            ksc_request *request = CONTAINING_RECORD(entry, ksc_request, link);

            left++;
            if (request->call && !call) {
                call = request->call;
                ksc_call_reference(call);
            }
        }
        KeReleaseSpinLock(&context->lock, irql);
        if (!call)
            break;
        ksc_record_init(&record, call->step.op);
        ksc_request_part(call, &record);
        record.outcome = KSHS_OUTCOME_LOST;
        record.detail = KSHS_STATUS_U32(STATUS_CANCELLED);
        ksc_call_answer(call, &record, NULL);
        ksc_call_release(call);
    }
    if (left)
        KSC_LOG("left to their drivers, for they did not come back: requests: %u\n", (unsigned)left);
}

static void drop_tokens(ksc_context *context)
{
    uint32_t token;

    for (token = 0; token < KSHS_MAX_TOKENS; token++) {
        ksc_request *request;
        KIRQL irql;

        KeAcquireSpinLock(&context->lock, &irql);
        request = context->tokens[token];
        context->tokens[token] = NULL;
        KeReleaseSpinLock(&context->lock, irql);
        if (request)
            ksc_request_release(request);
    }
}

static void teardown(ksc_job *job)
{
    ksc_context *context = CONTAINING_RECORD(job, ksc_context, teardown);
    ksc_request *request;

    while ((request = next_unswept(context)) != NULL) {
        ksc_request_cancel(request);
        ksc_request_release(request);
    }
    wait_for_requests(context, PATIENCE_BEFORE_CLOSE_MS);
    ksc_slots_close(context);
    if (!wait_for_requests(context, PATIENCE_AFTER_CLOSE_MS))
        abandon(context);
    drop_tokens(context);
    ksc_left_forget(context);
    ksc_made_forget(context);               /* not given back: whose it was may be gone */
    ksc_context_release(context);
}

void ksc_context_shut(ksc_context *context)
{
    KIRQL irql;
    LONG before;

    KeAcquireSpinLock(&context->lock, &irql);       /* so that nobody is between check and entry */
    before = context->released;
    context->released = 1;
    KeReleaseSpinLock(&context->lock, irql);
    if (before)
        return;
    ksc_block_shut(context);
    ksc_context_reference(context);
    if (!NT_SUCCESS(ksc_threads_run(&context->teardown)))
        teardown(&context->teardown);               /* no thread to be had: better late than never */
}
