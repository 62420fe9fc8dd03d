/* SPDX-License-Identifier: Apache-2.0
 *
 * filter.c - the filter device: put above a stack, passed through, taken away.
 *
 * It owns nothing of the device.  Whatever it cannot do for lack of memory it
 * leaves, so that the device works on without it; and it never waits for the
 * requests of others: a filter whose requests are not all back when its device
 * goes is kept, not deleted.
 */
#include "kstrace.h"

static struct {
    KSPIN_LOCK lock;
    LIST_ENTRY all;                     /* attached, or kept */
    volatile LONG number;
} filters;

void kst_filters_init(void)
{
    KeInitializeSpinLock(&filters.lock);
    InitializeListHead(&filters.all);
}

/* ---- who is inside -------------------------------------------------------------------- */

BOOLEAN kst_enter(kst_filter *filter, LONG times)
{
    InterlockedExchangeAdd(&filter->inside, times);
    if (filter->lower && (!filter->gone || filter->live))
        return TRUE;
    InterlockedExchangeAdd(&filter->inside, -times);
    return FALSE;
}

void kst_leave(kst_filter *filter, LONG times)
{
    InterlockedExchangeAdd(&filter->inside, -times);
}

void kst_filters_count(uint32_t *count, uint32_t *busy)
{
    PLIST_ENTRY entry;
    KIRQL irql;

    *count = *busy = 0;
    KeAcquireSpinLock(&filters.lock, &irql);
    for (entry = filters.all.Flink; entry != &filters.all; entry = entry->Flink) {
        const kst_filter *filter = CONTAINING_RECORD(entry, kst_filter, link);

        *count += !filter->gone;
        *busy += (uint32_t)filter->inside;
    }
    KeReleaseSpinLock(&filters.lock, irql);
}

/* ---- putting it there ------------------------------------------------------------------- */

static kst_filter *create(PDEVICE_OBJECT top)
{
    PDEVICE_OBJECT device;
    kst_filter *filter;
    KIRQL irql;

    /* No name, and who may open it is for the device below to say. */
    if (!NT_SUCCESS(IoCreateDevice(kst_driver, sizeof *filter, NULL, top->DeviceType,
                                   top->Characteristics & FILE_DEVICE_SECURE_OPEN, FALSE, &device)))
        return NULL;
    filter = device->DeviceExtension;
    RtlZeroMemory(filter, sizeof *filter);
    filter->head.is_filter = TRUE;
    filter->self = device;
    filter->number = (ULONG)InterlockedIncrement(&filters.number);
    KeAcquireSpinLock(&filters.lock, &irql);
    InsertTailList(&filters.all, &filter->link);
    KeReleaseSpinLock(&filters.lock, irql);
    return filter;
}

static void discard(kst_filter *filter)
{
    KIRQL irql;

    KeAcquireSpinLock(&filters.lock, &irql);
    RemoveEntryList(&filter->link);
    KeReleaseSpinLock(&filters.lock, irql);
    IoDeleteDevice(filter->self);
}

/* As the device below is: how its buffers come, which thread its power requests may use. */
static void mimic(kst_filter *filter)
{
    const DEVICE_OBJECT *lower = filter->lower;

    filter->self->Flags |= lower->Flags & (DO_BUFFERED_IO | DO_DIRECT_IO | DO_POWER_PAGABLE | DO_POWER_INRUSH);
    filter->self->DeviceType = lower->DeviceType;
    filter->self->Characteristics = lower->Characteristics;
    filter->self->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
}

NTSTATUS NTAPI kst_add_device(PDRIVER_OBJECT driver, PDEVICE_OBJECT physical)
{
    kst_filter *filter;

    KSHS_UNUSED(driver);
    kst_begin_again();
    filter = create(physical);
    if (!filter) {
        KST_LOG("no memory for a filter: the device works without it\n");
        return STATUS_SUCCESS;
    }
    filter->lower = IoAttachDeviceToDeviceStack(filter->self, physical);
    if (!filter->lower) {
        KST_LOG("cannot be put above the device, which works without it\n");
        discard(filter);
        return STATUS_SUCCESS;
    }
    mimic(filter);
    return STATUS_SUCCESS;
}

/* ---- Wine: it knows no upper filters ------------------------------------------------------ */

static BOOLEAN is_ours(const DEVICE_OBJECT *device)
{
    return device->DriverObject == kst_driver;
}

/* Above a started stack.  The lower device is set before anybody can send to us. */
static NTSTATUS attach_live(PDEVICE_OBJECT device)
{
    PDEVICE_OBJECT top = device;
    kst_filter *filter;

    while (top->AttachedDevice)
        top = top->AttachedDevice;
    if (is_ours(top))
        return STATUS_ALREADY_REGISTERED;
    filter = create(top);
    if (!filter)
        return STATUS_INSUFFICIENT_RESOURCES;
    filter->live = TRUE;
    ObReferenceObject(top);             /* a sender may still come through us when the stack has gone */
    filter->lower = top;
    if (IoAttachDeviceToDeviceStack(filter->self, device) != top) {
        ObDereferenceObject(top);
        discard(filter);
        return STATUS_DEVICE_BUSY;
    }
    mimic(filter);
    return STATUS_SUCCESS;
}

typedef NTSTATUS (NTAPI *reference_by_name)(PUNICODE_STRING name, ULONG attributes, PACCESS_STATE state,
                                            ACCESS_MASK access, POBJECT_TYPE type, KPROCESSOR_MODE mode,
                                            PVOID context, PVOID *object);

NTSTATUS kst_attach_driver(PUNICODE_STRING name, ULONG *attached)
{
    reference_by_name reference = (reference_by_name)(ULONG_PTR)kshs_system_routine(L"ObReferenceObjectByName");
    POBJECT_TYPE *type = kshs_system_routine(L"IoDriverObjectType");
    NTSTATUS status, first = STATUS_NO_SUCH_DEVICE;
    PDRIVER_OBJECT driver;
    PDEVICE_OBJECT device;

    *attached = 0;
    if (!kshs_is_wine() || !reference || !type)
        return STATUS_NOT_SUPPORTED;
    status = reference(name, OBJ_CASE_INSENSITIVE, NULL, 0, *type, KernelMode, NULL, (PVOID *)&driver);
    if (!NT_SUCCESS(status))
        return status;
    for (device = driver->DeviceObject; device; device = device->NextDevice) {
        status = attach_live(device);
        if (NT_SUCCESS(status))
            ++*attached;
        else if (first == STATUS_NO_SUCH_DEVICE)
            first = status;
    }
    ObDereferenceObject(driver);
    return *attached ? STATUS_SUCCESS : first;
}

/* Senders that found us at the top a moment ago may still come: so the device stays, and passes on. */
void kst_detach_live(void)
{
    PLIST_ENTRY entry;
    KIRQL irql;

    KeAcquireSpinLock(&filters.lock, &irql);
    for (entry = filters.all.Flink; entry != &filters.all; entry = entry->Flink) {
        kst_filter *filter = CONTAINING_RECORD(entry, kst_filter, link);

        if (filter->live && !filter->gone && !filter->self->AttachedDevice) {
            filter->gone = 1;
            IoDetachDevice(filter->lower);
        }
    }
    KeReleaseSpinLock(&filters.lock, irql);
}

void kst_filters_delete(void)
{
    while (!IsListEmpty(&filters.all)) {
        kst_filter *filter = CONTAINING_RECORD(filters.all.Flink, kst_filter, link);

        if (filter->lower && !filter->gone)
            IoDetachDevice(filter->lower);
        if (filter->live)
            ObDereferenceObject(filter->lower);
        discard(filter);
    }
}

/* ---- on their way --------------------------------------------------------------------------- */

NTSTATUS kst_pass(kst_filter *filter, PIRP irp)
{
    /* The class driver may make its own deeper when a pin is connected to another device. */
    if (filter->self->StackSize <= filter->lower->StackSize)
        filter->self->StackSize = (CCHAR)(filter->lower->StackSize + 1);
    IoSkipCurrentIrpStackLocation(irp);
    return IoCallDriver(filter->lower, irp);
}

/* Before NT 6 every driver of a stack had to say that it is ready for the next one; since then both are what they
 * would be without it. */
NTSTATUS kst_power(kst_filter *filter, PIRP irp)
{
    PoStartNextPowerIrp(irp);
    IoSkipCurrentIrpStackLocation(irp);
    return PoCallDriver(filter->lower, irp);
}

NTSTATUS kst_gone(PIRP irp, UCHAR major)
{
    if (major == IRP_MJ_POWER)
        PoStartNextPowerIrp(irp);
    return kshs_complete(irp, STATUS_DELETE_PENDING, irp->IoStatus.Information);
}

/* ---- PnP ---------------------------------------------------------------------------------------- */

static void record_pnp(kst_filter *filter, PIRP irp, UCHAR minor)
{
    kstrace_record record;

    kst_begin_record(&record, filter, KSTRACE_PNP, irp, NULL);
    record.control = minor;
    record.flags |= KSTRACE_UNWATCHED;
    kst_ring_put(&record);
}

/* What the device below has become is what we are. */
static NTSTATUS NTAPI mimic_again(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    kst_filter *filter = context;
    UCHAR minor = IoGetCurrentIrpStackLocation(irp)->MinorFunction;

    KSHS_UNUSED(device);
    if (irp->PendingReturned)
        IoMarkIrpPending(irp);
    if (minor == IRP_MN_START_DEVICE && NT_SUCCESS(irp->IoStatus.Status))
        filter->self->Characteristics |=
            filter->lower->Characteristics &
            (FILE_REMOVABLE_MEDIA | FILE_FLOPPY_DISKETTE | FILE_READ_ONLY_DEVICE | FILE_WRITE_ONCE_MEDIA);
    if (minor == IRP_MN_DEVICE_USAGE_NOTIFICATION && !(filter->lower->Flags & DO_POWER_PAGABLE))
        filter->self->Flags &= ~(ULONG)DO_POWER_PAGABLE;
    kst_leave(filter, 1);
    return STATUS_SUCCESS;
}

static NTSTATUS pass_and_mimic(kst_filter *filter, PIRP irp)
{
    if (irp->CurrentLocation - 1 < filter->lower->StackSize)
        return kst_pass(filter, irp);
    InterlockedIncrement(&filter->inside);
    IoCopyCurrentIrpStackLocationToNext(irp);
    IoSetCompletionRoutine(irp, mimic_again, filter, TRUE, TRUE, TRUE);
    return IoCallDriver(filter->lower, irp);
}

/* Inside it there is this very request, and nobody else unless a request was not completed. */
static NTSTATUS remove(kst_filter *filter, PIRP irp)
{
    NTSTATUS status;

    if (!filter->live)
        filter->gone = 1;               /* no request comes to a device that is being removed */
    status = kst_pass(filter, irp);
    if (!filter->live || !InterlockedExchange(&filter->gone, 1))
        IoDetachDevice(filter->lower);  /* or it was taken away before */
    if (filter->inside == 1 && !filter->live) {
        discard(filter);
        return status;
    }
    if (!filter->live)
        KST_LOG("a filter is kept: %d requests of its device are not back\n", (int)filter->inside - 1);
    kst_leave(filter, 1);
    return status;
}

/* TRUE: FILTER may be gone. */
static NTSTATUS pnp(kst_filter *filter, PIRP irp, BOOLEAN *removed)
{
    UCHAR minor = IoGetCurrentIrpStackLocation(irp)->MinorFunction;

    *removed = FALSE;
    switch (minor) {
    case IRP_MN_START_DEVICE:
        record_pnp(filter, irp, minor);
        return pass_and_mimic(filter, irp);
    case IRP_MN_DEVICE_USAGE_NOTIFICATION:
        /* On the way down: as the device above, or pagable where there is none. */
        if (!filter->self->AttachedDevice || (filter->self->AttachedDevice->Flags & DO_POWER_PAGABLE))
            filter->self->Flags |= DO_POWER_PAGABLE;
        return pass_and_mimic(filter, irp);
    case IRP_MN_STOP_DEVICE:
    case IRP_MN_QUERY_REMOVE_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
    case IRP_MN_SURPRISE_REMOVAL:
        record_pnp(filter, irp, minor);
        return kst_pass(filter, irp);
    case IRP_MN_REMOVE_DEVICE:
        record_pnp(filter, irp, minor);
        *removed = TRUE;
        return remove(filter, irp);
    default:
        return kst_pass(filter, irp);
    }
}

NTSTATUS kst_pnp(kst_filter *filter, PIRP irp)
{
    uint32_t left, busy;
    BOOLEAN removed;
    NTSTATUS status = pnp(filter, irp, &removed);

    if (!removed) {
        kst_leave(filter, 1);
        return status;
    }
    kst_filters_count(&left, &busy);
    if (kst_finishing && !left)
        kst_control_delete();
    return status;
}
