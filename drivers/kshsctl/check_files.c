/* SPDX-License-Identifier: Apache-2.0
 *
 * check_files.c - whether files arrived whole: a list as sha256sum writes it,
 * names relative to the list's folder.
 */
#include "kshsctl.h"

#define LIST_LIMIT (1024 * 1024)
#define DIGEST_LENGTH 64

static bool is_digest(const char *text)
{
    size_t i;

    for (i = 0; i < DIGEST_LENGTH; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return true;
}

static bool check_one(report *r, const wchar_t *folder, const char *digest, const char *name, size_t length)
{
    wchar_t path[MAX_PATH * 2];
    size_t used = wcslen(folder);
    file_facts facts;
    int wide;
    size_t i;

    wcscpy(path, folder);
    wide = MultiByteToWideChar(CP_UTF8, 0, name, (int)length, path + used, (int)(ARRAY_COUNT(path) - used - 1));
    if (wide <= 0)
        return report_fail(r, ERROR_INVALID_DATA, L"a name of the list cannot be read or is too long");
    path[used + (size_t)wide] = 0;
    for (i = used; path[i]; i++)
        if (path[i] == L'/')
            path[i] = L'\\';
    file_examine(path, &facts);
    if (!facts.present)
        return report_fail(r, ERROR_FILE_NOT_FOUND, L"there is no file %ls", path);
    if (strncmp(facts.sha256, digest, DIGEST_LENGTH) || strlen(facts.sha256) != DIGEST_LENGTH)
        return report_fail(r, ERROR_CRC, L"%ls is damaged: its SHA-256 is %hs, not %.64hs", path, facts.sha256, digest);
    return true;
}

static unsigned check(report *r, const wchar_t *folder, const char *list, size_t length)
{
    unsigned checked = 0;
    size_t at = 0;

    while (at < length && !r->failed) {
        size_t end = at, next;

        while (end < length && list[end] != '\n')
            end++;
        next = end + 1;
        if (end > at && list[end - 1] == '\r')
            end--;
        if (end > at) {
            /* "DIGEST  NAME", or "DIGEST *NAME" */
            if (end - at < DIGEST_LENGTH + 3 || !is_digest(list + at) || list[at + DIGEST_LENGTH] != ' ' ||
                (list[at + DIGEST_LENGTH + 1] != ' ' && list[at + DIGEST_LENGTH + 1] != '*'))
                report_fail(r, ERROR_INVALID_DATA, L"entry %u of the list is no line of sha256sum", checked + 1);
            else if (check_one(r, folder, list + at, list + at + DIGEST_LENGTH + 2, end - at - DIGEST_LENGTH - 2))
                checked++;
        }
        at = next;
    }
    if (!checked && !r->failed)
        report_fail(r, ERROR_INVALID_DATA, L"the list is empty");
    return checked;
}

int verb_check_files(int count, wchar_t **arguments)
{
    wchar_t folder[MAX_PATH];
    const wchar_t *separator = wcsrchr(arguments[0], L'\\');
    size_t prefix = separator ? (size_t)(separator - arguments[0]) + 1 : 0, length = 0;
    uint8_t *list = NULL;
    DWORD error;
    report r;

    (void)count;
    report_start(&r, "check-files");
    report_step(&r, "read");
    error = prefix < ARRAY_COUNT(folder) ? file_read(arguments[0], LIST_LIMIT, &list, &length)
                                         : ERROR_FILENAME_EXCED_RANGE;
    if (error) {
        report_fail(&r, error, L"%ls cannot be read", arguments[0]);
        return report_finish(&r);
    }
    memcpy(folder, arguments[0], prefix * sizeof(wchar_t));
    folder[prefix] = 0;
    report_step(&r, "check");
    json_unsigned(&r.body, "checked", check(&r, folder, (const char *)list, length));
    free(list);
    return report_finish(&r);
}
