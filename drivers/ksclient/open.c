/* SPDX-License-Identifier: Apache-2.0
 *
 * open.c - slots are filled and emptied: OPEN_DEVICE, OPEN_PIN, CLOSE, RELEASE_ALL.
 */
#include "ksclient.h"
#include "kshs_plain_name.h"
#include <ks.h>

/* Function 0x3FF of the KS device type, METHOD_NEITHER: nobody has it. */
#define UNKNOWN_CONTROL CTL_CODE(FILE_DEVICE_KS, 0x3FF, METHOD_NEITHER, FILE_ANY_ACCESS)

/* ---- one open -------------------------------------------------------------------------- */

static NTSTATUS reference_file(ksc_object *object)
{
    PFILE_OBJECT file;
    NTSTATUS status;

    if (kshs_is_wine()) {
        /* Wine runs IRP_MJ_CREATE after the open has returned, and until then the file
         * object has no device.  A control is queued behind it; its answer is of no interest. */
        LONG closes = ksc_closes();
        IO_STATUS_BLOCK unused;

        ZwDeviceIoControlFile(object->handle, NULL, NULL, NULL, &unused, UNKNOWN_CONTROL, NULL, 0, NULL, 0);
        ksc_closes_delivered(closes);       /* they came through the same queue */
    }
    status = ObReferenceObjectByHandle(object->handle, 0, KSHS_IO_FILE_OBJECT_TYPE, KernelMode, (PVOID *)&file, NULL);
    if (!NT_SUCCESS(status))
        return status;
    object->file = file;
    return kshs_related_device(file) ? STATUS_SUCCESS : STATUS_NO_SUCH_DEVICE;
}

/* Opens by name, below `root` unless NULL; the record gets returned status and status block. */
static NTSTATUS open_by_name(ksc_object *object, HANDLE root, PUNICODE_STRING name, kshs_record *record)
{
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK iosb;
    NTSTATUS status;

    iosb.Status = (NTSTATUS)KSHS_POISON_STATUS;
    iosb.Information = (ULONG_PTR)KSHS_POISON_INFORMATION;
    InitializeObjectAttributes(&attributes, name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, root, NULL);
    record->begin_ns = kshs_now_ns();
    status = ZwCreateFile(&object->handle, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, &attributes, &iosb, NULL,
                          FILE_ATTRIBUTE_NORMAL, FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN,
                          FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
    record->duration_ns = kshs_now_ns() - record->begin_ns;
    record->thread = (uint64_t)(ULONG_PTR)PsGetCurrentThreadId();
    ksc_record_iosb(record, iosb.Status, iosb.Information);
    if (NT_SUCCESS(status))
        status = reference_file(object);
    else
        object->handle = NULL;
    record->returned = KSHS_STATUS_U32(status);
    return status;
}

/* ---- what Wine opens in two steps ------------------------------------------------------- */

/* Turns an open filter into a pin, or into a filter of another factory, by a control of the reference class driver.
 * Sent as an IRP of ours: on Wine, ZwDeviceIoControlFile would arrive as a user's. */
static NTSTATUS send_make(ksc_call *call, ksc_object *object, uint32_t control, const UNICODE_STRING *name)
{
    ksc_parameters parameters;
    ksc_request *request;
    NTSTATUS status;

    RtlZeroMemory(&parameters, sizeof parameters);
    parameters.op = call->step.op;
    parameters.route = KSHS_ROUTE_IRP;
    parameters.mode = KSHS_MODE_KERNEL;
    parameters.control = control;
    parameters.in_kind = KSHS_BUFFER_NORMAL;
    parameters.in_length = name->Length;
    parameters.in_data = name->Buffer;
    parameters.in_data_length = name->Length;
    status = ksc_request_create(call->context, object->file, &parameters, &request);
    if (!NT_SUCCESS(status))
        return status;
    status = ksc_request_begin(request, NULL);
    if (NT_SUCCESS(status)) {
        status = ksc_request_send(request);
        if (NT_SUCCESS(status)) {
            uint64_t begin = call->record.begin_ns;

            /* Like an open, to the caller: what counts is how it ended. */
            call->record = request->record;
            call->record.flags &= KSHS_REC_IOSB_VISIBLE | KSHS_REC_STATUS_WRITTEN | KSHS_REC_INFO_WRITTEN;
            call->record.returned = request->record.status;
            call->record.begin_ns = begin;
            call->record.duration_ns = kshs_now_ns() - begin;
            call->record.completions = 0;
            call->record.repeats = 0;
            call->record.changed_bytes = 0;
            call->record.changed_first = call->record.changed_last = KSC_NONE;
            call->record.data_length = 0;
            call->record.in_pointer = call->record.out_pointer = 0;
            status = (NTSTATUS)request->record.status;
        }
        ksc_request_finish(request);
    }
    ksc_request_release(request);
    return status;
}

/* Opens by the path of a filter or another device.  Wine knows that of a filter of a device's first factory alone: what
 * is opened there, for a name with a reference string behind it, is made a filter of the factory that it names. */
static NTSTATUS open_by_path(ksc_call *call, ksc_object *object, const WCHAR *path, uint32_t bytes)
{
    size_t plain = kshs_plain_characters(path, bytes / sizeof(WCHAR));
    UNICODE_STRING name, reference;
    NTSTATUS status;

    name.Buffer = (PWCH)path;
    name.Length = name.MaximumLength = (USHORT)bytes;
    status = open_by_name(object, NULL, &name, &call->record);
    if (NT_SUCCESS(status) || !plain || !kshs_is_wine())
        return status;              /* on Wine whatever fails does so before a driver is asked */
    reference.Buffer = (PWCH)path + plain + 1;
    reference.Length = reference.MaximumLength = (USHORT)(bytes - (plain + 1) * sizeof(WCHAR));
    name.Length = name.MaximumLength = (USHORT)(plain * sizeof(WCHAR));
    ksc_record_init(&call->record, call->step.op);
    status = open_by_name(object, NULL, &name, &call->record);
    if (NT_SUCCESS(status)) {
        status = send_make(call, object, IOCTL_KSHS_MAKE_FILTER, &reference);
        call->record.returned = KSHS_STATUS_U32(status);
    }
    call->record.flags |= KSHS_REC_MADE;
    return status;
}

/* ---- steps ------------------------------------------------------------------------------- */

/* Puts an opened object into its reserved slot and answers; if nobody takes the
 * answer any more (HUNG, cancelled), nobody knows of the object: out with it. */
static void deliver(ksc_call *call, ksc_object *object, NTSTATUS status)
{
    ksc_context *context = call->context;
    uint32_t slot = call->step.slot;

    if (NT_SUCCESS(status)) {
        object->context = context;
        object->slot = slot;
        ksc_left_opened(context, object);
    }
    if (!NT_SUCCESS(status)) {
        ksc_slot_fill(context, slot, NULL);
        ksc_object_release(object);
        ksc_call_answer(call, &call->record, NULL);
    } else if (!ksc_slot_fill(context, slot, object)) {
        ksc_object_release(object);
        ksc_call_refuse(call, STATUS_DELETE_PENDING);
    } else if (!ksc_call_answer(call, &call->record, NULL)) {
        if (ksc_slot_take_if(context, slot, object))
            ksc_object_release(object);
    }
}

void ksc_open_device(ksc_call *call)
{
    NTSTATUS status = ksc_slot_reserve(call->context, call->step.slot);
    ksc_object *object;

    if (!NT_SUCCESS(status)) {
        ksc_call_refuse(call, status);
        return;
    }
    object = ksc_object_create(call->data, call->step.data_length);
    if (!object) {
        ksc_slot_fill(call->context, call->step.slot, NULL);
        ksc_call_refuse(call, STATUS_INSUFFICIENT_RESOURCES);
        return;
    }
    ksc_left_begin(call->context);
    status = open_by_path(call, object, object->path, object->path_bytes);
    deliver(call, object, status);
}

/* ---- pins ---------------------------------------------------------------------------------- */

static const WCHAR pin_prefix[] = KSSTRING_Pin L"\\";
#define PIN_PREFIX_BYTES (sizeof pin_prefix - sizeof(WCHAR))

/* The pin's name: the prefix, then KSPIN_CONNECT and KSDATAFORMAT as bytes. */
static PVOID build_name(const ksc_call *call, const ksc_object *connected, UNICODE_STRING *name)
{
    SIZE_T bytes = PIN_PREFIX_BYTES + call->step.data_length;
    uint8_t *buffer = ExAllocatePoolWithTag(NonPagedPool, bytes, KSC_TAG);

    if (!buffer)
        return NULL;
    RtlCopyMemory(buffer, pin_prefix, PIN_PREFIX_BYTES);
    RtlCopyMemory(buffer + PIN_PREFIX_BYTES, call->data, call->step.data_length);
    if (connected)      /* the name has no alignment to speak of */
        RtlCopyMemory(buffer + PIN_PREFIX_BYTES + offsetof(KSPIN_CONNECT, PinToHandle), &connected->handle,
                      sizeof connected->handle);
    name->Buffer = (PWCH)buffer;
    name->Length = name->MaximumLength = (USHORT)bytes;
    return buffer;
}

static NTSTATUS make_pin(ksc_call *call, const ksc_object *filter, ksc_object *object, const UNICODE_STRING *name)
{
    NTSTATUS status;

    ksc_record_init(&call->record, call->step.op);
    status = open_by_path(call, object, filter->path, filter->path_bytes);
    if (NT_SUCCESS(status)) {
        status = send_make(call, object, IOCTL_KSHS_MAKE_PIN, name);
        call->record.returned = KSHS_STATUS_U32(status);
    }
    call->record.flags |= KSHS_REC_MADE;
    return status;
}

static void open_pin(ksc_call *call, ksc_object *filter, ksc_object *connected)
{
    ksc_object *object = ksc_object_create(NULL, 0);
    UNICODE_STRING name;
    PVOID buffer = object ? build_name(call, connected, &name) : NULL;
    NTSTATUS status;

    if (!buffer) {
        if (object)
            ksc_object_release(object);
        ksc_slot_fill(call->context, call->step.slot, NULL);
        ksc_call_refuse(call, STATUS_INSUFFICIENT_RESOURCES);
        return;
    }
    status = open_by_name(object, filter->handle, &name, &call->record);
    call->record.flags |= KSHS_REC_NATIVE;
    /* Wine cannot open below a device; elsewhere this status is the class driver's answer. */
    if (status == STATUS_OBJECT_NAME_NOT_FOUND && kshs_is_wine() && filter->path_bytes &&
        !(call->step.flags & KSHS_STEP_NO_FALLBACK))
        status = make_pin(call, filter, object, &name);
    ExFreePoolWithTag(buffer, KSC_TAG);
    object->keeps[0] = filter->file;
    object->keeps[1] = connected ? connected->file : NULL;
    deliver(call, object, status);
}

void ksc_open_pin(ksc_call *call)
{
    ksc_context *context = call->context;
    const kshs_step *step = &call->step;
    ksc_object *filter = ksc_slot_get(context, step->slot2);
    ksc_object *connected = step->slot3 == KSHS_NO_SLOT ? NULL : ksc_slot_get(context, step->slot3);
    NTSTATUS status = STATUS_INVALID_HANDLE;

    /* A handle that was closed is not used again, not even to be refused: its number may be somebody else's by
     * now, and an invalid kernel handle stops a kernel that is watched by Driver Verifier. */
    if (filter && filter->handle && (step->slot3 == KSHS_NO_SLOT || (connected && connected->handle)))
        status = ksc_slot_reserve(context, step->slot);
    if (NT_SUCCESS(status))
        open_pin(call, filter, connected);
    else
        ksc_call_refuse(call, status);
    if (connected)
        ksc_object_release(connected);
    if (filter)
        ksc_object_release(filter);
}

/* ---- closing --------------------------------------------------------------------------------- */

/* What is in the slot, to be closed; with KEEP its file object stays there. */
static NTSTATUS take_to_close(ksc_call *call, ksc_object **object)
{
    ksc_context *context = call->context;
    uint32_t slot = call->step.slot;
    NTSTATUS status = STATUS_INVALID_HANDLE;
    ksc_object *open, *kept;

    if (!(call->step.flags & KSHS_STEP_KEEP)) {
        *object = ksc_slot_take(context, slot);
        return *object ? STATUS_SUCCESS : STATUS_INVALID_HANDLE;
    }
    open = ksc_slot_get(context, slot);
    if (!open)
        return STATUS_INVALID_HANDLE;
    kept = open->handle ? ksc_object_keep(open) : NULL;
    if (!kept) {
        status = open->handle ? STATUS_INSUFFICIENT_RESOURCES : STATUS_INVALID_HANDLE;
    } else if (ksc_slot_replace(context, slot, open, kept)) {
        kept->context = context;        /* what is left is seen when it goes */
        kept->slot = slot;
        ksc_left_gone(open);
        open->context = NULL;
        *object = open;
        status = STATUS_SUCCESS;
    } else {
        ksc_object_release(kept);       /* somebody closed it just now */
    }
    ksc_object_release(open);           /* the reference that was got here; the slot's is another */
    return status;
}

void ksc_close(ksc_call *call)
{
    kshs_record *record = &call->record;
    ksc_object *object = NULL;
    NTSTATUS status = take_to_close(call, &object);

    if (!NT_SUCCESS(status)) {
        ksc_call_refuse(call, status);
        return;
    }
    record->begin_ns = kshs_now_ns();
    record->thread = (uint64_t)(ULONG_PTR)PsGetCurrentThreadId();
    record->returned = KSHS_STATUS_U32(ksc_object_release(object));
    record->duration_ns = kshs_now_ns() - record->begin_ns;
    ksc_call_answer(call, record, NULL);
}

void ksc_release_all(ksc_call *call)
{
    kshs_record *record = &call->record;
    kshs_left left;

    record->begin_ns = kshs_now_ns();
    record->thread = (uint64_t)(ULONG_PTR)PsGetCurrentThreadId();
    record->returned = KSHS_STATUS_U32(STATUS_SUCCESS);
    ksc_made_give_back(call->context);
    if (call->step.flags & KSHS_STEP_COUNT) {
        ksc_left_count(call->context, &left);
        record->data_length = sizeof left;
    } else {
        ksc_slots_close(call->context);
        ksc_left_forget(call->context);
    }
    ksc_made_forget(call->context);
    record->duration_ns = kshs_now_ns() - record->begin_ns;
    ksc_call_answer(call, record, record->data_length ? &left : NULL);
}
