/* SPDX-License-Identifier: Apache-2.0
 *
 * serve.c - the agent: frames in, steps carried out in order, frames out.
 *
 * Threads: the reader takes frames from stdin and puts them into the queue;
 * the executor carries steps out; the watchdog answers HUNG for a step that
 * blocks in a driver beyond its timeout, and has a new executor go on; the
 * main thread waits for the end.
 */
#include "serve.h"
#include <stdarg.h>

#define CHUNK_SIZE 65536
#define KERNEL_MARGIN_MS 3000       /* the client keeps timeouts itself, then kernel_steps.c does: be the last */
#define USER_MARGIN_MS 100          /* waits in user_request.c end by themselves first */
#define END_GRACE_MS 15000          /* once no more frames come: for each step that is still to be done */
#define THREAD_GRACE_MS 2000        /* for a thread that has nothing more to do but end */

static struct {
    HANDLE ending;                  /* no more frames will come */
    HANDLE done;                    /* everything is released */
    HANDLE reader_done;             /* the reader reads no more */
    volatile LONG exit_code;
    volatile LONG progress;         /* steps carried out */
    HANDLE reader, watchdog;        /* threads */
    HANDLE executor;                /* the newest; older ones were given up */
    bool ended;                     /* for the watchdog */

    CRITICAL_SECTION watch_lock;
    HANDLE watch_changed;
    step_context *watched;
    uint64_t deadline_ms;           /* of the watched step, 0: none */
    uint64_t wake_ms;               /* when the watchdog looks again, UINT64_MAX: when told */
} serve;

static DWORD WINAPI executor_main(void *unused);

/* ---- steps and the watchdog ------------------------------------------------ */

bool step_claim(step_context *context)
{
    return InterlockedCompareExchange(&context->state, STEP_CLAIMED, STEP_RUNNING) != STEP_ABANDONED;
}

static void step_say(step_context *context, uint32_t outcome, NTSTATUS detail, const wchar_t *format,
                     va_list arguments)
{
    wchar_t text[512];

    format_text_v(text, ARRAY_COUNT(text), format, arguments);
    if (!step_claim(context))
        return;
    context->record.outcome = outcome;
    context->record.detail = (uint32_t)detail;
    output_log(L"step %lu %ls: %ls", (unsigned long)context->seq,
               outcome == KSHS_OUTCOME_REFUSED ? L"refused" : L"not possible here", text);
}

void step_refuse(step_context *context, NTSTATUS detail, const wchar_t *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    step_say(context, KSHS_OUTCOME_REFUSED, detail, format, arguments);
    va_end(arguments);
}

void step_unsupported(step_context *context, NTSTATUS detail, const wchar_t *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    step_say(context, KSHS_OUTCOME_UNSUPPORTED, detail, format, arguments);
    va_end(arguments);
}

static void record_start(kshs_record *record, uint32_t op)
{
    memset(record, 0, sizeof(*record));
    record->size = sizeof(*record);
    record->op = op;
    record->status = KSHS_POISON_STATUS;
    record->information = KSHS_POISON_INFORMATION;
    record->changed_first = record->changed_last = 0xFFFFFFFF;
    record->begin_ns = now_ns();
    record->thread = GetCurrentThreadId();
}

static void watch(step_context *context, uint32_t allowed_ms)
{
    bool sooner;

    EnterCriticalSection(&serve.watch_lock);
    serve.watched = context;
    serve.deadline_ms = allowed_ms ? now_ms() + allowed_ms : 0;
    sooner = serve.deadline_ms && serve.deadline_ms < serve.wake_ms;
    LeaveCriticalSection(&serve.watch_lock);
    if (sooner)
        SetEvent(serve.watch_changed);
}

static void unwatch(void)
{
    EnterCriticalSection(&serve.watch_lock);
    serve.watched = NULL;
    LeaveCriticalSection(&serve.watch_lock);
}

static bool start_thread(LPTHREAD_START_ROUTINE routine, HANDLE *thread)
{
    *thread = CreateThread(NULL, 0, routine, NULL, 0, NULL);
    return *thread != NULL;
}

/* Takes a step that is overdue away from its thread.  Called with the lock held. */
static bool take_over(kshs_record *record, uint32_t *seq)
{
    step_context *context = serve.watched;

    if (InterlockedCompareExchange(&context->state, STEP_ABANDONED, STEP_RUNNING) != STEP_RUNNING)
        return false;               /* it is just about to answer by itself */
    record_start(record, context->step->op);
    record->outcome = KSHS_OUTCOME_HUNG;
    record->detail = (uint32_t)STATUS_TIMEOUT;
    record->duration_ns = record->begin_ns - context->record.begin_ns;
    record->begin_ns = context->record.begin_ns;
    record->thread = context->record.thread;
    *seq = context->seq;
    return true;
}

static DWORD WINAPI watchdog_main(void *unused)
{
    (void)unused;
    for (;;) {
        kshs_record record;
        uint32_t seq = 0;
        uint64_t now;
        bool taken = false;
        DWORD wait = INFINITE;

        EnterCriticalSection(&serve.watch_lock);
        if (serve.ended) {
            LeaveCriticalSection(&serve.watch_lock);
            return 0;
        }
        now = now_ms();
        if (serve.watched && serve.deadline_ms && now >= serve.deadline_ms) {
            taken = take_over(&record, &seq);
            serve.watched = NULL;
        }
        serve.wake_ms = UINT64_MAX;
        if (serve.watched && serve.deadline_ms) {
            serve.wake_ms = serve.deadline_ms;
            wait = (DWORD)(serve.deadline_ms - now);
        }
        LeaveCriticalSection(&serve.watch_lock);
        if (taken) {
            output_log(L"step %lu did not return from the driver; its thread and buffers are given up",
                       (unsigned long)seq);
            output_frame(KSHS_FRAME_RECORD, seq, &record, sizeof(record), NULL, 0);
            output_flush();
            if (!start_thread(executor_main, &serve.executor)) {
                output_error(0, KSHS_ERROR_INTERNAL, GetLastError(), L"no thread for the next step");
                InterlockedExchange(&serve.exit_code, EXIT_STREAM);
                SetEvent(serve.done);
            }
        }
        WaitForSingleObject(serve.watch_changed, wait);
    }
}

/* ---- executor ---------------------------------------------------------------- */

static bool well_formed(step_context *context, const queued_frame *frame)
{
    const kshs_step *step = (const kshs_step *)frame->payload;
    uint32_t length = frame->header.length;

    if (length < sizeof(*step) || step->size != sizeof(*step)) {
        step_refuse(context, STATUS_INFO_LENGTH_MISMATCH, L"a step has %u bytes and says so; this frame has %lu",
                    (unsigned)sizeof(*step), (unsigned long)length);
        return false;
    }
    context->record.op = step->op;
    if (step->data_length > KSHS_MAX_DATA || step->data_length != length - sizeof(*step)) {
        step_refuse(context, STATUS_INFO_LENGTH_MISMATCH, L"data_length is %lu, but %lu bytes follow the step",
                    (unsigned long)step->data_length, (unsigned long)(length - sizeof(*step)));
        return false;
    }
    if (step->side > KSHS_SIDE_USER) {
        step_refuse(context, STATUS_INVALID_PARAMETER, L"there is no side %lu", (unsigned long)step->side);
        return false;
    }
    return true;
}

static uint32_t with_margin(uint32_t timeout_ms, uint32_t margin_ms)
{
    if (!timeout_ms)
        return 0;
    return timeout_ms > UINT32_MAX - 1 - margin_ms ? UINT32_MAX - 1 : timeout_ms + margin_ms;
}

static void carry_out(step_context *context)
{
    const kshs_step *step = context->step;

    switch (step->op) {
    case KSHS_OP_NOP:
    case KSHS_OP_INFO:
    case KSHS_OP_CRASHES:
        watch(context, 0);
        agent_step(context);
        break;
    case KSHS_OP_SLEEP:             /* its timeout is its duration */
        output_flush();
        watch(context, 0);
        agent_step(context);
        break;
    case KSHS_OP_DEVICE:
        output_flush();
        watch(context, step->timeout_ms);
        agent_step(context);
        break;
    default:
        output_flush();             /* this step's BEGIN, with the record before: see output.c */
        if (step->side == KSHS_SIDE_KERNEL) {
            watch(context, with_margin(step->timeout_ms, KERNEL_MARGIN_MS));
            kernel_step(context);
        } else {
            watch(context, with_margin(step->timeout_ms, USER_MARGIN_MS));
            user_step(context);
        }
    }
}

/* False: the step was taken over, and this thread has nothing more to do. */
static bool execute(step_context *context, const queued_frame *frame)
{
    context->seq = frame->header.seq;
    context->step = (const kshs_step *)frame->payload;
    context->data = frame->payload + sizeof(kshs_step);
    context->state = STEP_RUNNING;
    context->answered = false;
    record_start(&context->record, KSHS_OP_NOP);
    output_frame(KSHS_FRAME_BEGIN, context->seq, NULL, 0, NULL, 0);
    if (well_formed(context, frame)) {
        carry_out(context);
        if (!step_claim(context))
            return false;
        unwatch();
        if (!context->record.duration_ns)
            context->record.duration_ns = now_ns() - context->record.begin_ns;
    }
    InterlockedIncrement(&serve.progress);
    if (!context->answered)
        output_frame(KSHS_FRAME_RECORD, context->seq, &context->record, sizeof(context->record), context->reply,
                     context->record.data_length);
    return true;
}

static DWORD WINAPI executor_main(void *unused)
{
    step_context *context = malloc(sizeof(*context));
    queued_frame *frame;

    (void)unused;
    if (!context) {
        output_error(0, KSHS_ERROR_INTERNAL, ERROR_NOT_ENOUGH_MEMORY, L"no memory for a step");
        InterlockedExchange(&serve.exit_code, EXIT_STREAM);
    }
    while (context && !output_broken() && (frame = queue_take(output_flush)) != NULL) {
        bool bye = frame->header.type == KSHS_FRAME_BYE;

        if (!bye && !execute(context, frame)) {
            free(frame);
            free(context);
            return 0;
        }
        free(frame);
        if (bye)
            break;
    }
    SetEvent(serve.ending);
    user_end();
    kernel_end();
    output_flush();
    free(context);
    SetEvent(serve.done);
    return 0;
}

/* ---- reader ------------------------------------------------------------------- */

static bool stream_ends(uint32_t code, const wchar_t *format, ...)
{
    wchar_t text[1024];
    va_list arguments;

    va_start(arguments, format);
    format_text_v(text, ARRAY_COUNT(text), format, arguments);
    va_end(arguments);
    InterlockedExchange(&serve.exit_code, EXIT_STREAM);
    output_error(0, code, 0, L"%ls", text);
    say(L"kshsctl: %ls", text);
    queue_abandon();
    return false;
}

/* The line of our layout that the host's text does not repeat, whatever line ends it uses. */
static bool hello_accepted(const queued_frame *frame)
{
    const kshs_hello *hello = (const kshs_hello *)frame->payload;
    const char *ours = abi_layout_text();
    const char *theirs = (const char *)(hello + 1);
    const char *end = (const char *)frame->payload + frame->header.length;

    if (frame->header.length < sizeof(*hello) || hello->layout_length != frame->header.length - sizeof(*hello))
        return stream_ends(KSHS_ERROR_PROTOCOL, L"the host's HELLO has a false length");
    if (hello->abi_version != KSHS_ABI_VERSION)
        return stream_ends(KSHS_ERROR_ABI, L"the host speaks ABI version %lu, this agent version %u; build both anew",
                           (unsigned long)hello->abi_version, KSHS_ABI_VERSION);
    while (*ours || theirs < end) {
        size_t our_length = strcspn(ours, "\n"), their_length = 0;

        while (theirs + their_length < end && theirs[their_length] != '\n')
            their_length++;
        if (our_length != their_length || memcmp(ours, theirs, our_length))
            return stream_ends(KSHS_ERROR_ABI, L"the layouts differ: this agent has \"%.*hs\", the host \"%.*hs\"",
                               (int)our_length, ours, (int)(their_length > 400 ? 400 : their_length), theirs);
        ours += our_length + (ours[our_length] == '\n');
        theirs += their_length + (theirs + their_length < end);
    }
    return true;
}

static bool header_accepted(const kshs_frame *header, bool greeted)
{
    if (header->magic != KSHS_FRAME_MAGIC)
        return stream_ends(KSHS_ERROR_PROTOCOL, L"a frame begins with 0x%08lx instead of 0x%08lx",
                           (unsigned long)header->magic, (unsigned long)KSHS_FRAME_MAGIC);
    if (header->flags)
        return stream_ends(KSHS_ERROR_PROTOCOL, L"a frame has the flags 0x%04x; there are none", header->flags);
    if (header->length > KSHS_MAX_PAYLOAD)
        return stream_ends(KSHS_ERROR_PROTOCOL, L"a frame announces %lu bytes; at most %u are allowed",
                           (unsigned long)header->length, KSHS_MAX_PAYLOAD);
    if (greeted ? header->type != KSHS_FRAME_STEP && header->type != KSHS_FRAME_BYE
                : header->type != KSHS_FRAME_HELLO)
        return stream_ends(KSHS_ERROR_PROTOCOL, L"a frame of type %u has no place here", header->type);
    return true;
}

/* One complete frame; takes the memory. False: it was the last one. */
static bool frame_accepted(queued_frame *frame, bool *greeted)
{
    bool last = frame->header.type == KSHS_FRAME_BYE;

    if (!*greeted) {
        *greeted = hello_accepted(frame);
        free(frame);
        return *greeted;
    }
    if (!queue_put(frame)) {
        free(frame);
        return false;
    }
    return !last;
}

static void read_frames(HANDLE input)
{
    static uint8_t chunk[CHUNK_SIZE];
    kshs_frame header;
    size_t have = 0;                /* bytes of the frame so far, its header included */
    queued_frame *frame = NULL;
    bool greeted = false;
    DWORD got, at;

    while (ReadFile(input, chunk, sizeof(chunk), &got, NULL) && got) {
        for (at = 0; at < got;) {
            uint8_t *target = frame ? frame->payload + (have - sizeof(header)) : (uint8_t *)&header + have;
            size_t need = frame ? sizeof(header) + frame->header.length - have : sizeof(header) - have;
            size_t part = need < got - at ? need : got - at;

            memcpy(target, chunk + at, part);
            at += (DWORD)part;
            have += part;
            if (!frame && have == sizeof(header)) {
                if (!header_accepted(&header, greeted))
                    return;
                frame = malloc(offsetof(queued_frame, payload) + header.length + 1);
                if (!frame) {
                    stream_ends(KSHS_ERROR_INTERNAL, L"no memory for a frame");
                    return;
                }
                frame->header = header;
            }
            if (frame && have == sizeof(header) + frame->header.length) {
                bool accepted = frame_accepted(frame, &greeted);

                frame = NULL;
                have = 0;
                if (!accepted)
                    return;
            }
        }
    }
    if (have)
        stream_ends(KSHS_ERROR_PROTOCOL, L"the stream ended inside a frame");
    free(frame);
}

static DWORD WINAPI reader_main(void *unused)
{
    (void)unused;
    read_frames(GetStdHandle(STD_INPUT_HANDLE));
    queue_close();
    SetEvent(serve.reader_done);
    SetEvent(serve.ending);
    return 0;
}

/* ---- the verb ------------------------------------------------------------------- */

static void send_hello(void)
{
    const char *layout = abi_layout_text();
    kshs_hello hello;

    hello.abi_version = KSHS_ABI_VERSION;
    hello.pointer_size = sizeof(void *);
    hello.handshake_size = HANDSHAKE_SIZE;
    hello.layout_length = (uint32_t)strlen(layout);
    output_frame(KSHS_FRAME_HELLO, 0, &hello, sizeof(hello), layout, hello.layout_length);
    output_flush();
}

/*
 * Wine can deadlock a process that exits while another of its threads is just
 * about to end by itself: those are waited for.  A reader that is inside a
 * read, because the host keeps the stream open, is no such thread.
 */
static void let_threads_end(void)
{
    EnterCriticalSection(&serve.watch_lock);
    serve.ended = true;
    LeaveCriticalSection(&serve.watch_lock);
    SetEvent(serve.watch_changed);
    WaitForSingleObject(serve.watchdog, THREAD_GRACE_MS);
    WaitForSingleObject(serve.executor, THREAD_GRACE_MS);
    if (WaitForSingleObject(serve.reader_done, 0) == WAIT_OBJECT_0)
        WaitForSingleObject(serve.reader, THREAD_GRACE_MS);
}

int verb_serve(int count, wchar_t **arguments)
{
    LONG progress;
    DWORD result;

    (void)count;
    (void)arguments;
    InitializeCriticalSection(&serve.watch_lock);
    serve.wake_ms = UINT64_MAX;
    serve.ending = CreateEventW(NULL, TRUE, FALSE, NULL);
    serve.done = CreateEventW(NULL, TRUE, FALSE, NULL);
    serve.reader_done = CreateEventW(NULL, TRUE, FALSE, NULL);
    serve.watch_changed = CreateEventW(NULL, FALSE, FALSE, NULL);
    output_start(GetStdHandle(STD_OUTPUT_HANDLE));
    queue_start();
    if (!serve.ending || !serve.done || !serve.reader_done || !serve.watch_changed) {
        say(L"kshsctl: no events for the agent's threads");
        return EXIT_FAILED;
    }
    send_hello();
    if (!start_thread(watchdog_main, &serve.watchdog) || !start_thread(executor_main, &serve.executor) ||
        !start_thread(reader_main, &serve.reader)) {
        say(L"kshsctl: the agent's threads cannot be started");
        return EXIT_FAILED;
    }
    WaitForSingleObject(serve.ending, INFINITE);
    do {
        progress = serve.progress;
        result = WaitForSingleObject(serve.done, END_GRACE_MS);
    } while (result != WAIT_OBJECT_0 && progress != serve.progress);
    if (result != WAIT_OBJECT_0)
        say(L"kshsctl: something is still inside a driver; ending all the same");
    else
        let_threads_end();
    /* Not by return: the C runtime would wait for locks that an abandoned thread may hold. */
    ExitProcess((UINT)serve.exit_code);
}
