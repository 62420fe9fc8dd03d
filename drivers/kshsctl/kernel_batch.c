/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel_batch.c - steps of the kernel side that go to ksclient.sys together.
 *
 * The steps stay in the queue until their turn comes: each is begun and answered
 * as ever, only that its answer is waited for in the block, where the client says
 * what has begun and ended.  So whatever ends a batch early - a step that hangs, a
 * client that dies - leaves the steps behind it where they were.
 *
 * What the block says is not trusted: a driver beside the client can write to it.
 */
#include "kernel.h"

#define CONTROL_WAIT_MS 10000       /* for a control that no driver under test has a part in */

typedef struct batch_step {
    const kshs_step *asked;         /* as it came, in the queue: for the building alone */
    const void *data;
    kshs_step step;                 /* as it is sent */
    uint32_t seq;
    uint32_t op;                    /* as it was asked */
    kshs_batch_entry entry;
    wchar_t *path;                  /* OPEN_FILTER: its data, or NULL */
} batch_step;

struct batch {
    const step_context *taker;      /* the executor's: another one has been given up together with this */
    IO_STATUS_BLOCK status;
    HANDLE event;
    bool returned;                  /* the control has come back, with `result` */
    NTSTATUS result;
    uint32_t count;
    uint32_t next;                  /* whose turn it is */
    kshs_record record;             /* of the control; in use as long as it is under way, as is `question` */
    batch_step steps[KSHS_BATCH_STEPS];
    uint8_t question[KSHS_BATCH_BYTES];
};

static batch *spare;                /* whose control has come back */
static bool refused;                /* the client did not take one: never again */

/* ---- the block ---------------------------------------------------------------------------- */

static NTSTATUS announce_block(HANDLE client, const wchar_t *name)
{
    struct pending {
        IO_STATUS_BLOCK status;
        wchar_t name[64];
    } *pending = calloc(1, sizeof(*pending));
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    NTSTATUS status = STATUS_NO_MEMORY;

    if (pending && event) {
        wcscpy(pending->name, name);
        status = NtDeviceIoControlFile(client, event, NULL, NULL, &pending->status, IOCTL_KSHS_BLOCK,
                                       pending->name, (ULONG)(wcslen(name) * sizeof(wchar_t)), NULL, 0);
        if (status == STATUS_PENDING) {
            if (WaitForSingleObject(event, CONTROL_WAIT_MS) != WAIT_OBJECT_0)
                return STATUS_IO_TIMEOUT;           /* the buffers are the driver's */
            status = pending->status.Status;
        }
    }
    if (event)
        CloseHandle(event);
    free(pending);
    return status;
}

uint8_t *batch_connect(HANDLE client)
{
    wchar_t name[64], native[64];
    NTSTATUS status = STATUS_NO_MEMORY;
    LARGE_INTEGER counter;
    uint8_t *block = NULL;
    HANDLE section;

    if (!nt_is_wine() || refused)
        return NULL;                /* ksclient/block.c says why not elsewhere */
    QueryPerformanceCounter(&counter);
    format_text(name, ARRAY_COUNT(name), L"KsHs-%lx-%llx", GetCurrentProcessId(), (unsigned long long)counter.QuadPart);
    format_text(native, ARRAY_COUNT(native), L"Global\\%ls", name);
    section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, KSHS_BLOCK_BYTES, native);
    if (section && GetLastError() != ERROR_ALREADY_EXISTS)
        block = MapViewOfFile(section, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, KSHS_BLOCK_BYTES);
    if (block) {
        format_text(native, ARRAY_COUNT(native), L"\\BaseNamedObjects\\%ls", name);
        status = announce_block(client, native);
    }
    if (section)
        CloseHandle(section);
    if (block && NT_SUCCESS(status))
        return block;
    output_log(L"no memory is shared with the client (NTSTATUS 0x%08lx): every step goes to it alone",
               (unsigned long)status);
    if (block && status != STATUS_IO_TIMEOUT)
        UnmapViewOfFile(block);
    return NULL;
}

static uint32_t ended_of(const batch *b)
{
    uint32_t ended = *(volatile uint32_t *)(kernel.block + offsetof(kshs_marks, ended));

    MemoryBarrier();                /* the records that it tells of are read behind it */
    return ended > b->count ? b->count : ended;
}

/* ---- what goes together -------------------------------------------------------------------- */

/* Steps that only the client carries out, and that may have neighbours: COUNTERS counts what a batch would add. */
static bool may_travel(uint32_t op)
{
    switch (op) {
    case KSHS_OP_OPEN_FILTER:
    case KSHS_OP_OPEN_DEVICE:
    case KSHS_OP_OPEN_PIN:
    case KSHS_OP_CLOSE:
    case KSHS_OP_REQUEST:
    case KSHS_OP_WAIT:
    case KSHS_OP_CANCEL:
    case KSHS_OP_PROPERTY:
    case KSHS_OP_RELEASE_ALL:
    case KSHS_OP_WAIT_INSIDE:
    case KSHS_OP_MAKE:
    case KSHS_OP_INSPECT:
    case KSHS_OP_REFERENCE:
    case KSHS_OP_VANISH:
        return true;
    default:
        return false;
    }
}

static uint32_t rounded(uint32_t bytes)
{
    return (bytes + 7) & ~7u;
}

/* Room for one more step; false: it has to go later. */
static bool add(batch *b, uint32_t seq, const kshs_step *asked, const void *data, uint32_t *step_bytes,
                uint32_t *answer_bytes)
{
    batch_step *s = &b->steps[b->count];
    uint32_t heads = (uint32_t)(sizeof(kshs_batch) + KSHS_BATCH_STEPS * sizeof(kshs_batch_entry));
    wchar_t path[512];
    DWORD error;

    memset(s, 0, sizeof(*s));
    s->seq = seq;
    s->op = asked->op;
    s->step = *asked;
    s->data = data;
    if (asked->op == KSHS_OP_OPEN_FILTER) {
        if (asked->data_length || !kernel_open_filter(asked, &s->step, path, ARRAY_COUNT(path), &error))
            return false;           /* said in its turn */
        s->entry.flags = KSHS_BATCH_MUST_EXIST;
    }
    s->entry.step_bytes = (uint32_t)sizeof(kshs_step) + s->step.data_length;
    s->entry.answer_bytes = rounded(kernel_answer_size(asked));
    s->entry.step_offset = *step_bytes;
    s->entry.answer_offset = *answer_bytes;
    if (heads + *step_bytes + rounded(s->entry.step_bytes) > KSHS_BATCH_BYTES ||
        *answer_bytes + s->entry.answer_bytes > KSHS_BLOCK_BYTES)
        return false;
    if (asked->op == KSHS_OP_OPEN_FILTER) {
        s->path = _wcsdup(path);
        if (!s->path)
            return false;
        s->data = s->path;
    }
    *step_bytes += rounded(s->entry.step_bytes);
    *answer_bytes += s->entry.answer_bytes;
    b->count++;
    return true;
}

/* This step and those behind it in the queue, as many as go together. */
static void gather(batch *b, const step_context *context)
{
    uint32_t step_bytes = 0, answer_bytes = sizeof(kshs_marks);
    const queued_frame *frame;

    b->taker = context;
    b->count = b->next = 0;
    b->returned = false;
    if (!may_travel(context->step->op) ||
        !add(b, context->seq, context->step, context->data, &step_bytes, &answer_bytes))
        return;
    while (b->count < KSHS_BATCH_STEPS && (frame = queue_peek(b->count - 1)) != NULL) {
        const kshs_step *step = (const kshs_step *)frame->payload;

        if (!step_is_whole(frame) || step->side != KSHS_SIDE_KERNEL || !may_travel(step->op) ||
            !add(b, frame->header.seq, step, step + 1, &step_bytes, &answer_bytes))
            return;
    }
}

static uint32_t write_question(batch *b)
{
    uint32_t from = (uint32_t)(sizeof(kshs_batch) + b->count * sizeof(kshs_batch_entry)), i;
    kshs_batch *head = (kshs_batch *)b->question;
    kshs_batch_entry *entry = (kshs_batch_entry *)(head + 1);

    head->count = b->count;
    head->size = from;
    for (i = 0; i < b->count; i++) {
        const batch_step *s = &b->steps[i];
        uint8_t *place = b->question + from + s->entry.step_offset;

        entry[i] = s->entry;
        entry[i].step_offset += from;
        memcpy(place, &s->step, sizeof(s->step));
        if (s->step.data_length)
            memcpy(place + sizeof(s->step), s->data, s->step.data_length);
        head->size = entry[i].step_offset + rounded(s->entry.step_bytes);
    }
    return head->size;
}

static void forget_paths(batch *b)
{
    uint32_t i;

    for (i = 0; i < b->count; i++) {
        free(b->steps[i].path);
        b->steps[i].path = NULL;
    }
}

/* ---- a batch under way --------------------------------------------------------------------- */

static batch *batch_get(void)
{
    batch *b = spare;

    spare = NULL;
    if (b)
        return b;
    b = calloc(1, sizeof(*b));
    if (b)
        b->event = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (b && !b->event) {
        free(b);
        b = NULL;
    }
    return b;
}

static void batch_put(batch *b)
{
    if (!spare) {
        spare = b;
        return;
    }
    CloseHandle(b->event);
    free(b);
}

void batch_drop(void)
{
    kernel.batch = NULL;
    kernel.block = NULL;            /* the client may still write to it */
}

/* The control has come back: its buffers are free again. */
static void finish(batch *b)
{
    kernel.batch = NULL;
    kernel.busy = false;
    batch_put(b);
}

bool batch_send(step_context *context)
{
    batch *b;
    NTSTATUS status;
    uint32_t size;

    if (!kernel.block || refused)
        return false;
    b = batch_get();
    if (!b)
        return false;
    gather(b, context);
    if (b->count < 2) {
        forget_paths(b);
        batch_put(b);
        return false;
    }
    size = write_question(b);
    forget_paths(b);
    memset(kernel.block, 0, sizeof(kshs_marks));
    kernel.busy = true;
    status = NtDeviceIoControlFile(kernel.handle, b->event, NULL, NULL, &b->status, IOCTL_KSHS_BATCH, b->question, size,
                                   &b->record, sizeof(b->record));
    if (context->state == STEP_ABANDONED)
        return true;                /* the watchdog took over: its successor uses other buffers */
    if (status != STATUS_PENDING) {
        b->returned = true;
        b->result = status;
    }
    kernel.batch = b;
    return true;
}

static void take(step_context *context, batch *b)
{
    const batch_step *s = &b->steps[b->next++];
    const uint8_t *answer = kernel.block + s->entry.answer_offset;
    kshs_record record;

    memcpy(&record, answer, sizeof(record));
    kernel_take(context, &record, answer + sizeof(record), sizeof(record) + (uint64_t)record.data_length,
                s->entry.answer_bytes - (uint32_t)sizeof(record));
}

/* The control is back without this step: false where the step goes on in another way. */
static bool without_answer(step_context *context, batch *b)
{
    NTSTATUS status = b->result;

    if (b->steps[b->next].entry.flags & KSHS_BATCH_MUST_EXIST)
        interface_forget();         /* the path may have been of yesterday */
    finish(b);
    if (NT_SUCCESS(status))
        return false;
    if (kernel_is_refusal(status)) {
        refused = true;
        output_log(L"the client refused a batch (NTSTATUS 0x%08lx): every step goes to it alone from now on",
                   (unsigned long)status);
        return false;
    }
    kernel_gone(context, status);
    return true;
}

static void look(batch *b, DWORD milliseconds)
{
    if (WaitForSingleObject(b->event, milliseconds) == WAIT_OBJECT_0) {
        b->returned = true;
        b->result = b->status.Status;
    } else {
        output_flush();             /* the BEGIN of this step, and all before it */
    }
}

bool batch_take(step_context *context)
{
    batch *b = kernel.batch;
    uint32_t number = b->next;
    bool last = number + 1 == b->count;
    uint64_t patience = kernel_patience_ms(context->step), began = 0;
    DWORD wait = KERNEL_LOOK_MS;

    for (;;) {
        bool has_ended;

        if (context->state == STEP_ABANDONED)
            return true;            /* its successor has given all of this up */
        if (b->taker != context || b->steps[number].seq != context->seq) {
            batch_drop();
            return false;
        }
        has_ended = ended_of(b) > number;
        if (has_ended && (b->returned || !last)) {
            if (!step_claim(context))
                return true;
            take(context, b);
            if (last)
                finish(b);
            return true;
        }
        if (b->returned)
            return without_answer(context, b);
        if (!began)
            began = now_ms();
        else if (patience != INFINITE && now_ms() - began > patience)
            break;
        look(b, wait);
        if (wait < KERNEL_MOST_LOOK_MS)
            wait *= 2;
    }
    /* The client itself hangs, and may still write to these buffers: they are given up, and so is the handle. */
    if (ended_of(b) > number)
        take(context, b);
    else
        kernel_lost(context, KSHS_OUTCOME_HUNG, STATUS_TIMEOUT);
    batch_drop();
    return true;
}
