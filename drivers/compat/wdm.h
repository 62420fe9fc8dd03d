/* SPDX-License-Identifier: Apache-2.0
 *
 * wdm.h - mingw-w64's, and what it lacks of the documented wdm.h.  `kshs build`
 * puts this folder in front of the headers' own; written from the reference
 * pages of each name.
 */
#ifndef KSHS_COMPAT_WDM_H
#define KSHS_COMPAT_WDM_H

/* mingw-w64's wdm.h defines these two after its intrinsics have declared them. */
#ifndef __INTRINSIC_DEFINED_InterlockedBitTestAndSet
#define __INTRINSIC_DEFINED_InterlockedBitTestAndSet
#define __INTRINSIC_DEFINED_InterlockedBitTestAndReset
#endif

#include_next <wdm.h>

#include "kshs_power.h"
#include "kshs_sal.h"

#ifndef DECLSPEC_NOVTABLE
#define DECLSPEC_NOVTABLE
#endif
#ifndef NOTHROW
#define NOTHROW
#endif
#ifndef DECLSPEC_NOTHROW
#define DECLSPEC_NOTHROW
#endif
#ifndef FORCEINLINE
#define FORCEINLINE static inline
#endif
/* mingw-w64's defines a structure inside of offsetof, which C++ does not take. */
#undef TYPE_ALIGNMENT
#define TYPE_ALIGNMENT(type) ((LONG)__alignof__(type))
#ifndef MemoryBarrier
#define MemoryBarrier() __sync_synchronize()
#endif
#ifndef STATUS_INVALID_STATE_TRANSITION
#define STATUS_INVALID_STATE_TRANSITION ((NTSTATUS)0xC000A003L)
#endif
#ifndef LOCALE_NEUTRAL
#define LOCALE_NEUTRAL 0
#endif
#ifndef ULONGLONG_MAX
#define ULONGLONG_MAX 0xFFFFFFFFFFFFFFFFull
#endif

#ifdef __cplusplus
extern "C" {
#endif

int __cdecl abs(int value);

/* ---- data that ntoskrnl.exe exports ------------------------------------------------------- */

/* mingw-w64 declares these as imported and as pointers to them at once, one indirection too many: what a driver
 * writes as *PsThreadType is then the first member of the type.  The name stands for its import slot. */
#ifdef _WIN64
#define KSHS_IMPORT_SLOT(name) __imp_##name
#else
#define KSHS_IMPORT_SLOT(name) _imp__##name
#endif
extern POBJECT_TYPE *KSHS_IMPORT_SLOT(CmKeyObjectType);
extern POBJECT_TYPE *KSHS_IMPORT_SLOT(ExEventObjectType);
extern POBJECT_TYPE *KSHS_IMPORT_SLOT(ExSemaphoreObjectType);
extern POBJECT_TYPE *KSHS_IMPORT_SLOT(IoFileObjectType);
extern POBJECT_TYPE *KSHS_IMPORT_SLOT(PsProcessType);
extern POBJECT_TYPE *KSHS_IMPORT_SLOT(PsThreadType);
extern POBJECT_TYPE *KSHS_IMPORT_SLOT(SeTokenObjectType);
#define CmKeyObjectType KSHS_IMPORT_SLOT(CmKeyObjectType)
#define ExEventObjectType KSHS_IMPORT_SLOT(ExEventObjectType)
#define ExSemaphoreObjectType KSHS_IMPORT_SLOT(ExSemaphoreObjectType)
#define IoFileObjectType KSHS_IMPORT_SLOT(IoFileObjectType)
#define PsProcessType KSHS_IMPORT_SLOT(PsProcessType)
#define PsThreadType KSHS_IMPORT_SLOT(PsThreadType)
#define SeTokenObjectType KSHS_IMPORT_SLOT(SeTokenObjectType)

/* ---- pool: ExAllocatePool2 and its predecessors' inline forms ---------------------------- */

#ifndef POOL_FLAG_NON_PAGED
typedef ULONG64 POOL_FLAGS;
#define POOL_FLAG_USE_QUOTA 0x0000000000000001ull
#define POOL_FLAG_UNINITIALIZED 0x0000000000000002ull
#define POOL_FLAG_SESSION 0x0000000000000004ull
#define POOL_FLAG_CACHE_ALIGNED 0x0000000000000008ull
#define POOL_FLAG_RAISE_ON_FAILURE 0x0000000000000020ull
#define POOL_FLAG_NON_PAGED 0x0000000000000040ull
#define POOL_FLAG_NON_PAGED_EXECUTE 0x0000000000000080ull
#define POOL_FLAG_PAGED 0x0000000000000100ull

NTKERNELAPI PVOID NTAPI ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag);
#endif

#ifndef POOL_NX_ALLOCATION
#define POOL_NX_ALLOCATION 512
#endif

#ifndef POOL_ZERO_ALLOCATION
#define POOL_ZERO_ALLOCATION 1024
#define DrvRtPoolNxOptIn 0x00000001

static __inline VOID ExInitializeDriverRuntime(ULONG RuntimeFlags)
{
    (void)RuntimeFlags;
}

static __inline PVOID ExAllocatePoolZero(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag)
{
    PVOID memory = ExAllocatePoolWithTag(PoolType, NumberOfBytes, Tag);

    if (memory)
        RtlZeroMemory(memory, NumberOfBytes);
    return memory;
}

static __inline PVOID ExAllocatePoolUninitialized(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag)
{
    return ExAllocatePoolWithTag(PoolType, NumberOfBytes, Tag);
}
#endif

/* ---- properties of device interfaces (Windows 8 and later) ------------------------------------ */

NTKERNELAPI NTSTATUS NTAPI IoSetDeviceInterfacePropertyData(PUNICODE_STRING SymbolicLinkName,
                                                            const DEVPROPKEY *PropertyKey, LCID Lcid, ULONG Flags,
                                                            DEVPROPTYPE Type, ULONG Size, PVOID Data);
NTKERNELAPI NTSTATUS NTAPI IoGetDeviceInterfacePropertyData(PUNICODE_STRING SymbolicLinkName,
                                                            const DEVPROPKEY *PropertyKey, LCID Lcid, ULONG Flags,
                                                            ULONG Size, PVOID Data, PULONG RequiredSize,
                                                            DEVPROPTYPE *Type);

/* ---- time ------------------------------------------------------------------------------------ */

NTKERNELAPI VOID NTAPI KeQuerySystemTimePrecise(PLARGE_INTEGER CurrentTime);
NTKERNELAPI ULONG64 NTAPI KeQueryInterruptTimePrecise(PULONG64 QpcTimeStamp);
NTKERNELAPI NTSTATUS NTAPI KeQueryAuxiliaryCounterFrequency(PULONG64 AuxiliaryCounterFrequency);
NTKERNELAPI NTSTATUS NTAPI KeConvertAuxiliaryCounterToPerformanceCounter(ULONG64 AuxiliaryCounterValue,
                                                                         PULONG64 PerformanceCounterValue,
                                                                         PULONG64 ConversionError);
NTKERNELAPI NTSTATUS NTAPI KeConvertPerformanceCounterToAuxiliaryCounter(ULONG64 PerformanceCounterValue,
                                                                         PULONG64 AuxiliaryCounterValue,
                                                                         PULONG64 ConversionError);

static __inline VOID ExInitializeDeleteTimerParameters(EXT_DELETE_PARAMETERS *Parameters)
{
    RtlZeroMemory(Parameters, sizeof(*Parameters));
}

/* ---- the registry keys of a driver (Windows 10 version 1803 and later), and interrupts -------- */

typedef enum _DRIVER_REGKEY_TYPE {
    DriverRegKeyParameters,
    DriverRegKeyPersistentState,
    DriverRegKeySharedPersistentState
} DRIVER_REGKEY_TYPE, *PDRIVER_REGKEY_TYPE;

NTKERNELAPI NTSTATUS NTAPI IoOpenDriverRegistryKey(PDRIVER_OBJECT DriverObject, DRIVER_REGKEY_TYPE RegKeyType,
                                                   ACCESS_MASK DesiredAccess, ULONG Flags, PHANDLE DriverRegKey);
NTKERNELAPI ULONG NTAPI IoGetRequestorProcessId(PIRP Irp);

typedef struct _IO_REPORT_INTERRUPT_ACTIVE_STATE_PARAMETERS {
    ULONG Version;
    union {
        PVOID Generic;
        PKINTERRUPT InterruptObject;
        PIO_INTERRUPT_MESSAGE_INFO InterruptMessageTable;
    } ConnectionContext;
} IO_REPORT_INTERRUPT_ACTIVE_STATE_PARAMETERS, *PIO_REPORT_INTERRUPT_ACTIVE_STATE_PARAMETERS;

NTKERNELAPI VOID NTAPI IoReportInterruptActive(PIO_REPORT_INTERRUPT_ACTIVE_STATE_PARAMETERS Parameters);
NTKERNELAPI VOID NTAPI IoReportInterruptInactive(PIO_REPORT_INTERRUPT_ACTIVE_STATE_PARAMETERS Parameters);

/* ---- reader/writer spin locks --------------------------------------------------------------- */

#ifndef EX_SPIN_LOCK
#define EX_SPIN_LOCK EX_SPIN_LOCK
typedef LONG EX_SPIN_LOCK, *PEX_SPIN_LOCK;

NTKERNELAPI KIRQL NTAPI ExAcquireSpinLockExclusive(volatile LONG *SpinLock);
NTKERNELAPI VOID NTAPI ExReleaseSpinLockExclusive(volatile LONG *SpinLock, KIRQL OldIrql);
NTKERNELAPI KIRQL NTAPI ExAcquireSpinLockShared(volatile LONG *SpinLock);
NTKERNELAPI VOID NTAPI ExReleaseSpinLockShared(volatile LONG *SpinLock, KIRQL OldIrql);
NTKERNELAPI VOID NTAPI ExAcquireSpinLockExclusiveAtDpcLevel(volatile LONG *SpinLock);
NTKERNELAPI VOID NTAPI ExReleaseSpinLockExclusiveFromDpcLevel(volatile LONG *SpinLock);
NTKERNELAPI VOID NTAPI ExAcquireSpinLockSharedAtDpcLevel(volatile LONG *SpinLock);
NTKERNELAPI VOID NTAPI ExReleaseSpinLockSharedFromDpcLevel(volatile LONG *SpinLock);
#endif

#ifdef __cplusplus
}
#endif

#endif
