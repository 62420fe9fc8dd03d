/* SPDX-License-Identifier: Apache-2.0
 *
 * user_send.c - one I/O control from user mode, by every route: the call, the
 * wait for what the route shows, and the record of both.
 */
#include "user_request.h"

#define SYNC_COMPLETION_MS 1000     /* a call that succeeded at once has its event, entry or APC at once */
#define APC_SLICE_MS 50             /* how soon a thread that waits for an APC looks at a cancel */

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

bool port_tie(user_slot *slot)
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
    if (!requests.port)             /* only a closed handle comes here without one */
        return;
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

DWORD left_until(uint64_t deadline_ms)
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
            if (r->arrivals)
                return true;
            ResetEvent(r->event);       /* the port's thread was late with an entry of the repeat before */
            if (r->arrivals)
                return true;
        } else if (result == WAIT_OBJECT_0 + 1) {
            ResetEvent(r->cancel);
            obey_cancel(r);
        } else {
            return false;
        }
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
            wait_arrival(r, now_ms() + SYNC_COMPLETION_MS);
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

void request_arm(user_request *r)
{
    buffer_refill(&r->in, 0, r->data, r->in_data_length);
    if (r->step.out_kind != KSHS_BUFFER_ALIAS)
        buffer_refill(&r->out, KSHS_OUT_FILL, r->data + r->in_data_length, r->out_data_length);
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

    buffer_compare(&r->in, 0, r->data, r->in_data_length, &input);
    if (!input.changed_bytes)
        record->flags |= KSHS_REC_IN_INTACT;
    if (!out->readable)
        return;
    record->flags |= KSHS_REC_OUT_VISIBLE;
    if (alias)
        buffer_compare(out, 0, r->data, r->in_data_length, record);
    else
        buffer_compare(out, KSHS_OUT_FILL, r->data + r->in_data_length, r->out_data_length, record);
    if (buffer_guard_low_intact(out))
        record->flags |= KSHS_REC_GUARD_LOW;
    if (buffer_guard_high_intact(out))
        record->flags |= KSHS_REC_GUARD_HIGH;
    if (r->keep_information && (NT_ERROR(r->status.Status) || r->status.Information < keep))
        keep = NT_ERROR(r->status.Status) ? 0 : (uint32_t)r->status.Information;
    record->data_length = keep < out->space ? keep : out->space;
    memcpy(r->kept, out->pointer, record->data_length);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void note_sent(user_request *r)
{
    EnterCriticalSection(&requests.lock);
    r->sent_ms = now_ms();
    LeaveCriticalSection(&requests.lock);
}

static uint32_t answer_of(const kshs_record *record)
{
    return record->flags & KSHS_REC_STATUS_WRITTEN ? record->status : record->returned;
}

static bool varies(const user_request *r)
{
    return r->step.flags & KSHS_STEP_FLIP || r->step.value || r->step.value2;
}

static void flip(user_request *r, uint32_t bit)
{
    r->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

/* What the repeat of this number says and holds; those before it have been sent. */
static void vary(user_request *r, uint32_t number)
{
    if (r->step.flags & KSHS_STEP_FLIP) {
        if (number)
            flip(r, r->step.value + number - 1);
        flip(r, r->step.value + number);
    } else if (number) {
        r->step.in_length += r->step.value;
        r->step.out_length += r->step.value2;
        r->in.space = r->step.in_length;
        r->out.space = r->step.out_length;
    }
}

/* Where the repeats are not the same request, what a refused one leaves in Information and in the output is no
 * difference: nobody says what that is, and it may go with what varies. */
static bool differ_varied(const user_request *r, const kshs_record *first)
{
    const uint32_t facts = KSHS_REC_GUARD_LOW | KSHS_REC_GUARD_HIGH | KSHS_REC_IN_INTACT;
    const kshs_record *now = &r->record;

    if ((now->flags ^ first->flags) & facts || !NT_ERROR(answer_of(now)) || !NT_ERROR(answer_of(first)))
        return true;
    if ((now->flags & first->flags & KSHS_REC_PENDING) && now->completions != first->completions)
        return true;
    return answer_of(now) != answer_of(first) && !(r->step.flags & KSHS_STEP_ERRORS_ALIKE);
}

/* Repeats end with the first that differs, so that the record shows it.  That one pended and another did not is
 * no difference, a driver may; and what a call that ended at once has signalled may be seen or not. */
static bool differ(const user_request *r, const kshs_record *first, const uint8_t *kept)
{
    const uint32_t shown = KSHS_REC_STATUS_WRITTEN | KSHS_REC_INFO_WRITTEN;
    const uint32_t facts = KSHS_REC_GUARD_LOW | KSHS_REC_GUARD_HIGH | KSHS_REC_IN_INTACT;
    const kshs_record *now = &r->record;
    uint32_t changed = now->flags ^ first->flags;

    if (varies(r))
        return differ_varied(r, first);
    if (!(changed & KSHS_REC_PENDING) &&
        (now->returned != first->returned || now->status != first->status || (changed & shown) ||
         now->information != first->information))
        return true;
    if ((now->flags & first->flags & KSHS_REC_PENDING) && now->completions != first->completions)
        return true;
    return answer_of(now) != answer_of(first) || (changed & facts) || now->changed_first != first->changed_first ||
           now->changed_last != first->changed_last || now->data_length != first->data_length ||
           memcmp(r->kept, kept, now->data_length) != 0;
}

bool request_send(user_request *r)
{
    uint32_t repeats = r->step.repeat ? r->step.repeat : 1;
    bool timed = r->step.timeout_ms && r->context;      /* the time of an ASYNC request is WAIT's affair */
    uint64_t limit = timed ? now_ms() + kshs_step_time_ms(&r->step) : UINT64_MAX;
    uint8_t kept[KSHS_KEEP_BYTES];
    kshs_record first;

    r->record.begin_ns = now_ns();
    r->record.thread = GetCurrentThreadId();
    do {
        if (r->record.repeats || varies(r)) {
            vary(r, r->record.repeats);
            request_arm(r);
            r->record.flags = 0;
            r->record.data_length = 0;
            if (timed)
                step_again(r->context);
        }
        if (!timed && repeats > 1)
            note_sent(r);
        if (!send_once(r, timed ? earlier(now_ms() + r->step.timeout_ms, limit) : UINT64_MAX))
            return false;
        if (r->context && r->context->state == STEP_ABANDONED)
            return true;
        if (timed && r->record.repeats < repeats && now_ms() >= limit) {
            r->record.outcome = KSHS_OUTCOME_HUNG;
            r->record.detail = (uint32_t)STATUS_TIMEOUT;
            return true;
        }
        record_result(r);
        if (r->record.repeats == 1) {
            first = r->record;
            memcpy(kept, r->kept, sizeof kept);
        } else if (differ(r, &first, kept)) {
            break;
        }
    } while (r->record.repeats < repeats && !r->cancelled && !r->closing);
    if (r->file_closed && handle_taken(r->file)) {
        output_log(L"the number of the closed handle was given to another object meanwhile");
        r->record.outcome = KSHS_OUTCOME_UNSUPPORTED;
        r->record.detail = (uint32_t)STATUS_NOT_SUPPORTED;
    }
    return true;
}
