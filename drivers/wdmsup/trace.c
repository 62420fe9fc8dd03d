/* SPDX-License-Identifier: Apache-2.0
 *
 * trace.c - event tracing and WMI: registered with nobody, and enabled by
 * nobody.  Any IRQL, as far as the real ones take any.
 *
 * The answers are those of a system on which no session listens: providers
 * register, nothing is enabled, and what is written is gone.
 */
#include "wdmsup.h"

#include <stdarg.h>

NTSTATUS NTAPI SupEtwRegister(const GUID *Provider, PVOID Callback, PVOID Context, PULONGLONG Handle);
NTSTATUS NTAPI SupEtwUnregister(ULONGLONG Handle);
NTSTATUS NTAPI SupEtwSetInformation(ULONGLONG Handle, ULONG Class, PVOID Information, ULONG Length);
BOOLEAN NTAPI SupEtwEventEnabled(ULONGLONG Handle, const VOID *Event);
BOOLEAN NTAPI SupEtwProviderEnabled(ULONGLONG Handle, UCHAR Level, ULONGLONG Keyword);
NTSTATUS NTAPI SupEtwWrite(ULONGLONG Handle, const VOID *Event, const GUID *Activity, ULONG Count, PVOID Data);
NTSTATUS NTAPI SupEtwWriteEx(ULONGLONG Handle, const VOID *Event, ULONGLONG Filter, ULONG Flags,
                             const GUID *Activity, const GUID *Related, ULONG Count, PVOID Data);
NTSTATUS NTAPI SupEtwWriteString(ULONGLONG Handle, UCHAR Level, ULONGLONG Keyword, const GUID *Activity,
                                 PCWSTR String);
NTSTATUS NTAPI SupEtwWriteTransfer(ULONGLONG Handle, const VOID *Event, const GUID *Activity, const GUID *Related,
                                   ULONG Count, PVOID Data);
NTSTATUS NTAPI SupEtwActivityIdControl(ULONG Code, GUID *Activity);
NTSTATUS __cdecl SupWmiTraceMessage(ULONGLONG Logger, ULONG Flags, const GUID *Message, USHORT Number, ...);
NTSTATUS NTAPI SupWmiTraceMessageVa(ULONGLONG Logger, ULONG Flags, const GUID *Message, USHORT Number,
                                    va_list Arguments);
NTSTATUS NTAPI SupWmiQueryTraceInformation(ULONG Class, PVOID Information, ULONG Length, PULONG Needed,
                                           PVOID Buffer);
NTSTATUS NTAPI SupIoWMIRegistrationControl(PDEVICE_OBJECT Device, ULONG Action);
NTSTATUS NTAPI SupIoWMIWriteEvent(PVOID Event);
NTSTATUS NTAPI SupIoWMIAllocateInstanceIds(GUID *Guid, ULONG Count, PULONG First);
NTSTATUS NTAPI SupExUuidCreate(UUID *Uuid);

/* PASSIVE_LEVEL.  A handle that is not zero: some drivers take zero for one that is not registered. */
NTSTATUS NTAPI SupEtwRegister(const GUID *Provider, PVOID Callback, PVOID Context, PULONGLONG Handle)
{
    static volatile LONG last;

    UNREFERENCED_PARAMETER(Callback);
    UNREFERENCED_PARAMETER(Context);
    if (!Provider || !Handle)
        return STATUS_INVALID_PARAMETER;
    *Handle = (ULONG)InterlockedIncrement(&last);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI SupEtwUnregister(ULONGLONG Handle)
{
    return Handle ? STATUS_SUCCESS : STATUS_INVALID_HANDLE;
}

NTSTATUS NTAPI SupEtwSetInformation(ULONGLONG Handle, ULONG Class, PVOID Information, ULONG Length)
{
    UNREFERENCED_PARAMETER(Class);
    UNREFERENCED_PARAMETER(Information);
    UNREFERENCED_PARAMETER(Length);
    return Handle ? STATUS_SUCCESS : STATUS_INVALID_HANDLE;
}

BOOLEAN NTAPI SupEtwEventEnabled(ULONGLONG Handle, const VOID *Event)
{
    UNREFERENCED_PARAMETER(Handle);
    UNREFERENCED_PARAMETER(Event);
    return FALSE;
}

BOOLEAN NTAPI SupEtwProviderEnabled(ULONGLONG Handle, UCHAR Level, ULONGLONG Keyword)
{
    UNREFERENCED_PARAMETER(Handle);
    UNREFERENCED_PARAMETER(Level);
    UNREFERENCED_PARAMETER(Keyword);
    return FALSE;
}

NTSTATUS NTAPI SupEtwWrite(ULONGLONG Handle, const VOID *Event, const GUID *Activity, ULONG Count, PVOID Data)
{
    return SupEtwWriteTransfer(Handle, Event, Activity, NULL, Count, Data);
}

NTSTATUS NTAPI SupEtwWriteEx(ULONGLONG Handle, const VOID *Event, ULONGLONG Filter, ULONG Flags,
                             const GUID *Activity, const GUID *Related, ULONG Count, PVOID Data)
{
    UNREFERENCED_PARAMETER(Filter);
    UNREFERENCED_PARAMETER(Flags);
    return SupEtwWriteTransfer(Handle, Event, Activity, Related, Count, Data);
}

NTSTATUS NTAPI SupEtwWriteString(ULONGLONG Handle, UCHAR Level, ULONGLONG Keyword, const GUID *Activity,
                                 PCWSTR String)
{
    UNREFERENCED_PARAMETER(Level);
    UNREFERENCED_PARAMETER(Keyword);
    UNREFERENCED_PARAMETER(Activity);
    UNREFERENCED_PARAMETER(String);
    return Handle ? STATUS_SUCCESS : STATUS_INVALID_HANDLE;
}

NTSTATUS NTAPI SupEtwWriteTransfer(ULONGLONG Handle, const VOID *Event, const GUID *Activity, const GUID *Related,
                                   ULONG Count, PVOID Data)
{
    UNREFERENCED_PARAMETER(Activity);
    UNREFERENCED_PARAMETER(Related);
    if (!Handle)
        return STATUS_INVALID_HANDLE;
    return !Event || (Count && !Data) ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
}

/* Get, set, create, get and set, create and set (1 to 5) the activity; one for all threads here. */
NTSTATUS NTAPI SupEtwActivityIdControl(ULONG Code, GUID *Activity)
{
    static SUP_LOCK lock;
    static GUID current;
    NTSTATUS status = STATUS_SUCCESS;
    GUID given;

    if (!Activity || Code < 1 || Code > 5)
        return STATUS_INVALID_PARAMETER;
    RtlAcquireSRWLockExclusive(&lock);
    given = *Activity;
    if (Code == 1 || Code == 4 || Code == 5)
        *Activity = current;
    if (Code == 2 || Code == 4)
        current = given;
    if (Code == 3)
        status = SupExUuidCreate(Activity);
    if (Code == 5)
        status = SupExUuidCreate(&current);
    RtlReleaseSRWLockExclusive(&lock);
    return status;
}

NTSTATUS __cdecl SupWmiTraceMessage(ULONGLONG Logger, ULONG Flags, const GUID *Message, USHORT Number, ...)
{
    UNREFERENCED_PARAMETER(Logger);
    UNREFERENCED_PARAMETER(Flags);
    UNREFERENCED_PARAMETER(Message);
    UNREFERENCED_PARAMETER(Number);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI SupWmiTraceMessageVa(ULONGLONG Logger, ULONG Flags, const GUID *Message, USHORT Number,
                                    va_list Arguments)
{
    UNREFERENCED_PARAMETER(Logger);
    UNREFERENCED_PARAMETER(Flags);
    UNREFERENCED_PARAMETER(Message);
    UNREFERENCED_PARAMETER(Number);
    UNREFERENCED_PARAMETER(Arguments);
    return STATUS_SUCCESS;
}

/* There is no logger that could be asked about. */
NTSTATUS NTAPI SupWmiQueryTraceInformation(ULONG Class, PVOID Information, ULONG Length, PULONG Needed,
                                           PVOID Buffer)
{
    UNREFERENCED_PARAMETER(Class);
    UNREFERENCED_PARAMETER(Information);
    UNREFERENCED_PARAMETER(Length);
    UNREFERENCED_PARAMETER(Buffer);
    if (Needed)
        *Needed = 0;
    return STATUS_NOT_FOUND;
}

NTSTATUS NTAPI SupIoWMIRegistrationControl(PDEVICE_OBJECT Device, ULONG Action)
{
    UNREFERENCED_PARAMETER(Device);
    return (Action & 0x7FFFFFFF) >= 1 && (Action & 0x7FFFFFFF) <= 5 ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

/* Success means that the event's memory is WMI's, which frees it. */
NTSTATUS NTAPI SupIoWMIWriteEvent(PVOID Event)
{
    if (!Event)
        return STATUS_INVALID_PARAMETER;
    ExFreePool(Event);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI SupIoWMIAllocateInstanceIds(GUID *Guid, ULONG Count, PULONG First)
{
    static volatile LONG next;

    if (!Guid || !First)
        return STATUS_INVALID_PARAMETER;
    *First = (ULONG)InterlockedExchangeAdd(&next, (LONG)Count);
    return STATUS_SUCCESS;
}

NTSYSAPI ULONG NTAPI RtlRandom(PULONG Seed);

/* A random one (version 4). */
NTSTATUS NTAPI SupExUuidCreate(UUID *Uuid)
{
    static volatile LONG turn;
    ULONG seed = (ULONG)kshs_now_ns() ^ (ULONG)InterlockedIncrement(&turn) << 24;
    PUCHAR bytes = (PUCHAR)Uuid;
    ULONG i;

    for (i = 0; i < sizeof(*Uuid); i++)
        bytes[i] = (UCHAR)(RtlRandom(&seed) >> 11);
    Uuid->Data3 = (USHORT)((Uuid->Data3 & 0x0FFF) | 0x4000);
    Uuid->Data4[0] = (UCHAR)((Uuid->Data4[0] & 0x3F) | 0x80);
    return STATUS_SUCCESS;
}
