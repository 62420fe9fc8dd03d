// SPDX-License-Identifier: Apache-2.0
//
// camera.cpp - the device and its one filter.
#include "camera.h"

static const GUID FilterCategories[] = { { STATICGUIDOF(KSCATEGORY_CAPTURE) }, { STATICGUIDOF(KSCATEGORY_VIDEO) } };
static const GUID ReferenceGuid = { STATICGUIDOF(KSNAME_Filter) };
static const KSFILTER_DISPATCH FilterDispatch = {};

static const KSFILTER_DESCRIPTOR FilterDescriptor = {
    &FilterDispatch, nullptr, KSFILTER_DESCRIPTOR_VERSION, 0, &ReferenceGuid,
    SIZEOF_ARRAY(CameraPins), sizeof(CameraPins[0]), CameraPins,
    SIZEOF_ARRAY(FilterCategories), FilterCategories,
    0, sizeof(KSNODE_DESCRIPTOR), nullptr, 0, nullptr, nullptr,
};

static NTSTATUS NTAPI Start(PKSDEVICE device, PIRP, PCM_RESOURCE_LIST, PCM_RESOURCE_LIST)
{
    if (device->Started)
        return STATUS_SUCCESS;
    return KsCreateFilterFactory(device->FunctionalDeviceObject, &FilterDescriptor, const_cast<PWSTR>(L"GLOBAL"), nullptr,
                                 KSCREATE_ITEM_FREEONSTOP, nullptr, nullptr, nullptr);
}

static const KSDEVICE_DISPATCH DeviceDispatch = { nullptr, Start };
static const KSDEVICE_DESCRIPTOR DeviceDescriptor = { &DeviceDispatch, 0, nullptr, KSDEVICE_DESCRIPTOR_VERSION };

extern "C" DRIVER_INITIALIZE DriverEntry;

extern "C" NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    return KsInitializeDriver(driver, path, &DeviceDescriptor);
}
