/* SPDX-License-Identifier: Apache-2.0
 *
 * csq.c - cancel-safe IRP queues: the driver keeps the list and the lock, the
 * order of steps in which cancellation cannot overtake removal is here.
 * IRQL <= DISPATCH_LEVEL.
 */
#include "wdmsup.h"

#define TYPE_CONTEXT 1
#define TYPE_QUEUE 2
#define TYPE_QUEUE_EX 3

NTSTATUS NTAPI SupIoCsqInitialize(PIO_CSQ Csq, PIO_CSQ_INSERT_IRP Insert, PIO_CSQ_REMOVE_IRP Remove,
                                  PIO_CSQ_PEEK_NEXT_IRP Peek, PIO_CSQ_ACQUIRE_LOCK Acquire,
                                  PIO_CSQ_RELEASE_LOCK Release, PIO_CSQ_COMPLETE_CANCELED_IRP Complete);
NTSTATUS NTAPI SupIoCsqInitializeEx(PIO_CSQ Csq, PIO_CSQ_INSERT_IRP_EX Insert, PIO_CSQ_REMOVE_IRP Remove,
                                    PIO_CSQ_PEEK_NEXT_IRP Peek, PIO_CSQ_ACQUIRE_LOCK Acquire,
                                    PIO_CSQ_RELEASE_LOCK Release, PIO_CSQ_COMPLETE_CANCELED_IRP Complete);
NTSTATUS NTAPI SupIoCsqInsertIrpEx(PIO_CSQ Csq, PIRP Irp, PIO_CSQ_IRP_CONTEXT Context, PVOID InsertContext);
VOID NTAPI SupIoCsqInsertIrp(PIO_CSQ Csq, PIRP Irp, PIO_CSQ_IRP_CONTEXT Context);
PIRP NTAPI SupIoCsqRemoveIrp(PIO_CSQ Csq, PIO_CSQ_IRP_CONTEXT Context);
PIRP NTAPI SupIoCsqRemoveNextIrp(PIO_CSQ Csq, PVOID PeekContext);

NTSTATUS NTAPI SupIoCsqInitialize(PIO_CSQ Csq, PIO_CSQ_INSERT_IRP Insert, PIO_CSQ_REMOVE_IRP Remove,
                                  PIO_CSQ_PEEK_NEXT_IRP Peek, PIO_CSQ_ACQUIRE_LOCK Acquire,
                                  PIO_CSQ_RELEASE_LOCK Release, PIO_CSQ_COMPLETE_CANCELED_IRP Complete)
{
    RtlZeroMemory(Csq, sizeof(*Csq));
    Csq->Type = TYPE_QUEUE;
    Csq->CsqInsertIrp = Insert;
    Csq->CsqRemoveIrp = Remove;
    Csq->CsqPeekNextIrp = Peek;
    Csq->CsqAcquireLock = Acquire;
    Csq->CsqReleaseLock = Release;
    Csq->CsqCompleteCanceledIrp = Complete;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI SupIoCsqInitializeEx(PIO_CSQ Csq, PIO_CSQ_INSERT_IRP_EX Insert, PIO_CSQ_REMOVE_IRP Remove,
                                    PIO_CSQ_PEEK_NEXT_IRP Peek, PIO_CSQ_ACQUIRE_LOCK Acquire,
                                    PIO_CSQ_RELEASE_LOCK Release, PIO_CSQ_COMPLETE_CANCELED_IRP Complete)
{
    NTSTATUS status = SupIoCsqInitialize(Csq, (PIO_CSQ_INSERT_IRP)(ULONG_PTR)Insert, Remove, Peek, Acquire, Release,
                                         Complete);

    Csq->Type = TYPE_QUEUE_EX;
    return status;
}

/* With the queue's lock: nobody finds the IRP any more. */
static VOID Take(PIO_CSQ Csq, PIRP Irp)
{
    PIO_CSQ_IRP_CONTEXT context = Irp->Tail.Overlay.DriverContext[3];

    Csq->CsqRemoveIrp(Csq, Irp);
    if (context->Type == TYPE_CONTEXT)
        context->Irp = NULL;
    Irp->Tail.Overlay.DriverContext[3] = NULL;
}

static VOID NTAPI Cancel(PDEVICE_OBJECT Device, PIRP Irp)
{
    PIO_CSQ csq;
    KIRQL irql;

    UNREFERENCED_PARAMETER(Device);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    csq = Irp->Tail.Overlay.DriverContext[3];
    if (csq->Type == TYPE_CONTEXT)
        csq = ((PIO_CSQ_IRP_CONTEXT)csq)->Csq;
    csq->CsqAcquireLock(csq, &irql);
    Take(csq, Irp);
    csq->CsqReleaseLock(csq, irql);
    csq->CsqCompleteCanceledIrp(csq, Irp);
}

/* Marks the IRP pending: its dispatch routine returns STATUS_PENDING, unless an inserting routine refuses it. */
NTSTATUS NTAPI SupIoCsqInsertIrpEx(PIO_CSQ Csq, PIRP Irp, PIO_CSQ_IRP_CONTEXT Context, PVOID InsertContext)
{
    NTSTATUS status = STATUS_SUCCESS;
    BOOLEAN canceled = FALSE;
    KIRQL irql;

    if (Context) {
        Context->Type = TYPE_CONTEXT;
        Context->Irp = Irp;
        Context->Csq = Csq;
    }
    Irp->Tail.Overlay.DriverContext[3] = Context ? (PVOID)Context : Csq;
    Csq->CsqAcquireLock(Csq, &irql);
    if (Csq->Type == TYPE_QUEUE_EX)
        status = ((PIO_CSQ_INSERT_IRP_EX)(ULONG_PTR)Csq->CsqInsertIrp)(Csq, Irp, InsertContext);
    else
        Csq->CsqInsertIrp(Csq, Irp);
    if (NT_SUCCESS(status)) {
        IoMarkIrpPending(Irp);
        (void)IoSetCancelRoutine(Irp, Cancel);
        /* Cancelled before there was a routine: it is ours, unless the routine has been called since. */
        canceled = Irp->Cancel && IoSetCancelRoutine(Irp, NULL);
        if (canceled)
            Take(Csq, Irp);
    } else if (Context) {
        Context->Irp = NULL;
    }
    Csq->CsqReleaseLock(Csq, irql);
    if (canceled)
        Csq->CsqCompleteCanceledIrp(Csq, Irp);
    return status;
}

VOID NTAPI SupIoCsqInsertIrp(PIO_CSQ Csq, PIRP Irp, PIO_CSQ_IRP_CONTEXT Context)
{
    (void)SupIoCsqInsertIrpEx(Csq, Irp, Context, NULL);
}

PIRP NTAPI SupIoCsqRemoveIrp(PIO_CSQ Csq, PIO_CSQ_IRP_CONTEXT Context)
{
    PIRP irp;
    KIRQL irql;

    Csq->CsqAcquireLock(Csq, &irql);
    irp = Context->Irp;
    if (irp && IoSetCancelRoutine(irp, NULL))
        Take(Csq, irp);
    else
        irp = NULL;             /* its cancel routine is on the way and takes it */
    Csq->CsqReleaseLock(Csq, irql);
    return irp;
}

PIRP NTAPI SupIoCsqRemoveNextIrp(PIO_CSQ Csq, PVOID PeekContext)
{
    PIRP irp;
    KIRQL irql;

    Csq->CsqAcquireLock(Csq, &irql);
    for (irp = Csq->CsqPeekNextIrp(Csq, NULL, PeekContext); irp; irp = Csq->CsqPeekNextIrp(Csq, irp, PeekContext)) {
        if (IoSetCancelRoutine(irp, NULL)) {
            Take(Csq, irp);
            break;
        }
    }
    Csq->CsqReleaseLock(Csq, irql);
    return irp;
}
