/* SPDX-License-Identifier: Apache-2.0
 *
 * queues.c - cancel-safe queues.
 */
#include "calls.h"

static LIST_ENTRY List;
static KSPIN_LOCK Lock;
static IO_CSQ Csq;
static IO_CSQ_IRP_CONTEXT Context;
static volatile LONG Cancelled;
static PIRP Given;                      /* an IRP that was given to the queue */
static NTSTATUS Refusal;

static VOID NTAPI Insert(PIO_CSQ Queue, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Queue);
    InsertTailList(&List, &Irp->Tail.Overlay.ListEntry);
}

static NTSTATUS NTAPI InsertEx(PIO_CSQ Queue, PIRP Irp, PVOID InsertContext)
{
    if (NT_SUCCESS(Refusal) && InsertContext == &Refusal)
        Insert(Queue, Irp);
    return Refusal;
}

static VOID NTAPI Remove(PIO_CSQ Queue, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Queue);
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
}

static PIRP NTAPI Peek(PIO_CSQ Queue, PIRP Irp, PVOID PeekContext)
{
    PLIST_ENTRY next = Irp ? Irp->Tail.Overlay.ListEntry.Flink : List.Flink;

    UNREFERENCED_PARAMETER(Queue);
    UNREFERENCED_PARAMETER(PeekContext);
    return next == &List ? NULL : CONTAINING_RECORD(next, IRP, Tail.Overlay.ListEntry);
}

static VOID NTAPI Acquire(PIO_CSQ Queue, PKIRQL Irql)
{
    UNREFERENCED_PARAMETER(Queue);
    KeAcquireSpinLock(&Lock, Irql);
}

static VOID NTAPI Release(PIO_CSQ Queue, KIRQL Irql)
{
    UNREFERENCED_PARAMETER(Queue);
    KeReleaseSpinLock(&Lock, Irql);
}

static VOID NTAPI CompleteCancelled(PIO_CSQ Queue, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Queue);
    if (Irp == Given)
        (void)InterlockedIncrement(&Cancelled);
}

static NTSTATUS Initialize(VOID)
{
    InitializeListHead(&List);
    KeInitializeSpinLock(&Lock);
    Cancelled = 0;
    FILLED(Csq);
    return IoCsqInitialize(&Csq, Insert, Remove, Peek, Acquire, Release, CompleteCancelled);
}

/* An IRP as a dispatch routine has it. */
static PIRP Fresh(VOID)
{
    Given = IoAllocateIrp(2, FALSE);
    IoSetNextIrpStackLocation(Given);
    return Given;
}

PROBE(Probe_IoCsqInitialize)
{
    EXPECT(Initialize() == STATUS_SUCCESS, "fails");
}

PROBE(Probe_IoCsqInitializeEx)
{
    EXPECT(IoCsqInitializeEx(&Csq, InsertEx, Remove, Peek, Acquire, Release, CompleteCancelled) == STATUS_SUCCESS,
           "fails");
}

PROBE(Probe_IoCsqInsertIrp)
{
    PIRP irp;

    (void)Initialize();
    irp = Fresh();
    IoCsqInsertIrp(&Csq, irp, NULL);
    EXPECT(!IsListEmpty(&List), "does not insert the IRP");
    EXPECT(IoGetCurrentIrpStackLocation(irp)->Control & SL_PENDING_RETURNED, "does not mark the IRP pending");
}

PROBE(CancelInQueue)
{
    (void)Initialize();
    IoCsqInsertIrp(&Csq, Fresh(), NULL);
    EXPECT(IoCancelIrp(Given), "makes an IRP that cannot be cancelled");
    EXPECT(Cancelled == 1 && IsListEmpty(&List), "does not give a cancelled IRP to the driver's routine");
}

PROBE(InsertCancelled)
{
    (void)Initialize();
    (void)IoCancelIrp(Fresh());
    IoCsqInsertIrp(&Csq, Given, NULL);
    EXPECT(Cancelled == 1 && IsListEmpty(&List), "keeps an IRP that was cancelled before");
}

PROBE(Probe_IoCsqInsertIrpEx)
{
    (void)Initialize();
    Refusal = STATUS_SUCCESS;
    (void)IoCsqInitializeEx(&Csq, InsertEx, Remove, Peek, Acquire, Release, CompleteCancelled);
    EXPECT(IoCsqInsertIrpEx(&Csq, Fresh(), NULL, &Refusal) == STATUS_SUCCESS && !IsListEmpty(&List),
           "does not insert the IRP");
    Refusal = (NTSTATUS)STATUS_DEVICE_BUSY;
    EXPECT(IoCsqInsertIrpEx(&Csq, Fresh(), NULL, &Refusal) == (NTSTATUS)STATUS_DEVICE_BUSY,
           "does not answer what the driver's routine answers");
    EXPECT(!IoCancelIrp(Given), "makes an IRP that was refused one that is cancelled");
}

PROBE(Probe_IoCsqRemoveNextIrp)
{
    PIRP first;

    (void)Initialize();
    first = Fresh();
    IoCsqInsertIrp(&Csq, first, NULL);
    IoCsqInsertIrp(&Csq, Fresh(), NULL);
    EXPECT(IoCsqRemoveNextIrp(&Csq, NULL) == first, "does not answer the first IRP");
    EXPECT(!IoCancelIrp(first) && !Cancelled, "makes an IRP that is still cancelled by the queue");
    EXPECT(IoCsqRemoveNextIrp(&Csq, NULL) == Given && !IoCsqRemoveNextIrp(&Csq, NULL),
           "does not answer the second IRP, and then NULL");
}

PROBE(Probe_IoCsqRemoveIrp)
{
    (void)Initialize();
    IoCsqInsertIrp(&Csq, Fresh(), &Context);
    EXPECT(IoCsqRemoveIrp(&Csq, &Context) == Given && IsListEmpty(&List), "does not remove the IRP");
    EXPECT(!IoCsqRemoveIrp(&Csq, &Context), "removes an IRP twice");
}

PROBE(RemoveCancelled)
{
    (void)Initialize();
    IoCsqInsertIrp(&Csq, Fresh(), &Context);
    (void)IoCancelIrp(Given);
    EXPECT(Cancelled == 1, "finds an IRP that cannot be cancelled");
    EXPECT(!IoCsqRemoveIrp(&Csq, &Context), "removes an IRP that was cancelled");
}

/* Those that are inserted and those that are cancelled at once: each ends once. */
static volatile LONG Removed, Inserted;

static VOID NTAPI CountCancelled(PIO_CSQ Queue, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Queue);
    UNREFERENCED_PARAMETER(Irp);
    (void)InterlockedIncrement(&Cancelled);
}

static VOID NTAPI Drains(PVOID Unused)
{
    UNREFERENCED_PARAMETER(Unused);
    while (Inserted >= 0) {
        if (IoCsqRemoveNextIrp(&Csq, NULL))
            (void)InterlockedIncrement(&Removed);
    }
    (void)InterlockedIncrement(&Removed);
    (void)PsTerminateSystemThread(STATUS_SUCCESS);
}

PROBE(Race)
{
    ULONG i;

    (void)Initialize();
    (void)IoCsqInitialize(&Csq, Insert, Remove, Peek, Acquire, Release, CountCancelled);
    Removed = Inserted = 0;
    (void)IoCsqRemoveNextIrp(&Csq, NULL);       /* what throws, throws here and not in a thread without a guard */
    Beside(Drains, NULL);
    for (i = 0; i < 2000; i++) {
        PIRP irp = Fresh();

        IoCsqInsertIrp(&Csq, irp, NULL);
        (void)IoCancelIrp(irp);
    }
    while (IoCsqRemoveNextIrp(&Csq, NULL))
        (void)InterlockedIncrement(&Removed);
    Inserted = -1;
    (void)Reaches(&Removed, 1);
    Sleep(50);
    EXPECT(Cancelled + Removed == 2001, "loses an IRP, or ends one twice, where removal meets cancellation");
}

const PROBE QueueProbes[] = {
    P(IoCsqInitialize), P(IoCsqInitializeEx), P(IoCsqInsertIrp),
    CASE(IoCsqInsertIrp, "and a cancellation", CancelInQueue),
    CASE(IoCsqInsertIrp, "for an IRP that is cancelled", InsertCancelled), P(IoCsqInsertIrpEx),
    P(IoCsqRemoveNextIrp), CASE(IoCsqRemoveNextIrp, "against cancellation", Race), P(IoCsqRemoveIrp),
    CASE(IoCsqRemoveIrp, "for an IRP that was cancelled", RemoveCancelled), ENDS
};
