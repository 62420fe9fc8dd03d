/* SPDX-License-Identifier: Apache-2.0
 *
 * late.c - ends of pending requests that come at a raised IRQL.
 *
 * A minidriver may call KsCompletePendingRequest in a DPC or under a spin
 * lock, and a cancel routine runs wherever IoCancelIrp was called.  The end of
 * a request delivers data to the sender, takes mutexes, and may close an
 * object, for which the minidriver is called: all of that wants PASSIVE_LEVEL.
 * A work item of the device does it there; both are made with the device, so
 * that nothing can fail when it is too late to say so.
 */
#include "refks.h"

static PIRP TakeOne(REFKS_DEVICE *Device)
{
    PIRP irp = NULL;
    KIRQL irql;

    KeAcquireSpinLock(&RefksLock, &irql);
    if (IsListEmpty(&Device->Late))
        Device->LateQueued = FALSE;
    else
        irp = CONTAINING_RECORD(RemoveHeadList(&Device->Late), IRP, Tail.Overlay.ListEntry);
    KeReleaseSpinLock(&RefksLock, irql);
    return irp;
}

static VOID NTAPI FinishLate(PDEVICE_OBJECT DeviceObject, PVOID Context)
{
    REFKS_DEVICE *device = Context;
    PIRP irp;

    UNREFERENCED_PARAMETER(DeviceObject);
    while ((irp = TakeOne(device)) != NULL)
        RefksEndPending(irp);
    RefksDereference(&device->Header);
}

/* Wine has no IRQL above PASSIVE_LEVEL, so it needs none of this. */
NTSTATUS RefksInitializeLate(REFKS_DEVICE *Device)
{
    InitializeListHead(&Device->Late);
    if (kshs_is_wine())
        return STATUS_SUCCESS;
    Device->LateItem = IoAllocateWorkItem(Device->Public.FunctionalDeviceObject);
    return Device->LateItem ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

/* Nothing is pending any more; it may be the work item itself that found so. */
void RefksEndLate(REFKS_DEVICE *Device)
{
    if (Device->LateItem)
        IoFreeWorkItem(Device->LateItem);
    Device->LateItem = NULL;
}

/* The IRP is in no queue of the minidriver's any more, so that its list entry is ours. */
BOOLEAN RefksPostpone(PIRP Irp)
{
    PDEVICE_OBJECT functional = IoGetCurrentIrpStackLocation(Irp)->DeviceObject;
    BOOLEAN queue = FALSE;
    REFKS_DEVICE *device;
    KIRQL irql;

    if (kshs_current_irql() == PASSIVE_LEVEL)
        return FALSE;
    device = RefksDeviceFromDeviceObject(functional);
    if (!device)
        return FALSE;
    KeAcquireSpinLock(&RefksLock, &irql);
    InsertTailList(&device->Late, &Irp->Tail.Overlay.ListEntry);
    if (!device->LateQueued)
        queue = device->LateQueued = TRUE;
    KeReleaseSpinLock(&RefksLock, irql);
    if (queue)
        IoQueueWorkItem(device->LateItem, FinishLate, DelayedWorkQueue, device);   /* our reference goes with it */
    else
        RefksDereference(&device->Header);
    return TRUE;
}
