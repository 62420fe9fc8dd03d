/* SPDX-License-Identifier: Apache-2.0
 *
 * loaded.c - where drivers are loaded: on Wine in processes of user mode, else
 * in the kernel, whose addresses are the same everywhere.
 *
 * Of the kernel the documented PSAPI says no sizes: they are in the images.  Since
 * Windows 11 24H2 it says no addresses either, unless SeDebugPrivilege is enabled.
 */
#include "loaded.h"
#include "nt.h"
#include <tlhelp32.h>

#define DRIVER_HOST L"winedevice.exe"
#define MAX_PROCESSES 16
#define MAX_DRIVERS 1024

typedef BOOL (WINAPI *enumerate)(void **bases, DWORD size, DWORD *needed);
typedef DWORD (WINAPI *name_of)(void *base, wchar_t *name, DWORD count);

static void write_module(json *j, const wchar_t *name, ULONG_PTR base, DWORD size, const wchar_t *path)
{
    json_object(j, NULL);
    json_text(j, "name", name);
    json_hex(j, "base", base);
    if (size)
        json_unsigned(j, "size", size);
    else
        json_null(j, "size");
    json_text(j, "path", path);
    json_end(j);
}

static void begin_process(json *j, DWORD pid, const wchar_t *name)
{
    json_object(j, NULL);
    json_unsigned(j, "pid", pid);
    json_text(j, "process", name);
    json_array(j, "modules");
}

static void end_process(json *j)
{
    json_end(j);
    json_end(j);
}

static void write_process(json *j, const PROCESSENTRY32W *process)
{
    HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPMODULE, process->th32ProcessID);
    MODULEENTRY32W entry;
    BOOL more;

    if (snapshot == INVALID_HANDLE_VALUE)
        return;
    memset(&entry, 0, sizeof(entry));
    entry.dwSize = sizeof(entry);
    begin_process(j, process->th32ProcessID, process->szExeFile);
    for (more = Module32FirstW(snapshot, &entry); more; more = Module32NextW(snapshot, &entry))
        write_module(j, entry.szModule, (ULONG_PTR)entry.modBaseAddr, entry.modBaseSize, entry.szExePath);
    end_process(j);
    CloseHandle(snapshot);
}

static void write_processes(json *j)
{
    HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    PROCESSENTRY32W entry;
    unsigned told = 0;
    BOOL more;

    if (snapshot == INVALID_HANDLE_VALUE)
        return;
    memset(&entry, 0, sizeof(entry));
    entry.dwSize = sizeof(entry);
    for (more = Process32FirstW(snapshot, &entry); more && told < MAX_PROCESSES; more = Process32NextW(snapshot, &entry))
        if (!_wcsicmp(entry.szExeFile, DRIVER_HOST)) {
            write_process(j, &entry);
            told++;
        }
    CloseHandle(snapshot);
}

static void enable_debug_privilege(void)
{
    TOKEN_PRIVILEGES privileges;
    HANDLE token;

    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_ADJUST_PRIVILEGES | TOKEN_QUERY, &token))
        return;
    privileges.PrivilegeCount = 1;
    privileges.Privileges[0].Attributes = SE_PRIVILEGE_ENABLED;
    if (LookupPrivilegeValueW(NULL, L"SeDebugPrivilege", &privileges.Privileges[0].Luid))
        AdjustTokenPrivileges(token, FALSE, &privileges, 0, NULL, NULL);
    CloseHandle(token);
}

static void find(HMODULE module, const char *name, void *slot)
{
    FARPROC found = module ? GetProcAddress(module, name) : NULL;

    memcpy(slot, &found, sizeof(found));
}

static void write_kernel(json *j)
{
    static void *bases[MAX_DRIVERS];
    HMODULE psapi = LoadLibraryW(L"psapi.dll");
    wchar_t name[64], path[MAX_PATH];
    name_of base_name, file_name;
    enumerate drivers;
    DWORD size, i;

    find(psapi, "EnumDeviceDrivers", &drivers);
    find(psapi, "GetDeviceDriverBaseNameW", &base_name);
    find(psapi, "GetDeviceDriverFileNameW", &file_name);
    if (!drivers || !base_name || !file_name)
        return;
    enable_debug_privilege();
    if (!drivers(bases, sizeof(bases), &size))
        return;
    if (size > sizeof(bases))
        size = sizeof(bases);
    begin_process(j, 0, L"kernel");
    for (i = 0; i < size / sizeof(*bases); i++) {
        if (!bases[i] || !base_name(bases[i], name, ARRAY_COUNT(name)))
            continue;
        if (!file_name(bases[i], path, ARRAY_COUNT(path)))
            *path = 0;
        write_module(j, name, (ULONG_PTR)bases[i], 0, path);
    }
    end_process(j);
}

void loaded_write(json *j)
{
    json_object(j, NULL);
    json_array(j, "processes");
    if (nt_is_wine())
        write_processes(j);
    else
        write_kernel(j);
    json_end(j);
    json_end(j);
}

int verb_modules(int count, wchar_t **arguments)
{
    json j;

    (void)count;
    (void)arguments;
    json_start(&j, JSON_MAX_BYTES);
    loaded_write(&j);
    return json_print(&j) ? EXIT_DONE : EXIT_FAILED;
}
