/* SPDX-License-Identifier: Apache-2.0
 *
 * make.c - controls for Wine alone: pins and filters that its I/O manager has
 * no name for are made of an open filter, and the client is told what is held.
 */
#include "refks.h"

/* Turns the filter handle that the request came on into a pin.  Only for Wine, which cannot open a file
 * relative to another: everywhere else a pin is opened by its name. */
NTSTATUS RefksMakePin(REFKS_HEADER *Header, PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    const WCHAR *name = Irp->AssociatedIrp.SystemBuffer;
    ULONG length = stack->Parameters.DeviceIoControl.InputBufferLength;
    const ULONG prefix = (REFKS_PIN_NAME_CHARACTERS + 1) * sizeof(WCHAR);

    if (!kshs_is_wine() || Header->Type != KsObjectTypeFilter)
        return kshs_complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    if (length <= prefix || !name || !RefksIsPinName(name, length / sizeof(WCHAR)))
        return kshs_complete(Irp, STATUS_OBJECT_NAME_NOT_FOUND, 0);
    return RefksCreatePin(CONTAINING_RECORD(Header, REFKS_FILTER, Header), Irp, stack->FileObject, TRUE,
                          (const UCHAR *)name + prefix, length - prefix);
}

/* ---- filters of further factories --------------------------------------------------- */

static NTSTATUS Ready(const REFKS_DEVICE *Device)
{
    return Device->Removed ? STATUS_DEVICE_REMOVED : Device->Public.Started ? STATUS_SUCCESS : STATUS_DEVICE_NOT_READY;
}

/* Where the open was refused, by the first factory, nobody holds the device any more. */
static NTSTATUS MakeOfNothing(PDEVICE_OBJECT DeviceObject, PIRP Irp, const WCHAR *Name, ULONG Characters)
{
    REFKS_DEVICE *device = RefksDeviceFromDeviceObject(DeviceObject);
    NTSTATUS status = device ? Ready(device) : STATUS_FILE_CLOSED;

    if (NT_SUCCESS(status) && !RefksEnter(&device->Header))
        status = STATUS_DEVICE_REMOVED;
    if (NT_SUCCESS(status)) {
        status = RefksTurnFilter(device, Irp, Name, Characters, NULL);
        RefksLeave(&device->Header);
    } else {
        status = kshs_complete(Irp, status, 0);
    }
    if (device)
        RefksDereference(&device->Header);
    return status;
}

static NTSTATUS CheckRequest(const REFKS_HEADER *Header, const WCHAR *Name, ULONG Bytes)
{
    if (!kshs_is_wine() || (Header && Header->Type != KsObjectTypeFilter))
        return STATUS_INVALID_DEVICE_REQUEST;
    if (!Name || !Bytes || Bytes % sizeof(WCHAR) || Bytes > MAXUSHORT)
        return STATUS_OBJECT_NAME_NOT_FOUND;
    return Header ? Ready(Header->Device) : STATUS_SUCCESS;
}

/* Turns the handle into a filter of the factory that is named: Wine finds none but the first by an open. */
NTSTATUS RefksMakeFilter(PDEVICE_OBJECT DeviceObject, REFKS_HEADER *Header, PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    const WCHAR *name = Irp->AssociatedIrp.SystemBuffer;
    ULONG length = stack->Parameters.DeviceIoControl.InputBufferLength;
    NTSTATUS status = CheckRequest(Header, name, length);

    if (!NT_SUCCESS(status)) {
        if (Header)
            RefksLeave(Header);
        return kshs_complete(Irp, status, 0);
    }
    if (!Header)
        return MakeOfNothing(DeviceObject, Irp, name, length / sizeof(WCHAR));
    return RefksTurnFilter(Header->Device, Irp, name, length / sizeof(WCHAR), Header);
}

/* ---- who keeps what ------------------------------------------------------------------- */

/* Who keeps the object and its device: for the client, which tells what leaks (docs/client.md). */
NTSTATUS RefksHeld(REFKS_HEADER *Header, PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    REFKS_HEADER *device = &Header->Device->Header;
    kshs_held *held = Irp->AssociatedIrp.SystemBuffer;

    if (!kshs_is_wine() || Irp->RequestorMode != KernelMode)
        return kshs_complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    if (!held || stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(*held))
        return kshs_complete(Irp, STATUS_BUFFER_TOO_SMALL, 0);
    held->object_inside = (uint32_t)Header->Rundown.Value / 2;
    held->object_references = (uint32_t)Header->References;
    held->device_inside = (uint32_t)device->Rundown.Value / 2;
    held->device_references = (uint32_t)device->References;
    return kshs_complete(Irp, STATUS_SUCCESS, sizeof(*held));
}
