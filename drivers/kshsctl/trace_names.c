/* SPDX-License-Identifier: Apache-2.0
 *
 * trace_names.c - lists of names as the registry has them (REG_MULTI_SZ).
 */
#include "trace.h"

/* Whatever the registry holds becomes a list that ends. */
void names_tidy(names *list, DWORD size)
{
    size_t from = 0, count = size / sizeof(wchar_t);

    list->length = 0;
    if (count > ARRAY_COUNT(list->text) - 2)
        count = ARRAY_COUNT(list->text) - 2;
    list->text[count] = list->text[count + 1] = 0;
    while (from < count && list->text[from]) {
        size_t length = wcslen(list->text + from) + 1;

        memmove(list->text + list->length, list->text + from, length * sizeof(wchar_t));
        list->length += length;
        from += length;
    }
    list->text[list->length] = 0;
}

bool names_drop(names *list, const wchar_t *name)
{
    size_t at = 0;

    while (at < list->length) {
        size_t length = wcslen(list->text + at) + 1;

        if (!_wcsicmp(list->text + at, name)) {
            memmove(list->text + at, list->text + at + length, (list->length - at - length + 1) * sizeof(wchar_t));
            list->length -= length;
            return true;
        }
        at += length;
    }
    return false;
}

bool names_append(names *list, const wchar_t *name)
{
    size_t length = wcslen(name) + 1;

    if (list->length + length + 1 > ARRAY_COUNT(list->text))
        return false;
    memcpy(list->text + list->length, name, length * sizeof(wchar_t));
    list->length += length;
    list->text[list->length] = 0;
    return true;
}

DWORD names_bytes(const names *list)
{
    return (DWORD)((list->length + 1) * sizeof(wchar_t));
}

DWORD names_read(names *list, HKEY key, const wchar_t *value)
{
    DWORD type = 0, size = sizeof(list->text) - 2 * sizeof(wchar_t), error;

    memset(list, 0, sizeof(*list));
    error = (DWORD)RegQueryValueExW(key, value, NULL, &type, (BYTE *)list->text, &size);
    if (error == ERROR_FILE_NOT_FOUND)
        return ERROR_SUCCESS;
    if (error || type != REG_MULTI_SZ)
        return error ? error : ERROR_INVALID_DATA;
    names_tidy(list, size);
    return ERROR_SUCCESS;
}

/* An empty list is no value. */
DWORD names_write(const names *list, HKEY key, const wchar_t *value)
{
    DWORD error;

    if (list->length)
        return (DWORD)RegSetValueExW(key, value, 0, REG_MULTI_SZ, (const BYTE *)list->text, names_bytes(list));
    error = (DWORD)RegDeleteValueW(key, value);
    return error == ERROR_FILE_NOT_FOUND ? ERROR_SUCCESS : error;
}
