/* SPDX-License-Identifier: Apache-2.0
 *
 * interface_cache.c - paths of device interfaces that were looked up before.
 *
 * Under Wine SetupAPI reads every device and interface of the registry for each
 * question, which costs as much as ten steps.  It keeps interfaces nowhere else, so a
 * path holds until something below its key changes, which the registry tells.  Where
 * NT's PnP manager keeps them the question is asked anew each time.
 */
#include "nt.h"

#define KEPT 16
#define CLASSES L"SYSTEM\\CurrentControlSet\\Control\\DeviceClasses"
#define CHANGES (REG_NOTIFY_CHANGE_NAME | REG_NOTIFY_CHANGE_LAST_SET)

typedef struct kept_path {
    kshs_guid category;
    uint32_t index;
    wchar_t path[512];              /* empty: none is kept here */
} kept_path;

static struct {
    volatile LONG in_use;           /* 1: a thread is at it; another one, which is rare, looks up anew */
    HKEY key;
    HANDLE changed;                 /* signalled by the first change since it was armed */
    kept_path paths[KEPT];
    unsigned next;
} cache;

void interface_forget(void)
{
    unsigned i;

    if (InterlockedExchange(&cache.in_use, 1))
        return;
    for (i = 0; i < KEPT; i++)
        cache.paths[i].path[0] = 0;
    InterlockedExchange(&cache.in_use, 0);
}

/* True: what is kept is as the registry has it.  Called by the one who uses the cache. */
static bool up_to_date(void)
{
    unsigned i;

    if (!cache.key &&
        RegOpenKeyExW(HKEY_LOCAL_MACHINE, CLASSES, 0, KEY_NOTIFY | KEY_WOW64_64KEY, &cache.key) != ERROR_SUCCESS) {
        cache.key = NULL;
        return false;
    }
    if (cache.changed && WaitForSingleObject(cache.changed, 0) == WAIT_TIMEOUT)
        return true;
    for (i = 0; i < KEPT; i++)
        cache.paths[i].path[0] = 0;
    if (!cache.changed)
        cache.changed = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!cache.changed)
        return false;
    ResetEvent(cache.changed);
    if (RegNotifyChangeKeyValue(cache.key, TRUE, CHANGES, cache.changed, TRUE) == ERROR_SUCCESS)
        return true;
    CloseHandle(cache.changed);
    cache.changed = NULL;
    return false;
}

static const kept_path *find(const kshs_guid *category, uint32_t index)
{
    unsigned i;

    for (i = 0; i < KEPT; i++)
        if (cache.paths[i].path[0] && cache.paths[i].index == index &&
            !memcmp(&cache.paths[i].category, category, sizeof(*category)))
            return &cache.paths[i];
    return NULL;
}

static DWORD kept_or_found(const kshs_guid *category, uint32_t index, wchar_t *out, size_t count)
{
    bool usable = up_to_date();
    const kept_path *kept = usable ? find(category, index) : NULL;
    kept_path *place;
    DWORD error;

    if (kept && wcslen(kept->path) < count) {
        wcscpy(out, kept->path);
        return ERROR_SUCCESS;
    }
    error = interface_look_up(category, index, out, count);
    if (!error && usable && wcslen(out) < ARRAY_COUNT(cache.paths[0].path)) {
        place = &cache.paths[cache.next++ % KEPT];
        place->category = *category;
        place->index = index;
        wcscpy(place->path, out);
    }
    return error;
}

DWORD interface_path(const kshs_guid *category, uint32_t index, wchar_t *out, size_t count)
{
    DWORD error;

    if (!nt_is_wine() || InterlockedExchange(&cache.in_use, 1))
        return interface_look_up(category, index, out, count);
    error = kept_or_found(category, index, out, count);
    InterlockedExchange(&cache.in_use, 0);
    return error;
}
