/* SPDX-License-Identifier: Apache-2.0
 *
 * devices.h - device information sets; see devices.c.
 */
#ifndef KSHSCTL_DEVICES_H
#define KSHSCTL_DEVICES_H

#include "nt.h"
#include <setupapi.h>

/* device_errors.c: whether a change failed because this guest cannot make it, and not because of who asked for it. */
bool device_change_unsupported(DWORD error);
HDEVINFO device_list(bool present_only);    /* of all classes; INVALID_HANDLE_VALUE on failure */
/* Whether the id is among its hardware or compatible ids. */
bool device_has_id(HDEVINFO set, SP_DEVINFO_DATA *device, const wchar_t *hardware_id);
/* The next device from *INDEX on that has the id. */
bool device_next(HDEVINFO set, DWORD *index, const wchar_t *hardware_id, SP_DEVINFO_DATA *device);
/* The hardware id by which a device that was found by NAMED can be updated: NAMED itself, or its first one. */
bool device_own_id(HDEVINFO set, SP_DEVINFO_DATA *device, const wchar_t *named, wchar_t *out, size_t count);
/* install_device.c.  OWN: the hardware id of the device, where HARDWARE_ID is one of its compatible ids. */
bool device_exists(const wchar_t *hardware_id, wchar_t *instance, size_t count, wchar_t *own, size_t own_count);
/* A root-enumerated device of the INF's class, with that hardware id and no driver yet; its instance. */
bool device_register(report *r, const wchar_t *inf, const wchar_t *hardware_id, wchar_t *instance, size_t count);
bool device_update(report *r, const wchar_t *inf, const wchar_t *hardware_id);  /* its driver, by the INF */
/* device_started.c.  Waits; BOUND: the device has a service, started or not. */
bool device_wait_started(report *r, const wchar_t *hardware_id, bool *bound);
/* 1 started, 0 not (yet), -1 has a problem, -2 this guest cannot say; PROBLEM: CM_PROB_..., 0 without one. */
int device_node_state(DWORD node, ULONG *problem);
/* interface_factories.c: the filters behind one path of SetupAPI, which is one by itself everywhere but on Wine. */
typedef struct interface_factories {
    wchar_t names[4096];            /* as REG_MULTI_SZ */
} interface_factories;

void factories_of(const wchar_t *path, interface_factories *found);
uint32_t factories_count(const interface_factories *found);     /* at least 1 */
/* The path of one of them; false: it is too long. */
bool factories_path(const interface_factories *found, uint32_t number, const wchar_t *plain, wchar_t *out,
                    size_t count);
/* interfaces.c: every present interface of the devices of a hardware id, as an array of objects: category, index (as
 * OPEN_FILTER counts), path, active; null where the categories cannot be listed. */
void json_interfaces(json *j, const char *key, const wchar_t *hardware_id);
/* "problem_status" of the device of a hardware id: the NTSTATUS behind its problem code, null where it is not said. */
void json_device_problem(json *j, const wchar_t *hardware_id);

#endif
