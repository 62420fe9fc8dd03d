/* SPDX-License-Identifier: Apache-2.0
 *
 * rogue.c - a driver that breaks the rules of IRPs, one function code each, for
 * the tests of the client that has to live through it.  test_client.py builds it.
 */
#include "kshs_compat.h"

#define ROGUE_TAG KSHS_TAG('r', 'o', 'g', 'u')

enum {                              /* also in test_client.py */
    ROGUE_ECHO = 1,                 /* copies input to output; Information: bytes copied */
    ROGUE_PEND = 2,                 /* pends, completes after 50 ms with Information 7 */
    ROGUE_CANCELLABLE = 3,          /* pends until cancelled */
    ROGUE_TWICE = 4,                /* completes twice */
    ROGUE_TWICE_LATER = 5,          /* pends, completes twice */
    ROGUE_LOSE = 6,                 /* returns c0000206 and does not complete */
    ROGUE_NEVER = 7,                /* pends for ever */
    ROGUE_OVERRUN = 8,              /* writes the byte after the output */
    ROGUE_UNDERRUN = 9,             /* writes the byte before the output, and into the input */
    ROGUE_BLOCK = 10,               /* returns after 300 ms */
    ROGUE_EVERY_FIFTH = 11,         /* fails every fifth time */
    ROGUE_TOUCH = 12,               /* Information: which bytes can be read and written, see touch() */
    ROGUE_LOOK = 13,                /* Information: what the IRP looks like, see look() */
    ROGUE_COUNTS = 14,              /* Information: cancelled | opened << 16 | closed << 32 */
    ROGUE_LATE = 15,                /* writes half of the output, completes, and writes the other half */
};

static UNICODE_STRING rogue_name = RTL_CONSTANT_STRING(L"\\Device\\KshsRogue");
static volatile LONG cancelled, opened, closed, fifths;

typedef struct late {
    PIRP irp;
    uint32_t delay_ms;
    int times;
} late;

static VOID NTAPI complete_late(PVOID argument)
{
    late *job = argument;

    kshs_sleep_ms(job->delay_ms);
    job->irp->IoStatus.Status = STATUS_SUCCESS;
    job->irp->IoStatus.Information = 7;
    while (job->times--)
        IoCompleteRequest(job->irp, IO_NO_INCREMENT);
    ExFreePoolWithTag(job, ROGUE_TAG);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static NTSTATUS pend(PIRP irp, uint32_t delay_ms, int times)
{
    late *job = kshs_zalloc(sizeof *job, ROGUE_TAG);
    HANDLE thread;

    if (!job)
        return kshs_complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    job->irp = irp;
    job->delay_ms = delay_ms;
    job->times = times;
    IoMarkIrpPending(irp);
    if (NT_SUCCESS(PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, complete_late, job)))
        ZwClose(thread);
    return STATUS_PENDING;
}

static VOID NTAPI on_cancel(PDEVICE_OBJECT device, PIRP irp)
{
    KSHS_UNUSED(device);
    IoReleaseCancelSpinLock(irp->CancelIrql);
    InterlockedIncrement(&cancelled);
    kshs_complete(irp, STATUS_CANCELLED, 0);
}

static NTSTATUS pend_until_cancelled(PIRP irp)
{
    IoMarkIrpPending(irp);
    IoSetCancelRoutine(irp, on_cancel);
    if (irp->Cancel && IoSetCancelRoutine(irp, NULL))
        kshs_complete(irp, STATUS_CANCELLED, 0);
    return STATUS_PENDING;
}

/* Calls, and not plain accesses, because the compiler guards nothing else with __try. */
static __declspec(noinline) ULONG readable(const UCHAR *byte)
{
    UCHAR value;

    __try {
        RtlMoveMemory(&value, byte, 1);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return 0;
    }
    return 1;
}

static __declspec(noinline) ULONG writable(UCHAR *byte)
{
    UCHAR value;

    __try {
        RtlMoveMemory(&value, byte, 1);
        RtlMoveMemory(byte, &value, 1);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return 0;
    }
    return 1;
}

static ULONG touch(UCHAR *in, ULONG in_length, UCHAR *out, ULONG out_length)
{
    return readable(in) | writable(in) << 1 | readable(out) << 2 | writable(out) << 3 |
           readable(in + in_length - 1) << 4 | readable(in + in_length) << 5 |
           writable(out + out_length - 1) << 6 | writable(out + out_length) << 7;
}

static ULONG look(PIRP irp, const UCHAR *in, const UCHAR *out)
{
    return (ULONG)(irp->RequestorMode == UserMode) | (ULONG)!in << 1 | (ULONG)!out << 2 | (ULONG)(in == out) << 3 |
           (ULONG)((ULONG_PTR)in & 1) << 4 | (ULONG)((ULONG_PTR)out & 1) << 5 |
           (ULONG)(irp->Tail.Overlay.Thread == kshs_current_thread()) << 6 |
           (ULONG)(irp->Tail.Overlay.OriginalFileObject == IoGetCurrentIrpStackLocation(irp)->FileObject) << 7;
}

static NTSTATUS NTAPI dispatch_control(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    ULONG control = stack->Parameters.DeviceIoControl.IoControlCode;
    ULONG in_length = stack->Parameters.DeviceIoControl.InputBufferLength;
    ULONG out_length = stack->Parameters.DeviceIoControl.OutputBufferLength;
    BOOLEAN buffered = (control & 3) == METHOD_BUFFERED;
    UCHAR *in = buffered ? irp->AssociatedIrp.SystemBuffer : stack->Parameters.DeviceIoControl.Type3InputBuffer;
    UCHAR *out = buffered ? irp->AssociatedIrp.SystemBuffer : irp->UserBuffer;
    ULONG both = in_length < out_length ? in_length : out_length;

    KSHS_UNUSED(device);
    switch (control >> 2 & 0xFFF) {
    case ROGUE_ECHO:
        if (both)
            RtlMoveMemory(out, in, both);
        return kshs_complete(irp, STATUS_SUCCESS, both);
    case ROGUE_PEND:
        return pend(irp, 50, 1);
    case ROGUE_CANCELLABLE:
        return pend_until_cancelled(irp);
    case ROGUE_TWICE:
        kshs_complete(irp, STATUS_SUCCESS, 3);
        return kshs_complete(irp, STATUS_SUCCESS, 4);
    case ROGUE_TWICE_LATER:
        return pend(irp, 20, 2);
    case ROGUE_LOSE:
        return STATUS_INVALID_BUFFER_SIZE;
    case ROGUE_NEVER:
        IoMarkIrpPending(irp);
        return STATUS_PENDING;
    case ROGUE_OVERRUN:
        out[out_length] = 1;
        return kshs_complete(irp, STATUS_SUCCESS, 0);
    case ROGUE_UNDERRUN:
        out[-1] = 1;
        in[0] ^= 1;
        return kshs_complete(irp, STATUS_SUCCESS, 0);
    case ROGUE_BLOCK:
        kshs_sleep_ms(300);
        return kshs_complete(irp, STATUS_SUCCESS, 0);
    case ROGUE_EVERY_FIFTH:
        return kshs_complete(irp, InterlockedIncrement(&fifths) % 5 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL, 0);
    case ROGUE_TOUCH:
        return kshs_complete(irp, STATUS_SUCCESS, touch(in, in_length, out, out_length));
    case ROGUE_LOOK:
        return kshs_complete(irp, STATUS_SUCCESS, look(irp, in, out));
    case ROGUE_COUNTS:
        return kshs_complete(irp, STATUS_SUCCESS,
                             (ULONG_PTR)cancelled | (ULONG_PTR)opened << 16 | (ULONG_PTR)closed << 32);
    case ROGUE_LATE:
        RtlFillMemory(out, out_length / 2, 0x11);
        kshs_complete(irp, STATUS_SUCCESS, out_length);
        RtlFillMemory(out + out_length / 2, out_length - out_length / 2, 0x22);
        return STATUS_SUCCESS;
    default:
        return kshs_complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static NTSTATUS NTAPI dispatch_create(PDEVICE_OBJECT device, PIRP irp)
{
    KSHS_UNUSED(device);
    InterlockedIncrement(&opened);
    return kshs_complete(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI dispatch_close(PDEVICE_OBJECT device, PIRP irp)
{
    KSHS_UNUSED(device);
    InterlockedIncrement(&closed);
    return kshs_complete(irp, STATUS_SUCCESS, 0);
}

DRIVER_INITIALIZE DriverEntry;

/* No unload routine: what it has let go wrong may come back to it at any time. */
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path)
{
    PDEVICE_OBJECT device;
    NTSTATUS status;

    KSHS_UNUSED(registry_path);
    status = IoCreateDevice(driver, 0, &rogue_name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
    if (!NT_SUCCESS(status))
        return status;
    driver->MajorFunction[IRP_MJ_CREATE] = dispatch_create;
    driver->MajorFunction[IRP_MJ_CLOSE] = dispatch_close;
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = dispatch_control;
    device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}
