/* SPDX-License-Identifier: Apache-2.0
 *
 * install_device.c - a root-enumerated device and its driver, in the documented
 * order (the devcon sample's): class of the INF, device information, hardware
 * id, DIF_REGISTERDEVICE, UpdateDriverForPlugAndPlayDevices.
 */
#include "devices.h"
#include "crash.h"

#define FORCE 1                     /* INSTALLFLAG_FORCE */
#define NO_QUESTIONS 4              /* INSTALLFLAG_NONINTERACTIVE: what would be asked is refused */

typedef BOOL (WINAPI *update_driver)(HWND parent, const wchar_t *hardware_id, const wchar_t *inf, DWORD flags,
                                     BOOL *reboot);

bool device_exists(const wchar_t *hardware_id, wchar_t *instance, size_t count, wchar_t *own, size_t own_count)
{
    HDEVINFO set = device_list(false);
    SP_DEVINFO_DATA device;
    DWORD index = 0;
    bool found;

    format_text(own, own_count, L"%ls", hardware_id);
    if (set == INVALID_HANDLE_VALUE)
        return false;
    found = device_next(set, &index, hardware_id, &device);
    if (found && !SetupDiGetDeviceInstanceIdW(set, &device, instance, (DWORD)count, NULL))
        *instance = 0;
    if (found && !device_own_id(set, &device, hardware_id, own, own_count))
        format_text(own, own_count, L"%ls", hardware_id);
    SetupDiDestroyDeviceInfoList(set);
    return found;
}

bool device_register(report *r, const wchar_t *inf, const wchar_t *hardware_id, wchar_t *instance, size_t count)
{
    wchar_t class_name[64], ids[260];
    SP_DEVINFO_DATA device;
    HDEVINFO set;
    GUID class_guid;
    bool done = false;

    memset(ids, 0, sizeof(ids));    /* the list ends with two NULs */
    wcscpy(ids, hardware_id);
    if (!SetupDiGetINFClassW(inf, &class_guid, class_name, ARRAY_COUNT(class_name), NULL))
        return report_fail(r, GetLastError(), L"%ls names no class that this guest knows", inf);
    set = SetupDiCreateDeviceInfoList(&class_guid, NULL);
    if (set == INVALID_HANDLE_VALUE)
        return report_fail(r, GetLastError(), L"no device information list for class %ls", class_name);
    memset(&device, 0, sizeof(device));
    device.cbSize = sizeof(device);
    if (!SetupDiCreateDeviceInfoW(set, class_name, &class_guid, NULL, NULL, DICD_GENERATE_ID, &device))
        report_fail(r, GetLastError(), L"no device of class %ls can be made", class_name);
    else if (!SetupDiSetDeviceRegistryPropertyW(set, &device, SPDRP_HARDWAREID, (BYTE *)ids,
                                                (DWORD)((wcslen(ids) + 2) * sizeof(wchar_t))))
        report_fail(r, GetLastError(), L"the hardware id %ls cannot be given to the device", hardware_id);
    else if (!SetupDiCallClassInstaller(DIF_REGISTERDEVICE, set, &device))
        report_fail(r, GetLastError(), L"the device cannot be registered");
    else
        done = true;
    if (done && !SetupDiGetDeviceInstanceIdW(set, &device, instance, (DWORD)count, NULL))
        *instance = 0;
    SetupDiDestroyDeviceInfoList(set);
    return done;
}

bool device_update(report *r, const wchar_t *inf, const wchar_t *hardware_id)
{
    HMODULE newdev = LoadLibraryW(L"newdev.dll");
    FARPROC found = newdev ? GetProcAddress(newdev, "UpdateDriverForPlugAndPlayDevicesW") : NULL;
    update_driver call;
    BOOL reboot = FALSE;

    if (!found)
        return report_fail(r, GetLastError(), L"this guest has no UpdateDriverForPlugAndPlayDevices (newdev.dll)");
    memcpy(&call, &found, sizeof(call));
    if (!call(NULL, hardware_id, inf, FORCE | NO_QUESTIONS, &reboot))
        return report_fail(r, GetLastError(), L"the driver of %ls was not installed; see "
                           L"%%windir%%\\inf\\setupapi.dev.log (before NT 6: %%windir%%\\setupapi.log)", inf);
    if (reboot)
        r->reboot = true;
    return true;
}

/* The client shares file objects with the target, which takes one process on Wine.  An INF that was made for
 * Windows has no reason to name a group for that: the service is made before the INF is installed, which then
 * changes everything but the group.  Afterwards is too late, Wine does not stop a driver that has a device. */
static bool join_client(report *r, const wchar_t *service)
{
    wchar_t file[MAX_PATH], path[MAX_PATH + 16];
    service_facts found;
    DWORD error;

    service_examine(service, &found);
    if (!nt_is_wine() || found.present)
        return true;
    report_step(r, "join-client");
    format_text(file, ARRAY_COUNT(file), L"%ls.sys", service);
    if (!driver_path(file, path, ARRAY_COUNT(path)))
        return report_fail(r, ERROR_FILENAME_EXCED_RANGE, L"the system directory's path is too long");
    error = service_create(service, path, WINE_GROUP);
    return !error || report_fail(r, error, L"the service %ls cannot be made", service);
}

static void install(report *r, const wchar_t *file, const wchar_t *hardware_id, const wchar_t *service)
{
    wchar_t inf[MAX_PATH], instance[MAX_PATH] = L"", own[MAX_PATH];
    DWORD length = GetFullPathNameW(file, ARRAY_COUNT(inf), inf, NULL);
    unsigned removed;
    bool existed, reboot, bound = false;

    report_step(r, "check");
    if (!length || length >= ARRAY_COUNT(inf) || GetFileAttributesW(inf) == INVALID_FILE_ATTRIBUTES) {
        report_fail(r, ERROR_FILE_NOT_FOUND, L"there is no INF %ls", file);
        return;
    }
    if (!*hardware_id || wcslen(hardware_id) > 200) {
        report_fail(r, ERROR_INVALID_PARAMETER, L"a hardware id has 1 to 200 characters");
        return;
    }
    json_text(&r->body, "inf", inf);
    json_text(&r->body, "hardware_id", hardware_id);
    existed = device_exists(hardware_id, instance, ARRAY_COUNT(instance), own, ARRAY_COUNT(own));
    json_bool(&r->body, "existed", existed);
    if (!existed) {
        report_step(r, "register");
        if (!device_register(r, inf, hardware_id, instance, ARRAY_COUNT(instance)))
            return;
    }
    json_text(&r->body, "instance", instance);
    if (service && !join_client(r, service))
        return;
    report_step(r, "update-driver");
    crash_watch_start();
    if (device_update(r, inf, own)) {
        report_step(r, "wait-started");
        if (device_wait_started(r, hardware_id, &bound) || bound)
            return;
    }
    if (!existed)                   /* leave no device behind that has no driver */
        device_change(hardware_id, KSHS_DEVICE_REMOVE, &removed, &reboot);
}

int verb_install_device(int count, wchar_t **arguments)
{
    report r;

    report_start(&r, "install-device");
    install(&r, arguments[0], arguments[1], count > 2 ? arguments[2] : NULL);
    return report_finish(&r);
}

int verb_uninstall_device(int count, wchar_t **arguments)
{
    unsigned removed = 0;
    DWORD error;
    report r;

    (void)count;
    report_start(&r, "uninstall-device");
    report_step(&r, "remove");
    error = device_change(arguments[0], KSHS_DEVICE_REMOVE, &removed, &r.reboot);
    json_unsigned(&r.body, "removed", removed);
    if (error && error != (DWORD)ERROR_NO_SUCH_DEVINST)
        report_fail(&r, error, L"a device of %ls cannot be removed", arguments[0]);
    return report_finish(&r);
}
