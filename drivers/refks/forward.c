/* SPDX-License-Identifier: Apache-2.0
 *
 * forward.c - IRPs that a minidriver passes on to another device.
 */
#include "refks.h"

static BOOLEAN HasNextLocation(PIRP Irp)
{
    return Irp->CurrentLocation > 1;
}

/* Whoever called us owns the IRP no more, whatever the answer. */
NTSTATUS NTAPI KsForwardIrp(PIRP Irp, PFILE_OBJECT FileObject, BOOLEAN ReuseStackLocation)
{
    PDEVICE_OBJECT device = kshs_related_device(FileObject);

    if (!device || (!ReuseStackLocation && !HasNextLocation(Irp)))
        return kshs_complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    if (ReuseStackLocation) {
        IoGetCurrentIrpStackLocation(Irp)->FileObject = FileObject;
        IoSkipCurrentIrpStackLocation(Irp);
    } else {
        IoCopyCurrentIrpStackLocationToNext(Irp);
        IoGetNextIrpStackLocation(Irp)->FileObject = FileObject;
    }
    return IoCallDriver(device, Irp);
}

/* The location is lent to the driver below, completion routine and all, and is as before when the IRP is back. */
static NTSTATUS LendLocation(PDEVICE_OBJECT DeviceObject, PIRP Irp, PFILE_OBJECT FileObject)
{
    PIO_STACK_LOCATION current = IoGetCurrentIrpStackLocation(Irp);
    IO_STACK_LOCATION saved = *current;
    NTSTATUS status;

    current->FileObject = FileObject;
    IoSkipCurrentIrpStackLocation(Irp);
    status = RefksSend(Irp, DeviceObject);
    IoSetNextIrpStackLocation(Irp);
    *current = saved;
    return status;
}

/* The IRP comes back, and it is the caller's to complete. */
NTSTATUS NTAPI KsForwardAndCatchIrp(PDEVICE_OBJECT DeviceObject, PIRP Irp, PFILE_OBJECT FileObject,
                                    KSSTACK_USE StackUse)
{
    if (StackUse == KsStackReuseCurrentLocation)
        return LendLocation(DeviceObject, Irp, FileObject);
    if (!HasNextLocation(Irp))
        return STATUS_INVALID_DEVICE_REQUEST;
    if (StackUse == KsStackCopyToNewLocation)
        IoCopyCurrentIrpStackLocationToNext(Irp);
    IoGetNextIrpStackLocation(Irp)->FileObject = FileObject;
    return RefksSend(Irp, DeviceObject);
}
