/* SPDX-License-Identifier: Apache-2.0
 *
 * trace_verb.c - trace start, status and stop.
 *
 * On NT the filter is one of the upper filters that the registry names, and a
 * device gets it, and gets rid of it, when it is restarted.  Wine does not look
 * at these; there the driver puts filters above the devices that are running.
 */
#include "devices.h"
#include "trace.h"

/* ---- what both ways have in common ------------------------------------------------------------ */

static bool report_state(report *r, const kstrace_state *state)
{
    json_bool(&r->body, "recording", state->recording != 0);
    json_unsigned(&r->body, "devices", state->filters);
    json_unsigned(&r->body, "records", state->records);
    json_unsigned(&r->body, "recorded", state->next - 1);
    json_unsigned(&r->body, "lost", state->lost);
    json_unsigned(&r->body, "under_way", state->busy);
    json_unsigned(&r->body, "sets", state->sets);
    return true;
}

static bool open_tracer(report *r, HANDLE *handle)
{
    NTSTATUS status = trace_open(handle);

    if (NT_SUCCESS(status))
        return true;
    return report_fail(r, RtlNtStatusToDosError(status),
                       L"the tracer cannot be opened (NTSTATUS 0x%08lx); begin with: kshsctl trace start DEVICE",
                       (unsigned long)status);
}

static bool done(report *r, NTSTATUS status, const wchar_t *what)
{
    if (NT_SUCCESS(status))
        return true;
    return report_fail(r, RtlNtStatusToDosError(status), L"%ls (NTSTATUS 0x%08lx)", what, (unsigned long)status);
}

static bool install_driver(report *r, wchar_t *target, size_t count)
{
    wchar_t folder[MAX_PATH], source[MAX_PATH + 16];
    bool changed = false;
    DWORD error;

    report_step(r, "copy");
    if (!own_directory(folder, ARRAY_COUNT(folder)) || !driver_path(TRACE_FILE, target, count))
        return report_fail(r, ERROR_FILENAME_EXCED_RANGE, L"a directory's path is too long");
    format_text(source, ARRAY_COUNT(source), L"%ls\\%ls", folder, TRACE_FILE);
    error = file_install(source, target, &changed);
    if (error)
        return report_fail(r, error, L"%ls cannot be copied to %ls: it has to lie beside kshsctl.exe", source, target);
    report_step(r, "service");
    error = service_create(TRACE_SERVICE, target, nt_is_wine() ? WINE_GROUP : NULL);
    if (!error)
        error = service_on_demand(TRACE_SERVICE);
    return !error || report_fail(r, error, L"the service %ls cannot be made", TRACE_SERVICE);
}

/* ---- start --------------------------------------------------------------------------------------- */

static bool attach(report *r, HANDLE handle, const wchar_t *device)
{
    wchar_t service[200], name[240];
    uint32_t attached = 0;
    NTSTATUS status;

    if (trace_is_class(device))
        return report_fail(r, ERROR_CALL_NOT_IMPLEMENTED, L"this guest has no filters of classes: name a device");
    if (!trace_device_service(device, service, ARRAY_COUNT(service)))
        return report_fail(r, (DWORD)ERROR_NO_SUCH_DEVINST, L"no device has the hardware id %ls and a driver", device);
    format_text(name, ARRAY_COUNT(name), L"\\Driver\\%ls", service);
    status = trace_control(handle, IOCTL_KSTRACE_ATTACH, name, wcslen(name) * sizeof(wchar_t), &attached,
                           sizeof(attached), NULL);
    json_unsigned(&r->body, "attached", attached);
    return done(r, status, L"the filter cannot be put above the device");
}

static void start_on_wine(report *r, const wchar_t *device, const wchar_t *target)
{
    HANDLE handle = NULL;
    kstrace_state state;
    DWORD error;

    report_step(r, "start");
    error = service_start(TRACE_SERVICE, target, WINE_GROUP);
    if (error) {
        report_fail(r, error, L"the service %ls cannot be started", TRACE_SERVICE);
        return;
    }
    if (!open_tracer(r, &handle))
        return;
    report_step(r, "attach");
    if (attach(r, handle, device) &&
        done(r, trace_control(handle, IOCTL_KSTRACE_CLEAR, NULL, 0, NULL, 0, NULL), L"the tracer does not answer") &&
        done(r, trace_state(handle, &state), L"the tracer does not answer"))
        report_state(r, &state);
    CloseHandle(handle);
}

/* The driver may already be there for another device; then what it has recorded stays. */
static void start_on_nt(report *r, const wchar_t *device)
{
    unsigned devices = 0;
    HANDLE handle;
    kstrace_state state;
    DWORD error;

    report_step(r, "filters");
    error = trace_filters_change(device, true, &devices);
    json_unsigned(&r->body, "attached", devices);
    if (error) {
        report_fail(r, error, L"the filter cannot be named for %ls", device);
        return;
    }
    report_step(r, "restart");
    error = trace_restart(device, &r->reboot);
    if (error) {
        say(L"kshsctl: the device cannot be restarted now (Win32 error %lu): it is watched from the next start of the"
            L" system on", (unsigned long)error);
        r->reboot = true;
    }
    if (r->reboot || !NT_SUCCESS(trace_open(&handle)))
        return;
    if (NT_SUCCESS(trace_state(handle, &state)))
        report_state(r, &state);
    CloseHandle(handle);
}

static void start(report *r, int count, wchar_t **arguments)
{
    wchar_t target[MAX_PATH + 16];
    const wchar_t *device = arguments[0];
    trace_settings s;
    names before, all;
    DWORD error;

    report_step(r, "check");
    json_text(&r->body, "device", device);
    if (!*device || wcslen(device) > 200) {
        report_fail(r, ERROR_INVALID_PARAMETER, L"a hardware id has 1 to 200 characters");
        return;
    }
    if (!trace_settings_parse(r, count - 1, arguments + 1, &s))
        return;
    if (!install_driver(r, target, ARRAY_COUNT(target)))
        return;
    trace_rescue_forget();
    error = trace_devices(&before);
    if (!error)
        error = trace_settings_write(&s);
    if (!error)
        error = trace_remember(device, true, &all);
    if (error)
        report_fail(r, error, L"the settings of the service %ls cannot be written", TRACE_SERVICE);
    else if (nt_is_wine())
        start_on_wine(r, device, target);
    else
        start_on_nt(r, device);
    if (r->failed && !names_drop(&before, device))
        trace_remember(device, false, &all);
}

/* ---- stop ---------------------------------------------------------------------------------------- */

static void finish(report *r)
{
    HANDLE handle;
    kstrace_state state;

    if (!NT_SUCCESS(trace_open(&handle)))       /* it never ran */
        return;
    if (done(r, trace_control(handle, IOCTL_KSTRACE_FINISH, NULL, 0, NULL, 0, NULL), L"the tracer does not answer") &&
        done(r, trace_state(handle, &state), L"the tracer does not answer"))
        report_state(r, &state);
    CloseHandle(handle);
}

/* Wine: requests may still be on their way through the driver, which then has to stay. */
static bool is_idle(void)
{
    HANDLE handle;
    kstrace_state state;
    bool idle;

    if (!NT_SUCCESS(trace_open(&handle)))
        return true;
    idle = NT_SUCCESS(trace_state(handle, &state)) && !state.busy && !state.filters;
    CloseHandle(handle);
    return idle;
}

static void uninstall(report *r)
{
    wchar_t target[MAX_PATH + 16];
    bool running = !r->reboot && nt_is_wine() && !is_idle();
    DWORD error = ERROR_SUCCESS;

    report_step(r, "uninstall");
    if (!running && nt_is_wine())
        error = service_stop(TRACE_SERVICE);
    json_bool(&r->body, "unloaded", !running && !error);
    error = service_delete(TRACE_SERVICE);
    if (error) {
        report_fail(r, error, L"the service %ls cannot be deleted", TRACE_SERVICE);
        return;
    }
    if (driver_path(TRACE_FILE, target, ARRAY_COUNT(target)) && !DeleteFileW(target) &&
        GetLastError() != ERROR_FILE_NOT_FOUND && MoveFileExW(target, NULL, MOVEFILE_DELAY_UNTIL_REBOOT))
        say(L"kshsctl: %ls is still in use: it goes with the next start of the system", target);
}

static void stop(report *r, const wchar_t *device)
{
    unsigned devices = 0;
    names left;
    DWORD error;

    report_step(r, "check");
    json_text(&r->body, "device", device);
    error = trace_remember(device, false, &left);
    if (error) {
        report_fail(r, error, L"the settings of the service %ls cannot be read", TRACE_SERVICE);
        return;
    }
    if (!left.length) {                 /* for the last one, and while the filters still stand */
        report_step(r, "finish");
        finish(r);
    }
    if (!nt_is_wine()) {
        report_step(r, "filters");
        error = trace_filters_change(device, false, &devices);
        if (error) {
            report_fail(r, error, L"the filter's name cannot be taken away from %ls", device);
            return;
        }
        report_step(r, "restart");
        if (trace_restart(device, &r->reboot))
            r->reboot = true;
    }
    if (!left.length && !r->failed)
        uninstall(r);
}

static void status(report *r)
{
    HANDLE handle;
    kstrace_state state;
    names devices;
    size_t at;

    report_step(r, "state");
    trace_devices(&devices);
    json_array(&r->body, "watched");
    for (at = 0; at < devices.length; at += wcslen(devices.text + at) + 1)
        json_text(&r->body, NULL, devices.text + at);
    json_end(&r->body);
    if (!open_tracer(r, &handle))
        return;
    if (done(r, trace_state(handle, &state), L"the tracer does not answer"))
        report_state(r, &state);
    CloseHandle(handle);
}

int verb_trace(int count, wchar_t **arguments)
{
    const wchar_t *what = arguments[0];
    report r;

    report_start(&r, "trace");
    json_text(&r.body, "what", what);
    if (!wcscmp(what, L"start") && count > 1)
        start(&r, count - 1, arguments + 1);
    else if (!wcscmp(what, L"stop") && count == 2)
        stop(&r, arguments[1]);
    else if (!wcscmp(what, L"status") && count == 1)
        status(&r);
    else if (!wcscmp(what, L"save") && count > 1)
        trace_save(&r, count - 1, arguments + 1);
    else {
        say(L"usage: kshsctl trace start DEVICE [records=N] [watch=GUID]...");
        say(L"       kshsctl trace status");
        say(L"       kshsctl trace save FILE [package=DIR] [dump=FILE] [note=TEXT]");
        say(L"       kshsctl trace stop DEVICE");
        say(L"DEVICE is a hardware id, or class:{GUID}");
        json_free(&r.body);
        return EXIT_USAGE;
    }
    return report_finish(&r);
}
