/* SPDX-License-Identifier: Apache-2.0
 *
 * trace_filters.c - UpperFilters of a device or of a class, where our name is
 * the last and so the topmost one.  The names of others stay as they are.
 */
#include "devices.h"
#include "trace.h"

#define CLASS_PREFIX L"class:"
#define CLASS_KEY L"SYSTEM\\CurrentControlSet\\Control\\Class\\"
#define UPPER_FILTERS L"UpperFilters"

bool trace_is_class(const wchar_t *device)
{
    return !_wcsnicmp(device, CLASS_PREFIX, wcslen(CLASS_PREFIX));
}

/* FALSE: there is no room for one more. */
static bool names_change(names *list, bool add)
{
    names_drop(list, TRACE_SERVICE);
    return !add || names_append(list, TRACE_SERVICE);
}

static DWORD change_class(const wchar_t *guid, bool add)
{
    wchar_t path[MAX_PATH];
    names list;
    DWORD error;
    HKEY key;

    format_text(path, ARRAY_COUNT(path), L"%ls%ls", CLASS_KEY, guid);
    error = (DWORD)RegOpenKeyExW(HKEY_LOCAL_MACHINE, path, 0, KEY_QUERY_VALUE | KEY_SET_VALUE | KEY_WOW64_64KEY, &key);
    if (error)
        return error;
    error = names_read(&list, key, UPPER_FILTERS);
    if (!error)
        error = names_change(&list, add) ? names_write(&list, key, UPPER_FILTERS) : ERROR_BUFFER_OVERFLOW;
    RegCloseKey(key);
    return error;
}

static DWORD change_device(HDEVINFO set, SP_DEVINFO_DATA *device, bool add)
{
    DWORD type = 0, size = 0;
    names list;

    memset(&list, 0, sizeof(list));
    if (!SetupDiGetDeviceRegistryPropertyW(set, device, SPDRP_UPPERFILTERS, &type, (BYTE *)list.text,
                                           sizeof(list.text) - 2 * sizeof(wchar_t), &size)) {
        if (GetLastError() == ERROR_INSUFFICIENT_BUFFER)    /* more than there is room for: leave it alone */
            return ERROR_BUFFER_OVERFLOW;
        size = 0;
    } else if (type != REG_MULTI_SZ) {
        return ERROR_INVALID_DATA;
    }
    names_tidy(&list, size);
    if (!names_change(&list, add))
        return ERROR_BUFFER_OVERFLOW;
    if (SetupDiSetDeviceRegistryPropertyW(set, device, SPDRP_UPPERFILTERS, list.length ? (BYTE *)list.text : NULL,
                                          list.length ? names_bytes(&list) : 0))
        return ERROR_SUCCESS;
    return GetLastError();
}

DWORD trace_filters_change(const wchar_t *device, bool add, unsigned *devices)
{
    HDEVINFO set;
    SP_DEVINFO_DATA found;
    DWORD index = 0, error = ERROR_SUCCESS;

    *devices = 0;
    if (trace_is_class(device)) {
        error = change_class(device + wcslen(CLASS_PREFIX), add);
        *devices = !error;
        return error;
    }
    set = device_list(false);
    if (set == INVALID_HANDLE_VALUE)
        return GetLastError();
    while (!error && device_next(set, &index, device, &found)) {
        error = change_device(set, &found, add);
        *devices += !error;
    }
    SetupDiDestroyDeviceInfoList(set);
    if (!error && !*devices)
        error = (DWORD)ERROR_NO_SUCH_DEVINST;
    return error;
}

/* A device takes its filters when it starts.  Those of a class are restarted by the next start of the system. */
DWORD trace_restart(const wchar_t *device, bool *reboot)
{
    unsigned changed = 0;

    if (trace_is_class(device)) {
        *reboot = true;
        return ERROR_SUCCESS;
    }
    return device_change(device, KSHS_DEVICE_RESTART, &changed, reboot);
}

bool trace_device_service(const wchar_t *hardware_id, wchar_t *service, size_t count)
{
    HDEVINFO set = device_list(true);
    SP_DEVINFO_DATA device;
    DWORD index = 0;
    bool found;

    memset(service, 0, count * sizeof(wchar_t));
    if (set == INVALID_HANDLE_VALUE)
        return false;
    found = device_next(set, &index, hardware_id, &device) &&
            SetupDiGetDeviceRegistryPropertyW(set, &device, SPDRP_SERVICE, NULL, (BYTE *)service,
                                              (DWORD)((count - 1) * sizeof(wchar_t)), NULL) && *service;
    SetupDiDestroyDeviceInfoList(set);
    return found;
}
