/* SPDX-License-Identifier: Apache-2.0
 *
 * module.c - the module itself, and the record of what is not served.
 */
#include "wdmsup.h"

DRIVER_INITIALIZE DriverEntry;

/* Wine takes a module that imports ntdll.dll for one of user mode, and calls its entry point as DllMain: the
 * answer is its TRUE, and a success for whoever calls it as a driver's. */
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    return 1;
}

VOID SupStay(VOID)
{
    static volatile LONG done;
    PVOID base;

    if (!InterlockedExchange(&done, 1) && RtlPcToFileHeader((PVOID)(ULONG_PTR)SupStay, &base))
        (void)LdrAddRefDll(1 /* LDR_ADDREF_DLL_PIN */, base);
}

/* The key that the reference class driver writes, too, and that `kshsctl info` reads. */
VOID SupRecordMissing(SUP_MISSING *Function)
{
    static const PCWSTR keys[] = {
        L"\\Registry\\Machine\\SOFTWARE\\kshs",
        L"\\Registry\\Machine\\SOFTWARE\\kshs\\ReferenceKs",
        L"\\Registry\\Machine\\SOFTWARE\\kshs\\ReferenceKs\\Missing",
    };
    NTSTATUS status = STATUS_SUCCESS;
    UNICODE_STRING name;
    HANDLE key = NULL;
    ULONG one = 1;
    ULONG i;

    if (InterlockedExchange(&Function->Called, 1))
        return;
    DbgPrint("kshs: %ws is not served\n", Function->Name);
    for (i = 0; i < RTL_NUMBER_OF(keys) && NT_SUCCESS(status); i++) {
        OBJECT_ATTRIBUTES attributes;

        if (key)
            (void)ZwClose(key);
        key = NULL;
        RtlInitUnicodeString(&name, keys[i]);
        InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
        status = ZwCreateKey(&key, KEY_SET_VALUE | KEY_CREATE_SUB_KEY, &attributes, 0, NULL, REG_OPTION_VOLATILE,
                             NULL);
    }
    if (!NT_SUCCESS(status))
        return;
    RtlInitUnicodeString(&name, Function->Name);
    (void)ZwSetValueKey(key, &name, 0, REG_DWORD, &one, sizeof(one));
    (void)ZwClose(key);
}
