/* SPDX-License-Identifier: Apache-2.0
 *
 * object.c - how objects live and die.
 */
#include "refks.h"

KSPIN_LOCK RefksLock;           /* zero is an initialised spin lock: nobody calls our DriverEntry on Wine */

PVOID RefksAllocate(SIZE_T Size)
{
    PVOID memory = ExAllocatePoolWithTag(NonPagedPool, Size, REFKS_TAG);

    if (memory)
        RtlZeroMemory(memory, Size);
    return memory;
}

void RefksFree(PVOID Memory)
{
    if (Memory)
        ExFreePoolWithTag(Memory, REFKS_TAG);
}

void RefksInitializeHeader(REFKS_HEADER *Header, KSOBJECTTYPE Type, REFKS_DEVICE *Device, REFKS_HEADER *Parent)
{
    Header->Signature = REFKS_SIGNATURE_OBJECT;
    Header->Type = Type;
    Header->References = 1;
    Header->Device = Device;
    Header->Parent = Parent;
    InitializeListHead(&Header->Children);
    InitializeListHead(&Header->Sibling);
    InitializeListHead(&Header->Open);
    RefksInitializeBag(&Header->Bag, Device);
    if (Parent)
        RefksReference(Parent);
}

void RefksReference(REFKS_HEADER *Header)
{
    InterlockedIncrement(&Header->References);
}

void RefksDereference(REFKS_HEADER *Header)
{
    /* A loop, not a recursion: an object's memory holds its parent's. */
    while (Header && InterlockedDecrement(&Header->References) == 0) {
        REFKS_HEADER *parent = Header->Parent;

        Header->Signature = REFKS_SIGNATURE_DEAD;
        RefksFree(Header);
        Header = parent;
    }
}

BOOLEAN RefksEnter(REFKS_HEADER *Header)
{
    LONG value = Header->Rundown.Value;

    for (;;) {
        LONG seen;

        if (value & 1)
            return FALSE;
        seen = InterlockedCompareExchange(&Header->Rundown.Value, value + 2, value);
        if (seen == value)
            return TRUE;
        value = seen;
    }
}

void RefksLeave(REFKS_HEADER *Header)
{
    if (InterlockedExchangeAdd(&Header->Rundown.Value, -2) == 3)
        (void)RefksFinish(Header);
}

BOOLEAN RefksCloseIfIdle(REFKS_HEADER *Header)
{
    return InterlockedCompareExchange(&Header->Rundown.Value, 1, 0) == 0;
}

REFKS_CLOSING RefksClose(REFKS_HEADER *Header)
{
    LONG value = Header->Rundown.Value;

    for (;;) {
        LONG seen;

        if (value & 1)
            return RefksClosingAlready;
        seen = InterlockedCompareExchange(&Header->Rundown.Value, value | 1, value);
        if (seen == value)
            return value ? RefksClosingBusy : RefksClosingIdle;
        value = seen;
    }
}

REFKS_CLOSING RefksCloseUnlocked(REFKS_HEADER *Header)
{
    REFKS_CLOSING closing;
    KIRQL irql;

    KeAcquireSpinLock(&RefksLock, &irql);
    closing = RefksClose(Header);
    KeReleaseSpinLock(&RefksLock, irql);
    return closing;
}

BOOLEAN RefksIsClosing(const REFKS_HEADER *Header)
{
    return (BOOLEAN)(Header->Rundown.Value & 1);
}

NTSTATUS RefksFinish(REFKS_HEADER *Header)
{
    switch (Header->Type) {
    case KsObjectTypePin:
        return RefksFinishPin(CONTAINING_RECORD(Header, REFKS_PIN, Header));
    case KsObjectTypeFilter:
        return RefksFinishFilter(CONTAINING_RECORD(Header, REFKS_FILTER, Header));
    case KsObjectTypeDevice:
        RefksDeviceFinish(CONTAINING_RECORD(Header, REFKS_DEVICE, Header));
        return STATUS_SUCCESS;
    default:                    /* factories are deleted with their device, and nobody enters them */
        return STATUS_SUCCESS;
    }
}

/* A fast mutex in a critical region: no IRQL is raised, and nobody can be suspended while he holds it.
 * Taking a free one is a single interlocked operation, which matters where every wait is a call to a server. */
void RefksLockMutex(PFAST_MUTEX Mutex)
{
    KeEnterCriticalRegion();
    ExAcquireFastMutexUnsafe(Mutex);
}

void RefksUnlockMutex(PFAST_MUTEX Mutex)
{
    ExReleaseFastMutexUnsafe(Mutex);
    KeLeaveCriticalRegion();
}

HANDLE RefksRequestor(PIRP Irp)
{
    PEPROCESS process = Irp->Tail.Overlay.Thread ? IoGetRequestorProcess(Irp) : NULL;

    return process ? PsGetProcessId(process) : NULL;
}

BOOLEAN RefksSameGuid(const GUID *One, const GUID *Other)
{
    return RtlCompareMemory(One, Other, sizeof(GUID)) == sizeof(GUID);
}

PIRP RefksPrivateIrp(REFKS_HEADER *Header, UCHAR Major, UCHAR Minor)
{
    PIRP irp = IoAllocateIrp(2, FALSE);
    PIO_STACK_LOCATION stack;

    if (!irp)
        return NULL;
    IoSetNextIrpStackLocation(irp);     /* its current location is what the routine looks at */
    stack = IoGetCurrentIrpStackLocation(irp);
    stack->MajorFunction = Major;
    stack->MinorFunction = Minor;
    stack->DeviceObject = Header->Device->Public.FunctionalDeviceObject;
    stack->FileObject = Header->FileObject;
    stack->Parameters.Others.Argument1 = Header;        /* for KsCompletePendingRequest */
    irp->RequestorMode = KernelMode;
    irp->IoStatus.Status = STATUS_SUCCESS;
    return irp;
}
