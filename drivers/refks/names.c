/* SPDX-License-Identifier: Apache-2.0
 *
 * names.c - what people call a pin or a node: the value "Name" below the key
 * of a GUID, which an INF puts into the system's list of media categories.
 */
#include "refks.h"

#define CATEGORIES L"\\Registry\\Machine\\SYSTEM\\CurrentControlSet\\Control\\MediaCategories\\"
#define GUID_CHARACTERS 38
#define MAX_NAME 512            /* bytes, NUL included */

static NTSTATUS OpenCategory(const GUID *Id, HANDLE *Key)
{
    WCHAR path[sizeof(CATEGORIES) / sizeof(WCHAR) + GUID_CHARACTERS];
    OBJECT_ATTRIBUTES attributes;
    UNICODE_STRING guid, name;
    NTSTATUS status;

    status = RtlStringFromGUID((GUID *)Id, &guid);
    if (!NT_SUCCESS(status))
        return status;
    RtlCopyMemory(path, CATEGORIES, sizeof(CATEGORIES) - sizeof(WCHAR));
    RtlCopyMemory((PUCHAR)path + sizeof(CATEGORIES) - sizeof(WCHAR), guid.Buffer, GUID_CHARACTERS * sizeof(WCHAR));
    RtlFreeUnicodeString(&guid);
    name.Buffer = path;
    name.Length = name.MaximumLength = sizeof(CATEGORIES) - sizeof(WCHAR) + GUID_CHARACTERS * sizeof(WCHAR);
    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwOpenKey(Key, KEY_QUERY_VALUE, &attributes);
}

/* A string is handed out with its NUL, which the registry does not promise. */
static NTSTATUS GiveString(PIRP Irp, PVOID Data, PKEY_VALUE_PARTIAL_INFORMATION Value)
{
    PWSTR text = (PWSTR)Value->Data;
    ULONG characters = Value->DataLength / sizeof(WCHAR);

    if (Value->Type != REG_SZ)
        return STATUS_OBJECT_TYPE_MISMATCH;
    if (!characters || text[characters - 1])
        text[characters++] = 0;
    return RefksGiveBlock(Irp, Data, text, characters * sizeof(WCHAR));
}

NTSTATUS RefksGiveName(PIRP Irp, PVOID Data, const GUID *Id)
{
    const ULONG head = FIELD_OFFSET(KEY_VALUE_PARTIAL_INFORMATION, Data);
    PKEY_VALUE_PARTIAL_INFORMATION value;
    UNICODE_STRING name;
    NTSTATUS status;
    ULONG length;
    HANDLE key;

    if (!Id)
        return STATUS_NOT_FOUND;
    status = OpenCategory(Id, &key);
    if (!NT_SUCCESS(status))
        return status;
    value = RefksAllocate(head + MAX_NAME + sizeof(WCHAR));     /* and a NUL, if it has none */
    if (value) {
        RtlInitUnicodeString(&name, L"Name");
        status = ZwQueryValueKey(key, &name, KeyValuePartialInformation, value, head + MAX_NAME, &length);
        if (NT_SUCCESS(status))
            status = GiveString(Irp, Data, value);
        RefksFree(value);
    } else {
        status = STATUS_INSUFFICIENT_RESOURCES;
    }
    (void)ZwClose(key);
    return status;
}
