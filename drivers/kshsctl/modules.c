/* SPDX-License-Identifier: Apache-2.0
 *
 * modules.c - see modules.h.
 */
#include "modules.h"
#include "peek.h"
#include <tlhelp32.h>

/* What the loader keeps of each image, as far as it is read here; the same on every NT and on Wine. */
typedef struct loader_entry {
    LIST_ENTRY load, memory, initialization;
    ULONG_PTR base, start;
    ULONG size;
    UNICODE_STRING path, name;
} loader_entry;

typedef struct loader_data {
    ULONG length;
    ULONG initialized;
    void *handle;
    LIST_ENTRY load;
} loader_data;

typedef struct environment_block {
    void *flags, *mutant, *image;
    ULONG_PTR loader;
} environment_block;

typedef NTSTATUS (NTAPI *query_process)(HANDLE process, PROCESSINFOCLASS kind, void *out, ULONG length, ULONG *got);

/* Nothing that NT 5.2 promises: found at run time. */
static ULONG_PTR environment_of(HANDLE process)
{
    FARPROC found = GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "NtQueryInformationProcess");
    PROCESS_BASIC_INFORMATION basic;
    query_process query;

    memcpy(&query, &found, sizeof(query));
    if (!query || query(process, ProcessBasicInformation, &basic, sizeof(basic), NULL))
        return 0;
    return (ULONG_PTR)basic.PebBaseAddress;
}

static bool add(peeked *memory, const loader_entry *entry, module_list *list)
{
    module *m = &list->items[list->count];
    size_t bytes = entry->name.Length;

    if (bytes > sizeof(m->name) - sizeof(m->name[0]))
        bytes = sizeof(m->name) - sizeof(m->name[0]);
    memset(m, 0, sizeof(*m));
    m->base = entry->base;
    m->size = entry->size;
    if (!peek(memory, (ULONG_PTR)entry->name.Buffer, m->name, bytes / sizeof(m->name[0]) * sizeof(m->name[0])))
        return false;
    list->count++;
    return true;
}

/* Some pages instead of three reads a module, which is how CreateToolhelp32Snapshot does it in Wine. */
static bool walk(HANDLE process, peeked *memory, module_list *list)
{
    ULONG_PTR environment = environment_of(process), head, at;
    environment_block block;
    loader_data data;

    peek_start(memory, process);
    if (!environment || !peek(memory, environment, &block, sizeof(block)) || !block.loader ||
        !peek(memory, block.loader, &data, sizeof(data)))
        return false;
    head = block.loader + offsetof(loader_data, load);
    for (at = (ULONG_PTR)data.load.Flink; at != head && list->count < MAX_MODULES;) {
        loader_entry entry;

        if (!peek(memory, at, &entry, sizeof(entry)) || !add(memory, &entry, list))
            return false;
        at = (ULONG_PTR)entry.load.Flink;
    }
    return list->count != 0;
}

static bool walked(DWORD pid, module_list *list)
{
    HANDLE process = OpenProcess(PROCESS_VM_READ | PROCESS_QUERY_INFORMATION, FALSE, pid);
    peeked *memory = malloc(sizeof(*memory));
    bool done = process && memory && walk(process, memory, list);

    free(memory);
    if (process)
        CloseHandle(process);
    return done;
}

static void list_by_snapshot(DWORD pid, module_list *list)
{
    MODULEENTRY32W entry;
    HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPMODULE, pid);

    if (snapshot == INVALID_HANDLE_VALUE)
        return;
    memset(&entry, 0, sizeof(entry));
    entry.dwSize = sizeof(entry);
    if (Module32FirstW(snapshot, &entry)) {
        do {
            module *m = &list->items[list->count++];

            m->base = (ULONG_PTR)entry.modBaseAddr;
            m->size = entry.modBaseSize;
            format_text(m->name, ARRAY_COUNT(m->name), L"%ls", entry.szModule);
        } while (list->count < MAX_MODULES && Module32NextW(snapshot, &entry));
    }
    CloseHandle(snapshot);
}

void modules_read(DWORD pid, module_list *list, wchar_t *process, size_t count)
{
    list->count = 0;
    *process = 0;
    if (!walked(pid, list)) {
        list->count = 0;
        list_by_snapshot(pid, list);
    }
    if (list->count)
        format_text(process, count, L"%ls", list->items[0].name);   /* the executable comes first */
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
