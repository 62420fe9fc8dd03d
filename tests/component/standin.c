/* SPDX-License-Identifier: Apache-2.0
 *
 * standin.c - a program that Wine lacks, as far as provisioning can tell.
 *
 * It records how it was called and answers as told; see standins.py.  One
 * binary under many names.  Records: C:\standins\calls, one line a call, name,
 * tab, arguments.  Answers: C:\standins\NAME.answers, lines of exit code, tab,
 * beginning of the arguments, tab, text; the first that fits.  In the text ^
 * is a line end.
 */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define FOLDER L"C:\\standins\\"
#define ANSWERS_SIZE 65536

static char answers[ANSWERS_SIZE];

static HANDLE open_file(const wchar_t *path, DWORD access, DWORD disposition)
{
    return CreateFileW(path, access, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, disposition, FILE_ATTRIBUTE_NORMAL,
                       NULL);
}

/* What is behind the program's own name in the command line. */
static const wchar_t *arguments(void)
{
    const wchar_t *at = GetCommandLineW();
    int quoted = 0;

    for (; *at && (quoted || *at != L' '); at++)
        if (*at == L'"')
            quoted = !quoted;
    while (*at == L' ')
        at++;
    return at;
}

static int answer(const char *given)
{
    char *line, *next;

    for (line = answers; *line; line = next) {
        char *prefix, *text;

        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        else
            next = line + strlen(line);
        prefix = strchr(line, '\t');
        text = prefix ? strchr(prefix + 1, '\t') : NULL;
        if (!text)
            continue;
        *prefix++ = 0;
        *text++ = 0;
        if (strncmp(given, prefix, strlen(prefix)))
            continue;
        for (; *text; text++) {
            DWORD written;

            WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), *text == '^' ? "\r\n" : text, *text == '^' ? 2 : 1, &written,
                      NULL);
        }
        return (int)strtoul(line, NULL, 10);
    }
    return 0;
}

int wmain(void)
{
    static wchar_t own[MAX_PATH], path[MAX_PATH + 64];
    static char line[8192], given[8000];
    wchar_t *name;
    HANDLE file;
    DWORD done = 0;

    if (!GetModuleFileNameW(NULL, own, MAX_PATH) || (name = wcsrchr(own, L'\\')) == NULL)
        return 90;
    name++;
    if (wcsrchr(name, L'.'))
        *wcsrchr(name, L'.') = 0;
    if (!WideCharToMultiByte(CP_UTF8, 0, arguments(), -1, given, (int)sizeof(given), NULL, NULL))
        return 91;
    file = open_file(FOLDER L"calls", FILE_APPEND_DATA, OPEN_ALWAYS);
    if (file == INVALID_HANDLE_VALUE)
        return 92;
    snprintf(line, sizeof(line), "%ls\t%s\n", name, given);
    WriteFile(file, line, (DWORD)strlen(line), &done, NULL);
    CloseHandle(file);
    if (done != strlen(line))
        return 93;
    _snwprintf(path, MAX_PATH, FOLDER L"%ls.answers", name);
    file = open_file(path, GENERIC_READ, OPEN_EXISTING);
    if (file == INVALID_HANDLE_VALUE)
        return 0;
    if (!ReadFile(file, answers, sizeof(answers) - 1, &done, NULL))
        return 94;
    answers[done] = 0;
    CloseHandle(file);
    return answer(given);
}
