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

/* What a record and its flight need of a request. */
typedef struct watched {
    kstrace_record record;
    PVOID out;
    uint32_t out_length;
    HANDLE sink;
} watched;

void kst_begin_record(kstrace_record *record, kst_filter *filter, uint32_t event, PIRP irp, PFILE_OBJECT file)
{
    RtlZeroMemory(record, offsetof(kstrace_record, data));
    record->event = event;
    record->device = filter->number;
    record->file = (uint64_t)(ULONG_PTR)file;
    kst_caller(record, irp);
    record->begin_ns = kshs_now_ns();
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

static void look_at_name(watched *item, const UCHAR *name, ULONG bytes)
{
    const UCHAR *pin = pin_part(name, bytes);

    if (pin) {
        item->record.event = KSTRACE_PIN;
        bytes -= (ULONG)(pin - name);
        if (bytes >= sizeof(KSPIN_CONNECT))
            RtlCopyMemory(&item->sink, pin + FIELD_OFFSET(KSPIN_CONNECT, PinToHandle), sizeof item->sink);
        name = pin;
    }
    keep(&item->record, name, bytes, KSTRACE_NAME_BYTES);
    item->record.out_bytes =
        kst_process_name(item->record.data + item->record.in_bytes, KSTRACE_PROCESS_BYTES);
}

static void look_at_open(watched *item, PIO_STACK_LOCATION stack)
{
    PFILE_OBJECT file = stack->FileObject;

    item->record.control = stack->Parameters.Create.Options;
    if (!file)
        return;
    item->record.related = (uint64_t)(ULONG_PTR)file->RelatedFileObject;
    if (kshs_current_irql() == PASSIVE_LEVEL)       /* the name may be paged out */
        look_at_name(item, (const UCHAR *)file->FileName.Buffer, file->FileName.Buffer ? file->FileName.Length : 0);
}

/* ---- controls --------------------------------------------------------------------------- */

/* IOCTL_KS_HANDSHAKE, and what differs from it in method or access alone. */
static BOOLEAN is_handshake(ULONG control)
{
    return control >> 16 == FILE_DEVICE_KS && (control >> 2 & 0xFFF) == (IOCTL_KS_HANDSHAKE >> 2 & 0xFFF);
}

static void look_at_handshake(watched *item, const VOID *in, ULONG in_length, BOOLEAN readable, KPROCESSOR_MODE mode)
{
    kstrace_record *record = &item->record;
    ULONG bytes = in_length < KSTRACE_LOOK_BYTES ? in_length : KSTRACE_LOOK_BYTES;

    if (bytes && readable && kst_read(record->data, in, bytes, mode))
        record->in_bytes = bytes;
    else if (bytes)
        record->flags |= KSTRACE_IN_UNREAD;
    if (bytes < in_length)
        record->flags |= KSTRACE_CUT;
    if (record->in_bytes >= sizeof(KSHANDSHAKE) && mode == KernelMode) {
        KSHANDSHAKE handshake;

        RtlCopyMemory(&handshake, record->data, sizeof handshake);
        if (kst_is_kernel_memory((uint64_t)(ULONG_PTR)handshake.Argument1))
            record->flags |= KSTRACE_POINTER1;
        if (kst_is_kernel_memory((uint64_t)(ULONG_PTR)handshake.Argument2))
            record->flags |= KSTRACE_POINTER2;
    }
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

/* TRUE: a property that is recorded.  Its identifier is read once, and judged by what was read. */
static BOOLEAN look_at_property(watched *item, const VOID *in, ULONG in_length, const VOID *out, ULONG out_length,
                                KPROCESSOR_MODE mode)
{
    kstrace_record *record = &item->record;
    ULONG room = KSTRACE_DATA_BYTES - KSTRACE_VALUE_BYTES;
    KSPROPERTY property;
    ULONG bytes;

    if (in_length < sizeof property || !kst_read(&property, in, sizeof property, mode))
        return FALSE;
    if (kst_same_guid(&property.Set, &connection_set) && property.Id == KSPROPERTY_CONNECTION_STATE &&
        (property.Flags & KSPROPERTY_TYPE_SET)) {
        record->event = KSTRACE_STATE;
    } else if (kst_is_watched(&property.Set)) {
        record->event = KSTRACE_PROPERTY;
    } else {
        return FALSE;
    }
    RtlCopyMemory(record->data, &property, sizeof property);
    record->in_bytes = sizeof property;
    bytes = (in_length < room ? in_length : room) - sizeof property;
    if (bytes && kst_read(record->data + sizeof property, (const UCHAR *)in + sizeof property, bytes, mode))
        record->in_bytes += bytes;
    if (record->in_bytes < in_length)
        record->flags |= KSTRACE_CUT;
    if (!(property.Flags & KSPROPERTY_TYPE_SET)) {
        item->out = (PVOID)out;
        return TRUE;
    }
    bytes = out_length < KSTRACE_VALUE_BYTES ? out_length : KSTRACE_VALUE_BYTES;
    record->flags |= KSTRACE_VALUE;
    if (bytes && kst_read(record->data + record->in_bytes, out, bytes, mode))
        record->out_bytes = bytes;
    else if (bytes)
        record->flags |= KSTRACE_OUT_UNREAD;
    return TRUE;
}

static BOOLEAN look_at_control(watched *item, PIRP irp, PIO_STACK_LOCATION stack)
{
    ULONG control = stack->Parameters.DeviceIoControl.IoControlCode;
    ULONG in_length = stack->Parameters.DeviceIoControl.InputBufferLength;
    ULONG out_length = stack->Parameters.DeviceIoControl.OutputBufferLength;
    BOOLEAN neither = (control & 3) == METHOD_NEITHER;
    BOOLEAN readable = kst_is_callers(irp);

    item->record.control = control;
    item->record.in_length = in_length;
    item->record.out_length = out_length;
    item->out_length = out_length;
    if (is_handshake(control)) {
        look_at_handshake(item, neither ? stack->Parameters.DeviceIoControl.Type3InputBuffer
                                        : irp->AssociatedIrp.SystemBuffer,
                          in_length, readable || !neither, neither ? irp->RequestorMode : KernelMode);
        if (neither) {
            item->out = irp->UserBuffer;
            item->record.flags |= addresses((ULONG_PTR)stack->Parameters.DeviceIoControl.Type3InputBuffer,
                                            (ULONG_PTR)irp->UserBuffer);
        }
        return TRUE;
    }
    if (control == IOCTL_KS_PROPERTY)
        return readable && look_at_property(item, stack->Parameters.DeviceIoControl.Type3InputBuffer, in_length,
                                            irp->UserBuffer, out_length, irp->RequestorMode);
    if (control == IOCTL_KSHS_MAKE_PIN && kshs_is_wine() && irp->AssociatedIrp.SystemBuffer) {
        item->record.event = KSTRACE_PIN;
        item->record.flags |= KSTRACE_MADE;
        look_at_name(item, irp->AssociatedIrp.SystemBuffer, in_length);
        return item->record.event == KSTRACE_PIN;
    }
    return FALSE;
}

/* ---- on their way ------------------------------------------------------------------------- */

static NTSTATUS NTAPI completed(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    kst_flight *flight = context;
    kst_filter *filter = flight->filter;

    KSHS_UNUSED(device);
    if (irp->PendingReturned)
        IoMarkIrpPending(irp);
    if (InterlockedExchange(&flight->busy, 0)) {    /* a driver may complete an IRP twice */
        kst_ring_end(flight, irp);
        kst_flight_free(flight);
        kst_leave(filter);
    }
    return STATUS_SUCCESS;              /* the completion goes on */
}

/* Whether there are stack locations for the drivers below if we take one.  An IRP that was allocated before we were
 * put here may have none to spare. */
static BOOLEAN has_room(const kst_filter *filter, const IRP *irp)
{
    return irp->CurrentLocation - 1 >= filter->lower->StackSize;
}

static NTSTATUS send(kst_filter *filter, PIRP irp, watched *item)
{
    kst_flight *flight = NULL;
    BOOLEAN room = has_room(filter, irp);
    uint64_t number;
    NTSTATUS status;

    if (!room)
        item->record.flags |= KSTRACE_UNWATCHED;
    number = kst_ring_add(&item->record, room, room ? &flight : NULL);
    if (!flight) {
        status = kst_pass(filter, irp);
    } else {
        flight->filter = filter;
        flight->out = item->out;
        flight->out_length = item->out_length;
        flight->event = item->record.event;
        flight->process = PsGetCurrentProcessId();
        flight->thread = PsGetCurrentThreadId();
        flight->mode = irp->RequestorMode;
        flight->sink = item->sink;
        InterlockedIncrement(&filter->inside);
        IoCopyCurrentIrpStackLocationToNext(irp);
        IoSetCompletionRoutine(irp, completed, flight, TRUE, TRUE, TRUE);
        status = IoCallDriver(filter->lower, irp);
    }
    if (number)
        kst_ring_returned(number, status);
    return status;
}

NTSTATUS kst_watch(kst_filter *filter, PIRP irp, UCHAR major)
{
    static const uint8_t events[] = {
        [IRP_MJ_CREATE] = KSTRACE_OPEN,
        [IRP_MJ_CLOSE] = KSTRACE_CLOSE,
        [IRP_MJ_DEVICE_CONTROL] = KSTRACE_HANDSHAKE,
        [IRP_MJ_CLEANUP] = KSTRACE_CLEANUP,
    };
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    watched item;

    kst_begin_record(&item.record, filter, events[major], irp, stack->FileObject);
    item.out = NULL;
    item.out_length = 0;
    item.sink = NULL;
    if (major == IRP_MJ_CREATE)
        look_at_open(&item, stack);
    else if (major == IRP_MJ_DEVICE_CONTROL && !look_at_control(&item, irp, stack))
        return kst_pass(filter, irp);
    return send(filter, irp, &item);
}

/* ---- fast I/O -------------------------------------------------------------------------------- */

/* The drivers below are asked as if we were not here; the I/O manager makes an IRP where they say FALSE. */
BOOLEAN NTAPI kst_fast_control(PFILE_OBJECT file, BOOLEAN wait, PVOID in, ULONG in_length, PVOID out,
                               ULONG out_length, ULONG control, PIO_STATUS_BLOCK status, PDEVICE_OBJECT device)
{
    kst_device *head = device->DeviceExtension;
    kst_filter *filter = device->DeviceExtension;
    const FAST_IO_DISPATCH *fast;
    BOOLEAN handled = FALSE;
    watched item;

    if (!head->is_filter || !kst_enter(filter))
        return FALSE;
    fast = filter->lower->DriverObject->FastIoDispatch;
    if (fast && fast->SizeOfFastIoDispatch > FIELD_OFFSET(FAST_IO_DISPATCH, FastIoDeviceControl) &&
        fast->FastIoDeviceControl) {
        if (is_handshake(control)) {
            kst_begin_record(&item.record, filter, KSTRACE_HANDSHAKE, NULL, file);
            item.record.flags |= KSTRACE_FAST;
            item.record.control = control;
            item.record.in_length = in_length;
            item.record.out_length = out_length;
            item.record.flags |= addresses((ULONG_PTR)in, (ULONG_PTR)out);
            look_at_handshake(&item, in, in_length, TRUE, item.record.requestor ? UserMode : KernelMode);
        }
        handled = fast->FastIoDeviceControl(file, wait, in, in_length, out, out_length, control, status,
                                            filter->lower);
        if (handled && is_handshake(control)) {
            item.record.status = item.record.returned = KSHS_STATUS_U32(status->Status);
            item.record.information = status->Information;
            item.record.took_ns = kshs_now_ns() - item.record.begin_ns;
            item.record.flags |= KSTRACE_DONE | KSTRACE_RETURNED;
            kst_ring_add(&item.record, FALSE, NULL);
        }
    }
    kst_leave(filter);
    return handled;
}
