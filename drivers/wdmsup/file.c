/* SPDX-License-Identifier: Apache-2.0
 *
 * file.c - what is asked of file objects, IRPs and devices: Wine answers nothing, or faults.
 */
#include "wdmsup.h"

typedef struct PROPERTY_KEY {
    GUID Format;
    ULONG Id;
} PROPERTY_KEY;

PDEVICE_OBJECT NTAPI SupIoGetRelatedDeviceObject(PFILE_OBJECT File);
PEPROCESS NTAPI SupIoGetRequestorProcess(PIRP Irp);
ULONG NTAPI SupIoGetRequestorProcessId(PIRP Irp);
KPROCESSOR_MODE NTAPI SupExGetPreviousMode(VOID);
NTSTATUS NTAPI SupIoGetDeviceProperty(PDEVICE_OBJECT Device, DEVICE_REGISTRY_PROPERTY Property, ULONG Bytes,
                                      PVOID Buffer, PULONG Length);
NTSTATUS NTAPI SupIoGetDevicePropertyData(PDEVICE_OBJECT Device, const PROPERTY_KEY *Key, LCID Lcid, ULONG Flags,
                                          ULONG Size, PVOID Data, PULONG Required, PULONG Type);
NTKERNELAPI PEPROCESS NTAPI IoGetRequestorProcess(PIRP Irp);

/* IRQL <= DISPATCH_LEVEL. */
PDEVICE_OBJECT NTAPI SupIoGetRelatedDeviceObject(PFILE_OBJECT File)
{
    return SupTopOf(File);
}

/* IRQL <= DISPATCH_LEVEL.  NULL for an IRP of no thread. */
PEPROCESS NTAPI SupIoGetRequestorProcess(PIRP Irp)
{
    return Irp->Tail.Overlay.Thread ? IoGetRequestorProcess(Irp) : NULL;
}

/* IRQL <= DISPATCH_LEVEL.  0 for an IRP of no thread. */
ULONG NTAPI SupIoGetRequestorProcessId(PIRP Irp)
{
    PEPROCESS process = SupIoGetRequestorProcess(Irp);

    return process ? (ULONG)(ULONG_PTR)PsGetProcessId(process) : 0;
}

/* IRQL <= DISPATCH_LEVEL.  A thread that carries a request of a program counts as that program's. */
KPROCESSOR_MODE NTAPI SupExGetPreviousMode(VOID)
{
    return PsGetCurrentProcess() == PsInitialSystemProcess ? KernelMode : UserMode;
}

/* PASSIVE_LEVEL.  The properties of devices that there were before there were keys (DEVPKEY_Device_...). */
NTSTATUS NTAPI SupIoGetDevicePropertyData(PDEVICE_OBJECT Device, const PROPERTY_KEY *Key, LCID Lcid, ULONG Flags,
                                          ULONG Size, PVOID Data, PULONG Required, PULONG Type)
{
    static const GUID format = { 0xA45C254E, 0xDF1C, 0x4EFD, { 0x80, 0x20, 0x67, 0xD1, 0x46, 0xA8, 0x50, 0xE0 } };
    static const struct {
        ULONG Id;
        DEVICE_REGISTRY_PROPERTY Property;
        ULONG Type;                     /* DEVPROP_TYPE_STRING and DEVPROP_TYPE_STRING_LIST */
    } known[] = {
        { 2, DevicePropertyDeviceDescription, 0x12 }, { 3, DevicePropertyHardwareID, 0x2012 },
        { 4, DevicePropertyCompatibleIDs, 0x2012 },   { 9, DevicePropertyClassName, 0x12 },
        { 11, DevicePropertyDriverKeyName, 0x12 },    { 13, DevicePropertyManufacturer, 0x12 },
        { 14, DevicePropertyFriendlyName, 0x12 },     { 15, DevicePropertyLocationInformation, 0x12 },
        { 16, DevicePropertyPhysicalDeviceObjectName, 0x12 }, { 24, DevicePropertyEnumeratorName, 0x12 },
    };
    NTSTATUS status;
    ULONG i;

    UNREFERENCED_PARAMETER(Lcid);
    UNREFERENCED_PARAMETER(Flags);
    *Required = 0;
    *Type = 0;
    for (i = 0; i < RTL_NUMBER_OF(known) && known[i].Id != Key->Id; i++)
        ;
    if (i == RTL_NUMBER_OF(known) || RtlCompareMemory(&Key->Format, &format, sizeof(format)) != sizeof(format))
        return STATUS_OBJECT_NAME_NOT_FOUND;
    status = SupIoGetDeviceProperty(Device, known[i].Property, Size, Data, Required);
    if (NT_SUCCESS(status) || status == STATUS_BUFFER_TOO_SMALL)
        *Type = known[i].Type;
    else
        status = STATUS_OBJECT_NAME_NOT_FOUND;
    return status;
}
