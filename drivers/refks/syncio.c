/* SPDX-License-Identifier: Apache-2.0
 *
 * syncio.c - KsSynchronousIoControlDevice: one I/O control in an IRP of its
 * own, waited for.
 */
#include "refks.h"

static NTSTATUS NTAPI SignalDone(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;     /* the IRP stays ours */
}

static NTSTATUS CopyBytes(PVOID To, const VOID *From, SIZE_T Bytes)
{
    __try {
        RtlCopyMemory(To, From, Bytes);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    return STATUS_SUCCESS;
}

/* METHOD_BUFFERED: what the I/O manager would do around the driver. */
static NTSTATUS MakeSystemBuffer(PIRP Irp, const VOID *In, ULONG InSize, ULONG OutSize)
{
    ULONG size = InSize > OutSize ? InSize : OutSize;

    if (!size)
        return STATUS_SUCCESS;
    Irp->AssociatedIrp.SystemBuffer = RefksAllocate(size);
    if (!Irp->AssociatedIrp.SystemBuffer)
        return STATUS_INSUFFICIENT_RESOURCES;
    return InSize ? CopyBytes(Irp->AssociatedIrp.SystemBuffer, In, InSize) : STATUS_SUCCESS;
}

static NTSTATUS ReturnSystemBuffer(PIRP Irp, PVOID Out, ULONG OutSize)
{
    SIZE_T size = Irp->IoStatus.Information < OutSize ? Irp->IoStatus.Information : OutSize;

    if (NT_ERROR(Irp->IoStatus.Status) || !size)
        return STATUS_SUCCESS;
    return CopyBytes(Out, Irp->AssociatedIrp.SystemBuffer, size);
}

static NTSTATUS Send(PIRP Irp, PDEVICE_OBJECT Device)
{
    KEVENT done;

    KeInitializeEvent(&done, NotificationEvent, FALSE);
    IoSetCompletionRoutine(Irp, SignalDone, &done, TRUE, TRUE, TRUE);
    (void)IoCallDriver(Device, Irp);
    /* Not only after STATUS_PENDING: the completion routine is the one sign that the IRP is ours again. */
    (void)KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
    return Irp->IoStatus.Status;
}

NTSTATUS NTAPI KsSynchronousIoControlDevice(PFILE_OBJECT FileObject, KPROCESSOR_MODE RequestorMode, ULONG IoControl,
                                            PVOID InBuffer, ULONG InSize, PVOID OutBuffer, ULONG OutSize,
                                            PULONG BytesReturned)
{
    PDEVICE_OBJECT device = kshs_related_device(FileObject);
    ULONG method = IoControl & 3;
    PIO_STACK_LOCATION stack;
    NTSTATUS status;
    PIRP irp;

    *BytesReturned = 0;
    if (!device)
        return STATUS_INVALID_HANDLE;
    if (method != METHOD_NEITHER && method != METHOD_BUFFERED)
        return STATUS_NOT_SUPPORTED;    /* no control of kernel streaming is a direct one */
    irp = IoAllocateIrp(device->StackSize, FALSE);
    if (!irp)
        return STATUS_INSUFFICIENT_RESOURCES;
    ObReferenceObject(FileObject);
    irp->RequestorMode = RequestorMode;
    irp->UserBuffer = OutBuffer;
    irp->Tail.Overlay.Thread = kshs_current_thread();
    irp->Tail.Overlay.OriginalFileObject = FileObject;
    stack = IoGetNextIrpStackLocation(irp);
    stack->MajorFunction = IRP_MJ_DEVICE_CONTROL;
    stack->DeviceObject = device;
    stack->FileObject = FileObject;
    stack->Parameters.DeviceIoControl.IoControlCode = IoControl;
    stack->Parameters.DeviceIoControl.InputBufferLength = InSize;
    stack->Parameters.DeviceIoControl.OutputBufferLength = OutSize;
    if (method == METHOD_NEITHER) {
        stack->Parameters.DeviceIoControl.Type3InputBuffer = InBuffer;
        status = STATUS_SUCCESS;
    } else {
        status = MakeSystemBuffer(irp, InBuffer, InSize, OutSize);
    }
    if (NT_SUCCESS(status)) {
        status = Send(irp, device);
        *BytesReturned = (ULONG)irp->IoStatus.Information;
        if (method == METHOD_BUFFERED) {
            NTSTATUS returned = ReturnSystemBuffer(irp, OutBuffer, OutSize);

            if (!NT_SUCCESS(returned))
                status = returned;
        }
    }
    RefksFree(irp->AssociatedIrp.SystemBuffer);
    irp->AssociatedIrp.SystemBuffer = NULL;
    IoFreeIrp(irp);
    ObDereferenceObject(FileObject);
    return status;
}
