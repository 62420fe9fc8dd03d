/* SPDX-License-Identifier: Apache-2.0
 *
 * registry.c - RtlQueryRegistryValues with defaults, which Wine does not take.
 */
#include "wdmsup.h"

NTSTATUS NTAPI SupRtlQueryRegistryValues(ULONG RelativeTo, PCWSTR Path, PRTL_QUERY_REGISTRY_TABLE Table, PVOID Context,
                                         PVOID Environment);

static NTSTATUS NTAPI Found(PWSTR Name, ULONG Type, PVOID Data, ULONG Length, PVOID Context, PVOID EntryContext)
{
    UNREFERENCED_PARAMETER(Name);
    UNREFERENCED_PARAMETER(Data);
    UNREFERENCED_PARAMETER(Length);
    UNREFERENCED_PARAMETER(Context);
    if (Type != REG_NONE)
        *(BOOLEAN *)EntryContext = TRUE;
    return STATUS_SUCCESS;
}

/* Whether a value is there, in the key that the last entry with a subkey names. */
static BOOLEAN IsThere(ULONG RelativeTo, PCWSTR Path, const RTL_QUERY_REGISTRY_TABLE *Subkey,
                       const RTL_QUERY_REGISTRY_TABLE *Entry)
{
    RTL_QUERY_REGISTRY_TABLE table[3];
    BOOLEAN found = FALSE;

    RtlZeroMemory(table, sizeof(table));
    if (Subkey) {
        table[0].Name = Subkey->Name;
        table[0].Flags = RTL_QUERY_REGISTRY_SUBKEY;
    }
    table[Subkey ? 1 : 0].QueryRoutine = Found;
    table[Subkey ? 1 : 0].Name = Entry->Name;
    table[Subkey ? 1 : 0].EntryContext = &found;
    table[Subkey ? 1 : 0].Flags = RTL_QUERY_REGISTRY_NOEXPAND | RTL_QUERY_REGISTRY_REQUIRED;
    return NT_SUCCESS(RtlQueryRegistryValues(RelativeTo, Path, table, NULL, NULL)) && found;
}

/* A string for whoever has given none, or as much of it as there is room for. */
static NTSTATUS DefaultString(PUNICODE_STRING To, PCWSTR Data)
{
    SIZE_T length = wcslen(Data) * sizeof(WCHAR);

    if (length > MAXUSHORT - sizeof(WCHAR))
        return STATUS_BUFFER_OVERFLOW;
    if (!To->Buffer)
        return RtlCreateUnicodeString(To, Data) ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
    if (length + sizeof(WCHAR) > To->MaximumLength)
        return STATUS_BUFFER_TOO_SMALL;
    RtlCopyMemory(To->Buffer, Data, length + sizeof(WCHAR));
    To->Length = (USHORT)length;
    return STATUS_SUCCESS;
}

/* As "RTL_QUERY_REGISTRY_DIRECT" has it: up to four bytes go where the context points, more where it says how many. */
static NTSTATUS Default(const RTL_QUERY_REGISTRY_TABLE *Entry, ULONG Type)
{
    ULONG length = Entry->DefaultLength;
    LONG room;

    if (Type == REG_SZ || Type == REG_EXPAND_SZ)
        return DefaultString(Entry->EntryContext, Entry->DefaultData);
    if (Type == REG_DWORD && !length)
        length = sizeof(ULONG);
    if (length > sizeof(ULONG)) {
        room = *(LONG *)Entry->EntryContext;
        if (room >= 0 || (ULONG)-room < length)
            return STATUS_BUFFER_TOO_SMALL;
    }
    RtlCopyMemory(Entry->EntryContext, Entry->DefaultData, length);
    return STATUS_SUCCESS;
}

/* Whether an entry asks for one value that need not be there, for its context. */
static BOOLEAN IsOptional(const RTL_QUERY_REGISTRY_TABLE *Entry)
{
    return (Entry->Flags & RTL_QUERY_REGISTRY_DIRECT) &&
           !(Entry->Flags & (RTL_QUERY_REGISTRY_SUBKEY | RTL_QUERY_REGISTRY_REQUIRED)) && Entry->Name &&
           Entry->EntryContext;
}

/* PASSIVE_LEVEL.  Wine fails for such a value that is not there: it gets a table without it, and the default is
 * taken here. */
NTSTATUS NTAPI SupRtlQueryRegistryValues(ULONG RelativeTo, PCWSTR Path, PRTL_QUERY_REGISTRY_TABLE Table, PVOID Context,
                                         PVOID Environment)
{
    PRTL_QUERY_REGISTRY_TABLE copy, subkey = NULL;
    NTSTATUS status = STATUS_SUCCESS;
    ULONG count = 0, kept = 0, i;

    while (Table[count].QueryRoutine || Table[count].Name)
        count++;
    copy = ExAllocatePoolWithTag(PagedPool, (count + 1) * sizeof(*copy), SUP_TAG);
    if (!copy)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(copy, (count + 1) * sizeof(*copy));
    status = RtlQueryRegistryValues(RelativeTo, Path, copy, NULL, NULL);    /* whether the key is there */
    for (i = 0; i < count && NT_SUCCESS(status); i++) {
        ULONG type = Table[i].DefaultType & 0xFF;

        if (Table[i].Flags & RTL_QUERY_REGISTRY_TOPKEY)
            subkey = NULL;
        if (Table[i].Flags & RTL_QUERY_REGISTRY_SUBKEY)
            subkey = &Table[i];
        if (!IsOptional(&Table[i]) || (Table[i].Flags & RTL_QUERY_REGISTRY_TOPKEY) || type == REG_MULTI_SZ ||
            IsThere(RelativeTo, Path, subkey, &Table[i]))
            copy[kept++] = Table[i];
        else if (type != REG_NONE && Table[i].DefaultData)
            status = Default(&Table[i], type);
    }
    if (NT_SUCCESS(status) && kept)
        status = RtlQueryRegistryValues(RelativeTo, Path, copy, Context, Environment);
    ExFreePoolWithTag(copy, SUP_TAG);
    return status;
}
