/* SPDX-License-Identifier: Apache-2.0
 *
 * methods.c - methods of every kind, and handlers that ask other tables.
 */
#include "probe.h"

#define STATIC_PROBE_METHODS 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x0D
#define STATIC_PROBE_INNER 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x0E
static const GUID MethodsId = { STATIC_PROBE_METHODS };
static const GUID InnerId = { STATIC_PROBE_INNER };

static ULONG Kept;              /* what the last handler found in its data */

static NTSTATUS Nothing(PIRP Irp, PKSMETHOD Method, PVOID Data)
{
    UNREFERENCED_PARAMETER(Method);
    UNREFERENCED_PARAMETER(Data);
    Kept = (ULONG)KSMETHOD_TYPE_IRP_STORAGE(Irp) + 0x100;
    return STATUS_SUCCESS;
}

static NTSTATUS Read(PIRP Irp, PKSMETHOD Method, PVOID Data)
{
    Kept = *(PULONG)Data;
    *(PULONG)Data = 0;          /* a copy: the sender's stays as it is */
    Irp->IoStatus.Information = sizeof(ULONG);
    return Method->Flags == KSMETHOD_TYPE_SEND ? STATUS_SUCCESS : STATUS_INTERNAL_ERROR;
}

static NTSTATUS Write(PIRP Irp, PKSMETHOD Method, PVOID Data)
{
    UNREFERENCED_PARAMETER(Method);
    *(PULONG)Data = *(PULONG)Data ? 0xBAD : Kept;       /* nothing of the sender's is in it */
    Irp->IoStatus.Information = sizeof(ULONG);
    return STATUS_SUCCESS;
}

static NTSTATUS Modify(PIRP Irp, PKSMETHOD Method, PVOID Data)
{
    UNREFERENCED_PARAMETER(Method);
    *(PULONG)Data ^= 0xFF;
    Irp->IoStatus.Information = sizeof(ULONG);
    return STATUS_SUCCESS;
}

/* ---- answered later, by a worker -------------------------------------------------- */

typedef struct LATER {
    WORK_QUEUE_ITEM Item;
    PKSWORKER Worker;
    PIRP Irp;
    PULONG Data;
    BOOLEAN Property;
} LATER;

static LATER Later;             /* one at a time */

/* Gets the buffers of the first handler, which is long over. */
static NTSTATUS AnswerLater(PIRP Irp, PKSMETHOD Method, PVOID Data)
{
    *(PULONG)Data = Data == Later.Data ? 0x1A7E0 + Method->Id : 0xBAD;
    Irp->IoStatus.Information = sizeof(ULONG);
    return STATUS_SUCCESS;
}

/* The same function for properties and for methods, as far as a handler can tell. */
static VOID NTAPI FinishLater(PVOID Context)
{
    LATER *later = Context;
    PIRP irp = later->Irp;

    irp->IoStatus.Status = later->Property ? KsDispatchSpecificProperty(irp, (PFNKSHANDLER)AnswerLater)
                                           : KsDispatchSpecificMethod(irp, (PFNKSHANDLER)AnswerLater);
    KsCompletePendingRequest(irp);
}

static NTSTATUS Begin(PIRP Irp, PVOID Data, BOOLEAN Property)
{
    NTSTATUS status;

    if (Later.Worker)           /* of the one before, which is over */
        KsUnregisterWorker(Later.Worker);
    status = KsRegisterWorker(DelayedWorkQueue, &Later.Worker);
    if (!NT_SUCCESS(status))
        return status;
    Later.Irp = Irp;
    Later.Data = Data;
    Later.Property = Property;
    ExInitializeWorkItem(&Later.Item, FinishLater, &Later);
    IoMarkIrpPending(Irp);
    (void)KsQueueWorkItem(Later.Worker, &Later.Item);
    return STATUS_PENDING;
}

static NTSTATUS Pend(PIRP Irp, PKSMETHOD Method, PVOID Data)
{
    UNREFERENCED_PARAMETER(Method);
    return Begin(Irp, Data, FALSE);
}

NTSTATUS ProbePendProperty(PIRP Irp, PKSPROPERTY Property, PVOID Data)
{
    UNREFERENCED_PARAMETER(Property);
    return Begin(Irp, Data, TRUE);
}

static NTSTATUS Support(PIRP Irp, PKSMETHOD Method, PVOID Data)
{
    UNREFERENCED_PARAMETER(Method);
    if (IoGetCurrentIrpStackLocation(Irp)->Parameters.DeviceIoControl.OutputBufferLength < sizeof(ULONG))
        return STATUS_BUFFER_TOO_SMALL;
    *(PULONG)Data = 0x50;
    Irp->IoStatus.Information = sizeof(ULONG);
    return STATUS_SUCCESS;
}

/* ---- handlers that hand the request on to a table of their own -------------------------- */

static const KSMETHOD_ITEM InnerMethods[] = {
    DEFINE_KSMETHOD_ITEM(7, KSMETHOD_TYPE_MODIFY, Modify, sizeof(KSMETHOD), sizeof(ULONG), NULL),
};
static const KSMETHOD_SET InnerMethodSets[] = {
    DEFINE_KSMETHOD_SET(&MethodsId, SIZEOF_ARRAY(InnerMethods), InnerMethods, 0, NULL),
};

static NTSTATUS HandOn(PIRP Irp, PKSMETHOD Method, PVOID Data)
{
    UNREFERENCED_PARAMETER(Method);
    UNREFERENCED_PARAMETER(Data);
    return KsMethodHandler(Irp, SIZEOF_ARRAY(InnerMethodSets), InnerMethodSets);
}

static NTSTATUS GetInner(PIRP Irp, PKSPROPERTY Property, PVOID Data)
{
    *(PULONG)Data = 0x1000 + Property->Id;
    Irp->IoStatus.Information = sizeof(ULONG);
    return STATUS_SUCCESS;
}

static const KSPROPERTY_ITEM InnerItems[] = {
    DEFINE_KSPROPERTY_ITEM(1, GetInner, sizeof(KSPROPERTY), sizeof(ULONG), NULL, NULL, 0, NULL, NULL, 0),
};
static const KSPROPERTY_SET InnerSets[] = {
    DEFINE_KSPROPERTY_SET(&InnerId, SIZEOF_ARRAY(InnerItems), InnerItems, 0, NULL),
};

NTSTATUS ProbeHandOnProperty(PIRP Irp, PKSPROPERTY Property, PVOID Data)
{
    UNREFERENCED_PARAMETER(Property);
    UNREFERENCED_PARAMETER(Data);
    return KsPropertyHandler(Irp, SIZEOF_ARRAY(InnerSets), InnerSets);
}

/* ---- requests that no handler of the class driver's is around -------------------------------- */

static NTSTATUS EndWith(PIRP Irp, NTSTATUS Status)
{
    Irp->IoStatus.Status = Status;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS NTAPI ServeProperty(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    return EndWith(Irp, KsPropertyHandler(Irp, SIZEOF_ARRAY(InnerSets), InnerSets));
}

static NTSTATUS NTAPI ServeMethod(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    return EndWith(Irp, KsMethodHandler(Irp, SIZEOF_ARRAY(InnerMethodSets), InnerMethodSets));
}

static NTSTATUS NTAPI ServeSpecific(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    return EndWith(Irp, KsDispatchSpecificProperty(Irp, (PFNKSHANDLER)AnswerLater));
}

static NTSTATUS NTAPI ServeList(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    return EndWith(Irp, KsHandleSizedListQuery(Irp, 0, sizeof(GUID), NULL));
}

/* Nobody's IRP: it is completed as it says. */
static NTSTATUS NTAPI ServePending(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    Irp->IoStatus.Status = STATUS_DEVICE_BUSY;
    KsCompletePendingRequest(Irp);
    return STATUS_DEVICE_BUSY;
}

static ULONG Ask(PKSFILTER Filter, PDRIVER_DISPATCH Routine, const GUID *Set, ULONG Id, ULONG Length, PULONG Data)
{
    KSIDENTIFIER request = { { { *Set, Id, KSPROPERTY_TYPE_GET } } };
    IO_STACK_LOCATION control;

    RtlZeroMemory(&control, sizeof(control));
    control.Parameters.DeviceIoControl.IoControlCode = IOCTL_KS_PROPERTY;
    control.Parameters.DeviceIoControl.InputBufferLength = Length;
    control.Parameters.DeviceIoControl.OutputBufferLength = sizeof(*Data);
    control.Parameters.DeviceIoControl.Type3InputBuffer = &request;
    return (ULONG)ProbeDispatch(Routine, KsGetDevice(Filter)->FunctionalDeviceObject, IRP_MJ_DEVICE_CONTROL, &control,
                                Data);
}

NTSTATUS ProbeAlone(PKSFILTER Filter, PULONGLONG Numbers)
{
    ULONG data = 0;

    Numbers[0] = Ask(Filter, ServeProperty, &InnerId, 1, sizeof(KSPROPERTY), &data);
    Numbers[1] = data;
    Numbers[2] = Ask(Filter, ServeProperty, &InnerId, 1, sizeof(KSPROPERTY) - 1, &data);
    Numbers[3] = Ask(Filter, ServeProperty, &InnerId, 2, sizeof(KSPROPERTY), &data);
    Numbers[4] = Ask(Filter, ServeProperty, &MethodsId, 1, sizeof(KSPROPERTY), &data);
    data = 0xF0;
    Numbers[5] = Ask(Filter, ServeMethod, &MethodsId, 7, sizeof(KSMETHOD), &data);      /* SEND is the bit of GET */
    Numbers[6] = data;
    Numbers[7] = Ask(Filter, ServeSpecific, &InnerId, 1, sizeof(KSPROPERTY), &data);
    Numbers[8] = Ask(Filter, ServeList, &InnerId, 1, sizeof(KSPROPERTY), &data);
    Numbers[9] = Ask(Filter, ServePending, &InnerId, 1, sizeof(KSPROPERTY), &data);
    return STATUS_SUCCESS;
}

/* ---- tables -------------------------------------------------------------------------------- */

static const KSMETHOD_ITEM Methods[] = {
    DEFINE_KSMETHOD_ITEM(1, KSMETHOD_TYPE_NONE, Nothing, sizeof(KSMETHOD), 0, NULL),
    DEFINE_KSMETHOD_ITEM(2, KSMETHOD_TYPE_READ, Read, sizeof(KSMETHOD), sizeof(ULONG), NULL),
    DEFINE_KSMETHOD_ITEM(3, KSMETHOD_TYPE_WRITE, Write, sizeof(KSMETHOD) + 8, sizeof(ULONG), Support),
    DEFINE_KSMETHOD_ITEM(4, KSMETHOD_TYPE_MODIFY, Modify, sizeof(KSMETHOD), sizeof(ULONG), NULL),
    DEFINE_KSMETHOD_ITEM(5, KSMETHOD_TYPE_SOURCE, Nothing, sizeof(KSMETHOD), 0, NULL),
    DEFINE_KSMETHOD_ITEM(6, KSMETHOD_TYPE_WRITE, Pend, sizeof(KSMETHOD), sizeof(ULONG), NULL),
    DEFINE_KSMETHOD_ITEM(7, KSMETHOD_TYPE_MODIFY, HandOn, sizeof(KSMETHOD), sizeof(ULONG), NULL),
    DEFINE_KSMETHOD_ITEM(8, KSMETHOD_TYPE_NONE, NULL, sizeof(KSMETHOD), 0, NULL),
};
const KSMETHOD_SET ProbeMethodSets[] = {
    DEFINE_KSMETHOD_SET(&MethodsId, SIZEOF_ARRAY(Methods), Methods, 0, NULL),
};

static NTSTATUS WhichNode(PIRP Irp, PKSMETHOD Method, PVOID Data)
{
    UNREFERENCED_PARAMETER(Method);
    *(PULONG)Data = 0x200 + KsGetNodeIdFromIrp(Irp);
    Irp->IoStatus.Information = sizeof(ULONG);
    return STATUS_SUCCESS;
}

static const KSMETHOD_ITEM NodeMethods[] = {
    DEFINE_KSMETHOD_ITEM(10, KSMETHOD_TYPE_WRITE, WhichNode, sizeof(KSM_NODE), sizeof(ULONG), NULL),
    DEFINE_KSMETHOD_ITEM(9, KSMETHOD_TYPE_NONE, Nothing, sizeof(KSM_NODE), 0, NULL),
};
static const KSMETHOD_SET NodeMethodSets[] = {
    DEFINE_KSMETHOD_SET(&MethodsId, SIZEOF_ARRAY(NodeMethods), NodeMethods, 0, NULL),
};
const KSAUTOMATION_TABLE ProbeNodeTable = {
    .MethodSetsCount = SIZEOF_ARRAY(NodeMethodSets), .MethodItemSize = sizeof(KSMETHOD_ITEM),
    .MethodSets = NodeMethodSets,
};
