/* SPDX-License-Identifier: Apache-2.0
 *
 * missing.c - which functions that we do not have were called.
 *
 * The names go into the registry, one value each below a key that does not
 * survive a restart.  A device to ask would need a driver object of ours,
 * which an export driver has on no guest and which Wine gives none; opening
 * a filter to ask would change what the target sees.
 */
#include "missing.h"

#define MISSING_KEY L"\\Registry\\Machine\\SOFTWARE\\kshs\\ReferenceKs\\Missing"

static REFKS_MISSING *volatile Recorded;        /* newest first; nothing is ever taken out */
static volatile LONG Unwritten;                 /* some of them are not in the registry yet */

/* Each key on the way, since ZwCreateKey makes the last one only. */
static NTSTATUS OpenKey(HANDLE *Key)
{
    static const WCHAR path[] = MISSING_KEY;
    static const ULONG root = sizeof(L"\\Registry\\Machine\\SOFTWARE") / sizeof(WCHAR);
    const ULONG length = sizeof(path) / sizeof(WCHAR) - 1;
    NTSTATUS status = STATUS_SUCCESS;
    HANDLE key = NULL;
    ULONG end;

    for (end = root; end <= length && NT_SUCCESS(status); end++) {
        OBJECT_ATTRIBUTES attributes;
        UNICODE_STRING name;

        if (path[end] && path[end] != L'\\')
            continue;
        if (key)
            (void)ZwClose(key);
        key = NULL;
        name.Buffer = (PWSTR)path;
        name.Length = name.MaximumLength = (USHORT)(end * sizeof(WCHAR));
        InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
        status = ZwCreateKey(&key, KEY_SET_VALUE | KEY_CREATE_SUB_KEY, &attributes, 0, NULL, REG_OPTION_VOLATILE,
                             NULL);
    }
    if (NT_SUCCESS(status))
        *Key = key;
    return status;
}

/* What cannot be written now is tried again with the next call, or the next create or cleanup. */
void RefksWriteMissing(void)
{
    REFKS_MISSING *function;
    ULONG one = 1;
    HANDLE key;

    /* In this order: the first time the IRQL must be asked for at PASSIVE_LEVEL, and the first create does. */
    if (kshs_current_irql() != PASSIVE_LEVEL || !Unwritten)
        return;
    if (!InterlockedExchange(&Unwritten, 0))
        return;
    if (!NT_SUCCESS(OpenKey(&key))) {
        InterlockedExchange(&Unwritten, 1);
        return;
    }
    for (function = Recorded; function; function = function->Next) {
        UNICODE_STRING name;

        if (InterlockedExchange(&function->Written, 1))
            continue;
        RtlInitUnicodeString(&name, function->Name);
        if (!NT_SUCCESS(ZwSetValueKey(key, &name, 0, REG_DWORD, &one, sizeof(one)))) {
            function->Written = 0;
            InterlockedExchange(&Unwritten, 1);
        }
    }
    (void)ZwClose(key);
}

void RefksRecordMissing(REFKS_MISSING *Function)
{
    REFKS_MISSING *first;

    if (!InterlockedExchange(&Function->Called, 1)) {
        do {
            first = Recorded;
            Function->Next = first;
        } while (InterlockedCompareExchangePointer((PVOID volatile *)&Recorded, Function, first) != first);
        InterlockedExchange(&Unwritten, 1);
        DbgPrint("kshs: ks.sys has no %ws\n", Function->Name);
    }
    RefksWriteMissing();
}
