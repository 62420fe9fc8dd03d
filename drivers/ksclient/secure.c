/* SPDX-License-Identifier: Apache-2.0
 *
 * secure.c - who may open the client: it sends requests in kernel mode for its
 * caller, so nobody but administrators and the system.
 */
#include "ksclient.h"
#include "kshs_secure.h"

NTSTATUS ksc_secure_device(PDEVICE_OBJECT device)
{
    return kshs_secure_device(device);
}
