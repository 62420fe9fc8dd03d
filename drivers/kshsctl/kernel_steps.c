/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel_steps.c - steps of the kernel side: handed to ksclient.sys.
 *
 * One asynchronous handle serves all of them; the client keeps a table of
 * slots for it and releases them when it is closed.  After LOST or HUNG the
 * handle is given up and the next step opens a fresh one, with empty slots.
 */
#include "serve.h"
#include "crash.h"

#define WAIT_MARGIN_MS 2000         /* the client keeps the step's timeout itself */

typedef struct exchange {
    IO_STATUS_BLOCK status;
    HANDLE event;
    uint32_t answer_size;
    uint8_t question[sizeof(kshs_step) + KSHS_MAX_DATA];
    struct {
        kshs_record record;
        uint8_t data[KSHS_MAX_DATA];
    } answer;
} exchange;

static struct {
    HANDLE handle;
    bool was_open;                  /* once in this session */
    bool busy;                      /* a step is with the client; still set at the next one: it never came back */
    exchange *spare;                /* the buffers of the last step, free for the next */
} kernel;

static exchange *exchange_get(void)
{
    exchange *x = kernel.spare;

    kernel.spare = NULL;
    if (x)
        return x;
    x = malloc(sizeof(*x));
    if (!x)
        return NULL;
    x->event = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!x->event) {
        free(x);
        return NULL;
    }
    return x;
}

static void exchange_put(exchange *x)
{
    if (!kernel.spare) {
        kernel.spare = x;
        return;
    }
    CloseHandle(x->event);
    free(x);
}

static void lost(step_context *context, uint32_t outcome, NTSTATUS detail)
{
    if (!step_claim(context))
        return;
    context->record.outcome = outcome;
    context->record.detail = (uint32_t)detail;
    context->record.data_length = 0;
}

/* The client refused the control itself; anything else means that it is gone. */
static bool is_refusal(NTSTATUS status)
{
    switch (status) {
    case STATUS_INVALID_PARAMETER:
    case STATUS_INVALID_BUFFER_SIZE:
    case STATUS_INFO_LENGTH_MISMATCH:
    case STATUS_BUFFER_TOO_SMALL:
    case STATUS_INVALID_DEVICE_REQUEST:
    case STATUS_NOT_SUPPORTED:
    case STATUS_NOT_IMPLEMENTED:
    case STATUS_INSUFFICIENT_RESOURCES:
    case STATUS_NO_MEMORY:
        return true;
    default:
        return false;
    }
}

static bool open_client(step_context *context)
{
    HANDLE handle;
    NTSTATUS status;

    if (kernel.handle)
        return true;
    status = client_open(&handle);
    if (NT_SUCCESS(status)) {
        if (context->state == STEP_ABANDONED) {
            CloseHandle(handle);
            return false;
        }
        kernel.handle = handle;
        kernel.was_open = true;
        crash_watch_start();
        return true;
    }
    if (kernel.was_open) {
        lost(context, KSHS_OUTCOME_LOST, status);
        return false;
    }
    /* It was never there: that is the set-up's fault, and no answer to the step. */
    if (step_claim(context)) {
        context->answered = true;
        output_error(context->seq, KSHS_ERROR_CLIENT, RtlNtStatusToDosError(status),
                     L"\\\\.\\KsHsClient cannot be opened (NTSTATUS 0x%08lx); install it with: "
                     L"kshsctl install-client FILE", (unsigned long)status);
    }
    return false;
}

static void take_answer(step_context *context, exchange *x, const kshs_step *asked)
{
    const kshs_record *record = &x->answer.record;
    ULONG_PTR length = x->status.Information;

    if (length < sizeof(*record) || length > x->answer_size || record->size != sizeof(*record) ||
        record->data_length != length - sizeof(*record)) {
        output_log(L"the client's record is malformed: length %lu, size %lu, data %lu", (unsigned long)length,
                   (unsigned long)record->size, (unsigned long)record->data_length);
        lost(context, KSHS_OUTCOME_LOST, STATUS_DATA_ERROR);
        return;
    }
    if (!step_claim(context))
        return;
    context->record = *record;
    if (record->op == asked->op)
        context->record.op = context->step->op;     /* OPEN_FILTER was asked as OPEN_DEVICE */
    memcpy(context->reply, x->answer.data, record->data_length);
}

static uint32_t answer_size(const kshs_step *step)
{
    uint32_t data = KSHS_KEEP_BYTES;

    if (step->op == KSHS_OP_PROPERTY)   /* without out_length the property data says it */
        data = step->out_length ? step->out_length : step->data_length;
    else if (step->op == KSHS_OP_COUNTERS)
        data = step->out_length;
    return (uint32_t)sizeof(kshs_record) + (data > KSHS_MAX_DATA ? KSHS_MAX_DATA : data);
}

static void send(step_context *context, const kshs_step *step, const void *data)
{
    exchange *x;
    NTSTATUS status;
    uint64_t time_ms = kshs_step_time_ms(step);
    DWORD patience = INFINITE;

    if (kernel.busy) {
        kernel.busy = false;
        kernel.handle = NULL;
        output_log(L"a fresh handle to the client is used from now on, and every slot is empty");
    }
    if (!open_client(context))
        return;
    x = exchange_get();
    if (!x) {
        step_refuse(context, STATUS_NO_MEMORY, L"no memory for its buffers");
        return;
    }
    memcpy(x->question, step, sizeof(*step));
    if (step->data_length)
        memcpy(x->question + sizeof(*step), data, step->data_length);
    x->answer_size = answer_size(step);
    if (time_ms && time_ms < UINT32_MAX - 1 - WAIT_MARGIN_MS)
        patience = (DWORD)time_ms + WAIT_MARGIN_MS;

    kernel.busy = true;
    status = NtDeviceIoControlFile(kernel.handle, x->event, NULL, NULL, &x->status, IOCTL_KSHS_STEP, x->question,
                                   (ULONG)sizeof(*step) + step->data_length, &x->answer, x->answer_size);
    if (status == STATUS_PENDING) {
        if (WaitForSingleObject(x->event, patience) != WAIT_OBJECT_0) {
            /* The driver may still write to these buffers: they are given up, and so is the handle. */
            lost(context, KSHS_OUTCOME_HUNG, STATUS_TIMEOUT);
            return;
        }
        status = x->status.Status;
    }
    if (!step_claim(context)) {         /* the watchdog took over: its successor uses other buffers */
        CloseHandle(x->event);
        free(x);
        return;
    }
    kernel.busy = false;
    if (status == STATUS_SUCCESS) {
        take_answer(context, x, step);
    } else if (is_refusal(status)) {
        step_refuse(context, status, L"the client refused the control (NTSTATUS 0x%08lx)", (unsigned long)status);
    } else {
        output_log(L"the client is gone (NTSTATUS 0x%08lx)", (unsigned long)status);
        CloseHandle(kernel.handle);
        kernel.handle = NULL;
        crash_watch_look();
        lost(context, KSHS_OUTCOME_LOST, status);
    }
    exchange_put(x);
}

/* OPEN_FILTER becomes OPEN_DEVICE: only user mode has the list of interfaces. */
static void open_filter(step_context *context)
{
    kshs_step step = *context->step;
    wchar_t path[512];
    DWORD error;

    if (step.data_length) {
        step_refuse(context, STATUS_INVALID_PARAMETER, L"OPEN_FILTER takes no data");
        return;
    }
    error = interface_path(&step.guid, step.value, path, ARRAY_COUNT(path));
    if (error) {
        step_refuse(context, error == ERROR_NO_MORE_ITEMS ? STATUS_NO_SUCH_DEVICE : STATUS_UNSUCCESSFUL,
                    L"the category has no instance %lu (Win32 error %lu)", (unsigned long)step.value, error);
        return;
    }
    step.op = KSHS_OP_OPEN_DEVICE;
    step.data_length = (uint32_t)(wcslen(path) * sizeof(wchar_t));
    send(context, &step, path);
}

void kernel_share(step_context *context, uint32_t slot)
{
    kshs_step step = *context->step;

    step.side = KSHS_SIDE_KERNEL;
    step.flags = 0;
    step.slot = slot;
    step.data_length = 0;
    send(context, &step, NULL);
}

void kernel_step(step_context *context)
{
    if (context->step->op == KSHS_OP_OPEN_FILTER)
        open_filter(context);
    else if (context->step->op == KSHS_OP_SHARE)        /* the handle would be nobody's */
        step_refuse(context, STATUS_INVALID_PARAMETER, L"only the user side can be given a handle");
    else
        send(context, context->step, context->data);
}

void kernel_end(void)
{
    if (kernel.handle)
        CloseHandle(kernel.handle);
    kernel.handle = NULL;
}
