/* SPDX-License-Identifier: Apache-2.0
 *
 * settle.c - waits until a freshly installed system has come to rest.
 *
 * Rest is: no service is starting or stopping, and the processors idle, for
 * QUIET seconds without a break.  It gives up after LIMIT seconds and says so;
 * a system that never rests is no reason to throw an installation away.
 */
#include "kshsctl.h"
#include <winsvc.h>

#define SAMPLE_MS 1000
#define MOST_SECONDS 7200
#define IDLE_PERCENT 85
#define SERVICES_BYTES (256 * 1024) /* the most that EnumServicesStatusEx gives at once */

static uint64_t ticks(const FILETIME *time)
{
    return (uint64_t)time->dwHighDateTime << 32 | time->dwLowDateTime;
}

typedef struct processor_use {
    uint64_t idle, all;
} processor_use;

/* Kernel time contains idle time. */
static bool measure(processor_use *use)
{
    FILETIME idle, kernel, user;

    if (!GetSystemTimes(&idle, &kernel, &user))
        return false;
    use->idle = ticks(&idle);
    use->all = ticks(&kernel) + ticks(&user);
    return true;
}

static unsigned idle_percent(const processor_use *before, const processor_use *after)
{
    uint64_t all = after->all - before->all, idle = after->idle - before->idle;

    if (!all)
        return 100;
    return idle >= all ? 100 : (unsigned)(idle * 100 / all);
}

static bool is_pending(DWORD state)
{
    return state == SERVICE_START_PENDING || state == SERVICE_STOP_PENDING || state == SERVICE_CONTINUE_PENDING ||
           state == SERVICE_PAUSE_PENDING;
}

/* How many, and the first one's name; a service database that cannot be read counts as one at work. */
static unsigned pending_services(SC_HANDLE manager, uint8_t *space, wchar_t *name, size_t count)
{
    DWORD needed = 0, returned = 0, resume = 0, i;
    unsigned pending = 0;
    BOOL done;

    *name = 0;
    do {
        const ENUM_SERVICE_STATUS_PROCESSW *services = (const ENUM_SERVICE_STATUS_PROCESSW *)space;

        done = EnumServicesStatusExW(manager, SC_ENUM_PROCESS_INFO, SERVICE_WIN32, SERVICE_STATE_ALL, space,
                                     SERVICES_BYTES, &needed, &returned, &resume, NULL);
        if (!done && (GetLastError() != ERROR_MORE_DATA || !returned))
            return pending + 1;
        for (i = 0; i < returned; i++) {
            if (!is_pending(services[i].ServiceStatusProcess.dwCurrentState))
                continue;
            if (!pending++)
                format_text(name, count, L"%ls", services[i].lpServiceName);
        }
    } while (!done);
    return pending;
}

static void wait_until_quiet(report *r, SC_HANDLE manager, uint8_t *space, unsigned long quiet, unsigned long limit)
{
    uint64_t begin = now_ms(), rest_since = begin;
    unsigned percent = 0, pending = 0;
    processor_use before, after;
    wchar_t name[257];
    bool settled = false;

    if (!measure(&before)) {
        report_fail(r, GetLastError(), L"the processors' idle time cannot be read");
        return;
    }
    while (!settled && now_ms() - begin < (uint64_t)limit * 1000) {
        Sleep(SAMPLE_MS);
        if (!measure(&after)) {
            report_fail(r, GetLastError(), L"the processors' idle time cannot be read");
            return;
        }
        percent = idle_percent(&before, &after);
        before = after;
        pending = pending_services(manager, space, name, ARRAY_COUNT(name));
        if (pending || percent < IDLE_PERCENT)
            rest_since = now_ms();
        settled = now_ms() - rest_since >= (uint64_t)quiet * 1000;
    }
    json_bool(&r->body, "settled", settled);
    json_unsigned(&r->body, "seconds", (now_ms() - begin) / 1000);
    json_unsigned(&r->body, "idle_percent", percent);
    json_unsigned(&r->body, "pending_services", pending);
    if (!settled)
        say(L"kshsctl: not at rest after %lu s: processors %u %% idle, services starting or stopping: %u %ls", limit,
            percent, pending, name);
}

static bool seconds(const wchar_t *text, unsigned long *out)
{
    wchar_t *end;

    if (*text < L'0' || *text > L'9')
        return false;
    *out = wcstoul(text, &end, 10);
    return !*end && *out <= MOST_SECONDS;
}

int verb_settle(int count, wchar_t **arguments)
{
    unsigned long quiet, limit;
    SC_HANDLE manager;
    uint8_t *space;
    report r;

    (void)count;
    if (!seconds(arguments[0], &quiet) || !seconds(arguments[1], &limit) || quiet > limit) {
        say(L"usage: kshsctl settle QUIET LIMIT, in seconds, up to %u, QUIET not above LIMIT", MOST_SECONDS);
        return EXIT_USAGE;
    }
    report_start(&r, "settle");
    report_step(&r, "wait");
    manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT | SC_MANAGER_ENUMERATE_SERVICE);
    space = malloc(SERVICES_BYTES);
    if (!manager)
        report_fail(&r, GetLastError(), L"the service manager cannot be reached");
    else if (!space)
        report_fail(&r, ERROR_NOT_ENOUGH_MEMORY, L"there is no memory for the list of services");
    else
        wait_until_quiet(&r, manager, space, quiet, limit);
    free(space);
    if (manager)
        CloseServiceHandle(manager);
    return report_finish(&r);
}
