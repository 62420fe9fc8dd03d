/* SPDX-License-Identifier: Apache-2.0
 *
 * words.c - shows how a command line arrives.
 *
 * `words show ...` prints its further arguments, one a line, UTF-8.  `words as-sshd` reads command lines from its
 * stdin, UTF-8, and has each run as Win32-OpenSSH's server does: cmd.exe /c "LINE".  Behind each stands a line with
 * the exit code.
 */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <stdio.h>
#include <wchar.h>

#define LIMIT 16384

static char bytes[4 * LIMIT];
static wchar_t line[LIMIT], whole[LIMIT + 64];

static void print(const char *data, int size)
{
    DWORD written;

    WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), data, (DWORD)size, &written, NULL);
}

static int show(int count, wchar_t **words)
{
    int i, size;

    for (i = 0; i < count; i++) {
        size = WideCharToMultiByte(CP_UTF8, 0, words[i], (int)wcslen(words[i]), bytes, sizeof(bytes) - 1, NULL, NULL);
        bytes[size] = '\n';
        print(bytes, size + 1);
    }
    return count;
}

static int run(void)
{
    PROCESS_INFORMATION process;
    STARTUPINFOW startup;
    DWORD code = 999;

    swprintf(whole, LIMIT + 64, L"\"C:\\windows\\system32\\cmd.exe\" /c \"%ls\"", line);
    memset(&startup, 0, sizeof(startup));
    startup.cb = sizeof(startup);
    if (!CreateProcessW(NULL, whole, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &process))
        return 998;
    WaitForSingleObject(process.hProcess, INFINITE);
    GetExitCodeProcess(process.hProcess, &code);
    CloseHandle(process.hThread);
    CloseHandle(process.hProcess);
    return (int)code;
}

static int as_sshd(void)
{
    HANDLE input = GetStdHandle(STD_INPUT_HANDLE);
    int size = 0;
    DWORD got;
    char byte, said[32];

    /* Byte by byte: what is behind the line is not the program's that runs it. */
    while (ReadFile(input, &byte, 1, &got, NULL) && got == 1) {
        if (byte != '\n') {
            if (size < LIMIT)
                bytes[size++] = byte;
            continue;
        }
        line[MultiByteToWideChar(CP_UTF8, 0, bytes, size, line, LIMIT - 1)] = 0;
        size = sprintf(said, "= %d\n", run());
        print(said, size);
        size = 0;
    }
    return 0;
}

int wmain(int argc, wchar_t **argv)
{
    if (argc > 1 && !wcscmp(argv[1], L"as-sshd"))
        return as_sshd();
    return argc > 1 && !wcscmp(argv[1], L"show") ? show(argc - 2, argv + 2) : 99;
}
