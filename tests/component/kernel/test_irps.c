/* SPDX-License-Identifier: Apache-2.0
 *
 * test_irps.c - ksclient/irp.c: every IRP of the IRP route is freed, and none of them while it looks in flight,
 * however its driver completes it.
 */
#include "ksclient.h"
#include "kernel.h"

#define MANY 200                    /* more than the ring of retired IRPs holds */

static int times;                   /* that the driver completes an IRP */

static NTSTATUS NTAPI dispatch(PDEVICE_OBJECT device, PIRP irp)
{
    int i;

    (void)device;
    for (i = 0; i < times; i++) {
        irp->IoStatus.Status = STATUS_SUCCESS;
        irp->IoStatus.Information = 0;
        IoCompleteRequest(irp, IO_NO_INCREMENT);
    }
    return STATUS_SUCCESS;
}

int wmain(int count, wchar_t **arguments)
{
    static DRIVER_OBJECT driver;
    static DEVICE_OBJECT device;
    static FILE_OBJECT file;
    static ksc_request request;
    int i;

    (void)count;
    (void)arguments;
    kernel_start(FALSE);
    driver.MajorFunction[IRP_MJ_DEVICE_CONTROL] = dispatch;
    device.DriverObject = &driver;
    device.StackSize = 3;
    file.DeviceObject = &device;
    request.file = &file;
    request.p.control = 0x002F001F;
    ksc_attempts_init();
    for (i = 0; i < MANY; i++) {
        ksc_attempt *attempt = ksc_attempt_create(&request, &device);

        times = 1 + i % 3;
        (void)IoCallDriver(&device, attempt->irp);
        kernel_check(attempt->runs == times, "the completions were not counted");
        if (i % 7 == 0)
            attempt->irp->CancelRoutine = (PDRIVER_CANCEL)(ULONG_PTR)dispatch;  /* left there by the driver */
        ksc_attempt_retire(attempt);
    }
    ksc_attempts_stop();
    ksc_attempts_stop();            /* nothing is freed twice */
    return kernel_end();
}
