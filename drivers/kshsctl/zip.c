/* SPDX-License-Identifier: Apache-2.0
 *
 * zip.c - a zip file (APPNOTE.TXT 6.3, 4.3) whose members are stored as they
 * are: nothing is needed to look at it, and nothing of ours to write it.
 */
#include "trace.h"

#define VERSION 20
#define UTF8_NAMES 0x0800
#define DOS_1980 0x0021                 /* first of January 1980: a capsule says its time in its manifest */

typedef struct field {
    uint8_t data[64];
    size_t length;
} field;

static void put(field *f, uint32_t value, size_t size)
{
    while (size--) {
        f->data[f->length++] = (uint8_t)value;
        value >>= 8;
    }
}

static uint32_t crc32_of(const uint8_t *data, size_t length)
{
    static uint32_t table[256];
    uint32_t crc = 0xFFFFFFFF;
    size_t i;

    if (!table[1]) {
        uint32_t n, bit;

        for (n = 0; n < 256; n++) {
            uint32_t value = n;

            for (bit = 0; bit < 8; bit++)
                value = value & 1 ? 0xEDB88320 ^ value >> 1 : value >> 1;
            table[n] = value;
        }
    }
    for (i = 0; i < length; i++)
        crc = table[(crc ^ data[i]) & 0xFF] ^ crc >> 8;
    return ~crc;
}

static bool write_part(zip_file *zip, const void *data, size_t length)
{
    if (zip->error)
        return false;
    if (zip->at + length > 0x7FFFFFFF) {
        zip->error = ERROR_FILE_TOO_LARGE;
        return false;
    }
    if (length && !write_all(zip->file, data, length)) {
        zip->error = GetLastError();
        return false;
    }
    zip->at += length;
    return true;
}

bool zip_create(zip_file *zip, const wchar_t *path)
{
    memset(zip, 0, sizeof(*zip));
    zip->file = CreateFileW(path, GENERIC_WRITE, 0, NULL, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
    if (zip->file == INVALID_HANDLE_VALUE)
        zip->error = GetLastError();
    return !zip->error;
}

/* What both headers of a member have, from the version on. */
static void put_member(field *f, const zip_member *member)
{
    put(f, VERSION, 2);
    put(f, UTF8_NAMES, 2);
    put(f, 0, 2);                       /* stored */
    put(f, 0, 2);
    put(f, DOS_1980, 2);
    put(f, member->crc, 4);
    put(f, member->size, 4);
    put(f, member->size, 4);
    put(f, (uint32_t)strlen(member->name), 2);
    put(f, 0, 2);
}

bool zip_add(zip_file *zip, const char *name, const void *data, size_t length)
{
    zip_member *member = &zip->members[zip->count];
    field f = { { 0 }, 0 };

    if (zip->count == ZIP_MOST || strlen(name) >= sizeof(member->name) || length > 0x7FFFFFFF) {
        zip->error = zip->error ? zip->error : ERROR_FILE_TOO_LARGE;
        return false;
    }
    snprintf(member->name, sizeof(member->name), "%s", name);
    member->crc = crc32_of(data, length);
    member->size = (uint32_t)length;
    member->offset = (uint32_t)zip->at;
    put(&f, 0x04034B50, 4);
    put_member(&f, member);
    zip->count++;
    return write_part(zip, f.data, f.length) && write_part(zip, name, strlen(name)) &&
           write_part(zip, data, length);
}

static void write_directory(zip_file *zip)
{
    uint32_t begin = (uint32_t)zip->at;
    unsigned i;
    field end = { { 0 }, 0 };

    for (i = 0; i < zip->count; i++) {
        const zip_member *member = &zip->members[i];
        field f = { { 0 }, 0 };

        put(&f, 0x02014B50, 4);
        put(&f, VERSION, 2);
        put_member(&f, member);
        put(&f, 0, 2);                  /* comment */
        put(&f, 0, 2);                  /* disk */
        put(&f, 0, 2);
        put(&f, 0, 4);                  /* attributes: an ordinary file */
        put(&f, member->offset, 4);
        write_part(zip, f.data, f.length);
        write_part(zip, member->name, strlen(member->name));
    }
    put(&end, 0x06054B50, 4);
    put(&end, 0, 4);
    put(&end, zip->count, 2);
    put(&end, zip->count, 2);
    put(&end, (uint32_t)zip->at - begin, 4);
    put(&end, begin, 4);
    put(&end, 0, 2);
    write_part(zip, end.data, end.length);
}

bool zip_finish(zip_file *zip)
{
    if (!zip->error)
        write_directory(zip);
    if (!zip->error && !FlushFileBuffers(zip->file))
        zip->error = GetLastError();
    if (zip->file != INVALID_HANDLE_VALUE)
        CloseHandle(zip->file);
    return !zip->error;
}
