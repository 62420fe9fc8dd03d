/* SPDX-License-Identifier: Apache-2.0
 *
 * interrupt.c - interrupts, of which guests on Wine have none.
 *
 * Connecting fails as the pages say that it does for a device without any; a
 * driver can tell, and mostly refuses its device.  Whoever asks is put on record.
 * Interrupt objects do not exist, so nothing that takes one is ever called in
 * earnest.
 */
#include "wdmsup.h"

NTSTATUS NTAPI SupIoConnectInterrupt(PKINTERRUPT *Interrupt, PKSERVICE_ROUTINE Routine, PVOID Context,
                                     PKSPIN_LOCK SpinLock, ULONG Vector, KIRQL Irql, KIRQL SynchronizeIrql,
                                     KINTERRUPT_MODE Mode, BOOLEAN Share, KAFFINITY Processors, BOOLEAN FloatingSave);
NTSTATUS NTAPI SupIoConnectInterruptEx(PIO_CONNECT_INTERRUPT_PARAMETERS Parameters);
VOID NTAPI SupIoDisconnectInterrupt(PKINTERRUPT Interrupt);
VOID NTAPI SupIoDisconnectInterruptEx(PIO_DISCONNECT_INTERRUPT_PARAMETERS Parameters);

/* PASSIVE_LEVEL.  No processor has such a vector. */
NTSTATUS NTAPI SupIoConnectInterrupt(PKINTERRUPT *Interrupt, PKSERVICE_ROUTINE Routine, PVOID Context,
                                     PKSPIN_LOCK SpinLock, ULONG Vector, KIRQL Irql, KIRQL SynchronizeIrql,
                                     KINTERRUPT_MODE Mode, BOOLEAN Share, KAFFINITY Processors, BOOLEAN FloatingSave)
{
    static SUP_MISSING called = { L"ntoskrnl.exe!IoConnectInterrupt", 0 };

    UNREFERENCED_PARAMETER(Routine);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(SpinLock);
    UNREFERENCED_PARAMETER(Vector);
    UNREFERENCED_PARAMETER(Irql);
    UNREFERENCED_PARAMETER(SynchronizeIrql);
    UNREFERENCED_PARAMETER(Mode);
    UNREFERENCED_PARAMETER(Share);
    UNREFERENCED_PARAMETER(Processors);
    UNREFERENCED_PARAMETER(FloatingSave);
    SupRecordMissing(&called);
    *Interrupt = NULL;
    return STATUS_INVALID_PARAMETER;
}

/* PASSIVE_LEVEL.  The device has no interrupts; what is wrong with the parameters is said before. */
NTSTATUS NTAPI SupIoConnectInterruptEx(PIO_CONNECT_INTERRUPT_PARAMETERS Parameters)
{
    static SUP_MISSING called = { L"ntoskrnl.exe!IoConnectInterruptEx", 0 };
    ULONG version = Parameters->Version;

    SupRecordMissing(&called);
    if (version != CONNECT_FULLY_SPECIFIED && version != CONNECT_LINE_BASED && version != CONNECT_MESSAGE_BASED &&
        version != CONNECT_FULLY_SPECIFIED_GROUP) {
        Parameters->Version = CONNECT_MESSAGE_BASED;    /* what the caller could use */
        return STATUS_INVALID_PARAMETER_1;
    }
    /* The device comes first in each of the three. */
    if (!Parameters->FullySpecified.PhysicalDeviceObject)
        return STATUS_INVALID_PARAMETER;
    return STATUS_NOT_FOUND;
}

VOID NTAPI SupIoDisconnectInterrupt(PKINTERRUPT Interrupt)
{
    UNREFERENCED_PARAMETER(Interrupt);
}

VOID NTAPI SupIoDisconnectInterruptEx(PIO_DISCONNECT_INTERRUPT_PARAMETERS Parameters)
{
    UNREFERENCED_PARAMETER(Parameters);
}

SUP_MISSING_VALUE(BOOLEAN, FALSE, "ntoskrnl.exe", KeSynchronizeExecution)
SUP_MISSING_VALUE(KIRQL, PASSIVE_LEVEL, "ntoskrnl.exe", KeAcquireInterruptSpinLock)
SUP_MISSING_VOID("ntoskrnl.exe", KeReleaseInterruptSpinLock)
SUP_NOTHING(IoReportInterruptActive)
SUP_NOTHING(IoReportInterruptInactive)
