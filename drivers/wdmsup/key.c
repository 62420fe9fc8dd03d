/* SPDX-License-Identifier: Apache-2.0
 *
 * key.c - the registry keys of a driver (Windows 10 version 1803 and later).
 */
#include "wdmsup.h"

/* DRIVER_REGKEY_TYPE */
enum { PARAMETERS, PERSISTENT_STATE, SHARED_PERSISTENT_STATE };

NTSTATUS NTAPI SupIoOpenDriverRegistryKey(PDRIVER_OBJECT Driver, ULONG Type, ACCESS_MASK Access, ULONG Flags,
                                          PHANDLE Key);

/* The key of a service: its driver's name is \Driver\ and that of the service. */
static NTSTATUS OpenService(PDRIVER_OBJECT Driver, PHANDLE Key)
{
    static const WCHAR services[] = L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\";
    WCHAR path[RTL_NUMBER_OF(services) + 256];
    ULONG length = Driver->DriverName.Length / sizeof(WCHAR), begin = length;
    OBJECT_ATTRIBUTES attributes;
    UNICODE_STRING name;

    while (begin && Driver->DriverName.Buffer[begin - 1] != L'\\')
        begin--;
    if (begin == length || length - begin > 255)
        return STATUS_OBJECT_NAME_INVALID;
    RtlCopyMemory(path, services, sizeof(services));
    RtlCopyMemory(path + RTL_NUMBER_OF(services) - 1, Driver->DriverName.Buffer + begin,
                  (length - begin) * sizeof(WCHAR));
    path[RTL_NUMBER_OF(services) - 1 + length - begin] = 0;
    RtlInitUnicodeString(&name, path);
    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwOpenKey(Key, KEY_READ | KEY_CREATE_SUB_KEY, &attributes);
}

/* PASSIVE_LEVEL.  The parameters are what the INF has put into the service's key and may not be there; state is
 * made for whoever asks for it, beside them. */
NTSTATUS NTAPI SupIoOpenDriverRegistryKey(PDRIVER_OBJECT Driver, ULONG Type, ACCESS_MASK Access, ULONG Flags,
                                          PHANDLE Key)
{
    static const PCWSTR names[] = { L"Parameters", L"State", L"SharedState" };
    OBJECT_ATTRIBUTES attributes;
    UNICODE_STRING name;
    NTSTATUS status;
    HANDLE service;

    if (!Driver || !Key || Flags || Type > SHARED_PERSISTENT_STATE)
        return STATUS_INVALID_PARAMETER;
    *Key = NULL;
    status = OpenService(Driver, &service);
    if (!NT_SUCCESS(status))
        return status;
    RtlInitUnicodeString(&name, names[Type]);
    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, service, NULL);
    if (Type == PARAMETERS)
        status = ZwOpenKey(Key, Access, &attributes);
    else
        status = ZwCreateKey(Key, Access, &attributes, 0, NULL, REG_OPTION_NON_VOLATILE, NULL);
    (void)ZwClose(service);
    return status;
}
