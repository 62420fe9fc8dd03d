/* SPDX-License-Identifier: Apache-2.0
 *
 * json.c - a writer for JSON in UTF-8: always well formed, never longer than
 * its limit.  After any failure the text is unusable and `failed` says so.
 */
#include "kshsctl.h"

static void append(json *j, const char *bytes, size_t length)
{
    if (j->failed)
        return;
    if (length >= j->limit - j->length) {       /* one byte stays for the NUL */
        j->failed = true;
        return;
    }
    if (j->length + length >= j->capacity) {
        size_t capacity = j->capacity ? j->capacity * 2 : 1024;
        char *grown;

        while (capacity <= j->length + length)
            capacity *= 2;
        grown = realloc(j->text, capacity);
        if (!grown) {
            j->failed = true;
            return;
        }
        j->text = grown;
        j->capacity = capacity;
    }
    memcpy(j->text + j->length, bytes, length);
    j->length += length;
    j->text[j->length] = 0;
}

static void append_text(json *j, const char *text)
{
    append(j, text, strlen(text));
}

static void quoted(json *j, const char *text, size_t length)
{
    size_t clean = 0, i;

    append(j, "\"", 1);
    for (i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        char escape[8];

        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        append(j, text + clean, i - clean);
        clean = i + 1;
        if (c == '"' || c == '\\')
            snprintf(escape, sizeof(escape), "\\%c", c);
        else
            snprintf(escape, sizeof(escape), "\\u%04x", c);
        append_text(j, escape);
    }
    append(j, text + clean, length - clean);
    append(j, "\"", 1);
}

static void member(json *j, const char *key)
{
    if (j->depth) {
        if (j->comma[j->depth - 1])
            append(j, ",", 1);
        j->comma[j->depth - 1] = true;
    }
    if (key) {
        quoted(j, key, strlen(key));
        append(j, ":", 1);
    }
}

static void open_level(json *j, const char *key, char opening, char closing)
{
    member(j, key);
    if (j->depth == JSON_MAX_DEPTH) {
        j->failed = true;
        return;
    }
    append(j, &opening, 1);
    j->comma[j->depth] = false;
    j->closing[j->depth] = closing;
    j->depth++;
}

void json_start(json *j, size_t limit)
{
    memset(j, 0, sizeof(*j));
    j->limit = limit;
}

void json_free(json *j)
{
    free(j->text);
    j->text = NULL;
    j->length = j->capacity = 0;
}

void json_object(json *j, const char *key)
{
    open_level(j, key, '{', '}');
}

void json_array(json *j, const char *key)
{
    open_level(j, key, '[', ']');
}

void json_end(json *j)
{
    if (!j->depth) {
        j->failed = true;
        return;
    }
    j->depth--;
    append(j, &j->closing[j->depth], 1);
}

void json_undo(json *j, const json *before)
{
    j->length = before->length;
    j->depth = before->depth;
    memcpy(j->comma, before->comma, sizeof(j->comma));
    memcpy(j->closing, before->closing, sizeof(j->closing));
    j->failed = before->failed;
    if (j->text)
        j->text[j->length] = 0;
}

void json_utf8(json *j, const char *key, const char *text)
{
    member(j, key);
    quoted(j, text, strlen(text));
}

void json_text(json *j, const char *key, const wchar_t *text)
{
    size_t length;
    char *converted = utf8_from_wide(text, wcslen(text), &length);

    member(j, key);
    if (!converted) {
        j->failed = true;
        return;
    }
    quoted(j, converted, length);
    free(converted);
}

void json_unsigned(json *j, const char *key, uint64_t value)
{
    char digits[24];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    member(j, key);
    append(j, digits + at, sizeof(digits) - at);
}

void json_hex(json *j, const char *key, uint64_t value)
{
    static const char figures[] = "0123456789abcdef";
    char digits[24];
    size_t at = sizeof(digits);

    do {
        digits[--at] = figures[value & 15];
        value >>= 4;
    } while (value);
    digits[--at] = 'x';
    digits[--at] = '0';
    member(j, key);
    quoted(j, digits + at, sizeof(digits) - at);
}

void json_milliseconds(json *j, const char *key, uint64_t ns)
{
    char number[32];
    uint64_t tenths = ns / 100000;

    snprintf(number, sizeof(number), "%lu.%lu", (unsigned long)(tenths / 10), (unsigned long)(tenths % 10));
    member(j, key);
    append_text(j, number);
}

void json_bool(json *j, const char *key, bool value)
{
    member(j, key);
    append_text(j, value ? "true" : "false");
}

void json_null(json *j, const char *key)
{
    member(j, key);
    append_text(j, "null");
}

void json_maybe(json *j, const char *key, int value)
{
    if (value == 0 || value == 1)
        json_bool(j, key, value == 1);
    else
        json_null(j, key);
}

bool json_print(json *j)
{
    bool done;

    while (j->depth)
        json_end(j);
    append(j, "\n", 1);
    done = !j->failed && write_all(GetStdHandle(STD_OUTPUT_HANDLE), j->text, j->length);
    if (j->failed)
        say(L"kshsctl: the answer could not be composed: out of memory, or longer than %u bytes", (unsigned)j->limit);
    json_free(j);
    return done;
}
