/* SPDX-License-Identifier: Apache-2.0
 *
 * ksproxy.h - mingw-w64's, for drivers: its interfaces are those of user mode and want
 * IUnknown, which a driver has from punknown.h or not at all.
 */
#ifndef KSHS_COMPAT_KSPROXY_H
#define KSHS_COMPAT_KSPROXY_H

#ifdef __cplusplus
#include <punknown.h>
#endif
#include_next <ksproxy.h>

#endif
