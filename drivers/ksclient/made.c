/* SPDX-License-Identifier: Apache-2.0
 *
 * made.c - blocks and interfaces for the arguments of handshakes, and who holds
 * which reference to an interface of the client's.
 */
#include "made.h"
#include <ks.h>

#define MOST_CALLS 1000             /* of one REFERENCE step */

/* So many that were forgotten are kept for drivers that come back to them. */
#define KEEP_FORGOTTEN 512

static struct {
    KSPIN_LOCK lock;                /* a leaf: a driver may call from anywhere up to DISPATCH_LEVEL */
    LIST_ENTRY all;                 /* the oldest first */
    uint32_t forgotten;
    uint32_t strangers;             /* calls with a Context that is none of ours */
} made;

void ksc_made_init(void)
{
    KeInitializeSpinLock(&made.lock);
    InitializeListHead(&made.all);
}

static void free_made(ksc_made *old)
{
    ksc_buffer_free(&old->memory);
    ExFreePoolWithTag(old, KSC_TAG);
}

/* Called by the unload routine: no driver has anything of ours. */
void ksc_made_stop(void)
{
    while (!IsListEmpty(&made.all))
        free_made(CONTAINING_RECORD(RemoveHeadList(&made.all), ksc_made, link));
}

/* ---- what drivers call -------------------------------------------------------------- */

/* Under the lock.  The pointer is compared and not followed: it may be anything. */
static ksc_made *find(const void *context)
{
    PLIST_ENTRY entry;

    for (entry = made.all.Blink; entry != &made.all; entry = entry->Blink) {
        ksc_made *found = CONTAINING_RECORD(entry, ksc_made, link);

        if (found == context)
            return found->kind == KSHS_MADE_INTERFACE ? found : NULL;
    }
    return NULL;
}

enum event { REFERENCE, DEREFERENCE, CALL };

/* What a function with this number returns. */
static uint64_t note(const void *context, enum event event, unsigned function)
{
    uint64_t returns = 0;
    ksc_made *found;
    KIRQL irql;

    KeAcquireSpinLock(&made.lock, &irql);
    found = find(context);
    if (!found) {
        made.strangers++;
    } else if (event == DEREFERENCE) {
        found->counts.dereferences++;
        if (found->counts.held)
            found->counts.held--;
        else
            found->counts.excess++;
    } else {
        if (!found->counts.held && !found->in_flight)
            found->counts.stale++;
        if (event == REFERENCE) {
            found->counts.references++;
            found->counts.held++;
        } else {
            found->counts.calls++;
            returns = found->make.returns[function];
        }
    }
    KeReleaseSpinLock(&made.lock, irql);
    return returns;
}

static VOID NTAPI reference(PVOID context)
{
    note(context, REFERENCE, 0);
}

static VOID NTAPI dereference(PVOID context)
{
    note(context, DEREFERENCE, 0);
}

#define FUNCTION(number)                                              \
    static ULONG_PTR NTAPI function_##number(PVOID context)           \
    {                                                                 \
        return (ULONG_PTR)note(context, CALL, number);                \
    }

FUNCTION(0)
FUNCTION(1)
FUNCTION(2)
FUNCTION(3)
FUNCTION(4)
FUNCTION(5)
FUNCTION(6)
FUNCTION(7)

static ULONG_PTR (NTAPI *const functions[KSHS_MAX_FUNCTIONS])(PVOID) = {
    function_0, function_1, function_2, function_3, function_4, function_5, function_6, function_7,
};

/* ---- making --------------------------------------------------------------------------- */

static NTSTATUS make_interface(ksc_made *fresh, uint32_t memory)
{
    ksc_interface given;
    uint32_t i;

    /* On x86 the callee takes the parameters from the stack, and nobody has said how many there are. */
    if (sizeof(PVOID) == 4 && fresh->make.functions)
        return STATUS_NOT_SUPPORTED;
    RtlZeroMemory(&given, sizeof given);
    given.Size = (USHORT)KSC_INTERFACE_SIZE(fresh->make.functions);
    given.Version = (USHORT)fresh->make.version;
    given.Context = fresh;
    given.InterfaceReference = reference;
    given.InterfaceDereference = dereference;
    for (i = 0; i < fresh->make.functions; i++)
        given.Functions[i] = functions[i];
    return ksc_buffer_create(&fresh->memory, memory, given.Size, &given, given.Size, given.Size);
}

static NTSTATUS make(const kshs_step *step, const uint8_t *data, ksc_made **result)
{
    ksc_made *fresh = kshs_zalloc(sizeof *fresh, KSC_TAG);
    NTSTATUS status = STATUS_SUCCESS;

    if (!fresh)
        return STATUS_INSUFFICIENT_RESOURCES;
    fresh->references = 1;
    fresh->kind = step->value;
    if (fresh->kind != KSHS_MADE_BLOCK)
        RtlCopyMemory(&fresh->make, data, sizeof fresh->make);
    if (fresh->kind == KSHS_MADE_BLOCK)
        status = ksc_buffer_create(&fresh->memory, step->in_kind, step->data_length, data, step->data_length,
                                   step->data_length);
    else if (fresh->kind == KSHS_MADE_INTERFACE)
        status = make_interface(fresh, step->in_kind);
    if (!NT_SUCCESS(status)) {
        ExFreePoolWithTag(fresh, KSC_TAG);
        return status;
    }
    *result = fresh;
    return STATUS_SUCCESS;
}

static BOOLEAN is_memory(uint32_t kind)
{
    return kind == KSHS_BUFFER_NORMAL || kind == KSHS_BUFFER_READONLY || kind == KSHS_BUFFER_PAGE_END ||
           kind == KSHS_BUFFER_PAGED;
}

NTSTATUS ksc_made_check(const kshs_step *step, const uint8_t *data)
{
    kshs_make said;

    if (step->slot >= KSHS_MAX_MADE)
        return STATUS_INVALID_PARAMETER;
    if (step->op != KSHS_OP_MAKE) {
        if (step->data_length)
            return STATUS_INVALID_PARAMETER;
        if (step->op == KSHS_OP_REFERENCE && (step->value > 1 || !step->value2 || step->value2 > MOST_CALLS))
            return STATUS_INVALID_PARAMETER;
        /* What does not come back in time is an answer; a step that does not is hung. */
        return step->op == KSHS_OP_INSPECT && step->timeout_ms && step->repeat >= step->timeout_ms
                   ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
    }
    if (step->value == KSHS_MADE_NOTHING || step->value > KSHS_MADE_TAKEN_INTERFACE || !is_memory(step->in_kind))
        return STATUS_INVALID_PARAMETER;
    if (step->value == KSHS_MADE_BLOCK)
        return step->data_length && step->data_length <= KSHS_BUFFER_SIZE ? STATUS_SUCCESS
                                                                          : STATUS_INVALID_BUFFER_SIZE;
    if (step->data_length != sizeof said)
        return STATUS_INVALID_BUFFER_SIZE;
    RtlCopyMemory(&said, data, sizeof said);
    return said.functions <= KSHS_MAX_FUNCTIONS && said.version <= MAXUSHORT &&
                   said.length <= KSHS_KEEP_BYTES - sizeof(kshs_made) &&
                   !(said.flags & ~(KSHS_MAKE_GIVEN | KSHS_MAKE_ELSEWHERE))
               ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

/* ---- the context's table ---------------------------------------------------------------- */

static BOOLEAN enter(ksc_context *context, uint32_t number, ksc_made *fresh)
{
    BOOLEAN entered;
    KIRQL irql;

    KeAcquireSpinLock(&context->lock, &irql);
    entered = !context->released && !context->made[number];
    if (entered)
        context->made[number] = fresh;
    KeReleaseSpinLock(&context->lock, irql);
    return entered;
}

static void list(ksc_made *fresh)
{
    KIRQL irql;

    KeAcquireSpinLock(&made.lock, &irql);
    fresh->strangers_before = made.strangers;
    InsertTailList(&made.all, &fresh->link);
    KeReleaseSpinLock(&made.lock, irql);
}

ksc_made *ksc_made_get(ksc_context *context, uint32_t number)
{
    ksc_made *found;
    KIRQL irql;

    KeAcquireSpinLock(&context->lock, &irql);
    found = number < KSHS_MAX_MADE ? context->made[number] : NULL;
    if (found) {
        KIRQL inner;

        KeAcquireSpinLock(&made.lock, &inner);
        found->references++;
        KeReleaseSpinLock(&made.lock, inner);
    }
    KeReleaseSpinLock(&context->lock, irql);
    return found;
}

void ksc_made_put(ksc_made *old)
{
    KIRQL irql;

    KeAcquireSpinLock(&made.lock, &irql);
    old->references--;
    KeReleaseSpinLock(&made.lock, irql);
}

/* Under the lock: one that nobody can have any business with any more, or NULL. */
static ksc_made *take_oldest(void)
{
    PLIST_ENTRY entry;

    if (made.forgotten <= KEEP_FORGOTTEN)
        return NULL;
    for (entry = made.all.Flink; entry != &made.all; entry = entry->Flink) {
        ksc_made *old = CONTAINING_RECORD(entry, ksc_made, link);

        if (old->forgotten && !old->references && !old->counts.held && !old->in_flight) {
            RemoveEntryList(&old->link);
            made.forgotten--;
            return old;
        }
    }
    return NULL;
}

static void forget(ksc_made *old)
{
    BOOLEAN held;
    ksc_made *oldest;
    KIRQL irql;

    KeAcquireSpinLock(&made.lock, &irql);
    old->forgotten = TRUE;
    old->references--;
    made.forgotten++;
    held = old->kind == KSHS_MADE_INTERFACE && old->counts.held;
    oldest = take_oldest();
    KeReleaseSpinLock(&made.lock, irql);
    if (held) {
        KSC_LOG("an interface is left to its driver, which has not given it back\n");
        ksc_image_pin();
    }
    if (oldest)
        free_made(oldest);
}

/* What was taken is given back while the pin that it came from is still open; all else is forgotten. */
void ksc_made_give_back(ksc_context *context)
{
    uint32_t number;

    for (number = 0; number < KSHS_MAX_MADE; number++) {
        ksc_made *item = ksc_made_get(context, number);

        if (!item)
            continue;
        ksc_taken_give_back(item);
        ksc_made_put(item);
    }
}

void ksc_made_forget(ksc_context *context)
{
    uint32_t number;

    for (number = 0; number < KSHS_MAX_MADE; number++) {
        ksc_made *item;
        KIRQL irql;

        KeAcquireSpinLock(&context->lock, &irql);
        item = context->made[number];
        context->made[number] = NULL;
        KeReleaseSpinLock(&context->lock, irql);
        if (item)
            forget(item);
    }
}

/* ---- requests that carry them -------------------------------------------------------------- */

/* Puts the addresses into the request's KSHANDSHAKE, and the things that are meant into its parameters. */
NTSTATUS ksc_made_arguments(ksc_context *context, const kshs_step *step, uint8_t *data, ksc_parameters *p)
{
    const uint32_t carried[2] = { step->slot2, step->slot3 }, taken[2] = { step->value, step->value2 };
    unsigned i;

    for (i = 0; i < 2; i++) {
        if ((step->flags & KSHS_STEP_ARGUMENTS) && carried[i] != KSHS_NO_SLOT) {
            ksc_made *item = ksc_made_get(context, carried[i]);

            if (!item)
                return STATUS_NOT_FOUND;
            p->arguments[i] = item;
            if (item->kind != KSHS_MADE_BLOCK && item->kind != KSHS_MADE_INTERFACE)
                return STATUS_INVALID_PARAMETER;
            RtlCopyMemory(data + (i ? offsetof(KSHANDSHAKE, Argument2) : offsetof(KSHANDSHAKE, Argument1)),
                          &item->memory.pointer, sizeof item->memory.pointer);
        }
        if ((step->flags & KSHS_STEP_TAKE) && taken[i] != KSHS_NO_SLOT) {
            ksc_made *item = ksc_made_get(context, taken[i]);

            if (!item)
                return STATUS_NOT_FOUND;
            p->takes[i] = item;
            if (item->kind != KSHS_MADE_TAKEN_POINTER && item->kind != KSHS_MADE_TAKEN_INTERFACE)
                return STATUS_INVALID_PARAMETER;
        }
    }
    return STATUS_SUCCESS;
}

void ksc_made_release(ksc_parameters *p)
{
    unsigned i;

    for (i = 0; i < 2; i++) {
        if (p->arguments[i])
            ksc_made_put(p->arguments[i]);
        if (p->takes[i])
            ksc_made_put(p->takes[i]);
        p->arguments[i] = p->takes[i] = NULL;
    }
}

/* Before a request leaves: a reference that is given is the driver's from now on. */
void ksc_made_carry(const ksc_parameters *p)
{
    unsigned i;

    for (i = 0; i < 2; i++) {
        ksc_made *item = p->arguments[i];
        KIRQL irql;

        if (!item)
            continue;
        KeAcquireSpinLock(&made.lock, &irql);
        item->in_flight++;
        item->counts.sent++;
        if (item->make.flags & KSHS_MAKE_GIVEN)
            item->counts.held++;
        KeReleaseSpinLock(&made.lock, irql);
    }
}

/* It is back.  What was given with a request that was not accepted is the client's again. */
void ksc_made_back(ksc_request *request, BOOLEAN accepted)
{
    const ksc_parameters *p = &request->p;
    KSHANDSHAKE answer;
    unsigned i;

    for (i = 0; i < 2; i++) {
        ksc_made *item = p->arguments[i];
        KIRQL irql;

        if (!item)
            continue;
        KeAcquireSpinLock(&made.lock, &irql);
        item->in_flight--;
        if (accepted) {
            item->counts.accepted++;
        } else if (item->make.flags & KSHS_MAKE_GIVEN) {
            if (item->counts.held)
                item->counts.held--;
            else
                item->counts.excess++;
        }
        KeReleaseSpinLock(&made.lock, irql);
    }
    if (!accepted || !request->result->readable || request->result->length < sizeof answer ||
        p->out_length < sizeof answer)
        return;
    RtlCopyMemory(&answer, request->result->pointer, sizeof answer);
    for (i = 0; i < 2; i++)
        if (p->takes[i])
            ksc_taken_put(p->takes[i], i ? answer.Argument2 : answer.Argument1, request->file);
}

/* ---- the steps ------------------------------------------------------------------------------- */

static BOOLEAN is_intact(const ksc_made *item)
{
    const ksc_buffer *memory = &item->memory;

    return RtlCompareMemory(memory->pointer, memory->original, memory->length) == memory->length &&
           ksc_buffer_guard_low(memory) && ksc_buffer_guard_high(memory);
}

/* The bytes behind kshs_made, their number returned. */
static uint32_t look(ksc_made *item, kshs_made *report, uint8_t *bytes, uint32_t room)
{
    KIRQL irql;

    KeAcquireSpinLock(&made.lock, &irql);
    *report = item->counts;
    report->strangers = made.strangers - item->strangers_before;
    KeReleaseSpinLock(&made.lock, irql);
    report->kind = item->kind;
    report->outside = KSC_NONE;
    if (item->kind != KSHS_MADE_BLOCK && item->kind != KSHS_MADE_INTERFACE) {
        ksc_taken_look(item, report, bytes, room);
        return item->kind == KSHS_MADE_TAKEN_POINTER && (report->flags & KSHS_LOOK_READABLE) ? item->make.length : 0;
    }
    report->address = (uint64_t)(ULONG_PTR)item->memory.pointer;
    if (item->vanished) {
        report->flags |= KSHS_LOOK_GONE;
        return 0;
    }
    report->flags |= KSHS_LOOK_PRESENT | KSHS_LOOK_READABLE;
    if (is_intact(item))
        report->flags |= KSHS_LOOK_INTACT;
    if (item->kind == KSHS_MADE_INTERFACE) {
        report->size = (uint32_t)KSC_INTERFACE_SIZE(item->make.functions);
        report->version = item->make.version;
        report->context = (uint64_t)(ULONG_PTR)item;
    }
    if (room > item->memory.length)
        room = item->memory.length;
    RtlCopyMemory(bytes, item->memory.pointer, room);
    return room;
}

static void inspect(ksc_call *call, ksc_made *item)
{
    uint8_t answer[KSHS_KEEP_BYTES];
    uint64_t end = kshs_now_ns() + (uint64_t)call->step.repeat * 1000000u;
    kshs_made report;
    uint32_t bytes;

    for (;;) {
        BOOLEAN late = kshs_now_ns() >= end;

        bytes = look(item, &report, answer + sizeof report, (uint32_t)(sizeof answer - sizeof report));
        if (late || !report.held || call->answered)
            break;
        kshs_sleep_ms(1);
    }
    RtlCopyMemory(answer, &report, sizeof report);
    call->record.data_length = (uint32_t)sizeof report + bytes;
    call->record.duration_ns = kshs_now_ns() - call->record.begin_ns;
    ksc_call_answer(call, &call->record, answer);
}

static NTSTATUS vanish(ksc_made *item)
{
    if (item->kind != KSHS_MADE_BLOCK || item->memory.kind != KSHS_BUFFER_PAGE_END || item->vanished)
        return STATUS_INVALID_PARAMETER;
    item->vanished = TRUE;
    ksc_pages_vanish(&item->memory.pages);
    return STATUS_SUCCESS;
}

static void make_step(ksc_call *call)
{
    ksc_made *fresh = NULL;
    NTSTATUS status = make(&call->step, call->data, &fresh);

    if (status == STATUS_NOT_SUPPORTED) {
        ksc_call_unsupported(call, status);
        return;
    }
    if (NT_SUCCESS(status)) {
        list(fresh);
        if (!enter(call->context, call->step.slot, fresh)) {
            forget(fresh);
            status = STATUS_OBJECT_NAME_COLLISION;
        }
    }
    if (!NT_SUCCESS(status)) {
        ksc_call_refuse(call, status);
        return;
    }
    call->record.returned = KSHS_STATUS_U32(STATUS_SUCCESS);
    call->record.information = (uint64_t)(ULONG_PTR)fresh->memory.pointer;
    call->record.flags |= KSHS_REC_INFO_WRITTEN;
    ksc_call_answer(call, &call->record, NULL);
}

void ksc_made_step(ksc_call *call)
{
    ksc_made *item;
    NTSTATUS status = STATUS_SUCCESS;
    uint32_t i;

    call->record.begin_ns = kshs_now_ns();
    call->record.thread = (uint64_t)(ULONG_PTR)PsGetCurrentThreadId();
    if (call->step.op == KSHS_OP_MAKE) {
        make_step(call);
        return;
    }
    item = ksc_made_get(call->context, call->step.slot);
    if (!item) {
        ksc_call_refuse(call, STATUS_NOT_FOUND);
        return;
    }
    call->record.returned = KSHS_STATUS_U32(STATUS_SUCCESS);
    if (call->step.op == KSHS_OP_INSPECT) {
        inspect(call, item);
    } else if (call->step.op == KSHS_OP_VANISH) {
        status = vanish(item);
    } else if (item->kind != KSHS_MADE_TAKEN_INTERFACE) {
        status = STATUS_INVALID_PARAMETER;
    } else {
        NTSTATUS called = STATUS_SUCCESS;

        for (i = 0; i < call->step.value2 && NT_SUCCESS(called); i++)
            called = ksc_taken_call(item, call->step.value == 1);
        call->record.returned = KSHS_STATUS_U32(called);
        call->record.repeats = i;
    }
    if (!NT_SUCCESS(status)) {
        ksc_call_refuse(call, status);
    } else if (call->step.op != KSHS_OP_INSPECT) {
        call->record.duration_ns = kshs_now_ns() - call->record.begin_ns;
        ksc_call_answer(call, &call->record, NULL);
    }
    ksc_made_put(item);
}
