/* SPDX-License-Identifier: Apache-2.0
 *
 * test_pending.c - refks/request.c and late.c: a request of user mode that a handler left pending is finished in
 * another process, at PASSIVE_LEVEL or above it.  Its data arrives, at PASSIVE_LEVEL alone.
 */
#include "request.h"
#include "kernel.h"

#define ANSWER 0x5A

static REFKS_DEVICE device;
static REFKS_PIN pin;
static DEVICE_OBJECT functional;
static NTSTATUS handler_returns;
static UCHAR *data;
static int left, completed;
static NTSTATUS ended_with;

/* ---- the rest of the class driver ------------------------------------------------- */

KSPIN_LOCK RefksLock;
const KSPROPERTY_SET RefksFilterSets[1], RefksPinSets[1], RefksNodeSets[1];
const ULONG RefksFilterSetsCount = 0, RefksPinSetsCount = 0, RefksNodeSetsCount = 0;

PVOID RefksAllocate(SIZE_T size)
{
    return kshs_zalloc(size, REFKS_TAG);
}

void RefksFree(PVOID memory)
{
    if (memory)
        ExFreePoolWithTag(memory, REFKS_TAG);
}

BOOLEAN RefksSameGuid(const GUID *one, const GUID *other)
{
    return RtlCompareMemory(one, other, sizeof(GUID)) == sizeof(GUID);
}

const KSFILTER_DESCRIPTOR *RefksFilterDescriptor(const REFKS_FILTER *filter)
{
    (void)filter;
    return NULL;
}

REFKS_DEVICE *RefksDeviceFromDeviceObject(PDEVICE_OBJECT object)
{
    if (object != &functional)
        return NULL;
    RefksReference(&device.Header);
    return &device;
}

void RefksReference(REFKS_HEADER *header)
{
    header->References++;
}

void RefksDereference(REFKS_HEADER *header)
{
    header->References--;
}

void RefksLeave(REFKS_HEADER *header)
{
    kernel_check(header == &pin.Header, "another object was left");
    kernel_check(kernel_irql == PASSIVE_LEVEL, "an object was left at a raised IRQL, and might be closed there");
    left++;
}

void RefksEndPending(PIRP irp)
{
    kernel_check(RefksCompleteRequest(irp), "the request is not known any more");
}

/* ---- a property whose handler may leave its request pending --------------------------- */

static NTSTATUS prepare(REFKS_REQUEST *request)
{
    request->Delivers = TRUE;
    return RefksCheckData(request);
}

static ULONG gather(const KSAUTOMATION_TABLE *automation, REFKS_SETS *tables, ULONG count)
{
    (void)automation;
    (void)tables;
    return count;
}

static NTSTATUS route(REFKS_REQUEST *request, const REFKS_SETS *tables, ULONG count)
{
    (void)tables;
    (void)count;
    data = request->Data;
    if (handler_returns == STATUS_PENDING)
        IoMarkIrpPending(request->Irp);
    else
        request->Irp->IoStatus.Information = 16;
    return handler_returns;
}

static const REFKS_CONTROL control = { prepare, gather, route, FALSE };

static NTSTATUS NTAPI completion(PDEVICE_OBJECT object, PIRP irp, PVOID context)
{
    (void)object;
    (void)context;
    kernel_check(kernel_irql == PASSIVE_LEVEL, "the IRP is completed at a raised IRQL");
    completed++;
    ended_with = irp->IoStatus.Status;
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* A property request of user mode with its output at `to`. */
static PIRP send(UCHAR *to)
{
    static KSPROPERTY property;
    PIRP irp = IoAllocateIrp(1, FALSE);
    PIO_STACK_LOCATION stack = IoGetNextIrpStackLocation(irp);

    irp->RequestorMode = UserMode;
    irp->UserBuffer = to;
    stack->MajorFunction = IRP_MJ_DEVICE_CONTROL;
    stack->DeviceObject = &functional;
    stack->Parameters.DeviceIoControl.InputBufferLength = sizeof property;
    stack->Parameters.DeviceIoControl.OutputBufferLength = 16;
    stack->Parameters.DeviceIoControl.Type3InputBuffer = &property;
    IoSetCompletionRoutine(irp, completion, NULL, TRUE, TRUE, TRUE);
    IoSetNextIrpStackLocation(irp);
    left = completed = 0;
    (void)RefksServe(&pin.Header, irp, &control);
    return irp;
}

static void finish(PIRP irp, NTSTATUS status)
{
    RtlFillMemory(data, 16, ANSWER);
    irp->IoStatus.Status = status;
    irp->IoStatus.Information = 16;
    kernel_check(RefksCompleteRequest(irp), "the pending request is not known");
}

static void check(PIRP irp, NTSTATUS status)
{
    kernel_check(completed == 1 && left == 1, "the request did not end once");
    kernel_check(ended_with == status, "the request ended with another status");
    kernel_check((kernel_pages[0] == ANSWER && kernel_pages[15] == ANSWER) == (status == STATUS_SUCCESS),
                 "the sender did not get the data, or got some that is not meant for it");
    kernel_check(kernel_pages[16] == 0, "more than the data was written");
    RtlZeroMemory(kernel_pages, KERNEL_USER_BYTES);
    (void)kshs_irp_free(irp);
}

static void pended(KIRQL irql, NTSTATUS status, NTSTATUS expected)
{
    PIRP irp;

    handler_returns = STATUS_PENDING;
    kernel_attach(TRUE);
    irp = send(kernel_user);
    kernel_check(!completed, "a pending request was completed");
    kernel_attach(FALSE);           /* whoever finishes it runs in another process */
    kernel_raise(irql);
    finish(irp, status);
    kernel_raise(PASSIVE_LEVEL);
    kernel_work();
    check(irp, expected);
    kernel_attach(TRUE);
}

int wmain(int count, wchar_t **arguments)
{
    static const KSPIN_DESCRIPTOR_EX descriptor;
    PIRP irp;

    (void)count;
    (void)arguments;
    kernel_start(FALSE);
    pin.Header.Type = KsObjectTypePin;
    pin.Public.Descriptor = &descriptor;
    device.Public.FunctionalDeviceObject = &functional;
    kernel_check(NT_SUCCESS(RefksInitializeLate(&device)), "no work item");

    pended(PASSIVE_LEVEL, STATUS_SUCCESS, STATUS_SUCCESS);
    pended(DISPATCH_LEVEL, STATUS_SUCCESS, STATUS_SUCCESS);
    pended(DISPATCH_LEVEL, STATUS_ACCESS_DENIED, STATUS_ACCESS_DENIED);
    pended(PASSIVE_LEVEL, STATUS_PENDING, STATUS_DRIVER_INTERNAL_ERROR);
    pended(PASSIVE_LEVEL, (NTSTATUS)0xFFFFFFFF, STATUS_DRIVER_INTERNAL_ERROR);

    handler_returns = (NTSTATUS)0xFFFFFFFF;     /* at once */
    check(send(kernel_user), STATUS_DRIVER_INTERNAL_ERROR);

    handler_returns = STATUS_SUCCESS;           /* an output that is not there */
    kernel_attach(FALSE);
    irp = send(kernel_user);
    kernel_check(completed == 1 && ended_with == STATUS_ACCESS_VIOLATION, "an unusable output was taken");
    (void)kshs_irp_free(irp);
    kernel_attach(TRUE);

    RefksEndLate(&device);
    kernel_check(!device.Header.References, "references are left");
    return kernel_end();
}
