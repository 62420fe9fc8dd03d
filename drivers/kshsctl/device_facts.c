/* SPDX-License-Identifier: Apache-2.0
 *
 * device_facts.c - the verb device: what the system says of a device and of the
 * driver that it bound to it.  What it cannot say is null, never a guess.
 *
 * Device properties came with NT 6; before that (and where one is not kept) the
 * driver's software key has the same, by the names that SetupAPI writes.
 */
#include "devices.h"

#define TYPE_UINT32 0x00000007      /* DEVPROP_TYPE_... of devpropdef.h */
#define TYPE_STRING 0x00000012
#define TYPE_NTSTATUS 0x00000018

/* DEVPROPKEY, and keys of devpkey.h, which not every SDK has under the oldest version that the agent starts on. */
typedef struct property_key {
    GUID group;
    ULONG id;
} property_key;

#define DRIVER_GROUP { 0xa8b865dd, 0x2e3d, 0x4094, { 0xad, 0x97, 0xe5, 0x93, 0xa7, 0x0c, 0x75, 0xd6 } }
#define NODE_GROUP { 0x4340a6c5, 0x93fa, 0x4706, { 0x97, 0x2c, 0x7b, 0x64, 0x80, 0x08, 0xa5, 0xa7 } }

static const property_key driver_version = { DRIVER_GROUP, 3 }; /* DEVPKEY_Device_DriverVersion */
static const property_key driver_inf = { DRIVER_GROUP, 5 };     /* DEVPKEY_Device_DriverInfPath */
static const property_key driver_section = { DRIVER_GROUP, 6 }; /* DEVPKEY_Device_DriverInfSection */
static const property_key driver_provider = { DRIVER_GROUP, 9 };    /* DEVPKEY_Device_DriverProvider */
static const property_key problem_status = { NODE_GROUP, 12 };  /* DEVPKEY_Device_ProblemStatus */

typedef BOOL (WINAPI *get_property)(HDEVINFO set, SP_DEVINFO_DATA *device, const property_key *key, ULONG *type,
                                    BYTE *data, DWORD size, DWORD *needed, DWORD flags);

static bool property(HDEVINFO set, SP_DEVINFO_DATA *device, const property_key *key, ULONG type, void *data,
                     DWORD size)
{
    HMODULE module = GetModuleHandleW(L"setupapi.dll");
    FARPROC found = module ? GetProcAddress(module, "SetupDiGetDevicePropertyW") : NULL;
    get_property call;
    ULONG is = 0;
    DWORD needed = 0;

    if (!found)
        return false;
    memcpy(&call, &found, sizeof(call));
    return call(set, device, key, &is, data, size, &needed, 0) && is == type;
}

static bool software_value(HDEVINFO set, SP_DEVINFO_DATA *device, const wchar_t *name, wchar_t *out, size_t count)
{
    DWORD type = 0, size = (DWORD)((count - 1) * sizeof(wchar_t));
    HKEY key = SetupDiOpenDevRegKey(set, device, DICS_FLAG_GLOBAL, 0, DIREG_DRV, KEY_QUERY_VALUE);
    bool found;

    if (key == INVALID_HANDLE_VALUE)
        return false;
    found = !RegQueryValueExW(key, name, NULL, &type, (BYTE *)out, &size) && type == REG_SZ;
    RegCloseKey(key);
    return found;
}

static void json_driver(json *j, const char *name, HDEVINFO set, SP_DEVINFO_DATA *device, const property_key *key,
                        const wchar_t *value)
{
    wchar_t text[MAX_PATH];

    /* One character stays zero, so that a text without its end is ended all the same. */
    memset(text, 0, sizeof(text));
    if (!property(set, device, key, TYPE_STRING, text, sizeof(text) - sizeof(text[0]))) {
        memset(text, 0, sizeof(text));
        if (!software_value(set, device, value, text, ARRAY_COUNT(text)))
            text[0] = 0;
    }
    if (*text)
        json_text(j, name, text);
    else
        json_null(j, name);
}

static void write_problem_status(json *j, HDEVINFO set, SP_DEVINFO_DATA *device)
{
    uint32_t status = 0;

    if (property(set, device, &problem_status, TYPE_NTSTATUS, &status, sizeof(status)) ||
        property(set, device, &problem_status, TYPE_UINT32, &status, sizeof(status)))
        json_hex(j, "problem_status", status);
    else
        json_null(j, "problem_status");
}

void json_device_problem(json *j, const wchar_t *hardware_id)
{
    HDEVINFO set = device_list(true);
    SP_DEVINFO_DATA device;
    DWORD index = 0;

    if (set != INVALID_HANDLE_VALUE && device_next(set, &index, hardware_id, &device))
        write_problem_status(j, set, &device);
    else
        json_null(j, "problem_status");
    if (set != INVALID_HANDLE_VALUE)
        SetupDiDestroyDeviceInfoList(set);
}

static void describe(json *j, HDEVINFO set, SP_DEVINFO_DATA *device)
{
    wchar_t text[MAX_PATH];
    ULONG problem = 0;
    int state = device_node_state(device->DevInst, &problem);

    if (!SetupDiGetDeviceInstanceIdW(set, device, text, ARRAY_COUNT(text), NULL))
        *text = 0;
    json_text(j, "instance", text);
    memset(text, 0, sizeof(text));
    SetupDiGetDeviceRegistryPropertyW(set, device, SPDRP_SERVICE, NULL, (BYTE *)text, sizeof(text) - sizeof(text[0]),
                                      NULL);
    json_text(j, "service", text);
    json_maybe(j, "started", state == -2 ? -1 : state == 1);
    if (state == -2)
        json_null(j, "problem");
    else
        json_unsigned(j, "problem", problem);
    write_problem_status(j, set, device);
    json_driver(j, "inf", set, device, &driver_inf, L"InfPath");
    json_driver(j, "section", set, device, &driver_section, L"InfSection");
    json_driver(j, "version", set, device, &driver_version, L"DriverVersion");
    json_driver(j, "provider", set, device, &driver_provider, L"ProviderName");
}

int verb_device(int count, wchar_t **arguments)
{
    HDEVINFO set = device_list(true);
    SP_DEVINFO_DATA device;
    DWORD index = 0;
    report r;

    (void)count;
    report_start(&r, "device");
    report_step(&r, "find");
    json_text(&r.body, "hardware_id", arguments[0]);
    if (set == INVALID_HANDLE_VALUE) {
        report_fail(&r, GetLastError(), L"the devices cannot be listed");
    } else if (!device_next(set, &index, arguments[0], &device)) {
        report_fail(&r, (DWORD)ERROR_NO_SUCH_DEVINST, L"no device has the hardware id %ls", arguments[0]);
    } else {
        report_step(&r, "describe");
        describe(&r.body, set, &device);
        json_bool(&r.body, "alone", !device_next(set, &index, arguments[0], &device));
    }
    if (set != INVALID_HANDLE_VALUE)
        SetupDiDestroyDeviceInfoList(set);
    return report_finish(&r);
}
