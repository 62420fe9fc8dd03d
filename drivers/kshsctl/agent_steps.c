/* SPDX-License-Identifier: Apache-2.0
 *
 * agent_steps.c - steps that the agent answers itself, whatever their side.
 */
#include "devices.h"
#include "loaded.h"
#include "missing_calls.h"
#include "serve.h"
#include "threads.h"

static void reply_json(step_context *context, json *j)
{
    while (j->depth)
        json_end(j);
    if (j->failed) {
        json_free(j);
        step_refuse(context, STATUS_BUFFER_OVERFLOW, L"the answer has more than %u bytes, or there is no memory",
                    KSHS_MAX_DATA);
        return;
    }
    memcpy(context->reply, j->text, j->length);
    context->record.data_length = (uint32_t)j->length;
    json_free(j);
}

#define HARDWARE_ID_CHARS 256

/* The step's data as a text of at most HARDWARE_ID_CHARS - 1 characters. */
static bool hardware_id(const step_context *context, wchar_t *id)
{
    uint32_t bytes = context->step->data_length;

    if (!bytes || bytes % sizeof(wchar_t) || bytes >= HARDWARE_ID_CHARS * sizeof(wchar_t))
        return false;
    memcpy(id, context->data, bytes);
    id[bytes / sizeof(wchar_t)] = 0;
    return true;
}

static json gathered;               /* what INFO would have answered when the agent began to wait */
static bool is_gathered;            /* and still would: nothing was carried out since */

/*
 * For an agent that waits in a template: in every fork the first question is answered with what the guest was when it
 * was saved, which is what it is when nothing has been done to it since.
 */
void agent_warm_up(void)
{
    json_start(&gathered, KSHS_MAX_DATA);
    is_gathered = info_write(&gathered, 0, NULL);
    if (!is_gathered)
        json_free(&gathered);
}

void agent_changed(void)
{
    if (is_gathered)
        json_free(&gathered);
    is_gathered = false;
}

static void info(step_context *context)
{
    wchar_t id[HARDWARE_ID_CHARS];
    json j;

    if (is_gathered && context->step->value == KSHS_INFO_ALL) {
        is_gathered = false;
        reply_json(context, &gathered);
        return;
    }
    agent_changed();
    json_start(&j, KSHS_MAX_DATA);
    switch (context->step->value) {
    case KSHS_INFO_ALL:
        info_write(&j, 0, NULL);
        break;
    case KSHS_INFO_CALLS:
        json_object(&j, NULL);
        json_object(&j, "ks");
        json_missing_calls(&j, "unimplemented_calls", true);
        break;
    case KSHS_INFO_INTERFACES:
        if (!hardware_id(context, id)) {
            json_free(&j);
            step_refuse(context, STATUS_INVALID_PARAMETER, L"interfaces are those of a hardware id in UTF-16");
            return;
        }
        json_object(&j, NULL);
        json_interfaces(&j, "interfaces", id);
        break;
    case KSHS_INFO_MODULES:
        loaded_write(&j);
        break;
    default:
        json_free(&j);
        step_refuse(context, STATUS_INVALID_PARAMETER, L"there is no information of kind %u",
                    (unsigned)context->step->value);
        return;
    }
    reply_json(context, &j);
}

/*
 * Whole lines since the last call as one array, as many as fit; the rest comes
 * with the next call.  Each line is an object that crash.c wrote.
 */
static void crashes(step_context *context)
{
    static LONGLONG offset;
    wchar_t path[MAX_PATH];
    uint32_t used = 0, line = 0;
    LARGE_INTEGER where;
    HANDLE file = INVALID_HANDLE_VALUE;
    DWORD got = 0;
    uint8_t *reply = context->reply;

    if (crash_file(path, ARRAY_COUNT(path)))
        file = CreateFileW(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                           OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    reply[used++] = '[';
    if (file != INVALID_HANDLE_VALUE) {
        where.QuadPart = offset;
        if (!SetFilePointerEx(file, where, NULL, FILE_BEGIN) ||
            !ReadFile(file, reply + 1, KSHS_MAX_DATA - 2, &got, NULL))
            got = 0;
        CloseHandle(file);
    }
    for (line = 0; line < got; line++)
        if (reply[1 + line] == '\n')
            used = line + 2;        /* behind this line end */
    offset += used - 1;
    for (line = 1; line + 1 < used; line++)
        if (reply[line] == '\n')
            reply[line] = ',';
    if (used > 1)
        used--;                     /* the last line end */
    reply[used++] = ']';
    context->record.data_length = used;
}

/* Half of its time for looking: the rest is for a thread that does not stop at once. */
static void threads(step_context *context)
{
    uint32_t allowed_ms = context->step->timeout_ms;
    json j;

    if (!nt_is_wine()) {
        step_unsupported(context, STATUS_NOT_SUPPORTED, L"drivers have no process of their own here");
        return;
    }
    json_start(&j, KSHS_MAX_DATA);
    if (!threads_write(&j, allowed_ms ? now_ms() + allowed_ms / 2 : 0)) {
        json_free(&j);
        step_refuse(context, STATUS_INSUFFICIENT_RESOURCES, L"threads cannot be listed");
        return;
    }
    reply_json(context, &j);
}

static void device(step_context *context)
{
    const kshs_step *step = context->step;
    wchar_t id[HARDWARE_ID_CHARS], text[300];
    unsigned changed = 0;
    bool reboot = false;
    DWORD error;

    if (!hardware_id(context, id) || step->value < KSHS_DEVICE_RESTART || step->value > KSHS_DEVICE_ENABLE) {
        step_refuse(context, STATUS_INVALID_PARAMETER, L"DEVICE needs a change and a hardware id in UTF-16");
        return;
    }
    error = device_change(id, step->value, &changed, &reboot);
    if (!step_claim(context))
        return;
    win32_text(error, text, ARRAY_COUNT(text));
    if (device_change_unsupported(error)) {
        step_unsupported(context, STATUS_NOT_SUPPORTED, L"this guest cannot do that to a device: %ls (0x%lx)", text,
                         (unsigned long)error);
    } else if (error == ERROR_NO_SUCH_DEVINST) {
        step_refuse(context, STATUS_NO_SUCH_DEVICE, L"no device has the hardware id %ls", id);
    } else if (error) {
        step_refuse(context, (NTSTATUS)error, L"the device did not change: %ls", text);
    } else {
        context->record.information = reboot;       /* 1: takes effect after a reboot only */
        context->record.repeats = changed;
    }
}

void agent_step(step_context *context)
{
    context->record.returned = (uint32_t)STATUS_SUCCESS;
    switch (context->step->op) {
    case KSHS_OP_INFO:
        info(context);
        break;
    case KSHS_OP_CRASHES:
        crashes(context);
        break;
    case KSHS_OP_THREADS:
        threads(context);
        break;
    case KSHS_OP_DEVICE:
        device(context);
        break;
    case KSHS_OP_SLEEP:
        Sleep(context->step->timeout_ms);
        break;
    default:
        break;
    }
}
