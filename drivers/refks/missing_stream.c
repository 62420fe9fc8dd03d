/* SPDX-License-Identifier: Apache-2.0
 *
 * missing_stream.c - AVStream's functions for streams, events, topology made
 * at run time, hardware and power, none of which a handshake needs.
 */
#include "missing.h"

struct IUnknown;
struct IKsReferenceClock;

/* Declared by ks.h only where COM's headers come first. */
NTSTATUS NTAPI KsPinGetReferenceClockInterface(PKSPIN Pin, struct IKsReferenceClock **Interface);
struct IUnknown *NTAPI KsRegisterAggregatedClientUnknown(PVOID Object, struct IUnknown *ClientUnknown);
struct IUnknown *NTAPI KsGetOuterUnknown(PVOID Object);

/* ---- stream pointers: there is no queue of frames, so no pin has any ------------ */

MISSING(KsPinGetAvailableByteCount, (PKSPIN Pin, PLONG InputDataBytes, PLONG OutputBufferBytes))
MISSING_VALUE(PKSSTREAM_POINTER, NULL, KsPinGetLeadingEdgeStreamPointer, (PKSPIN Pin, KSSTREAM_POINTER_STATE State))
MISSING_VALUE(PKSSTREAM_POINTER, NULL, KsPinGetTrailingEdgeStreamPointer, (PKSPIN Pin, KSSTREAM_POINTER_STATE State))
MISSING_VALUE(PKSSTREAM_POINTER, NULL, KsPinGetFirstCloneStreamPointer, (PKSPIN Pin))
MISSING_VALUE(PKSSTREAM_POINTER, NULL, KsStreamPointerGetNextClone, (PKSSTREAM_POINTER StreamPointer))
MISSING(KsStreamPointerSetStatusCode, (PKSSTREAM_POINTER StreamPointer, NTSTATUS Status))
MISSING(KsStreamPointerLock, (PKSSTREAM_POINTER StreamPointer))
MISSING_VOID(KsStreamPointerUnlock, (PKSSTREAM_POINTER StreamPointer, BOOLEAN Eject))
MISSING_VOID(KsStreamPointerAdvanceOffsetsAndUnlock,
             (PKSSTREAM_POINTER StreamPointer, ULONG InUsed, ULONG OutUsed, BOOLEAN Eject))
MISSING_VOID(KsStreamPointerDelete, (PKSSTREAM_POINTER StreamPointer))
MISSING(KsStreamPointerClone, (PKSSTREAM_POINTER StreamPointer, PFNKSSTREAMPOINTER CancelCallback,
                               ULONG ContextSize, PKSSTREAM_POINTER *CloneStreamPointer))
MISSING(KsStreamPointerAdvanceOffsets,
        (PKSSTREAM_POINTER StreamPointer, ULONG InUsed, ULONG OutUsed, BOOLEAN Eject))
MISSING(KsStreamPointerAdvance, (PKSSTREAM_POINTER StreamPointer))
MISSING_VALUE(PMDL, NULL, KsStreamPointerGetMdl, (PKSSTREAM_POINTER StreamPointer))
MISSING_VALUE(PIRP, NULL, KsStreamPointerGetIrp,
              (PKSSTREAM_POINTER StreamPointer, PBOOLEAN FirstFrameInIrp, PBOOLEAN LastFrameInIrp))
MISSING_VOID(KsStreamPointerScheduleTimeout,
             (PKSSTREAM_POINTER StreamPointer, PFNKSSTREAMPOINTER Callback, ULONGLONG Interval))
MISSING_VOID(KsStreamPointerCancelTimeout, (PKSSTREAM_POINTER StreamPointer))

/* ---- frames and their processing -------------------------------------------------- */

MISSING(KsPinSubmitFrame, (PKSPIN Pin, PVOID Data, ULONG Size, PKSSTREAM_HEADER StreamHeader, PVOID Context))
MISSING(KsPinSubmitFrameMdl, (PKSPIN Pin, PMDL Mdl, PKSSTREAM_HEADER StreamHeader, PVOID Context))
MISSING_VOID(KsPinRegisterFrameReturnCallback, (PKSPIN Pin, PFNKSPINFRAMERETURN FrameReturn))
MISSING_VOID(KsPinRegisterIrpCompletionCallback, (PKSPIN Pin, PFNKSPINIRPCOMPLETION IrpCompletion))
MISSING_VOID(KsFilterAttemptProcessing, (PKSFILTER Filter, BOOLEAN Asynchronous))
MISSING_VOID(KsPinAttemptProcessing, (PKSPIN Pin, BOOLEAN Asynchronous))
MISSING_VOID(KsPinAttachAndGate, (PKSPIN Pin, PKSGATE AndGate))
MISSING_VOID(KsPinAttachOrGate, (PKSPIN Pin, PKSGATE OrGate))
MISSING_VALUE(BOOLEAN, FALSE, KsProcessPinUpdate, (PKSPROCESSPIN ProcessPin))

/* ---- events: none can be enabled, so none is ever waited for ------------------------- */

MISSING_VOID(KsAddEvent, (PVOID Object, PKSEVENT_ENTRY EventEntry))
MISSING(KsDefaultAddEventHandler, (PIRP Irp, PKSEVENTDATA EventData, PKSEVENT_ENTRY EventEntry))
MISSING_VOID(KsGenerateEvents, (PVOID Object, const GUID *EventSet, ULONG EventId, ULONG DataSize, PVOID Data,
                                PFNKSGENERATEEVENTCALLBACK CallBack, PVOID CallBackContext))

/* ---- topology that changes at run time ------------------------------------------------ */

MISSING(KsRegisterFilterWithNoKSPins, (PDEVICE_OBJECT DeviceObject, const GUID *InterfaceClassGUID, ULONG PinCount,
                                       BOOL *PinDirection, KSPIN_MEDIUM *MediumList, GUID *CategoryList))

/* ---- interfaces of COM, clocks ------------------------------------------------------------ */

MISSING(KsPinGetConnectedPinInterface, (PKSPIN Pin, const GUID *InterfaceId, PVOID *Interface))
MISSING(KsPinGetConnectedFilterInterface, (PKSPIN Pin, const GUID *InterfaceId, PVOID *Interface))
MISSING(KsPinGetReferenceClockInterface, (PKSPIN Pin, struct IKsReferenceClock **Interface))
MISSING_VALUE(struct IUnknown *, NULL, KsRegisterAggregatedClientUnknown,
              (PVOID Object, struct IUnknown *ClientUnknown))
MISSING_VALUE(struct IUnknown *, NULL, KsGetOuterUnknown, (PVOID Object))
MISSING_VOID(KsPinSetPinClockTime, (PKSPIN Pin, LONGLONG Time))

/* ---- hardware and power ---------------------------------------------------------------------- */

MISSING_VOID(KsDeviceRegisterAdapterObject, (PKSDEVICE Device, PADAPTER_OBJECT AdapterObject,
                                             ULONG MaxMappingsByteCount, ULONG MappingTableStride))
MISSING_VALUE(ULONG, 0, KsDeviceGetBusData,
              (PKSDEVICE Device, ULONG DataType, PVOID Buffer, ULONG Offset, ULONG Length))
MISSING_VALUE(ULONG, 0, KsDeviceSetBusData,
              (PKSDEVICE Device, ULONG DataType, PVOID Buffer, ULONG Offset, ULONG Length))
MISSING_VOID(KsFilterRegisterPowerCallbacks, (PKSFILTER Filter, PFNKSFILTERPOWER Sleep, PFNKSFILTERPOWER Wake))
MISSING_VOID(KsPinRegisterPowerCallbacks, (PKSPIN Pin, PFNKSPINPOWER Sleep, PFNKSPINPOWER Wake))
