/* SPDX-License-Identifier: Apache-2.0
 *
 * supervise.c - one provisioning at a time, elevated, and none that ends unheard.
 *
 * The Run value and the first-logon command can start it at the same time:
 * Explorer does not wait for the latter.  The lock is a file nobody else can
 * open; it is free again when its holder ends, however that comes about.
 */
#include "provision.h"

#define LOCK_NAME L"\\provision.lock"
#define OUTPUT_NAME L"\\supervise.log"

#ifndef ERROR_ELEVATION_REQUIRED
#define ERROR_ELEVATION_REQUIRED 740    /* newer than the oldest system: hidden there */
#endif

/* A filtered token of an administrator has that group for denying only, which is no membership. */
static bool elevated(void)
{
    SID_IDENTIFIER_AUTHORITY authority = SECURITY_NT_AUTHORITY;
    BOOL member = FALSE;
    PSID group;

    if (!AllocateAndInitializeSid(&authority, 2, SECURITY_BUILTIN_DOMAIN_RID, DOMAIN_ALIAS_RID_ADMINS, 0, 0, 0, 0, 0,
                                  0, &group))
        return false;
    if (!CheckTokenMembership(NULL, group, &member))
        member = FALSE;
    FreeSid(group);
    return member != FALSE;
}

static bool beside(const wchar_t *name, wchar_t *out, size_t count)
{
    if (!own_directory(out, count) || wcslen(out) + wcslen(name) >= count)
        return false;
    wcscat(out, name);
    return true;
}

/* The script's output is not provision.log: cmd opens that for each step and shares it with no other writer. */
static DWORD run_script(const wchar_t *script, const wchar_t *output, DWORD *code)
{
    SECURITY_ATTRIBUTES inherited = { sizeof(inherited), NULL, TRUE };
    wchar_t shell[MAX_PATH + 16], command[MAX_PATH * 2 + 64];
    PROCESS_INFORMATION process;
    STARTUPINFOW startup;
    UINT length = GetSystemDirectoryW(shell, MAX_PATH);
    DWORD error = ERROR_SUCCESS;

    if (!length || length >= MAX_PATH || wcslen(script) >= MAX_PATH)
        return ERROR_FILENAME_EXCED_RANGE;
    wcscat(shell, L"\\cmd.exe");
    /* /s: the outer quotes go, whatever is between them stays. */
    format_text(command, ARRAY_COUNT(command), L"\"%ls\" /d /s /c \"\"%ls\"\"", shell, script);
    memset(&startup, 0, sizeof(startup));
    startup.cb = sizeof(startup);
    startup.dwFlags = STARTF_USESTDHANDLES;
    startup.hStdInput = CreateFileW(L"NUL", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, &inherited,
                                    OPEN_EXISTING, 0, NULL);
    startup.hStdOutput = CreateFileW(output, FILE_APPEND_DATA | SYNCHRONIZE, FILE_SHARE_READ | FILE_SHARE_WRITE,
                                     &inherited, OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
    startup.hStdError = startup.hStdOutput;
    if (startup.hStdInput == INVALID_HANDLE_VALUE || startup.hStdOutput == INVALID_HANDLE_VALUE)
        error = GetLastError();
    else if (!CreateProcessW(shell, command, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &process))
        error = GetLastError();
    if (startup.hStdInput != INVALID_HANDLE_VALUE)
        CloseHandle(startup.hStdInput);
    if (startup.hStdOutput != INVALID_HANDLE_VALUE)
        CloseHandle(startup.hStdOutput);
    if (error)
        return error;
    WaitForSingleObject(process.hProcess, INFINITE);
    if (!GetExitCodeProcess(process.hProcess, code))
        error = GetLastError();
    CloseHandle(process.hThread);
    CloseHandle(process.hProcess);
    return error;
}

static void tell_failure(report *r, const char *name, DWORD code, const wchar_t *output)
{
    char text[MILESTONE_NAME + 32];
    milestone_port port;

    snprintf(text, sizeof(text), "failed %s %lu", name, (unsigned long)code);
    milestone_write(text, name, output, &port);
    json_milestone_port(&r->body, &port);
}

static void supervise(report *r, const wchar_t *script, HANDLE *lock)
{
    wchar_t path[MAX_PATH + 32], output[MAX_PATH + 32];
    DWORD code = 0, error;

    report_step(r, "lock");
    if (!beside(LOCK_NAME, path, ARRAY_COUNT(path)) || !beside(OUTPUT_NAME, output, ARRAY_COUNT(output))) {
        report_fail(r, ERROR_FILENAME_EXCED_RANGE, L"the path of this program is too long");
        return;
    }
    *lock = CreateFileW(path, GENERIC_WRITE, 0, NULL, OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
    error = *lock == INVALID_HANDLE_VALUE ? GetLastError() : ERROR_SUCCESS;
    json_bool(&r->body, "already", error == ERROR_SHARING_VIOLATION);
    if (error == ERROR_SHARING_VIOLATION)
        return;
    /* Without rights there may be no way to make that file either: then this is the reason. */
    report_step(r, "elevated");
    if (!elevated()) {
        tell_failure(r, "supervise", ERROR_ELEVATION_REQUIRED, output);
        report_fail(r, ERROR_ELEVATION_REQUIRED, L"provisioning has no administrator's rights");
        return;
    }
    if (error) {
        report_fail(r, error, L"%ls cannot be made", path);
        tell_failure(r, "supervise", error, output);
        return;
    }
    report_step(r, "script");
    error = run_script(script, output, &code);
    if (error) {
        tell_failure(r, "supervise", error, output);
        report_fail(r, error, L"%ls cannot be started", script);
        return;
    }
    json_unsigned(&r->body, "exit_code", code);
    if (code == EXIT_REBOOT) {
        r->reboot = true;
    } else if (code == EXIT_FAILED) {
        report_fail(r, 0, L"a step failed; see provision.log");
    } else if (code) {
        tell_failure(r, "provision", code, output);
        report_fail(r, 0, L"%ls ended with exit code %lu, which it never gives", script, (unsigned long)code);
    }
}

int verb_supervise(int count, wchar_t **arguments)
{
    HANDLE lock = INVALID_HANDLE_VALUE;
    report r;

    (void)count;
    report_start(&r, "supervise");
    supervise(&r, arguments[0], &lock);
    if (lock != INVALID_HANDLE_VALUE)
        CloseHandle(lock);
    return report_finish(&r);
}
