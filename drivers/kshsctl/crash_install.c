/* SPDX-License-Identifier: Apache-2.0
 *
 * crash_install.c - which program the guest starts for a process that faults.
 */
#include "nt.h"

#define AEDEBUG L"SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\AeDebug"
#define RECORDER L"kshsrec.exe"

static bool set_text(HKEY key, const wchar_t *name, const wchar_t *text, report *r)
{
    LONG error = RegSetValueExW(key, name, 0, REG_SZ, (const BYTE *)text,
                                (DWORD)((wcslen(text) + 1) * sizeof(wchar_t)));

    if (error)
        return report_fail(r, (DWORD)error, L"HKLM\\%ls\\%ls cannot be written", AEDEBUG, name);
    return true;
}

/* kshsrec.exe where it lies beside this program, else this program itself. */
static bool recorder_path(wchar_t *out, size_t count)
{
    wchar_t directory[MAX_PATH];
    DWORD length;

    if (own_directory(directory, ARRAY_COUNT(directory)) && wcslen(directory) + ARRAY_COUNT(RECORDER) + 1 <= count) {
        format_text(out, count, L"%ls\\%ls", directory, RECORDER);
        if (GetFileAttributesW(out) != INVALID_FILE_ATTRIBUTES)
            return true;
    }
    length = GetModuleFileNameW(NULL, out, (DWORD)count);
    return length && length < count;
}

static void install_recorder(report *r)
{
    wchar_t path[MAX_PATH], command[MAX_PATH + 32], now[MAX_PATH + 32];
    DWORD size = sizeof(now) - sizeof(wchar_t), type;
    bool changed;
    HKEY key;
    LONG error;

    report_step(r, "check");
    json_bool(&r->body, "needed", nt_is_wine());
    if (!nt_is_wine())                  /* a kernel that bugchecks keeps its own AeDebug */
        return;
    if (!recorder_path(path, ARRAY_COUNT(path))) {
        report_fail(r, GetLastError(), L"the path of this program is too long");
        return;
    }
    format_text(command, ARRAY_COUNT(command), L"\"%ls\" crash %%ld %%ld", path);
    report_step(r, "registry");
    error = RegCreateKeyExW(HKEY_LOCAL_MACHINE, AEDEBUG, 0, NULL, 0, KEY_QUERY_VALUE | KEY_SET_VALUE | KEY_WOW64_64KEY,
                            NULL, &key, NULL);
    if (error) {
        report_fail(r, (DWORD)error, L"HKLM\\%ls cannot be opened", AEDEBUG);
        return;
    }
    memset(now, 0, sizeof(now));
    if (RegQueryValueExW(key, L"Debugger", NULL, &type, (BYTE *)now, &size))
        now[0] = 0;
    changed = wcscmp(now, command) != 0;
    if (!changed || set_text(key, L"Debugger", command, r)) {
        json_text(&r->body, "debugger", command);
        json_bool(&r->body, "changed", changed);
    }
    RegCloseKey(key);
}

int verb_install_crash_recorder(int count, wchar_t **arguments)
{
    report r;

    (void)count;
    (void)arguments;
    report_start(&r, "install-crash-recorder");
    install_recorder(&r);
    return report_finish(&r);
}
