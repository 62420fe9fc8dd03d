/* SPDX-License-Identifier: Apache-2.0
 *
 * services.c - drivers as services: state, start, stop, delete.
 *
 * Right after a guest has started, its service database can be locked (1055)
 * or not there yet (1722): each call is tried again with growing pauses.
 */
#include "nt.h"
#include <winsvc.h>

#define PATIENCE_MS 30000
#define FIRST_PAUSE_MS 20
#define LONGEST_PAUSE_MS 500

typedef struct patience {
    uint64_t until_ms;
    DWORD pause_ms;
} patience;

static void patience_start(patience *p)
{
    p->until_ms = now_ms() + PATIENCE_MS;
    p->pause_ms = FIRST_PAUSE_MS;
}

static bool pause(patience *p)
{
    if (now_ms() >= p->until_ms)
        return false;
    Sleep(p->pause_ms);
    p->pause_ms = p->pause_ms * 2 > LONGEST_PAUSE_MS ? LONGEST_PAUSE_MS : p->pause_ms * 2;
    return true;
}

static bool is_passing(DWORD error)
{
    return error == ERROR_SERVICE_DATABASE_LOCKED || error == RPC_S_SERVER_UNAVAILABLE ||
           error == RPC_S_SERVER_TOO_BUSY || error == ERROR_SERVICE_MARKED_FOR_DELETE ||
           error == RPC_S_CALL_FAILED;
}

static SC_HANDLE open_manager(DWORD access)
{
    patience p;

    patience_start(&p);
    for (;;) {
        SC_HANDLE manager = OpenSCManagerW(NULL, NULL, access);
        DWORD error = manager ? ERROR_SUCCESS : GetLastError();

        if (manager || !is_passing(error) || !pause(&p)) {
            SetLastError(error);
            return manager;
        }
    }
}

static SC_HANDLE open_service(const wchar_t *name, DWORD access, SC_HANDLE *manager)
{
    SC_HANDLE service;
    DWORD error;

    *manager = open_manager(SC_MANAGER_CONNECT);
    if (!*manager)
        return NULL;
    service = OpenServiceW(*manager, name, access);
    if (!service) {
        error = GetLastError();
        CloseServiceHandle(*manager);
        SetLastError(error);
    }
    return service;
}

static void close_both(SC_HANDLE service, SC_HANDLE manager)
{
    CloseServiceHandle(service);
    CloseServiceHandle(manager);
}

static bool has_prefix(const wchar_t *text, const wchar_t *prefix)
{
    return !_wcsnicmp(text, prefix, wcslen(prefix));
}

/* ImagePath has three spellings for drivers; SCM gives it back as it was written. */
static void plain_path(const wchar_t *image, const wchar_t *name, wchar_t *out, size_t count)
{
    wchar_t windows[MAX_PATH];

    if (!GetWindowsDirectoryW(windows, ARRAY_COUNT(windows)))
        windows[0] = 0;
    if (!*image) {
        wchar_t file[MAX_PATH];

        format_text(file, ARRAY_COUNT(file), L"%ls.sys", name);
        driver_path(file, out, count);
    } else if (has_prefix(image, L"\\??\\")) {
        format_text(out, count, L"%ls", image + 4);
    } else if (has_prefix(image, L"\\SystemRoot\\")) {
        format_text(out, count, L"%ls\\%ls", windows, image + 12);
    } else if (has_prefix(image, L"system32\\")) {
        format_text(out, count, L"%ls\\%ls", windows, image);
    } else if (!ExpandEnvironmentStringsW(image, out, (DWORD)count)) {
        format_text(out, count, L"%ls", image);
    }
}

void service_examine(const wchar_t *name, service_facts *facts)
{
    union {
        QUERY_SERVICE_CONFIGW config;
        BYTE room[8192];            /* the largest that SCM gives */
    } answer;
    SERVICE_STATUS status;
    SC_HANDLE manager, service = open_service(name, SERVICE_QUERY_STATUS | SERVICE_QUERY_CONFIG, &manager);
    DWORD needed;

    memset(facts, 0, sizeof(*facts));
    if (!service)
        return;
    facts->present = true;
    if (QueryServiceStatus(service, &status))
        facts->state = status.dwCurrentState;
    if (QueryServiceConfigW(service, &answer.config, sizeof(answer), &needed))
        plain_path(answer.config.lpBinaryPathName, name, facts->path, ARRAY_COUNT(facts->path));
    close_both(service, manager);
}

const char *service_state_name(DWORD state)
{
    switch (state) {
    case SERVICE_STOPPED: return "stopped";
    case SERVICE_START_PENDING: return "starting";
    case SERVICE_STOP_PENDING: return "stopping";
    case SERVICE_RUNNING: return "running";
    case SERVICE_CONTINUE_PENDING: return "continuing";
    case SERVICE_PAUSE_PENDING: return "pausing";
    case SERVICE_PAUSED: return "paused";
    default: return "unknown";
    }
}

/* A guest that is leased by starting from its disk has to find the client there.  Wine starts what it needs. */
static SC_HANDLE create_or_open(SC_HANDLE manager, const wchar_t *name, const wchar_t *path, const wchar_t *group)
{
    DWORD start = nt_is_wine() ? SERVICE_DEMAND_START : SERVICE_AUTO_START;
    SC_HANDLE service = CreateServiceW(manager, name, name, SERVICE_ALL_ACCESS, SERVICE_KERNEL_DRIVER,
                                       start, SERVICE_ERROR_NORMAL, path, group, NULL, NULL, NULL, NULL);

    if (service || GetLastError() != ERROR_SERVICE_EXISTS)
        return service;
    service = OpenServiceW(manager, name, SERVICE_ALL_ACCESS);
    if (service && !ChangeServiceConfigW(service, SERVICE_KERNEL_DRIVER, start, SERVICE_ERROR_NORMAL,
                                         path, group, NULL, NULL, NULL, NULL, name)) {
        DWORD error = GetLastError();

        CloseServiceHandle(service);
        SetLastError(error);
        return NULL;
    }
    return service;
}

static DWORD start_and_wait(SC_HANDLE service, patience *p)
{
    SERVICE_STATUS status;

    for (;;) {
        DWORD error = StartServiceW(service, 0, NULL) ? ERROR_SUCCESS : GetLastError();

        if (!error || error == ERROR_SERVICE_ALREADY_RUNNING)
            break;
        if (!is_passing(error) || !pause(p))
            return error;
    }
    while (QueryServiceStatus(service, &status)) {
        if (status.dwCurrentState == SERVICE_RUNNING)
            return ERROR_SUCCESS;
        if (status.dwCurrentState == SERVICE_STOPPED)
            return status.dwWin32ExitCode ? status.dwWin32ExitCode : ERROR_SERVICE_NOT_ACTIVE;
        if (!pause(p))
            return ERROR_SERVICE_REQUEST_TIMEOUT;
    }
    return GetLastError();
}

DWORD service_start(const wchar_t *name, const wchar_t *path, const wchar_t *group)
{
    SC_HANDLE manager = open_manager(SC_MANAGER_CONNECT | SC_MANAGER_CREATE_SERVICE), service;
    DWORD error;
    patience p;

    if (!manager)
        return GetLastError();
    patience_start(&p);
    for (;;) {
        service = create_or_open(manager, name, path, group);
        error = service ? ERROR_SUCCESS : GetLastError();
        if (service || !is_passing(error) || !pause(&p))
            break;
    }
    if (service) {
        error = start_and_wait(service, &p);
        CloseServiceHandle(service);
    }
    CloseServiceHandle(manager);
    return error;
}

DWORD service_create(const wchar_t *name, const wchar_t *path, const wchar_t *group)
{
    SC_HANDLE manager = open_manager(SC_MANAGER_CONNECT | SC_MANAGER_CREATE_SERVICE), service;
    DWORD error;

    if (!manager)
        return GetLastError();
    service = create_or_open(manager, name, path, group);
    error = service ? ERROR_SUCCESS : GetLastError();
    if (service)
        CloseServiceHandle(service);
    CloseServiceHandle(manager);
    return error;
}

DWORD service_on_demand(const wchar_t *name)
{
    SC_HANDLE manager, service = open_service(name, SERVICE_CHANGE_CONFIG, &manager);
    DWORD error;

    if (!service)
        return GetLastError();
    error = ChangeServiceConfigW(service, SERVICE_NO_CHANGE, SERVICE_DEMAND_START, SERVICE_NO_CHANGE, NULL, NULL,
                                 NULL, NULL, NULL, NULL, NULL) ? ERROR_SUCCESS : GetLastError();
    close_both(service, manager);
    return error;
}

DWORD service_stop(const wchar_t *name)
{
    SC_HANDLE manager, service = open_service(name, SERVICE_STOP | SERVICE_QUERY_STATUS, &manager);
    SERVICE_STATUS status;
    DWORD error = ERROR_SUCCESS;
    patience p;

    if (!service)
        return GetLastError() == ERROR_SERVICE_DOES_NOT_EXIST ? ERROR_SUCCESS : GetLastError();
    patience_start(&p);
    while (!ControlService(service, SERVICE_CONTROL_STOP, &status)) {
        error = GetLastError();
        if (error == ERROR_SERVICE_NOT_ACTIVE) {
            close_both(service, manager);
            return ERROR_SUCCESS;
        }
        if (!is_passing(error) || !pause(&p)) {
            close_both(service, manager);
            return error;
        }
    }
    error = ERROR_SUCCESS;
    while (QueryServiceStatus(service, &status) && status.dwCurrentState != SERVICE_STOPPED) {
        if (!pause(&p)) {
            error = ERROR_SERVICE_REQUEST_TIMEOUT;
            break;
        }
    }
    close_both(service, manager);
    return error;
}

DWORD service_delete(const wchar_t *name)
{
    SC_HANDLE manager, service = open_service(name, DELETE, &manager);
    DWORD error = ERROR_SUCCESS;

    if (!service)
        return GetLastError() == ERROR_SERVICE_DOES_NOT_EXIST ? ERROR_SUCCESS : GetLastError();
    if (!DeleteService(service)) {
        error = GetLastError();
        if (error == ERROR_SERVICE_MARKED_FOR_DELETE)
            error = ERROR_SUCCESS;
    }
    close_both(service, manager);
    return error;
}
