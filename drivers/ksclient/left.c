/* SPDX-License-Identifier: Apache-2.0
 *
 * left.c - what a scenario leaves behind: RELEASE_ALL with COUNT.
 *
 * A file object without a handle and without a request of ours has no
 * reference but the client's own, or somebody keeps it: its IRP_MJ_CLOSE will
 * never come on NT, and its device is never free.  Pins keep their filter, and
 * sources their sink.  On Wine, which sends IRP_MJ_CLOSE with the last handle,
 * such a file object is kept until everything is closed, and looked at then; on
 * NT that would keep it from being closed, and so only those are looked at that
 * nobody else may keep.
 *
 * All else is counted twice: before the first open with empty slots, and behind
 * the last close.  Devices and the class driver's own counts are of the object
 * that was opened first, while nothing else is open.
 */
#include "ksclient.h"

#define SOON_TRIES 20               /* whoever is done is done at once: closes are on their way */
#define SOON_US 100
#define SETTLE_MS 2
#define SETTLE_TRIES 1000           /* of those whose references stay */

/* ---- one file object ------------------------------------------------------------------------ */

/* References that are not ours; FALSE: this kernel does not show it. */
static BOOLEAN others(PFILE_OBJECT file, uint64_t *count)
{
    if (!ksc_count_references(file, count))
        return FALSE;
    *count -= *count ? 1 : 0;
    return TRUE;
}

static void note(ksc_left *left, uint32_t slot, uint64_t references)
{
    left->told.looked++;
    if (!references)
        return;
    if (!left->told.kept++)
        left->told.first = slot;
    left->told.references += references;
}

/* Whether something that is open may keep it: a pin its filter, a source its sink, a caller its own handle. */
static BOOLEAN may_be_kept(ksc_context *context, const ksc_object *object)
{
    BOOLEAN found = object->shared;
    uint32_t slot;
    KIRQL irql;

    KeAcquireSpinLock(&context->lock, &irql);
    for (slot = 0; slot < KSHS_MAX_SLOTS && !found; slot++) {
        const ksc_object *other = context->slots[slot].object;

        found = other && other != object && (other->keeps[0] == object->file || other->keeps[1] == object->file);
    }
    found = found || !IsListEmpty(&context->requests);
    KeReleaseSpinLock(&context->lock, irql);
    return found;
}

static void pause(int tries)
{
    LARGE_INTEGER interval;

    interval.QuadPart = -10 * (tries < SOON_TRIES ? SOON_US : SETTLE_MS * 1000);
    KeDelayExecutionThread(KernelMode, FALSE, &interval);
}

/* `tries`: how often was looked since all was closed that may keep it. */
static uint64_t wait_for(PFILE_OBJECT file, uint64_t references, int *tries)
{
    uint64_t count = references;

    for (; *tries < SETTLE_TRIES && count; (*tries)++) {
        pause(*tries);
        if (!others(file, &count))
            return 0;
    }
    return count;
}

/* Its handle will not be used any more. */
void ksc_left_gone(const ksc_object *object)
{
    if (object->context->left.first == object)
        object->context->left.first = NULL;
}

/* The handle is closed; takes over the object's reference to its file object. */
void ksc_left_closed(ksc_object *object)
{
    ksc_context *context = object->context;
    ksc_left *left = &context->left;
    uint64_t references = 0;
    int tries = 0;

    ksc_left_gone(object);
    if (!others(object->file, &references)) {
        left->told.unseen++;
    } else if (!references) {
        note(left, object->slot, 0);
    } else if (kshs_is_wine() && left->count < KSHS_MAX_SLOTS) {
        left->files[left->count].slot = object->slot;
        left->files[left->count++].file = object->file;
        return;
    } else if (kshs_is_wine() || may_be_kept(context, object)) {
        left->told.unseen++;
    } else {
        note(left, object->slot, wait_for(object->file, references, &tries));
    }
    ObDereferenceObject(object->file);
}

/* Those that were kept, when nothing is open that could keep them; last in, first out.  All of them have the same
 * time: a driver that keeps each of fifty file objects does not hold the last step for fifty times as long. */
static void settle(ksc_left *left)
{
    int tries = 0;

    while (left->count) {
        PFILE_OBJECT file = left->files[--left->count].file;
        uint64_t references = 0;

        if (others(file, &references))
            note(left, left->files[left->count].slot, wait_for(file, references, &tries));
        else
            left->told.unseen++;
        ObDereferenceObject(file);
    }
}

/* Everything is closed, and nobody wants to know. */
void ksc_left_forget(ksc_context *context)
{
    ksc_left *left = &context->left;

    while (left->count)
        ObDereferenceObject(left->files[--left->count].file);
    left->begun = left->asked = left->known = FALSE;
    left->first = NULL;
}

/* ---- everything else ------------------------------------------------------------------------ */

static void count_all(kshs_held_now *now)
{
    if (kshs_is_wine() && ksc_heap_count(&now->pool_blocks, &now->pool_bytes))
        now->counted |= KSHS_COUNTED_POOL;
    if (ksc_count_handles_fast(&now->handles))
        now->counted |= KSHS_COUNTED_HANDLES;
}

static void count_devices(ksc_context *context, PFILE_OBJECT file, kshs_held_now *now)
{
    now->counted &= ~(uint32_t)(KSHS_COUNTED_DEVICE | KSHS_COUNTED_CLASS);
    if (ksc_count_references(kshs_related_device(file), &now->device_references) &&
        ksc_count_references(file->DeviceObject, &now->base_references))
        now->counted |= KSHS_COUNTED_DEVICE;
    if (ksc_count_held(context, file, KSHS_OP_RELEASE_ALL, &now->held))
        now->counted |= KSHS_COUNTED_CLASS;
}

static BOOLEAN grown(const kshs_held_now *before, const kshs_held_now *after)
{
    return (before->counted & after->counted & KSHS_COUNTED_CLASS &&
            (after->held.object_inside > before->held.object_inside ||
             after->held.object_references > before->held.object_references ||
             after->held.device_inside > before->held.device_inside ||
             after->held.device_references > before->held.device_references)) ||
           (before->counted & after->counted & KSHS_COUNTED_DEVICE &&
            (after->device_references > before->device_references ||
             after->base_references > before->base_references));
}

/* ---- the first open and the last close ------------------------------------------------------- */

/* Before anything is opened: nothing to be done where the last RELEASE_ALL has counted, and all is still closed. */
void ksc_left_begin(ksc_context *context)
{
    ksc_left *left = &context->left;

    if (left->begun)
        return;
    left->begun = TRUE;
    left->first = NULL;
    RtlZeroMemory(&left->told, sizeof left->told);
    left->told.first = KSHS_NO_SLOT;
    if (left->known) {
        left->told.before = left->last;
        left->told.before.counted &= ~(uint32_t)(KSHS_COUNTED_DEVICE | KSHS_COUNTED_CLASS);
    } else {
        ksc_attempts_fill();
        count_all(&left->told.before);
    }
}

void ksc_left_opened(ksc_context *context, const ksc_object *object)
{
    ksc_left *left = &context->left;

    if (left->asked)
        return;
    left->asked = TRUE;
    left->first = object;
    count_devices(context, object->file, &left->told.before);
}

/* Everything but what was opened first, the youngest first. */
static void close_others(ksc_context *context)
{
    uint32_t slot;

    for (slot = KSHS_MAX_SLOTS; slot--;) {
        ksc_object *object = ksc_slot_get(context, slot);
        BOOLEAN first = object && object == context->left.first && object->handle;

        if (object)
            ksc_object_release(object);
        object = object && !first ? ksc_slot_take(context, slot) : NULL;
        if (object)
            ksc_object_release(object);
    }
}

static void look_at_first(ksc_context *context)
{
    ksc_left *left = &context->left;
    ksc_object *first = left->first ? ksc_slot_get(context, left->first->slot) : NULL;
    int i;

    if (!first)
        return;
    if (first == left->first && first->handle) {
        count_devices(context, first->file, &left->told.after);
        for (i = 0; i < SETTLE_TRIES && grown(&left->told.before, &left->told.after); i++) {
            pause(i);
            count_devices(context, first->file, &left->told.after);
        }
    }
    ksc_object_release(first);
}

void ksc_left_count(ksc_context *context, kshs_left *told)
{
    ksc_left *left = &context->left;

    ksc_left_begin(context);                /* nothing was opened: nothing is left */
    close_others(context);
    settle(left);
    look_at_first(context);
    ksc_slots_close(context);
    settle(left);
    count_all(&left->told.after);
    left->last = left->told.after;
    left->known = TRUE;
    left->begun = left->asked = FALSE;
    left->first = NULL;
    *told = left->told;
}
