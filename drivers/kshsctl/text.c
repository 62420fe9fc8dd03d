/* SPDX-License-Identifier: Apache-2.0
 *
 * text.c - text for people, paths, time.
 *
 * The C runtime's wide output depends on a locale, and that of a service
 * session cannot show every file name: all output is converted here.
 */
#include "kshsctl.h"
#include <stdarg.h>

/* MSVC's _vsnwprintf leaves no NUL when the text does not fit. */
void format_text_v(wchar_t *out, size_t count, const wchar_t *format, va_list arguments)
{
    if (!count)
        return;
    _vsnwprintf(out, count - 1, format, arguments);
    out[count - 1] = 0;
}

void format_text(wchar_t *out, size_t count, const wchar_t *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    format_text_v(out, count, format, arguments);
    va_end(arguments);
}

static uint32_t next_character(const wchar_t *text, size_t count, size_t *at)
{
    uint32_t c = (uint16_t)text[(*at)++];

    if (c < 0xd800 || c > 0xdfff)
        return c;
    if (c < 0xdc00 && *at < count && (uint16_t)text[*at] >= 0xdc00 && (uint16_t)text[*at] <= 0xdfff)
        return 0x10000 + ((c - 0xd800) << 10) + ((uint16_t)text[(*at)++] - 0xdc00u);
    return 0xfffd;      /* half a pair: NT allows it in names, UTF-8 does not */
}

char *utf8_from_wide(const wchar_t *text, size_t count, size_t *length)
{
    char *out = malloc(count * 3 + 1);
    size_t at = 0, used = 0;

    if (!out)
        return NULL;
    while (at < count) {
        uint32_t c = next_character(text, count, &at);

        if (c < 0x80) {
            out[used++] = (char)c;
        } else if (c < 0x800) {
            out[used++] = (char)(0xc0 | c >> 6);
            out[used++] = (char)(0x80 | (c & 0x3f));
        } else if (c < 0x10000) {
            out[used++] = (char)(0xe0 | c >> 12);
            out[used++] = (char)(0x80 | (c >> 6 & 0x3f));
            out[used++] = (char)(0x80 | (c & 0x3f));
        } else {
            out[used++] = (char)(0xf0 | c >> 18);
            out[used++] = (char)(0x80 | (c >> 12 & 0x3f));
            out[used++] = (char)(0x80 | (c >> 6 & 0x3f));
            out[used++] = (char)(0x80 | (c & 0x3f));
        }
    }
    out[used] = 0;
    *length = used;
    return out;
}

void say(const wchar_t *format, ...)
{
    wchar_t line[2048];
    va_list arguments;
    size_t length;
    char *text;

    va_start(arguments, format);
    format_text_v(line, ARRAY_COUNT(line) - 1, format, arguments);
    va_end(arguments);
    wcscat(line, L"\n");
    text = utf8_from_wide(line, wcslen(line), &length);
    if (text)
        write_all(GetStdHandle(STD_ERROR_HANDLE), text, length);
    free(text);
}

void win32_text(DWORD code, wchar_t *out, size_t count)
{
    wchar_t message[512];
    DWORD length = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, code, 0,
                                  message, ARRAY_COUNT(message), NULL);

    while (length && (message[length - 1] <= L' ' || message[length - 1] == L'.'))
        length--;
    message[length] = 0;
    /* SetupAPI's own codes are known by their hexadecimal form. */
    if (code >= 0x10000)
        format_text(out, count, L"%ls%lsWin32 error 0x%08lx", message, length ? L": " : L"", code);
    else
        format_text(out, count, L"%ls%lsWin32 error %lu", message, length ? L": " : L"", code);
}

bool write_all(HANDLE handle, const void *data, size_t length)
{
    const uint8_t *at = data;

    while (length) {
        DWORD part = length > 0x10000 ? 0x10000 : (DWORD)length, written = 0;

        if (!WriteFile(handle, at, part, &written, NULL) || !written)
            return false;
        at += written;
        length -= written;
    }
    return true;
}

bool own_directory(wchar_t *out, size_t count)
{
    DWORD length = GetModuleFileNameW(NULL, out, (DWORD)count);
    wchar_t *separator;

    if (!length || length >= count)
        return false;
    separator = wcsrchr(out, L'\\');
    if (!separator)
        return false;
    *separator = 0;
    return true;
}

bool driver_path(const wchar_t *name, wchar_t *out, size_t count)
{
    wchar_t system[MAX_PATH];
    UINT length = GetSystemDirectoryW(system, ARRAY_COUNT(system));

    if (!length || length >= ARRAY_COUNT(system) || length + wcslen(name) + 11 > count)
        return false;
    format_text(out, count, L"%ls\\drivers\\%ls", system, name);
    return true;
}

uint64_t now_ns(void)
{
    static LARGE_INTEGER frequency;     /* constant since boot: a race writes the same value twice */
    LARGE_INTEGER counter;
    uint64_t ticks, per_second;

    if (!frequency.QuadPart)
        QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&counter);
    ticks = (uint64_t)counter.QuadPart;
    per_second = (uint64_t)frequency.QuadPart;
    return ticks / per_second * 1000000000u + ticks % per_second * 1000000000u / per_second;
}

uint64_t now_ms(void)
{
    return now_ns() / 1000000u;
}
