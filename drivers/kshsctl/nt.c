/* SPDX-License-Identifier: Apache-2.0
 *
 * nt.c - finds at run time what not every guest has.
 */
#include "nt.h"

nt_api nt;

/* The loader's type is no proper function type for any of them: copy the pointer's bits. */
static void find(HMODULE module, const char *name, void *slot, bool expected)
{
    FARPROC found = module ? GetProcAddress(module, name) : NULL;

    memcpy(slot, &found, sizeof(found));
    if (!found && expected && nt.missing_count < ARRAY_COUNT(nt.missing))
        nt.missing[nt.missing_count++] = name;
}

void nt_load(void)
{
    HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");
    HMODULE configuration;

    find(ntdll, "wine_get_version", &nt.wine_get_version, false);
    find(ntdll, "RtlGetVersion", &nt.rtl_get_version, true);
    find(ntdll, "NtRemoveIoCompletion", &nt.remove_io_completion, true);
    find(ntdll, "NtSetIoCompletion", &nt.set_io_completion, true);
    find(ntdll, "NtSetInformationFile", &nt.set_information_file, true);
    find(ntdll, "NtCancelIoFile", &nt.cancel_io_file, true);
    find(ntdll, "NtCancelIoFileEx", &nt.cancel_io_file_ex, true);
    find(ntdll, "NtCancelSynchronousIoFile", &nt.cancel_synchronous_io_file, true);

    find(ntdll, "RtlWaitOnAddress", &nt.wait_on_address, false);
    find(ntdll, "RtlWakeAddressSingle", &nt.wake_address, false);

    /* Before NT 6 setupapi.dll exports it, since then cfgmgr32.dll does. */
    configuration = LoadLibraryW(L"cfgmgr32.dll");
    find(configuration, "CM_Get_DevNode_Status", &nt.devnode_status, false);
    if (!nt.devnode_status)
        find(LoadLibraryW(L"setupapi.dll"), "CM_Get_DevNode_Status", &nt.devnode_status, true);
}
