/* SPDX-License-Identifier: Apache-2.0
 *
 * ntstrsafe.h - mingw-w64's, and what it lacks: the functions of counted strings, as their
 * reference pages have them ("Safe String Functions for Unicode Strings").
 */
#ifndef KSHS_COMPAT_NTSTRSAFE_H
#define KSHS_COMPAT_NTSTRSAFE_H

#include_next <ntstrsafe.h>

#ifndef NTSTRSAFE_UNICODE_STRING_MAX_CCH
#define NTSTRSAFE_UNICODE_STRING_MAX_CCH 32767

#ifdef __cplusplus
extern "C" {
#endif

int __cdecl _vsnwprintf(wchar_t *, size_t, const wchar_t *, va_list);

/* A text of up to so many characters; FALSE: it is longer. */
static __inline BOOLEAN kshs_text_length(PCWSTR Text, ULONG Most, ULONG *Length)
{
    for (*Length = 0; Text && *Length <= Most && Text[*Length]; ++*Length)
        ;
    return *Length <= Most;
}

static __inline NTSTATUS kshs_append(PUNICODE_STRING To, ULONG At, PCWSTR Text, ULONG Length)
{
    ULONG room = To->MaximumLength / sizeof(WCHAR) - At;
    ULONG fits = Length < room ? Length : room;

    if (fits)
        RtlMoveMemory(To->Buffer + At, Text, fits * sizeof(WCHAR));
    To->Length = (USHORT)((At + fits) * sizeof(WCHAR));
    return fits < Length ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
}

static __inline NTSTATUS RtlUnicodeStringInit(PUNICODE_STRING To, PCWSTR Text)
{
    ULONG length;

    To->Length = To->MaximumLength = 0;
    To->Buffer = NULL;
    if (!kshs_text_length(Text, NTSTRSAFE_UNICODE_STRING_MAX_CCH - 1, &length))
        return STATUS_INVALID_PARAMETER;
    if (Text) {
        To->Buffer = (PWSTR)Text;
        To->Length = (USHORT)(length * sizeof(WCHAR));
        To->MaximumLength = (USHORT)(To->Length + sizeof(WCHAR));
    }
    return STATUS_SUCCESS;
}

static __inline NTSTATUS RtlUnicodeStringValidate(PCUNICODE_STRING String)
{
    return String->Length % sizeof(WCHAR) || String->MaximumLength % sizeof(WCHAR) ||
                   String->Length > String->MaximumLength || (!String->Buffer && String->MaximumLength)
               ? STATUS_INVALID_PARAMETER
               : STATUS_SUCCESS;
}

static __inline NTSTATUS RtlUnicodeStringCopy(PUNICODE_STRING To, PCUNICODE_STRING From)
{
    return kshs_append(To, 0, From->Buffer, From->Length / sizeof(WCHAR));
}

static __inline NTSTATUS RtlUnicodeStringCat(PUNICODE_STRING To, PCUNICODE_STRING From)
{
    return kshs_append(To, To->Length / sizeof(WCHAR), From->Buffer, From->Length / sizeof(WCHAR));
}

static __inline NTSTATUS RtlUnicodeStringCopyString(PUNICODE_STRING To, PCWSTR Text)
{
    ULONG length;

    if (!kshs_text_length(Text, NTSTRSAFE_UNICODE_STRING_MAX_CCH, &length))
        return STATUS_INVALID_PARAMETER;
    return kshs_append(To, 0, Text, length);
}

static __inline NTSTATUS RtlUnicodeStringCatString(PUNICODE_STRING To, PCWSTR Text)
{
    ULONG length;

    if (!kshs_text_length(Text, NTSTRSAFE_UNICODE_STRING_MAX_CCH, &length))
        return STATUS_INVALID_PARAMETER;
    return kshs_append(To, To->Length / sizeof(WCHAR), Text, length);
}

static __inline NTSTATUS RtlUnicodeStringVPrintf(PUNICODE_STRING To, PCWSTR Format, va_list Arguments)
{
    ULONG room = To->MaximumLength / sizeof(WCHAR);
    int length = room ? _vsnwprintf(To->Buffer, room, Format, Arguments) : -1;

    To->Length = (USHORT)((length < 0 || (ULONG)length > room ? room : (ULONG)length) * sizeof(WCHAR));
    return length < 0 || (ULONG)length > room ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
}

static __inline NTSTATUS RtlUnicodeStringPrintf(PUNICODE_STRING To, PCWSTR Format, ...)
{
    NTSTATUS status;
    va_list arguments;

    va_start(arguments, Format);
    status = RtlUnicodeStringVPrintf(To, Format, arguments);
    va_end(arguments);
    return status;
}

#ifdef __cplusplus
}
#endif

#endif
#endif
