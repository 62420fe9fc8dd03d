/* SPDX-License-Identifier: Apache-2.0
 *
 * foreign.c - functions of class and port drivers that guests on Wine do not have.
 *
 * A driver that imports them loads, so that one sees what it does besides; the
 * first call of each is put on record (`kshsctl info`), and answers what says no.
 */
#include "wdmsup.h"

/* ---- usbd.sys ---------------------------------------------------------------------------------- */

SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "usbd.sys", USBD_CreateHandle)
SUP_MISSING_VOID("usbd.sys", USBD_CloseHandle)
SUP_MISSING_VALUE(PVOID, NULL, "usbd.sys", USBD_CreateConfigurationRequest)
SUP_MISSING_VALUE(PVOID, NULL, "usbd.sys", USBD_CreateConfigurationRequestEx)
SUP_MISSING_VALUE(PVOID, NULL, "usbd.sys", USBD_ParseConfigurationDescriptor)
SUP_MISSING_VALUE(PVOID, NULL, "usbd.sys", USBD_ParseConfigurationDescriptorEx)
SUP_MISSING_VALUE(PVOID, NULL, "usbd.sys", USBD_ParseDescriptors)
SUP_MISSING_VOID("usbd.sys", USBD_GetUSBDIVersion)
SUP_MISSING_VALUE(ULONG, 0, "usbd.sys", USBD_GetInterfaceLength)
SUP_MISSING_VOID("usbd.sys", USBD_QueryBusTime)
SUP_MISSING_VOID("usbd.sys", USBD_RegisterHcFilter)
SUP_MISSING_VOID("usbd.sys", USBD_RegisterHostController)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "usbd.sys", USBD_UrbAllocate)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "usbd.sys", USBD_IsochUrbAllocate)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "usbd.sys", USBD_SelectConfigUrbAllocateAndBuild)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "usbd.sys", USBD_SelectInterfaceUrbAllocateAndBuild)
SUP_MISSING_VOID("usbd.sys", USBD_UrbFree)
SUP_MISSING_VOID("usbd.sys", USBD_AssignUrbToIoStackLocation)
SUP_MISSING_VALUE(BOOLEAN, FALSE, "usbd.sys", USBD_IsInterfaceVersionSupported)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "usbd.sys", USBD_QueryUsbCapability)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "usbd.sys", USBD_ValidateConfigurationDescriptor)
SUP_MISSING_VALUE(ULONG, 0, "usbd.sys", USBD_CalculateUsbBandwidth)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "usbd.sys", USBD_GetPdoRegistryParameter)

/* ---- cng.sys ----------------------------------------------------------------------------------- */

SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "cng.sys", BCryptGenRandom)

/* ---- bdasup.sys -------------------------------------------------------------------------------- */

SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaCheckChanges)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaCommitChanges)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaCreateFilterFactory)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaCreateFilterFactoryEx)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaCreatePin)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaCreateTopology)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaDeletePin)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaFilterFactoryUpdateCacheData)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaGetChangeState)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaInitFilter)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaMethodCreatePin)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaMethodCreateTopology)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaMethodDeletePin)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaPropertyGetControllingPinId)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaPropertyGetPinControl)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaPropertyNodeDescriptors)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaPropertyNodeEvents)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaPropertyNodeMethods)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaPropertyNodeProperties)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaPropertyNodeTypes)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaPropertyPinTypes)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaPropertyTemplateConnections)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaStartChanges)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaUninitFilter)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "bdasup.sys", BdaValidateNodeProperty)

/* ---- stream.sys -------------------------------------------------------------------------------- */

SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "stream.sys", StreamClassRegisterAdapter)
SUP_MISSING_VOID("stream.sys", StreamClassStreamNotification)
SUP_MISSING_VOID("stream.sys", StreamClassDeviceNotification)
SUP_MISSING_VOID("stream.sys", StreamClassScheduleTimer)
SUP_MISSING_VOID("stream.sys", StreamClassCallAtNewPriority)
SUP_MISSING_VALUE(PVOID, NULL, "stream.sys", StreamClassGetDmaBuffer)
SUP_MISSING_VALUE(ULONGLONG, 0, "stream.sys", StreamClassGetPhysicalAddress)
SUP_MISSING_VALUE(PVOID, NULL, "stream.sys", StreamClassGetNextEvent)
SUP_MISSING_VOID("stream.sys", StreamClassDebugPrint)
SUP_MISSING_VOID("stream.sys", StreamClassDebugAssert)
SUP_MISSING_VOID("stream.sys", StreamClassQueryMasterClock)
SUP_MISSING_VOID("stream.sys", StreamClassQueryMasterClockSync)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "stream.sys", StreamClassRegisterFilterWithNoKSPins)
SUP_MISSING_VOID("stream.sys", StreamClassAbortOutstandingRequests)
SUP_MISSING_VOID("stream.sys", StreamClassFilterReenumerateStreams)
SUP_MISSING_VOID("stream.sys", StreamClassReenumerateFilterStreams)
SUP_MISSING_VALUE(BOOLEAN, FALSE, "stream.sys", StreamClassReadWriteConfig)
SUP_MISSING_VOID("stream.sys", StreamClassCompleteRequestAndMarkQueueReady)

/* ---- portcls.sys ------------------------------------------------------------------------------- */

SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcInitializeAdapterDriver)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcAddAdapterDevice)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcRegisterSubdevice)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcUnregisterSubdevice)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcNewPort)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcNewMiniport)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcNewInterruptSync)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcNewDmaChannel)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcNewServiceGroup)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcNewResourceList)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcNewResourceSublist)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcNewRegistryKey)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcRegisterPhysicalConnection)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcRegisterPhysicalConnectionFromExternal)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcRegisterPhysicalConnectionToExternal)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcUnregisterPhysicalConnection)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcRegisterAdapterPowerManagement)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcUnregisterAdapterPowerManagement)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcRegisterAdapterPnpManagement)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcUnregisterAdapterPnpManagement)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcRegisterIoTimeout)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcUnregisterIoTimeout)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcCompletePendingPropertyRequest)
SUP_MISSING_VALUE(ULONGLONG, 0, "portcls.sys", PcGetTimeInterval)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcGetDeviceProperty)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcRequestNewPowerState)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcGetPhysicalDeviceObject)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcGetContentRights)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcAddContentHandlers)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcCreateContentMixed)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcDestroyContent)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcForwardContentToDeviceObject)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcForwardContentToFileObject)
SUP_MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, "portcls.sys", PcForwardContentToInterface)
SUP_MISSING_DISPATCH("portcls.sys", PcDispatchIrp)
SUP_MISSING_DISPATCH("portcls.sys", PcForwardIrpSynchronous)

NTSTATUS NTAPI SupPcCompleteIrp(PDEVICE_OBJECT Device, PIRP Irp, NTSTATUS Status);

/* The caller is done with the IRP and has its status. */
NTSTATUS NTAPI SupPcCompleteIrp(PDEVICE_OBJECT Device, PIRP Irp, NTSTATUS Status)
{
    static SUP_MISSING called = { L"portcls.sys!PcCompleteIrp", 0 };

    UNREFERENCED_PARAMETER(Device);
    SupRecordMissing(&called);
    return kshs_complete(Irp, Status, Irp->IoStatus.Information);
}
