/* SPDX-License-Identifier: Apache-2.0
 *
 * queue.c - queues of IRPs that can be cancelled while they wait.
 *
 * The queue and its spin lock are the caller's.  Whoever takes the cancel
 * routine out of an IRP owns it: IoCancelIrp, or one of the functions below.
 * An IRP without one is on its way out, or was acquired, and is left alone.
 *
 * Locks: the system's cancel lock before a queue's.  An IRP changes to a queue
 * with another lock under the cancel lock only, so that a cancel routine,
 * which runs under it, finds the right one in KSQUEUE_SPINLOCK_IRP_STORAGE.
 */
#include "refks.h"

static PIRP IrpOf(PLIST_ENTRY Entry)
{
    return CONTAINING_RECORD(Entry, IRP, Tail.Overlay.ListEntry);
}

static void Insert(PLIST_ENTRY QueueHead, PIRP Irp, KSLIST_ENTRY_LOCATION Location)
{
    if (Location == KsListEntryHead)
        InsertHeadList(QueueHead, &Irp->Tail.Overlay.ListEntry);
    else
        InsertTailList(QueueHead, &Irp->Tail.Overlay.ListEntry);
}

/* An IRP that its maker queues before it was ever sent has no current location. */
static PIO_STACK_LOCATION CurrentLocation(PIRP Irp)
{
    return Irp->CurrentLocation <= Irp->StackCount ? IoGetCurrentIrpStackLocation(Irp) : NULL;
}

/* The cancel lock is held, and the routine releases it. */
static void CallCancel(PIRP Irp, PDRIVER_CANCEL Routine, KIRQL CancelIrql)
{
    PIO_STACK_LOCATION location = CurrentLocation(Irp);

    Irp->CancelIrql = CancelIrql;
    Routine(location ? location->DeviceObject : NULL, Irp);
}

/* The IRP is in its queue, whose lock is held and released here, and gets a cancel routine.  If it was cancelled
 * before it had one, nobody else has called it. */
static void MakeCancelable(PIRP Irp, PKSPIN_LOCK SpinLock, KIRQL Irql, PDRIVER_CANCEL DriverCancel)
{
    PDRIVER_CANCEL routine = DriverCancel ? DriverCancel : KsCancelRoutine;
    BOOLEAN ours;
    KIRQL cancel;

    (void)IoSetCancelRoutine(Irp, routine);
    ours = (BOOLEAN)(Irp->Cancel && IoSetCancelRoutine(Irp, NULL));
    KeReleaseSpinLock(SpinLock, Irql);
    if (ours) {
        IoAcquireCancelSpinLock(&cancel);
        CallCancel(Irp, routine, cancel);
    }
}

/* The IRP is marked pending: from here on it may be completed at any time, in any thread. */
void NTAPI KsAddIrpToCancelableQueue(PLIST_ENTRY QueueHead, PKSPIN_LOCK SpinLock, PIRP Irp,
                                     KSLIST_ENTRY_LOCATION ListLocation, PDRIVER_CANCEL DriverCancel)
{
    KIRQL irql;

    if (CurrentLocation(Irp))
        IoMarkIrpPending(Irp);
    KeAcquireSpinLock(SpinLock, &irql);
    KSQUEUE_SPINLOCK_IRP_STORAGE(Irp) = SpinLock;
    Insert(QueueHead, Irp, ListLocation);
    MakeCancelable(Irp, SpinLock, irql, DriverCancel);
}

PIRP NTAPI KsRemoveIrpFromCancelableQueue(PLIST_ENTRY QueueHead, PKSPIN_LOCK SpinLock,
                                          KSLIST_ENTRY_LOCATION ListLocation,
                                          KSIRP_REMOVAL_OPERATION RemovalOperation)
{
    BOOLEAN single = RemovalOperation == KsAcquireOnlySingleItem ||
                     RemovalOperation == KsAcquireAndRemoveOnlySingleItem;
    BOOLEAN remove = RemovalOperation == KsAcquireAndRemove ||
                     RemovalOperation == KsAcquireAndRemoveOnlySingleItem;
    PIRP found = NULL;
    PLIST_ENTRY entry;
    KIRQL irql;

    KeAcquireSpinLock(SpinLock, &irql);
    entry = ListLocation == KsListEntryHead ? QueueHead->Flink : QueueHead->Blink;
    while (entry != QueueHead) {
        PIRP irp = IrpOf(entry);

        if (IoSetCancelRoutine(irp, NULL)) {
            if (remove)
                RemoveEntryList(entry);
            found = irp;
            break;
        }
        if (single)
            break;
        entry = ListLocation == KsListEntryHead ? entry->Flink : entry->Blink;
    }
    KeReleaseSpinLock(SpinLock, irql);
    return found;
}

/* The IRP was acquired by the caller, so its lock does not change under us unless he moves it himself. */
void NTAPI KsRemoveSpecificIrpFromCancelableQueue(PIRP Irp)
{
    PKSPIN_LOCK lock = KSQUEUE_SPINLOCK_IRP_STORAGE(Irp);
    KIRQL irql;

    KeAcquireSpinLock(lock, &irql);
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
    KeReleaseSpinLock(lock, irql);
}

void NTAPI KsReleaseIrpOnCancelableQueue(PIRP Irp, PDRIVER_CANCEL DriverCancel)
{
    PKSPIN_LOCK lock = KSQUEUE_SPINLOCK_IRP_STORAGE(Irp);
    KIRQL irql;

    KeAcquireSpinLock(lock, &irql);
    MakeCancelable(Irp, lock, irql, DriverCancel);
}

/* Moves what the callback wants moved, acquired or not.  All locks held. */
static NTSTATUS MoveSome(PLIST_ENTRY Source, PLIST_ENTRY Destination, PKSPIN_LOCK DestinationLock,
                         KSLIST_ENTRY_LOCATION ListLocation, PFNKSIRPLISTCALLBACK ListCallback, PVOID Context)
{
    BOOLEAN forward = ListLocation == KsListEntryHead;
    PLIST_ENTRY entry = forward ? Source->Flink : Source->Blink;

    while (entry != Source) {
        PLIST_ENTRY next = forward ? entry->Flink : entry->Blink;
        PIRP irp = IrpOf(entry);
        NTSTATUS status = ListCallback(irp, Context);

        if (status == STATUS_SUCCESS) {
            RemoveEntryList(entry);
            Insert(Destination, irp, forward ? KsListEntryTail : KsListEntryHead);
            if (DestinationLock)
                KSQUEUE_SPINLOCK_IRP_STORAGE(irp) = DestinationLock;
        } else if (status != STATUS_NO_MATCH) {
            return status;
        }
        entry = next;
    }
    return STATUS_SUCCESS;
}

/* The last call of the callback, without an IRP, tells it that the enumeration is over, however it ended. */
NTSTATUS NTAPI KsMoveIrpsOnCancelableQueue(PLIST_ENTRY SourceList, PKSPIN_LOCK SourceLock,
                                           PLIST_ENTRY DestinationList, PKSPIN_LOCK DestinationLock,
                                           KSLIST_ENTRY_LOCATION ListLocation, PFNKSIRPLISTCALLBACK ListCallback,
                                           PVOID Context)
{
    KIRQL cancel = PASSIVE_LEVEL, source, destination = PASSIVE_LEVEL;
    NTSTATUS status;

    if (DestinationLock == SourceLock)
        DestinationLock = NULL;
    if (DestinationLock)
        IoAcquireCancelSpinLock(&cancel);
    KeAcquireSpinLock(SourceLock, &source);
    if (DestinationLock)
        KeAcquireSpinLock(DestinationLock, &destination);
    status = MoveSome(SourceList, DestinationList, DestinationLock, ListLocation, ListCallback, Context);
    (void)ListCallback(NULL, Context);
    if (DestinationLock)
        KeReleaseSpinLock(DestinationLock, destination);
    KeReleaseSpinLock(SourceLock, source);
    if (DestinationLock)
        IoReleaseCancelSpinLock(cancel);
    return status;
}

/* Marks every IRP of the queue as cancelled, and takes one that still has its cancel routine; NULL: none has. */
static PIRP TakeOneToCancel(PLIST_ENTRY QueueHead, PDRIVER_CANCEL *Routine)
{
    PLIST_ENTRY entry;

    for (entry = QueueHead->Flink; entry != QueueHead; entry = entry->Flink) {
        PIRP irp = IrpOf(entry);

        irp->Cancel = TRUE;
        *Routine = IoSetCancelRoutine(irp, NULL);
        if (*Routine)
            return irp;
    }
    return NULL;
}

/* The IRPs leave the queue by their cancel routines; each may change it in any way, so the search starts anew. */
void NTAPI KsCancelIo(PLIST_ENTRY QueueHead, PKSPIN_LOCK SpinLock)
{
    for (;;) {
        PDRIVER_CANCEL routine;
        KIRQL cancel, irql;
        PIRP irp;

        IoAcquireCancelSpinLock(&cancel);
        KeAcquireSpinLock(SpinLock, &irql);
        irp = TakeOneToCancel(QueueHead, &routine);
        KeReleaseSpinLock(SpinLock, irql);
        if (!irp) {
            IoReleaseCancelSpinLock(cancel);
            return;
        }
        CallCancel(irp, routine, cancel);
    }
}

/* Called under the system's cancel lock, as every cancel routine.  A routine that has set STATUS_CANCELLED before it
 * calls this one wants the IRP out of its queue and completes it itself. */
void NTAPI KsCancelRoutine(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PKSPIN_LOCK lock = KSQUEUE_SPINLOCK_IRP_STORAGE(Irp);
    KIRQL irql;

    UNREFERENCED_PARAMETER(DeviceObject);
    KeAcquireSpinLock(lock, &irql);
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
    KeReleaseSpinLock(lock, irql);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    if (Irp->IoStatus.Status == STATUS_CANCELLED)
        return;
    Irp->IoStatus.Status = STATUS_CANCELLED;
    Irp->IoStatus.Information = 0;
    if (!RefksCompleteRequest(Irp))     /* it may be one that a handler of ours left pending */
        IoCompleteRequest(Irp, IO_NO_INCREMENT);
}
