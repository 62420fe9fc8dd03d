/* SPDX-License-Identifier: Apache-2.0
 *
 * devices.c - the life of a device, from AddDevice to its removal, with power
 * in between: IRPs that Wine sends to nobody.  The device stands on one of the
 * probe's own, which answers in the place of a bus driver.
 */
#include "probe.h"

enum {                          /* also in test_refks_devices.py */
    DID_ADD = 1,
    DID_START,
    DID_POST_START,
    DID_QUERY_STOP,
    DID_CANCEL_STOP,
    DID_STOP,
    DID_QUERY_REMOVE,
    DID_CANCEL_REMOVE,
    DID_REMOVE,
    DID_QUERY_CAPABILITIES,
    DID_SURPRISE_REMOVAL,
    DID_QUERY_POWER,
    DID_SET_POWER,
    DID_QUERY_INTERFACE,
    DID_CLOSE,
};

static struct {
    PDRIVER_OBJECT Driver;
    PDEVICE_OBJECT Below;       /* NULL: there is none */
    NTSTATUS BelowAnswers;
    ULONG BelowGot;             /* IRPs since the last look */
    ULONGLONG Did;              /* hexadecimal digits, the last one lowest */
    ULONG RefusedBy;            /* one of the above */
    NTSTATUS Refusal;
    ULONG PowerTo;
} Now;

static NTSTATUS Note(ULONG Did)
{
    Now.Did = Now.Did << 4 | Did;
    return Did == Now.RefusedBy ? Now.Refusal : STATUS_SUCCESS;
}

static ULONGLONG WhatWasDone(void)
{
    ULONGLONG did = Now.Did;

    Now.Did = 0;
    return did;
}

/* ---- what the device does --------------------------------------------------------- */

static NTSTATUS Add(PKSDEVICE Device)
{
    UNREFERENCED_PARAMETER(Device);
    return Note(DID_ADD);
}

static NTSTATUS Start(PKSDEVICE Device, PIRP Irp, PCM_RESOURCE_LIST Translated, PCM_RESOURCE_LIST Untranslated)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Translated);
    UNREFERENCED_PARAMETER(Untranslated);
    return Note(DID_START);
}

static NTSTATUS PostStart(PKSDEVICE Device)
{
    UNREFERENCED_PARAMETER(Device);
    return Note(DID_POST_START);
}

#define ASKED(name, did)                            \
    static NTSTATUS name(PKSDEVICE Device, PIRP Irp) \
    {                                               \
        UNREFERENCED_PARAMETER(Device);             \
        UNREFERENCED_PARAMETER(Irp);                \
        return Note(did);                           \
    }

#define TOLD(name, did)                             \
    static void name(PKSDEVICE Device, PIRP Irp)    \
    {                                               \
        UNREFERENCED_PARAMETER(Device);             \
        UNREFERENCED_PARAMETER(Irp);                \
        (void)Note(did);                            \
    }

ASKED(QueryStop, DID_QUERY_STOP)
TOLD(CancelStop, DID_CANCEL_STOP)
TOLD(Stop, DID_STOP)
ASKED(QueryRemove, DID_QUERY_REMOVE)
TOLD(CancelRemove, DID_CANCEL_REMOVE)
TOLD(Remove, DID_REMOVE)
TOLD(SurpriseRemoval, DID_SURPRISE_REMOVAL)
ASKED(QueryInterface, DID_QUERY_INTERFACE)

static NTSTATUS QueryCapabilities(PKSDEVICE Device, PIRP Irp, PDEVICE_CAPABILITIES Capabilities)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Irp);
    Capabilities->Address = 77;
    return Note(DID_QUERY_CAPABILITIES);
}

static NTSTATUS QueryPower(PKSDEVICE Device, PIRP Irp, DEVICE_POWER_STATE DeviceTo, DEVICE_POWER_STATE DeviceFrom,
                           SYSTEM_POWER_STATE SystemTo, SYSTEM_POWER_STATE SystemFrom, POWER_ACTION Action)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Action);
    Now.PowerTo = (ULONG)DeviceTo << 12 | (ULONG)DeviceFrom << 8 | (ULONG)SystemTo << 4 | (ULONG)SystemFrom;
    return Note(DID_QUERY_POWER);
}

static void SetPower(PKSDEVICE Device, PIRP Irp, DEVICE_POWER_STATE To, DEVICE_POWER_STATE From)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Irp);
    Now.PowerTo = (ULONG)To << 4 | (ULONG)From;
    (void)Note(DID_SET_POWER);
}

/* ---- creates and closes that are answered later ------------------------------------ */

static struct {
    BOOLEAN Pends;
    NTSTATUS Answer;
    PIRP Irp;
} Late;

void ProbePendFrom(NTSTATUS Answer)
{
    Late.Pends = TRUE;
    Late.Answer = Answer;
}

void ProbePendNoMore(void)
{
    Late.Pends = FALSE;
}

NTSTATUS ProbeAnswer(PIRP Irp, NTSTATUS Answer)
{
    if (!Late.Pends)
        return Answer;
    IoMarkIrpPending(Irp);
    Late.Irp = Irp;
    return STATUS_PENDING;
}

void ProbeFinish(void)
{
    PIRP irp = Late.Irp;

    Late.Irp = NULL;
    if (!irp)
        return;
    irp->IoStatus.Status = Late.Answer;
    KsCompletePendingRequest(irp);
}

static NTSTATUS FilterCreate(PKSFILTER Filter, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Filter);
    return ProbeAnswer(Irp, STATUS_SUCCESS);
}

static NTSTATUS FilterClose(PKSFILTER Filter, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Filter);
    return ProbeAnswer(Irp, Note(DID_CLOSE));
}

static const KSDEVICE_DISPATCH Dispatch = {
    .Add = Add, .Start = Start, .PostStart = PostStart, .QueryStop = QueryStop, .CancelStop = CancelStop, .Stop = Stop,
    .QueryRemove = QueryRemove, .CancelRemove = CancelRemove, .Remove = Remove,
    .QueryCapabilities = QueryCapabilities, .SurpriseRemoval = SurpriseRemoval, .QueryPower = QueryPower,
    .SetPower = SetPower, .QueryInterface = QueryInterface,
};
static const KSFILTER_DISPATCH FilterDispatch = { .Create = FilterCreate, .Close = FilterClose };
static const KSFILTER_DESCRIPTOR Filter = { .Version = KSFILTER_DESCRIPTOR_VERSION, .Dispatch = &FilterDispatch };
static const KSFILTER_DESCRIPTOR *const Filters[] = { &Filter };
static const KSDEVICE_DESCRIPTOR Descriptor = { .Dispatch = &Dispatch, .FilterDescriptorsCount = 1,
                                                .FilterDescriptors = Filters };

/* ---- the device below, and tables of the driver's own ----------------------------------- */

/* FALSE: the IRP is not for the device below. */
static BOOLEAN Below(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    if (!Now.Below || DeviceObject != Now.Below)
        return FALSE;
    Now.BelowGot++;
    Irp->IoStatus.Status = Now.BelowAnswers;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return TRUE;
}

static NTSTATUS NTAPI Pnp(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    return Below(DeviceObject, Irp) ? Now.BelowAnswers : KsDefaultDispatchPnp(DeviceObject, Irp);
}

static NTSTATUS NTAPI Power(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    return Below(DeviceObject, Irp) ? Now.BelowAnswers : KsDefaultDispatchPower(DeviceObject, Irp);
}

static NTSTATUS NTAPI SystemControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    return Below(DeviceObject, Irp) ? Now.BelowAnswers : KsDefaultForwardIrp(DeviceObject, Irp);
}

void ProbeTakeOver(PDRIVER_OBJECT DriverObject)
{
    Now.Driver = DriverObject;
    DriverObject->MajorFunction[IRP_MJ_PNP] = Pnp;
    DriverObject->MajorFunction[IRP_MJ_POWER] = Power;
    DriverObject->MajorFunction[IRP_MJ_SYSTEM_CONTROL] = SystemControl;
    DriverObject->MajorFunction[IRP_MJ_QUERY_SECURITY] = KsDispatchQuerySecurity;
    DriverObject->MajorFunction[IRP_MJ_SET_SECURITY] = KsDispatchSetSecurity;
    DriverObject->MajorFunction[IRP_MJ_FLUSH_BUFFERS] = KsDispatchInvalidDeviceRequest;
}

static NTSTATUS MakeBelow(void)
{
    NTSTATUS status = IoCreateDevice(Now.Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Now.Below);

    if (!NT_SUCCESS(status)) {
        Now.Below = NULL;
        return status;
    }
    Now.Below->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
    Now.BelowAnswers = STATUS_SUCCESS;
    Now.BelowGot = 0;
    Now.RefusedBy = 0;
    Now.Did = 0;
    return STATUS_SUCCESS;
}

static void EndBelow(void)
{
    PDEVICE_OBJECT below = Now.Below;

    Now.Below = NULL;
    IoDeleteDevice(below);
}

/* A device on the one below; its functional device object, or NULL. */
static PDEVICE_OBJECT MakeDevice(void)
{
    PKSDEVICE device = NULL;

    if (!NT_SUCCESS(MakeBelow()))
        return NULL;
    if (!NT_SUCCESS(KsCreateDevice(Now.Driver, Now.Below, &Descriptor, 0, &device))) {
        EndBelow();
        return NULL;
    }
    return device->FunctionalDeviceObject;
}

/* ---- PnP ----------------------------------------------------------------------------------- */

static ULONG SendPnp(PDEVICE_OBJECT Device, UCHAR Minor)
{
    return (ULONG)ProbeSend(Device, NULL, IRP_MJ_PNP, Minor, NULL);
}

static ULONG RefusedPnp(PDEVICE_OBJECT Device, UCHAR Minor, ULONG By, NTSTATUS Refusal)
{
    ULONG status;

    Now.RefusedBy = By;
    Now.Refusal = Refusal;
    status = SendPnp(Device, Minor);
    Now.RefusedBy = 0;
    return status;
}

/* What the device has done after each, and what became of the IRP: status, then a digit for each routine. */
NTSTATUS ProbeDevice(PULONGLONG Numbers)
{
    PDEVICE_OBJECT device = MakeDevice();
    FILE_OBJECT early, file;
    DEVICE_CAPABILITIES capabilities;
    IO_STACK_LOCATION parameters;

    if (!device)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(&early, sizeof(early));
    RtlZeroMemory(&file, sizeof(file));
    RtlZeroMemory(&capabilities, sizeof(capabilities));
    RtlZeroMemory(&parameters, sizeof(parameters));
    Numbers[0] = (ULONG)ProbeSend(device, &early, IRP_MJ_CREATE, 0, NULL);      /* not started yet */
    Numbers[1] = SendPnp(device, IRP_MN_START_DEVICE);
    Numbers[2] = (ULONG)ProbeSend(device, &file, IRP_MJ_CREATE, 0, NULL);
    Numbers[3] = SendPnp(device, IRP_MN_QUERY_STOP_DEVICE) | SendPnp(device, IRP_MN_CANCEL_STOP_DEVICE);
    Numbers[4] = RefusedPnp(device, IRP_MN_QUERY_STOP_DEVICE, DID_QUERY_STOP, STATUS_DEVICE_BUSY);
    Numbers[5] = SendPnp(device, IRP_MN_QUERY_STOP_DEVICE) | SendPnp(device, IRP_MN_STOP_DEVICE);
    Numbers[6] = (ULONG)ProbeSend(device, &early, IRP_MJ_CREATE, 0, NULL);      /* stopped */
    Numbers[7] = SendPnp(device, IRP_MN_START_DEVICE);                          /* ... and started again */
    Numbers[8] = WhatWasDone();
    Now.BelowGot = 0;
    Numbers[9] = SendPnp(device, IRP_MN_QUERY_REMOVE_DEVICE) | SendPnp(device, IRP_MN_CANCEL_REMOVE_DEVICE);
    parameters.Parameters.DeviceCapabilities.Capabilities = &capabilities;
    Numbers[10] = (ULONG)ProbeSend(device, NULL, IRP_MJ_PNP, IRP_MN_QUERY_CAPABILITIES, &parameters);
    Numbers[11] = capabilities.Address;
    Numbers[12] = SendPnp(device, IRP_MN_QUERY_INTERFACE);
    Numbers[13] = RefusedPnp(device, IRP_MN_QUERY_INTERFACE, DID_QUERY_INTERFACE, STATUS_NOT_SUPPORTED);  /* asks below */
    Numbers[14] = Now.BelowGot;
    Numbers[15] = RefusedPnp(device, IRP_MN_QUERY_INTERFACE, DID_QUERY_INTERFACE, STATUS_ACCESS_DENIED);
    Numbers[16] = SendPnp(device, IRP_MN_QUERY_ID);                             /* merely passed down */
    Numbers[17] = Now.BelowGot;
    Numbers[18] = (ULONG)ProbeSend(device, NULL, IRP_MJ_SYSTEM_CONTROL, 0, NULL);
    Numbers[19] = (ULONG)ProbeSend(device, &file, IRP_MJ_CLOSE, 0, NULL);
    Numbers[20] = SendPnp(device, IRP_MN_REMOVE_DEVICE);
    Numbers[21] = WhatWasDone();
    Numbers[22] = !KsGetDeviceForDeviceObject(device);
    EndBelow();
    return STATUS_SUCCESS;
}

/* The IRPs of a device that goes away under an open handle. */
NTSTATUS ProbeRemoved(PULONGLONG Numbers)
{
    PDEVICE_OBJECT device = MakeDevice();
    IO_STACK_LOCATION handshake;
    FILE_OBJECT file, late;

    if (!device)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(&file, sizeof(file));
    RtlZeroMemory(&late, sizeof(late));
    RtlZeroMemory(&handshake, sizeof(handshake));
    handshake.Parameters.DeviceIoControl.IoControlCode = IOCTL_KS_HANDSHAKE;
    file.DeviceObject = late.DeviceObject = device;
    ObReferenceObject(device);                                  /* as an open handle's file object has it */
    Numbers[0] = SendPnp(device, IRP_MN_START_DEVICE);
    Numbers[1] = (ULONG)ProbeSend(device, &file, IRP_MJ_CREATE, 0, NULL);
    Numbers[2] = (ULONG)ProbeSend(device, &file, IRP_MJ_DEVICE_CONTROL, 0, &handshake);         /* of a filter */
    Numbers[3] = SendPnp(device, IRP_MN_SURPRISE_REMOVAL);
    Numbers[4] = (ULONG)ProbeSend(device, &file, IRP_MJ_DEVICE_CONTROL, 0, &handshake);
    Numbers[5] = (ULONG)ProbeSend(device, &late, IRP_MJ_CREATE, 0, NULL);
    Numbers[6] = (ULONG)ProbeSend(device, &late, IRP_MJ_CLOSE, 0, NULL);
    Numbers[7] = WhatWasDone();
    Numbers[8] = SendPnp(device, IRP_MN_REMOVE_DEVICE);
    Numbers[9] = WhatWasDone();                                 /* the filter is closed before */
    Numbers[10] = (ULONG)ProbeSend(device, &file, IRP_MJ_DEVICE_CONTROL, 0, &handshake);
    Numbers[11] = (ULONG)ProbeSend(device, &late, IRP_MJ_CREATE, 0, NULL);      /* nobody's device any more */
    Numbers[12] = (ULONG)ProbeSend(device, &late, IRP_MJ_CLOSE, 0, NULL);
    Numbers[13] = SendPnp(device, IRP_MN_QUERY_ID);
    Numbers[14] = (ULONG)ProbeSend(device, NULL, IRP_MJ_POWER, IRP_MN_SET_POWER, NULL);
    Numbers[15] = (ULONG)ProbeSend(device, NULL, IRP_MJ_SYSTEM_CONTROL, 0, NULL);
    Numbers[16] = (ULONG)ProbeSend(device, &file, IRP_MJ_CLEANUP, 0, NULL) |
                  (ULONG)ProbeSend(device, &file, IRP_MJ_CLOSE, 0, NULL);
    Numbers[17] = WhatWasDone();                                /* nothing is closed twice */
    ObDereferenceObject(device);
    EndBelow();
    return STATUS_SUCCESS;
}

/* Creates and closes of a filter that are answered later, the last one after its device was removed. */
NTSTATUS ProbeLate(PULONGLONG Numbers)
{
    PDEVICE_OBJECT device = MakeDevice();
    IO_STACK_LOCATION handshake;
    FILE_OBJECT file;

    if (!device)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(&file, sizeof(file));
    RtlZeroMemory(&handshake, sizeof(handshake));
    handshake.Parameters.DeviceIoControl.IoControlCode = IOCTL_KS_HANDSHAKE;
    file.DeviceObject = device;
    ObReferenceObject(device);
    (void)SendPnp(device, IRP_MN_START_DEVICE);
    ProbePendFrom(STATUS_SUCCESS);
    Numbers[0] = (ULONG)ProbeSendLate(device, &file, IRP_MJ_CREATE, ProbeFinish);
    Numbers[1] = (ULONG)ProbeSend(device, &file, IRP_MJ_DEVICE_CONTROL, 0, &handshake);         /* it is a filter */
    Numbers[2] = (ULONG)ProbeSendLate(device, &file, IRP_MJ_CLOSE, ProbeFinish);
    ProbePendFrom(STATUS_ACCESS_DENIED);
    Numbers[3] = (ULONG)ProbeSendLate(device, &file, IRP_MJ_CREATE, ProbeFinish);
    Numbers[4] = (ULONG)ProbeSend(device, &file, IRP_MJ_DEVICE_CONTROL, 0, &handshake);
    Numbers[5] = (ULONG)ProbeSend(device, &file, IRP_MJ_CLOSE, 0, NULL);
    ProbePendFrom(STATUS_PENDING);                              /* which is no answer */
    Numbers[6] = (ULONG)ProbeSendLate(device, &file, IRP_MJ_CREATE, ProbeFinish);
    Numbers[7] = (ULONG)ProbeSend(device, &file, IRP_MJ_CLOSE, 0, NULL);
    ProbePendNoMore();
    Numbers[8] = (ULONG)ProbeSend(device, &file, IRP_MJ_CREATE, 0, NULL);
    (void)WhatWasDone();
    ProbePendFrom(STATUS_SUCCESS);
    Numbers[9] = SendPnp(device, IRP_MN_REMOVE_DEVICE);
    Numbers[10] = WhatWasDone();                                /* the filter's close has begun */
    Numbers[11] = (ULONG)ProbeSendLate(device, &file, IRP_MJ_CLOSE, ProbeFinish);       /* ends with it */
    ProbePendNoMore();
    Numbers[12] = WhatWasDone();                                /* and then the device */
    ObDereferenceObject(device);
    EndBelow();
    return STATUS_SUCCESS;
}

/* ---- power ------------------------------------------------------------------------------------ */

static ULONG SendPower(PDEVICE_OBJECT Device, UCHAR Minor, POWER_STATE_TYPE Type, ULONG State)
{
    IO_STACK_LOCATION power;

    RtlZeroMemory(&power, sizeof(power));
    power.Parameters.Power.Type = Type;
    if (Type == DevicePowerState)
        power.Parameters.Power.State.DeviceState = (DEVICE_POWER_STATE)State;
    else
        power.Parameters.Power.State.SystemState = (SYSTEM_POWER_STATE)State;
    Now.PowerTo = 0;
    return (ULONG)ProbeSend(Device, NULL, IRP_MJ_POWER, Minor, &power);
}

NTSTATUS ProbePower(PULONGLONG Numbers)
{
    PDEVICE_OBJECT device = MakeDevice();
    PKSDEVICE of = device ? KsGetDeviceForDeviceObject(device) : NULL;

    if (!of)
        return STATUS_INSUFFICIENT_RESOURCES;
    (void)SendPnp(device, IRP_MN_START_DEVICE);
    (void)WhatWasDone();
    Numbers[0] = SendPower(device, IRP_MN_QUERY_POWER, DevicePowerState, PowerDeviceD3);
    Numbers[1] = Now.PowerTo;
    Numbers[2] = SendPower(device, IRP_MN_QUERY_POWER, SystemPowerState, PowerSystemSleeping3);
    Numbers[3] = Now.PowerTo;
    Now.RefusedBy = DID_QUERY_POWER;
    Now.Refusal = STATUS_DEVICE_BUSY;
    Now.BelowGot = 0;
    Numbers[4] = SendPower(device, IRP_MN_QUERY_POWER, SystemPowerState, PowerSystemSleeping3);
    Numbers[5] = Now.BelowGot;                                  /* it ends here */
    Now.RefusedBy = 0;
    Numbers[6] = SendPower(device, IRP_MN_SET_POWER, SystemPowerState, PowerSystemSleeping3);
    Numbers[7] = of->SystemPowerState;
    Numbers[8] = SendPower(device, IRP_MN_SET_POWER, DevicePowerState, PowerDeviceD3);
    Numbers[9] = Now.PowerTo << 4 | of->DevicePowerState;
    Numbers[10] = SendPower(device, IRP_MN_SET_POWER, DevicePowerState, PowerDeviceD0);
    Numbers[11] = Now.PowerTo << 4 | of->DevicePowerState;
    Numbers[12] = SendPower(device, IRP_MN_SET_POWER, DevicePowerState, PowerDeviceD0);         /* it is there */
    Numbers[13] = Now.PowerTo;
    Numbers[14] = SendPower(device, IRP_MN_WAIT_WAKE, SystemPowerState, 0);
    Numbers[15] = Now.BelowGot;
    (void)SendPower(device, IRP_MN_SET_POWER, DevicePowerState, PowerDeviceD3);
    (void)WhatWasDone();
    Now.BelowAnswers = STATUS_UNSUCCESSFUL;
    Numbers[16] = SendPower(device, IRP_MN_SET_POWER, DevicePowerState, PowerDeviceD0);         /* not below, so not here */
    Numbers[17] = WhatWasDone() << 4 | of->DevicePowerState;
    Now.BelowAnswers = STATUS_SUCCESS;
    Numbers[18] = SendPnp(device, IRP_MN_REMOVE_DEVICE);
    EndBelow();
    return STATUS_SUCCESS;
}

/* ---- devices that do not come to be ------------------------------------------------------------- */

static ULONG FailStart(ULONG By, NTSTATUS Refusal, NTSTATUS Answers, PULONGLONG Did)
{
    PDEVICE_OBJECT device = MakeDevice();
    FILE_OBJECT file;
    ULONG status;

    if (!device)
        return (ULONG)STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(&file, sizeof(file));
    Now.BelowAnswers = Answers;
    status = RefusedPnp(device, IRP_MN_START_DEVICE, By, Refusal);
    Now.BelowAnswers = STATUS_SUCCESS;
    if ((NTSTATUS)ProbeSend(device, &file, IRP_MJ_CREATE, 0, NULL) != STATUS_DEVICE_NOT_READY)
        status = (ULONG)STATUS_INTERNAL_ERROR;
    (void)SendPnp(device, IRP_MN_REMOVE_DEVICE);
    *Did = WhatWasDone();
    EndBelow();
    return status;
}

static ULONG Initialize(const KSDEVICE_DESCRIPTOR *Wrong)
{
    return (ULONG)KsInitializeDriver(Now.Driver, NULL, Wrong);
}

/* Descriptors that are wrong, routines that refuse, and a device that ends without an IRP. */
NTSTATUS ProbeFailures(PULONGLONG Numbers)
{
    static const KSFILTER_DESCRIPTOR old = { .Version = KSFILTER_DESCRIPTOR_VERSION + 1 };
    static const KSFILTER_DESCRIPTOR pinless = { .Version = KSFILTER_DESCRIPTOR_VERSION, .PinDescriptorsCount = 1 };
    static const KSFILTER_DESCRIPTOR *const olds[] = { &old }, *const pinlesses[] = { &pinless };
    KSDEVICE_DESCRIPTOR wrong = { .FilterDescriptorsCount = 1 };
    PDEVICE_OBJECT device, next;
    PKSDEVICE of = NULL;
    NTSTATUS status = MakeBelow();

    if (!NT_SUCCESS(status))
        return status;
    Numbers[0] = Initialize(&wrong);
    Numbers[1] = (ULONG)KsCreateDevice(Now.Driver, Now.Below, &wrong, 0, NULL);
    wrong.FilterDescriptors = olds;
    Numbers[2] = Initialize(&wrong);
    wrong.FilterDescriptors = pinlesses;
    Numbers[3] = Initialize(&wrong);
    Numbers[4] = (ULONG)KsCreateDevice(Now.Driver, Now.Below, &Descriptor, 1, NULL);    /* no room for its header */
    Now.RefusedBy = DID_ADD;
    Now.Refusal = STATUS_NO_SUCH_DEVICE;
    Numbers[5] = (ULONG)KsCreateDevice(Now.Driver, Now.Below, &Descriptor, 0, NULL);
    Numbers[6] = WhatWasDone();
    Numbers[7] = Now.Below->AttachedDevice == NULL;
    EndBelow();
    Numbers[8] = FailStart(0, STATUS_SUCCESS, STATUS_UNSUCCESSFUL, &Numbers[9]);
    Numbers[10] = FailStart(DID_START, STATUS_DEVICE_CONFIGURATION_ERROR, STATUS_SUCCESS, &Numbers[11]);
    Numbers[12] = FailStart(DID_POST_START, STATUS_DEVICE_CONFIGURATION_ERROR, STATUS_SUCCESS, &Numbers[13]);
    /* Pending is no answer to a start. */
    Numbers[14] = FailStart(DID_START, STATUS_PENDING, STATUS_SUCCESS, &Numbers[15]);
    device = MakeDevice();
    of = device ? KsGetDeviceForDeviceObject(device) : NULL;
    if (!of)
        return STATUS_INSUFFICIENT_RESOURCES;
    next = of->NextDeviceObject;
    Numbers[16] = KsQueryDevicePnpObject(*(KSDEVICE_HEADER *)device->DeviceExtension) == next &&
                  !KsQueryDevicePnpObject(NULL);
    KsTerminateDevice(device);
    Numbers[17] = WhatWasDone();
    Numbers[18] = !KsGetDeviceForDeviceObject(device);
    KsTerminateDevice(device);                                  /* nobody's: nothing happens */
    IoDetachDevice(next);
    IoDeleteDevice(device);
    EndBelow();
    return STATUS_SUCCESS;
}

/* ---- routines for tables of the driver's own ------------------------------------------------------ */

static ULONG Control(PDEVICE_OBJECT Device, ULONG Code)
{
    IO_STACK_LOCATION control;

    RtlZeroMemory(&control, sizeof(control));
    control.Parameters.DeviceIoControl.IoControlCode = Code;
    return (ULONG)ProbeDispatch(KsDefaultDeviceIoCompletion, Device, IRP_MJ_DEVICE_CONTROL, &control, NULL);
}

NTSTATUS ProbeTable(PKSFILTER Of, PULONGLONG Numbers)
{
    PDEVICE_OBJECT device = KsGetDevice(Of)->FunctionalDeviceObject;
    IO_STATUS_BLOCK block;
    LARGE_INTEGER offset;

    offset.QuadPart = 0;
    Numbers[0] = Control(device, IOCTL_KS_PROPERTY) == (ULONG)STATUS_PROPSET_NOT_FOUND &&
                 Control(device, IOCTL_KS_METHOD) == (ULONG)STATUS_PROPSET_NOT_FOUND &&
                 Control(device, IOCTL_KS_ENABLE_EVENT) == (ULONG)STATUS_PROPSET_NOT_FOUND;
    Numbers[1] = Control(device, IOCTL_KS_HANDSHAKE);
    Numbers[2] = KsDispatchFastIoDeviceControlFailure(NULL, TRUE, NULL, 0, NULL, 0, 0, &block, device);
    Numbers[3] = KsDispatchFastReadFailure(NULL, &offset, 0, TRUE, 0, NULL, &block, device);
    KsNullDriverUnload(Now.Driver);
    Numbers[4] = (ULONG)ProbeDispatch(KsDispatchInvalidDeviceRequest, device, IRP_MJ_FLUSH_BUFFERS, NULL, NULL);
    Numbers[5] = (ULONG)ProbeDispatch(KsDispatchIrp, device, IRP_MJ_CREATE, NULL, NULL);
    Numbers[6] = (ULONG)ProbeSend(device, NULL, IRP_MJ_QUERY_SECURITY, 0, NULL);
    Numbers[7] = (ULONG)ProbeSend(device, NULL, IRP_MJ_SET_SECURITY, 0, NULL);
    Numbers[8] = (ULONG)ProbeSend(device, NULL, IRP_MJ_FLUSH_BUFFERS, 0, NULL);
    Numbers[9] = (ULONG)ProbeSend(device, NULL, IRP_MJ_CREATE, 0, NULL);        /* without a file object */
    Numbers[10] = (ULONG)ProbeSend(device, NULL, IRP_MJ_CLOSE, 0, NULL);
    Numbers[11] = Control(device, IOCTL_KS_DISABLE_EVENT);
    return STATUS_SUCCESS;
}
