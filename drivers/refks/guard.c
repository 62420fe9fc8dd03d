/* SPDX-License-Identifier: Apache-2.0
 *
 * guard.c - the only code that touches a sender's raw pointers.
 *
 * The exception's code is taken in the filter and not in the handler: Wine's
 * unwinder does not carry it there.
 */
#include "refks.h"

NTSTATUS RefksCaptureIn(PVOID To, const VOID *From, SIZE_T Length, KPROCESSOR_MODE Mode)
{
    NTSTATUS status = STATUS_SUCCESS;

    __try {
        if (Mode != KernelMode)
            ProbeForRead((PVOID)From, Length, 1);
        RtlCopyMemory(To, From, Length);
    } __except (status = (NTSTATUS)GetExceptionCode(), EXCEPTION_EXECUTE_HANDLER) {
    }
    return status;
}

NTSTATUS RefksCheckOut(PVOID To, SIZE_T Length, KPROCESSOR_MODE Mode)
{
    NTSTATUS status = STATUS_SUCCESS;

    if (Mode == KernelMode || !Length)
        return status;
    __try {
        ProbeForWrite(To, Length, 1);
    } __except (status = (NTSTATUS)GetExceptionCode(), EXCEPTION_EXECUTE_HANDLER) {
    }
    return status;
}

/* Kernel addresses are the same in every process.  Wine's drivers live in one process, which has copies of what user
 * mode sent, for as long as the request lasts. */
NTSTATUS RefksLockOut(PVOID To, SIZE_T Length, KPROCESSOR_MODE Mode, PMDL *Mdl)
{
    NTSTATUS status = STATUS_SUCCESS;
    PMDL mdl;

    *Mdl = NULL;
    if (Mode == KernelMode || !Length || kshs_is_wine())
        return status;
    mdl = IoAllocateMdl(To, (ULONG)Length, FALSE, FALSE, NULL);
    if (!mdl)
        return STATUS_INSUFFICIENT_RESOURCES;
    __try {
        MmProbeAndLockPages(mdl, Mode, IoWriteAccess);
    } __except (status = (NTSTATUS)GetExceptionCode(), EXCEPTION_EXECUTE_HANDLER) {
    }
    if (NT_SUCCESS(status))
        *Mdl = mdl;
    else
        IoFreeMdl(mdl);
    return status;
}

NTSTATUS RefksDeliverLocked(PMDL Mdl, const VOID *From, SIZE_T Length)
{
    PVOID to = MmGetSystemAddressForMdlSafe(Mdl, NormalPagePriority);

    if (!to)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlCopyMemory(to, From, Length);
    return STATUS_SUCCESS;
}

void RefksUnlockOut(PMDL Mdl)
{
    if (Mdl) {
        MmUnlockPages(Mdl);
        IoFreeMdl(Mdl);
    }
}

NTSTATUS RefksDeliverOut(PVOID To, const VOID *From, SIZE_T Length)
{
    NTSTATUS status = STATUS_SUCCESS;

    __try {
        RtlCopyMemory(To, From, Length);
    } __except (status = (NTSTATUS)GetExceptionCode(), EXCEPTION_EXECUTE_HANDLER) {
    }
    return status;
}
