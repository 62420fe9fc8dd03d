/* SPDX-License-Identifier: Apache-2.0
 *
 * module.c - the module itself.  As an export driver it has nothing to start
 * or stop; Wine calls none of these, so nothing may depend on them.
 */
#include "refks.h"

/* Tells our class driver from any other: nobody else exports this name. */
const ULONG KshsReferenceKs = 1;

DRIVER_INITIALIZE DriverEntry;

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI DllInitialize(PUNICODE_STRING RegistryPath);
NTSTATUS NTAPI DllUnload(VOID);

NTSTATUS NTAPI DllInitialize(PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI DllUnload(VOID)
{
    return STATUS_SUCCESS;
}

/* For drivers that leave a major function empty. */
NTSTATUS NTAPI KsDispatchInvalidDeviceRequest(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return kshs_complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
}
