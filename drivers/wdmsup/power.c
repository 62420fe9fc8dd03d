/* SPDX-License-Identifier: Apache-2.0
 *
 * power.c - power IRPs that a driver asks for, and its requests to keep the system on.
 * Guests on Wine never change their power, so these IRPs are the only ones there are,
 * and what is asked for is so anyway.
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

/* ---- power requests: made at PASSIVE_LEVEL, set and cleared <= DISPATCH_LEVEL --------------------- */

#define POWER_REQUESTS 4                /* display, system, away mode, execution */

typedef struct SUP_REQUEST {
    PDEVICE_OBJECT Device;              /* referenced */
    volatile LONG Count[POWER_REQUESTS];
} SUP_REQUEST;

NTSTATUS NTAPI SupPoCreatePowerRequest(SUP_REQUEST **Request, PDEVICE_OBJECT Device, PVOID Reason);
NTSTATUS NTAPI SupPoSetPowerRequest(SUP_REQUEST *Request, ULONG Type);
NTSTATUS NTAPI SupPoClearPowerRequest(SUP_REQUEST *Request, ULONG Type);
VOID NTAPI SupPoDeletePowerRequest(SUP_REQUEST *Request);

NTSTATUS NTAPI SupPoCreatePowerRequest(SUP_REQUEST **Request, PDEVICE_OBJECT Device, PVOID Reason)
{
    UNREFERENCED_PARAMETER(Reason);
    *Request = NULL;
    if (!Device)
        return STATUS_INVALID_PARAMETER;
    *Request = kshs_zalloc(sizeof(**Request), SUP_TAG);
    if (!*Request)
        return STATUS_INSUFFICIENT_RESOURCES;
    ObReferenceObject(Device);
    (*Request)->Device = Device;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI SupPoSetPowerRequest(SUP_REQUEST *Request, ULONG Type)
{
    if (!Request || Type >= POWER_REQUESTS)
        return STATUS_INVALID_PARAMETER;
    (void)InterlockedIncrement(&Request->Count[Type]);
    return STATUS_SUCCESS;
}

/* A request that is not set cannot be cleared. */
NTSTATUS NTAPI SupPoClearPowerRequest(SUP_REQUEST *Request, ULONG Type)
{
    LONG count;

    if (!Request || Type >= POWER_REQUESTS)
        return STATUS_INVALID_PARAMETER;
    do {
        count = Request->Count[Type];
        if (count <= 0)
            return STATUS_UNSUCCESSFUL;
    } while (InterlockedCompareExchange(&Request->Count[Type], count - 1, count) != count);
    return STATUS_SUCCESS;
}

VOID NTAPI SupPoDeletePowerRequest(SUP_REQUEST *Request)
{
    ObDereferenceObject(Request->Device);
    ExFreePoolWithTag(Request, SUP_TAG);
}
