/* SPDX-License-Identifier: Apache-2.0
 *
 * missing.c - calls every function that drivers/refks exports and does not
 * have, but for those that complete the IRP they are given.  None of them looks
 * at its parameters, so that one type does for all; ks.h, which has others, is
 * not included here.
 */
#include <ntddk.h>

ULONG ProbeMissing(void);

#define MISSING(CALL) \
    CALL(KsAllocateDeviceHeader) \
    CALL(KsFreeDeviceHeader) \
    CALL(KsAllocateObjectHeader) \
    CALL(KsFreeObjectHeader) \
    CALL(KsAddObjectCreateItemToDeviceHeader) \
    CALL(KsAddObjectCreateItemToObjectHeader) \
    CALL(KsAllocateObjectCreateItem) \
    CALL(KsFreeObjectCreateItem) \
    CALL(KsQueryObjectCreateItem) \
    CALL(KsQueryObjectAccessMask) \
    CALL(KsSetDevicePnpAndBaseObject) \
    CALL(KsRecalculateStackDepth) \
    CALL(KsSetTargetState) \
    CALL(KsSetTargetDeviceObject) \
    CALL(KsSetPowerDispatch) \
    CALL(KsReferenceBusObject) \
    CALL(KsDereferenceBusObject) \
    CALL(KsSetMajorFunctionHandler) \
    CALL(KsAcquireDeviceSecurityLock) \
    CALL(KsReleaseDeviceSecurityLock) \
    CALL(KsCreateDefaultSecurity) \
    CALL(KsUnserializeObjectPropertiesFromRegistry) \
    CALL(KsCreatePin) \
    CALL(KsValidateConnectRequest) \
    CALL(KsCreateTopologyNode) \
    CALL(KsValidateTopologyNodeCreateRequest) \
    CALL(KsCacheMedium) \
    CALL(KsCreateDefaultAllocator) \
    CALL(KsCreateDefaultAllocatorEx) \
    CALL(KsCreateAllocator) \
    CALL(KsValidateAllocatorCreateRequest) \
    CALL(KsValidateAllocatorFramingEx) \
    CALL(KsAllocateDefaultClock) \
    CALL(KsAllocateDefaultClockEx) \
    CALL(KsFreeDefaultClock) \
    CALL(KsCreateDefaultClock) \
    CALL(KsCreateClock) \
    CALL(KsValidateClockCreateRequest) \
    CALL(KsGetDefaultClockState) \
    CALL(KsSetDefaultClockState) \
    CALL(KsGetDefaultClockTime) \
    CALL(KsSetDefaultClockTime) \
    CALL(KsEnableEvent) \
    CALL(KsEnableEventWithAllocator) \
    CALL(KsDisableEvent) \
    CALL(KsDiscardEvent) \
    CALL(KsFreeEventList) \
    CALL(KsGenerateEvent) \
    CALL(KsGenerateDataEvent) \
    CALL(KsGenerateEventList) \
    CALL(KsReadFile) \
    CALL(KsWriteFile) \
    CALL(KsQueryInformationFile) \
    CALL(KsSetInformationFile) \
    CALL(KsStreamIo) \
    CALL(KsProbeStreamIrp) \
    CALL(KsAllocateExtraData) \
    CALL(KsAcquireResetValue) \
    CALL(KsLoadResource) \
    CALL(KsGetImageNameAndResourceId) \
    CALL(KsMapModuleName) \
    CALL(KsPinGetAvailableByteCount) \
    CALL(KsPinGetLeadingEdgeStreamPointer) \
    CALL(KsPinGetTrailingEdgeStreamPointer) \
    CALL(KsPinGetFirstCloneStreamPointer) \
    CALL(KsStreamPointerGetNextClone) \
    CALL(KsStreamPointerSetStatusCode) \
    CALL(KsStreamPointerLock) \
    CALL(KsStreamPointerUnlock) \
    CALL(KsStreamPointerAdvanceOffsetsAndUnlock) \
    CALL(KsStreamPointerDelete) \
    CALL(KsStreamPointerClone) \
    CALL(KsStreamPointerAdvanceOffsets) \
    CALL(KsStreamPointerAdvance) \
    CALL(KsStreamPointerGetMdl) \
    CALL(KsStreamPointerGetIrp) \
    CALL(KsStreamPointerScheduleTimeout) \
    CALL(KsStreamPointerCancelTimeout) \
    CALL(KsPinSubmitFrame) \
    CALL(KsPinSubmitFrameMdl) \
    CALL(KsPinRegisterFrameReturnCallback) \
    CALL(KsPinRegisterIrpCompletionCallback) \
    CALL(KsFilterAttemptProcessing) \
    CALL(KsPinAttemptProcessing) \
    CALL(KsPinAttachAndGate) \
    CALL(KsPinAttachOrGate) \
    CALL(KsProcessPinUpdate) \
    CALL(KsAddEvent) \
    CALL(KsDefaultAddEventHandler) \
    CALL(KsGenerateEvents) \
    CALL(KsRegisterFilterWithNoKSPins) \
    CALL(KsPinGetConnectedPinInterface) \
    CALL(KsPinGetConnectedFilterInterface) \
    CALL(KsPinGetReferenceClockInterface) \
    CALL(KsRegisterAggregatedClientUnknown) \
    CALL(KsGetOuterUnknown) \
    CALL(KsPinSetPinClockTime) \
    CALL(KsDeviceRegisterAdapterObject) \
    CALL(KsDeviceGetBusData) \
    CALL(KsDeviceSetBusData) \
    CALL(KsFilterRegisterPowerCallbacks) \
    CALL(KsPinRegisterPowerCallbacks) \
    CALL(KsInitializeDeviceProfile) \
    CALL(KsPublishDeviceProfile) \
    CALL(KsPersistDeviceProfile) \
    CALL(KsDeviceRegisterThermalDispatch) \
    CALL(KsGenerateThermalEvent) \
    CALL(KsCreateClock2)

#define DECLARE(name) __declspec(dllimport) ULONG_PTR NTAPI name(ULONG_PTR, ULONG_PTR, ULONG_PTR, ULONG_PTR, ULONG_PTR);
#define CALL_IT(name) (void)name(0, 0, 0, 0, 0); count++;

MISSING(DECLARE)

ULONG ProbeMissing(void)
{
    ULONG count = 0;

    MISSING(CALL_IT)
    return count;
}
