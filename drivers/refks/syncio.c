/* SPDX-License-Identifier: Apache-2.0
 *
 * syncio.c - KsSynchronousIoControlDevice: one I/O control in an IRP of its
 * own, waited for.
 */
#include "refks.h"

/* Of the IRP, as sender and completion routine tell each other. */
#define REFKS_SENT 0
#define REFKS_AWAITED 1         /* the sender waits for the event, or is about to */
#define REFKS_DONE 2

typedef struct REFKS_WAIT {
    KEVENT Done;
    volatile LONG State;
    BOOLEAN Saves;              /* Wine; asked at PASSIVE_LEVEL, which a completion need not be at */
} REFKS_WAIT;

/* On Wine every event is a call to a server.  There one that nobody waits for is not set, and one for an IRP that
 * is done not waited for: whoever comes second of the two, in whatever thread, knows it by the state that it finds.
 * A kernel's own events cost nothing worth saving. */
static BOOLEAN Comes(REFKS_WAIT *Wait, LONG State, LONG Before)
{
    return InterlockedExchange(&Wait->State, State) == Before || !Wait->Saves;
}

static NTSTATUS NTAPI SignalDone(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    REFKS_WAIT *wait = Context;

    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    if (Comes(wait, REFKS_DONE, REFKS_AWAITED))
        KeSetEvent(&wait->Done, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;     /* the IRP stays ours */
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
    return InSize ? RefksCaptureIn(Irp->AssociatedIrp.SystemBuffer, In, InSize, KernelMode) : STATUS_SUCCESS;
}

static NTSTATUS ReturnSystemBuffer(PIRP Irp, PVOID Out, ULONG OutSize)
{
    SIZE_T size = Irp->IoStatus.Information < OutSize ? Irp->IoStatus.Information : OutSize;

    if (NT_ERROR(Irp->IoStatus.Status) || !size)
        return STATUS_SUCCESS;
    return RefksDeliverOut(Out, Irp->AssociatedIrp.SystemBuffer, size);
}

/* What the driver returned is not asked: the completion routine is the one sign that the IRP is ours again. */
NTSTATUS RefksSend(PIRP Irp, PDEVICE_OBJECT Device)
{
    REFKS_WAIT wait;

    KeInitializeEvent(&wait.Done, NotificationEvent, FALSE);
    wait.State = REFKS_SENT;
    wait.Saves = kshs_is_wine();
    IoSetCompletionRoutine(Irp, SignalDone, &wait, TRUE, TRUE, TRUE);
    (void)IoCallDriver(Device, Irp);
    if (Comes(&wait, REFKS_AWAITED, REFKS_SENT))
        (void)KeWaitForSingleObject(&wait.Done, Executive, KernelMode, FALSE, NULL);
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
        status = RefksSend(irp, device);
        *BytesReturned = (ULONG)irp->IoStatus.Information;
        if (method == METHOD_BUFFERED) {
            NTSTATUS returned = ReturnSystemBuffer(irp, OutBuffer, OutSize);

            if (!NT_SUCCESS(returned))
                status = returned;
        }
    }
    RefksFree(irp->AssociatedIrp.SystemBuffer);
    irp->AssociatedIrp.SystemBuffer = NULL;
    (void)kshs_irp_free(irp);
    ObDereferenceObject(FileObject);
    return status;
}
