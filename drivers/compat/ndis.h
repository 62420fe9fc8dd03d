/* SPDX-License-Identifier: Apache-2.0
 *
 * ndis.h - for streaming drivers that include it and bind to no network: mingw-w64's does
 * not compile, and none of its functions is linked.
 */
#ifndef KSHS_COMPAT_NDIS_H
#define KSHS_COMPAT_NDIS_H

#include <ntddk.h>

typedef int NDIS_STATUS, *PNDIS_STATUS;
typedef PVOID NDIS_HANDLE, *PNDIS_HANDLE;
typedef ULONG NDIS_OID, *PNDIS_OID;

#define NDIS_STATUS_SUCCESS ((NDIS_STATUS)STATUS_SUCCESS)
#define NDIS_STATUS_FAILURE ((NDIS_STATUS)STATUS_UNSUCCESSFUL)

#endif
