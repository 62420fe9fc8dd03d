/* SPDX-License-Identifier: Apache-2.0
 *
 * interfaces.c - from a device interface category to the NT path of one instance, and from a device to all of its
 * interfaces.
 */
#include "devices.h"

#define DETAIL_BYTES 2048
#define CLASSES L"SYSTEM\\CurrentControlSet\\Control\\DeviceClasses"
#define GUID_CHARS 38               /* {00000000-0000-0000-0000-000000000000} */
#define MAX_INTERFACES 4096         /* of one category: whatever a broken registry says, this ends */

typedef union interface_detail {
    SP_DEVICE_INTERFACE_DETAIL_DATA_W data;
    uint8_t room[DETAIL_BYTES];
} interface_detail;

static bool next_interface(HDEVINFO set, const GUID *guid, DWORD index, SP_DEVICE_INTERFACE_DATA *item)
{
    memset(item, 0, sizeof(*item));
    item->cbSize = sizeof(*item);
    return SetupDiEnumDeviceInterfaces(set, NULL, guid, index, item);
}

static bool interface_detail_of(HDEVINFO set, SP_DEVICE_INTERFACE_DATA *item, interface_detail *detail,
                                SP_DEVINFO_DATA *device)
{
    detail->data.cbSize = sizeof(detail->data);
    return SetupDiGetDeviceInterfaceDetailW(set, item, &detail->data, sizeof(*detail), NULL, device);
}

/* The path of the instance that has so many before it. */
static DWORD find_instance(HDEVINFO set, const GUID *guid, uint32_t before, wchar_t *out, size_t count)
{
    /* Wine alone has several instances behind an interface, and each from the first on is asked. */
    DWORD index = nt_is_wine() ? 0 : before, error;
    uint32_t left = nt_is_wine() ? before : 0, there;
    SP_DEVICE_INTERFACE_DATA item;
    interface_factories factories;
    interface_detail detail;

    for (; index < MAX_INTERFACES && next_interface(set, guid, index, &item); index++, left -= there) {
        there = 1;
        if (!interface_detail_of(set, &item, &detail, NULL)) {
            if (left)
                continue;
            error = GetLastError();
            return error ? error : ERROR_NO_MORE_ITEMS;
        }
        factories_of(detail.data.DevicePath, &factories);
        there = factories_count(&factories);
        if (left >= there)
            continue;
        if (!factories_path(&factories, left, detail.data.DevicePath, out, count))
            return ERROR_INSUFFICIENT_BUFFER;
        /* \\?\name is the Win32 spelling of \??\name. */
        if (!wcsncmp(out, L"\\\\?\\", 4))
            out[1] = L'?';
        return ERROR_SUCCESS;
    }
    return ERROR_NO_MORE_ITEMS;
}

DWORD interface_look_up(const kshs_guid *category, uint32_t index, wchar_t *out, size_t count)
{
    DWORD error;
    HDEVINFO set;
    GUID guid;

    memcpy(&guid, category, sizeof(guid));
    set = SetupDiGetClassDevsW(&guid, NULL, NULL, DIGCF_DEVICEINTERFACE | DIGCF_PRESENT);
    if (set == INVALID_HANDLE_VALUE)
        return GetLastError();
    error = find_instance(set, &guid, index, out, count);
    SetupDiDestroyDeviceInfoList(set);
    return error;
}

static int hex_digit(wchar_t c)
{
    if (c >= L'0' && c <= L'9')
        return c - L'0';
    c |= 0x20;
    return c >= L'a' && c <= L'f' ? c - L'a' + 10 : -1;
}

/* A category as the registry spells it. */
static bool parse_guid(const wchar_t *text, GUID *guid)
{
    /* Where in memory the bytes lie that the text has one after the other. */
    static const uint8_t order[sizeof(GUID)] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
    uint8_t *bytes = (uint8_t *)guid;
    size_t at = 1, i;

    if (wcslen(text) != GUID_CHARS || text[0] != L'{' || text[GUID_CHARS - 1] != L'}')
        return false;
    for (i = 0; i < sizeof(GUID); i++) {
        int high, low;

        if ((i == 4 || i == 6 || i == 8 || i == 10) && text[at++] != L'-')
            return false;
        high = hex_digit(text[at]);
        low = hex_digit(text[at + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[order[i]] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    return true;
}

static void write_instance(json *j, const wchar_t *category, uint32_t index, const wchar_t *path, bool active)
{
    json_object(j, NULL);
    json_text(j, "category", category);
    json_unsigned(j, "index", index);
    json_text(j, "path", path);
    json_bool(j, "active", active);
    json_end(j);
}

/* Those of one category that belong to a device of the hardware id. */
static void write_category(json *j, const wchar_t *name, const wchar_t *hardware_id)
{
    wchar_t path[DETAIL_BYTES];
    SP_DEVICE_INTERFACE_DATA item;
    interface_factories factories;
    interface_detail detail;
    SP_DEVINFO_DATA device;
    uint32_t instance = 0, there, i;
    DWORD index;
    HDEVINFO set;
    GUID guid;

    if (!parse_guid(name, &guid))
        return;
    set = SetupDiGetClassDevsW(&guid, NULL, NULL, DIGCF_DEVICEINTERFACE | DIGCF_PRESENT);
    if (set == INVALID_HANDLE_VALUE)
        return;
    for (index = 0; index < MAX_INTERFACES && next_interface(set, &guid, index, &item); index++, instance += there) {
        there = 1;
        memset(&device, 0, sizeof(device));
        device.cbSize = sizeof(device);
        if (!interface_detail_of(set, &item, &detail, &device))
            continue;
        factories_of(detail.data.DevicePath, &factories);
        there = factories_count(&factories);
        if (!device_has_id(set, &device, hardware_id))
            continue;
        for (i = 0; i < there; i++)
            if (factories_path(&factories, i, detail.data.DevicePath, path, ARRAY_COUNT(path)))
                write_instance(j, name, instance + i, path, (item.Flags & SPINT_ACTIVE) != 0);
    }
    SetupDiDestroyDeviceInfoList(set);
}

void json_interfaces(json *j, const char *key, const wchar_t *hardware_id)
{
    wchar_t name[MAX_PATH];
    DWORD index, length;
    HKEY classes;
    LONG error;

    /* SetupAPI lists the interfaces of a category, and no categories; each that was ever registered is a key here. */
    if (RegOpenKeyExW(HKEY_LOCAL_MACHINE, CLASSES, 0, KEY_ENUMERATE_SUB_KEYS | KEY_WOW64_64KEY, &classes)) {
        json_null(j, key);
        return;
    }
    json_array(j, key);
    for (index = 0;; index++) {
        length = ARRAY_COUNT(name);
        error = RegEnumKeyExW(classes, index, name, &length, NULL, NULL, NULL, NULL);
        if (error == ERROR_MORE_DATA)
            continue;               /* longer than any GUID */
        if (error)
            break;
        write_category(j, name, hardware_id);
    }
    RegCloseKey(classes);
    json_end(j);
}
