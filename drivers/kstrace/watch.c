/* SPDX-License-Identifier: Apache-2.0
 *
 * watch.c - which requests are recorded, and what of them.
 */
#include "kstrace.h"

/* KSPROPSETID_Connection of ks.h. */
static const GUID connection_set = { 0x1D58C920, 0xAC9B, 0x11CF, { 0xA5, 0xD6, 0x28, 0xDB, 0x04, 0xC1, 0x00, 0x00 } };
static const WCHAR pin_prefix[] = KSSTRING_Pin L"\\";
#define PIN_PREFIX_BYTES (sizeof pin_prefix - sizeof(WCHAR))
#define PIN_PREFIX_FARTHEST 256         /* bytes of a name in which it is looked for */

void kst_begin_record(kstrace_record *record, const kst_filter *filter, uint32_t event, PIRP irp, PFILE_OBJECT file)
{
    record->begin_ns = kst_ticks();
    record->took_ns = 0;
    record->file = (uint64_t)(ULONG_PTR)file;
    record->related = record->connected = record->information = record->later = 0;
    record->event = event;
    record->flags = record->end_flags = 0;
    record->device = filter->number;
    record->control = record->in_length = record->out_length = 0;
    record->returned = record->status = 0;
    record->in_bytes = record->out_bytes = record->whole = 0;
    record->has_returned = 0;
    kst_caller(record, irp);
}

/* ---- opens ---------------------------------------------------------------------------- */

static void keep(kstrace_record *record, const VOID *data, ULONG bytes, ULONG room)
{
    record->whole = bytes;
    if (bytes > room) {
        record->flags |= KSTRACE_CUT;
        bytes = room;
    }
    RtlCopyMemory(record->data, data, bytes);
    record->in_bytes = bytes;
}

/* Where the pin's own part of a name begins, or NULL: it names no pin. */
static const UCHAR *pin_part(const UCHAR *name, ULONG bytes)
{
    ULONG at;

    for (at = 0; at + PIN_PREFIX_BYTES <= bytes && at <= PIN_PREFIX_FARTHEST; at += sizeof(WCHAR)) {
        ULONG i;

        for (i = 0; i < PIN_PREFIX_BYTES / sizeof(WCHAR); i++) {
            WCHAR a, b = pin_prefix[i];

            RtlCopyMemory(&a, name + at + i * sizeof(WCHAR), sizeof a);
            if (a >= 'a' && a <= 'z')
                a = (WCHAR)(a - 'a' + 'A');
            if (b >= 'a' && b <= 'z')
                b = (WCHAR)(b - 'a' + 'A');
            if (a != b)
                break;
        }
        if (i == PIN_PREFIX_BYTES / sizeof(WCHAR))
            return name + at + PIN_PREFIX_BYTES;
    }
    return NULL;
}

static void keep_name(kstrace_record *record, const UCHAR *name, ULONG bytes)
{
    keep(record, name, bytes, KSTRACE_NAME_BYTES);
    record->out_bytes = kst_process_name(record->data + record->in_bytes, KSTRACE_PROCESS_BYTES);
}

static void look_at_name(kstrace_record *record, const UCHAR *name, ULONG bytes)
{
    const UCHAR *pin = pin_part(name, bytes);

    if (pin) {
        record->event = KSTRACE_PIN;
        bytes -= (ULONG)(pin - name);
        if (bytes >= sizeof(KSPIN_CONNECT)) {
            HANDLE sink;

            RtlCopyMemory(&sink, pin + FIELD_OFFSET(KSPIN_CONNECT, PinToHandle), sizeof sink);
            record->later = (uint64_t)(ULONG_PTR)sink;
        }
        name = pin;
    }
    keep_name(record, name, bytes);
}

static void look_at_open(kstrace_record *record, PIO_STACK_LOCATION stack)
{
    PFILE_OBJECT file = stack->FileObject;

    record->control = stack->Parameters.Create.Options;
    if (!file)
        return;
    record->related = (uint64_t)(ULONG_PTR)file->RelatedFileObject;
    if (kshs_current_irql() == PASSIVE_LEVEL)       /* the name may be paged out */
        look_at_name(record, (const UCHAR *)file->FileName.Buffer, file->FileName.Buffer ? file->FileName.Length : 0);
}

/* ---- controls --------------------------------------------------------------------------- */

/* IOCTL_KS_HANDSHAKE, and what differs from it in method or access alone. */
static BOOLEAN is_handshake(ULONG control)
{
    return control >> 16 == FILE_DEVICE_KS && (control >> 2 & 0xFFF) == (IOCTL_KS_HANDSHAKE >> 2 & 0xFFF);
}

/* Which arguments are addresses; a user's are none of the kernel's. */
static uint32_t pointers(const uint8_t *data, uint32_t first, uint32_t second)
{
    const KSHANDSHAKE UNALIGNED *handshake = (const KSHANDSHAKE UNALIGNED *)data;
    uint32_t flags = 0;

    if (kst_is_kernel_memory((uint64_t)(ULONG_PTR)handshake->Argument1))
        flags |= first;
    if (kst_is_kernel_memory((uint64_t)(ULONG_PTR)handshake->Argument2))
        flags |= second;
    return flags;
}

static void look_at_handshake(kstrace_record *record, const VOID *in, ULONG in_length, BOOLEAN readable,
                              KPROCESSOR_MODE mode)
{
    ULONG bytes = in_length < KSTRACE_LOOK_BYTES ? in_length : KSTRACE_LOOK_BYTES;

    if (bytes && readable && kst_read(record->data, in, bytes, mode))
        record->in_bytes = bytes;
    else if (bytes)
        record->flags |= KSTRACE_IN_UNREAD;
    if (bytes < in_length)
        record->flags |= KSTRACE_CUT;
    if (record->in_bytes >= sizeof(KSHANDSHAKE) && mode == KernelMode)
        record->flags |= pointers(record->data, KSTRACE_POINTER1, KSTRACE_POINTER2);
}

static uint32_t addresses(ULONG_PTR in, ULONG_PTR out)
{
    uint32_t flags = 0;

    if (!in)
        flags |= KSTRACE_IN_NULL;
    if (!out)
        flags |= KSTRACE_OUT_NULL;
    if (in && in == out)
        flags |= KSTRACE_SAME;
    if (in % sizeof(PVOID))
        flags |= KSTRACE_IN_ODD;
    if (out % sizeof(PVOID))
        flags |= KSTRACE_OUT_ODD;
    return flags;
}

/* Which event a property is, or 0: it is not recorded.  Its identifier is read once, and judged by what was read. */
static uint32_t property_event(PIRP irp, PIO_STACK_LOCATION stack, KSPROPERTY *property)
{
    const VOID *in = stack->Parameters.DeviceIoControl.Type3InputBuffer;

    if (stack->Parameters.DeviceIoControl.InputBufferLength < sizeof *property || !kst_is_callers(irp) ||
        !kst_read(property, in, sizeof *property, irp->RequestorMode))
        return 0;
    if (kst_same_guid(&property->Set, &connection_set) && property->Id == KSPROPERTY_CONNECTION_STATE &&
        (property->Flags & KSPROPERTY_TYPE_SET))
        return KSTRACE_STATE;
    return kst_is_watched(&property->Set) ? KSTRACE_PROPERTY : 0;
}

static void look_at_property(kstrace_record *record, PIRP irp, PIO_STACK_LOCATION stack, const KSPROPERTY *property)
{
    const UCHAR *in = stack->Parameters.DeviceIoControl.Type3InputBuffer;
    ULONG room = KSTRACE_DATA_BYTES - KSTRACE_VALUE_BYTES, bytes;

    RtlCopyMemory(record->data, property, sizeof *property);
    record->in_bytes = sizeof *property;
    bytes = (record->in_length < room ? record->in_length : room) - (ULONG)sizeof *property;
    if (bytes && kst_read(record->data + sizeof *property, in + sizeof *property, bytes, irp->RequestorMode))
        record->in_bytes += bytes;
    if (record->in_bytes < record->in_length)
        record->flags |= KSTRACE_CUT;
    if (!(property->Flags & KSPROPERTY_TYPE_SET)) {
        record->later = (uint64_t)(ULONG_PTR)irp->UserBuffer;
        return;
    }
    bytes = record->out_length < KSTRACE_VALUE_BYTES ? record->out_length : KSTRACE_VALUE_BYTES;
    record->flags |= KSTRACE_VALUE;
    if (bytes && kst_read(record->data + record->in_bytes, irp->UserBuffer, bytes, irp->RequestorMode))
        record->out_bytes = bytes;
    else if (bytes)
        record->flags |= KSTRACE_OUT_UNREAD;
}

static void look_at_request(kstrace_record *record, PIRP irp, PIO_STACK_LOCATION stack)
{
    BOOLEAN neither = (record->control & 3) == METHOD_NEITHER;

    if (!neither) {
        look_at_handshake(record, irp->AssociatedIrp.SystemBuffer, record->in_length, TRUE, KernelMode);
        return;
    }
    look_at_handshake(record, stack->Parameters.DeviceIoControl.Type3InputBuffer, record->in_length,
                      kst_is_callers(irp), irp->RequestorMode);
    record->later = (uint64_t)(ULONG_PTR)irp->UserBuffer;
    record->flags |= addresses((ULONG_PTR)stack->Parameters.DeviceIoControl.Type3InputBuffer,
                               (ULONG_PTR)irp->UserBuffer);
}

/* Which event a control is, or 0: it is not recorded. */
static uint32_t control_event(PIRP irp, PIO_STACK_LOCATION stack, KSPROPERTY *property)
{
    ULONG control = stack->Parameters.DeviceIoControl.IoControlCode;

    if (is_handshake(control))
        return KSTRACE_HANDSHAKE;
    if (control == IOCTL_KS_PROPERTY)
        return property_event(irp, stack, property);
    if (control == IOCTL_KSHS_MAKE_PIN && kshs_is_wine() && irp->AssociatedIrp.SystemBuffer &&
        pin_part(irp->AssociatedIrp.SystemBuffer, stack->Parameters.DeviceIoControl.InputBufferLength))
        return KSTRACE_PIN;
    if (control == IOCTL_KSHS_MAKE_FILTER && kshs_is_wine() && irp->AssociatedIrp.SystemBuffer)
        return KSTRACE_OPEN;
    return 0;
}

static void look_at_control(kstrace_record *record, PIRP irp, PIO_STACK_LOCATION stack, const KSPROPERTY *property)
{
    record->control = stack->Parameters.DeviceIoControl.IoControlCode;
    record->in_length = stack->Parameters.DeviceIoControl.InputBufferLength;
    record->out_length = stack->Parameters.DeviceIoControl.OutputBufferLength;
    if (record->event == KSTRACE_HANDSHAKE) {
        look_at_request(record, irp, stack);
    } else if (record->event == KSTRACE_PIN) {
        record->flags |= KSTRACE_MADE;
        look_at_name(record, irp->AssociatedIrp.SystemBuffer, record->in_length);
    } else if (record->event == KSTRACE_OPEN) {
        record->flags |= KSTRACE_MADE;
        keep_name(record, irp->AssociatedIrp.SystemBuffer, record->in_length);
    } else {
        look_at_property(record, irp, stack, property);
    }
}

/* ---- on their way back -------------------------------------------------------------------- */

/* Whether this is the thread that sent it, so that its addresses and its handles hold. */
static BOOLEAN is_its_own(const kstrace_record *record)
{
    return (uint32_t)(ULONG_PTR)PsGetCurrentThreadId() == record->thread &&
           (uint32_t)(ULONG_PTR)PsGetCurrentProcessId() == record->process;
}

/* The file object of the sink that a pin was connected to; the class driver has just taken the handle for good. */
static uint64_t sink_of(const kstrace_record *record, KPROCESSOR_MODE mode)
{
    PFILE_OBJECT file;

    if (kshs_current_irql() != PASSIVE_LEVEL || !is_its_own(record))
        return 0;
    if (!NT_SUCCESS(ObReferenceObjectByHandle((HANDLE)(ULONG_PTR)record->later, 0, KSHS_IO_FILE_OBJECT_TYPE, mode,
                                              (PVOID *)&file, NULL)))
        return 0;
    ObDereferenceObject(file);          /* the number alone is wanted */
    return (uint64_t)(ULONG_PTR)file;
}

/* What a success has written; its flags. */
static uint32_t look_at_output(kstrace_record *record, KPROCESSOR_MODE mode)
{
    uint32_t most = record->event == KSTRACE_PROPERTY ? KSTRACE_VALUE_BYTES : KSTRACE_LOOK_BYTES;
    uint32_t bytes = record->out_length < most ? record->out_length : most;

    if (!bytes || record->in_bytes + bytes > KSTRACE_DATA_BYTES)
        return 0;
    if ((mode != KernelMode && !is_its_own(record)) ||
        !kst_read(record->data + record->in_bytes, (const VOID *)(ULONG_PTR)record->later, bytes, mode))
        return KSTRACE_OUT_UNREAD;
    record->out_bytes = bytes;
    return record->event == KSTRACE_HANDSHAKE && mode == KernelMode && bytes >= sizeof(KSHANDSHAKE)
               ? pointers(record->data + record->in_bytes, KSTRACE_POINTER3, KSTRACE_POINTER4)
               : 0;
}

/* The IRP is on its way up, and its output is not the sender's yet.  FALSE: it was so before, since a driver may
 * complete an IRP twice. */
static BOOLEAN look_at_end(uint64_t number, PIRP irp)
{
    kstrace_record *record = kst_ring_find(number);
    uint32_t flags = KSTRACE_DONE;

    if (!record)                        /* overwritten meanwhile */
        return TRUE;
    if (record->end_flags)
        return FALSE;
    record->took_ns = kst_ticks() - record->begin_ns;
    record->status = KSHS_STATUS_U32(irp->IoStatus.Status);
    record->information = irp->IoStatus.Information;
    if (irp->PendingReturned)
        flags |= KSTRACE_MARKED;
    if (irp->Cancel)
        flags |= KSTRACE_CANCEL;
    if (record->later && NT_SUCCESS(irp->IoStatus.Status)) {
        if (record->event == KSTRACE_PIN)
            record->connected = sink_of(record, irp->RequestorMode);
        else
            flags |= look_at_output(record, irp->RequestorMode);
    }
    KST_IN_ORDER();
    *(volatile uint32_t *)&record->end_flags = flags;
    kst_ring_found(record, number);
    return TRUE;
}

static NTSTATUS NTAPI completed(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    if (irp->PendingReturned)
        IoMarkIrpPending(irp);
    if (look_at_end((uint64_t)(ULONG_PTR)context, irp))
        kst_leave(device->DeviceExtension, 1);
    return STATUS_SUCCESS;              /* the completion goes on */
}

/* ---- on their way ------------------------------------------------------------------------- */

/* Whether there are stack locations for the drivers below if we take one.  An IRP that was allocated before we were
 * put here may have none to spare. */
static BOOLEAN has_room(const kst_filter *filter, const IRP *irp)
{
    return irp->CurrentLocation - 1 >= filter->lower->StackSize;
}

static NTSTATUS send(kst_filter *filter, PIRP irp, kstrace_record *record, uint64_t number, BOOLEAN *handed)
{
    NTSTATUS status;

    *handed = has_room(filter, irp);
    if (!*handed)
        record->flags |= KSTRACE_UNWATCHED;
    kst_ring_publish(record, number);
    if (*handed) {
        IoCopyCurrentIrpStackLocationToNext(irp);
        IoSetCompletionRoutine(irp, completed, (PVOID)(ULONG_PTR)number, TRUE, TRUE, TRUE);
        status = IoCallDriver(filter->lower, irp);
    } else {
        status = kst_pass(filter, irp);
    }
    record = kst_ring_find(number);
    if (record) {
        record->returned = KSHS_STATUS_U32(status);
        KST_IN_ORDER();
        *(volatile uint8_t *)&record->has_returned = 1;
        kst_ring_found(record, number);
    }
    return status;
}

NTSTATUS kst_watch(kst_filter *filter, PIRP irp, UCHAR major, BOOLEAN *handed)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    kstrace_record *record;
    KSPROPERTY property;
    uint64_t number;
    uint32_t event;

    switch (major) {
    case IRP_MJ_CREATE:
        event = KSTRACE_OPEN;
        break;
    case IRP_MJ_CLEANUP:
        event = KSTRACE_CLEANUP;
        break;
    case IRP_MJ_CLOSE:
        event = KSTRACE_CLOSE;
        break;
    default:
        event = control_event(irp, stack, &property);
        break;
    }
    record = event ? kst_ring_reserve(&number) : NULL;
    if (!record)
        return kst_pass(filter, irp);
    kst_begin_record(record, filter, event, irp, stack->FileObject);
    if (major == IRP_MJ_CREATE)
        look_at_open(record, stack);
    else if (major == IRP_MJ_DEVICE_CONTROL)
        look_at_control(record, irp, stack, &property);
    return send(filter, irp, record, number, handed);
}

/* ---- fast I/O -------------------------------------------------------------------------------- */

/* Whether they are handled is known afterwards, and by then their input is what the drivers below have made of it. */
static void begin_fast(kstrace_record *record, const kst_filter *filter, PFILE_OBJECT file, const VOID *in,
                       ULONG in_length, const VOID *out, ULONG out_length, ULONG control)
{
    kst_begin_record(record, filter, KSTRACE_HANDSHAKE, NULL, file);
    record->flags |= KSTRACE_FAST | addresses((ULONG_PTR)in, (ULONG_PTR)out);
    record->control = control;
    record->in_length = in_length;
    record->out_length = out_length;
    look_at_handshake(record, in, in_length, TRUE, record->requestor ? UserMode : KernelMode);
}

/* The drivers below are asked as if we were not here; the I/O manager makes an IRP where they say FALSE. */
BOOLEAN NTAPI kst_fast_control(PFILE_OBJECT file, BOOLEAN wait, PVOID in, ULONG in_length, PVOID out,
                               ULONG out_length, ULONG control, PIO_STATUS_BLOCK status, PDEVICE_OBJECT device)
{
    kst_device *head = device->DeviceExtension;
    kst_filter *filter = device->DeviceExtension;
    BOOLEAN records = is_handshake(control) && kst_ring.recording;
    const FAST_IO_DISPATCH *fast;
    BOOLEAN handled = FALSE;
    kstrace_record record;

    if (!head->is_filter || !kst_enter(filter, 1))
        return FALSE;
    fast = filter->lower->DriverObject->FastIoDispatch;
    if (fast && fast->SizeOfFastIoDispatch > FIELD_OFFSET(FAST_IO_DISPATCH, FastIoDeviceControl) &&
        fast->FastIoDeviceControl) {
        if (records)
            begin_fast(&record, filter, file, in, in_length, out, out_length, control);
        handled = fast->FastIoDeviceControl(file, wait, in, in_length, out, out_length, control, status,
                                            filter->lower);
        if (handled && records) {
            record.status = record.returned = KSHS_STATUS_U32(status->Status);
            record.information = status->Information;
            record.took_ns = kst_ticks() - record.begin_ns;
            record.end_flags = KSTRACE_DONE;
            record.has_returned = 1;
            kst_ring_put(&record);
        }
    }
    kst_leave(filter, 1);
    return handled;
}
