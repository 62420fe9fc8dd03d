/* SPDX-License-Identifier: Apache-2.0
 *
 * object.c - what is referenced and dereferenced by its address: callback objects, and files that were opened
 * for their devices.
 *
 * Wine's dereference knows the objects of Wine: those of here are found first.
 */
#include "wdmsup.h"

#define NAME_LENGTH 128
/* Function 0x3FF of the KS device type: nobody has it. */
#define UNKNOWN_CONTROL CTL_CODE(0x2F, 0x3FF, METHOD_NEITHER, FILE_ANY_ACCESS)

typedef struct REGISTRATION {
    struct REGISTRATION *Next;
    struct CALLBACK_LIST *Callback;
    PCALLBACK_FUNCTION Function;
    PVOID Context;
    LONG Calls;                         /* under way */
    BOOLEAN Gone;
} REGISTRATION;

typedef struct CALLBACK_LIST {
    struct CALLBACK_LIST *Next;
    LONG References;
    BOOLEAN Multiple;
    REGISTRATION *Registrations;
    WCHAR Name[NAME_LENGTH];            /* empty: nobody finds it */
} CALLBACK_LIST;

/* A file that IoGetDeviceObjectPointer has opened: it is closed with the reference that came with it. */
typedef struct OPENED {
    struct OPENED *Next;
    PFILE_OBJECT File;
    HANDLE Handle;
} OPENED;

static SUP_LOCK Lock;
static CALLBACK_LIST *Callbacks;
static OPENED *Files;
static volatile LONG Returned;          /* is woken with each call that has returned */

NTSTATUS NTAPI SupExCreateCallback(PCALLBACK_OBJECT *Object, POBJECT_ATTRIBUTES Attributes, BOOLEAN Create,
                                   BOOLEAN Multiple);
PVOID NTAPI SupExRegisterCallback(PCALLBACK_OBJECT Object, PCALLBACK_FUNCTION Function, PVOID Context);
VOID NTAPI SupExUnregisterCallback(PVOID Registration);
VOID NTAPI SupExNotifyCallback(PVOID Object, PVOID Argument1, PVOID Argument2);
NTSTATUS NTAPI SupIoGetDeviceObjectPointer(PUNICODE_STRING Name, ACCESS_MASK Access, PFILE_OBJECT *File,
                                           PDEVICE_OBJECT *Device);
LONG_PTR FASTCALL SupObfReferenceObject(PVOID Object);
LONG_PTR FASTCALL SupObfDereferenceObject(PVOID Object);
LONG_PTR FASTCALL SupObfReferenceObjectWithTag(PVOID Object, ULONG Tag);
LONG_PTR FASTCALL SupObfDereferenceObjectWithTag(PVOID Object, ULONG Tag);
VOID NTAPI SupObDereferenceObjectDeferDelete(PVOID Object);
VOID NTAPI SupObDereferenceObjectDeferDeleteWithTag(PVOID Object, ULONG Tag);
NTSTATUS NTAPI SupObReferenceObjectByHandleWithTag(HANDLE Handle, ACCESS_MASK Access, POBJECT_TYPE Type,
                                                   KPROCESSOR_MODE Mode, ULONG Tag, PVOID *Object,
                                                   POBJECT_HANDLE_INFORMATION Information);
NTSTATUS NTAPI SupObReferenceObjectByPointerWithTag(PVOID Object, ACCESS_MASK Access, POBJECT_TYPE Type,
                                                    KPROCESSOR_MODE Mode, ULONG Tag);
NTSTATUS NTAPI SupObOpenObjectByPointerWithTag(PVOID Object, ULONG Attributes, PACCESS_STATE State,
                                               ACCESS_MASK Access, POBJECT_TYPE Type, KPROCESSOR_MODE Mode,
                                               ULONG Tag, PHANDLE Handle);
NTKERNELAPI NTSTATUS NTAPI ObOpenObjectByPointer(PVOID Object, ULONG Attributes, PACCESS_STATE State,
                                                 ACCESS_MASK Access, POBJECT_TYPE Type, KPROCESSOR_MODE Mode,
                                                 PHANDLE Handle);

/* ---- callback objects --------------------------------------------------------------------------- */

/* Under the lock. */
static CALLBACK_LIST *Ours(PVOID Object)
{
    CALLBACK_LIST *callback = Callbacks;

    while (callback && callback != Object)
        callback = callback->Next;
    return callback;
}

static CALLBACK_LIST *Named(PCWSTR Name)
{
    CALLBACK_LIST *callback = Callbacks;

    while (callback && (!callback->Name[0] || _wcsicmp(callback->Name, Name)))
        callback = callback->Next;
    return callback;
}

/* Those that every kernel has made ("ExCreateCallback"); none of their events happens on Wine. */
static BOOLEAN IsTheSystems(PCWSTR Name)
{
    return !_wcsicmp(Name, L"\\Callback\\SetSystemTime") || !_wcsicmp(Name, L"\\Callback\\PowerState") ||
           !_wcsicmp(Name, L"\\Callback\\ProcessorAdd");
}

/* PASSIVE_LEVEL; the others of callbacks <= DISPATCH_LEVEL. */
NTSTATUS NTAPI SupExCreateCallback(PCALLBACK_OBJECT *Object, POBJECT_ATTRIBUTES Attributes, BOOLEAN Create,
                                   BOOLEAN Multiple)
{
    PUNICODE_STRING name = Attributes ? Attributes->ObjectName : NULL;
    CALLBACK_LIST *fresh = kshs_zalloc(sizeof(*fresh), SUP_TAG), *found = NULL;
    NTSTATUS status = STATUS_SUCCESS;

    *Object = NULL;
    if (!fresh)
        return STATUS_INSUFFICIENT_RESOURCES;
    if (name && name->Length >= sizeof(fresh->Name)) {
        ExFreePoolWithTag(fresh, SUP_TAG);
        return STATUS_OBJECT_NAME_INVALID;
    }
    if (name)
        RtlCopyMemory(fresh->Name, name->Buffer, name->Length);
    fresh->Multiple = Multiple;
    fresh->References = IsTheSystems(fresh->Name) ? 2 : 1;
    RtlAcquireSRWLockExclusive(&Lock);
    if (fresh->Name[0])
        found = Named(fresh->Name);
    if (found) {
        found->References++;
    } else if (Create || IsTheSystems(fresh->Name)) {
        fresh->Next = Callbacks;
        Callbacks = found = fresh;
        fresh = NULL;
    } else {
        status = fresh->Name[0] ? STATUS_OBJECT_NAME_NOT_FOUND : STATUS_UNSUCCESSFUL;
    }
    RtlReleaseSRWLockExclusive(&Lock);
    if (fresh)
        ExFreePoolWithTag(fresh, SUP_TAG);
    *Object = (PCALLBACK_OBJECT)found;
    return status;
}

PVOID NTAPI SupExRegisterCallback(PCALLBACK_OBJECT Object, PCALLBACK_FUNCTION Function, PVOID Context)
{
    REGISTRATION *fresh = kshs_zalloc(sizeof(*fresh), SUP_TAG), **place;
    CALLBACK_LIST *callback;

    if (!fresh)
        return NULL;
    fresh->Function = Function;
    fresh->Context = Context;
    RtlAcquireSRWLockExclusive(&Lock);
    callback = Ours(Object);
    if (callback && (callback->Multiple || !callback->Registrations)) {
        callback->References++;
        fresh->Callback = callback;
        for (place = &callback->Registrations; *place; place = &(*place)->Next)
            ;
        *place = fresh;                 /* they are called in the order in which they came */
    }
    RtlReleaseSRWLockExclusive(&Lock);
    if (!fresh->Callback) {
        ExFreePoolWithTag(fresh, SUP_TAG);
        return NULL;
    }
    return fresh;
}

/* Under the lock. */
static VOID Release(CALLBACK_LIST *Callback)
{
    CALLBACK_LIST **place = &Callbacks;

    if (--Callback->References)
        return;
    while (*place != Callback)
        place = &(*place)->Next;
    *place = Callback->Next;
    ExFreePoolWithTag(Callback, SUP_TAG);
}

/* The function is not called any more, and no call of it is under way. */
VOID NTAPI SupExUnregisterCallback(PVOID Registration)
{
    REGISTRATION *registration = Registration, **place;
    LONG returned;

    RtlAcquireSRWLockExclusive(&Lock);
    registration->Gone = TRUE;
    for (;;) {
        returned = Returned;
        if (!registration->Calls)
            break;
        RtlReleaseSRWLockExclusive(&Lock);
        (void)RtlWaitOnAddress(&Returned, &returned, sizeof(returned), NULL);
        RtlAcquireSRWLockExclusive(&Lock);
    }
    for (place = &registration->Callback->Registrations; *place != registration; place = &(*place)->Next)
        ;
    *place = registration->Next;
    Release(registration->Callback);
    RtlReleaseSRWLockExclusive(&Lock);
    ExFreePoolWithTag(registration, SUP_TAG);
}

VOID NTAPI SupExNotifyCallback(PVOID Object, PVOID Argument1, PVOID Argument2)
{
    REGISTRATION *registration;
    CALLBACK_LIST *callback;

    RtlAcquireSRWLockExclusive(&Lock);
    callback = Ours(Object);
    if (callback)
        callback->References++;
    for (registration = callback ? callback->Registrations : NULL; registration; registration = registration->Next) {
        if (registration->Gone)
            continue;
        registration->Calls++;          /* so that it stays in the list */
        RtlReleaseSRWLockExclusive(&Lock);
        registration->Function(registration->Context, Argument1, Argument2);
        RtlAcquireSRWLockExclusive(&Lock);
        registration->Calls--;
        Returned++;
        RtlWakeAddressAll(&Returned);
    }
    if (callback)
        Release(callback);
    RtlReleaseSRWLockExclusive(&Lock);
}

/* ---- devices by name ---------------------------------------------------------------------------- */

/* PASSIVE_LEVEL. */
NTSTATUS NTAPI SupIoGetDeviceObjectPointer(PUNICODE_STRING Name, ACCESS_MASK Access, PFILE_OBJECT *File,
                                           PDEVICE_OBJECT *Device)
{
    OPENED *opened = kshs_zalloc(sizeof(*opened), SUP_TAG);
    OBJECT_ATTRIBUTES attributes;
    PFILE_OBJECT file = NULL;
    IO_STATUS_BLOCK block;
    NTSTATUS status;

    if (!opened)
        return STATUS_INSUFFICIENT_RESOURCES;
    InitializeObjectAttributes(&attributes, Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    status = ZwOpenFile(&opened->Handle, Access, &attributes, &block, FILE_SHARE_READ | FILE_SHARE_WRITE,
                        FILE_NON_DIRECTORY_FILE);
    if (!NT_SUCCESS(status)) {
        ExFreePoolWithTag(opened, SUP_TAG);
        return status;
    }
    /* The file object gets its device when the driver has seen the open, which is later than it returns. */
    (void)ZwDeviceIoControlFile(opened->Handle, NULL, NULL, NULL, &block, UNKNOWN_CONTROL, NULL, 0, NULL, 0);
    status = ObReferenceObjectByHandle(opened->Handle, 0, KSHS_IO_FILE_OBJECT_TYPE, KernelMode, (PVOID *)&file, NULL);
    if (NT_SUCCESS(status) && !SupTopOf(file)) {
        ObDereferenceObject(file);
        status = STATUS_NO_SUCH_DEVICE;
    }
    if (!NT_SUCCESS(status)) {
        (void)ZwClose(opened->Handle);
        ExFreePoolWithTag(opened, SUP_TAG);
        return status;
    }
    opened->File = *File = file;
    *Device = SupTopOf(file);
    RtlAcquireSRWLockExclusive(&Lock);
    opened->Next = Files;
    Files = opened;
    RtlReleaseSRWLockExclusive(&Lock);
    return STATUS_SUCCESS;
}

/* ---- references --------------------------------------------------------------------------------- */

LONG_PTR FASTCALL SupObfReferenceObject(PVOID Object)
{
    CALLBACK_LIST *callback;
    LONG count = 0;

    RtlAcquireSRWLockExclusive(&Lock);
    callback = Ours(Object);
    if (callback)
        count = ++callback->References;
    RtlReleaseSRWLockExclusive(&Lock);
    return callback ? count : (LONG_PTR)ObfReferenceObject(Object);
}

LONG_PTR FASTCALL SupObfDereferenceObject(PVOID Object)
{
    OPENED **place = &Files, *opened;
    CALLBACK_LIST *callback;
    LONG count = 0;

    RtlAcquireSRWLockExclusive(&Lock);
    callback = Ours(Object);
    if (callback) {
        count = callback->References - 1;
        Release(callback);
    }
    while (*place && (callback || (*place)->File != Object))
        place = &(*place)->Next;
    opened = *place;
    if (opened)
        *place = opened->Next;
    RtlReleaseSRWLockExclusive(&Lock);
    if (callback)
        return count;
    count = (LONG)ObfDereferenceObject(Object);
    if (opened) {
        (void)ZwClose(opened->Handle);
        ExFreePoolWithTag(opened, SUP_TAG);
    }
    return count;
}

/* ---- the same with a tag, which nobody here looks at --------------------------------------------- */

LONG_PTR FASTCALL SupObfReferenceObjectWithTag(PVOID Object, ULONG Tag)
{
    UNREFERENCED_PARAMETER(Tag);
    return SupObfReferenceObject(Object);
}

LONG_PTR FASTCALL SupObfDereferenceObjectWithTag(PVOID Object, ULONG Tag)
{
    UNREFERENCED_PARAMETER(Tag);
    return SupObfDereferenceObject(Object);
}

VOID NTAPI SupObDereferenceObjectDeferDelete(PVOID Object)
{
    (void)SupObfDereferenceObject(Object);
}

VOID NTAPI SupObDereferenceObjectDeferDeleteWithTag(PVOID Object, ULONG Tag)
{
    UNREFERENCED_PARAMETER(Tag);
    (void)SupObfDereferenceObject(Object);
}

NTSTATUS NTAPI SupObReferenceObjectByHandleWithTag(HANDLE Handle, ACCESS_MASK Access, POBJECT_TYPE Type,
                                                   KPROCESSOR_MODE Mode, ULONG Tag, PVOID *Object,
                                                   POBJECT_HANDLE_INFORMATION Information)
{
    UNREFERENCED_PARAMETER(Tag);
    return ObReferenceObjectByHandle(Handle, Access, Type, Mode, Object, Information);
}

NTSTATUS NTAPI SupObReferenceObjectByPointerWithTag(PVOID Object, ACCESS_MASK Access, POBJECT_TYPE Type,
                                                    KPROCESSOR_MODE Mode, ULONG Tag)
{
    UNREFERENCED_PARAMETER(Access);
    UNREFERENCED_PARAMETER(Type);
    UNREFERENCED_PARAMETER(Mode);
    UNREFERENCED_PARAMETER(Tag);
    (void)SupObfReferenceObject(Object);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI SupObOpenObjectByPointerWithTag(PVOID Object, ULONG Attributes, PACCESS_STATE State,
                                               ACCESS_MASK Access, POBJECT_TYPE Type, KPROCESSOR_MODE Mode,
                                               ULONG Tag, PHANDLE Handle)
{
    UNREFERENCED_PARAMETER(Tag);
    return ObOpenObjectByPointer(Object, Attributes, State, Access, Type, Mode, Handle);
}
