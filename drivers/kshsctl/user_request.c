/* SPDX-License-Identifier: Apache-2.0
 *
 * user_request.c - the steps about requests of the user side: REQUEST, WAIT,
 * CANCEL, and the life of a request between them.
 */
#include "user_request.h"
#include "kshs_varied.h"

#define START_GRACE_MS 50           /* ASYNC: so long STARTED waits for the call to return */

request_table requests;

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
        r->file_closed = r->keep_information = false;
        r->cancel_reached = false;
        r->sent_ms = 0;
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

static DWORD WINAPI request_main(void *parameter)
{
    user_request *r = parameter;
    bool orphan;

    request_send(r);
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

static bool varied_possible(const kshs_step *step)
{
    if (!kshs_is_varied(step))
        return true;
    if (!kshs_may_vary(step))
        return false;
    return step->flags & KSHS_STEP_FLIP ? kshs_flips_fit(step) : kshs_strides_fit(step);
}

/* Without ASYNC there is none to be free. */
static bool token_free(step_context *context)
{
    uint32_t token = context->step->token;

    if (!(context->step->flags & KSHS_STEP_ASYNC) || (token < KSHS_MAX_TOKENS && !requests.tokens[token]))
        return true;
    step_refuse(context, token < KSHS_MAX_TOKENS ? STATUS_OBJECT_NAME_COLLISION : STATUS_INVALID_PARAMETER,
                L"token %lu is in use or none", (unsigned long)token);
    return false;
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
        step->flags & ~(uint32_t)(KSHS_STEP_ASYNC | KSHS_STEP_FLIP | KSHS_STEP_ERRORS_ALIKE) ||
        step->data_length > KSHS_BUFFER_SIZE) {
        step_refuse(context, STATUS_INVALID_PARAMETER, L"route, buffer kind, flags or data do not fit the user side");
        return false;
    }
    if (!varied_possible(step)) {
        step_refuse(context, STATUS_INVALID_PARAMETER, L"what is to change from repeat to repeat does not fit the step");
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
    if (!token_free(context) || !closed_usable(context, slot))
        return false;
    obstacle = wine_cannot(step);
    if (obstacle) {
        step_unsupported(context, STATUS_NOT_SUPPORTED, L"%ls", obstacle);
        return false;
    }
    if (step->route == KSHS_ROUTE_PORT && !slot->closed) {
        if (!nt.remove_io_completion || !nt.set_io_completion || !port_tie(slot)) {
            step_unsupported(context, STATUS_NOT_SUPPORTED, L"the handle cannot be tied to a completion port");
            return false;
        }
    }
    return true;
}

/* Of DATA, the last OUT_DATA_LENGTH bytes are what the output buffer begins with. */
static user_request *request_make(step_context *context, user_slot *slot, const kshs_step *step, const uint8_t *data,
                                  uint32_t out_data_length)
{
    user_request *r = request_new();
    bool prepared;

    if (!r)
        return NULL;
    r->step = *step;
    r->file = slot->handle;
    r->file_closed = slot->closed;
    r->slot = step->slot;
    r->record = context->record;
    r->context = step->flags & KSHS_STEP_ASYNC ? NULL : context;
    if (step->data_length) {
        r->data = malloc(step->data_length);
        if (r->data)
            memcpy(r->data, data, step->data_length);
    }
    r->out_data_length = r->data ? out_data_length : 0;
    r->in_data_length = r->data ? step->data_length - out_data_length : 0;
    prepared = buffer_prepare(&r->in, step->in_kind, step->in_length, 0, r->data, r->in_data_length);
    /* An aliased output buffer is the input's; the output's own place stays an ordinary one. */
    prepared = buffer_prepare(&r->out, step->out_kind == KSHS_BUFFER_ALIAS ? KSHS_BUFFER_NORMAL : step->out_kind,
                              step->out_length, KSHS_OUT_FILL, NULL, 0) && prepared;
    if (!prepared || (step->data_length && !r->data)) {
        request_release(r);
        return NULL;
    }
    request_arm(r);
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
    r = request_make(context, slot, context->step, context->data, 0);
    if (!r) {
        step_refuse(context, STATUS_NO_MEMORY, L"no memory for its buffers");
        return;
    }
    if (context->step->flags & KSHS_STEP_ASYNC) {
        request_start(context, r);
        return;
    }
    back = request_send(r);
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

void request_start_control(step_context *context, user_slot *slot, const kshs_step *step, const uint8_t *data,
                           uint32_t out_data_length)
{
    user_request *r;

    requests_start();
    if (!token_free(context))
        return;
    r = request_make(context, slot, step, data, out_data_length);
    if (!r) {
        step_refuse(context, STATUS_NO_MEMORY, L"no memory for its buffers");
        return;
    }
    r->keep_information = true;
    request_start(context, r);
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

/* Each repeat has the whole time; false: one has used it up, or all together have theirs. */
static bool wait_done(step_context *context, user_request *r)
{
    uint64_t now = now_ms();
    uint32_t timeout_ms = context->step->timeout_ms;
    uint64_t limit = now + kshs_step_time_ms(context->step);
    uint64_t deadline = timeout_ms ? now + timeout_ms : UINT64_MAX;

    while (WaitForSingleObject(r->done, left_until(deadline)) != WAIT_OBJECT_0) {
        now = now_ms();
        EnterCriticalSection(&requests.lock);
        deadline = r->sent_ms + timeout_ms;
        LeaveCriticalSection(&requests.lock);
        if (deadline > limit)
            deadline = limit;
        if (deadline <= now)
            return false;
        step_again(context);
    }
    return true;
}

void request_wait_step(step_context *context)
{
    user_request *r = token_get(context);

    if (!r)
        return;
    if (!wait_done(context, r)) {
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
    if (r->cancel_reached)
        context->record.flags |= KSHS_REC_CANCELLED;
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
    InterlockedExchange(&r->cancelled, 1);      /* first: the request may be over before the call returns */
    if (r->step.route == KSHS_ROUTE_SYNC && nt.cancel_synchronous_io_file) {
        result = nt.cancel_synchronous_io_file(r->thread, NULL, &status);
    } else if (nt.cancel_io_file_ex && !r->closing) {
        result = nt.cancel_io_file_ex(r->file, &r->status, &status);
    } else if (r->step.route != KSHS_ROUTE_SYNC && nt.cancel_io_file && !r->closing) {
        SetEvent(r->cancel);
        result = STATUS_SUCCESS;
    }
    if (NT_SUCCESS(result))
        r->cancel_reached = true;
    else
        InterlockedExchange(&r->cancelled, 0);
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
