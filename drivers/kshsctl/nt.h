/* SPDX-License-Identifier: Apache-2.0
 *
 * nt.h - calls that a guest may lack, found at run time, and what is missing.
 *
 * Everything that NT 5.2 exports and documents is imported in the ordinary
 * way; all else is a member of `nt`, NULL where this guest has none.
 */
#ifndef KSHSCTL_NT_H
#define KSHSCTL_NT_H

#include "kshsctl.h"

typedef struct nt_api {
    const char *(__cdecl *wine_get_version)(void);
    NTSTATUS (NTAPI *rtl_get_version)(RTL_OSVERSIONINFOW *version);
    NTSTATUS (NTAPI *remove_io_completion)(HANDLE port, void **key, void **context, IO_STATUS_BLOCK *status,
                                           LARGE_INTEGER *timeout);
    NTSTATUS (NTAPI *set_io_completion)(HANDLE port, void *key, void *context, NTSTATUS status, ULONG_PTR information);
    NTSTATUS (NTAPI *set_information_file)(HANDLE file, IO_STATUS_BLOCK *status, void *data, ULONG length, int kind);
    NTSTATUS (NTAPI *cancel_io_file)(HANDLE file, IO_STATUS_BLOCK *status);             /* of the calling thread */
    NTSTATUS (NTAPI *cancel_io_file_ex)(HANDLE file, IO_STATUS_BLOCK *request, IO_STATUS_BLOCK *status);    /* NT 6 */
    NTSTATUS (NTAPI *cancel_synchronous_io_file)(HANDLE thread, IO_STATUS_BLOCK *request, IO_STATUS_BLOCK *status);
    NTSTATUS (NTAPI *wait_on_address)(const void *address, const void *undesired, SIZE_T size,
                                      const LARGE_INTEGER *timeout);        /* NT 6.2 */
    void (NTAPI *wake_address)(const void *address);                        /* NT 6.2: one of those who wait */
    ULONG (WINAPI *devnode_status)(ULONG *status, ULONG *problem, DWORD node, ULONG flags);
    const char *missing[16];        /* names of those that a full guest would have */
    unsigned missing_count;
} nt_api;

extern nt_api nt;

void nt_load(void);                 /* once, first of all */
bool nt_is_wine(void);

#endif
