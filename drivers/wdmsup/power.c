/* SPDX-License-Identifier: Apache-2.0
 *
 * power.c - power IRPs that a driver asks for.  Guests on Wine never change their
 * power, so these are the only ones there are.
 */
#include "wdmsup.h"
#include "kshs_irp.h"

typedef struct POWER_REQUEST {
    PDEVICE_OBJECT Device;              /* as it was asked for */
    PDEVICE_OBJECT Top;                 /* of its stack, referenced */
    UCHAR Minor;
    POWER_STATE State;
    PREQUEST_POWER_COMPLETE Complete;
    PVOID Context;
} POWER_REQUEST;

NTSTATUS NTAPI SupPoRequestPowerIrp(PDEVICE_OBJECT Device, UCHAR Minor, POWER_STATE State,
                                    PREQUEST_POWER_COMPLETE Complete, PVOID Context, PIRP *Irp);

static NTSTATUS NTAPI Completed(PDEVICE_OBJECT Device, PIRP Irp, PVOID Context)
{
    POWER_REQUEST *request = Context;

    UNREFERENCED_PARAMETER(Device);
    if (request->Complete)
        request->Complete(request->Device, request->Minor, request->State, request->Context, &Irp->IoStatus);
    ObDereferenceObject(request->Top);
    ExFreePoolWithTag(request, SUP_TAG);
    (void)kshs_irp_free(Irp);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* IRQL <= DISPATCH_LEVEL.  STATUS_PENDING, and the routine is called, perhaps before the return. */
NTSTATUS NTAPI SupPoRequestPowerIrp(PDEVICE_OBJECT Device, UCHAR Minor, POWER_STATE State,
                                    PREQUEST_POWER_COMPLETE Complete, PVOID Context, PIRP *Irp)
{
    POWER_REQUEST *request;
    PIO_STACK_LOCATION next;
    PIRP irp;

    if (Minor != IRP_MN_SET_POWER && Minor != IRP_MN_QUERY_POWER && Minor != IRP_MN_WAIT_WAKE)
        return STATUS_INVALID_PARAMETER_2;
    request = kshs_zalloc(sizeof(*request), SUP_TAG);
    if (!request)
        return STATUS_INSUFFICIENT_RESOURCES;
    request->Top = IoGetAttachedDeviceReference(Device);
    irp = IoAllocateIrp(request->Top->StackSize, FALSE);
    if (!irp) {
        ObDereferenceObject(request->Top);
        ExFreePoolWithTag(request, SUP_TAG);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    request->Device = Device;
    request->Minor = Minor;
    request->State = State;
    request->Complete = Complete;
    request->Context = Context;
    irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
    next = IoGetNextIrpStackLocation(irp);
    next->MajorFunction = IRP_MJ_POWER;
    next->MinorFunction = Minor;
    if (Minor == IRP_MN_WAIT_WAKE) {
        next->Parameters.WaitWake.PowerState = State.SystemState;
    } else {
        next->Parameters.Power.Type = DevicePowerState;
        next->Parameters.Power.State = State;
    }
    IoSetCompletionRoutine(irp, Completed, request, TRUE, TRUE, TRUE);
    if (Irp)
        *Irp = irp;
    (void)IoCallDriver(request->Top, irp);
    return STATUS_PENDING;
}
