/* SPDX-License-Identifier: Apache-2.0
 *
 * setupapi_log.c - the verb setupapi-log: a piece of the log that SetupAPI keeps
 * of device installations, as bytes.
 *
 * The log is ANSI text by its documentation ("SetupAPI Text Logs"), UTF-16 was
 * seen, and it has megabytes: nothing is decoded here, and one call gives PIECE
 * bytes from an offset.  Without an offset only the length is said, which is
 * where what follows will begin.
 */
#include "kshsctl.h"

#define PIECE (32 * 1024)

/* Of NT 6 and later, and of before. */
static const wchar_t *const places[] = { L"\\inf\\setupapi.dev.log", L"\\setupapi.log" };

static HANDLE open_log(wchar_t *path, size_t count)
{
    wchar_t windows[MAX_PATH];
    UINT length = GetWindowsDirectoryW(windows, ARRAY_COUNT(windows));
    size_t i;

    SetLastError(ERROR_FILENAME_EXCED_RANGE);
    for (i = 0; length && length < ARRAY_COUNT(windows) && i < ARRAY_COUNT(places); i++) {
        HANDLE file;

        format_text(path, count, L"%ls%ls", windows, places[i]);
        /* The system has it open and goes on writing. */
        file = CreateFileW(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                           OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
        if (file != INVALID_HANDLE_VALUE)
            return file;
    }
    return INVALID_HANDLE_VALUE;
}

static bool parse_offset(const wchar_t *text, uint64_t *offset)
{
    *offset = 0;
    if (!*text || wcslen(text) > 18)
        return false;
    for (; *text; text++) {
        if (*text < L'0' || *text > L'9')
            return false;
        *offset = *offset * 10 + (uint64_t)(*text - L'0');
    }
    return true;
}

static void base64(const uint8_t *data, size_t length, char *out)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t i;

    for (i = 0; i < length; i += 3) {
        uint32_t three = (uint32_t)data[i] << 16;

        if (i + 1 < length)
            three |= (uint32_t)data[i + 1] << 8;
        if (i + 2 < length)
            three |= data[i + 2];
        *out++ = letters[three >> 18];
        *out++ = letters[three >> 12 & 63];
        *out++ = i + 1 < length ? letters[three >> 6 & 63] : '=';
        *out++ = i + 2 < length ? letters[three & 63] : '=';
    }
    *out = 0;
}

static DWORD read_at(HANDLE file, uint64_t offset, uint8_t *data, DWORD size, DWORD *got)
{
    LARGE_INTEGER where;

    *got = 0;
    where.QuadPart = (LONGLONG)offset;
    if (!SetFilePointerEx(file, where, NULL, FILE_BEGIN) || !ReadFile(file, data, size, got, NULL))
        return GetLastError();
    return ERROR_SUCCESS;
}

static void give(report *r, HANDLE file, bool piece, uint64_t offset)
{
    static uint8_t data[PIECE];
    static char text[(PIECE + 2) / 3 * 4 + 1];
    LARGE_INTEGER length;
    DWORD error, got = 0;

    report_step(r, "read");
    if (!GetFileSizeEx(file, &length)) {
        report_fail(r, GetLastError(), L"the log's length cannot be read");
        return;
    }
    json_unsigned(&r->body, "length", (uint64_t)length.QuadPart);
    error = read_at(file, 0, data, 4, &got);
    if (error) {
        report_fail(r, error, L"the log cannot be read");
        return;
    }
    base64(data, got, text);        /* a byte order mark, if there is one */
    json_utf8(&r->body, "head", text);
    if (!piece)
        return;
    got = 0;
    if (offset < (uint64_t)length.QuadPart)
        error = read_at(file, offset, data, sizeof(data), &got);
    if (error) {
        report_fail(r, error, L"the log cannot be read");
        return;
    }
    json_unsigned(&r->body, "offset", offset);
    base64(data, got, text);
    json_utf8(&r->body, "data", text);
}

int verb_setupapi_log(int count, wchar_t **arguments)
{
    wchar_t path[MAX_PATH + 32] = L"";
    uint64_t offset = 0;
    HANDLE file;
    report r;

    if (count && !parse_offset(arguments[0], &offset)) {
        say(L"usage: kshsctl setupapi-log [OFFSET]");
        return EXIT_USAGE;
    }
    report_start(&r, "setupapi-log");
    report_step(&r, "open");
    file = open_log(path, ARRAY_COUNT(path));
    json_text(&r.body, "path", path);
    if (file == INVALID_HANDLE_VALUE) {
        report_fail(&r, GetLastError(), L"this guest has no log of device installations that can be read");
        return report_finish(&r);
    }
    give(&r, file, count > 0, offset);
    CloseHandle(file);
    return report_finish(&r);
}
