/* SPDX-License-Identifier: Apache-2.0
 *
 * test_syncio.c - refks/syncio.c: whoever sends an IRP and waits for it is woken, wherever it is completed.
 */
#include "refks.h"
#include "kernel.h"

static DRIVER_OBJECT driver;
static DEVICE_OBJECT device;
static FILE_OBJECT file;
static PIRP held;

PVOID RefksAllocate(SIZE_T size)
{
    return kshs_zalloc(size, REFKS_TAG);
}

void RefksFree(PVOID memory)
{
    if (memory)
        ExFreePoolWithTag(memory, REFKS_TAG);
}

static void complete(void)
{
    held->IoStatus.Status = STATUS_SUCCESS;
    held->IoStatus.Information = 5;
    IoCompleteRequest(held, IO_NO_INCREMENT);
}

static NTSTATUS NTAPI at_once(PDEVICE_OBJECT to, PIRP irp)
{
    (void)to;
    held = irp;
    complete();
    return STATUS_SUCCESS;
}

/* In the sending thread and not inside its call: a DPC on the way to the wait, or an APC in it. */
static NTSTATUS NTAPI later(PDEVICE_OBJECT to, PIRP irp)
{
    (void)to;
    held = irp;
    IoMarkIrpPending(irp);
    kernel_while_waiting = complete;
    return STATUS_PENDING;
}

static void send(PDRIVER_DISPATCH how)
{
    ULONG bytes = 0;
    NTSTATUS status;

    driver.MajorFunction[IRP_MJ_DEVICE_CONTROL] = how;
    status = KsSynchronousIoControlDevice(&file, KernelMode, 0x002F001F, NULL, 0, NULL, 0, &bytes);
    kernel_check(status == STATUS_SUCCESS && bytes == 5, "the answer is not the IRP's");
}

int wmain(int count, wchar_t **arguments)
{
    kernel_start(count > 1 && arguments[1][0] == L'w');
    device.DriverObject = &driver;
    device.StackSize = 1;
    file.DeviceObject = &device;
    send(at_once);
    send(later);
    send(at_once);
    return kernel_end();
}
