/* SPDX-License-Identifier: Apache-2.0
 *
 * notify.c - notifications of Plug and Play: device interfaces that come and go.
 *
 * One thread looks at the classes somebody wants to hear of, some times a second, whoever enables an
 * interface.  Hardware profiles and removals of targets never change here: those routines are not called.
 */
#include "interface.h"

#define PERIOD (-2500000LL)             /* 250 ms, in 100 ns */

typedef struct SEEN {
    struct SEEN *Next;
    ULONG Round;
    WCHAR Link[SUP_LINK_LENGTH];
} SEEN;

typedef struct ENTRY {
    struct ENTRY *Next;
    GUID Class;
    PDRIVER_NOTIFICATION_CALLBACK_ROUTINE Routine;
    PVOID Context;
    SEEN *Seen;
    ULONG Round;
    BOOLEAN Quiet;                      /* what is there already is not told */
    BOOLEAN Gone;                       /* freed by the thread, which may be in it */
} ENTRY;

static SUP_LOCK Lock;                   /* of the list */
static SUP_LOCK Calling;                /* held while routines are called: who unregisters waits for them */
static PETHREAD volatile Caller;        /* but for itself */
static ENTRY *Entries;
static BOOLEAN Started;

NTSTATUS NTAPI SupIoRegisterPlugPlayNotification(IO_NOTIFICATION_EVENT_CATEGORY Category, ULONG Flags, PVOID Data,
                                                 PDRIVER_OBJECT Driver, PDRIVER_NOTIFICATION_CALLBACK_ROUTINE Routine,
                                                 PVOID Context, PVOID *Entry);
NTSTATUS NTAPI SupIoUnregisterPlugPlayNotification(PVOID Entry);
NTSTATUS NTAPI SupIoUnregisterPlugPlayNotificationEx(PVOID Entry);

static VOID Tell(const ENTRY *Entry, const GUID *Event, PWSTR Link)
{
    DEVICE_INTERFACE_CHANGE_NOTIFICATION change;
    UNICODE_STRING name;

    RtlInitUnicodeString(&name, Link);
    change.Version = 1;
    change.Size = sizeof(change);
    change.Event = *Event;
    change.InterfaceClassGuid = Entry->Class;
    change.SymbolicLinkName = &name;
    (void)Entry->Routine(&change, Entry->Context);
}

static NTSTATUS Look(PCWSTR Link, PVOID Context)
{
    static const GUID arrival = { 0xCB3A4004, 0x46F0, 0x11D0, { 0xB0, 0x8F, 0x00, 0x60, 0x97, 0x13, 0x05, 0x3F } };
    ENTRY *entry = Context;
    SEEN *seen = entry->Seen;
    SIZE_T length = wcslen(Link);

    while (seen && _wcsicmp(seen->Link, Link))
        seen = seen->Next;
    if (!seen) {
        if (length >= SUP_LINK_LENGTH)
            return STATUS_SUCCESS;
        seen = kshs_zalloc(sizeof(*seen), SUP_TAG);
        if (!seen)
            return STATUS_INSUFFICIENT_RESOURCES;
        RtlCopyMemory(seen->Link, Link, length * sizeof(WCHAR));
        seen->Next = entry->Seen;
        entry->Seen = seen;
        if (!entry->Quiet && !entry->Gone)
            Tell(entry, &arrival, seen->Link);
    }
    seen->Round = entry->Round;
    return STATUS_SUCCESS;
}

/* What has come and gone since the last time; under Calling. */
static VOID Compare(ENTRY *Entry)
{
    static const GUID removal = { 0xCB3A4005, 0x46F0, 0x11D0, { 0xB0, 0x8F, 0x00, 0x60, 0x97, 0x13, 0x05, 0x3F } };
    SEEN **place = &Entry->Seen, *seen;

    Entry->Round++;
    if (!NT_SUCCESS(SupEnumerateInterfaces(&Entry->Class, FALSE, Look, Entry)))
        return;
    while ((seen = *place) != NULL) {
        if (seen->Round == Entry->Round) {
            place = &seen->Next;
            continue;
        }
        *place = seen->Next;
        if (!Entry->Gone)
            Tell(Entry, &removal, seen->Link);
        ExFreePoolWithTag(seen, SUP_TAG);
    }
}

static VOID Free(ENTRY *Entry)
{
    SEEN *seen;

    while ((seen = Entry->Seen) != NULL) {
        Entry->Seen = seen->Next;
        ExFreePoolWithTag(seen, SUP_TAG);
    }
    ExFreePoolWithTag(Entry, SUP_TAG);
}

static ENTRY *Following(const ENTRY *Entry)
{
    ENTRY *next;

    RtlAcquireSRWLockShared(&Lock);
    next = Entry ? Entry->Next : Entries;
    RtlReleaseSRWLockShared(&Lock);
    return next;
}

/* Takes those off the list that are gone; under Calling. */
static VOID Sweep(VOID)
{
    ENTRY **place = &Entries, *entry;

    RtlAcquireSRWLockExclusive(&Lock);
    while ((entry = *place) != NULL) {
        if (entry->Gone) {
            *place = entry->Next;
            Free(entry);
        } else {
            place = &entry->Next;
        }
    }
    RtlReleaseSRWLockExclusive(&Lock);
}

static VOID NTAPI Watch(PVOID Context)
{
    LARGE_INTEGER period;
    ENTRY *entry;

    UNREFERENCED_PARAMETER(Context);
    period.QuadPart = PERIOD;
    for (;;) {
        RtlAcquireSRWLockExclusive(&Calling);
        Caller = kshs_current_thread();
        for (entry = Following(NULL); entry; entry = Following(entry)) {
            if (!entry->Gone)
                Compare(entry);
        }
        Sweep();
        Caller = NULL;
        RtlReleaseSRWLockExclusive(&Calling);
        (void)KeDelayExecutionThread(KernelMode, FALSE, &period);
    }
}

static NTSTATUS Start(VOID)
{
    NTSTATUS status = STATUS_SUCCESS;
    HANDLE thread;

    RtlAcquireSRWLockExclusive(&Lock);
    if (!Started) {
        SupStay();
        status = PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Watch, NULL);
        if (NT_SUCCESS(status)) {
            Started = TRUE;
            (void)ZwClose(thread);
        }
    }
    RtlReleaseSRWLockExclusive(&Lock);
    return status;
}

/* PASSIVE_LEVEL. */
NTSTATUS NTAPI SupIoRegisterPlugPlayNotification(IO_NOTIFICATION_EVENT_CATEGORY Category, ULONG Flags, PVOID Data,
                                                 PDRIVER_OBJECT Driver, PDRIVER_NOTIFICATION_CALLBACK_ROUTINE Routine,
                                                 PVOID Context, PVOID *Entry)
{
    ENTRY *entry = kshs_zalloc(sizeof(*entry), SUP_TAG);

    UNREFERENCED_PARAMETER(Driver);
    *Entry = NULL;
    if (!entry)
        return STATUS_INSUFFICIENT_RESOURCES;
    entry->Routine = Routine;
    entry->Context = Context;
    *Entry = entry;
    if (Category != EventCategoryDeviceInterfaceChange)
        return STATUS_SUCCESS;
    entry->Class = *(const GUID *)Data;
    if (!NT_SUCCESS(Start())) {
        *Entry = NULL;
        ExFreePoolWithTag(entry, SUP_TAG);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    entry->Quiet = !(Flags & PNPNOTIFY_DEVICE_INTERFACE_INCLUDE_EXISTING_INTERFACES);
    Compare(entry);                     /* nobody else knows it yet */
    entry->Quiet = FALSE;
    RtlAcquireSRWLockExclusive(&Lock);
    entry->Next = Entries;
    Entries = entry;
    RtlReleaseSRWLockExclusive(&Lock);
    return STATUS_SUCCESS;
}

/* No routine runs for it any more, but the one that calls this. */
NTSTATUS NTAPI SupIoUnregisterPlugPlayNotificationEx(PVOID Entry)
{
    ENTRY *entry = Entry, *listed;
    BOOLEAN inside = Caller == kshs_current_thread();

    if (!inside)
        RtlAcquireSRWLockExclusive(&Calling);
    RtlAcquireSRWLockShared(&Lock);
    for (listed = Entries; listed && listed != entry; listed = listed->Next)
        ;
    RtlReleaseSRWLockShared(&Lock);
    if (listed)
        listed->Gone = TRUE;
    else
        Free(entry);                    /* of a category in which nothing happens */
    if (!inside) {
        Sweep();
        RtlReleaseSRWLockExclusive(&Calling);
    }
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI SupIoUnregisterPlugPlayNotification(PVOID Entry)
{
    return SupIoUnregisterPlugPlayNotificationEx(Entry);
}
