/* SPDX-License-Identifier: Apache-2.0
 *
 * devices.c - devices by hardware id: find, restart, disable, enable, remove.
 */
#include "devices.h"
#include <cfgmgr32.h>

static bool list_has(const wchar_t *ids, size_t count, const wchar_t *wanted)
{
    size_t at = 0;

    while (at < count && ids[at]) {
        if (!_wcsicmp(ids + at, wanted))
            return true;
        at += wcslen(ids + at) + 1;
    }
    return false;
}

/* A device's hardware or compatible ids; false: it has none. */
static bool read_ids(HDEVINFO set, SP_DEVINFO_DATA *device, DWORD which, wchar_t *ids, size_t count)
{
    DWORD type = 0, bytes = 0;

    memset(ids, 0, count * sizeof(*ids));
    /* Two characters stay zero, so that a list without its end is ended all the same. */
    return SetupDiGetDeviceRegistryPropertyW(set, device, which, &type, (BYTE *)ids,
                                             (DWORD)((count - 2) * sizeof(*ids)), &bytes) &&
           (type == REG_MULTI_SZ || type == REG_SZ);
}

bool device_has_id(HDEVINFO set, SP_DEVINFO_DATA *device, const wchar_t *hardware_id)
{
    wchar_t ids[2048];

    /* An INF may name a device of a bus by a compatible id alone, such as USB\Class_0e. */
    return (read_ids(set, device, SPDRP_HARDWAREID, ids, ARRAY_COUNT(ids)) &&
            list_has(ids, ARRAY_COUNT(ids), hardware_id)) ||
           (read_ids(set, device, SPDRP_COMPATIBLEIDS, ids, ARRAY_COUNT(ids)) &&
            list_has(ids, ARRAY_COUNT(ids), hardware_id));
}

bool device_next(HDEVINFO set, DWORD *index, const wchar_t *hardware_id, SP_DEVINFO_DATA *device)
{
    for (;;) {
        memset(device, 0, sizeof(*device));
        device->cbSize = sizeof(*device);
        if (!SetupDiEnumDeviceInfo(set, (*index)++, device))
            return false;
        if (device_has_id(set, device, hardware_id))
            return true;
    }
}

bool device_own_id(HDEVINFO set, SP_DEVINFO_DATA *device, const wchar_t *named, wchar_t *out, size_t count)
{
    wchar_t ids[2048];

    if (!read_ids(set, device, SPDRP_HARDWAREID, ids, ARRAY_COUNT(ids)))
        return false;
    format_text(out, count, L"%ls", list_has(ids, ARRAY_COUNT(ids), named) ? named : ids);
    return *out != 0;
}

int device_node_state(DWORD node, ULONG *problem)
{
    ULONG status = 0;

    *problem = 0;
    if (!nt.devnode_status || nt_is_wine())         /* Wine has the function, but no device nodes */
        return -2;
    if (nt.devnode_status(&status, problem, node, 0))
        return 0;
    if (status & DN_STARTED)
        return 1;
    return status & DN_HAS_PROBLEM ? -1 : 0;
}

HDEVINFO device_list(bool present_only)
{
    return SetupDiGetClassDevsW(NULL, NULL, NULL, DIGCF_ALLCLASSES | (present_only ? DIGCF_PRESENT : 0));
}

static DWORD change_property(HDEVINFO set, SP_DEVINFO_DATA *device, DWORD change, bool *reboot)
{
    SP_PROPCHANGE_PARAMS parameters;
    SP_DEVINSTALL_PARAMS_W install;

    memset(&parameters, 0, sizeof(parameters));
    parameters.ClassInstallHeader.cbSize = sizeof(parameters.ClassInstallHeader);
    parameters.ClassInstallHeader.InstallFunction = DIF_PROPERTYCHANGE;
    parameters.StateChange = change;
    parameters.Scope = change == DICS_PROPCHANGE ? DICS_FLAG_CONFIGSPECIFIC : DICS_FLAG_GLOBAL;
    if (!SetupDiSetClassInstallParamsW(set, device, &parameters.ClassInstallHeader, sizeof(parameters)) ||
        !SetupDiCallClassInstaller(DIF_PROPERTYCHANGE, set, device))
        return GetLastError();
    memset(&install, 0, sizeof(install));
    install.cbSize = sizeof(install);
    if (SetupDiGetDeviceInstallParamsW(set, device, &install) && install.Flags & (DI_NEEDRESTART | DI_NEEDREBOOT))
        *reboot = true;
    return ERROR_SUCCESS;
}

static DWORD remove_device(HDEVINFO set, SP_DEVINFO_DATA *device, bool *reboot)
{
    SP_REMOVEDEVICE_PARAMS parameters;
    SP_DEVINSTALL_PARAMS_W install;

    memset(&parameters, 0, sizeof(parameters));
    parameters.ClassInstallHeader.cbSize = sizeof(parameters.ClassInstallHeader);
    parameters.ClassInstallHeader.InstallFunction = DIF_REMOVE;
    parameters.Scope = DI_REMOVEDEVICE_GLOBAL;
    /* Some guests have no parameters for this function; global removal is what they do then. */
    SetupDiSetClassInstallParamsW(set, device, &parameters.ClassInstallHeader, sizeof(parameters));
    if (!SetupDiCallClassInstaller(DIF_REMOVE, set, device))
        return GetLastError();
    memset(&install, 0, sizeof(install));
    install.cbSize = sizeof(install);
    if (SetupDiGetDeviceInstallParamsW(set, device, &install) && install.Flags & (DI_NEEDRESTART | DI_NEEDREBOOT))
        *reboot = true;
    return ERROR_SUCCESS;
}

static DWORD change_one(HDEVINFO set, SP_DEVINFO_DATA *device, uint32_t change, bool *reboot)
{
    /* Wine says yes to DIF_PROPERTYCHANGE and does nothing. */
    if (nt_is_wine() && change != KSHS_DEVICE_REMOVE)
        return ERROR_CALL_NOT_IMPLEMENTED;
    switch (change) {
    case KSHS_DEVICE_RESTART:
        return change_property(set, device, DICS_PROPCHANGE, reboot);
    case KSHS_DEVICE_DISABLE:
        return change_property(set, device, DICS_DISABLE, reboot);
    case KSHS_DEVICE_ENABLE:
        return change_property(set, device, DICS_ENABLE, reboot);
    case KSHS_DEVICE_REMOVE:
        return remove_device(set, device, reboot);
    default:
        return ERROR_INVALID_PARAMETER;
    }
}

DWORD device_change(const wchar_t *hardware_id, uint32_t change, unsigned *changed, bool *reboot)
{
    HDEVINFO set = device_list(change != KSHS_DEVICE_REMOVE);
    SP_DEVINFO_DATA device;
    DWORD index = 0, error = ERROR_SUCCESS;

    *changed = 0;
    if (set == INVALID_HANDLE_VALUE)
        return GetLastError();
    while (!error && device_next(set, &index, hardware_id, &device)) {
        error = change_one(set, &device, change, reboot);
        if (!error)
            ++*changed;
    }
    SetupDiDestroyDeviceInfoList(set);
    if (!error && !*changed)
        error = ERROR_NO_SUCH_DEVINST;
    return error;
}
