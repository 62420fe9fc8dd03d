/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel_steps.c - steps of the kernel side: handed to ksclient.sys.
 *
 * One asynchronous handle serves all of them; the client keeps a table of
 * slots for it and releases them when it is closed.  After LOST or HUNG the
 * handle is given up and the next step opens a fresh one, with empty slots.
 */
#include "kernel.h"
#include "crash.h"

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

kernel_client kernel;

static exchange *spare;             /* the buffers of the last step, free for the next */

static exchange *exchange_get(void)
{
    exchange *x = spare;

    spare = NULL;
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
    if (!spare) {
        spare = x;
        return;
    }
    CloseHandle(x->event);
    free(x);
}

void kernel_lost(step_context *context, uint32_t outcome, NTSTATUS detail)
{
    if (!step_claim(context))
        return;
    context->record.outcome = outcome;
    context->record.detail = (uint32_t)detail;
    context->record.data_length = 0;
}

bool kernel_is_refusal(NTSTATUS status)
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

bool kernel_open(step_context *context)
{
    HANDLE handle;
    NTSTATUS status;
    server *shared;

    if (kernel.handle)
        return true;
    output_flush();
    status = client_open(&handle);
    if (NT_SUCCESS(status)) {
        shared = server_connect(handle);
        if (context->state == STEP_ABANDONED) {
            CloseHandle(handle);
            return false;
        }
        kernel.handle = handle;
        batch_use(shared);
        kernel.was_open = true;
        crash_watch_start();
        return true;
    }
    if (kernel.was_open) {
        kernel_lost(context, KSHS_OUTCOME_LOST, status);
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

void kernel_take(step_context *context, const kshs_record *record, const uint8_t *data, uint64_t length,
                 uint32_t room)
{
    if (length < sizeof(*record) || length - sizeof(*record) > room || record->size != sizeof(*record) ||
        record->data_length != length - sizeof(*record)) {
        output_log(L"the client's record is malformed: length %lu, size %lu, data %lu", (unsigned long)length,
                   (unsigned long)record->size, (unsigned long)record->data_length);
        kernel_lost(context, KSHS_OUTCOME_LOST, STATUS_DATA_ERROR);
        return;
    }
    if (!step_claim(context))
        return;
    context->record = *record;
    if (record->op == KSHS_OP_OPEN_DEVICE && context->step->op == KSHS_OP_OPEN_FILTER)
        context->record.op = context->step->op;     /* it was asked as OPEN_DEVICE */
    memcpy(context->reply, data, record->data_length);
}

uint32_t kernel_answer_size(const kshs_step *step)
{
    uint32_t data = KSHS_KEEP_BYTES;

    if (step->op == KSHS_OP_PROPERTY)   /* without out_length the property data says it */
        data = step->out_length ? step->out_length : step->data_length;
    else if (step->op == KSHS_OP_COUNTERS)
        data = step->out_length;
    return (uint32_t)sizeof(kshs_record) + (data > KSHS_MAX_DATA ? KSHS_MAX_DATA : data);
}

DWORD kernel_patience_ms(const kshs_step *step)
{
    uint64_t time_ms = kshs_step_time_ms(step);

    return time_ms && time_ms < UINT32_MAX - 1 - KERNEL_WAIT_MARGIN_MS ? (DWORD)time_ms + KERNEL_WAIT_MARGIN_MS
                                                                     : INFINITE;
}

void kernel_gone(step_context *context, NTSTATUS status)
{
    output_log(L"the client is gone (NTSTATUS 0x%08lx)", (unsigned long)status);
    CloseHandle(kernel.handle);
    kernel.handle = NULL;
    batch_gone();
    crash_watch_look();
    kernel_lost(context, KSHS_OUTCOME_LOST, status);
}

/* False: no answer within this time.  A step that is not done at once has its BEGIN passed on meanwhile. */
static bool await(const exchange *x, DWORD patience)
{
    if (!nt_is_wine())
        return WaitForSingleObject(x->event, patience) == WAIT_OBJECT_0;
    if (WaitForSingleObject(x->event, KERNEL_LOOK_MS) == WAIT_OBJECT_0)
        return true;
    output_flush();
    return WaitForSingleObject(x->event, patience) == WAIT_OBJECT_0;
}

/* A handle on which a control never came back is given up, and all that belongs to it. */
static bool ready(step_context *context)
{
    if (kernel.busy) {
        kernel.busy = false;
        kernel.handle = NULL;
        batch_use(NULL);
        output_log(L"a fresh handle to the client is used from now on, and every slot is empty");
    }
    return kernel_open(context);
}

static void send(step_context *context, const kshs_step *step, const void *data)
{
    exchange *x;
    NTSTATUS status;

    x = exchange_get();
    if (!x) {
        step_refuse(context, STATUS_NO_MEMORY, L"no memory for its buffers");
        return;
    }
    memcpy(x->question, step, sizeof(*step));
    if (step->data_length)
        memcpy(x->question + sizeof(*step), data, step->data_length);
    x->answer_size = kernel_answer_size(step);
    if (!nt_is_wine())
        output_flush();             /* this step's BEGIN, with the record before: see output.c */

    kernel.busy = true;
    status = NtDeviceIoControlFile(kernel.handle, x->event, NULL, NULL, &x->status, IOCTL_KSHS_STEP, x->question,
                                   (ULONG)sizeof(*step) + step->data_length, &x->answer, x->answer_size);
    if (status == STATUS_PENDING) {
        if (!await(x, kernel_patience_ms(step))) {
            /* The driver may still write to these buffers: they are given up, and so is the handle. */
            kernel_lost(context, KSHS_OUTCOME_HUNG, STATUS_TIMEOUT);
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
        kernel_take(context, &x->answer.record, x->answer.data, x->status.Information,
                    x->answer_size - (uint32_t)sizeof(kshs_record));
    } else if (kernel_is_refusal(status)) {
        step_refuse(context, status, L"the client refused the control (NTSTATUS 0x%08lx)", (unsigned long)status);
    } else {
        kernel_gone(context, status);
    }
    exchange_put(x);
}

bool kernel_open_filter(const kshs_step *asked, kshs_step *step, wchar_t *path, size_t count, DWORD *error)
{
    *error = interface_path(&asked->guid, asked->value, path, count);
    if (*error)
        return false;
    *step = *asked;
    step->op = KSHS_OP_OPEN_DEVICE;
    step->data_length = (uint32_t)(wcslen(path) * sizeof(wchar_t));
    return true;
}

/* OPEN_FILTER becomes OPEN_DEVICE: only user mode has the list of interfaces. */
static void open_filter(step_context *context)
{
    wchar_t path[512];
    kshs_step step;
    DWORD error;

    if (context->step->data_length)
        step_refuse(context, STATUS_INVALID_PARAMETER, L"OPEN_FILTER takes no data");
    else if (kernel_open_filter(context->step, &step, path, ARRAY_COUNT(path), &error))
        send(context, &step, path);
    else
        step_refuse(context, error == ERROR_NO_MORE_ITEMS ? STATUS_NO_SUCH_DEVICE : STATUS_UNSUCCESSFUL,
                    L"the category has no instance %lu (Win32 error %lu)", (unsigned long)context->step->value, error);
}

void kernel_share(step_context *context, uint32_t slot)
{
    kshs_step step = *context->step;

    step.side = KSHS_SIDE_KERNEL;
    step.flags = 0;
    step.slot = slot;
    step.data_length = 0;
    if (ready(context))
        send(context, &step, NULL);
}

void kernel_step(step_context *context)
{
    if (batch_take(context))
        return;
    if (context->step->op == KSHS_OP_SHARE) {           /* the handle would be nobody's */
        step_refuse(context, STATUS_INVALID_PARAMETER, L"only the user side can be given a handle");
        return;
    }
    if (!ready(context))
        return;
    if (batch_send(context) && batch_take(context))
        return;
    if (context->state == STEP_ABANDONED)
        return;
    if (context->step->op == KSHS_OP_OPEN_FILTER)
        open_filter(context);
    else
        send(context, context->step, context->data);
}

void kernel_end(void)
{
    batch_end();
    if (kernel.handle)
        CloseHandle(kernel.handle);
    kernel.handle = NULL;
}
