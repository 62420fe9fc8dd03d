/* SPDX-License-Identifier: Apache-2.0
 *
 * unelevated.c - runs a program as UAC does for an administrator who has not
 * been asked: the group of administrators is in the token for denying only.
 * The command line is what follows this program's own name.
 */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <wchar.h>

int wmain(void)
{
    SID_IDENTIFIER_AUTHORITY authority = SECURITY_NT_AUTHORITY;
    SID_AND_ATTRIBUTES disabled = { NULL, 0 };
    HANDLE own, filtered;
    PROCESS_INFORMATION process;
    STARTUPINFOW startup;
    wchar_t *at = GetCommandLineW();
    DWORD code = 99;

    for (; *at && *at != L' '; at++)
        ;
    while (*at == L' ')
        at++;
    memset(&startup, 0, sizeof(startup));
    startup.cb = sizeof(startup);
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_ALL_ACCESS, &own))
        return 90;
    if (!AllocateAndInitializeSid(&authority, 2, SECURITY_BUILTIN_DOMAIN_RID, DOMAIN_ALIAS_RID_ADMINS, 0, 0, 0, 0, 0,
                                  0, &disabled.Sid))
        return 91;
    if (!CreateRestrictedToken(own, 0, 1, &disabled, 0, NULL, 0, NULL, &filtered))
        return 92;
    if (!CreateProcessAsUserW(filtered, NULL, at, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &process))
        return 93;
    WaitForSingleObject(process.hProcess, INFINITE);
    GetExitCodeProcess(process.hProcess, &code);
    return (int)code;
}
