/* SPDX-License-Identifier: Apache-2.0
 *
 * keys.c - registry and files.
 */
#include "calls.h"

#define PLACE L"\\Registry\\Machine\\SOFTWARE\\KshsCalls"

static UNICODE_STRING Number = RTL_CONSTANT_STRING(L"Number"), Nothing = RTL_CONSTANT_STRING(L"Nothing");
static DECLSPEC_ALIGN(8) UCHAR Buffer[256];
static ULONG Length;

static NTSTATUS Open(PHANDLE Key, PCWSTR Path, BOOLEAN Create)
{
    OBJECT_ATTRIBUTES attributes;
    UNICODE_STRING name;
    ULONG disposition;

    RtlInitUnicodeString(&name, Path);
    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    if (Create)
        return ZwCreateKey(Key, KEY_ALL_ACCESS, &attributes, 0, NULL, REG_OPTION_VOLATILE, &disposition);
    return ZwOpenKey(Key, KEY_ALL_ACCESS, &attributes);
}

/* The key, with the number 7 in it. */
static HANDLE Filled(VOID)
{
    HANDLE key = NULL;
    ULONG seven = 7;

    (void)Open(&key, PLACE, TRUE);
    (void)ZwSetValueKey(key, &Number, 0, REG_DWORD, &seven, sizeof(seven));
    return key;
}

PROBE(Probe_ZwCreateKey)
{
    HANDLE key = NULL;

    EXPECT(Open(&key, PLACE, TRUE) == STATUS_SUCCESS && key, "fails");
    (void)ZwClose(key);
}

PROBE(Probe_ZwOpenKey)
{
    HANDLE key = NULL;

    (void)ZwClose(Filled());
    EXPECT(Open(&key, PLACE, FALSE) == STATUS_SUCCESS, "fails");
    (void)ZwClose(key);
    EXPECT(Open(&key, PLACE L"Not", FALSE) == (NTSTATUS)STATUS_OBJECT_NAME_NOT_FOUND, "opens what there is not");
}

PROBE(Probe_ZwSetValueKey)
{
    HANDLE key = Filled();
    ULONG eight = 8;

    EXPECT(ZwSetValueKey(key, &Number, 0, REG_DWORD, &eight, sizeof(eight)) == STATUS_SUCCESS, "fails");
    (void)ZwClose(key);
}

PROBE(Probe_ZwQueryValueKey)
{
    PKEY_VALUE_PARTIAL_INFORMATION value = (PKEY_VALUE_PARTIAL_INFORMATION)(PVOID)Buffer;
    HANDLE key = Filled();

    EXPECT(ZwQueryValueKey(key, &Number, KeyValuePartialInformation, value, sizeof(Buffer), &Length) ==
                   STATUS_SUCCESS && value->Type == REG_DWORD && value->DataLength == 4 && value->Data[0] == 7,
           "answers another value");
    EXPECT(ZwQueryValueKey(key, &Nothing, KeyValuePartialInformation, value, sizeof(Buffer), &Length) ==
               (NTSTATUS)STATUS_OBJECT_NAME_NOT_FOUND, "finds what there is not");
    EXPECT(ZwQueryValueKey(key, &Number, KeyValuePartialInformation, value, 0, &Length) ==
               (NTSTATUS)STATUS_BUFFER_TOO_SMALL && Length == 16, "does not say how much is needed");
    (void)ZwClose(key);
}

PROBE(Probe_ZwEnumerateValueKey)
{
    HANDLE key = Filled();

    EXPECT(ZwEnumerateValueKey(key, 0, KeyValueBasicInformation, Buffer, sizeof(Buffer), &Length) == STATUS_SUCCESS,
           "fails");
    EXPECT(ZwEnumerateValueKey(key, 1, KeyValueBasicInformation, Buffer, sizeof(Buffer), &Length) ==
               (NTSTATUS)STATUS_NO_MORE_ENTRIES, "does not end");
    (void)ZwClose(key);
}

PROBE(Probe_ZwEnumerateKey)
{
    HANDLE key = Filled(), below = NULL;

    (void)Open(&below, PLACE L"\\Below", TRUE);
    EXPECT(ZwEnumerateKey(key, 0, KeyBasicInformation, Buffer, sizeof(Buffer), &Length) == STATUS_SUCCESS, "fails");
    EXPECT(ZwEnumerateKey(key, 1, KeyBasicInformation, Buffer, sizeof(Buffer), &Length) ==
               (NTSTATUS)STATUS_NO_MORE_ENTRIES, "does not end");
    (void)ZwDeleteKey(below);
    (void)ZwClose(below);
    (void)ZwClose(key);
}

PROBE(Probe_ZwDeleteKey)
{
    HANDLE key = NULL;

    (void)Open(&key, PLACE L"\\Gone", TRUE);
    EXPECT(ZwDeleteKey(key) == STATUS_SUCCESS, "fails");
    (void)ZwClose(key);
    EXPECT(!NT_SUCCESS(Open(&key, PLACE L"\\Gone", FALSE)), "leaves the key there");
}

PROBE(Probe_RtlQueryRegistryValues)
{
    static RTL_QUERY_REGISTRY_TABLE table[2];
    ULONG number = 0;

    (void)ZwClose(Filled());
    RtlZeroMemory(table, sizeof(table));
    table[0].Flags = RTL_QUERY_REGISTRY_DIRECT | RTL_QUERY_REGISTRY_REQUIRED;
    table[0].Name = Number.Buffer;
    table[0].EntryContext = &number;
    table[0].DefaultType = REG_NONE;
    EXPECT(RtlQueryRegistryValues(RTL_REGISTRY_ABSOLUTE, PLACE, table, NULL, NULL) == STATUS_SUCCESS && number == 7,
           "reads another value");
    table[0].Name = Nothing.Buffer;
    EXPECT(!NT_SUCCESS(RtlQueryRegistryValues(RTL_REGISTRY_ABSOLUTE, PLACE, table, NULL, NULL)),
           "succeeds though a value that must be there is not");
}

PROBE(QueryDefault)
{
    static RTL_QUERY_REGISTRY_TABLE table[2];
    ULONG number = 0, standard = 9;

    (void)ZwClose(Filled());
    RtlZeroMemory(table, sizeof(table));
    table[0].Flags = RTL_QUERY_REGISTRY_DIRECT;
    table[0].Name = Nothing.Buffer;
    table[0].EntryContext = &number;
    table[0].DefaultType = REG_DWORD;
    table[0].DefaultData = &standard;
    table[0].DefaultLength = sizeof(standard);
    EXPECT(RtlQueryRegistryValues(RTL_REGISTRY_ABSOLUTE, PLACE, table, NULL, NULL) == STATUS_SUCCESS && number == 9,
           "does not take the default");
}

PROBE(QueryOptional)
{
    static RTL_QUERY_REGISTRY_TABLE table[3];
    ULONG nothing = 5, number = 0;

    (void)ZwClose(Filled());
    RtlZeroMemory(table, sizeof(table));
    table[0].Flags = table[1].Flags = RTL_QUERY_REGISTRY_DIRECT;
    table[0].Name = Nothing.Buffer;
    table[0].EntryContext = &nothing;
    table[1].Name = Number.Buffer;
    table[1].EntryContext = &number;
    EXPECT(RtlQueryRegistryValues(RTL_REGISTRY_ABSOLUTE, PLACE, table, NULL, NULL) == STATUS_SUCCESS && number == 7,
           "fails for a value that need not be there");
    EXPECT(nothing == 5, "changes what stands for a value that is not there");
    EXPECT(!NT_SUCCESS(RtlQueryRegistryValues(RTL_REGISTRY_ABSOLUTE, PLACE L"\\Nowhere", table, NULL, NULL)),
           "succeeds for a key that is not there");
}

PROBE(QueryDefaultText)
{
    static RTL_QUERY_REGISTRY_TABLE table[3];
    UNICODE_STRING text = { 0, 0, NULL }, own = RTL_CONSTANT_STRING(L"own");
    ULONG number = 0, standard = 9;

    (void)ZwClose(Filled());
    RtlZeroMemory(table, sizeof(table));
    table[0].Flags = table[1].Flags = RTL_QUERY_REGISTRY_DIRECT;
    table[0].Name = Nothing.Buffer;
    table[0].EntryContext = &text;
    table[0].DefaultType = REG_SZ;
    table[0].DefaultData = own.Buffer;
    table[1].Name = Number.Buffer;
    table[1].EntryContext = &number;
    table[1].DefaultType = REG_DWORD;
    table[1].DefaultData = &standard;
    table[1].DefaultLength = sizeof(standard);
    EXPECT(RtlQueryRegistryValues(RTL_REGISTRY_ABSOLUTE, PLACE, table, NULL, NULL) == STATUS_SUCCESS &&
               RtlEqualUnicodeString(&text, &own, FALSE), "does not take the default");
    EXPECT(number == 7, "takes the default of a value that is there");
    RtlFreeUnicodeString(&text);
}

PROBE(Probe_RtlWriteRegistryValue)
{
    ULONG five = 5;

    EXPECT(RtlWriteRegistryValue(RTL_REGISTRY_ABSOLUTE, PLACE, L"Five", REG_DWORD, &five, sizeof(five)) ==
               STATUS_SUCCESS, "fails");
    EXPECT(RtlDeleteRegistryValue(RTL_REGISTRY_ABSOLUTE, PLACE, L"Five") == STATUS_SUCCESS, "writes nothing");
}

PROBE(Probe_RtlCheckRegistryKey)
{
    (void)ZwClose(Filled());
    EXPECT(RtlCheckRegistryKey(RTL_REGISTRY_ABSOLUTE, (PWSTR)(ULONG_PTR)PLACE) == STATUS_SUCCESS,
           "does not find what there is");
    EXPECT(!NT_SUCCESS(RtlCheckRegistryKey(RTL_REGISTRY_ABSOLUTE, (PWSTR)(ULONG_PTR)PLACE L"Not")),
           "finds what there is not");
}

/* ---- files -------------------------------------------------------------------------------------- */

static HANDLE File(PCWSTR Path, ACCESS_MASK Access, ULONG Disposition, NTSTATUS *Status)
{
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK block;
    UNICODE_STRING name;
    HANDLE file = NULL;

    RtlInitUnicodeString(&name, Path);
    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    *Status = ZwCreateFile(&file, Access | SYNCHRONIZE, &attributes, &block, NULL, FILE_ATTRIBUTE_NORMAL,
                           FILE_SHARE_READ | FILE_SHARE_WRITE, Disposition, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
    return file;
}

PROBE(Probe_ZwCreateFile)
{
    NTSTATUS status;

    (void)File(L"\\??\\C:\\kshs\\calls.none", FILE_READ_DATA, FILE_OPEN, &status);
    EXPECT(status == (NTSTATUS)STATUS_OBJECT_NAME_NOT_FOUND, "opens what there is not");
    (void)ZwClose(File(L"\\??\\C:\\kshs\\calls.file", FILE_WRITE_DATA, FILE_OVERWRITE_IF, &status));
    EXPECT(status == STATUS_SUCCESS, "fails");
}

PROBE(Probe_ZwReadFile)
{
    LARGE_INTEGER start = { .QuadPart = 0 };
    IO_STATUS_BLOCK block;
    NTSTATUS status;
    HANDLE file = File(L"\\??\\C:\\kshs\\calls.file", FILE_WRITE_DATA | FILE_READ_DATA, FILE_OVERWRITE_IF, &status);

    EXPECT(ZwWriteFile(file, NULL, NULL, NULL, &block, "text", 4, &start, NULL) == STATUS_SUCCESS &&
               block.Information == 4, "has nothing to read");
    EXPECT(ZwReadFile(file, NULL, NULL, NULL, &block, Buffer, sizeof(Buffer), &start, NULL) == STATUS_SUCCESS &&
               block.Information == 4 && Buffer[3] == 't', "reads something else");
    start.QuadPart = 4;
    EXPECT(ZwReadFile(file, NULL, NULL, NULL, &block, Buffer, sizeof(Buffer), &start, NULL) ==
               (NTSTATUS)STATUS_END_OF_FILE, "does not answer STATUS_END_OF_FILE");
    (void)ZwClose(file);
}

PROBE(Probe_ZwWriteFile)
{
    IO_STATUS_BLOCK block;
    NTSTATUS status;
    HANDLE file = File(L"\\??\\C:\\kshs\\calls.file", FILE_WRITE_DATA, FILE_OVERWRITE_IF, &status);

    EXPECT(ZwWriteFile(file, NULL, NULL, NULL, &block, "text", 4, NULL, NULL) == STATUS_SUCCESS &&
               block.Information == 4, "fails");
    (void)ZwClose(file);
}

PROBE(Probe_ZwQueryInformationFile)
{
    FILE_STANDARD_INFORMATION standard;
    IO_STATUS_BLOCK block;
    NTSTATUS status;
    HANDLE file = File(L"\\??\\C:\\kshs\\calls.file", FILE_WRITE_DATA | FILE_READ_ATTRIBUTES, FILE_OVERWRITE_IF,
                       &status);

    (void)ZwWriteFile(file, NULL, NULL, NULL, &block, "text", 4, NULL, NULL);
    EXPECT(ZwQueryInformationFile(file, &block, &standard, sizeof(standard), FileStandardInformation) ==
               STATUS_SUCCESS && standard.EndOfFile.QuadPart == 4, "answers another length");
    (void)ZwClose(file);
}

const PROBE KeyProbes[] = {
    P(ZwCreateKey), P(ZwOpenKey), P(ZwSetValueKey), P(ZwQueryValueKey), P(ZwEnumerateValueKey), P(ZwEnumerateKey),
    P(ZwDeleteKey), P(RtlQueryRegistryValues), CASE(RtlQueryRegistryValues, "with a default", QueryDefault),
    CASE(RtlQueryRegistryValues, "with a text by default", QueryDefaultText),
    CASE(RtlQueryRegistryValues, "for a value that is not there", QueryOptional),
    P(RtlWriteRegistryValue), P(RtlCheckRegistryKey), P(ZwCreateFile), P(ZwReadFile), P(ZwWriteFile),
    P(ZwQueryInformationFile), ENDS
};
