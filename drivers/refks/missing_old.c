/* SPDX-License-Identifier: Apache-2.0
 *
 * missing_old.c - functions of the class driver from before AVStream: object
 * headers with dispatch tables, allocators, clocks, topology nodes, events,
 * I/O on file objects.
 */
#include "missing.h"

/* ---- device and object headers, create items ------------------------------------ */

MISSING(KsAllocateDeviceHeader, (KSDEVICE_HEADER *Header, ULONG ItemsCount, PKSOBJECT_CREATE_ITEM ItemsList))
MISSING_VOID(KsFreeDeviceHeader, (KSDEVICE_HEADER Header))
MISSING(KsAllocateObjectHeader, (KSOBJECT_HEADER *Header, ULONG ItemsCount, PKSOBJECT_CREATE_ITEM ItemsList,
                                 PIRP Irp, const KSDISPATCH_TABLE *Table))
MISSING_VOID(KsFreeObjectHeader, (KSOBJECT_HEADER Header))
MISSING(KsAddObjectCreateItemToDeviceHeader, (KSDEVICE_HEADER Header, PDRIVER_DISPATCH Create, PVOID Context,
                                              PWSTR ObjectClass, PSECURITY_DESCRIPTOR SecurityDescriptor))
MISSING(KsAddObjectCreateItemToObjectHeader, (KSOBJECT_HEADER Header, PDRIVER_DISPATCH Create, PVOID Context,
                                              PWSTR ObjectClass, PSECURITY_DESCRIPTOR SecurityDescriptor))
MISSING(KsAllocateObjectCreateItem, (KSDEVICE_HEADER Header, PKSOBJECT_CREATE_ITEM CreateItem,
                                     BOOLEAN AllocateEntry, PFNKSITEMFREECALLBACK ItemFreeCallback))
MISSING(KsFreeObjectCreateItem, (KSDEVICE_HEADER Header, PUNICODE_STRING CreateItem))
MISSING_VALUE(PKSOBJECT_CREATE_ITEM, NULL, KsQueryObjectCreateItem, (KSOBJECT_HEADER Header))
MISSING_VALUE(ACCESS_MASK, 0, KsQueryObjectAccessMask, (KSOBJECT_HEADER Header))
MISSING_VOID(KsSetDevicePnpAndBaseObject,
             (KSDEVICE_HEADER Header, PDEVICE_OBJECT PnpDeviceObject, PDEVICE_OBJECT BaseObject))
MISSING_VOID(KsRecalculateStackDepth, (KSDEVICE_HEADER Header, BOOLEAN ReuseStackLocation))
MISSING_VOID(KsSetTargetState, (KSOBJECT_HEADER Header, KSTARGET_STATE TargetState))
MISSING_VOID(KsSetTargetDeviceObject, (KSOBJECT_HEADER Header, PDEVICE_OBJECT TargetDevice))
MISSING_VOID(KsSetPowerDispatch, (KSOBJECT_HEADER Header, PFNKSCONTEXT_DISPATCH PowerDispatch, PVOID PowerContext))
MISSING(KsReferenceBusObject, (KSDEVICE_HEADER Header))
MISSING_VOID(KsDereferenceBusObject, (KSDEVICE_HEADER Header))

/* ---- dispatch ----------------------------------------------------------------------- */

MISSING(KsSetMajorFunctionHandler, (PDRIVER_OBJECT DriverObject, ULONG MajorFunction))
MISSING_DISPATCH(KsDispatchIrp, (PDEVICE_OBJECT DeviceObject, PIRP Irp))

/* ---- security ------------------------------------------------------------------------- */

MISSING_DISPATCH(KsDispatchQuerySecurity, (PDEVICE_OBJECT DeviceObject, PIRP Irp))
MISSING_DISPATCH(KsDispatchSetSecurity, (PDEVICE_OBJECT DeviceObject, PIRP Irp))
MISSING_VOID(KsAcquireDeviceSecurityLock, (KSDEVICE_HEADER Header, BOOLEAN Exclusive))
MISSING_VOID(KsReleaseDeviceSecurityLock, (KSDEVICE_HEADER Header))
MISSING(KsCreateDefaultSecurity, (PSECURITY_DESCRIPTOR ParentSecurity, PSECURITY_DESCRIPTOR *DefaultSecurity))

/* ---- properties in the registry -------------------------------------------------------------------- */

MISSING(KsUnserializeObjectPropertiesFromRegistry,
        (PFILE_OBJECT FileObject, HANDLE ParentKey, PUNICODE_STRING RegistryPath))

/* ---- pins that belong to no AVStream filter ------------------------------------------------ */

MISSING(KsCreatePin,
        (HANDLE FilterHandle, PKSPIN_CONNECT Connect, ACCESS_MASK DesiredAccess, PHANDLE ConnectionHandle))
MISSING(KsValidateConnectRequest, (PIRP Irp, ULONG DescriptorsCount, const KSPIN_DESCRIPTOR *Descriptor,
                                   PKSPIN_CONNECT *Connect))
MISSING(KsCreateTopologyNode,
        (HANDLE ParentHandle, PKSNODE_CREATE NodeCreate, ACCESS_MASK DesiredAccess, PHANDLE NodeHandle))
MISSING(KsValidateTopologyNodeCreateRequest, (PIRP Irp, PKSTOPOLOGY Topology, PKSNODE_CREATE *NodeCreate))
MISSING(KsCacheMedium, (PUNICODE_STRING SymbolicLink, PKSPIN_MEDIUM Medium, ULONG PinDirection))

/* ---- allocators and clocks -------------------------------------------------------------------- */

MISSING(KsCreateDefaultAllocator, (PIRP Irp))
MISSING(KsCreateDefaultAllocatorEx,
        (PIRP Irp, PVOID InitializeContext, PFNKSDEFAULTALLOCATE DefaultAllocate, PFNKSDEFAULTFREE DefaultFree,
         PFNKSINITIALIZEALLOCATOR InitializeAllocator, PFNKSDELETEALLOCATOR DeleteAllocator))
MISSING(KsCreateAllocator,
        (HANDLE ConnectionHandle, PKSALLOCATOR_FRAMING AllocatorFraming, PHANDLE AllocatorHandle))
MISSING(KsValidateAllocatorCreateRequest, (PIRP Irp, PKSALLOCATOR_FRAMING *AllocatorFraming))
MISSING(KsValidateAllocatorFramingEx,
        (PKSALLOCATOR_FRAMING_EX Framing, ULONG BufferSize, const KSALLOCATOR_FRAMING_EX *PinFraming))
MISSING(KsAllocateDefaultClock, (PKSDEFAULTCLOCK *DefaultClock))
MISSING(KsAllocateDefaultClockEx,
        (PKSDEFAULTCLOCK *DefaultClock, PVOID Context, PFNKSSETTIMER SetTimer, PFNKSCANCELTIMER CancelTimer,
         PFNKSCORRELATEDTIME CorrelatedTime, const KSRESOLUTION *Resolution, ULONG Flags))
MISSING_VOID(KsFreeDefaultClock, (PKSDEFAULTCLOCK DefaultClock))
MISSING(KsCreateDefaultClock, (PIRP Irp, PKSDEFAULTCLOCK DefaultClock))
MISSING(KsCreateClock, (HANDLE ConnectionHandle, PKSCLOCK_CREATE ClockCreate, PHANDLE ClockHandle))
MISSING(KsValidateClockCreateRequest, (PIRP Irp, PKSCLOCK_CREATE *ClockCreate))
MISSING_VALUE(KSSTATE, KSSTATE_STOP, KsGetDefaultClockState, (PKSDEFAULTCLOCK DefaultClock))
MISSING_VOID(KsSetDefaultClockState, (PKSDEFAULTCLOCK DefaultClock, KSSTATE State))
MISSING_VALUE(LONGLONG, 0, KsGetDefaultClockTime, (PKSDEFAULTCLOCK DefaultClock))
MISSING_VOID(KsSetDefaultClockTime, (PKSDEFAULTCLOCK DefaultClock, LONGLONG Time))

/* ---- events on lists of the caller's own --------------------------------------------------------- */

MISSING(KsEnableEvent, (PIRP Irp, ULONG EventSetsCount, const KSEVENT_SET *EventSet, PLIST_ENTRY EventsList,
                        KSEVENTS_LOCKTYPE EventsFlags, PVOID EventsLock))
MISSING(KsEnableEventWithAllocator,
        (PIRP Irp, ULONG EventSetsCount, const KSEVENT_SET *EventSet, PLIST_ENTRY EventsList,
         KSEVENTS_LOCKTYPE EventsFlags, PVOID EventsLock, PFNKSALLOCATOR Allocator, ULONG EventItemSize))
MISSING(KsDisableEvent, (PIRP Irp, PLIST_ENTRY EventsList, KSEVENTS_LOCKTYPE EventsFlags, PVOID EventsLock))
MISSING_VOID(KsDiscardEvent, (PKSEVENT_ENTRY EventEntry))
MISSING_VOID(KsFreeEventList, (PFILE_OBJECT FileObject, PLIST_ENTRY EventsList, KSEVENTS_LOCKTYPE EventsFlags,
                               PVOID EventsLock))
MISSING(KsGenerateEvent, (PKSEVENT_ENTRY EventEntry))
MISSING(KsGenerateDataEvent, (PKSEVENT_ENTRY EventEntry, ULONG DataSize, PVOID Data))
MISSING_VOID(KsGenerateEventList, (GUID *Set, ULONG EventId, PLIST_ENTRY EventsList,
                                   KSEVENTS_LOCKTYPE EventsFlags, PVOID EventsLock))

/* ---- I/O on file objects --------------------------------------------------------------------------- */

MISSING(KsReadFile, (PFILE_OBJECT FileObject, PKEVENT Event, PVOID PortContext, PIO_STATUS_BLOCK IoStatusBlock,
                     PVOID Buffer, ULONG Length, ULONG Key, KPROCESSOR_MODE RequestorMode))
MISSING(KsWriteFile, (PFILE_OBJECT FileObject, PKEVENT Event, PVOID PortContext, PIO_STATUS_BLOCK IoStatusBlock,
                      PVOID Buffer, ULONG Length, ULONG Key, KPROCESSOR_MODE RequestorMode))
MISSING(KsQueryInformationFile, (PFILE_OBJECT FileObject, PVOID FileInformation, ULONG Length,
                                 FILE_INFORMATION_CLASS FileInformationClass))
MISSING(KsSetInformationFile, (PFILE_OBJECT FileObject, PVOID FileInformation, ULONG Length,
                               FILE_INFORMATION_CLASS FileInformationClass))
MISSING(KsStreamIo, (PFILE_OBJECT FileObject, PKEVENT Event, PVOID PortContext,
                     PIO_COMPLETION_ROUTINE CompletionRoutine, PVOID CompletionContext,
                     KSCOMPLETION_INVOCATION CompletionInvocationFlags, PIO_STATUS_BLOCK IoStatusBlock,
                     PVOID StreamHeaders, ULONG Length, ULONG Flags, KPROCESSOR_MODE RequestorMode))
MISSING(KsProbeStreamIrp, (PIRP Irp, ULONG ProbeFlags, ULONG HeaderSize))
MISSING(KsAllocateExtraData, (PIRP Irp, ULONG ExtraSize, PVOID *ExtraBuffer))
MISSING(KsAcquireResetValue, (PIRP Irp, KSRESET *ResetValue))

/* ---- resources -------------------------------------------------------------------------------- */

MISSING(KsLoadResource, (PVOID ImageBase, POOL_TYPE PoolType, ULONG_PTR ResourceName, ULONG ResourceType,
                         PVOID *Resource, PULONG ResourceSize))
MISSING(KsGetImageNameAndResourceId,
        (HANDLE RegKey, PUNICODE_STRING ImageName, PULONG_PTR ResourceId, PULONG ValueType))
MISSING(KsMapModuleName, (PDEVICE_OBJECT PhysicalDeviceObject, PUNICODE_STRING ModuleName,
                          PUNICODE_STRING ImageName, PULONG_PTR ResourceId, PULONG ValueType))
