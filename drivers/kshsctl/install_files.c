/* SPDX-License-Identifier: Apache-2.0
 *
 * install_files.c - drivers that are installed without an INF: the client as a
 * service, the reference class driver as a file.
 */
#include "nt.h"
#include <winsvc.h>

#define OUR_KS_PRODUCT L"kshs reference ks.sys"
#define PING_TIMEOUT_MS 10000

static bool copy_driver(report *r, const wchar_t *source, const wchar_t *name, wchar_t *target, size_t count,
                        bool *changed)
{
    DWORD error;

    if (!driver_path(name, target, count))
        return report_fail(r, ERROR_FILENAME_EXCED_RANGE, L"the system directory's path is too long");
    error = file_install(source, target, changed);
    if (error)
        return report_fail(r, error, L"%ls cannot be copied to %ls", source, target);
    json_text(&r->body, "path", target);
    json_bool(&r->body, "changed", *changed);
    return true;
}

static bool ping_client(report *r)
{
    kshs_client_version version;
    HANDLE handle;
    NTSTATUS status = client_open(&handle);

    memset(&version, 0, sizeof(version));
    if (NT_SUCCESS(status)) {
        status = client_version(handle, &version, PING_TIMEOUT_MS);
        if (status != STATUS_IO_TIMEOUT)
            CloseHandle(handle);
    }
    if (status == STATUS_REVISION_MISMATCH)
        return report_fail(r, 0, L"the client that runs speaks ABI version %lu, this agent version %u",
                           (unsigned long)version.abi_version, KSHS_ABI_VERSION);
    if (!NT_SUCCESS(status))
        return report_fail(r, RtlNtStatusToDosError(status), L"the client runs and does not answer (NTSTATUS 0x%08lx)",
                           (unsigned long)status);
    json_unsigned(&r->body, "abi", version.abi_version);
    return true;
}

static void install_client(report *r, const wchar_t *file)
{
    wchar_t target[MAX_PATH + 16];
    service_facts before;
    file_facts now, then;
    bool changed;
    DWORD error;

    report_step(r, "check");
    file_examine(file, &now);
    if (!now.present) {
        report_fail(r, ERROR_FILE_NOT_FOUND, L"there is no file %ls", file);
        return;
    }
    if (!driver_path(L"ksclient.sys", target, ARRAY_COUNT(target))) {
        report_fail(r, ERROR_FILENAME_EXCED_RANGE, L"the system directory's path is too long");
        return;
    }
    file_examine(target, &then);
    service_examine(CLIENT_SERVICE, &before);
    if (before.state == SERVICE_RUNNING && strcmp(now.sha256, then.sha256)) {
        report_step(r, "stop-old");
        error = service_stop(CLIENT_SERVICE);
        if (error) {
            report_fail(r, error, L"the client that runs cannot be stopped");
            return;
        }
    }
    report_step(r, "copy");
    if (!copy_driver(r, file, L"ksclient.sys", target, ARRAY_COUNT(target), &changed))
        return;
    report_step(r, "start");
    error = service_start(CLIENT_SERVICE, target, nt_is_wine() ? WINE_GROUP : NULL);
    if (error) {
        report_fail(r, error, L"the service %ls cannot be started", CLIENT_SERVICE);
        return;
    }
    report_step(r, "ping");
    ping_client(r);
}

int verb_install_client(int count, wchar_t **arguments)
{
    report r;

    (void)count;
    report_start(&r, "install-client");
    install_client(&r, arguments[0]);
    return report_finish(&r);
}

int verb_uninstall_client(int count, wchar_t **arguments)
{
    wchar_t target[MAX_PATH + 16];
    DWORD error;
    report r;

    (void)count;
    (void)arguments;
    report_start(&r, "uninstall-client");
    report_step(&r, "stop");
    error = service_stop(CLIENT_SERVICE);
    if (error) {
        report_fail(&r, error, L"the service %ls cannot be stopped", CLIENT_SERVICE);
        return report_finish(&r);
    }
    report_step(&r, "delete");
    error = service_delete(CLIENT_SERVICE);
    if (error) {
        report_fail(&r, error, L"the service %ls cannot be deleted", CLIENT_SERVICE);
        return report_finish(&r);
    }
    report_step(&r, "delete-file");
    if (driver_path(L"ksclient.sys", target, ARRAY_COUNT(target)) && !DeleteFileW(target) &&
        GetLastError() != ERROR_FILE_NOT_FOUND) {
        /* Still mapped: it goes when the system starts next. */
        if (MoveFileExW(target, NULL, MOVEFILE_DELAY_UNTIL_REBOOT))
            r.reboot = true;
        else
            report_fail(&r, GetLastError(), L"%ls cannot be deleted", target);
    }
    return report_finish(&r);
}

/*
 * Half of a system's drivers may import from its ks.sys: one that is not ours
 * is never replaced, whatever is asked.
 */
static void install_ks(report *r, const wchar_t *file)
{
    wchar_t target[MAX_PATH + 16];
    file_facts now, there;
    bool changed;

    report_step(r, "check");
    file_examine(file, &now);
    if (!now.present) {
        report_fail(r, ERROR_FILE_NOT_FOUND, L"there is no file %ls", file);
        return;
    }
    if (wcscmp(now.product, OUR_KS_PRODUCT)) {
        report_fail(r, ERROR_BAD_FORMAT, L"%ls is not the reference class driver: its product is \"%ls\"", file,
                    now.product);
        return;
    }
    if (!driver_path(L"ks.sys", target, ARRAY_COUNT(target))) {
        report_fail(r, ERROR_FILENAME_EXCED_RANGE, L"the system directory's path is too long");
        return;
    }
    file_examine(target, &there);
    if (there.present && wcscmp(there.product, OUR_KS_PRODUCT)) {
        report_fail(r, ERROR_FILE_EXISTS, L"%ls is this system's own class driver (\"%ls\") and stays", target,
                    there.product);
        return;
    }
    report_step(r, "copy");
    copy_driver(r, file, L"ks.sys", target, ARRAY_COUNT(target), &changed);
}

int verb_install_ks(int count, wchar_t **arguments)
{
    report r;

    (void)count;
    report_start(&r, "install-ks");
    install_ks(&r, arguments[0]);
    return report_finish(&r);
}
