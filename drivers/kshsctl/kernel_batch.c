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

#define GONE_WAIT_MS 500            /* for that of a client which is gone */

typedef struct batch_step {
    kshs_step step;                 /* as it is sent */
    const void *data;
    uint32_t seq;
    kshs_batch_entry entry;
    wchar_t *path;                  /* OPEN_FILTER: its data, or NULL */
} batch_step;

typedef struct batch {
    const step_context *taker;      /* the executor's: another one has been given up together with this */
    bool over;                      /* no further step of it begins */
    bool rung;                      /* the client knows of it */
    uint32_t count;
    uint32_t next;                  /* whose turn it is */
    batch_step steps[KSHS_BATCH_STEPS];
} batch;

static server *client;              /* NULL: every step goes alone */
static batch present;
static bool under_way;              /* `present` has steps to be taken */
static bool user_before;            /* a step of another side came since the last batch */
static bool refused;                /* the client did not take one: never again */

/* ---- what is shared with the client ---------------------------------------------------------- */

void batch_use(server *s)
{
    client = s;
    under_way = false;
}

void batch_gone(void)
{
    if (client && (!client->serves || WaitForSingleObject(client->event, GONE_WAIT_MS) == WAIT_OBJECT_0))
        server_free(client);        /* else the status of its control is still to be written */
    batch_use(NULL);
}

void kernel_other_side(void)
{
    user_before = true;
}

static uint32_t mark(size_t offset)
{
    return *(volatile uint32_t *)(client->block + offset);
}

static uint32_t ended(void)
{
    uint32_t found = mark(offsetof(kshs_marks, ended));

    MemoryBarrier();                /* the records that it tells of are read behind it */
    return found > present.count ? present.count : found;
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
static bool add(const step_context *context, uint32_t seq, const kshs_step *asked, const void *data,
                uint32_t *step_bytes, uint32_t *answer_bytes)
{
    batch_step *s = &present.steps[present.count];
    uint32_t heads = (uint32_t)(sizeof(kshs_batch) + KSHS_BATCH_STEPS * sizeof(kshs_batch_entry));
    wchar_t path[512];
    DWORD error;

    memset(s, 0, sizeof(*s));
    s->seq = seq;
    s->step = *asked;
    s->data = data;
    if (asked->op == KSHS_OP_OPEN_FILTER) {
        if (asked->data_length || !kernel_open_filter(asked, &s->step, path, ARRAY_COUNT(path), &error))
            return false;           /* said in its turn */
        if (context->state == STEP_ABANDONED)
            return false;           /* all of this is its successor's */
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
    present.count++;
    return true;
}

/* This step and those behind it in the queue, as many as go together. */
static void gather(const step_context *context)
{
    uint32_t step_bytes = 0, answer_bytes = KSHS_BLOCK_ANSWERS;
    const queued_frame *frame;

    present.taker = context;
    present.count = present.next = 0;
    present.over = present.rung = false;
    if (!may_travel(context->step->op) ||
        !add(context, context->seq, context->step, context->data, &step_bytes, &answer_bytes))
        return;
    while (present.count < KSHS_BATCH_STEPS && (frame = queue_peek(present.count - 1)) != NULL) {
        const kshs_step *step = (const kshs_step *)frame->payload;

        if (!step_is_whole(frame) || step->side != KSHS_SIDE_KERNEL || !may_travel(step->op) ||
            !add(context, frame->header.seq, step, step + 1, &step_bytes, &answer_bytes))
            return;
    }
}

static void write_question(void)
{
    uint32_t from = (uint32_t)(sizeof(kshs_batch) + present.count * sizeof(kshs_batch_entry)), i;
    uint8_t *question = client->block + KSHS_BLOCK_QUESTION;
    kshs_batch *head = (kshs_batch *)question;
    kshs_batch_entry *entry = (kshs_batch_entry *)(head + 1);

    memset(client->block, 0, sizeof(kshs_marks));
    memset(head, 0, sizeof(*head));
    head->count = present.count;
    head->flags = user_before ? KSHS_BATCH_QUEUE : 0;
    user_before = false;
    for (i = 0; i < present.count; i++) {
        batch_step *s = &present.steps[i];
        uint8_t *place = question + from + s->entry.step_offset;

        entry[i] = s->entry;
        entry[i].step_offset += from;
        memcpy(place, &s->step, sizeof(s->step));
        if (s->step.data_length)
            memcpy(place + sizeof(s->step), s->data, s->step.data_length);
        head->size = entry[i].step_offset + rounded(s->entry.step_bytes);
        free(s->path);
        s->path = NULL;
    }
}

/* ---- a batch under way --------------------------------------------------------------------- */

/* The control whose thread waits for the bell; false: the client does not take it, or the step is another thread's. */
static bool serve_again(step_context *context)
{
    NTSTATUS status;

    if (client->serves)
        return true;
    ResetEvent(client->done);
    kernel.busy = true;
    status = NtDeviceIoControlFile(kernel.handle, client->event, NULL, NULL, &client->status, IOCTL_KSHS_BATCH, NULL, 0,
                                   &client->record, sizeof(client->record));
    if (context->state == STEP_ABANDONED)
        return false;
    kernel.busy = false;
    client->serves = status == STATUS_PENDING;
    if (!client->serves)
        batch_use(NULL);            /* refused, or gone: the next control will tell; the block is given up */
    return client->serves;
}

bool batch_send(step_context *context)
{
    if (!client || refused || !serve_again(context))
        return false;
    gather(context);
    if (context->state == STEP_ABANDONED || !present.count)
        return false;
    kernel.busy = true;
    write_question();
    under_way = true;
    return true;
}

static void take(step_context *context)
{
    const batch_step *s = &present.steps[present.next++];
    const uint8_t *answer = client->block + s->entry.answer_offset;
    kshs_record record;

    memcpy(&record, answer, sizeof(record));
    kernel_take(context, &record, answer + sizeof(record), sizeof(record) + (uint64_t)record.data_length,
                s->entry.answer_bytes - (uint32_t)sizeof(record));
    if (present.next == present.count) {
        under_way = false;
        kernel.busy = false;
    }
}

/* The batch is over without this step: false where the step goes on in another way. */
static bool without_answer(step_context *context)
{
    NTSTATUS status = client->serves ? STATUS_SUCCESS : client->status.Status;
    uint32_t wrong = mark(offsetof(kshs_marks, refused));

    if (present.steps[present.next].entry.flags & KSHS_BATCH_MUST_EXIST)
        interface_forget();         /* the path may have been of yesterday */
    under_way = false;
    kernel.busy = false;
    if (!NT_SUCCESS(status)) {
        kernel_gone(context, status);
        return true;
    }
    if (wrong) {
        refused = true;
        output_log(L"the client refused a batch (NTSTATUS 0x%08lx): every step goes to it alone from now on",
                   (unsigned long)wrong);
    }
    return false;
}

/* Rings, the first time, and waits until the batch is over or the time is. */
static void look(DWORD milliseconds)
{
    DWORD found = present.rung ? WaitForSingleObject(client->done, milliseconds)
                               : SignalObjectAndWait(client->bell, client->done, milliseconds, FALSE);

    present.rung = true;
    if (found == WAIT_OBJECT_0) {
        present.over = true;
        return;
    }
    if (WaitForSingleObject(client->event, 0) == WAIT_OBJECT_0) {
        client->serves = false;     /* a step is HUNG, or the client is gone */
        present.over = true;
        return;
    }
    output_flush();                 /* the BEGIN of this step, and all before it */
}

bool batch_take(step_context *context)
{
    uint64_t patience = kernel_patience_ms(context->step), began = 0;
    DWORD wait = KERNEL_LOOK_MS;

    if (!under_way)
        return false;
    for (;;) {
        bool has_ended;

        if (context->state == STEP_ABANDONED)
            return true;            /* its successor has given all of this up */
        if (present.taker != context || present.steps[present.next].seq != context->seq) {
            under_way = false;      /* and kernel.busy says that the handle is to be given up */
            return false;
        }
        has_ended = present.rung && ended() > present.next;
        if (has_ended && (present.over || present.next + 1 < present.count)) {
            if (step_claim(context))
                take(context);
            return true;
        }
        if (present.over)
            return without_answer(context);
        if (!began)
            began = now_ms();
        else if (patience != INFINITE && now_ms() - began > patience)
            break;
        look(wait);
        if (wait < KERNEL_MOST_LOOK_MS)
            wait *= 2;
    }
    /* The client itself hangs, and may still write to the block: it is given up, and so is the handle. */
    if (ended() > present.next)
        take(context);
    else
        kernel_lost(context, KSHS_OUTCOME_HUNG, STATUS_TIMEOUT);
    under_way = false;
    kernel.busy = true;
    return true;
}

void batch_end(void)
{
    kshs_batch *head;

    if (!client || !client->serves || kernel.busy)
        return;
    head = (kshs_batch *)(client->block + KSHS_BLOCK_QUESTION);
    memset(head, 0, sizeof(*head));
    head->size = sizeof(*head);
    head->flags = KSHS_BATCH_END;
    SetEvent(client->bell);
    WaitForSingleObject(client->event, KERNEL_CONTROL_WAIT_MS);
}
