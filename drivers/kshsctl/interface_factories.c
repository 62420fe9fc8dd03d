/* SPDX-License-Identifier: Apache-2.0
 *
 * interface_factories.c - on Wine, the filters behind one device interface.
 *
 * NT enables an interface for each filter factory, with its reference string in the
 * path.  Wine can enable one without alone: refks (drivers/refks/category.c) keeps
 * beside it which factories are in the category, and here each becomes an instance of
 * its own, with the path that it would have on NT.  Where nothing is kept, or another
 * class driver is at work, the interface is one instance.
 */
#include "devices.h"
#include "kshs_plain_name.h"

#define CLASSES L"SYSTEM\\CurrentControlSet\\Control\\DeviceClasses\\"
#define CONTROL L"\\#\\Control"
#define VALUE L"KshsFilters"
#define PREFIX 4                    /* \\?\ of a path, ##?# of its key */

void factories_of(const wchar_t *path, interface_factories *found)
{
    wchar_t key_path[ARRAY_COUNT(CLASSES) + ARRAY_COUNT(CONTROL) + KSHS_CLASS_CHARACTERS + 512];
    size_t length = wcslen(path);
    DWORD type = 0, size;
    HKEY key;

    memset(found, 0, sizeof(*found));
    /* Of a path with a reference string the end is another. */
    if (!nt_is_wine() || length < PREFIX + KSHS_CLASS_CHARACTERS || length > 500 || path[length - 1] != L'}' ||
        path[length - KSHS_CLASS_CHARACTERS] != L'{')
        return;
    format_text(key_path, ARRAY_COUNT(key_path), CLASSES L"%ls\\##?#%ls" CONTROL,
                path + length - KSHS_CLASS_CHARACTERS, path + PREFIX);
    if (RegOpenKeyExW(HKEY_LOCAL_MACHINE, key_path, 0, KEY_QUERY_VALUE | KEY_WOW64_64KEY, &key))
        return;
    /* Two characters stay zero, so that a list without its end is ended all the same. */
    size = (DWORD)(sizeof(found->names) - 2 * sizeof(wchar_t));
    if (RegQueryValueExW(key, VALUE, NULL, &type, (BYTE *)found->names, &size) || type != REG_MULTI_SZ)
        memset(found, 0, sizeof(*found));
    RegCloseKey(key);
}

static const wchar_t *name_of(const interface_factories *found, uint32_t number)
{
    const wchar_t *name = found->names;

    while (*name && number--)
        name += wcslen(name) + 1;
    return name;
}

uint32_t factories_count(const interface_factories *found)
{
    uint32_t count = 0;

    while (*name_of(found, count))
        count++;
    return count ? count : 1;
}

bool factories_path(const interface_factories *found, uint32_t number, const wchar_t *plain, wchar_t *out, size_t count)
{
    const wchar_t *name = name_of(found, number);
    size_t length = wcslen(plain);

    if (!wcscmp(name, L"\\"))
        name = L"";                 /* the one that is found without */
    if (length + wcslen(name) >= count)
        return false;
    wcscpy(out, plain);
    wcscpy(out + length, name);
    return true;
}
