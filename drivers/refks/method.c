/* SPDX-License-Identifier: Apache-2.0
 *
 * method.c - IOCTL_KS_METHOD: which handler a request for a method gets.
 *
 * No object of ours has methods of its own: they are the minidriver's.  What
 * becomes of the data buffer is said by the item and not by the request.
 */
#include "request.h"

#define VERBS (KSMETHOD_TYPE_SEND | KSMETHOD_TYPE_SETSUPPORT | KSMETHOD_TYPE_BASICSUPPORT)

static NTSTATUS Prepare(REFKS_REQUEST *Request)
{
    UNREFERENCED_PARAMETER(Request);            /* the item is not known yet */
    return STATUS_SUCCESS;
}

static NTSTATUS CallHandler(REFKS_REQUEST *Request, const REFKS_SET *Set, const KSMETHOD_ITEM *Item,
                            PFNKSHANDLER Handler)
{
    PIRP irp = Request->Irp;

    KSMETHOD_SET_IRP_STORAGE(irp) = (const KSMETHOD_SET *)Set;
    KSMETHOD_ITEM_IRP_STORAGE(irp) = Item;
    KSMETHOD_TYPE_IRP_STORAGE(irp) = Item->Flags;
    return Handler(irp, Request->Identifier, Request->Data);
}

/* The data is read by the handler (READ), written by it (WRITE), both, or none of its business. */
static NTSTATUS Call(REFKS_REQUEST *Request, const REFKS_SET *Set, const KSMETHOD_ITEM *Item)
{
    NTSTATUS status;

    if (!Item->MethodHandler)
        return STATUS_NOT_FOUND;
    if (Item->Flags & KSMETHOD_TYPE_SOURCE)     /* the sender's pages themselves, in an MDL */
        return STATUS_NOT_SUPPORTED;
    status = RefksCheckLengths(Request, Item->MinMethod, Item->MinData, (BOOLEAN)(Item->Flags & KSMETHOD_TYPE_WRITE));
    if (status != STATUS_SUCCESS)
        return status;
    if (Item->Flags & KSMETHOD_TYPE_READ)
        status = RefksCaptureData(Request);
    if (NT_SUCCESS(status) && (Item->Flags & KSMETHOD_TYPE_WRITE)) {
        Request->Delivers = TRUE;
        status = RefksCheckData(Request);
    }
    return NT_SUCCESS(status) ? CallHandler(Request, Set, Item, Item->MethodHandler) : status;
}

/* Without a SupportHandler: what the item itself says. */
static NTSTATUS BasicSupport(REFKS_REQUEST *Request, const REFKS_SET *Set, const KSMETHOD_ITEM *Item)
{
    NTSTATUS status;

    Request->Delivers = TRUE;
    status = RefksCheckData(Request);
    if (!NT_SUCCESS(status))
        return status;
    if (Item->SupportHandler)
        return CallHandler(Request, Set, Item, Item->SupportHandler);
    return RefksGiveUlong(Request->Irp, Request->Data, Item->Flags);
}

static NTSTATUS ListSets(REFKS_REQUEST *Request, const REFKS_SETS *Tables, ULONG TableCount)
{
    NTSTATUS status;

    Request->Delivers = TRUE;
    status = RefksCheckData(Request);
    return NT_SUCCESS(status) ? RefksListSets(Request, Tables, TableCount) : status;
}

static NTSTATUS Route(REFKS_REQUEST *Request, const REFKS_SETS *Tables, ULONG TableCount)
{
    static const GUID none = { STATIC_GUID_NULL };
    const KSMETHOD *method = Request->Identifier;
    ULONG verb = method->Flags & VERBS, table;
    BOOLEAN known = FALSE;

    if (verb == KSMETHOD_TYPE_SETSUPPORT && RefksSameGuid(&method->Set, &none))
        return ListSets(Request, Tables, TableCount);
    for (table = 0; table < TableCount; table++) {
        const REFKS_SET *set = RefksFindSet(&Tables[table], &method->Set);
        const KSMETHOD_ITEM *item;

        if (!set)
            continue;
        known = TRUE;
        if (verb == KSMETHOD_TYPE_SETSUPPORT)
            return STATUS_SUCCESS;
        item = RefksFindItem(set, Tables[table].ItemSize, method->Id);
        if (!item)
            continue;
        switch (verb) {
        case KSMETHOD_TYPE_SEND:
            return Call(Request, set, item);
        case KSMETHOD_TYPE_BASICSUPPORT:
            return BasicSupport(Request, set, item);
        default:
            return STATUS_INVALID_PARAMETER;    /* no verb or several */
        }
    }
    return known ? STATUS_NOT_FOUND : STATUS_PROPSET_NOT_FOUND;
}

static ULONG Gather(const KSAUTOMATION_TABLE *Automation, REFKS_SETS *Tables, ULONG Count)
{
    if (!Automation->MethodSetsCount)
        return Count;
    Tables[Count].Count = Automation->MethodSetsCount;
    Tables[Count].Sets = (const REFKS_SET *)Automation->MethodSets;
    Tables[Count].ItemSize = Automation->MethodItemSize ? Automation->MethodItemSize : sizeof(KSMETHOD_ITEM);
    return Count + 1;
}

static const REFKS_CONTROL Control = { Prepare, Gather, Route, FALSE };

NTSTATUS RefksMethod(REFKS_HEADER *Header, PIRP Irp)
{
    return RefksServe(Header, Irp, &Control);
}

/* For drivers with tables of their own: everything but the completion of the IRP. */
NTSTATUS NTAPI KsMethodHandler(PIRP Irp, ULONG MethodSetsCount, const KSMETHOD_SET *MethodSet)
{
    return KsMethodHandlerWithAllocator(Irp, MethodSetsCount, MethodSet, NULL, 0);
}

/* As with properties, the copies are always ours. */
NTSTATUS NTAPI KsMethodHandlerWithAllocator(PIRP Irp, ULONG MethodSetsCount, const KSMETHOD_SET *MethodSet,
                                            PFNKSALLOCATOR Allocator, ULONG MethodItemSize)
{
    REFKS_SETS table;

    UNREFERENCED_PARAMETER(Allocator);
    table.Count = MethodSetsCount;
    table.Sets = (const REFKS_SET *)MethodSet;
    table.ItemSize = MethodItemSize ? MethodItemSize : sizeof(KSMETHOD_ITEM);
    return RefksServeTable(Irp, &Control, &table);
}
