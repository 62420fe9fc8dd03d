/* SPDX-License-Identifier: Apache-2.0
 *
 * device_errors.c - why a device did not change.
 */
#include "devices.h"

/*
 * What the agent asks for is fixed, and a driver that refuses makes no error (the change then waits for a
 * restart of the guest).  So an error is as a rule what this guest's SetupAPI or PnP manager cannot do, and
 * each has words of its own for it.  The others are about whoever asks: no rights, no memory, no such device.
 */
bool device_change_unsupported(DWORD error)
{
    static const DWORD ours[] = {
        ERROR_SUCCESS, ERROR_ACCESS_DENIED, ERROR_INVALID_HANDLE, ERROR_NOT_ENOUGH_MEMORY, ERROR_OUTOFMEMORY,
        ERROR_PRIVILEGE_NOT_HELD, (DWORD)ERROR_NO_SUCH_DEVINST, (DWORD)ERROR_IN_WOW64,
    };
    size_t i;

    for (i = 0; i < ARRAY_COUNT(ours); i++)
        if (error == ours[i])
            return false;
    return true;
}
