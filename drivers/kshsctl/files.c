/* SPDX-License-Identifier: Apache-2.0
 *
 * files.c - files of the guest: version, digest, replacement.
 */
#include "kshsctl.h"
#include <wincrypt.h>
#include <winver.h>

#define HASH_CHUNK 65536
#define MAX_VERSION_BYTES 65536

static void version_string(const void *block, const wchar_t *name, wchar_t *out, size_t count)
{
    struct translation {
        WORD language, code_page;
    } *translation = NULL;
    wchar_t path[64], *text;
    UINT length;

    *out = 0;
    if (!VerQueryValueW(block, L"\\VarFileInfo\\Translation", (void **)&translation, &length) ||
        length < sizeof(*translation))
        return;
    format_text(path, ARRAY_COUNT(path), L"\\StringFileInfo\\%04x%04x\\%ls", translation->language,
                translation->code_page, name);
    if (VerQueryValueW(block, path, (void **)&text, &length) && length)
        format_text(out, count, L"%.*ls", (int)length, text);
}

static void examine_version(const wchar_t *path, file_facts *facts)
{
    VS_FIXEDFILEINFO *fixed;
    DWORD unused, size = GetFileVersionInfoSizeW(path, &unused);
    UINT length;
    void *block;

    if (!size || size > MAX_VERSION_BYTES || (block = malloc(size)) == NULL)
        return;
    if (GetFileVersionInfoW(path, 0, size, block)) {
        if (VerQueryValueW(block, L"\\", (void **)&fixed, &length) && length >= sizeof(*fixed)) {
            facts->has_version = true;
            facts->version[0] = HIWORD(fixed->dwFileVersionMS);
            facts->version[1] = LOWORD(fixed->dwFileVersionMS);
            facts->version[2] = HIWORD(fixed->dwFileVersionLS);
            facts->version[3] = LOWORD(fixed->dwFileVersionLS);
        }
        version_string(block, L"ProductName", facts->product, ARRAY_COUNT(facts->product));
        version_string(block, L"CompanyName", facts->company, ARRAY_COUNT(facts->company));
    }
    free(block);
}

static bool hash_file(HANDLE file, HCRYPTHASH hash)
{
    uint8_t *chunk = malloc(HASH_CHUNK);
    DWORD got = 0;
    bool done = false;

    while (chunk && ReadFile(file, chunk, HASH_CHUNK, &got, NULL)) {
        if (!got) {
            done = true;
            break;
        }
        if (!CryptHashData(hash, chunk, got, 0))
            break;
    }
    free(chunk);
    return done;
}

/* Of a file, or of bytes where FILE is NULL; empty if it cannot be computed. */
static void sha256(HANDLE file, const void *data, size_t bytes, char *text)
{
    HCRYPTPROV provider;
    HCRYPTHASH hash;
    BYTE digest[32];
    DWORD length = sizeof(digest), i;

    *text = 0;
    if (!CryptAcquireContextW(&provider, NULL, NULL, PROV_RSA_AES, CRYPT_VERIFYCONTEXT | CRYPT_SILENT))
        return;
    if (CryptCreateHash(provider, CALG_SHA_256, 0, 0, &hash)) {
        if ((file ? hash_file(file, hash) : CryptHashData(hash, data, (DWORD)bytes, 0)) &&
            CryptGetHashParam(hash, HP_HASHVAL, digest, &length, 0) && length == sizeof(digest))
            for (i = 0; i < length; i++)
                snprintf(text + 2 * i, 3, "%02x", digest[i]);
        CryptDestroyHash(hash);
    }
    CryptReleaseContext(provider, 0);
}

bool memory_sha256(const void *data, size_t bytes, char *text)
{
    sha256(NULL, data, bytes, text);
    return *text != 0;
}

void file_examine(const wchar_t *path, file_facts *facts)
{
    HANDLE file = CreateFileW(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                              OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);

    memset(facts, 0, sizeof(*facts));
    if (file == INVALID_HANDLE_VALUE)
        return;
    facts->present = true;
    sha256(file, NULL, 0, facts->sha256);
    CloseHandle(file);
    examine_version(path, facts);
}

void json_file_version(json *j, const char *key, const file_facts *facts)
{
    char text[64];

    if (!facts->has_version) {
        json_null(j, key);
        return;
    }
    snprintf(text, sizeof(text), "%u.%u.%u.%u", facts->version[0], facts->version[1], facts->version[2],
             facts->version[3]);
    json_utf8(j, key, text);
}

DWORD file_read(const wchar_t *path, size_t limit, uint8_t **data, size_t *length)
{
    HANDLE file = CreateFileW(path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    LARGE_INTEGER size;
    DWORD got = 0, error = ERROR_SUCCESS;

    *data = NULL;
    if (file == INVALID_HANDLE_VALUE)
        return GetLastError();
    if (!GetFileSizeEx(file, &size))
        error = GetLastError();
    else if (size.QuadPart <= 0 || (uint64_t)size.QuadPart > limit)
        error = ERROR_BAD_LENGTH;
    else if ((*data = malloc((size_t)size.QuadPart)) == NULL)
        error = ERROR_NOT_ENOUGH_MEMORY;
    else if (!ReadFile(file, *data, (DWORD)size.QuadPart, &got, NULL))
        error = GetLastError();
    else if (got != size.QuadPart)
        error = ERROR_HANDLE_EOF;
    CloseHandle(file);
    if (error) {
        free(*data);
        *data = NULL;
    }
    *length = got;
    return error;
}

/*
 * A driver's file cannot be written to while it is mapped, but it can be
 * renamed: the old one goes aside (and away, as soon as nothing maps it), the
 * new one is copied under a name of its own and then moved into place.
 */
DWORD file_install(const wchar_t *source, const wchar_t *target, bool *changed)
{
    wchar_t fresh[MAX_PATH + 8], old[MAX_PATH + 32];
    file_facts now, then;

    *changed = false;
    file_examine(source, &now);
    if (!now.present)
        return ERROR_FILE_NOT_FOUND;
    file_examine(target, &then);
    if (then.present && *now.sha256 && !strcmp(now.sha256, then.sha256))
        return ERROR_SUCCESS;
    if (wcslen(target) >= MAX_PATH)
        return ERROR_FILENAME_EXCED_RANGE;
    format_text(fresh, ARRAY_COUNT(fresh), L"%ls.new", target);
    format_text(old, ARRAY_COUNT(old), L"%ls.%lu.old", target, GetTickCount());
    if (!CopyFileW(source, fresh, FALSE))
        return GetLastError();
    SetFileAttributesW(fresh, FILE_ATTRIBUTE_NORMAL);
    if (!MoveFileExW(fresh, target, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH)) {
        DWORD error = ERROR_SUCCESS;

        if (!MoveFileExW(target, old, 0) || !MoveFileExW(fresh, target, MOVEFILE_WRITE_THROUGH))
            error = GetLastError();
        if (error) {
            MoveFileExW(old, target, 0);
            DeleteFileW(fresh);
            return error;
        }
        if (!DeleteFileW(old))
            MoveFileExW(old, NULL, MOVEFILE_DELAY_UNTIL_REBOOT);
    }
    *changed = true;
    return ERROR_SUCCESS;
}
