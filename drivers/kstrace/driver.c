/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.c - entry, unload, the control device, and whose request is whose.
 *
 * The control device keeps the driver, and with it the ring, in memory when the
 * watched device goes: removals are what a trace is often about.
 */
#include "kstrace.h"
#include "kshs_secure.h"

_Static_assert(sizeof(kstrace_record) == KSTRACE_RECORD_BYTES, "kstrace_record");
_Static_assert(sizeof(kstrace_beacon) == 88, "kstrace_beacon");
_Static_assert(offsetof(kstrace_record, data) + KSTRACE_DATA_BYTES == KSTRACE_RECORD_BYTES, "kstrace_record.data");
_Static_assert(KSTRACE_NAME_BYTES + KSTRACE_PROCESS_BYTES <= KSTRACE_DATA_BYTES, "names");
_Static_assert(IOCTL_KSTRACE_STATE == CTL_CODE(KSTRACE_DEVICE_TYPE, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS), "state");
_Static_assert(IOCTL_KSTRACE_READ == CTL_CODE(KSTRACE_DEVICE_TYPE, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS), "read");
_Static_assert(IOCTL_KSTRACE_CLEAR == CTL_CODE(KSTRACE_DEVICE_TYPE, 0x802, METHOD_BUFFERED, FILE_ANY_ACCESS), "clear");
_Static_assert(IOCTL_KSTRACE_ATTACH == CTL_CODE(KSTRACE_DEVICE_TYPE, 0x803, METHOD_BUFFERED, FILE_ANY_ACCESS), "attach");
_Static_assert(IOCTL_KSTRACE_FINISH == CTL_CODE(KSTRACE_DEVICE_TYPE, 0x804, METHOD_BUFFERED, FILE_ANY_ACCESS), "finish");

#define MOST_NAME_BYTES 512

DRIVER_INITIALIZE DriverEntry;

PDRIVER_OBJECT kst_driver;
volatile LONG kst_finishing;

static UNICODE_STRING device_name = RTL_CONSTANT_STRING(L"\\Device\\KsHsTrace");
static UNICODE_STRING link_name = RTL_CONSTANT_STRING(L"\\??\\KsHsTrace");
static PDEVICE_OBJECT volatile control_device;
static FAST_IO_DISPATCH fast_io;

/* ---- the control device ------------------------------------------------------------------ */

void kst_control_delete(void)
{
    PDEVICE_OBJECT device = InterlockedExchangePointer((PVOID volatile *)&control_device, NULL);

    if (!device)
        return;
    IoDeleteSymbolicLink(&link_name);
    IoDeleteDevice(device);             /* at once, or with its last handle */
}

static NTSTATUS control_create(void)
{
    PDEVICE_OBJECT device;
    NTSTATUS status = IoCreateDevice(kst_driver, sizeof(kst_device), &device_name, KSTRACE_DEVICE_TYPE,
                                     FILE_DEVICE_SECURE_OPEN, FALSE, &device);

    if (!NT_SUCCESS(status))
        return status;
    ((kst_device *)device->DeviceExtension)->is_filter = FALSE;
    status = kshs_secure_device(device);
    if (!NT_SUCCESS(status))
        KST_LOG("the device keeps its default security: %08x\n", (unsigned)status);
    status = IoCreateSymbolicLink(&link_name, &device_name);
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(device);
        return status;
    }
    control_device = device;
    device->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

/* It was still loaded for some reason: with what it had recorded before, and perhaps without its device. */
void kst_begin_again(void)
{
    if (!InterlockedExchange(&kst_finishing, 0))
        return;
    kst_ring_clear();
    if (!control_device && !NT_SUCCESS(control_create()))
        KST_LOG("no control device: nobody can ask for records\n");
}

static NTSTATUS answer_state(PIRP irp, ULONG room)
{
    kstrace_state state;

    if (room < sizeof state)
        return kshs_complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
    RtlZeroMemory(&state, sizeof state);
    state.version = KSTRACE_VERSION;
    kst_ring_state(&state);
    state.now_ns = kshs_now_ns();
    state.sets = kst_watched_sets();
    kst_filters_count(&state.filters, &state.busy);
    RtlCopyMemory(irp->AssociatedIrp.SystemBuffer, &state, sizeof state);
    return kshs_complete(irp, STATUS_SUCCESS, sizeof state);
}

static NTSTATUS answer_read(PIRP irp, ULONG in, ULONG room)
{
    uint64_t first;
    ULONG given;

    if (in != sizeof first)
        return kshs_complete(irp, STATUS_INVALID_PARAMETER, 0);
    RtlCopyMemory(&first, irp->AssociatedIrp.SystemBuffer, sizeof first);
    given = kst_ring_read(first, irp->AssociatedIrp.SystemBuffer, room / sizeof(kstrace_record));
    return kshs_complete(irp, STATUS_SUCCESS, given * sizeof(kstrace_record));
}

static NTSTATUS answer_attach(PIRP irp, ULONG in, ULONG room)
{
    ULONG attached = 0;
    UNICODE_STRING name;
    NTSTATUS status;

    if (!in || in > MOST_NAME_BYTES || in % sizeof(WCHAR) || room < sizeof attached)
        return kshs_complete(irp, STATUS_INVALID_PARAMETER, 0);
    name.Buffer = irp->AssociatedIrp.SystemBuffer;
    name.Length = name.MaximumLength = (USHORT)in;
    status = kst_attach_driver(&name, &attached);
    if (!NT_SUCCESS(status))
        return kshs_complete(irp, status, 0);
    RtlCopyMemory(irp->AssociatedIrp.SystemBuffer, &attached, sizeof attached);
    return kshs_complete(irp, STATUS_SUCCESS, sizeof attached);
}

static NTSTATUS answer_finish(PIRP irp)
{
    kst_ring_stop();
    if (kshs_is_wine())
        kst_detach_live();
    else
        InterlockedExchange(&kst_finishing, 1);
    return kshs_complete(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS control(PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    ULONG in = stack->Parameters.DeviceIoControl.InputBufferLength;
    ULONG room = stack->Parameters.DeviceIoControl.OutputBufferLength;

    switch (stack->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_KSTRACE_STATE:
        return answer_state(irp, room);
    case IOCTL_KSTRACE_READ:
        return answer_read(irp, in, room);
    case IOCTL_KSTRACE_CLEAR:
        kst_ring_clear();
        return kshs_complete(irp, STATUS_SUCCESS, 0);
    case IOCTL_KSTRACE_ATTACH:
        return answer_attach(irp, in, room);
    case IOCTL_KSTRACE_FINISH:
        return answer_finish(irp);
    default:
        return kshs_complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static NTSTATUS control_dispatch(PIRP irp, UCHAR major)
{
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;

    switch (major) {
    case IRP_MJ_CREATE:                 /* there is nothing below the device */
        return kshs_complete(irp, file && file->FileName.Length ? STATUS_OBJECT_NAME_NOT_FOUND : STATUS_SUCCESS, 0);
    case IRP_MJ_CLEANUP:
    case IRP_MJ_CLOSE:
        return kshs_complete(irp, STATUS_SUCCESS, 0);
    case IRP_MJ_DEVICE_CONTROL:
        return control(irp);
    case IRP_MJ_POWER:
        PoStartNextPowerIrp(irp);
        return kshs_complete(irp, STATUS_NOT_SUPPORTED, 0);
    default:
        return kshs_complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

/* ---- dispatch ------------------------------------------------------------------------------ */

static NTSTATUS NTAPI dispatch(PDEVICE_OBJECT device, PIRP irp)
{
    UCHAR major = IoGetCurrentIrpStackLocation(irp)->MajorFunction;
    BOOLEAN watched = major == IRP_MJ_CREATE || major == IRP_MJ_CLEANUP || major == IRP_MJ_CLOSE ||
                      major == IRP_MJ_DEVICE_CONTROL;
    LONG times = watched ? 2 : 1;       /* for itself, and for the completion routine */
    kst_filter *filter = device->DeviceExtension;
    BOOLEAN handed = FALSE;
    NTSTATUS status;

    if (!filter->head.is_filter)
        return control_dispatch(irp, major);
    if (!kst_enter(filter, times))
        return kst_gone(irp, major);
    if (major == IRP_MJ_PNP)
        return kst_pnp(filter, irp);    /* the filter may be gone afterwards */
    if (watched)
        status = kst_watch(filter, irp, major, &handed);
    else if (major == IRP_MJ_POWER)
        status = kst_power(filter, irp);
    else
        status = kst_pass(filter, irp);
    kst_leave(filter, handed ? 1 : times);
    return status;
}

static VOID NTAPI unload(PDRIVER_OBJECT driver)
{
    KSHS_UNUSED(driver);
    kst_control_delete();
    kst_filters_delete();
    kst_ring_free();
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path)
{
    ULONG records, i;
    NTSTATUS status;

    kst_driver = driver;
    for (i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++)
        driver->MajorFunction[i] = dispatch;
    driver->DriverExtension->AddDevice = kst_add_device;
    driver->DriverUnload = unload;
    fast_io.SizeOfFastIoDispatch = sizeof fast_io;
    fast_io.FastIoDeviceControl = kst_fast_control;
    driver->FastIoDispatch = &fast_io;
    kst_look_init();
    kst_filters_init();
    kst_settings_read(registry_path, &records);
    status = kst_ring_init(records);
    if (!NT_SUCCESS(status))
        KST_LOG("no memory for records: everything passes unrecorded\n");
    status = control_create();
    if (!NT_SUCCESS(status))
        KST_LOG("no control device (%08x): nobody can ask for records\n", (unsigned)status);
    return STATUS_SUCCESS;              /* a device whose upper filter does not load does not start */
}
