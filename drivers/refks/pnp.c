/* SPDX-License-Identifier: Apache-2.0
 *
 * pnp.c - plug and play, power, and what is merely passed down.
 */
#include "refks.h"

static NTSTATUS NTAPI SignalCompletion(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

typedef NTSTATUS (*REFKS_CALL_DRIVER)(PDEVICE_OBJECT DeviceObject, PIRP Irp);

static NTSTATUS CallDriver(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    return IoCallDriver(DeviceObject, Irp);
}

static NTSTATUS CallPowerDriver(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    return PoCallDriver(DeviceObject, Irp);
}

/* Lets the lower drivers work first.  The IRP is ours again afterwards. */
static NTSTATUS ForwardAndWait(REFKS_DEVICE *Device, PIRP Irp, REFKS_CALL_DRIVER Call)
{
    KEVENT done;

    KeInitializeEvent(&done, NotificationEvent, FALSE);
    IoCopyCurrentIrpStackLocationToNext(Irp);
    IoSetCompletionRoutine(Irp, SignalCompletion, &done, TRUE, TRUE, TRUE);
    if (Call(Device->Public.NextDeviceObject, Irp) == STATUS_PENDING)
        (void)KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
    return Irp->IoStatus.Status;
}

static NTSTATUS Forward(PDEVICE_OBJECT Next, PIRP Irp)
{
    if (!Next)
        return kshs_complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    IoSkipCurrentIrpStackLocation(Irp);
    return IoCallDriver(Next, Irp);
}

static NTSTATUS Start(REFKS_DEVICE *Device, PIRP Irp)
{
    const KSDEVICE_DISPATCH *dispatch = Device->Public.Descriptor ? Device->Public.Descriptor->Dispatch : NULL;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    PDRIVER_OBJECT driver = Device->Public.FunctionalDeviceObject->DriverObject;
    NTSTATUS status;

    RefksRecordStart(driver, REFKS_START, STATUS_PENDING);
    status = ForwardAndWait(Device, Irp, CallDriver);
    if (NT_SUCCESS(status) && dispatch && dispatch->Start)
        status = kshs_final_status(dispatch->Start(&Device->Public, Irp,
                                                  stack->Parameters.StartDevice.AllocatedResourcesTranslated,
                                                  stack->Parameters.StartDevice.AllocatedResources));
    if (NT_SUCCESS(status))
        status = RefksRegisterFactories(Device);
    if (NT_SUCCESS(status)) {
        Device->Public.Started = TRUE;
        RefksEnableFactories(Device, TRUE);
        if (dispatch && dispatch->PostStart)
            status = kshs_final_status(dispatch->PostStart(&Device->Public));
    }
    if (!NT_SUCCESS(status)) {
        RefksEnableFactories(Device, FALSE);
        Device->Public.Started = FALSE;
    }
    RefksRecordStart(driver, REFKS_START, status);
    return kshs_complete(Irp, status, Irp->IoStatus.Information);
}

static NTSTATUS Remove(REFKS_DEVICE *Device, PIRP Irp)
{
    NTSTATUS status;

    RefksDeviceRemove(Device, Irp);
    Irp->IoStatus.Status = STATUS_SUCCESS;
    status = Forward(Device->Public.NextDeviceObject, Irp);
    RefksDeviceDetach(Device);
    return status;
}

/* Asks the minidriver first; its refusal ends the query. */
static NTSTATUS Query(REFKS_DEVICE *Device, PIRP Irp, PFNKSDEVICEIRP Routine)
{
    if (Routine) {
        NTSTATUS status = kshs_final_status(Routine(&Device->Public, Irp));

        if (!NT_SUCCESS(status))
            return kshs_complete(Irp, status, 0);
    }
    Irp->IoStatus.Status = STATUS_SUCCESS;
    return Forward(Device->Public.NextDeviceObject, Irp);
}

/* Tells the minidriver on the way down. */
static NTSTATUS Notify(REFKS_DEVICE *Device, PIRP Irp, PFNKSDEVICEIRPVOID Routine)
{
    if (Routine)
        Routine(&Device->Public, Irp);
    Irp->IoStatus.Status = STATUS_SUCCESS;
    return Forward(Device->Public.NextDeviceObject, Irp);
}

/* Tells the minidriver once the lower drivers are done. */
static NTSTATUS NotifyAfter(REFKS_DEVICE *Device, PIRP Irp, PFNKSDEVICEIRPVOID Routine)
{
    NTSTATUS status;

    Irp->IoStatus.Status = STATUS_SUCCESS;
    status = ForwardAndWait(Device, Irp, CallDriver);
    if (NT_SUCCESS(status) && Routine)
        Routine(&Device->Public, Irp);
    return kshs_complete(Irp, status, Irp->IoStatus.Information);
}

static NTSTATUS QueryCapabilities(REFKS_DEVICE *Device, PIRP Irp, PFNKSDEVICEQUERYCAPABILITIES Routine)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    PDEVICE_CAPABILITIES capabilities = stack->Parameters.DeviceCapabilities.Capabilities;
    NTSTATUS status = ForwardAndWait(Device, Irp, CallDriver);

    if (NT_SUCCESS(status) && Routine)
        status = kshs_final_status(Routine(&Device->Public, Irp, capabilities));
    return kshs_complete(Irp, status, Irp->IoStatus.Information);
}

static NTSTATUS QueryInterface(REFKS_DEVICE *Device, PIRP Irp, PFNKSDEVICEIRP Routine)
{
    if (Routine) {
        NTSTATUS status = kshs_final_status(Routine(&Device->Public, Irp));

        /* STATUS_NOT_SUPPORTED: not an interface of the minidriver's; the stack below may know it. */
        if (!NT_SUCCESS(status) && status != STATUS_NOT_SUPPORTED)
            return kshs_complete(Irp, status, 0);
        if (NT_SUCCESS(status))
            Irp->IoStatus.Status = status;
    }
    return Forward(Device->Public.NextDeviceObject, Irp);
}

static NTSTATUS SurpriseRemoval(REFKS_DEVICE *Device, PIRP Irp, PFNKSDEVICEIRPVOID Routine)
{
    Device->Removed = TRUE;     /* open handles stay, but every request on them fails from now on */
    Device->Public.Started = FALSE;
    RefksEnableFactories(Device, FALSE);
    return Notify(Device, Irp, Routine);
}

static NTSTATUS Stop(REFKS_DEVICE *Device, PIRP Irp, PFNKSDEVICEIRPVOID Routine)
{
    Device->Public.Started = FALSE;
    return Notify(Device, Irp, Routine);
}

NTSTATUS NTAPI RefksDispatchPnp(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    static const KSDEVICE_DISPATCH none;
    REFKS_DEVICE *device = RefksDeviceFromDeviceObject(DeviceObject);
    const KSDEVICE_DISPATCH *dispatch = &none;
    NTSTATUS status;

    if (!device)
        return kshs_complete(Irp, STATUS_NO_SUCH_DEVICE, 0);
    if (device->Public.Descriptor && device->Public.Descriptor->Dispatch)
        dispatch = device->Public.Descriptor->Dispatch;
    switch (IoGetCurrentIrpStackLocation(Irp)->MinorFunction) {
    case IRP_MN_START_DEVICE:
        status = Start(device, Irp);
        break;
    case IRP_MN_QUERY_STOP_DEVICE:
        status = Query(device, Irp, dispatch->QueryStop);
        break;
    case IRP_MN_CANCEL_STOP_DEVICE:
        status = NotifyAfter(device, Irp, dispatch->CancelStop);
        break;
    case IRP_MN_STOP_DEVICE:
        status = Stop(device, Irp, dispatch->Stop);
        break;
    case IRP_MN_QUERY_REMOVE_DEVICE:
        status = Query(device, Irp, dispatch->QueryRemove);
        break;
    case IRP_MN_CANCEL_REMOVE_DEVICE:
        status = NotifyAfter(device, Irp, dispatch->CancelRemove);
        break;
    case IRP_MN_SURPRISE_REMOVAL:
        status = SurpriseRemoval(device, Irp, dispatch->SurpriseRemoval);
        break;
    case IRP_MN_REMOVE_DEVICE:
        status = Remove(device, Irp);
        break;
    case IRP_MN_QUERY_CAPABILITIES:
        status = QueryCapabilities(device, Irp, dispatch->QueryCapabilities);
        break;
    case IRP_MN_QUERY_INTERFACE:
        status = QueryInterface(device, Irp, dispatch->QueryInterface);
        break;
    default:
        status = Forward(device->Public.NextDeviceObject, Irp);
        break;
    }
    RefksDereference(&device->Header);
    return status;
}

static NTSTATUS QueryPower(REFKS_DEVICE *Device, PIRP Irp, PIO_STACK_LOCATION Stack)
{
    const KSDEVICE_DISPATCH *dispatch = Device->Public.Descriptor ? Device->Public.Descriptor->Dispatch : NULL;
    DEVICE_POWER_STATE device = Device->Public.DevicePowerState, device_to = device;
    SYSTEM_POWER_STATE system = Device->Public.SystemPowerState, system_to = system;

    if (!dispatch || !dispatch->QueryPower)
        return STATUS_SUCCESS;
    if (Stack->Parameters.Power.Type == DevicePowerState)
        device_to = Stack->Parameters.Power.State.DeviceState;
    else
        system_to = Stack->Parameters.Power.State.SystemState;
    return kshs_final_status(dispatch->QueryPower(&Device->Public, Irp, device_to, device, system_to, system,
                                                 Stack->Parameters.Power.ShutdownType));
}

/* Powering up, the lower drivers go first; powering down, the minidriver does. */
static NTSTATUS SetDevicePower(REFKS_DEVICE *Device, PIRP Irp, DEVICE_POWER_STATE To)
{
    const KSDEVICE_DISPATCH *dispatch = Device->Public.Descriptor ? Device->Public.Descriptor->Dispatch : NULL;
    DEVICE_POWER_STATE from = Device->Public.DevicePowerState;
    BOOLEAN up = To < from;
    NTSTATUS status = STATUS_SUCCESS;

    PoStartNextPowerIrp(Irp);
    if (up)
        status = ForwardAndWait(Device, Irp, CallPowerDriver);
    if (NT_SUCCESS(status) && To != from) {
        if (dispatch && dispatch->SetPower)
            dispatch->SetPower(&Device->Public, Irp, To, from);
        Device->Public.DevicePowerState = To;
    }
    if (up)
        return kshs_complete(Irp, status, Irp->IoStatus.Information);
    Irp->IoStatus.Status = STATUS_SUCCESS;
    IoSkipCurrentIrpStackLocation(Irp);
    return PoCallDriver(Device->Public.NextDeviceObject, Irp);
}

static NTSTATUS Power(REFKS_DEVICE *Device, PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);

    if (stack->MinorFunction == IRP_MN_QUERY_POWER) {
        NTSTATUS status = QueryPower(Device, Irp, stack);

        if (!NT_SUCCESS(status)) {
            PoStartNextPowerIrp(Irp);
            return kshs_complete(Irp, status, 0);
        }
        Irp->IoStatus.Status = STATUS_SUCCESS;
    } else if (stack->MinorFunction == IRP_MN_SET_POWER) {
        if (stack->Parameters.Power.Type == DevicePowerState)
            return SetDevicePower(Device, Irp, stack->Parameters.Power.State.DeviceState);
        Device->Public.SystemPowerState = stack->Parameters.Power.State.SystemState;
        Irp->IoStatus.Status = STATUS_SUCCESS;
    }
    PoStartNextPowerIrp(Irp);
    IoSkipCurrentIrpStackLocation(Irp);
    return PoCallDriver(Device->Public.NextDeviceObject, Irp);
}

NTSTATUS NTAPI RefksDispatchPower(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    REFKS_DEVICE *device = RefksDeviceFromDeviceObject(DeviceObject);
    NTSTATUS status;

    if (!device || !device->Public.NextDeviceObject) {
        PoStartNextPowerIrp(Irp);
        status = kshs_complete(Irp, STATUS_NO_SUCH_DEVICE, 0);
    } else {
        status = Power(device, Irp);
    }
    if (device)
        RefksDereference(&device->Header);
    return status;
}

NTSTATUS NTAPI RefksDispatchForward(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    REFKS_DEVICE *device = RefksDeviceFromDeviceObject(DeviceObject);
    NTSTATUS status;

    if (!device)
        return kshs_complete(Irp, STATUS_NO_SUCH_DEVICE, 0);
    status = Forward(device->Public.NextDeviceObject, Irp);
    RefksDereference(&device->Header);
    return status;
}

/* ---- for minidrivers that fill their own dispatch table --------------------------------------------------- */

NTSTATUS NTAPI KsDefaultDispatchPnp(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    return RefksDispatchPnp(DeviceObject, Irp);
}

NTSTATUS NTAPI KsDefaultDispatchPower(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    return RefksDispatchPower(DeviceObject, Irp);
}

NTSTATUS NTAPI KsDefaultForwardIrp(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    return RefksDispatchForward(DeviceObject, Irp);
}

PDEVICE_OBJECT NTAPI KsQueryDevicePnpObject(KSDEVICE_HEADER Header)
{
    return Header ? ((REFKS_DEVICE *)Header)->Public.NextDeviceObject : NULL;
}
