/* SPDX-License-Identifier: Apache-2.0
 *
 * request.c - one I/O control: buffers, sending, cancelling, its end.
 */
#include "ksclient.h"
#include <ks.h>

/* A driver that returns anything but STATUS_PENDING has completed the IRP.  One
 * that has not is given this long before the record says "no completion". */
#define LOST_GRACE_MS 100

/* ---- life -------------------------------------------------------------------------- */

static uint32_t capped(uint32_t length)
{
    return length < KSHS_BUFFER_SIZE ? length : KSHS_BUFFER_SIZE;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Of all repeats, as their buffers are to be. */
static uint32_t longest(uint32_t length, uint32_t stride, uint32_t repeat)
{
    return capped(stride && repeat ? length + stride * (repeat - 1) : length);
}

static NTSTATUS create_buffers(ksc_request *request)
{
    const ksc_parameters *p = &request->p;
    BOOLEAN buffered = (p->control & 3) == METHOD_BUFFERED && p->route == KSHS_ROUTE_IRP;
    uint32_t out_length = longest(p->out_length, p->out_stride, p->repeat);
    uint32_t length;
    NTSTATUS status;

    /* All data is there even if the driver is told less: a 32-byte input said to have 31. */
    request->in_bytes = larger(longest(p->in_length, p->in_stride, p->repeat), p->in_data_length);
    length = request->in_bytes;
    if (buffered || p->out_kind == KSHS_BUFFER_ALIAS) {
        length = larger(length, out_length);
        request->result = &request->in;
    } else {
        request->result = &request->out;
    }
    /* As the I/O manager has it: no lengths, no system buffer. */
    status = ksc_buffer_create(&request->in, buffered && !length ? KSHS_BUFFER_NULL : p->in_kind, length, p->in_data,
                               p->in_data_length, request->in_bytes);
    if (NT_SUCCESS(status) && request->result == &request->out)
        status = ksc_buffer_create(&request->out, p->out_kind, larger(out_length, p->out_data_length), p->out_data,
                                   p->out_data_length, 0);
    return status;
}

NTSTATUS ksc_request_create(ksc_context *context, PFILE_OBJECT file, const ksc_parameters *parameters,
                            ksc_request **request)
{
    ksc_request *created = kshs_zalloc(sizeof *created, KSC_TAG);
    NTSTATUS status;

    if (!created)
        return STATUS_INSUFFICIENT_RESOURCES;
    created->references = 1;
    created->token = KSHS_NO_TOKEN;
    created->p = *parameters;
    KeInitializeSpinLock(&created->lock);
    KeInitializeEvent(&created->cancellers_gone, NotificationEvent, FALSE);
    ksc_record_init(&created->record, parameters->op);
    ObReferenceObject(file);
    created->file = file;
    ksc_context_reference(context);
    created->context = context;
    status = create_buffers(created);
    created->p.in_data = created->p.out_data = NULL;    /* the caller's, and copied */
    if (!NT_SUCCESS(status)) {
        RtlZeroMemory(created->p.arguments, sizeof created->p.arguments);   /* still the caller's */
        RtlZeroMemory(created->p.takes, sizeof created->p.takes);
        ksc_request_release(created);
        return status;
    }
    *request = created;
    return STATUS_SUCCESS;
}

void ksc_request_reference(ksc_request *request)
{
    InterlockedIncrement(&request->references);
}

void ksc_request_release(ksc_request *request)
{
    if (InterlockedDecrement(&request->references))
        return;
    ksc_buffer_free(&request->in);
    ksc_buffer_free(&request->out);
    ksc_made_release(&request->p);
    ObDereferenceObject(request->file);
    ksc_context_release(request->context);
    ExFreePoolWithTag(request, KSC_TAG);
}

/* ---- in the context ------------------------------------------------------------------ */

NTSTATUS ksc_request_begin(ksc_request *request, ksc_call *call)
{
    ksc_context *context = request->context;
    NTSTATUS status = STATUS_SUCCESS;
    KIRQL irql;

    KeAcquireSpinLock(&context->lock, &irql);
    if (context->released) {
        status = STATUS_DELETE_PENDING;
    } else {
        InsertTailList(&context->requests, &request->link);
        request->linked = TRUE;
        ksc_request_reference(request);
        if (call) {
            ksc_call_reference(call);
            ksc_request_reference(request);
            request->call = call;
            call->request = request;
        }
    }
    KeReleaseSpinLock(&context->lock, irql);
    return status;
}

/* Under context->lock: the call that waits for the request, with the caller now
 * owning the references that the two had to each other. */
static ksc_call *part_locked(ksc_request *request)
{
    ksc_call *call = request->call;

    if (call) {
        request->call = NULL;
        call->request = NULL;
    }
    return call;
}

void ksc_request_part(ksc_call *call, kshs_record *record)
{
    ksc_context *context = call->context;
    ksc_request *request;
    KIRQL irql;

    KeAcquireSpinLock(&context->lock, &irql);
    request = call->request;
    if (request)
        part_locked(request);
    KeReleaseSpinLock(&context->lock, irql);
    if (!request)
        return;
    if (record) {
        KeAcquireSpinLock(&request->lock, &irql);
        *record = request->record;
        if (request->cancelled)
            record->flags |= KSHS_REC_CANCELLED;
        KeReleaseSpinLock(&request->lock, irql);
        record->op = call->step.op;
        record->data_length = 0;
        if (record->begin_ns)
            record->duration_ns = kshs_now_ns() - record->begin_ns;
    }
    ksc_request_release(request);
    ksc_call_release(call);
}

uint64_t ksc_request_sent_ns(ksc_call *call)
{
    ksc_context *context = call->context;
    ksc_request *request;
    uint64_t sent = 0;
    KIRQL irql;

    KeAcquireSpinLock(&context->lock, &irql);
    request = call->request;
    if (request)
        ksc_request_reference(request);
    KeReleaseSpinLock(&context->lock, irql);
    if (!request)
        return 0;
    KeAcquireSpinLock(&request->lock, &irql);
    sent = request->sent_ns;
    KeReleaseSpinLock(&request->lock, irql);
    ksc_request_release(request);
    return sent;
}

/* The token's reference, if the request still has the token. */
static void give_up_token(ksc_request *request)
{
    ksc_context *context = request->context;
    BOOLEAN had = FALSE;
    KIRQL irql;

    KeAcquireSpinLock(&context->lock, &irql);
    if (request->token != KSHS_NO_TOKEN && context->tokens[request->token] == request) {
        context->tokens[request->token] = NULL;
        had = TRUE;
    }
    KeReleaseSpinLock(&context->lock, irql);
    if (had)
        ksc_request_release(request);
}

void ksc_request_finish(ksc_request *request)
{
    ksc_context *context = request->context;
    BOOLEAN was_linked;
    ksc_call *call;
    KIRQL irql;

    KeAcquireSpinLock(&context->lock, &irql);
    request->done = TRUE;
    was_linked = request->linked;
    request->linked = FALSE;
    if (was_linked)
        RemoveEntryList(&request->link);
    call = part_locked(request);
    KeSetEvent(&context->changed, IO_NO_INCREMENT, FALSE);
    KeReleaseSpinLock(&context->lock, irql);

    if (call) {
        kshs_record record = request->record;

        record.op = call->step.op;
        if (ksc_call_answer(call, &record, request->result->pointer))
            give_up_token(request);
        ksc_call_release(call);
        ksc_request_release(request);
    }
    if (was_linked)
        ksc_request_release(request);
}

/* ---- cancelling ------------------------------------------------------------------------- */

int ksc_request_cancel(ksc_request *request)
{
    ksc_attempt *attempt;
    BOOLEAN called;
    int found = KSC_CANCEL_REACHED;
    KIRQL irql;

    KeAcquireSpinLock(&request->lock, &irql);
    attempt = request->attempt;
    if (attempt && attempt->done)
        attempt = NULL;
    if (request->sent || (!attempt && request->record.repeats >= larger(request->p.repeat, 1))) {
        attempt = NULL;
        found = KSC_CANCEL_NOTHING;
    }
    if (found == KSC_CANCEL_REACHED) {
        request->cancelled = TRUE;
        if (attempt)
            request->cancellers++;          /* the IRP stays allocated while this is not 0 */
    }
    KeReleaseSpinLock(&request->lock, irql);
    if (!attempt)
        return found;

    called = IoCancelIrp(attempt->irp);
    KeAcquireSpinLock(&request->lock, &irql);
    if (!--request->cancellers)
        KeSetEvent(&request->cancellers_gone, IO_NO_INCREMENT, FALSE);
    KeReleaseSpinLock(&request->lock, irql);
    return called ? KSC_CANCEL_ROUTINE : KSC_CANCEL_REACHED;
}

/* The IRP is no longer in flight; returns when nobody is cancelling it any more. */
static void withdraw(ksc_request *request)
{
    KIRQL irql;

    KeAcquireSpinLock(&request->lock, &irql);
    request->attempt = NULL;
    while (request->cancellers) {
        KeClearEvent(&request->cancellers_gone);
        KeReleaseSpinLock(&request->lock, irql);
        KeWaitForSingleObject(&request->cancellers_gone, Executive, KernelMode, FALSE, NULL);
        KeAcquireSpinLock(&request->lock, &irql);
    }
    KeReleaseSpinLock(&request->lock, irql);
}

/* ---- sending ---------------------------------------------------------------------------- */

static void publish(ksc_request *request, const kshs_record *record)
{
    KIRQL irql;

    KeAcquireSpinLock(&request->lock, &irql);
    request->record = *record;
    KeReleaseSpinLock(&request->lock, irql);
}

/* The request is about to leave: from here on a STARTED is true, and its time runs. */
static void announce(ksc_request *request, const kshs_record *record)
{
    uint64_t now = request->p.repeat > 1 ? kshs_now_ns() : 0;
    ksc_call *starter = request->starter;
    kshs_record started;
    KIRQL irql;

    KeAcquireSpinLock(&request->lock, &irql);
    request->record = *record;
    request->sent_ns = now;
    KeReleaseSpinLock(&request->lock, irql);
    if (!starter)
        return;
    request->starter = NULL;
    ksc_record_init(&started, record->op);
    started.outcome = KSHS_OUTCOME_STARTED;
    ksc_call_answer(starter, &started, NULL);
}

static void note_irql(kshs_record *record)
{
    KIRQL irql = kshs_current_irql();

    record->irql_after = irql;
    if (irql != PASSIVE_LEVEL)
        KeLowerIrql(PASSIVE_LEVEL);         /* noted; we have to go on */
}

static NTSTATUS send_call(ksc_request *request, kshs_record *record)
{
    const ksc_parameters *p = &request->p;
    ULONG bytes = (ULONG)KSHS_POISON_INFORMATION;
    uint64_t start;

    announce(request, record);
    start = kshs_now_ns();
    if (!record->begin_ns)
        record->begin_ns = start;
    record->returned = KSHS_STATUS_U32(KsSynchronousIoControlDevice(
        request->file, p->mode == KSHS_MODE_USER ? UserMode : KernelMode, p->control, request->in.pointer,
        p->in_length, request->result->pointer, p->out_length, &bytes));
    record->duration_ns += kshs_now_ns() - start;
    note_irql(record);
    if (bytes != (ULONG)KSHS_POISON_INFORMATION) {
        record->information = bytes;
        record->flags |= KSHS_REC_INFO_WRITTEN;
    }
    return STATUS_SUCCESS;
}

/* The driver neither completed the IRP nor said that it would.  It may still
 * write to IRP and buffers, so all of them stay for good. */
static void leave_behind(ksc_request *request)
{
    KSC_LOG("control %08x returned without completing its IRP, which is left to the driver\n",
            (unsigned)request->p.control);
    ksc_request_reference(request);
    ksc_image_pin();
}

/* The record tells what the output held when the IRP was completed. */
static void undo_late_output(ksc_request *request, const ksc_attempt *attempt)
{
    uint8_t *output = request->result->pointer;

    if (!attempt->shown_length ||
        RtlCompareMemory(output, attempt->shown, attempt->shown_length) == attempt->shown_length)
        return;
    KSC_LOG("control %08x wrote to its output after it had completed its IRP\n", (unsigned)request->p.control);
    RtlCopyMemory(output, attempt->shown, attempt->shown_length);
}

static NTSTATUS send_irp(ksc_request *request, PDEVICE_OBJECT device, kshs_record *record)
{
    ksc_attempt *attempt = ksc_attempt_create(request, device);
    NTSTATUS returned, waited = STATUS_SUCCESS;
    uint64_t start;
    KIRQL irql;

    if (!attempt)
        return STATUS_INSUFFICIENT_RESOURCES;
    KeAcquireSpinLock(&request->lock, &irql);
    request->attempt = attempt;
    KeReleaseSpinLock(&request->lock, irql);
    announce(request, record);

    start = kshs_now_ns();
    if (!record->begin_ns)
        record->begin_ns = start;
    returned = IoCallDriver(device, attempt->irp);
    note_irql(record);
    record->returned = KSHS_STATUS_U32(returned);
    if (returned == STATUS_PENDING) {
        record->flags |= KSHS_REC_PENDING;
        publish(request, record);
        KeWaitForSingleObject(&attempt->completed, Executive, KernelMode, FALSE, NULL);
    } else if (!attempt->done) {
        LARGE_INTEGER grace = kshs_relative_ms(LOST_GRACE_MS);

        waited = KeWaitForSingleObject(&attempt->completed, Executive, KernelMode, FALSE, &grace);
    }
    record->duration_ns += kshs_now_ns() - start;
    if (waited == STATUS_TIMEOUT) {
        ksc_record_iosb(record, attempt->irp->IoStatus.Status, attempt->irp->IoStatus.Information);
        leave_behind(request);
        return STATUS_SUCCESS;
    }
    /* A second completion of an IRP that was pending comes from another thread, just now. */
    if (returned == STATUS_PENDING)
        kshs_sleep_ms(1);
    withdraw(request);
    undo_late_output(request, attempt);
    record->completions = (uint32_t)attempt->runs;
    if (attempt->pending_returned)
        record->flags |= KSHS_REC_PENDING_RETURNED;
    ksc_record_iosb(record, attempt->status, attempt->information);
    ksc_attempt_retire(attempt);
    return STATUS_SUCCESS;
}

static BOOLEAN input_intact(const ksc_request *request)
{
    const ksc_buffer *in = &request->in;

    if (!in->readable)
        return TRUE;
    if (request->in_bytes &&
        RtlCompareMemory(in->pointer, in->original, request->in_bytes) != request->in_bytes)
        return FALSE;
    /* Where input and output are one, the guards are the output's. */
    return request->result == in || (ksc_buffer_guard_low(in) && ksc_buffer_guard_high(in));
}

static void describe(ksc_request *request, kshs_record *record)
{
    const ksc_parameters *p = &request->p;
    uint32_t length = p->out_length;

    ksc_record_output(record, request->result, length);
    if (input_intact(request))
        record->flags |= KSHS_REC_IN_INTACT;
    if (!request->result->readable)
        return;
    if (length > p->keep)
        length = p->keep;
    if (length > request->result->length)
        length = request->result->length;
    if (p->keep_information) {
        uint64_t information = record->flags & KSHS_REC_INFO_WRITTEN ? record->information : 0;

        if (information < length)
            length = (uint32_t)information;
    }
    record->data_length = length;
}

/* Of what a call that was told of has given; of one that ended in an error nobody says which, nor what it left. */
static uint64_t report_sum(const kshs_pin_handshake *report)
{
    const kshs_handshake *answer = &report->answer;

    if (NT_ERROR(report->returned))
        return 0;
    return 1 + ((uint64_t)report->returned << 1) + (answer->argument1 ^ answer->argument2 * 3);
}

/* Of the output that the record keeps, by FNV-1a: a stale or missing answer changes nothing else. */
static uint64_t output_sum(const ksc_request *request, const kshs_record *record)
{
    uint64_t sum = 0xCBF29CE484222325;
    uint32_t i;

    if (request->p.reports && record->data_length == sizeof(kshs_pin_handshake))
        return report_sum((const kshs_pin_handshake *)request->result->pointer);
    for (i = 0; i < record->data_length; i++)
        sum = (sum ^ request->result->pointer[i]) * 0x100000001B3;
    return sum;
}

/* Whether the IRP was marked pending if and only if STATUS_PENDING was returned. */
static BOOLEAN marked_rightly(const kshs_record *record)
{
    return !(record->flags & KSHS_REC_PENDING) == !(record->flags & KSHS_REC_PENDING_RETURNED);
}

static BOOLEAN varies(const ksc_parameters *p)
{
    return p->flips || p->in_stride || p->out_stride;
}

static BOOLEAN refused(const kshs_record *record)
{
    return NT_ERROR(record->flags & KSHS_REC_STATUS_WRITTEN ? record->status : record->returned);
}

static BOOLEAN same_answer(const kshs_record *a, const kshs_record *b)
{
    if (!((a->flags ^ b->flags) & KSHS_REC_PENDING) && a->returned != b->returned)
        return FALSE;
    return a->status == b->status;
}

/* Repeats end with the first that differs, so that the record shows it.  That one pended and another did not is
 * no difference: a driver may.  Nor is, where the repeats are not the same request, what a refused one leaves in
 * Information and in the output: nobody says what that is, and it may go with what varies. */
static BOOLEAN differ(const ksc_parameters *p, const kshs_record *a, const kshs_record *b, BOOLEAN sums_differ)
{
    /* A driver may give another pointer each time. */
    const BOOLEAN takes = p->takes[0] || p->takes[1];
    const uint32_t facts = KSHS_REC_GUARD_LOW | KSHS_REC_GUARD_HIGH | KSHS_REC_IN_INTACT;
    BOOLEAN both_refused = refused(a) && refused(b);

    if (!same_answer(a, b) && !(p->errors_alike && both_refused))
        return TRUE;
    if (a->completions != b->completions || a->irql_after != b->irql_after ||
        marked_rightly(a) != marked_rightly(b) || ((a->flags ^ b->flags) & facts))
        return TRUE;
    if (varies(p) && both_refused)
        return FALSE;
    if (p->reports)
        return a->information != b->information || sums_differ;
    return a->information != b->information ||
           (!takes && (sums_differ || a->changed_first != b->changed_first || a->changed_last != b->changed_last));
}

static void flip(ksc_buffer *buffer, uint32_t bit)
{
    buffer->original[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

/* What the repeat of this number says and holds; those before it have been sent. */
static void vary(ksc_request *request, uint32_t number)
{
    ksc_parameters *p = &request->p;

    if (p->flips) {
        if (number)
            flip(&request->in, p->first_bit + number - 1);
        flip(&request->in, p->first_bit + number);
    }
    if (p->in_stride || p->out_stride) {
        if (number) {
            p->in_length += p->in_stride;
            p->out_length += p->out_stride;
        }
        request->in_bytes = larger(capped(p->in_length), p->in_data_length);
        ksc_buffer_fit(&request->in, request->in_bytes);
        ksc_buffer_fit(&request->out, larger(capped(p->out_length), p->out_data_length));
    }
}

/* An IRP that nobody has completed is still in the driver's hands, and so is what it carries. */
static BOOLEAN is_back(const ksc_request *request, const kshs_record *record)
{
    return request->p.route != KSHS_ROUTE_IRP || record->completions;
}

static BOOLEAN is_accepted(const kshs_record *record)
{
    NTSTATUS status = (NTSTATUS)(record->flags & KSHS_REC_STATUS_WRITTEN ? record->status : record->returned);

    return NT_SUCCESS(status) && status != STATUS_PENDING;
}

NTSTATUS ksc_request_send(ksc_request *request)
{
    PDEVICE_OBJECT device = kshs_related_device(request->file);
    uint32_t repeats = request->p.repeat ? request->p.repeat : 1;
    uint64_t begin = 0, duration = 0, sum = 0;
    kshs_record first, record;
    NTSTATUS status = STATUS_CANCELLED;     /* before anything was sent */
    uint32_t i;
    KIRQL irql;

    if (!device)
        return STATUS_NO_SUCH_DEVICE;
    RtlZeroMemory(&first, sizeof first);
    ksc_image_pin();
    for (i = 0; i < repeats && !request->cancelled; i++) {
        ksc_record_init(&record, request->p.op);
        record.begin_ns = begin;
        record.duration_ns = duration;
        record.thread = (uint64_t)(ULONG_PTR)PsGetCurrentThreadId();
        record.repeats = i + 1;
        vary(request, i);
        record.in_pointer = (uint64_t)(ULONG_PTR)request->in.pointer;
        record.out_pointer = (uint64_t)(ULONG_PTR)request->result->pointer;
        ksc_buffer_arm(&request->in);
        if (request->result != &request->in)
            ksc_buffer_arm(request->result);
        ksc_made_carry(&request->p);
        status = request->p.route == KSHS_ROUTE_CALL ? send_call(request, &record)
                                                     : send_irp(request, device, &record);
        if (!NT_SUCCESS(status) || is_back(request, &record))
            ksc_made_back(request, NT_SUCCESS(status) && is_accepted(&record));
        if (!NT_SUCCESS(status)) {          /* out of memory: what was not sent must not look sent */
            record.outcome = KSHS_OUTCOME_REFUSED;
            record.detail = KSHS_STATUS_U32(status);
            publish(request, &record);
            break;
        }
        describe(request, &record);
        publish(request, &record);
        begin = record.begin_ns;
        duration = record.duration_ns;
        if (!i) {
            first = record;
            sum = output_sum(request, &record);
        } else if (differ(&request->p, &first, &record, output_sum(request, &record) != sum)) {
            break;
        }
        /* A driver that may still write to the buffers must not find them changed under its hands. */
        if (varies(&request->p) && request->p.route == KSHS_ROUTE_IRP && !record.completions)
            break;
    }
    KeAcquireSpinLock(&request->lock, &irql);
    request->sent = TRUE;
    if (request->cancelled)
        request->record.flags |= KSHS_REC_CANCELLED;
    KeReleaseSpinLock(&request->lock, irql);
    ksc_image_unpin();
    return i ? STATUS_SUCCESS : status;
}
