/* SPDX-License-Identifier: Apache-2.0
 *
 * devices.c - what a driver asks about its device, and power.
 */
#include "calls.h"

static const GUID Class = { 0x5F0C8E11, 0x7C1B, 0x4B61, { 1, 2, 3, 4, 5, 6, 7, 8 } };
static WCHAR Text[300];
static ULONG Length;

static NTSTATUS Property(DEVICE_REGISTRY_PROPERTY Property)
{
    RtlZeroMemory(Text, sizeof(Text));
    Length = 0;
    return IoGetDeviceProperty(Pdo, Property, sizeof(Text), Text, &Length);
}

PROBE(Probe_IoGetDeviceProperty)
{
    EXPECT(NT_SUCCESS(Property(DevicePropertyHardwareID)), "fails for the hardware id");
    EXPECT(Length >= 30 && Text[0] == 'R' && Text[5] == 'K', "answers another hardware id");
}

PROBE(PropertyTooSmall)
{
    Length = 0;
    EXPECT(!NT_SUCCESS(IoGetDeviceProperty(Pdo, DevicePropertyHardwareID, 2, Text, &Length)), "answers a success");
    EXPECT(IoGetDeviceProperty(Pdo, DevicePropertyHardwareID, 2, Text, &Length) == (NTSTATUS)STATUS_BUFFER_TOO_SMALL,
           "does not answer STATUS_BUFFER_TOO_SMALL");
    EXPECT(Length >= 30, "does not say how much is needed");
}

PROBE(PropertyName)
{
    EXPECT(NT_SUCCESS(Property(DevicePropertyPhysicalDeviceObjectName)) && Text[0] == '\\',
           "gives no name of the device object");
}

PROBE(PropertyDescription)
{
    EXPECT(NT_SUCCESS(Property(DevicePropertyDeviceDescription)) && Text[0] == 'k', "gives no description");
}

PROBE(PropertyEnumerator)
{
    EXPECT(NT_SUCCESS(Property(DevicePropertyEnumeratorName)), "fails");
    EXPECT(Text[0] == 'R' && (Text[1] | 32) == 'o',
           "gives another enumerator");
}

PROBE(PropertyClass)
{
    EXPECT(NT_SUCCESS(Property(DevicePropertyClassGuid)) && Text[0] == '{', "gives no class GUID");
}

PROBE(PropertyDriverKey)
{
    EXPECT(NT_SUCCESS(Property(DevicePropertyDriverKeyName)), "fails");
    EXPECT(Text[0] == '{', "gives another name");
}

PROBE(Probe_IoOpenDeviceRegistryKey)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"Probe");
    HANDLE key = NULL;
    ULONG value = 7;

    EXPECT(IoOpenDeviceRegistryKey(Pdo, PLUGPLAY_REGKEY_DEVICE, KEY_ALL_ACCESS, &key) == STATUS_SUCCESS,
           "fails for the device's key");
    EXPECT(ZwSetValueKey(key, &name, 0, REG_DWORD, &value, sizeof(value)) == STATUS_SUCCESS,
           "gives a key that cannot be written to");
    (void)ZwDeleteValueKey(key, &name);
    (void)ZwClose(key);
}

PROBE(DriverKey)
{
    HANDLE key = NULL;

    EXPECT(IoOpenDeviceRegistryKey(Pdo, PLUGPLAY_REGKEY_DRIVER, KEY_READ, &key) == STATUS_SUCCESS,
           "fails for the driver's key");
    (void)ZwClose(key);
}

PROBE(Probe_IoRegisterDeviceInterface)
{
    UNICODE_STRING link;

    EXPECT(IoRegisterDeviceInterface(Pdo, &Class, NULL, &link) == STATUS_SUCCESS && link.Length > 20, "fails");
    RtlFreeUnicodeString(&link);
}

PROBE(InterfaceWithReference)
{
    UNICODE_STRING link, reference = RTL_CONSTANT_STRING(L"GLOBAL");

    EXPECT(IoRegisterDeviceInterface(Pdo, &Class, &reference, &link) == STATUS_SUCCESS, "fails");
    EXPECT((link.Buffer[link.Length / 2 - 1] | 32) == 'l' && link.Buffer[link.Length / 2 - 7] == '\\',
           "makes a name that does not end with the reference string");
    EXPECT(IoSetDeviceInterfaceState(&link, TRUE) == STATUS_SUCCESS, "makes an interface that cannot be enabled");
    (void)IoSetDeviceInterfaceState(&link, FALSE);
    RtlFreeUnicodeString(&link);
}

PROBE(Probe_IoSetDeviceInterfaceState)
{
    UNICODE_STRING link;

    (void)IoRegisterDeviceInterface(Pdo, &Class, NULL, &link);
    EXPECT(IoSetDeviceInterfaceState(&link, TRUE) == STATUS_SUCCESS, "fails to enable");
    EXPECT(IoSetDeviceInterfaceState(&link, FALSE) == STATUS_SUCCESS, "fails to disable");
    RtlFreeUnicodeString(&link);
}

PROBE(Probe_IoGetDeviceInterfaces)
{
    UNICODE_STRING link;
    PWSTR list = NULL;

    (void)IoRegisterDeviceInterface(Pdo, &Class, NULL, &link);
    (void)IoSetDeviceInterfaceState(&link, TRUE);
    if (IoGetDeviceInterfaces(&Class, NULL, 0, &list) != STATUS_SUCCESS || !list)
        Wrong("fails");
    else if (!list[0])
        Wrong("does not list an interface that is enabled");
    (void)IoSetDeviceInterfaceState(&link, FALSE);
    if (list)
        ExFreePool(list);
    RtlFreeUnicodeString(&link);
}

PROBE(Probe_IoOpenDeviceInterfaceRegistryKey)
{
    UNICODE_STRING link;
    HANDLE key = NULL;

    (void)IoRegisterDeviceInterface(Pdo, &Class, NULL, &link);
    EXPECT(IoOpenDeviceInterfaceRegistryKey(&link, KEY_ALL_ACCESS, &key) == STATUS_SUCCESS && key, "fails");
    (void)ZwClose(key);
}

/* Whether a list of names has one, and whether it has any. */
static BOOLEAN Lists(PCWSTR List, const UNICODE_STRING *Link)
{
    UNICODE_STRING name;

    for (; List && *List; List += name.Length / 2 + 1) {
        RtlInitUnicodeString(&name, List);
        if (RtlEqualUnicodeString(&name, Link, TRUE))
            return TRUE;
    }
    return FALSE;
}

PROBE(InterfacesOfADevice)
{
    UNICODE_STRING link;
    PWSTR list = NULL;

    (void)IoRegisterDeviceInterface(Pdo, &Class, NULL, &link);
    (void)IoSetDeviceInterfaceState(&link, TRUE);
    if (IoGetDeviceInterfaces(&Class, Pdo, 0, &list) != STATUS_SUCCESS || !Lists(list, &link))
        Wrong("does not list its interface");
    if (list)
        ExFreePool(list);
    (void)IoSetDeviceInterfaceState(&link, FALSE);
    if (IoGetDeviceInterfaces(&Class, Pdo, 0, &list) != STATUS_SUCCESS || Lists(list, &link))
        Wrong("lists an interface that is not enabled");
    if (list)
        ExFreePool(list);
    if (IoGetDeviceInterfaces(&Class, Pdo, DEVICE_INTERFACE_INCLUDE_NONACTIVE, &list) != STATUS_SUCCESS ||
        !Lists(list, &link))
        Wrong("does not list an interface that is not enabled, though it was asked for all");
    if (list)
        ExFreePool(list);
    RtlFreeUnicodeString(&link);
}

PROBE(KeyOfAReference)
{
    UNICODE_STRING link, reference = RTL_CONSTANT_STRING(L"Key"), name = RTL_CONSTANT_STRING(L"Probe");
    struct {
        KEY_VALUE_PARTIAL_INFORMATION header;
        ULONG rest;
    } found;
    HANDLE key = NULL;
    ULONG value = 7;

    (void)IoRegisterDeviceInterface(Pdo, &Class, &reference, &link);
    EXPECT(IoOpenDeviceInterfaceRegistryKey(&link, KEY_ALL_ACCESS, &key) == STATUS_SUCCESS && key, "fails");
    EXPECT(ZwSetValueKey(key, &name, 0, REG_DWORD, &value, sizeof(value)) == STATUS_SUCCESS,
           "gives a key that cannot be written to");
    (void)ZwClose(key);
    (void)IoOpenDeviceInterfaceRegistryKey(&link, KEY_READ, &key);
    EXPECT(ZwQueryValueKey(key, &name, KeyValuePartialInformation, &found, sizeof(found), &Length) == STATUS_SUCCESS,
           "gives another key the second time");
    (void)ZwClose(key);
    RtlFreeUnicodeString(&link);
}

static NTSTATUS NTAPI Notified(PVOID Structure, PVOID Context)
{
    UNREFERENCED_PARAMETER(Structure);
    (void)InterlockedIncrement(Context);
    return STATUS_SUCCESS;
}

PROBE(Probe_IoRegisterPlugPlayNotification)
{
    static volatile LONG calls;
    UNICODE_STRING link;
    PVOID entry = NULL;
    GUID class = Class;

    EXPECT(IoRegisterPlugPlayNotification(EventCategoryDeviceInterfaceChange, 0, &class, Driver, Notified,
                                          (PVOID)(ULONG_PTR)&calls, &entry) == STATUS_SUCCESS, "fails");
    (void)IoRegisterDeviceInterface(Pdo, &Class, NULL, &link);
    (void)IoSetDeviceInterfaceState(&link, TRUE);
    if (!Reaches(&calls, 1))
        Wrong("does not call the routine when an interface arrives");
    (void)IoSetDeviceInterfaceState(&link, FALSE);
    if (entry)
        (void)IoUnregisterPlugPlayNotification(entry);
}

PROBE(NotifiedOfWhatIsThere)
{
    static volatile LONG calls;
    UNICODE_STRING link;
    PVOID entry = NULL;
    GUID class = Class;

    calls = 0;
    (void)IoRegisterDeviceInterface(Pdo, &Class, NULL, &link);
    (void)IoSetDeviceInterfaceState(&link, TRUE);
    EXPECT(IoRegisterPlugPlayNotification(EventCategoryDeviceInterfaceChange,
                                          PNPNOTIFY_DEVICE_INTERFACE_INCLUDE_EXISTING_INTERFACES, &class, Driver,
                                          Notified, (PVOID)(ULONG_PTR)&calls, &entry) == STATUS_SUCCESS, "fails");
    if (!Reaches(&calls, 1))
        Wrong("does not call the routine for an interface that is there");
    (void)IoSetDeviceInterfaceState(&link, FALSE);
    if (!Reaches(&calls, 2))
        Wrong("does not call the routine when an interface goes");
    if (entry)
        (void)IoUnregisterPlugPlayNotification(entry);
    RtlFreeUnicodeString(&link);
}

PROBE(Probe_IoInvalidateDeviceRelations)
{
    IoInvalidateDeviceRelations(Pdo, BusRelations);
}

PROBE(Probe_IoInvalidateDeviceState)
{
    IoInvalidateDeviceState(Pdo);
}

PROBE(Probe_IoGetDmaAdapter)
{
    DEVICE_DESCRIPTION description;
    ULONG registers = 0;

    RtlZeroMemory(&description, sizeof(description));
    description.Version = DEVICE_DESCRIPTION_VERSION;
    (void)IoGetDmaAdapter(Pdo, &description, &registers);
}

PROBE(Probe_IoGetDeviceNumaNode)
{
    USHORT node = 0xCCCC;

    (void)IoGetDeviceNumaNode(Pdo, &node);
}

PROBE(Probe_IoGetDevicePropertyData)
{
    static const DEVPROPKEY description = { { 0xA45C254E, 0xDF1C, 0x4EFD, { 0x80, 0x20, 0x67, 0xD1, 0x46, 0xA8, 0x50,
                                                                          0xE0 } }, 2 };
    DEVPROPTYPE type = 0;

    RtlZeroMemory(Text, sizeof(Text));
    EXPECT(IoGetDevicePropertyData(Pdo, &description, 0, 0, sizeof(Text), Text, &Length, &type) == STATUS_SUCCESS &&
               Text[0] == 'k', "gives no description");
}

PROBE(Probe_IoSetDevicePropertyData)
{
    static const DEVPROPKEY own = { { 0x5F0C8E11, 0x7C1B, 0x4B61, { 1, 2, 3, 4, 5, 6, 7, 8 } }, 2 };
    ULONG value = 7;

    EXPECT(IoSetDevicePropertyData(Pdo, &own, 0, 0, DEVPROP_TYPE_UINT32, sizeof(value), &value) == STATUS_SUCCESS,
           "fails");
}

/* ---- power -------------------------------------------------------------------------------------- */

PROBE(Probe_PoSetPowerState)
{
    POWER_STATE state = { .DeviceState = PowerDeviceD0 };

    (void)PoSetPowerState(Fdo, DevicePowerState, state);
}

static VOID NTAPI Powered(PDEVICE_OBJECT Device, UCHAR Minor, POWER_STATE State, PVOID Context, PIO_STATUS_BLOCK Status)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Minor);
    UNREFERENCED_PARAMETER(State);
    UNREFERENCED_PARAMETER(Status);
    (void)KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
}

PROBE(Probe_PoRequestPowerIrp)
{
    static KEVENT done;
    POWER_STATE state = { .DeviceState = PowerDeviceD0 };

    KeInitializeEvent(&done, NotificationEvent, FALSE);
    EXPECT(PoRequestPowerIrp(Pdo, IRP_MN_SET_POWER, state, Powered, &done, NULL) == STATUS_PENDING,
           "does not answer STATUS_PENDING");
    EXPECT(Came(&done), "never calls the routine");
}

PROBE(Probe_PoRegisterDeviceForIdleDetection)
{
    PULONG idle = PoRegisterDeviceForIdleDetection(Pdo, 0, 0, PowerDeviceD3);

    if (idle)
        *idle = 0;
}

static NTSTATUS NTAPI Setting(LPCGUID Guid, PVOID Value, ULONG Bytes, PVOID Context)
{
    UNREFERENCED_PARAMETER(Guid);
    UNREFERENCED_PARAMETER(Value);
    UNREFERENCED_PARAMETER(Bytes);
    UNREFERENCED_PARAMETER(Context);
    return STATUS_SUCCESS;
}

PROBE(Probe_PoRegisterPowerSettingCallback)
{
    PVOID handle = NULL;

    EXPECT(PoRegisterPowerSettingCallback(Fdo, &Class, Setting, NULL, &handle) == STATUS_SUCCESS && handle, "fails");
    EXPECT(PoUnregisterPowerSettingCallback(handle) == STATUS_SUCCESS, "makes what cannot be unregistered");
}

PROBE(Probe_PoStartNextPowerIrp)
{
    PIRP irp = IoAllocateIrp(2, FALSE);

    IoSetNextIrpStackLocation(irp);
    PoStartNextPowerIrp(irp);
    IoFreeIrp(irp);
}

const PROBE DeviceProbes[] = {
    P(IoGetDeviceProperty), CASE(IoGetDeviceProperty, "with a buffer that is too small", PropertyTooSmall),
    CASE(IoGetDeviceProperty, "DevicePropertyPhysicalDeviceObjectName", PropertyName),
    CASE(IoGetDeviceProperty, "DevicePropertyDeviceDescription", PropertyDescription),
    CASE(IoGetDeviceProperty, "DevicePropertyEnumeratorName", PropertyEnumerator),
    CASE(IoGetDeviceProperty, "DevicePropertyClassGuid", PropertyClass),
    CASE(IoGetDeviceProperty, "DevicePropertyDriverKeyName", PropertyDriverKey), P(IoOpenDeviceRegistryKey),
    CASE(IoOpenDeviceRegistryKey, "PLUGPLAY_REGKEY_DRIVER", DriverKey), P(IoRegisterDeviceInterface),
    CASE(IoRegisterDeviceInterface, "with a reference string", InterfaceWithReference), P(IoSetDeviceInterfaceState),
    P(IoGetDeviceInterfaces), CASE(IoGetDeviceInterfaces, "of a device", InterfacesOfADevice),
    P(IoOpenDeviceInterfaceRegistryKey),
    CASE(IoOpenDeviceInterfaceRegistryKey, "with a reference string", KeyOfAReference),
    P(IoRegisterPlugPlayNotification),
    CASE(IoRegisterPlugPlayNotification, "for interfaces that are there", NotifiedOfWhatIsThere),
    P(IoInvalidateDeviceRelations), P(IoInvalidateDeviceState), P(IoGetDmaAdapter), P(IoGetDeviceNumaNode),
    P(IoGetDevicePropertyData), P(IoSetDevicePropertyData), P(PoSetPowerState), P(PoRequestPowerIrp),
    P(PoRegisterDeviceForIdleDetection), P(PoRegisterPowerSettingCallback), P(PoStartNextPowerIrp), ENDS
};
