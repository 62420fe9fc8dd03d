/* SPDX-License-Identifier: Apache-2.0
 *
 * devices.h - device information sets; see devices.c.
 */
#ifndef KSHSCTL_DEVICES_H
#define KSHSCTL_DEVICES_H

#include "nt.h"
#include <setupapi.h>

HDEVINFO device_list(bool present_only);    /* of all classes; INVALID_HANDLE_VALUE on failure */
/* The next device from *INDEX on that has the hardware id. */
bool device_next(HDEVINFO set, DWORD *index, const wchar_t *hardware_id, SP_DEVINFO_DATA *device);

#endif
