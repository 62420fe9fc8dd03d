/* SPDX-License-Identifier: Apache-2.0
 *
 * wdmsup.h - a support library for drivers on Wine: functions of the kernel
 * that Wine lacks, has as stubs that end the process, or gets wrong
 * (docs/wdmsup.md).
 *
 * The names with Sup stand for those of the kernel: wdmsup.def exports them
 * under the kernel's names.  On Wine every thread is at PASSIVE_LEVEL, drivers
 * are one process of user mode, and ntdll.dll is there: nothing here runs on
 * Windows.
 */
#ifndef WDMSUP_H
#define WDMSUP_H

#include "kshs_compat.h"

/* What is taken from ntdll.dll, whose header does not go with those of the kernel. */
typedef struct SUP_LOCK {
    PVOID Value;                /* an RTL_SRWLOCK: zero when it is free */
} SUP_LOCK;

NTSYSAPI VOID NTAPI RtlAcquireSRWLockExclusive(SUP_LOCK *Lock);
NTSYSAPI VOID NTAPI RtlReleaseSRWLockExclusive(SUP_LOCK *Lock);
NTSYSAPI VOID NTAPI RtlAcquireSRWLockShared(SUP_LOCK *Lock);
NTSYSAPI VOID NTAPI RtlReleaseSRWLockShared(SUP_LOCK *Lock);
NTSYSAPI BOOLEAN NTAPI RtlTryAcquireSRWLockExclusive(SUP_LOCK *Lock);
NTSYSAPI NTSTATUS NTAPI RtlWaitOnAddress(const volatile VOID *Address, const VOID *Compare, SIZE_T Size,
                                         const LARGE_INTEGER *Timeout);
NTSYSAPI VOID NTAPI RtlWakeAddressAll(const volatile VOID *Address);
NTSYSAPI NTSTATUS NTAPI TpSimpleTryPost(VOID (NTAPI *Callback)(PVOID Instance, PVOID Context), PVOID Context,
                                        PVOID Environment);
/* From the heap whose memory RtlFreeUnicodeString frees, which is not that of the pool there. */
NTSYSAPI BOOLEAN NTAPI RtlCreateUnicodeString(PUNICODE_STRING To, PCWSTR From);
NTSYSAPI PVOID NTAPI RtlPcToFileHeader(PVOID Address, PVOID *Base);
NTSYSAPI NTSTATUS NTAPI LdrAddRefDll(ULONG Flags, PVOID Module);

#define SUP_TAG KSHS_TAG('W', 's', 'u', 'p')

/* The threads of this module run in it: it stays, whatever becomes of the drivers that import it. */
VOID SupStay(VOID);

/* The device at the top of the stack that a file object belongs to, or NULL: there are no file systems here. */
static inline PDEVICE_OBJECT SupTopOf(PFILE_OBJECT File)
{
    PDEVICE_OBJECT device = File ? File->DeviceObject : NULL;

    while (device && device->AttachedDevice)
        device = device->AttachedDevice;
    return device;
}

/* A function that has nothing to do here, whatever it is given. */
#define SUP_NOTHING(name)                                                       \
    VOID NTAPI Sup##name(VOID);                                                 \
    VOID NTAPI Sup##name(VOID)                                                  \
    {                                                                           \
    }

/* One that has one answer here. */
#define SUP_VALUE(type, value, name)                                            \
    type NTAPI Sup##name(VOID);                                                 \
    type NTAPI Sup##name(VOID)                                                  \
    {                                                                           \
        return value;                                                           \
    }

/* ---- what is exported but not served: the first call is put on record, as those of ks.sys are -- */

typedef struct SUP_MISSING {
    const WCHAR *Name;
    volatile LONG Called;
} SUP_MISSING;

VOID SupRecordMissing(SUP_MISSING *Function);

#define SUP_MISSING_VALUE(type, value, module, name)                            \
    type NTAPI Sup##name(VOID);                                                 \
    type NTAPI Sup##name(VOID)                                                  \
    {                                                                           \
        static SUP_MISSING called = { L"" module "!" #name, 0 };                \
        SupRecordMissing(&called);                                              \
        return value;                                                           \
    }

#define SUP_MISSING_VOID(module, name)                                          \
    VOID NTAPI Sup##name(VOID);                                                 \
    VOID NTAPI Sup##name(VOID)                                                  \
    {                                                                           \
        static SUP_MISSING called = { L"" module "!" #name, 0 };                \
        SupRecordMissing(&called);                                              \
    }

/* Functions that own the IRP they are given: it is completed, or whoever waits for it would wait for ever. */
#define SUP_MISSING_DISPATCH(module, name)                                      \
    NTSTATUS NTAPI Sup##name(PDEVICE_OBJECT Device, PIRP Irp);                  \
    NTSTATUS NTAPI Sup##name(PDEVICE_OBJECT Device, PIRP Irp)                   \
    {                                                                           \
        static SUP_MISSING called = { L"" module "!" #name, 0 };                \
        UNREFERENCED_PARAMETER(Device);                                         \
        SupRecordMissing(&called);                                              \
        return kshs_complete(Irp, STATUS_NOT_IMPLEMENTED, 0);                   \
    }

#endif
