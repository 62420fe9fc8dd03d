/* SPDX-License-Identifier: Apache-2.0
 *
 * service_verbs.c - start-service and disable-service, for services that come
 * with the system or a package.
 *
 * sc.exe would do most of it, but does not wait, and tells an absent service
 * from a refused one by words in the system's language.
 */
#include "kshsctl.h"
#include <winsvc.h>

#define START_PATIENCE_MS 60000
#define PAUSE_MS 200

/* Newer than the oldest system that the agent starts on, so the headers hide them. */
#define DELAYED_AUTO_START_INFO 3
typedef struct delayed_auto_start {
    BOOL delayed;
} delayed_auto_start;

static bool wait_for_start(SC_HANDLE service, report *r, const wchar_t *name)
{
    uint64_t until = now_ms() + START_PATIENCE_MS;
    SERVICE_STATUS status;

    while (QueryServiceStatus(service, &status)) {
        if (status.dwCurrentState == SERVICE_RUNNING)
            return true;
        if (status.dwCurrentState == SERVICE_STOPPED)
            return report_fail(r, status.dwWin32ExitCode == ERROR_SERVICE_SPECIFIC_ERROR
                                      ? status.dwServiceSpecificExitCode : status.dwWin32ExitCode,
                               L"the service %ls stopped at once", name);
        if (now_ms() >= until)
            return report_fail(r, ERROR_SERVICE_REQUEST_TIMEOUT, L"the service %ls does not get ready (%hs)", name,
                               service_state_name(status.dwCurrentState));
        Sleep(PAUSE_MS);
    }
    return report_fail(r, GetLastError(), L"the state of the service %ls cannot be read", name);
}

/* Started some minutes after the others, what a service needs is there; some do not wait for it themselves. */
static void delay_start(SC_HANDLE service, report *r)
{
    delayed_auto_start delayed = { TRUE };

    json_bool(&r->body, "delayed", ChangeServiceConfig2W(service, DELAYED_AUTO_START_INFO, &delayed));
}

static void start(report *r, const wchar_t *name)
{
    SC_HANDLE manager, service;

    report_step(r, "open");
    manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT);
    service = manager ? OpenServiceW(manager, name, SERVICE_START | SERVICE_QUERY_STATUS | SERVICE_CHANGE_CONFIG) : NULL;
    if (!service) {
        report_fail(r, GetLastError(), L"the service %ls cannot be opened", name);
    } else {
        report_step(r, "configure");
        if (!ChangeServiceConfigW(service, SERVICE_NO_CHANGE, SERVICE_AUTO_START, SERVICE_NO_CHANGE, NULL, NULL, NULL,
                                  NULL, NULL, NULL, NULL)) {
            report_fail(r, GetLastError(), L"the service %ls cannot be set to start by itself", name);
        } else {
            delay_start(service, r);
            report_step(r, "start");
            if (!StartServiceW(service, 0, NULL) && GetLastError() != ERROR_SERVICE_ALREADY_RUNNING)
                report_fail(r, GetLastError(), L"the service %ls cannot be started", name);
            else
                wait_for_start(service, r, name);
        }
    }
    if (service)
        CloseServiceHandle(service);
    if (manager)
        CloseServiceHandle(manager);
}

int verb_start_service(int count, wchar_t **arguments)
{
    report r;

    (void)count;
    report_start(&r, "start-service");
    json_text(&r.body, "service", arguments[0]);
    start(&r, arguments[0]);
    return report_finish(&r);
}

/* One that runs and does not stop is stopped for good by the next start. */
static DWORD disable(SC_HANDLE manager, const wchar_t *name, const char **result)
{
    SC_HANDLE service = OpenServiceW(manager, name, SERVICE_STOP | SERVICE_CHANGE_CONFIG | SERVICE_QUERY_STATUS);
    SERVICE_STATUS status;
    DWORD error = ERROR_SUCCESS;

    if (!service) {
        *result = GetLastError() == ERROR_SERVICE_DOES_NOT_EXIST ? "absent" : "refused";
        return GetLastError() == ERROR_SERVICE_DOES_NOT_EXIST ? ERROR_SUCCESS : GetLastError();
    }
    if (!ChangeServiceConfigW(service, SERVICE_NO_CHANGE, SERVICE_DISABLED, SERVICE_NO_CHANGE, NULL, NULL, NULL, NULL,
                              NULL, NULL, NULL)) {
        error = GetLastError();
        *result = "refused";
    } else if (ControlService(service, SERVICE_CONTROL_STOP, &status) || GetLastError() == ERROR_SERVICE_NOT_ACTIVE) {
        *result = "disabled";
    } else {
        *result = "disabled-still-running";
    }
    CloseServiceHandle(service);
    return error;
}

int verb_disable_service(int count, wchar_t **arguments)
{
    SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT);
    report r;
    int i;

    report_start(&r, "disable-service");
    report_step(&r, "disable");
    if (!manager) {
        report_fail(&r, GetLastError(), L"the service manager cannot be reached");
        return report_finish(&r);
    }
    json_array(&r.body, "services");
    for (i = 0; i < count; i++) {
        const char *result = NULL;
        DWORD error = disable(manager, arguments[i], &result);

        json_object(&r.body, NULL);
        json_text(&r.body, "service", arguments[i]);
        json_utf8(&r.body, "result", result);
        json_end(&r.body);
        if (error)
            report_fail(&r, error, L"the service %ls cannot be disabled", arguments[i]);
    }
    json_end(&r.body);
    CloseServiceHandle(manager);
    return report_finish(&r);
}
