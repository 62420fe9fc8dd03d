/* SPDX-License-Identifier: Apache-2.0
 *
 * started.c - what a minidriver answered when its device was added and started.
 *
 * Wine keeps no problem code of a device, and a driver whose device failed to
 * start runs on: whoever installs it asks the registry (kshsctl, install-device),
 * by the service's name.  PASSIVE_LEVEL, as all of PnP.
 */
#include "refks.h"

static NTSTATUS Key(PCWSTR Path, ULONG Options, HANDLE *Opened)
{
    OBJECT_ATTRIBUTES attributes;
    UNICODE_STRING name;

    RtlInitUnicodeString(&name, Path);
    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateKey(Opened, KEY_SET_VALUE | KEY_CREATE_SUB_KEY, &attributes, 0, NULL, Options, NULL);
}

/* Of \Driver\avshs or \DRIVER\avshs what follows the last backslash. */
static UNICODE_STRING Service(const UNICODE_STRING *Driver)
{
    UNICODE_STRING name = *Driver;
    USHORT i;

    for (i = 0; i < Driver->Length / sizeof(WCHAR); i++) {
        if (Driver->Buffer[i] == L'\\') {
            name.Buffer = Driver->Buffer + i + 1;
            name.Length = (USHORT)(Driver->Length - (i + 1) * sizeof(WCHAR));
        }
    }
    name.MaximumLength = name.Length;
    return name;
}

/* The last answer counts: a device that is started again may start. */
VOID RefksRecordStart(PDRIVER_OBJECT DriverObject, PCWSTR Stage, NTSTATUS Status)
{
    static const PCWSTR keys[] = {
        L"\\Registry\\Machine\\SOFTWARE\\kshs",
        L"\\Registry\\Machine\\SOFTWARE\\kshs\\ReferenceKs",
    };
    UNICODE_STRING name = Service(&DriverObject->DriverName);
    NTSTATUS status = STATUS_SUCCESS;
    ULONG value = (ULONG)Status;
    HANDLE key = NULL;
    ULONG i;

    for (i = 0; i < SIZEOF_ARRAY(keys) + 1 && NT_SUCCESS(status); i++) {
        if (key)
            (void)ZwClose(key);
        key = NULL;
        status = Key(i < SIZEOF_ARRAY(keys) ? keys[i] : Stage, REG_OPTION_VOLATILE, &key);
    }
    if (!NT_SUCCESS(status))
        return;
    (void)ZwSetValueKey(key, &name, 0, REG_DWORD, &value, sizeof(value));
    (void)ZwClose(key);
}
