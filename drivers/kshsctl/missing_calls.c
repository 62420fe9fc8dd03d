/* SPDX-License-Identifier: Apache-2.0
 *
 * missing_calls.c - what drivers asked of the reference class driver in vain:
 * it leaves the names in the registry (drivers/refks/missing.c).
 */
#include "missing_calls.h"

#define MISSING_KEY L"SOFTWARE\\kshs\\ReferenceKs\\Missing"

void json_missing_calls(json *j, const char *key, bool recorded)
{
    wchar_t name[128];
    DWORD index, length;
    HKEY handle;

    if (!recorded) {
        json_null(j, key);
        return;
    }
    json_array(j, key);
    if (!RegOpenKeyExW(HKEY_LOCAL_MACHINE, MISSING_KEY, 0, KEY_QUERY_VALUE | KEY_WOW64_64KEY, &handle)) {
        for (index = 0;; index++) {
            length = ARRAY_COUNT(name);
            if (RegEnumValueW(handle, index, name, &length, NULL, NULL, NULL, NULL))
                break;
            json_text(j, NULL, name);
        }
        RegCloseKey(handle);
    }
    json_end(j);
}
