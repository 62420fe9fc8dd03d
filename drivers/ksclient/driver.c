/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.c - entry, unload and dispatch of the client.
 *
 * No dispatch routine blocks: on Wine all drivers of a process share one
 * dispatch thread, and waiting in it for another driver is a deadlock.
 */
#include "ksclient.h"
#include <ks.h>
#include "kshs_abi_check.h"

DRIVER_INITIALIZE DriverEntry;

static UNICODE_STRING device_name = RTL_CONSTANT_STRING(L"\\Device\\KsHsClient");
static UNICODE_STRING link_name = RTL_CONSTANT_STRING(L"\\??\\KsHsClient");

static NTSTATUS NTAPI dispatch_create(PDEVICE_OBJECT device, PIRP irp)
{
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;

    KSHS_UNUSED(device);
    if (!file)
        return kshs_complete(irp, STATUS_INVALID_PARAMETER, 0);
    file->FsContext = NULL;
    if (file->FileName.Length)                  /* there is nothing below the device */
        return kshs_complete(irp, STATUS_OBJECT_NAME_NOT_FOUND, 0);
    file->FsContext = ksc_context_create();
    return kshs_complete(irp, file->FsContext ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES, 0);
}

/* NT sends CLEANUP with the last handle and CLOSE with the last reference; Wine sends
 * CLOSE alone.  Whichever comes first begins the teardown, which runs in a thread. */
static NTSTATUS NTAPI dispatch_cleanup(PDEVICE_OBJECT device, PIRP irp)
{
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;

    KSHS_UNUSED(device);
    if (file && file->FsContext)
        ksc_context_shut(file->FsContext);
    return kshs_complete(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI dispatch_close(PDEVICE_OBJECT device, PIRP irp)
{
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;
    ksc_context *context = file ? file->FsContext : NULL;

    KSHS_UNUSED(device);
    if (context) {
        file->FsContext = NULL;
        ksc_context_shut(context);
        ksc_context_release(context);
    }
    return kshs_complete(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS answer_version(PIRP irp, PIO_STACK_LOCATION stack)
{
    kshs_client_version version;
    RTL_OSVERSIONINFOW system;

    if (stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof version)
        return kshs_complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
    RtlZeroMemory(&system, sizeof system);
    system.dwOSVersionInfoSize = sizeof system;
    RtlGetVersion(&system);
    RtlZeroMemory(&version, sizeof version);
    version.abi_version = KSHS_ABI_VERSION;
    version.pointer_size = sizeof(PVOID);
    version.handshake_size = sizeof(KSHANDSHAKE);
    version.build_number = system.dwBuildNumber;
    version.major = system.dwMajorVersion;
    version.minor = system.dwMinorVersion;
    version.is_wine = kshs_is_wine();
    version.batches = ksc_block_possible();
    RtlCopyMemory(irp->AssociatedIrp.SystemBuffer, &version, sizeof version);
    return kshs_complete(irp, STATUS_SUCCESS, sizeof version);
}

static NTSTATUS NTAPI dispatch_control(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    ksc_context *context = stack->FileObject ? stack->FileObject->FsContext : NULL;

    KSHS_UNUSED(device);
    switch (stack->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_KSHS_VERSION:
        return answer_version(irp, stack);
    case IOCTL_KSHS_STEP:
        if (!context)                           /* Wine lets refused opens through */
            return kshs_complete(irp, STATUS_INVALID_HANDLE, 0);
        return ksc_step(context, irp, stack);
    case IOCTL_KSHS_BLOCK:
    case IOCTL_KSHS_BATCH:
        if (!context)
            return kshs_complete(irp, STATUS_INVALID_HANDLE, 0);
        return stack->Parameters.DeviceIoControl.IoControlCode == IOCTL_KSHS_BLOCK
                   ? ksc_block(context, irp, stack)
                   : ksc_batch_start(context, irp, stack);
    default:
        return kshs_complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

/* Not called while a target has anything of ours (threads.c); what may still be
 * under way is a teardown, which is bounded. */
static VOID NTAPI unload(PDRIVER_OBJECT driver)
{
    IoDeleteSymbolicLink(&link_name);
    ksc_threads_stop();
    ksc_calls_stop();
    ksc_attempts_stop();
    ksc_made_stop();
    IoDeleteDevice(driver->DeviceObject);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path)
{
    PDEVICE_OBJECT device;
    NTSTATUS status;

    KSHS_UNUSED(registry_path);
    driver->MajorFunction[IRP_MJ_CREATE] = dispatch_create;
    driver->MajorFunction[IRP_MJ_CLEANUP] = dispatch_cleanup;
    driver->MajorFunction[IRP_MJ_CLOSE] = dispatch_close;
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = dispatch_control;
    driver->DriverUnload = unload;
    ksc_image_init(driver);
    ksc_threads_init();
    ksc_attempts_init();
    ksc_made_init();
    ksc_share_init();

    /* SECURE_OPEN: names below the device are checked against its descriptor too. */
    status = IoCreateDevice(driver, 0, &device_name, KSHS_CLIENT_DEVICE_TYPE, FILE_DEVICE_SECURE_OPEN, FALSE, &device);
    if (!NT_SUCCESS(status))
        return status;
    status = ksc_secure_device(device);
    if (!NT_SUCCESS(status))
        KSC_LOG("the device keeps its default security: %08x\n", (unsigned)status);
    status = ksc_calls_init();
    if (NT_SUCCESS(status)) {
        status = IoCreateSymbolicLink(&link_name, &device_name);
        if (!NT_SUCCESS(status))
            ksc_calls_stop();
    }
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(device);
        return status;
    }
    device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}
