/* SPDX-License-Identifier: Apache-2.0
 *
 * trace_settings.c - what the tracer is told before it is loaded, and which
 * devices it was put above, in the registry below its service.
 */
#include "trace.h"

#define PARAMETERS L"SYSTEM\\CurrentControlSet\\Services\\" TRACE_SERVICE L"\\Parameters"
#define RECORDS L"Records"
#define SETS L"Sets"
#define DEVICES L"Devices"

static DWORD open_parameters(HKEY *key, bool make)
{
    if (make)
        return (DWORD)RegCreateKeyExW(HKEY_LOCAL_MACHINE, PARAMETERS, 0, NULL, 0,
                                      KEY_QUERY_VALUE | KEY_SET_VALUE | KEY_WOW64_64KEY, NULL, key, NULL);
    return (DWORD)RegOpenKeyExW(HKEY_LOCAL_MACHINE, PARAMETERS, 0, KEY_QUERY_VALUE | KEY_SET_VALUE | KEY_WOW64_64KEY,
                                key);
}

DWORD trace_devices(names *devices)
{
    HKEY key;
    DWORD error = open_parameters(&key, false);

    memset(devices, 0, sizeof(*devices));
    if (error)
        return error == ERROR_FILE_NOT_FOUND ? ERROR_SUCCESS : error;
    error = names_read(devices, key, DEVICES);
    RegCloseKey(key);
    return error;
}

DWORD trace_remember(const wchar_t *device, bool add, names *left)
{
    HKEY key;
    DWORD error = open_parameters(&key, add);

    memset(left, 0, sizeof(*left));
    if (error)
        return !add && error == ERROR_FILE_NOT_FOUND ? ERROR_SUCCESS : error;
    error = names_read(left, key, DEVICES);
    if (!error) {
        names_drop(left, device);
        error = !add || names_append(left, device) ? names_write(left, key, DEVICES) : ERROR_BUFFER_OVERFLOW;
    }
    RegCloseKey(key);
    return error;
}

DWORD trace_settings_write(const trace_settings *s)
{
    HKEY key;
    DWORD error = open_parameters(&key, true);

    if (error)
        return error;
    RegDeleteValueW(key, RECORDS);
    RegDeleteValueW(key, SETS);
    if (s->records)
        error = (DWORD)RegSetValueExW(key, RECORDS, 0, REG_DWORD, (const BYTE *)&s->records, sizeof(s->records));
    if (!error && s->set_count)
        error = (DWORD)RegSetValueExW(key, SETS, 0, REG_BINARY, (const BYTE *)s->sets,
                                      (DWORD)(s->set_count * sizeof(s->sets[0])));
    RegCloseKey(key);
    return error;
}

static bool hex(const wchar_t **text, unsigned digits, uint32_t *value)
{
    *value = 0;
    while (digits--) {
        wchar_t c = *(*text)++;

        if (c >= '0' && c <= '9')
            *value = *value << 4 | (uint32_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            *value = *value << 4 | (uint32_t)((c | 32) - 'a' + 10);
        else
            return false;
    }
    return true;
}

/* With or without braces. */
static bool parse_guid(const wchar_t *text, GUID *guid)
{
    bool braces = *text == '{';
    uint32_t value;
    unsigned i;

    text += braces;
    if (!hex(&text, 8, &value) || *text++ != '-')
        return false;
    guid->Data1 = value;
    if (!hex(&text, 4, &value) || *text++ != '-')
        return false;
    guid->Data2 = (unsigned short)value;
    if (!hex(&text, 4, &value) || *text++ != '-')
        return false;
    guid->Data3 = (unsigned short)value;
    for (i = 0; i < 8; i++) {
        if (i == 2 && *text++ != '-')
            return false;
        if (!hex(&text, 2, &value))
            return false;
        guid->Data4[i] = (unsigned char)value;
    }
    return (!braces || *text++ == '}') && !*text;
}

bool trace_settings_parse(report *r, int count, wchar_t **arguments, trace_settings *s)
{
    int i;

    memset(s, 0, sizeof(*s));
    for (i = 0; i < count; i++) {
        const wchar_t *text = arguments[i];

        if (!wcsncmp(text, L"records=", 8)) {
            wchar_t *end;

            s->records = wcstoul(text + 8, &end, 10);
            if (*end || s->records < KSTRACE_LEAST_RECORDS || s->records > KSTRACE_MOST_RECORDS)
                return report_fail(r, 0, L"records= wants a number from %u to %u", KSTRACE_LEAST_RECORDS,
                                   KSTRACE_MOST_RECORDS);
        } else if (!wcsncmp(text, L"watch=", 6)) {
            if (s->set_count == KSTRACE_MAX_SETS)
                return report_fail(r, 0, L"at most %u property sets can be watched", KSTRACE_MAX_SETS);
            if (!parse_guid(text + 6, &s->sets[s->set_count++]))
                return report_fail(r, 0, L"watch= wants the GUID of a property set, not \"%ls\"", text + 6);
        } else {
            return report_fail(r, 0, L"trace start DEVICE [records=N] [watch=GUID]...: \"%ls\" is neither", text);
        }
    }
    return true;
}
