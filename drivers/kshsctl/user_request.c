/* SPDX-License-Identifier: Apache-2.0
 *
 * user_request.c - one I/O control from user mode, by every route.
 *
 * A request runs on one thread from its call to its end: the executor's, or
 * with KSHS_STEP_ASYNC a thread of its own, which NT also needs, since it
 * cancels what a thread has under way when that thread ends.
 */
#include "user.h"

#define SYNC_COMPLETION_MS 1000     /* a call that succeeded at once has its event, entry or APC at once */
#define START_GRACE_MS 50           /* ASYNC: so long STARTED waits for the call to return */
#define APC_SLICE_MS 50             /* how soon a thread that waits for an APC looks at a cancel */

typedef struct user_request {
    struct user_request *next;      /* in the list of requests under way */
    ULONG_PTR serial;               /* APC and port entries carry it: a late one finds nothing, and no freed memory */
    HANDLE file;
    uint32_t slot;
    kshs_step step;
    uint8_t *data;                  /* a copy of the step's */
    io_buffer in, out;
    IO_STATUS_BLOCK status;
    HANDLE event;                   /* EVENT: completion; PORT: an entry arrived */
    HANDLE cancel;                  /* for guests on which only the sending thread can cancel */
    HANDLE issued;                  /* the first call has returned */
    HANDLE done;
    HANDLE thread;                  /* ASYNC */
    volatile LONG arrivals;         /* event seen, port entries, APCs: of this repeat */
    volatile LONG marker;           /* the port's own entry has come by */
    volatile LONG cancelled;
    volatile LONG closing;          /* its slot was closed: no more repeats */
    volatile LONG finished;
    volatile LONG orphan;           /* no token names it any more: its thread frees it */
    step_context *context;          /* of a request that the executor runs, else NULL */
    kshs_record record;
    uint8_t kept[KSHS_KEEP_BYTES];
} user_request;

static struct {
    CRITICAL_SECTION lock;          /* for list, tokens, port */
    bool ready;
    user_request *list;
    user_request *tokens[KSHS_MAX_TOKENS];
    user_request *spare;
    ULONG_PTR serial;
    HANDLE port;
} requests;

static void requests_start(void)
{
    if (!requests.ready) {          /* the executor is alone here */
        InitializeCriticalSection(&requests.lock);
        requests.ready = true;
    }
}

/* ---- life -------------------------------------------------------------------- */

static void request_free(user_request *r)
{
    HANDLE handles[] = { r->event, r->cancel, r->issued, r->done, r->thread };
    size_t i;

    for (i = 0; i < ARRAY_COUNT(handles); i++)
        if (handles[i])
            CloseHandle(handles[i]);
    buffer_destroy(&r->in);
    buffer_destroy(&r->out);
    free(r->data);
    free(r);
}

static user_request *request_new(void)
{
    user_request *r;

    EnterCriticalSection(&requests.lock);
    r = requests.spare;
    requests.spare = NULL;
    LeaveCriticalSection(&requests.lock);
    if (!r) {
        r = calloc(1, sizeof(*r));
        if (!r)
            return NULL;
        r->event = CreateEventW(NULL, TRUE, FALSE, NULL);
        r->cancel = CreateEventW(NULL, TRUE, FALSE, NULL);
        r->issued = CreateEventW(NULL, TRUE, FALSE, NULL);
        r->done = CreateEventW(NULL, TRUE, FALSE, NULL);
        if (!r->event || !r->cancel || !r->issued || !r->done || !buffer_create(&r->in) ||
            !buffer_create(&r->out)) {
            request_free(r);
            return NULL;
        }
    }
    EnterCriticalSection(&requests.lock);
    r->serial = ++requests.serial;
    r->next = requests.list;
    requests.list = r;
    LeaveCriticalSection(&requests.lock);
    return r;
}

static void request_unlink(user_request *r)
{
    user_request **at;

    EnterCriticalSection(&requests.lock);
    for (at = &requests.list; *at; at = &(*at)->next) {
        if (*at == r) {
            *at = r->next;
            break;
        }
    }
    LeaveCriticalSection(&requests.lock);
}

/* For requests whose every call has come back: nobody writes to their buffers any more. */
static void request_release(user_request *r)
{
    bool clean = buffer_restore(&r->in);

    clean = buffer_restore(&r->out) && clean;
    request_unlink(r);
    if (clean && !r->thread) {
        free(r->data);
        r->data = NULL;
        r->marker = r->cancelled = r->closing = r->finished = r->orphan = 0;
        ResetEvent(r->event);
        ResetEvent(r->issued);
        ResetEvent(r->done);
        EnterCriticalSection(&requests.lock);
        if (!requests.spare) {
            requests.spare = r;
            r = NULL;
        }
        LeaveCriticalSection(&requests.lock);
    }
    if (r)
        request_free(r);
}

/* An APC or a port entry; the lock keeps the request there. */
static user_request *arrived(ULONG_PTR serial, const wchar_t *what)
{
    user_request *r;

    for (r = requests.list; r; r = r->next) {
        if (r->serial == serial) {
            InterlockedIncrement(&r->arrivals);
            return r;
        }
    }
    output_log(L"%ls for a request that was already answered: completed twice", what);
    return NULL;
}

/* ---- completion port ------------------------------------------------------------ */

/*
 * A handle can be tied to one port only and for good, so all share this one.
 * Whatever is queued is counted before anybody is woken: an entry too many is
 * then already in the record.
 */
static DWORD WINAPI port_main(void *unused)
{
    LARGE_INTEGER at_once;
    ULONG_PTR woken[64];
    unsigned count, i;

    (void)unused;
    at_once.QuadPart = 0;
    for (;;) {
        void *key, *serial;
        IO_STATUS_BLOCK status;
        NTSTATUS result = nt.remove_io_completion(requests.port, &key, &serial, &status, NULL);

        for (count = 0; result == STATUS_SUCCESS && count < ARRAY_COUNT(woken); count++) {
            user_request *r;

            EnterCriticalSection(&requests.lock);
            woken[count] = (ULONG_PTR)serial;
            if (key) {
                arrived((ULONG_PTR)serial, L"a port entry");
            } else {
                for (r = requests.list; r; r = r->next)
                    if (r->serial == (ULONG_PTR)serial)
                        InterlockedExchange(&r->marker, 1);
            }
            LeaveCriticalSection(&requests.lock);
            result = nt.remove_io_completion(requests.port, &key, &serial, &status, &at_once);
        }
        EnterCriticalSection(&requests.lock);
        for (i = 0; i < count; i++) {
            user_request *r;

            for (r = requests.list; r; r = r->next)
                if (r->serial == woken[i])
                    SetEvent(r->event);
        }
        LeaveCriticalSection(&requests.lock);
        if (!count)
            Sleep(10);              /* the port cannot be read: do not spin */
    }
}

static bool port_tie(user_slot *slot)
{
    if (slot->on_port)
        return true;
    if (!requests.port) {
        HANDLE thread;

        requests.port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
        thread = requests.port ? CreateThread(NULL, 0, port_main, NULL, 0, NULL) : NULL;
        if (!thread)
            return false;
        CloseHandle(thread);
    }
    slot->on_port = CreateIoCompletionPort(slot->handle, requests.port, 1, 0) == requests.port;
    return slot->on_port;
}

/* After a call that failed at once there should be no entry: a marker of ours behind it proves it. */
static void port_settle(user_request *r)
{
    if (nt.set_io_completion(requests.port, NULL, (void *)r->serial, STATUS_SUCCESS, 0) != STATUS_SUCCESS)
        return;
    while (!r->marker && WaitForSingleObject(r->event, SYNC_COMPLETION_MS) == WAIT_OBJECT_0)
        if (!r->marker)
            ResetEvent(r->event);
}

/* ---- waiting ----------------------------------------------------------------------- */

static VOID NTAPI apc_arrived(PVOID serial, PIO_STATUS_BLOCK status, ULONG reserved)
{
    (void)status;
    (void)reserved;
    EnterCriticalSection(&requests.lock);
    arrived((ULONG_PTR)serial, L"an APC");
    LeaveCriticalSection(&requests.lock);
}

/* Only the thread that sent a request can cancel it before NT 6. */
static void obey_cancel(user_request *r)
{
    IO_STATUS_BLOCK status;

    if (r->cancelled == 1 && !nt.cancel_io_file_ex && nt.cancel_io_file) {
        nt.cancel_io_file(r->file, &status);
        InterlockedExchange(&r->cancelled, 2);
    }
}

static DWORD left_until(uint64_t deadline_ms)
{
    uint64_t now;

    if (deadline_ms == UINT64_MAX)
        return INFINITE;
    now = now_ms();
    if (now >= deadline_ms)
        return 0;
    return deadline_ms - now > 0x7FFFFFFF ? 0x7FFFFFFF : (DWORD)(deadline_ms - now);
}

/* For the completion that the route shows.  False: it did not come in time. */
static bool wait_arrival(user_request *r, uint64_t deadline_ms)
{
    HANDLE both[2];

    both[0] = r->event;
    both[1] = r->cancel;
    for (;;) {
        DWORD left = left_until(deadline_ms), result;

        if (r->step.route == KSHS_ROUTE_APC) {
            if (r->arrivals)
                return true;
            if (!left)
                return false;
            result = SleepEx(left < APC_SLICE_MS ? left : APC_SLICE_MS, TRUE);
            obey_cancel(r);
            continue;
        }
        result = WaitForMultipleObjects(2, both, FALSE, left);
        if (result == WAIT_OBJECT_0) {
            if (r->step.route == KSHS_ROUTE_EVENT)
                InterlockedIncrement(&r->arrivals);
            return true;
        }
        if (result != WAIT_OBJECT_0 + 1)
            return false;
        ResetEvent(r->cancel);
        obey_cancel(r);
    }
}

/* What came of a call that ended at once, and need not have shown anything. */
static void look_for_arrival(user_request *r, bool expected)
{
    switch (r->step.route) {
    case KSHS_ROUTE_EVENT:
        if (WaitForSingleObject(r->event, expected ? SYNC_COMPLETION_MS : 0) == WAIT_OBJECT_0)
            InterlockedIncrement(&r->arrivals);
        break;
    case KSHS_ROUTE_PORT:
        if (expected)
            WaitForSingleObject(r->event, SYNC_COMPLETION_MS);
        else
            port_settle(r);
        break;
    case KSHS_ROUTE_APC:
        if (expected)
            wait_arrival(r, now_ms() + SYNC_COMPLETION_MS);
        else
            SleepEx(0, TRUE);
        break;
    default:
        break;
    }
}

/* ---- sending ------------------------------------------------------------------------- */

static void *out_pointer(const user_request *r)
{
    return r->step.out_kind == KSHS_BUFFER_ALIAS ? r->in.pointer : r->out.pointer;
}

static void arm(user_request *r)
{
    buffer_refill(&r->in, 0, r->data, r->step.data_length);
    if (r->step.out_kind != KSHS_BUFFER_ALIAS)
        buffer_refill(&r->out, KSHS_OUT_FILL, NULL, 0);
    r->status.Status = (NTSTATUS)KSHS_POISON_STATUS;
    r->status.Information = (ULONG_PTR)KSHS_POISON_INFORMATION;
    InterlockedExchange(&r->arrivals, 0);
    InterlockedExchange(&r->marker, 0);
    ResetEvent(r->event);
}

/* One control.  False: it is still with the driver when the time is over. */
static bool send_once(user_request *r, uint64_t deadline_ms)
{
    HANDLE event = r->step.route == KSHS_ROUTE_EVENT ? r->event : NULL;
    PIO_APC_ROUTINE apc = r->step.route == KSHS_ROUTE_APC ? apc_arrived : NULL;
    void *context = r->step.route == KSHS_ROUTE_APC || r->step.route == KSHS_ROUTE_PORT ? (void *)r->serial : NULL;
    uint64_t begin = now_ns();
    bool back = true;
    NTSTATUS result;

    result = NtDeviceIoControlFile(r->file, event, apc, context, &r->status, r->step.control, r->in.pointer,
                                   r->step.in_length, out_pointer(r), r->step.out_length);
    SetEvent(r->issued);
    r->record.returned = (uint32_t)result;
    r->record.repeats++;
    if (result == STATUS_PENDING) {
        r->record.flags |= KSHS_REC_PENDING;
        if (r->step.route == KSHS_ROUTE_SYNC)   /* the I/O manager waits by itself: this is an odd kernel */
            back = WaitForSingleObject(r->file, left_until(deadline_ms)) == WAIT_OBJECT_0;
        else
            back = wait_arrival(r, deadline_ms);
    } else {
        look_for_arrival(r, !NT_ERROR(result));
    }
    r->record.duration_ns += now_ns() - begin;
    return back;
}

static void record_result(user_request *r)
{
    kshs_record *record = &r->record;
    bool alias = r->step.out_kind == KSHS_BUFFER_ALIAS;
    const io_buffer *out = alias ? &r->in : &r->out;
    uint32_t keep = r->step.out_length < KSHS_KEEP_BYTES ? r->step.out_length : KSHS_KEEP_BYTES;
    kshs_record input;

    record->flags |= KSHS_REC_IOSB_VISIBLE;
    record->status = (uint32_t)r->status.Status;
    record->information = r->status.Information;
    if (record->status != KSHS_POISON_STATUS)
        record->flags |= KSHS_REC_STATUS_WRITTEN;
    if (r->status.Information != (ULONG_PTR)KSHS_POISON_INFORMATION)
        record->flags |= KSHS_REC_INFO_WRITTEN;
    else
        record->information = KSHS_POISON_INFORMATION;
    record->completions = (uint32_t)r->arrivals;
    if (r->arrivals)
        record->flags |= KSHS_REC_SIGNALLED;
    if (r->cancelled)
        record->flags |= KSHS_REC_CANCELLED;

    buffer_compare(&r->in, 0, r->data, r->step.data_length, &input);
    if (!input.changed_bytes)
        record->flags |= KSHS_REC_IN_INTACT;
    if (!out->readable)
        return;
    record->flags |= KSHS_REC_OUT_VISIBLE;
    if (alias)
        buffer_compare(out, 0, r->data, r->step.data_length, record);
    else
        buffer_compare(out, KSHS_OUT_FILL, NULL, 0, record);
    if (buffer_guard_low_intact(out))
        record->flags |= KSHS_REC_GUARD_LOW;
    if (buffer_guard_high_intact(out))
        record->flags |= KSHS_REC_GUARD_HIGH;
    record->data_length = keep < out->space ? keep : out->space;
    memcpy(r->kept, out->pointer, record->data_length);
}

/* All repeats.  False: the last one is still with the driver. */
static bool send_all(user_request *r)
{
    uint32_t repeats = r->step.repeat ? r->step.repeat : 1;
    uint64_t deadline = UINT64_MAX;

    /* The timeout of an ASYNC request is WAIT's affair. */
    if (r->step.timeout_ms && r->context)
        deadline = now_ms() + r->step.timeout_ms;
    r->record.begin_ns = now_ns();
    r->record.thread = GetCurrentThreadId();
    do {
        if (r->record.repeats) {
            arm(r);
            r->record.flags = 0;
        }
        if (!send_once(r, deadline))
            return false;
        if (r->context && r->context->state == STEP_ABANDONED)
            return true;
        if (deadline != UINT64_MAX && r->record.repeats < repeats && now_ms() >= deadline) {
            r->record.outcome = KSHS_OUTCOME_HUNG;
            r->record.detail = (uint32_t)STATUS_TIMEOUT;
            return true;
        }
    } while (r->record.repeats < repeats && !r->cancelled && !r->closing);
    record_result(r);
    return true;
}

static DWORD WINAPI request_main(void *parameter)
{
    user_request *r = parameter;
    bool orphan;

    send_all(r);
    EnterCriticalSection(&requests.lock);
    r->finished = 1;
    orphan = r->orphan != 0;
    LeaveCriticalSection(&requests.lock);
    SetEvent(r->done);
    if (orphan)
        request_release(r);
    return 0;
}

/* ---- REQUEST --------------------------------------------------------------------------- */

static bool kinds_known(const kshs_step *step)
{
    return step->in_kind <= KSHS_BUFFER_PAGE_END && step->in_kind != KSHS_BUFFER_ALIAS &&
           step->out_kind <= KSHS_BUFFER_PAGE_END;
}

/* Wine copies user buffers before the driver sees the request; what it cannot copy never gets there. */
static const wchar_t *wine_cannot(const kshs_step *step)
{
    if (!nt_is_wine())
        return NULL;
    if (step->in_length > KSHS_BUFFER_SIZE || step->out_length > KSHS_BUFFER_SIZE)
        return L"Wine copies as many bytes as the length says, and the buffer has fewer";
    if (step->in_length && (step->in_kind == KSHS_BUFFER_NULL || step->in_kind == KSHS_BUFFER_FREED))
        return L"Wine reads the input buffer itself, and there is none";
    if (step->out_length && (step->out_kind == KSHS_BUFFER_NULL || step->out_kind == KSHS_BUFFER_FREED ||
                             step->out_kind == KSHS_BUFFER_READONLY))
        return L"Wine checks the output buffer itself, and it cannot be written to";
    return NULL;
}

static bool request_possible(step_context *context, user_slot *slot)
{
    const kshs_step *step = context->step;
    const wchar_t *obstacle;

    if (!slot) {
        step_refuse(context, STATUS_INVALID_HANDLE, L"slot %lu is not open", (unsigned long)step->slot);
        return false;
    }
    if (step->route < KSHS_ROUTE_SYNC || step->route > KSHS_ROUTE_APC || !kinds_known(step) ||
        step->flags & ~(uint32_t)KSHS_STEP_ASYNC || step->data_length > KSHS_BUFFER_SIZE) {
        step_refuse(context, STATUS_INVALID_PARAMETER, L"route, buffer kind, flags or data do not fit the user side");
        return false;
    }
    if (slot->synchronous != (step->route == KSHS_ROUTE_SYNC)) {
        step_refuse(context, STATUS_INVALID_PARAMETER, L"slot %lu holds %ls handle, and the route needs the other kind",
                    (unsigned long)step->slot, slot->synchronous ? L"a synchronous" : L"an asynchronous");
        return false;
    }
    if (step->route == KSHS_ROUTE_APC && slot->on_port) {
        step_refuse(context, STATUS_INVALID_PARAMETER,
                    L"slot %lu is tied to a completion port and takes no APCs any more; open another one",
                    (unsigned long)step->slot);
        return false;
    }
    if (step->flags & KSHS_STEP_ASYNC && (step->token >= KSHS_MAX_TOKENS || requests.tokens[step->token])) {
        step_refuse(context, step->token < KSHS_MAX_TOKENS ? STATUS_OBJECT_NAME_COLLISION : STATUS_INVALID_PARAMETER,
                    L"token %lu is in use or none", (unsigned long)step->token);
        return false;
    }
    obstacle = wine_cannot(step);
    if (obstacle) {
        step_unsupported(context, STATUS_NOT_SUPPORTED, L"%ls", obstacle);
        return false;
    }
    if (step->route == KSHS_ROUTE_PORT) {
        if (!nt.remove_io_completion || !nt.set_io_completion || !port_tie(slot)) {
            step_unsupported(context, STATUS_NOT_SUPPORTED, L"the handle cannot be tied to a completion port");
            return false;
        }
    }
    return true;
}

static user_request *request_make(step_context *context, user_slot *slot)
{
    const kshs_step *step = context->step;
    user_request *r = request_new();
    bool prepared;

    if (!r)
        return NULL;
    r->step = *step;
    r->file = slot->handle;
    r->slot = step->slot;
    r->record = context->record;
    r->context = step->flags & KSHS_STEP_ASYNC ? NULL : context;
    if (step->data_length) {
        r->data = malloc(step->data_length);
        if (r->data)
            memcpy(r->data, context->data, step->data_length);
    }
    prepared = buffer_prepare(&r->in, step->in_kind, step->in_length, 0, r->data, r->data ? step->data_length : 0);
    /* An aliased output buffer is the input's; the output's own place stays an ordinary one. */
    prepared = buffer_prepare(&r->out, step->out_kind == KSHS_BUFFER_ALIAS ? KSHS_BUFFER_NORMAL : step->out_kind,
                              step->out_length, KSHS_OUT_FILL, NULL, 0) && prepared;
    if (!prepared || (step->data_length && !r->data)) {
        request_release(r);
        return NULL;
    }
    arm(r);
    return r;
}

static void request_start(step_context *context, user_request *r)
{
    r->thread = CreateThread(NULL, 0, request_main, r, CREATE_SUSPENDED, NULL);
    if (!r->thread) {
        request_release(r);
        step_refuse(context, STATUS_NO_MEMORY, L"no thread for it");
        return;
    }
    EnterCriticalSection(&requests.lock);
    requests.tokens[context->step->token] = r;
    LeaveCriticalSection(&requests.lock);
    ResumeThread(r->thread);
    /* A CANCEL or CLOSE that follows is to find it with the driver, as far as that can be seen from here. */
    WaitForSingleObject(r->issued, START_GRACE_MS);
    if (step_claim(context))
        context->record.outcome = KSHS_OUTCOME_STARTED;
}

void request_step(step_context *context)
{
    user_slot *slot = slot_get(context->step->slot);
    user_request *r;
    bool back;

    requests_start();
    if (!request_possible(context, slot))
        return;
    r = request_make(context, slot);
    if (!r) {
        step_refuse(context, STATUS_NO_MEMORY, L"no memory for its buffers");
        return;
    }
    if (context->step->flags & KSHS_STEP_ASYNC) {
        request_start(context, r);
        return;
    }
    back = send_all(r);
    r->context = NULL;
    if (step_claim(context)) {
        context->record = r->record;
        memcpy(context->reply, r->kept, r->record.data_length);
        if (!back) {
            context->record.outcome = KSHS_OUTCOME_HUNG;
            context->record.detail = (uint32_t)STATUS_TIMEOUT;
        }
    }
    if (back)
        request_release(r);         /* else the driver may still write to it: it is left alone */
}

/* ---- WAIT, CANCEL, the end ------------------------------------------------------------------ */

static user_request *token_get(step_context *context)
{
    uint32_t token = context->step->token;

    requests_start();
    if (token < KSHS_MAX_TOKENS && requests.tokens[token])
        return requests.tokens[token];
    step_refuse(context, STATUS_NOT_FOUND, L"no request has the token %lu", (unsigned long)token);
    return NULL;
}

void request_wait_step(step_context *context)
{
    user_request *r = token_get(context);

    if (!r)
        return;
    if (WaitForSingleObject(r->done, context->step->timeout_ms ? context->step->timeout_ms : INFINITE) !=
        WAIT_OBJECT_0) {
        if (step_claim(context)) {  /* the token stays: CANCEL and another WAIT may follow */
            context->record.outcome = KSHS_OUTCOME_HUNG;
            context->record.detail = (uint32_t)STATUS_TIMEOUT;
        }
        return;
    }
    if (!step_claim(context))
        return;
    requests.tokens[context->step->token] = NULL;
    context->record = r->record;
    context->record.op = KSHS_OP_WAIT;
    memcpy(context->reply, r->kept, r->record.data_length);
    WaitForSingleObject(r->thread, INFINITE);       /* it is past its last instruction but the return */
    request_release(r);
}

/* STATUS_NOT_FOUND: it was complete already. STATUS_NOT_SUPPORTED: this guest cannot. */
static NTSTATUS cancel(user_request *r)
{
    IO_STATUS_BLOCK status;
    NTSTATUS result = STATUS_NOT_SUPPORTED;

    if (r->finished)
        return STATUS_NOT_FOUND;
    if (r->step.route == KSHS_ROUTE_SYNC && nt.cancel_synchronous_io_file) {
        result = nt.cancel_synchronous_io_file(r->thread, NULL, &status);
    } else if (nt.cancel_io_file_ex && !r->closing) {
        result = nt.cancel_io_file_ex(r->file, &r->status, &status);
    } else if (r->step.route != KSHS_ROUTE_SYNC && nt.cancel_io_file && !r->closing) {
        InterlockedExchange(&r->cancelled, 1);
        SetEvent(r->cancel);
        return STATUS_SUCCESS;
    }
    if (NT_SUCCESS(result))
        InterlockedExchange(&r->cancelled, 1);
    return result;
}

void request_cancel_step(step_context *context)
{
    user_request *r = token_get(context);
    NTSTATUS result;

    if (!r)
        return;
    result = cancel(r);
    if (result == STATUS_NOT_SUPPORTED || result == STATUS_NOT_IMPLEMENTED) {
        step_unsupported(context, result, L"this guest cannot cancel it");
        return;
    }
    if (step_claim(context))
        context->record.returned = (uint32_t)result;
}

void request_slot_closing(uint32_t slot)
{
    user_request *r;

    requests_start();
    EnterCriticalSection(&requests.lock);
    for (r = requests.list; r; r = r->next)
        if (r->slot == slot)
            InterlockedExchange(&r->closing, 1);
    LeaveCriticalSection(&requests.lock);
}

void requests_forget(void)
{
    unsigned token;

    requests_start();
    for (token = 0; token < KSHS_MAX_TOKENS; token++) {
        user_request *r = requests.tokens[token];
        bool finished;

        if (!r)
            continue;
        cancel(r);
        InterlockedExchange(&r->closing, 1);
        EnterCriticalSection(&requests.lock);
        requests.tokens[token] = NULL;
        finished = r->finished != 0;
        r->orphan = 1;
        LeaveCriticalSection(&requests.lock);
        if (finished) {
            WaitForSingleObject(r->thread, INFINITE);
            request_release(r);
        }
    }
}
