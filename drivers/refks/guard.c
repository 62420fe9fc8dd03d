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

NTSTATUS RefksDeliverOut(PVOID To, const VOID *From, SIZE_T Length)
{
    NTSTATUS status = STATUS_SUCCESS;

    __try {
        RtlCopyMemory(To, From, Length);
    } __except (status = (NTSTATUS)GetExceptionCode(), EXCEPTION_EXECUTE_HANDLER) {
    }
    return status;
}
