/* SPDX-License-Identifier: Apache-2.0
 *
 * wait.c - what Wine lacks of the objects that are waited for; the waits are Wine's.
 *
 * Wine keeps an object of user mode behind each header for as long as somebody
 * waits for it, or holds it, in WaitListHead.Blink.
 */
#include "wdmsup.h"

NTSYSAPI NTSTATUS NTAPI NtReleaseMutant(HANDLE Mutant, PLONG Previous);

LONG NTAPI SupKeReleaseMutex(PRKMUTEX Mutex, BOOLEAN Wait);
LONG NTAPI SupKeReadStateMutex(PRKMUTEX Mutex);
LONG NTAPI SupKeReadStateSemaphore(PRKSEMAPHORE Semaphore);
LONG NTAPI SupKePulseEvent(PRKEVENT Event, KPRIORITY Increment, BOOLEAN Wait);
BOOLEAN NTAPI SupKeTryToAcquireSpinLockAtDpcLevel(PKSPIN_LOCK Lock);
BOOLEAN NTAPI SupKeTestSpinLock(PKSPIN_LOCK Lock);
NTSTATUS NTAPI SupObReferenceObjectByPointer(PVOID Object, ACCESS_MASK Access, POBJECT_TYPE Type,
                                             KPROCESSOR_MODE Mode);
VOID NTAPI SupIoInvalidateDeviceState(PDEVICE_OBJECT Device);

/* IRQL <= DISPATCH_LEVEL.  Wine's counts, and never releases what stands behind the mutex: whoever waits for it
 * waits for ever.  The holder's object stays as long as it holds, so nobody takes it away meanwhile. */
LONG NTAPI SupKeReleaseMutex(PRKMUTEX Mutex, BOOLEAN Wait)
{
    HANDLE behind = Mutex->Header.WaitListHead.Blink;

    if (behind)
        (void)NtReleaseMutant(behind, NULL);
    return KeReleaseMutex(Mutex, Wait);
}

/* 1 for what nobody holds. */
LONG NTAPI SupKeReadStateMutex(PRKMUTEX Mutex)
{
    return *(volatile LONG *)&Mutex->Header.SignalState;
}

LONG NTAPI SupKeReadStateSemaphore(PRKSEMAPHORE Semaphore)
{
    return *(volatile LONG *)&Semaphore->Header.SignalState;
}

/* Who waits is told with the first of the two; who begins to wait in between is let through, too. */
LONG NTAPI SupKePulseEvent(PRKEVENT Event, KPRIORITY Increment, BOOLEAN Wait)
{
    LONG was = KeSetEvent(Event, Increment, Wait);

    KeClearEvent(Event);
    return was;
}

/* Wine's spin lock is free at 0. */
BOOLEAN NTAPI SupKeTryToAcquireSpinLockAtDpcLevel(PKSPIN_LOCK Lock)
{
    return InterlockedCompareExchangePointer((PVOID volatile *)Lock, (PVOID)1, NULL) == NULL;
}

BOOLEAN NTAPI SupKeTestSpinLock(PKSPIN_LOCK Lock)
{
    return *(volatile KSPIN_LOCK *)Lock == 0;
}

NTSTATUS NTAPI SupObReferenceObjectByPointer(PVOID Object, ACCESS_MASK Access, POBJECT_TYPE Type,
                                             KPROCESSOR_MODE Mode)
{
    UNREFERENCED_PARAMETER(Access);
    UNREFERENCED_PARAMETER(Type);       /* drivers have this from where they have the object */
    UNREFERENCED_PARAMETER(Mode);
    (void)ObfReferenceObject(Object);
    return STATUS_SUCCESS;
}

/* Nobody asks for the state again. */
VOID NTAPI SupIoInvalidateDeviceState(PDEVICE_OBJECT Device)
{
    UNREFERENCED_PARAMETER(Device);
}
