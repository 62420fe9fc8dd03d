/* SPDX-License-Identifier: Apache-2.0
 *
 * work.c - work items, run by the thread pool of the process: at PASSIVE_LEVEL,
 * several at once, and one that waits for another does not stop it.
 */
#include "wdmsup.h"

typedef struct SUP_WORK {               /* behind IO_WORKITEM, which drivers do not look into */
    PDEVICE_OBJECT Object;
    PIO_WORKITEM_ROUTINE Routine;
    VOID (NTAPI *RoutineEx)(PVOID Object, PVOID Context, struct SUP_WORK *Item);
    PVOID Context;
} SUP_WORK;

VOID NTAPI SupExQueueWorkItem(PWORK_QUEUE_ITEM Item, WORK_QUEUE_TYPE Queue);
SUP_WORK *NTAPI SupIoAllocateWorkItem(PDEVICE_OBJECT Object);
VOID NTAPI SupIoFreeWorkItem(SUP_WORK *Item);
ULONG NTAPI SupIoSizeofWorkItem(VOID);
VOID NTAPI SupIoInitializeWorkItem(PVOID Object, SUP_WORK *Item);
VOID NTAPI SupIoUninitializeWorkItem(SUP_WORK *Item);
VOID NTAPI SupIoQueueWorkItem(SUP_WORK *Item, PIO_WORKITEM_ROUTINE Routine, WORK_QUEUE_TYPE Queue, PVOID Context);
VOID NTAPI SupIoQueueWorkItemEx(SUP_WORK *Item, VOID (NTAPI *Routine)(PVOID, PVOID, SUP_WORK *),
                                WORK_QUEUE_TYPE Queue, PVOID Context);

/* An item that the pool has no memory for runs late: it may not be lost. */
static VOID Post(VOID (NTAPI *Callback)(PVOID, PVOID), PVOID Context)
{
    while (!NT_SUCCESS(TpSimpleTryPost(Callback, Context, NULL)))
        kshs_sleep_ms(10);
}

/* The item may be gone as soon as the routine runs. */
static VOID NTAPI RunItem(PVOID Instance, PVOID Context)
{
    PWORK_QUEUE_ITEM item = Context;
    PWORKER_THREAD_ROUTINE routine = item->WorkerRoutine;

    UNREFERENCED_PARAMETER(Instance);
    item->List.Flink = NULL;
    routine(item->Parameter);
}

/* IRQL <= DISPATCH_LEVEL, as all here. */
VOID NTAPI SupExQueueWorkItem(PWORK_QUEUE_ITEM Item, WORK_QUEUE_TYPE Queue)
{
    UNREFERENCED_PARAMETER(Queue);
    Post(RunItem, Item);
}

SUP_WORK *NTAPI SupIoAllocateWorkItem(PDEVICE_OBJECT Object)
{
    SUP_WORK *item = kshs_zalloc(sizeof(*item), SUP_TAG);

    if (item)
        item->Object = Object;
    return item;
}

VOID NTAPI SupIoFreeWorkItem(SUP_WORK *Item)
{
    ExFreePoolWithTag(Item, SUP_TAG);
}

ULONG NTAPI SupIoSizeofWorkItem(VOID)
{
    return sizeof(SUP_WORK);
}

VOID NTAPI SupIoInitializeWorkItem(PVOID Object, SUP_WORK *Item)
{
    RtlZeroMemory(Item, sizeof(*Item));
    Item->Object = Object;
}

VOID NTAPI SupIoUninitializeWorkItem(SUP_WORK *Item)
{
    UNREFERENCED_PARAMETER(Item);
}

/* The routine may free the item; the object stays for as long as the routine runs. */
static VOID NTAPI RunDeviceItem(PVOID Instance, PVOID Context)
{
    SUP_WORK *item = Context;
    PDEVICE_OBJECT object = item->Object;

    UNREFERENCED_PARAMETER(Instance);
    if (item->RoutineEx)
        item->RoutineEx(object, item->Context, item);
    else
        item->Routine(object, item->Context);
    ObDereferenceObject(object);
}

static VOID Queue(SUP_WORK *Item, PVOID Context)
{
    Item->Context = Context;
    ObReferenceObject(Item->Object);
    Post(RunDeviceItem, Item);
}

VOID NTAPI SupIoQueueWorkItem(SUP_WORK *Item, PIO_WORKITEM_ROUTINE Routine, WORK_QUEUE_TYPE Type, PVOID Context)
{
    UNREFERENCED_PARAMETER(Type);
    Item->Routine = Routine;
    Item->RoutineEx = NULL;
    Queue(Item, Context);
}

VOID NTAPI SupIoQueueWorkItemEx(SUP_WORK *Item, VOID (NTAPI *Routine)(PVOID, PVOID, SUP_WORK *),
                                WORK_QUEUE_TYPE Type, PVOID Context)
{
    UNREFERENCED_PARAMETER(Type);
    Item->RoutineEx = Routine;
    Queue(Item, Context);
}
