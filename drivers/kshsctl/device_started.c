/* SPDX-License-Identifier: Apache-2.0
 *
 * device_started.c - whether a device that was given a driver has started, and where it stopped if not.
 *
 * Windows has problem codes.  Wine has none, and a driver runs on there whose device did not start: what the
 * reference class driver heard (drivers/refks/started.c), the state of the service and the end of the process of
 * the drivers are put together instead.
 */
#include "crash.h"
#include "devices.h"
#include <cfgmgr32.h>
#include <winsvc.h>

#define START_PATIENCE_MS 30000
#define ANSWER_PATIENCE_MS 2000     /* a driver that says nothing of its start by then is none of the class driver's */
#define LOAD_PATIENCE_MS 5000       /* behind an installation that is over: a driver was loaded and its device added */
#define START_PAUSE_MS 50
#define SERVICE_PATIENCE_MS 2000    /* a driver that was installed has given its service to the device by then */

/* Where a minidriver's device is on Wine. */
typedef enum start_stage {
    STAGE_UNKNOWN,                  /* it is none of the class driver's, or nothing has been heard yet */
    STAGE_INITIALIZED,              /* its KsInitializeDriver succeeded */
    STAGE_ADDED,                    /* its device is made */
    STAGE_STARTING,                 /* its Start is under way */
    STAGE_STARTED,
    STAGE_REFUSED,
} start_stage;

typedef struct device_start {
    const wchar_t *hardware_id;
    wchar_t name[128];              /* the service; empty: none */
    service_facts service;
    ULONG problem;
    int state;                      /* 1: started; else see device_node_state */
    start_stage stage;
    const wchar_t *refused_at;
    DWORD status;                   /* of the refusal */
    bool ended;                     /* the process of the drivers has */
} device_start;

static bool device_service(const wchar_t *hardware_id, wchar_t *service, size_t count, DWORD *node)
{
    HDEVINFO set = device_list(true);
    SP_DEVINFO_DATA device;
    DWORD index = 0;
    bool found;

    *service = 0;
    if (set == INVALID_HANDLE_VALUE)
        return false;
    found = device_next(set, &index, hardware_id, &device);
    if (found) {
        *node = device.DevInst;
        memset(service, 0, count * sizeof(wchar_t));
        SetupDiGetDeviceRegistryPropertyW(set, &device, SPDRP_SERVICE, NULL, (BYTE *)service,
                                          (DWORD)((count - 1) * sizeof(wchar_t)), NULL);
    }
    SetupDiDestroyDeviceInfoList(set);
    return found;
}

/* What the reference class driver says of a service's minidriver (drivers/refks/started.c): false, nothing yet. */
static bool start_answer(const wchar_t *stage, const wchar_t *service, DWORD *status)
{
    wchar_t path[128];
    DWORD type = 0, size = sizeof(*status);
    HKEY key;
    bool found;

    format_text(path, ARRAY_COUNT(path), L"SOFTWARE\\kshs\\ReferenceKs\\%ls", stage);
    if (RegOpenKeyExW(HKEY_LOCAL_MACHINE, path, 0, KEY_QUERY_VALUE | KEY_WOW64_64KEY, &key))
        return false;
    found = !RegQueryValueExW(key, service, NULL, &type, (BYTE *)status, &size) && type == REG_DWORD;
    RegCloseKey(key);
    return found;
}

static start_stage heard(device_start *start)
{
    static const struct {
        const wchar_t *name;
        start_stage begun, done;
    } stages[] = {
        { L"Start", STAGE_STARTING, STAGE_STARTED },
        { L"AddDevice", STAGE_INITIALIZED, STAGE_ADDED },
        { L"KsInitializeDriver", STAGE_UNKNOWN, STAGE_INITIALIZED },
    };
    size_t i;

    for (i = 0; i < ARRAY_COUNT(stages); i++) {
        if (!start_answer(stages[i].name, start->name, &start->status))
            continue;
        if (start->status == (DWORD)STATUS_PENDING)
            return stages[i].begun;
        start->refused_at = (LONG)start->status < 0 ? stages[i].name : NULL;
        return start->refused_at ? STAGE_REFUSED : stages[i].done;
    }
    return STAGE_UNKNOWN;
}

/* Nothing more will come; ELAPSED: ms since the driver was installed. */
static bool is_settled_on_wine(device_start *start, uint64_t elapsed)
{
    bool running = start->service.state == SERVICE_RUNNING;

    start->ended = crash_watch_ended();
    start->stage = heard(start);
    /* A driver that no class driver knows is there when its service runs. */
    start->state = start->stage == STAGE_STARTED || (running && start->stage == STAGE_ADDED) ||
                   (running && start->stage == STAGE_UNKNOWN);
    if (start->ended || start->stage == STAGE_REFUSED) {
        start->state = 0;
        return true;
    }
    if (start->stage == STAGE_STARTED)
        return true;
    if (start->stage == STAGE_STARTING)
        return false;
    return elapsed >= (start->state ? ANSWER_PATIENCE_MS : LOAD_PATIENCE_MS);
}

static bool is_settled(device_start *start, uint64_t elapsed)
{
    DWORD node = 0;

    if (!device_service(start->hardware_id, start->name, ARRAY_COUNT(start->name), &node))
        return false;
    start->state = device_node_state(node, &start->problem);
    if (*start->name)
        service_examine(start->name, &start->service);
    if (nt_is_wine() && *start->name)
        return is_settled_on_wine(start, elapsed);
    /* Where there are no device nodes to ask, a driver that runs is the sign. */
    if (start->state == -2)
        start->state = start->service.state == SERVICE_RUNNING;
    return start->state == 1;
}

/* Of a device with a service, on Wine. */
static bool fail_on_wine(report *r, const device_start *start)
{
    static const wchar_t *const during[] = {
        [STAGE_UNKNOWN] = L"in DriverEntry", [STAGE_INITIALIZED] = L"in DriverEntry or AddDevice",
        [STAGE_ADDED] = L"before Start", [STAGE_STARTING] = L"in Start", [STAGE_STARTED] = L"behind Start",
        [STAGE_REFUSED] = L"behind a refusal",
    };

    if (start->ended)
        return report_fail(r, 0, L"the driver %ls ended the process of the drivers while its device was started: %ls",
                           start->name, during[start->stage]);
    if (start->stage == STAGE_STARTING)
        return report_fail(r, 0, L"Start of the driver %ls has not ended within %u s", start->name,
                           START_PATIENCE_MS / 1000);
    if (start->stage == STAGE_INITIALIZED)
        return report_fail(r, 0, L"the driver %ls made no device: its AddDevice failed, has not ended, or calls neither "
                           L"KsAddDevice nor KsCreateDevice", start->name);
    if (start->service.state != SERVICE_RUNNING)
        return report_fail(r, 0, L"the driver %ls was not loaded: its DriverEntry failed or has not ended",
                           start->name);
    return report_fail(r, 0, L"the device of %ls was not started", start->hardware_id);
}

bool device_wait_started(report *r, const wchar_t *hardware_id, bool *bound)
{
    uint64_t begin = now_ms(), elapsed;
    device_start start;

    memset(&start, 0, sizeof(start));
    start.hardware_id = hardware_id;
    for (;;) {
        bool settled = is_settled(&start, now_ms() - begin);

        elapsed = now_ms() - begin;
        if (settled || elapsed >= START_PATIENCE_MS || (!*start.name && elapsed >= SERVICE_PATIENCE_MS))
            break;
        Sleep(START_PAUSE_MS);
    }
    *bound = *start.name != 0;
    json_text(&r->body, "service", start.name);
    json_utf8(&r->body, "service_state",
              start.service.present ? service_state_name(start.service.state) : "absent");
    json_unsigned(&r->body, "problem", start.problem);
    json_bool(&r->body, "started", start.state == 1);
    if (start.problem)
        json_device_problem(&r->body, hardware_id);
    if (start.state == 1 || (r->reboot && start.stage != STAGE_REFUSED))
        return true;
    if (start.stage == STAGE_REFUSED) {
        json_text(&r->body, "refused_at", start.refused_at);
        json_hex(&r->body, "start_status", start.status);
        return report_fail(r, 0, L"the driver %ls refused its device: %ls answered 0x%08lX", start.name,
                           start.refused_at, start.status);
    }
    if (!*start.name)               /* Wine says success when no model of the INF matched */
        return report_fail(r, 0, L"no driver was installed for %ls: does the INF have that hardware id?", hardware_id);
    if (nt_is_wine())
        return fail_on_wine(r, &start);
    return report_fail(r, 0, L"the device of %ls did not start within %u s (service %ls, problem code %lu)",
                       hardware_id, START_PATIENCE_MS / 1000, start.name, start.problem);
}
