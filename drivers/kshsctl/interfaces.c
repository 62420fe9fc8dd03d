/* SPDX-License-Identifier: Apache-2.0
 *
 * interfaces.c - from a device interface category to the NT path of one instance.
 */
#include "kshsctl.h"
#include <setupapi.h>

#define DETAIL_BYTES 2048

DWORD interface_path(const kshs_guid *category, uint32_t index, wchar_t *out, size_t count)
{
    union {
        SP_DEVICE_INTERFACE_DETAIL_DATA_W data;
        uint8_t room[DETAIL_BYTES];
    } detail;
    SP_DEVICE_INTERFACE_DATA item;
    DWORD error = ERROR_SUCCESS;
    HDEVINFO set;
    GUID guid;

    memcpy(&guid, category, sizeof(guid));
    set = SetupDiGetClassDevsW(&guid, NULL, NULL, DIGCF_DEVICEINTERFACE | DIGCF_PRESENT);
    if (set == INVALID_HANDLE_VALUE)
        return GetLastError();
    memset(&item, 0, sizeof(item));
    item.cbSize = sizeof(item);
    detail.data.cbSize = sizeof(detail.data);
    if (!SetupDiEnumDeviceInterfaces(set, NULL, &guid, index, &item) ||
        !SetupDiGetDeviceInterfaceDetailW(set, &item, &detail.data, sizeof(detail), NULL, NULL)) {
        error = GetLastError();
        if (!error)
            error = ERROR_NO_MORE_ITEMS;
    } else if (wcslen(detail.data.DevicePath) >= count) {
        error = ERROR_INSUFFICIENT_BUFFER;
    } else {
        wcscpy(out, detail.data.DevicePath);
        /* \\?\name is the Win32 spelling of \??\name. */
        if (!wcsncmp(out, L"\\\\?\\", 4))
            out[1] = L'?';
    }
    SetupDiDestroyDeviceInfoList(set);
    return error;
}
