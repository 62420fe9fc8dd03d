/* SPDX-License-Identifier: Apache-2.0
 *
 * hierarchy.c - from one AVStream object to its relatives, and from IRPs and
 * file objects to objects.
 */
#include "refks.h"

static REFKS_HEADER *FirstIn(LIST_ENTRY *Head)
{
    return IsListEmpty(Head) ? NULL : CONTAINING_RECORD(Head->Flink, REFKS_HEADER, Sibling);
}

static REFKS_HEADER *Next(REFKS_HEADER *Header)
{
    if (!Header->Parent || !Header->Linked || Header->Sibling.Flink == &Header->Parent->Children)
        return NULL;
    return CONTAINING_RECORD(Header->Sibling.Flink, REFKS_HEADER, Sibling);
}

static PVOID ObjectOrNull(REFKS_HEADER *Header)
{
    return Header ? REFKS_OBJECT_OF(Header) : NULL;
}

PVOID NTAPI KsGetParent(PVOID Object)
{
    return ObjectOrNull(REFKS_HEADER_OF(Object)->Parent);
}

PVOID NTAPI KsGetFirstChild(PVOID Object)
{
    return ObjectOrNull(FirstIn(&REFKS_HEADER_OF(Object)->Children));
}

PVOID NTAPI KsGetNextSibling(PVOID Object)
{
    return ObjectOrNull(Next(REFKS_HEADER_OF(Object)));
}

PKSDEVICE NTAPI KsGetDevice(PVOID Object)
{
    return &REFKS_HEADER_OF(Object)->Device->Public;
}

PKSFILTER NTAPI KsPinGetParentFilter(PKSPIN Pin)
{
    return &RefksPinFilter(REFKS_PIN_OF(Pin))->Public;
}

ULONG NTAPI KsFilterGetChildPinCount(PKSFILTER Filter, ULONG PinId)
{
    return RefksPinCount(REFKS_FILTER_OF(Filter), PinId);
}

static REFKS_HEADER *SkipToPin(REFKS_HEADER *Header, ULONG PinId)
{
    while (Header && CONTAINING_RECORD(Header, REFKS_PIN, Header)->Public.Id != PinId)
        Header = Next(Header);
    return Header;
}

PKSPIN NTAPI KsFilterGetFirstChildPin(PKSFILTER Filter, ULONG PinId)
{
    return ObjectOrNull(SkipToPin(FirstIn(&REFKS_FILTER_OF(Filter)->Header.Children), PinId));
}

/* The next pin of the same id. */
PKSPIN NTAPI KsPinGetNextSiblingPin(PKSPIN Pin)
{
    return ObjectOrNull(SkipToPin(Next(&REFKS_PIN_OF(Pin)->Header), Pin->Id));
}

PVOID NTAPI KsGetObjectFromFileObject(PFILE_OBJECT FileObject)
{
    return ObjectOrNull(RefksHeaderFromFileObject(FileObject));
}

KSOBJECTTYPE NTAPI KsGetObjectTypeFromFileObject(PFILE_OBJECT FileObject)
{
    REFKS_HEADER *header = RefksHeaderFromFileObject(FileObject);

    return header ? header->Type : (KSOBJECTTYPE)-1;
}

static REFKS_HEADER *HeaderFromIrp(PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);

    if (stack->MajorFunction == IRP_MJ_CLOSE && stack->Parameters.Others.Argument1)
        return stack->Parameters.Others.Argument1;      /* RefksPrivateIrp */
    return RefksHeaderFromFileObject(stack->FileObject);
}

KSOBJECTTYPE NTAPI KsGetObjectTypeFromIrp(PIRP Irp)
{
    REFKS_HEADER *header = HeaderFromIrp(Irp);

    return header ? header->Type : (KSOBJECTTYPE)-1;
}

PKSFILTER NTAPI KsGetFilterFromIrp(PIRP Irp)
{
    REFKS_HEADER *header = HeaderFromIrp(Irp);

    if (header && header->Type == KsObjectTypePin)
        header = header->Parent;
    return header && header->Type == KsObjectTypeFilter ? REFKS_OBJECT_OF(header) : NULL;
}

PKSPIN NTAPI KsGetPinFromIrp(PIRP Irp)
{
    REFKS_HEADER *header = HeaderFromIrp(Irp);

    return header && header->Type == KsObjectTypePin ? REFKS_OBJECT_OF(header) : NULL;
}

/* The mutex of a filter, and of all of its pins. */
static PFAST_MUTEX ControlMutex(PVOID Object)
{
    REFKS_HEADER *header = REFKS_HEADER_OF(Object);

    if (header->Type == KsObjectTypePin)
        header = header->Parent;
    return &CONTAINING_RECORD(header, REFKS_FILTER, Header)->Control;
}

void NTAPI KsAcquireControl(PVOID Object)
{
    RefksLockMutex(ControlMutex(Object));
}

void NTAPI KsReleaseControl(PVOID Object)
{
    RefksUnlockMutex(ControlMutex(Object));
}
