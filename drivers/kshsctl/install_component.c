/* SPDX-License-Identifier: Apache-2.0
 *
 * install_component.c - what a package brings beside the driver of its device:
 * software components, and INFs that Windows is to find in the driver store.
 */
#include "devices.h"

static bool full_path(report *r, const wchar_t *file, wchar_t *inf, DWORD count)
{
    DWORD length = GetFullPathNameW(file, count, inf, NULL);

    if (!length || length >= count || GetFileAttributesW(inf) == INVALID_FILE_ATTRIBUTES)
        return report_fail(r, ERROR_FILE_NOT_FOUND, L"there is no INF %ls", file);
    json_text(&r->body, "inf", inf);
    return true;
}

/* Wine says success when no model of the INF matched: a device that was installed has a software key that names
 * its INF. */
static bool was_installed(const wchar_t *hardware_id)
{
    HDEVINFO set = device_list(false);
    SP_DEVINFO_DATA device;
    DWORD index = 0;
    HKEY key = INVALID_HANDLE_VALUE;
    bool found = false;

    if (set == INVALID_HANDLE_VALUE)
        return false;
    if (device_next(set, &index, hardware_id, &device))
        key = SetupDiOpenDevRegKey(set, &device, DICS_FLAG_GLOBAL, 0, DIREG_DRV, KEY_QUERY_VALUE);
    if (key != INVALID_HANDLE_VALUE) {
        found = !RegQueryValueExW(key, L"InfPath", NULL, NULL, NULL, NULL);
        RegCloseKey(key);
    }
    SetupDiDestroyDeviceInfoList(set);
    return found;
}

/* A component is a device without a function driver as a rule: there is no service to wait for. */
static void install(report *r, const wchar_t *file, const wchar_t *hardware_id)
{
    wchar_t inf[MAX_PATH], instance[MAX_PATH] = L"", own[MAX_PATH];
    unsigned removed;
    bool existed, reboot;

    report_step(r, "check");
    if (!full_path(r, file, inf, ARRAY_COUNT(inf)))
        return;
    if (!*hardware_id || wcslen(hardware_id) > 200) {
        report_fail(r, ERROR_INVALID_PARAMETER, L"a hardware id has 1 to 200 characters");
        return;
    }
    json_text(&r->body, "hardware_id", hardware_id);
    existed = device_exists(hardware_id, instance, ARRAY_COUNT(instance), own, ARRAY_COUNT(own));
    json_bool(&r->body, "existed", existed);
    if (!existed) {
        report_step(r, "register");
        if (!device_register(r, inf, hardware_id, instance, ARRAY_COUNT(instance)))
            return;
    }
    json_text(&r->body, "instance", instance);
    report_step(r, "update-driver");
    if (device_update(r, inf, own) &&
        (was_installed(hardware_id) ||
         report_fail(r, 0, L"nothing was installed for %ls: does the INF have that hardware id?", hardware_id)))
        return;
    if (!existed)                   /* leave no device behind that has no driver */
        device_change(hardware_id, KSHS_DEVICE_REMOVE, &removed, &reboot);
}

int verb_install_component(int count, wchar_t **arguments)
{
    report r;

    (void)count;
    report_start(&r, "install-component");
    install(&r, arguments[0], arguments[1]);
    return report_finish(&r);
}

/* SetupCopyOEMInf: an INF with all that it copies, for the system to find when a device wants it. */
int verb_stage_inf(int count, wchar_t **arguments)
{
    wchar_t inf[MAX_PATH], folder[MAX_PATH], published[MAX_PATH] = L"";
    wchar_t *name;
    report r;

    (void)count;
    report_start(&r, "stage-inf");
    report_step(&r, "check");
    if (full_path(&r, arguments[0], inf, ARRAY_COUNT(inf))) {
        format_text(folder, ARRAY_COUNT(folder), L"%ls", inf);
        name = wcsrchr(folder, L'\\');
        if (name)
            *name = 0;
        report_step(&r, "stage");
        if (!SetupCopyOEMInfW(inf, folder, SPOST_PATH, 0, published, ARRAY_COUNT(published), NULL, NULL))
            report_fail(&r, GetLastError(), L"%ls cannot be put into the driver store", inf);
        json_text(&r.body, "published", published);
    }
    return report_finish(&r);
}
