/* SPDX-License-Identifier: Apache-2.0
 *
 * ntddk.h - mingw-w64's, and the types by which drivers declare the routines of generic tables.
 */
#ifndef KSHS_COMPAT_NTDDK_H
#define KSHS_COMPAT_NTDDK_H

#include_next <ntddk.h>

typedef __typeof__(*(PRTL_AVL_COMPARE_ROUTINE)0) RTL_AVL_COMPARE_ROUTINE;
typedef __typeof__(*(PRTL_AVL_ALLOCATE_ROUTINE)0) RTL_AVL_ALLOCATE_ROUTINE;
typedef __typeof__(*(PRTL_AVL_FREE_ROUTINE)0) RTL_AVL_FREE_ROUTINE;
#ifndef RTL_USE_AVL_TABLES
typedef __typeof__(*(PRTL_GENERIC_COMPARE_ROUTINE)0) RTL_GENERIC_COMPARE_ROUTINE;
typedef __typeof__(*(PRTL_GENERIC_ALLOCATE_ROUTINE)0) RTL_GENERIC_ALLOCATE_ROUTINE;
typedef __typeof__(*(PRTL_GENERIC_FREE_ROUTINE)0) RTL_GENERIC_FREE_ROUTINE;
#endif

#endif
