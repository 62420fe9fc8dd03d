/* SPDX-License-Identifier: Apache-2.0
 *
 * device.c - drivers that registered with us, and their device objects.
 */
#include "refks.h"

/* A driver that called KsInitializeDriver.  A list of our own, because IoAllocateDriverObjectExtension
 * is not implemented everywhere. */
typedef struct REFKS_DRIVER {
    LIST_ENTRY Entry;
    PDRIVER_OBJECT DriverObject;
    const KSDEVICE_DESCRIPTOR *Descriptor;
} REFKS_DRIVER;

/* What the functional device's extension starts with, because ks.h's macros expect a KSDEVICE_HEADER there.
 * We do not rely on it: a minidriver may have device objects of its own. */
typedef struct REFKS_EXTENSION {
    KSDEVICE_HEADER Header;
} REFKS_EXTENSION;

static KSPIN_LOCK DriversLock;
static LIST_ENTRY Drivers = { &Drivers, &Drivers };
static LIST_ENTRY Devices = { &Devices, &Devices };     /* under RefksLock */

static REFKS_DRIVER *FindDriver(PDRIVER_OBJECT DriverObject)    /* DriversLock held */
{
    PLIST_ENTRY entry;

    for (entry = Drivers.Flink; entry != &Drivers; entry = entry->Flink) {
        REFKS_DRIVER *driver = CONTAINING_RECORD(entry, REFKS_DRIVER, Entry);

        if (driver->DriverObject == DriverObject)
            return driver;
    }
    return NULL;
}

const KSDEVICE_DESCRIPTOR *RefksDriverDescriptor(PDRIVER_OBJECT DriverObject)
{
    const KSDEVICE_DESCRIPTOR *descriptor = NULL;
    REFKS_DRIVER *driver;
    KIRQL irql;

    KeAcquireSpinLock(&DriversLock, &irql);
    driver = FindDriver(DriverObject);
    if (driver)
        descriptor = driver->Descriptor;
    KeReleaseSpinLock(&DriversLock, irql);
    return descriptor;
}

static VOID NTAPI RefksUnload(PDRIVER_OBJECT DriverObject)
{
    REFKS_DRIVER *driver;
    KIRQL irql;

    KeAcquireSpinLock(&DriversLock, &irql);
    driver = FindDriver(DriverObject);
    if (driver)
        RemoveEntryList(&driver->Entry);
    KeReleaseSpinLock(&DriversLock, irql);
    RefksFree(driver);
}

VOID NTAPI KsNullDriverUnload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
}

/* Both versions, 0x100 and 0x110, begin alike, and nothing here goes by the flags at the end of the newer one. */
static NTSTATUS CheckDescriptor(const KSDEVICE_DESCRIPTOR *Descriptor)
{
    ULONG index;

    if (!Descriptor)
        return STATUS_SUCCESS;
    if (Descriptor->FilterDescriptorsCount && !Descriptor->FilterDescriptors)
        return STATUS_INVALID_PARAMETER;
    for (index = 0; index < Descriptor->FilterDescriptorsCount; index++) {
        const KSFILTER_DESCRIPTOR *filter = Descriptor->FilterDescriptors[index];

        if (!filter || filter->Version != KSFILTER_DESCRIPTOR_VERSION)
            return STATUS_INVALID_PARAMETER;
        if (filter->PinDescriptorsCount &&
            (!filter->PinDescriptors || filter->PinDescriptorSize < sizeof(KSPIN_DESCRIPTOR_EX)))
            return STATUS_INVALID_PARAMETER;
    }
    return STATUS_SUCCESS;
}

static NTSTATUS InitializeDriver(PDRIVER_OBJECT DriverObject, const KSDEVICE_DESCRIPTOR *Descriptor)
{
    NTSTATUS status = CheckDescriptor(Descriptor);
    REFKS_DRIVER *fresh, *driver;
    KIRQL irql;

    if (!NT_SUCCESS(status))
        return status;
    fresh = RefksAllocate(sizeof(*fresh));
    if (!fresh)
        return STATUS_INSUFFICIENT_RESOURCES;

    KeAcquireSpinLock(&DriversLock, &irql);
    driver = FindDriver(DriverObject);
    if (!driver) {
        driver = fresh;
        fresh = NULL;
        driver->DriverObject = DriverObject;
        InsertTailList(&Drivers, &driver->Entry);
    }
    driver->Descriptor = Descriptor;
    KeReleaseSpinLock(&DriversLock, irql);
    RefksFree(fresh);

    DriverObject->DriverExtension->AddDevice = KsAddDevice;
    DriverObject->DriverUnload = RefksUnload;
    DriverObject->MajorFunction[IRP_MJ_CREATE] = RefksDispatchCreate;
    DriverObject->MajorFunction[IRP_MJ_CLEANUP] = RefksDispatchCleanup;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = RefksDispatchClose;
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = RefksDispatchControl;
    DriverObject->MajorFunction[IRP_MJ_PNP] = RefksDispatchPnp;
    DriverObject->MajorFunction[IRP_MJ_POWER] = RefksDispatchPower;
    DriverObject->MajorFunction[IRP_MJ_SYSTEM_CONTROL] = RefksDispatchForward;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI KsInitializeDriver(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPathName,
                                  const KSDEVICE_DESCRIPTOR *Descriptor)
{
    NTSTATUS status = InitializeDriver(DriverObject, Descriptor);

    UNREFERENCED_PARAMETER(RegistryPathName);
    RefksRecordStart(DriverObject, REFKS_INITIALIZE, status);
    return status;
}

REFKS_DEVICE *RefksDeviceFromDeviceObject(PDEVICE_OBJECT DeviceObject)
{
    REFKS_DEVICE *found = NULL;
    PLIST_ENTRY entry;
    KIRQL irql;

    KeAcquireSpinLock(&RefksLock, &irql);
    for (entry = Devices.Flink; entry != &Devices; entry = entry->Flink) {
        REFKS_DEVICE *device = CONTAINING_RECORD(entry, REFKS_DEVICE, All);

        if (device->Public.FunctionalDeviceObject == DeviceObject) {
            RefksReference(&device->Header);
            found = device;
            break;
        }
    }
    KeReleaseSpinLock(&RefksLock, irql);
    return found;
}

PKSDEVICE NTAPI KsGetDeviceForDeviceObject(PDEVICE_OBJECT FunctionalDeviceObject)
{
    REFKS_DEVICE *device = RefksDeviceFromDeviceObject(FunctionalDeviceObject);

    if (!device)
        return NULL;
    RefksDereference(&device->Header);  /* the stack's own reference keeps it as long as the caller may use it */
    return &device->Public;
}

NTSTATUS NTAPI KsAddDevice(PDRIVER_OBJECT DriverObject, PDEVICE_OBJECT PhysicalDeviceObject)
{
    const KSDEVICE_DESCRIPTOR *descriptor = RefksDriverDescriptor(DriverObject);
    NTSTATUS status = STATUS_UNSUCCESSFUL;

    RefksRecordStart(DriverObject, REFKS_ADD_DEVICE, STATUS_PENDING);
    if (descriptor)
        status = KsCreateDevice(DriverObject, PhysicalDeviceObject, descriptor, 0, NULL);
    RefksRecordStart(DriverObject, REFKS_ADD_DEVICE, status);
    return status;
}

NTSTATUS NTAPI KsCreateDevice(PDRIVER_OBJECT DriverObject, PDEVICE_OBJECT PhysicalDeviceObject,
                              const KSDEVICE_DESCRIPTOR *Descriptor, ULONG ExtensionSize, PKSDEVICE *Device)
{
    PDEVICE_OBJECT functional, next;
    NTSTATUS status;

    if (ExtensionSize && ExtensionSize < sizeof(REFKS_EXTENSION))
        return STATUS_INVALID_PARAMETER;
    status = IoCreateDevice(DriverObject, ExtensionSize ? ExtensionSize : sizeof(REFKS_EXTENSION), NULL,
                            FILE_DEVICE_KS, 0, FALSE, &functional);
    if (!NT_SUCCESS(status))
        return status;
    next = IoAttachDeviceToDeviceStack(functional, PhysicalDeviceObject);
    if (!next) {
        IoDeleteDevice(functional);
        return STATUS_NO_SUCH_DEVICE;
    }
    status = KsInitializeDevice(functional, PhysicalDeviceObject, next, Descriptor);
    if (!NT_SUCCESS(status)) {
        IoDetachDevice(next);
        IoDeleteDevice(functional);
        return status;
    }
    if (Device)
        *Device = KsGetDeviceForDeviceObject(functional);
    functional->Flags |= DO_POWER_PAGABLE;
    functional->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static void Publish(REFKS_DEVICE *Device)
{
    REFKS_EXTENSION *extension = Device->Public.FunctionalDeviceObject->DeviceExtension;
    KIRQL irql;

    KeAcquireSpinLock(&RefksLock, &irql);
    extension->Header = Device;
    InsertTailList(&Devices, &Device->All);
    KeReleaseSpinLock(&RefksLock, irql);
}

/* IRPs that still find the device object see no device of ours behind it. */
static void Withdraw(REFKS_DEVICE *Device)
{
    KIRQL irql;

    KeAcquireSpinLock(&RefksLock, &irql);
    RemoveEntryList(&Device->All);
    InitializeListHead(&Device->All);
    KeReleaseSpinLock(&RefksLock, irql);
}

NTSTATUS NTAPI KsInitializeDevice(PDEVICE_OBJECT FunctionalDeviceObject, PDEVICE_OBJECT PhysicalDeviceObject,
                                  PDEVICE_OBJECT NextDeviceObject, const KSDEVICE_DESCRIPTOR *Descriptor)
{
    REFKS_DEVICE *device;
    NTSTATUS status;

    status = CheckDescriptor(Descriptor);
    if (!NT_SUCCESS(status))
        return status;
    device = RefksAllocate(sizeof(*device));
    if (!device)
        return STATUS_INSUFFICIENT_RESOURCES;
    RefksInitializeHeader(&device->Header, KsObjectTypeDevice, device, NULL);
    ExInitializeFastMutex(&device->Mutex);
    ExInitializeFastMutex(&device->FactoriesLock);
    InitializeListHead(&device->Categories);
    KeInitializeSpinLock(&device->BagLock);
    InitializeListHead(&device->Open);
    InitializeListHead(&device->BagItems);
    KeInitializeEvent(&device->Drained, NotificationEvent, FALSE);
    device->TeardownParties = 2;
    device->DriverObject = FunctionalDeviceObject->DriverObject;
    device->Public.Descriptor = Descriptor;
    device->Public.Bag = &device->Header.Bag;
    device->Public.FunctionalDeviceObject = FunctionalDeviceObject;
    device->Public.PhysicalDeviceObject = PhysicalDeviceObject;
    device->Public.NextDeviceObject = NextDeviceObject;
    device->Public.SystemPowerState = PowerSystemWorking;
    device->Public.DevicePowerState = PowerDeviceD0;

    status = RefksInitializeLate(device);
    if (NT_SUCCESS(status))
        status = RefksCreateFactories(device);
    if (NT_SUCCESS(status)) {
        Publish(device);
        if (Descriptor && Descriptor->Dispatch && Descriptor->Dispatch->Add) {
            status = Descriptor->Dispatch->Add(&device->Public);
            if (!NT_SUCCESS(status))
                Withdraw(device);
        }
    }
    if (!NT_SUCCESS(status)) {
        RefksDeleteFactories(device);
        RefksEmptyBag(&device->Header.Bag);
        RefksEndLate(device);
        RefksDereference(&device->Header);
    }
    /* Also for a minidriver with an AddDevice of its own. */
    RefksRecordStart(FunctionalDeviceObject->DriverObject, REFKS_ADD_DEVICE, status);
    return status;
}

static BOOLEAN CloseOneObject(REFKS_DEVICE *Device)
{
    REFKS_HEADER *header = NULL;
    BOOLEAN idle = FALSE;
    PLIST_ENTRY entry;
    KIRQL irql;

    KeAcquireSpinLock(&RefksLock, &irql);
    for (entry = Device->Open.Flink; entry != &Device->Open; entry = entry->Flink) {
        REFKS_HEADER *open = CONTAINING_RECORD(entry, REFKS_HEADER, Open);
        REFKS_CLOSING closing = RefksClose(open);

        if (closing == RefksClosingAlready)
            continue;
        header = open;
        idle = closing == RefksClosingIdle;
        RefksReference(header);
        break;
    }
    KeReleaseSpinLock(&RefksLock, irql);
    if (!header)
        return FALSE;
    if (idle)
        (void)RefksFinish(header);
    RefksDereference(header);
    return TRUE;
}

/* Both the end of REMOVE_DEVICE and the last one to leave come here; the later one ends the device. */
static void EndDevice(REFKS_DEVICE *Device, PIRP RemoveIrp)
{
    const KSDEVICE_DESCRIPTOR *descriptor = Device->Public.Descriptor;

    if (InterlockedDecrement(&Device->TeardownParties))
        return;
    if (descriptor && descriptor->Dispatch && descriptor->Dispatch->Remove) {
        PIRP irp = RemoveIrp ? RemoveIrp : RefksPrivateIrp(&Device->Header, IRP_MJ_PNP, IRP_MN_REMOVE_DEVICE);

        if (irp)
            descriptor->Dispatch->Remove(&Device->Public, irp);
        if (irp && irp != RemoveIrp)
            (void)kshs_irp_free(irp);
    }
    RefksDeleteFactories(Device);
    RefksEmptyBag(&Device->Header.Bag);
    RefksEndLate(Device);
    RefksDereference(&Device->Header);
}

void RefksDeviceFinish(REFKS_DEVICE *Device)
{
    RefksReference(&Device->Header);
    KeSetEvent(&Device->Drained, IO_NO_INCREMENT, FALSE);
    EndDevice(Device, NULL);
    RefksDereference(&Device->Header);
}

/* Closes whatever is open, waits for those inside, and ends the device.
 *
 * On NT nothing is open any more when REMOVE_DEVICE comes, and the wait is over at once.  Wine removes a
 * device under open handles, and its only dispatch thread must not wait here for a callback that some later
 * request would release: there the last one to leave ends the device. */
void RefksDeviceRemove(REFKS_DEVICE *Device, PIRP Irp)
{
    Device->Removed = TRUE;
    Device->Public.Started = FALSE;
    RefksEnableFactories(Device, FALSE);
    if (RefksClose(&Device->Header) == RefksClosingIdle)
        RefksDeviceFinish(Device);
    while (CloseOneObject(Device))
        ;
    if (!kshs_is_wine())
        (void)KeWaitForSingleObject(&Device->Drained, Executive, KernelMode, FALSE, NULL);
    EndDevice(Device, Irp);
}

/* The functional device leaves its stack. */
void RefksDeviceDetach(REFKS_DEVICE *Device)
{
    PDEVICE_OBJECT functional = Device->Public.FunctionalDeviceObject;
    PDEVICE_OBJECT next = Device->Public.NextDeviceObject;

    Withdraw(Device);
    if (next)
        IoDetachDevice(next);
    IoDeleteDevice(functional);
}

void NTAPI KsTerminateDevice(PDEVICE_OBJECT DeviceObject)
{
    REFKS_DEVICE *device = RefksDeviceFromDeviceObject(DeviceObject);
    PIRP irp;

    if (!device)
        return;
    irp = RefksPrivateIrp(&device->Header, IRP_MJ_PNP, IRP_MN_REMOVE_DEVICE);
    RefksDeviceRemove(device, irp);
    if (irp)
        (void)kshs_irp_free(irp);
    Withdraw(device);
    RefksDereference(&device->Header);
}

void NTAPI KsAcquireDevice(PKSDEVICE Device)
{
    RefksLockMutex(&REFKS_DEVICE_OF(Device)->Mutex);
}

void NTAPI KsReleaseDevice(PKSDEVICE Device)
{
    RefksUnlockMutex(&REFKS_DEVICE_OF(Device)->Mutex);
}
