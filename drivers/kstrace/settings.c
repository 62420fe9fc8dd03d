/* SPDX-License-Identifier: Apache-2.0
 *
 * settings.c - what the agent wrote below the service's key before the driver
 * was loaded: Parameters\Records (DWORD) and Parameters\Sets (GUIDs, binary).
 */
#include "kstrace.h"

static GUID sets[KSTRACE_MAX_SETS];
static ULONG set_count;

typedef struct value {
    KEY_VALUE_PARTIAL_INFORMATION head;
    UCHAR room[KSTRACE_MAX_SETS * sizeof(GUID)];
} value;

static ULONG read_value(HANDLE key, PCWSTR name, ULONG type, value *found)
{
    UNICODE_STRING string;
    ULONG size;
    NTSTATUS status;

    RtlInitUnicodeString(&string, name);
    status = ZwQueryValueKey(key, &string, KeyValuePartialInformation, found, sizeof *found, &size);
    if (!NT_SUCCESS(status) || found->head.Type != type || found->head.DataLength > sizeof found->room)
        return 0;
    return found->head.DataLength;
}

static HANDLE open_parameters(PUNICODE_STRING registry_path)
{
    static const WCHAR parameters[] = L"\\Parameters";
    SIZE_T bytes = registry_path->Length + sizeof parameters;
    OBJECT_ATTRIBUTES attributes;
    UNICODE_STRING path;
    HANDLE key = NULL;

    if (bytes > 0xFFF0)
        return NULL;
    path.Buffer = kshs_zalloc(bytes, KST_TAG);
    if (!path.Buffer)
        return NULL;
    RtlCopyMemory(path.Buffer, registry_path->Buffer, registry_path->Length);
    RtlCopyMemory((PUCHAR)path.Buffer + registry_path->Length, parameters, sizeof parameters);
    path.Length = (USHORT)(bytes - sizeof(WCHAR));
    path.MaximumLength = (USHORT)bytes;
    InitializeObjectAttributes(&attributes, &path, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    if (!NT_SUCCESS(ZwOpenKey(&key, KEY_READ, &attributes)))
        key = NULL;
    ExFreePoolWithTag(path.Buffer, KST_TAG);
    return key;
}

void kst_settings_read(PUNICODE_STRING registry_path, ULONG *records)
{
    HANDLE key = open_parameters(registry_path);
    ULONG wanted, bytes;
    value found;

    *records = KSTRACE_DEFAULT_RECORDS;
    if (!key)
        return;
    if (read_value(key, L"Records", REG_DWORD, &found) == sizeof wanted) {
        RtlCopyMemory(&wanted, found.head.Data, sizeof wanted);
        if (wanted >= KSTRACE_LEAST_RECORDS && wanted <= KSTRACE_MOST_RECORDS)
            *records = wanted;
    }
    bytes = read_value(key, L"Sets", REG_BINARY, &found);
    set_count = bytes / sizeof(GUID);
    RtlCopyMemory(sets, found.head.Data, set_count * sizeof(GUID));
    ZwClose(key);
}

BOOLEAN kst_is_watched(const GUID *set)
{
    ULONG i;

    for (i = 0; i < set_count; i++)
        if (kst_same_guid(&sets[i], set))
            return TRUE;
    return FALSE;
}

ULONG kst_watched_sets(void)
{
    return set_count;
}
