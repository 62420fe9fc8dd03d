/* SPDX-License-Identifier: Apache-2.0
 *
 * kshs_compat.h - what a driver of ours needs to compile with mingw-w64's
 * headers and with the WDK, and to run on NT kernels from 5.2 on and on Wine.
 *
 * Include it first: it brings in ntddk.h, the fixed-width types and the ABI.
 * Everything here is static inline, so no driver links more than it calls.
 */
#ifndef KSHS_COMPAT_H
#define KSHS_COMPAT_H

#ifdef __MINGW32__
/* mingw-w64's wdm.h defines these two as static after its intrinsics have declared them extern:
 * every object file would export them.  Told that they exist, the intrinsics leave them alone. */
#ifndef __INTRINSIC_DEFINED_InterlockedBitTestAndSet
#define __INTRINSIC_DEFINED_InterlockedBitTestAndSet
#define __INTRINSIC_DEFINED_InterlockedBitTestAndReset
#endif
#endif

#include <ntddk.h>
#include <windef.h>
#include <stddef.h>
#include <stdint.h>
#include "kshs_abi.h"

/* Documented routines that the WDK declares in headers of file systems only. */
#ifdef __MINGW32__
NTSYSAPI NTSTATUS NTAPI ZwWaitForSingleObject(HANDLE Handle, BOOLEAN Alertable, PLARGE_INTEGER Timeout);
#endif
NTSYSAPI NTSTATUS NTAPI ZwSetEvent(HANDLE EventHandle, PLONG PreviousState);

/*
 * mingw-w64 declares the exported datum IoFileObjectType with one indirection
 * too many; its import slot is what the name should stand for.
 */
#ifdef __MINGW32__
#ifdef _WIN64
extern POBJECT_TYPE *__imp_IoFileObjectType;
#define KSHS_IO_FILE_OBJECT_TYPE (*__imp_IoFileObjectType)
#else
extern POBJECT_TYPE *_imp__IoFileObjectType;
#define KSHS_IO_FILE_OBJECT_TYPE (*_imp__IoFileObjectType)
#endif
#else
#define KSHS_IO_FILE_OBJECT_TYPE (*IoFileObjectType)
#endif

#ifdef _MSC_VER
#define KSHS_UNUSED(name) UNREFERENCED_PARAMETER(name)
#else
#define KSHS_UNUSED(name) ((void)(name))
#endif

/* A pool tag that reads abcd in a debugger, without a multi-character constant. */
#define KSHS_TAG(a, b, c, d) \
    ((ULONG)(UCHAR)(a) | (ULONG)(UCHAR)(b) << 8 | (ULONG)(UCHAR)(c) << 16 | (ULONG)(UCHAR)(d) << 24)

/* NTSTATUS constants are signed in some headers and plain in others. */
#define KSHS_STATUS_U32(status) ((uint32_t)(NTSTATUS)(status))

/* Address of an exported routine that this kernel may lack, or NULL. */
static inline PVOID kshs_system_routine(PCWSTR name)
{
    UNICODE_STRING string;

    RtlInitUnicodeString(&string, name);
    return MmGetSystemRoutineAddress(&string);
}

/* Wine's ntoskrnl.exe runs drivers from a main loop that no NT kernel exports.
 * PASSIVE_LEVEL the first time. */
static inline BOOLEAN kshs_is_wine(void)
{
    static volatile LONG known;     /* 0: not asked yet, 1: NT, 2: Wine */
    LONG value = known;

    if (!value) {
        value = kshs_system_routine(L"wine_ntoskrnl_main_loop") ? 2 : 1;
        known = value;
    }
    return value == 2;
}

/*
 * The device at the top of the stack that a file object belongs to, or NULL.
 * Wine's IoGetRelatedDeviceObject is a stub that returns NULL, and there are
 * no file systems whose VPB would have to be honoured.
 */
static inline PDEVICE_OBJECT kshs_related_device(PFILE_OBJECT file)
{
    PDEVICE_OBJECT device;

    if (!file)
        return NULL;
    if (!kshs_is_wine())
        return file->DeviceObject ? IoGetRelatedDeviceObject(file) : NULL;
    device = file->DeviceObject;
    while (device && device->AttachedDevice)
        device = device->AttachedDevice;
    return device;
}

/*
 * The running thread, for IRP->Tail.Overlay.Thread.  mingw-w64 inlines
 * PsGetCurrentThread as a read from the processor control region, which does
 * not exist under Wine; the export works on both.  PASSIVE_LEVEL the first time.
 */
static inline PETHREAD kshs_current_thread(void)
{
    typedef PETHREAD (NTAPI *current_thread)(VOID);
    static volatile PVOID routine;
    PVOID found = routine;

    if (!found) {
        found = kshs_system_routine(L"PsGetCurrentThread");
        routine = found;
    }
    return found ? ((current_thread)(ULONG_PTR)found)() : NULL;
}

/*
 * The current IRQL.  x64 keeps it in CR8, which a Wine process cannot read;
 * there every thread is at PASSIVE_LEVEL as long as no driver raises it.
 */
static inline KIRQL kshs_current_irql(void)
{
    return kshs_is_wine() ? PASSIVE_LEVEL : KeGetCurrentIrql();
}

/* The performance counter in nanoseconds.  Split into whole seconds and rest
 * so that the product does not overflow after some minutes of uptime. */
static inline uint64_t kshs_now_ns(void)
{
    LARGE_INTEGER frequency;
    LARGE_INTEGER now = KeQueryPerformanceCounter(&frequency);
    uint64_t count = (uint64_t)now.QuadPart;
    uint64_t rate = (uint64_t)frequency.QuadPart;

    if (!rate)
        return 0;
    return count / rate * 1000000000u + count % rate * 1000000000u / rate;
}

/* A line for people, with the time at which it was printed: kshs tells the step from it (docs/results.md). */
#define kshs_print(format, ...) DbgPrint("[%I64u] " format, kshs_now_ns(), ##__VA_ARGS__)

/* A relative timeout for the Ke and Zw wait routines. */
static inline LARGE_INTEGER kshs_relative_ms(uint32_t milliseconds)
{
    LARGE_INTEGER interval;

    interval.QuadPart = -(LONGLONG)milliseconds * 10000;
    return interval;
}

static inline void kshs_sleep_ms(uint32_t milliseconds)
{
    LARGE_INTEGER interval = kshs_relative_ms(milliseconds);

    KeDelayExecutionThread(KernelMode, FALSE, &interval);
}

/* Zeroed non-paged memory, or NULL.  ExAllocatePool2 and NX pools are NT 6+. */
static inline PVOID kshs_zalloc(SIZE_T size, ULONG tag)
{
    PVOID memory = ExAllocatePoolWithTag(NonPagedPool, size, tag);

    if (memory)
        RtlZeroMemory(memory, size);
    return memory;
}

/* Somebody else's status made one that an IRP may end with.  IoCompleteRequest
 * stops a checked kernel, and Driver Verifier any, on two values: STATUS_PENDING
 * is a promise and no end, and -1 stands for a status that was never set. */
static inline NTSTATUS kshs_final_status(NTSTATUS status)
{
    return status == STATUS_PENDING || status == (NTSTATUS)0xFFFFFFFF ? STATUS_DRIVER_INTERNAL_ERROR : status;
}

/* Completes an IRP that is the caller's, and returns the status that it ended
 * with for the dispatch routine to return. */
static inline NTSTATUS kshs_complete(PIRP irp, NTSTATUS status, ULONG_PTR information)
{
    if (kshs_final_status(status) != status) {
        status = kshs_final_status(status);
        information = 0;
    }
    irp->IoStatus.Status = status;
    irp->IoStatus.Information = information;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    return status;
}

#endif
