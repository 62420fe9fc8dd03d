/* SPDX-License-Identifier: Apache-2.0
 *
 * text.c - strings, bitmaps, versions, and lists under locks.
 */
#include "calls.h"

#define TEXT_OF(string, text) (RtlCompareMemory((string).Buffer, text, sizeof(text) - 2) == sizeof(text) - 2 && \
                               (string).Length == sizeof(text) - 2)

static WCHAR Buffer[64];

static UNICODE_STRING Empty(USHORT Bytes)
{
    UNICODE_STRING string = { 0, Bytes, Buffer };

    return string;
}

PROBE(Probe_RtlInitUnicodeString)
{
    UNICODE_STRING string;

    RtlInitUnicodeString(&string, L"pin");
    EXPECT(string.Length == 6 && string.MaximumLength == 8, "makes another length");
    RtlInitUnicodeString(&string, NULL);
    EXPECT(string.Length == 0 && !string.Buffer, "does not take NULL");
}

PROBE(Probe_RtlCopyUnicodeString)
{
    UNICODE_STRING from = RTL_CONSTANT_STRING(L"pin"), to = Empty(4);

    RtlCopyUnicodeString(&to, &from);
    EXPECT(TEXT_OF(to, L"pi"), "does not cut what does not fit");
}

PROBE(Probe_RtlAppendUnicodeToString)
{
    UNICODE_STRING string = Empty(8);

    EXPECT(RtlAppendUnicodeToString(&string, L"pin") == STATUS_SUCCESS && TEXT_OF(string, L"pin"), "does not append");
    EXPECT(RtlAppendUnicodeToString(&string, L"pin") == STATUS_BUFFER_TOO_SMALL && TEXT_OF(string, L"pin"),
           "appends what does not fit");
}

PROBE(Probe_RtlAppendUnicodeStringToString)
{
    UNICODE_STRING string = Empty(8), more = RTL_CONSTANT_STRING(L"pi");

    EXPECT(RtlAppendUnicodeStringToString(&string, &more) == STATUS_SUCCESS && TEXT_OF(string, L"pi"),
           "does not append");
    (void)RtlAppendUnicodeStringToString(&string, &more);
    EXPECT(RtlAppendUnicodeStringToString(&string, &more) == STATUS_BUFFER_TOO_SMALL, "appends what does not fit");
}

PROBE(Probe_RtlCompareUnicodeString)
{
    UNICODE_STRING one = RTL_CONSTANT_STRING(L"pinA"), two = RTL_CONSTANT_STRING(L"PINa");

    EXPECT(RtlCompareUnicodeString(&one, &two, TRUE) == 0, "tells cases apart that it is told to ignore");
    EXPECT(RtlCompareUnicodeString(&one, &two, FALSE) > 0, "does not tell cases apart");
}

PROBE(Probe_RtlEqualUnicodeString)
{
    UNICODE_STRING one = RTL_CONSTANT_STRING(L"pin"), two = RTL_CONSTANT_STRING(L"PIN");

    EXPECT(RtlEqualUnicodeString(&one, &two, TRUE) && !RtlEqualUnicodeString(&one, &two, FALSE),
           "compares in another way");
}

PROBE(Probe_RtlPrefixUnicodeString)
{
    UNICODE_STRING one = RTL_CONSTANT_STRING(L"PI"), two = RTL_CONSTANT_STRING(L"pin");

    EXPECT(RtlPrefixUnicodeString(&one, &two, TRUE) && !RtlPrefixUnicodeString(&one, &two, FALSE) &&
               !RtlPrefixUnicodeString(&two, &one, TRUE), "compares in another way");
}

PROBE(Probe_RtlUpcaseUnicodeString)
{
    UNICODE_STRING from = RTL_CONSTANT_STRING(L"pin1"), to;

    EXPECT(RtlUpcaseUnicodeString(&to, &from, TRUE) == STATUS_SUCCESS && TEXT_OF(to, L"PIN1"), "makes another text");
    RtlFreeUnicodeString(&to);
    EXPECT(!to.Buffer, "makes what RtlFreeUnicodeString does not clear");
}

PROBE(Probe_RtlAnsiStringToUnicodeString)
{
    ANSI_STRING from = RTL_CONSTANT_STRING("pin");
    UNICODE_STRING to = Empty(4);

    EXPECT(RtlAnsiStringToUnicodeString(&to, &from, FALSE) == (NTSTATUS)STATUS_BUFFER_OVERFLOW,
           "does not answer STATUS_BUFFER_OVERFLOW for what does not fit");
    to = Empty(8);
    EXPECT(RtlAnsiStringToUnicodeString(&to, &from, FALSE) == STATUS_SUCCESS && TEXT_OF(to, L"pin"),
           "makes another text");
}

PROBE(Probe_RtlUnicodeStringToAnsiString)
{
    UNICODE_STRING from = RTL_CONSTANT_STRING(L"pin");
    ANSI_STRING to;

    EXPECT(RtlUnicodeStringToAnsiString(&to, &from, TRUE) == STATUS_SUCCESS && to.Length == 3 && to.Buffer[2] == 'n',
           "makes another text");
    RtlFreeAnsiString(&to);
}

PROBE(Probe_RtlIntegerToUnicodeString)
{
    UNICODE_STRING string = Empty(sizeof(Buffer));

    EXPECT(RtlIntegerToUnicodeString(4711, 10, &string) == STATUS_SUCCESS && TEXT_OF(string, L"4711"),
           "makes another text");
    string = Empty(4);
    EXPECT(RtlIntegerToUnicodeString(4711, 10, &string) == (NTSTATUS)STATUS_BUFFER_OVERFLOW,
           "does not answer STATUS_BUFFER_OVERFLOW for what does not fit");
}

PROBE(Probe_RtlUnicodeStringToInteger)
{
    UNICODE_STRING string = RTL_CONSTANT_STRING(L"0x1F");
    ULONG value = 0;

    EXPECT(RtlUnicodeStringToInteger(&string, 0, &value) == STATUS_SUCCESS && value == 31, "reads another number");
}

static const GUID Id = { 0x12345678, 0x9ABC, 0xDEF0, { 1, 2, 3, 4, 5, 6, 7, 8 } };

PROBE(Probe_RtlStringFromGUID)
{
    UNICODE_STRING string;

    EXPECT(RtlStringFromGUID(&Id, &string) == STATUS_SUCCESS &&
               TEXT_OF(string, L"{12345678-9ABC-DEF0-0102-030405060708}"), "makes another text");
    RtlFreeUnicodeString(&string);
}

PROBE(Probe_RtlGUIDFromString)
{
    UNICODE_STRING string = RTL_CONSTANT_STRING(L"{12345678-9abc-def0-0102-030405060708}");
    UNICODE_STRING wrong = RTL_CONSTANT_STRING(L"{12345678-9abc-def0-0102-03040506070}");
    GUID id;

    EXPECT(RtlGUIDFromString(&string, &id) == STATUS_SUCCESS && RtlCompareMemory(&id, &Id, 16) == 16,
           "reads another GUID");
    EXPECT(RtlGUIDFromString(&wrong, &id) == STATUS_INVALID_PARAMETER, "takes what is no GUID");
}

PROBE(Probe_RtlHashUnicodeString)
{
    UNICODE_STRING one = RTL_CONSTANT_STRING(L"pin"), two = RTL_CONSTANT_STRING(L"PIN");
    ULONG first = 1, second = 2;

    EXPECT(RtlHashUnicodeString(&one, TRUE, HASH_STRING_ALGORITHM_DEFAULT, &first) == STATUS_SUCCESS &&
               RtlHashUnicodeString(&two, TRUE, HASH_STRING_ALGORITHM_DEFAULT, &second) == STATUS_SUCCESS &&
               first == second, "makes different numbers of equal names");
}

PROBE(Probe_RtlCompareMemory)
{
    EXPECT((RtlCompareMemory)("abcd", "abXd", 4) == 2, "counts otherwise");
}

PROBE(Probe__snwprintf)
{
    extern int __cdecl _snwprintf(WCHAR *, size_t, const WCHAR *, ...);

    EXPECT(_snwprintf(Buffer, 64, L"%ws-%d-%08X", L"pin", -3, 0xABCu) == 15 && Buffer[14] == L'C',
           "makes another text");
    EXPECT(_snwprintf(Buffer, 3, L"%ws", L"pinpin") == -1, "does not answer -1 for what does not fit");
}

PROBE(Probe__vsnwprintf)
{
    extern int __cdecl _vsnwprintf(WCHAR *, size_t, const WCHAR *, va_list);
    va_list none;

    RtlZeroMemory(&none, sizeof(none));
    EXPECT(_vsnwprintf(Buffer, 64, L"pin", none) == 3 && Buffer[2] == L'n' && !Buffer[3], "makes another text");
}

PROBE(Probe__wcsnicmp)
{
    extern int __cdecl _wcsnicmp(const WCHAR *, const WCHAR *, size_t);

    EXPECT(_wcsnicmp(L"PINa", L"pinb", 3) == 0 && _wcsnicmp(L"PINa", L"pinb", 4) < 0, "compares in another way");
}

PROBE(Probe_DbgPrint)
{
    EXPECT((DbgPrint)("kshs: %s %d\n", "calls", 1) == STATUS_SUCCESS, "fails");
}

/* ---- bitmaps, versions, numbers ----------------------------------------------------------------- */

PROBE(Probe_RtlInitializeBitMap)
{
    static ULONG bits[2];
    RTL_BITMAP map;

    bits[0] = bits[1] = 0;
    RtlInitializeBitMap(&map, bits, 64);
    RtlSetBits(&map, 3, 40);
    EXPECT(RtlNumberOfSetBits(&map) == 40 && RtlAreBitsSet(&map, 3, 40) && RtlAreBitsClear(&map, 43, 21),
           "makes a map in which other bits are set");
    RtlClearBits(&map, 10, 2);
    EXPECT(RtlFindClearBits(&map, 2, 4) == 10, "makes a map in which other bits are found");
}

PROBE(Probe_RtlFindClearBitsAndSet)
{
    static ULONG bits[1];
    RTL_BITMAP map;

    bits[0] = 7;
    RtlInitializeBitMap(&map, bits, 32);
    EXPECT(RtlFindClearBitsAndSet(&map, 5, 0) == 3 && bits[0] == 0xFF, "finds or sets other bits");
    EXPECT(RtlFindClearBitsAndSet(&map, 25, 0) == 0xFFFFFFFF, "finds what there is not");
}

PROBE(Probe_RtlGetVersion)
{
    RTL_OSVERSIONINFOEXW version;

    RtlZeroMemory(&version, sizeof(version));
    version.dwOSVersionInfoSize = sizeof(version);
    EXPECT(RtlGetVersion((PRTL_OSVERSIONINFOW)&version) == STATUS_SUCCESS && version.dwMajorVersion >= 6, "fails");
}

PROBE(Probe_IoIsWdmVersionAvailable)
{
    EXPECT((IoIsWdmVersionAvailable)(1, 0x10), "answers FALSE for WDM 1.10");
    EXPECT(!(IoIsWdmVersionAvailable)(200, 0), "answers TRUE for WDM 200");
}

PROBE(Probe_PsGetVersion)
{
    ULONG major = 0, minor = 0, build = 0;

    (void)PsGetVersion(&major, &minor, &build, NULL);
    EXPECT(major >= 5 && build >= 2600, "answers no version");
}

PROBE(Probe_ExUuidCreate)
{
    UUID one, two;

    EXPECT(NT_SUCCESS(ExUuidCreate(&one)) && NT_SUCCESS(ExUuidCreate(&two)), "fails");
    EXPECT(RtlCompareMemory(&one, &two, 16) != 16, "makes the same GUID twice");
}

/* ---- lists under locks -------------------------------------------------------------------------- */

static LIST_ENTRY Head, One, Two;
static KSPIN_LOCK Lock;

PROBE(Probe_ExInterlockedInsertHeadList)
{
    InitializeListHead(&Head);
    EXPECT(!ExInterlockedInsertHeadList(&Head, &One, &Lock), "answers an entry of an empty list");
    EXPECT(ExInterlockedInsertHeadList(&Head, &Two, &Lock) == &One && Head.Flink == &Two,
           "does not answer what was first before");
}

PROBE(Probe_ExInterlockedInsertTailList)
{
    InitializeListHead(&Head);
    EXPECT(!ExInterlockedInsertTailList(&Head, &One, &Lock), "answers an entry of an empty list");
    EXPECT(ExInterlockedInsertTailList(&Head, &Two, &Lock) == &One && Head.Blink == &Two,
           "does not answer what was last before");
}

PROBE(Probe_ExInterlockedRemoveHeadList)
{
    InitializeListHead(&Head);
    InsertTailList(&Head, &One);
    EXPECT(ExInterlockedRemoveHeadList(&Head, &Lock) == &One, "does not answer the first entry");
    EXPECT(!ExInterlockedRemoveHeadList(&Head, &Lock), "does not answer NULL for an empty list");
}

PROBE(Probe_ExInterlockedPushEntryList)
{
    static SINGLE_LIST_ENTRY head, one, two;

    head.Next = NULL;
    EXPECT(!ExInterlockedPushEntryList(&head, &one, &Lock), "answers an entry of an empty list");
    EXPECT(ExInterlockedPushEntryList(&head, &two, &Lock) == &one && head.Next == &two,
           "does not answer what was first before");
}

PROBE(Probe_ExInterlockedPopEntryList)
{
    static SINGLE_LIST_ENTRY head, one;

    head.Next = &one;
    one.Next = NULL;
    EXPECT(ExInterlockedPopEntryList(&head, &Lock) == &one && !ExInterlockedPopEntryList(&head, &Lock),
           "does not answer the first entry, or NULL");
}

static DECLSPEC_ALIGN(16) SLIST_HEADER Sequenced;
static DECLSPEC_ALIGN(16) SLIST_ENTRY First, Second;

PROBE(Probe_ExpInterlockedPushEntrySList)
{
    RtlZeroMemory(&Sequenced, sizeof(Sequenced));
    EXPECT(!ExpInterlockedPushEntrySList(&Sequenced, &First), "answers an entry of an empty list");
    EXPECT(ExpInterlockedPushEntrySList(&Sequenced, &Second) == &First, "does not answer what was first before");
}

PROBE(Probe_ExpInterlockedPopEntrySList)
{
    RtlZeroMemory(&Sequenced, sizeof(Sequenced));
    (void)ExpInterlockedPushEntrySList(&Sequenced, &First);
    EXPECT(ExpInterlockedPopEntrySList(&Sequenced) == &First && !ExpInterlockedPopEntrySList(&Sequenced),
           "does not answer the first entry, or NULL");
}

PROBE(Probe_ExpInterlockedFlushSList)
{
    RtlZeroMemory(&Sequenced, sizeof(Sequenced));
    (void)ExpInterlockedPushEntrySList(&Sequenced, &First);
    (void)ExpInterlockedPushEntrySList(&Sequenced, &Second);
    EXPECT(ExpInterlockedFlushSList(&Sequenced) == &Second && Second.Next == &First, "does not answer the list");
    EXPECT(!ExpInterlockedPopEntrySList(&Sequenced), "leaves an entry in the list");
}

PROBE(Probe_ExQueryDepthSList)
{
    RtlZeroMemory(&Sequenced, sizeof(Sequenced));
    (void)ExpInterlockedPushEntrySList(&Sequenced, &First);
    EXPECT(ExQueryDepthSList(&Sequenced) == 1, "answers another number of entries");
}

const PROBE TextProbes[] = {
    P(RtlInitUnicodeString), P(RtlCopyUnicodeString), P(RtlAppendUnicodeToString), P(RtlAppendUnicodeStringToString),
    P(RtlCompareUnicodeString), P(RtlEqualUnicodeString), P(RtlPrefixUnicodeString), P(RtlUpcaseUnicodeString),
    P(RtlAnsiStringToUnicodeString), P(RtlUnicodeStringToAnsiString), P(RtlIntegerToUnicodeString),
    P(RtlUnicodeStringToInteger), P(RtlStringFromGUID), P(RtlGUIDFromString), P(RtlHashUnicodeString),
    P(RtlCompareMemory), P(_snwprintf), P(_vsnwprintf), P(_wcsnicmp), P(DbgPrint),
    P(RtlInitializeBitMap), P(RtlFindClearBitsAndSet), P(RtlGetVersion), P(IoIsWdmVersionAvailable), P(PsGetVersion),
    P(ExUuidCreate), P(ExInterlockedInsertHeadList), P(ExInterlockedInsertTailList), P(ExInterlockedRemoveHeadList),
    P(ExInterlockedPushEntryList), P(ExInterlockedPopEntryList), P(ExpInterlockedPushEntrySList),
    P(ExpInterlockedPopEntrySList), P(ExpInterlockedFlushSList), P(ExQueryDepthSList), ENDS
};
