/* SPDX-License-Identifier: Apache-2.0
 *
 * device_errors.c - asks the agent's file of this name about each error code that is an argument, in hexadecimal.
 */
#include "devices.h"

int wmain(int count, wchar_t **arguments)
{
    int i;

    for (i = 1; i < count; i++)
        printf("%d\n", device_change_unsupported(wcstoul(arguments[i], NULL, 16)));
    return 0;
}
