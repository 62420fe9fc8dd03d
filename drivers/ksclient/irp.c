/* SPDX-License-Identifier: Apache-2.0
 *
 * irp.c - the IRPs of the IRP route.
 *
 * An IRP must be completed once.  A driver that completes one twice would, with
 * an ordinary IRP, be noticed by a bugcheck at best; here it runs into stack
 * locations of our own above the driver's, whose completion routine counts it.
 * For the same reason an IRP that has been completed is not freed at once.
 */
#include "ksclient.h"
#include "kshs_irp.h"

#define RETIRED 64

static struct {
    KSPIN_LOCK lock;
    ksc_attempt *ring[RETIRED];
    ULONG next;
} retired;

void ksc_attempts_init(void)
{
    KeInitializeSpinLock(&retired.lock);
}

/* From its completion on the buffer is the sender's: what is written later comes too late. */
static void look_at_output(ksc_attempt *attempt)
{
    const ksc_buffer *result = attempt->result;

    if (!result || !result->readable || !result->writable)
        return;
    attempt->shown_length = result->length < KSHS_KEEP_BYTES ? result->length : KSHS_KEEP_BYTES;
    RtlCopyMemory(attempt->shown, result->pointer, attempt->shown_length);
}

static NTSTATUS NTAPI completion(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    ksc_attempt *attempt = context;

    KSHS_UNUSED(device);
    if (InterlockedIncrement(&attempt->runs) == 1) {
        attempt->status = irp->IoStatus.Status;
        attempt->information = irp->IoStatus.Information;
        attempt->pending_returned = irp->PendingReturned;
        look_at_output(attempt);
        InterlockedExchange(&attempt->done, 1);
        KeSetEvent(&attempt->completed, IO_NO_INCREMENT, FALSE);
    } else {
        KSC_LOG("IRP %p was completed %d times\n", irp, (int)attempt->runs);
    }
    return STATUS_MORE_PROCESSING_REQUIRED;     /* the IRP is ours and stays ours */
}

static void fill_location(ksc_attempt *attempt, const ksc_request *request, PDEVICE_OBJECT device)
{
    PIO_STACK_LOCATION location = IoGetNextIrpStackLocation(attempt->irp);

    location->MajorFunction = IRP_MJ_DEVICE_CONTROL;
    location->DeviceObject = device;
    location->FileObject = request->file;
    location->Parameters.DeviceIoControl.IoControlCode = request->p.control;
    location->Parameters.DeviceIoControl.InputBufferLength = request->p.in_length;
    location->Parameters.DeviceIoControl.OutputBufferLength = request->p.out_length;
    IoSetCompletionRoutine(attempt->irp, completion, attempt, TRUE, TRUE, TRUE);
}

ksc_attempt *ksc_attempt_create(const ksc_request *request, PDEVICE_OBJECT device)
{
    ksc_attempt *attempt = kshs_zalloc(sizeof *attempt, KSC_TAG);
    PIO_STACK_LOCATION location;
    PIRP irp;
    int i;

    if (!attempt)
        return NULL;
    irp = IoAllocateIrp((CCHAR)(device->StackSize + KSC_STACK_GUARDS), FALSE);
    if (!irp) {
        ExFreePoolWithTag(attempt, KSC_TAG);
        return NULL;
    }
    KeInitializeEvent(&attempt->completed, NotificationEvent, FALSE);
    attempt->irp = irp;
    attempt->result = request->result;
    irp->RequestorMode = request->p.mode == KSHS_MODE_USER ? UserMode : KernelMode;
    irp->Tail.Overlay.Thread = kshs_current_thread();
    /* The I/O manager would dereference it at the end of completion, which our routine
     * stops; a driver may use it, and the request's own reference keeps it there. */
    irp->Tail.Overlay.OriginalFileObject = request->file;
    irp->IoStatus.Status = (NTSTATUS)KSHS_POISON_STATUS;
    irp->IoStatus.Information = (ULONG_PTR)KSHS_POISON_INFORMATION;

    for (i = 0; i < KSC_STACK_GUARDS; i++) {
        fill_location(attempt, request, device);
        IoSetNextIrpStackLocation(irp);
    }
    fill_location(attempt, request, device);
    location = IoGetNextIrpStackLocation(irp);
    irp->UserBuffer = request->result ? request->result->pointer : NULL;
    if ((request->p.control & 3) == METHOD_BUFFERED)
        irp->AssociatedIrp.SystemBuffer = request->in.pointer;
    else
        location->Parameters.DeviceIoControl.Type3InputBuffer = request->in.pointer;
    return attempt;
}

static void free_attempt(ksc_attempt *attempt)
{
    if (kshs_irp_free(attempt->irp))
        ExFreePoolWithTag(attempt, KSC_TAG);
}

void ksc_attempt_retire(ksc_attempt *attempt)
{
    ksc_attempt *oldest;
    KIRQL irql;

    KeAcquireSpinLock(&retired.lock, &irql);
    oldest = retired.ring[retired.next];
    retired.ring[retired.next] = attempt;
    retired.next = (retired.next + 1) % RETIRED;
    KeReleaseSpinLock(&retired.lock, irql);
    if (oldest)
        free_attempt(oldest);
}

/* As many as ever: for a count that is to tell what others keep, and not how much of this ring was filled. */
void ksc_attempts_fill(void)
{
    ULONG i;

    for (i = 0; i < RETIRED; i++) {
        ksc_attempt *spare = kshs_zalloc(sizeof *spare, KSC_TAG);
        KIRQL irql;

        if (!spare)
            return;
        spare->irp = IoAllocateIrp(1 + KSC_STACK_GUARDS, FALSE);
        if (!spare->irp) {
            ExFreePoolWithTag(spare, KSC_TAG);
            return;
        }
        KeAcquireSpinLock(&retired.lock, &irql);
        if (!retired.ring[i]) {
            retired.ring[i] = spare;
            spare = NULL;
        }
        KeReleaseSpinLock(&retired.lock, irql);
        if (spare)
            free_attempt(spare);
    }
}

void ksc_attempts_stop(void)
{
    ULONG i;

    for (i = 0; i < RETIRED; i++)
        if (retired.ring[i])
            free_attempt(retired.ring[i]);
    RtlZeroMemory(retired.ring, sizeof retired.ring);
}
