/* SPDX-License-Identifier: Apache-2.0
 *
 * executor.c - steps carried out in order, and the watchdog over them.
 *
 * The executor takes one step after another from the queue.  When a step
 * blocks in a driver beyond its timeout, the watchdog answers HUNG for it and
 * has a new executor go on with the next; the old one ends when, if ever, it
 * comes back.
 */
#include "serve.h"
#include <stdarg.h>

#define KERNEL_MARGIN_MS 3000       /* the client keeps timeouts itself, then kernel_steps.c does: be the last */
#define USER_MARGIN_MS 100          /* waits in user_send.c end by themselves first */
#define THREAD_GRACE_MS 2000        /* for a thread that has nothing more to do but end */

static struct {
    CRITICAL_SECTION lock;
    HANDLE changed;
    HANDLE watchdog, newest;        /* threads: older executors were given up */
    bool ended;
    step_context *step;             /* under way, and watched */
    uint64_t deadline_ms;           /* of it, 0: none */
    uint64_t wake_ms;               /* when the watchdog looks again, UINT64_MAX: when told */
} watched;

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
    record->returned = KSHS_POISON_STATUS;
    record->status = KSHS_POISON_STATUS;
    record->information = KSHS_POISON_INFORMATION;
    record->changed_first = record->changed_last = 0xFFFFFFFF;
    record->begin_ns = now_ns();
    record->thread = GetCurrentThreadId();
}

static void watch(step_context *context, uint64_t allowed_ms)
{
    bool sooner;

    EnterCriticalSection(&watched.lock);
    watched.step = context;
    watched.deadline_ms = allowed_ms ? now_ms() + allowed_ms : 0;
    sooner = watched.deadline_ms && watched.deadline_ms < watched.wake_ms;
    LeaveCriticalSection(&watched.lock);
    if (sooner)
        SetEvent(watched.changed);
}

void step_again(step_context *context)
{
    EnterCriticalSection(&watched.lock);
    if (watched.step == context && watched.deadline_ms)
        watched.deadline_ms = now_ms() + context->step->timeout_ms + USER_MARGIN_MS;
    LeaveCriticalSection(&watched.lock);
}

static void unwatch(void)
{
    EnterCriticalSection(&watched.lock);
    watched.step = NULL;
    LeaveCriticalSection(&watched.lock);
}

bool thread_start(LPTHREAD_START_ROUTINE routine, HANDLE *thread)
{
    *thread = CreateThread(NULL, 0, routine, NULL, 0, NULL);
    return *thread != NULL;
}

/* Takes a step that is overdue away from its thread.  Called with the lock held. */
static bool take_over(kshs_record *record, uint32_t *seq)
{
    step_context *context = watched.step;

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

        EnterCriticalSection(&watched.lock);
        if (watched.ended) {
            LeaveCriticalSection(&watched.lock);
            return 0;
        }
        now = now_ms();
        if (watched.step && watched.deadline_ms && now >= watched.deadline_ms) {
            taken = take_over(&record, &seq);
            watched.step = NULL;
        }
        watched.wake_ms = UINT64_MAX;
        if (watched.step && watched.deadline_ms) {
            watched.wake_ms = watched.deadline_ms;
            wait = watched.deadline_ms - now < INT32_MAX ? (DWORD)(watched.deadline_ms - now) : INT32_MAX;
        }
        LeaveCriticalSection(&watched.lock);
        if (taken) {
            output_log(L"step %lu did not return from the driver; its thread and buffers are given up",
                       (unsigned long)seq);
            output_frame(KSHS_FRAME_RECORD, seq, &record, sizeof(record), NULL, 0);
            output_flush();
            if (!thread_start(executor_main, &watched.newest)) {
                output_error(0, KSHS_ERROR_INTERNAL, GetLastError(), L"no thread for the next step");
                InterlockedExchange(&serve.exit_code, EXIT_STREAM);
                SetEvent(serve.done);
            }
        }
        WaitForSingleObject(watched.changed, wait);
    }
}

/* ---- executor ---------------------------------------------------------------- */

bool step_is_whole(const queued_frame *frame)
{
    const kshs_step *step = (const kshs_step *)frame->payload;

    return frame->header.type == KSHS_FRAME_STEP && frame->header.length >= sizeof(*step) &&
           step->size == sizeof(*step) && step->data_length <= KSHS_MAX_DATA &&
           step->data_length == frame->header.length - sizeof(*step);
}

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
        step_refuse(context, STATUS_INFO_LENGTH_MISMATCH, L"data_length is %lu, but what follows the step is %lu long",
                    (unsigned long)step->data_length, (unsigned long)(length - sizeof(*step)));
        return false;
    }
    if (step->side > KSHS_SIDE_USER) {
        step_refuse(context, STATUS_INVALID_PARAMETER, L"there is no side %lu", (unsigned long)step->side);
        return false;
    }
    return true;
}

static uint64_t with_margin(uint64_t timeout_ms, uint32_t margin_ms)
{
    return timeout_ms ? timeout_ms + margin_ms : 0;
}

static void carry_out(step_context *context)
{
    const kshs_step *step = context->step;

    if (step->side != KSHS_SIDE_KERNEL || step->op == KSHS_OP_DEVICE)
        kernel_other_side();
    if (step->op != KSHS_OP_INFO)
        agent_changed();
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
    case KSHS_OP_THREADS:
        output_flush();
        watch(context, step->timeout_ms);
        agent_step(context);
        break;
    default:
        if (step->side == KSHS_SIDE_KERNEL) {       /* the client watches each repeat by itself */
            watch(context, with_margin(kshs_step_time_ms(step), KERNEL_MARGIN_MS));
            kernel_step(context);   /* it flushes when it has to: kernel.h */
        } else {
            output_flush();         /* this step's BEGIN, with the record before: see output.c */
            watch(context, with_margin(step->timeout_ms, USER_MARGIN_MS));
            user_step(context);
        }
    }
}

/* False: the step was taken over, and this thread has nothing more to do. */
static bool execute(step_context *context, const queued_frame *frame)
{
    uint64_t begin;

    context->seq = frame->header.seq;
    context->step = (const kshs_step *)frame->payload;
    context->data = frame->payload + sizeof(kshs_step);
    context->state = STEP_RUNNING;
    context->answered = false;
    record_start(&context->record, KSHS_OP_NOP);
    begin = context->record.begin_ns;
    output_frame(KSHS_FRAME_BEGIN, context->seq, NULL, 0, NULL, 0);
    if (well_formed(context, frame)) {
        carry_out(context);
        if (!step_claim(context))
            return false;
        unwatch();
        if (!context->record.begin_ns)      /* the client has no times for STARTED, CANCEL and the like */
            context->record.begin_ns = begin;
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

/* ---- start and end --------------------------------------------------------------- */

bool executor_start(void)
{
    InitializeCriticalSection(&watched.lock);
    watched.wake_ms = UINT64_MAX;
    watched.changed = CreateEventW(NULL, FALSE, FALSE, NULL);
    return watched.changed && thread_start(watchdog_main, &watched.watchdog) &&
           thread_start(executor_main, &watched.newest);
}

void executor_join(void)
{
    EnterCriticalSection(&watched.lock);
    watched.ended = true;
    LeaveCriticalSection(&watched.lock);
    SetEvent(watched.changed);
    WaitForSingleObject(watched.watchdog, THREAD_GRACE_MS);
    WaitForSingleObject(watched.newest, THREAD_GRACE_MS);
}
