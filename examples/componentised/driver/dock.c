/* SPDX-License-Identifier: Apache-2.0
 *
 * dock.c - a capture dock without hardware, delivered in components: the base
 * INF installs this driver, an extension INF tunes it for one product, a
 * component INF brings what belongs to it.  The handshake says what the
 * extension has set.  Follows the reference pages of AVStream.
 */
#include <ntddk.h>
#include <windef.h>
#include <ks.h>
#include <ksmedia.h>

#define UNTUNED 1

DRIVER_INITIALIZE DriverEntry;

static const GUID GainProtocol = { 0xC2A4E7B0, 0x51D6, 0x4F0E, { 0x8B, 0x3C, 0x7E, 0x10, 0x92, 0xD5, 0x64, 0x01 } };

/* The gain of the product, as an extension INF says it in the device's registry key. */
static ULONG ReadGain(PKSDEVICE Device)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"Gain");
    struct {
        KEY_VALUE_PARTIAL_INFORMATION Head;
        UCHAR Data[sizeof(ULONG)];
    } value;
    ULONG length = 0, gain = UNTUNED;
    HANDLE key;

    if (!NT_SUCCESS(IoOpenDeviceRegistryKey(Device->PhysicalDeviceObject, PLUGPLAY_REGKEY_DEVICE, KEY_READ, &key)))
        return UNTUNED;
    if (NT_SUCCESS(ZwQueryValueKey(key, &name, KeyValuePartialInformation, &value, sizeof(value), &length)) &&
        value.Head.Type == REG_DWORD && value.Head.DataLength == sizeof(gain))
        RtlCopyMemory(&gain, value.Head.Data, sizeof(gain));
    ZwClose(key);
    return gain;
}

static NTSTATUS NTAPI Start(PKSDEVICE Device, PIRP Irp, PCM_RESOURCE_LIST Translated, PCM_RESOURCE_LIST Raw)
{
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Translated);
    UNREFERENCED_PARAMETER(Raw);
    Device->Context = (PVOID)(ULONG_PTR)ReadGain(Device);
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI Handshake(PKSPIN Pin, PKSHANDSHAKE In, PKSHANDSHAKE Out)
{
    if (!IsEqualGUIDAligned(&In->ProtocolId, &GainProtocol))
        return STATUS_INVALID_DEVICE_REQUEST;
    Out->ProtocolId = In->ProtocolId;
    Out->Argument1 = In->Argument1;
    Out->Argument2 = KsPinGetDevice(Pin)->Context;
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI PinCreate(PKSPIN Pin, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Irp);
    KsPinRegisterHandshakeCallback(Pin, Handshake);
    return STATUS_SUCCESS;
}

static const KSDATARANGE Range = {
    { sizeof(KSDATARANGE), 0, 0, 0, { STATICGUIDOF(KSDATAFORMAT_TYPE_STREAM) },
      { STATICGUIDOF(KSDATAFORMAT_SUBTYPE_NONE) }, { STATICGUIDOF(KSDATAFORMAT_SPECIFIER_NONE) } },
};
static const PKSDATARANGE Ranges[] = { (PKSDATARANGE)&Range };
static const KSPIN_DISPATCH PinDispatch = { .Create = PinCreate };

static const KSPIN_DESCRIPTOR_EX Pins[] = {
    { .Dispatch = &PinDispatch,
      .PinDescriptor = { .DataRangesCount = SIZEOF_ARRAY(Ranges), .DataRanges = Ranges,
                         .DataFlow = KSPIN_DATAFLOW_OUT, .Communication = KSPIN_COMMUNICATION_SINK },
      .InstancesPossible = 4 },
};

static const GUID FilterCategories[] = { { STATICGUIDOF(KSCATEGORY_CAPTURE) } };
static const GUID ReferenceGuid = { STATICGUIDOF(KSNAME_Filter) };
static const KSFILTER_DISPATCH FilterDispatch = { NULL };

static const KSFILTER_DESCRIPTOR FilterDescriptor = {
    .Dispatch = &FilterDispatch,
    .Version = KSFILTER_DESCRIPTOR_VERSION,
    .ReferenceGuid = &ReferenceGuid,
    .PinDescriptorsCount = SIZEOF_ARRAY(Pins),
    .PinDescriptorSize = sizeof(Pins[0]),
    .PinDescriptors = Pins,
    .CategoriesCount = SIZEOF_ARRAY(FilterCategories),
    .Categories = FilterCategories,
    .NodeDescriptorSize = sizeof(KSNODE_DESCRIPTOR),
};

static const KSFILTER_DESCRIPTOR *const Filters[] = { &FilterDescriptor };
static const KSDEVICE_DISPATCH DeviceDispatch = { .Start = Start };
static const KSDEVICE_DESCRIPTOR DeviceDescriptor = {
    .Dispatch = &DeviceDispatch,
    .FilterDescriptorsCount = SIZEOF_ARRAY(Filters),
    .FilterDescriptors = Filters,
    .Version = KSDEVICE_DESCRIPTOR_VERSION,
};

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    return KsInitializeDriver(DriverObject, RegistryPath, &DeviceDescriptor);
}
