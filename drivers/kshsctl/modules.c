/* SPDX-License-Identifier: Apache-2.0
 *
 * modules.c - see modules.h.
 */
#include "modules.h"
#include <tlhelp32.h>

void modules_read(DWORD pid, module_list *list, wchar_t *process, size_t count)
{
    MODULEENTRY32W entry;
    HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPMODULE, pid);

    list->count = 0;
    *process = 0;
    if (snapshot == INVALID_HANDLE_VALUE)
        return;
    memset(&entry, 0, sizeof(entry));
    entry.dwSize = sizeof(entry);
    if (Module32FirstW(snapshot, &entry)) {
        format_text(process, count, L"%ls", entry.szModule);        /* the executable comes first */
        do {
            module *m = &list->items[list->count++];

            m->base = (ULONG_PTR)entry.modBaseAddr;
            m->size = entry.modBaseSize;
            format_text(m->name, ARRAY_COUNT(m->name), L"%ls", entry.szModule);
        } while (list->count < MAX_MODULES && Module32NextW(snapshot, &entry));
    }
    CloseHandle(snapshot);
}

const module *modules_find(const module_list *list, ULONG_PTR address)
{
    unsigned i;

    for (i = 0; i < list->count; i++)
        if (address >= list->items[i].base && address - list->items[i].base < list->items[i].size)
            return &list->items[i];
    return NULL;
}

bool module_is_driver(const module *m)
{
    size_t length = m ? wcslen(m->name) : 0;

    return length > 4 && !_wcsicmp(m->name + length - 4, L".sys");
}

void module_place(json *j, const module *m, ULONG_PTR address)
{
    json_hex(j, "address", address);
    if (m) {
        json_text(j, "module", m->name);
        json_hex(j, "offset", address - m->base);
    } else {
        json_null(j, "module");
        json_null(j, "offset");
    }
}

void modules_write(json *j, const module_list *list)
{
    unsigned i;

    json_array(j, "modules");
    for (i = 0; i < list->count; i++) {
        json_object(j, NULL);
        json_text(j, "name", list->items[i].name);
        json_hex(j, "base", list->items[i].base);
        json_hex(j, "size", list->items[i].size);
        json_end(j);
    }
    json_end(j);
}
