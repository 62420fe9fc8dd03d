/* SPDX-License-Identifier: Apache-2.0
 *
 * bag.c - object bags: memory that is freed with the object it belongs to.
 *
 * An item may lie in several bags of one device.  The device keeps one record
 * per item with the number of bags that hold it; the last bag frees it.
 */
#include "refks.h"

typedef struct REFKS_BAG_ITEM {         /* one per item of a device */
    LIST_ENTRY All;                     /* in REFKS_DEVICE.BagItems */
    PVOID Item;
    PFNKSFREE Free;                     /* NULL: ExFreePool */
    ULONG Bags;
} REFKS_BAG_ITEM;

typedef struct REFKS_BAG_ENTRY {        /* one per item and bag */
    LIST_ENTRY InBag;
    REFKS_BAG_ITEM *Item;
} REFKS_BAG_ENTRY;

void RefksInitializeBag(REFKS_BAG *Bag, REFKS_DEVICE *Device)
{
    Bag->Signature = REFKS_SIGNATURE_BAG;
    Bag->Device = Device;
    InitializeListHead(&Bag->Entries);
}

static void FreeItem(REFKS_BAG_ITEM *Item)
{
    if (Item->Free)
        Item->Free(Item->Item);
    else
        ExFreePool(Item->Item);
    RefksFree(Item);
}

static REFKS_BAG_ITEM *FindItem(REFKS_DEVICE *Device, PVOID Item)
{
    PLIST_ENTRY entry;

    for (entry = Device->BagItems.Flink; entry != &Device->BagItems; entry = entry->Flink) {
        REFKS_BAG_ITEM *item = CONTAINING_RECORD(entry, REFKS_BAG_ITEM, All);

        if (item->Item == Item)
            return item;
    }
    return NULL;
}

static REFKS_BAG_ENTRY *FindEntry(REFKS_BAG *Bag, PVOID Item)
{
    PLIST_ENTRY entry;

    for (entry = Bag->Entries.Flink; entry != &Bag->Entries; entry = entry->Flink) {
        REFKS_BAG_ENTRY *found = CONTAINING_RECORD(entry, REFKS_BAG_ENTRY, InBag);

        if (found->Item->Item == Item)
            return found;
    }
    return NULL;
}

/* Bag lock held.  Returns the number of bags that held the item before. */
static ULONG TakeOut(REFKS_BAG_ENTRY *Entry, REFKS_BAG_ITEM **Last)
{
    REFKS_BAG_ITEM *item = Entry->Item;
    ULONG bags = item->Bags--;

    RemoveEntryList(&Entry->InBag);
    *Last = NULL;
    if (!item->Bags) {
        RemoveEntryList(&item->All);
        *Last = item;
    }
    return bags;
}

NTSTATUS NTAPI KsAddItemToObjectBag(KSOBJECT_BAG ObjectBag, PVOID Item, PFNKSFREE Free)
{
    REFKS_BAG *bag = ObjectBag;
    REFKS_BAG_ENTRY *entry;
    REFKS_BAG_ITEM *fresh, *item;
    KIRQL irql;

    if (!bag || bag->Signature != REFKS_SIGNATURE_BAG || !Item)
        return STATUS_INVALID_PARAMETER;
    entry = RefksAllocate(sizeof(*entry));
    fresh = RefksAllocate(sizeof(*fresh));
    if (!entry || !fresh) {
        RefksFree(entry);
        RefksFree(fresh);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KeAcquireSpinLock(&bag->Device->BagLock, &irql);
    item = FindItem(bag->Device, Item);
    if (!item) {
        item = fresh;
        fresh = NULL;
        item->Item = Item;
        item->Free = Free;
        InsertHeadList(&bag->Device->BagItems, &item->All);
    }
    item->Bags++;
    entry->Item = item;
    InsertHeadList(&bag->Entries, &entry->InBag);       /* emptied in reverse: last in, first freed */
    KeReleaseSpinLock(&bag->Device->BagLock, irql);
    RefksFree(fresh);
    return STATUS_SUCCESS;
}

ULONG NTAPI KsRemoveItemFromObjectBag(KSOBJECT_BAG ObjectBag, PVOID Item, BOOLEAN Free)
{
    REFKS_BAG *bag = ObjectBag;
    REFKS_BAG_ENTRY *entry;
    REFKS_BAG_ITEM *last = NULL;
    ULONG references = 0;
    KIRQL irql;

    if (!bag || bag->Signature != REFKS_SIGNATURE_BAG)
        return 0;
    KeAcquireSpinLock(&bag->Device->BagLock, &irql);
    entry = FindEntry(bag, Item);
    if (entry)
        references = TakeOut(entry, &last);
    KeReleaseSpinLock(&bag->Device->BagLock, irql);
    if (last) {
        if (Free)
            FreeItem(last);
        else
            RefksFree(last);
    }
    RefksFree(entry);
    return references;
}

void RefksEmptyBag(REFKS_BAG *Bag)
{
    for (;;) {
        REFKS_BAG_ENTRY *entry = NULL;
        REFKS_BAG_ITEM *last = NULL;
        KIRQL irql;

        KeAcquireSpinLock(&Bag->Device->BagLock, &irql);
        if (!IsListEmpty(&Bag->Entries)) {
            entry = CONTAINING_RECORD(Bag->Entries.Flink, REFKS_BAG_ENTRY, InBag);
            (void)TakeOut(entry, &last);
        }
        KeReleaseSpinLock(&Bag->Device->BagLock, irql);
        if (!entry)
            return;
        if (last)
            FreeItem(last);
        RefksFree(entry);
    }
}

NTSTATUS NTAPI KsAllocateObjectBag(PKSDEVICE Device, KSOBJECT_BAG *ObjectBag)
{
    REFKS_BAG *bag = RefksAllocate(sizeof(*bag));

    if (!bag)
        return STATUS_INSUFFICIENT_RESOURCES;
    RefksInitializeBag(bag, REFKS_DEVICE_OF(Device));
    *ObjectBag = bag;
    return STATUS_SUCCESS;
}

void NTAPI KsFreeObjectBag(KSOBJECT_BAG ObjectBag)
{
    REFKS_BAG *bag = ObjectBag;

    if (!bag || bag->Signature != REFKS_SIGNATURE_BAG)
        return;
    RefksEmptyBag(bag);
    bag->Signature = REFKS_SIGNATURE_DEAD;
    RefksFree(bag);
}

NTSTATUS NTAPI KsCopyObjectBagItems(KSOBJECT_BAG ObjectBagDestination, KSOBJECT_BAG ObjectBagSource)
{
    REFKS_BAG *source = ObjectBagSource;
    PLIST_ENTRY entry;

    if (!source || source->Signature != REFKS_SIGNATURE_BAG)
        return STATUS_INVALID_PARAMETER;
    /* The caller holds the mutexes that belong to both bags: the source list does not change under us. */
    for (entry = source->Entries.Flink; entry != &source->Entries; entry = entry->Flink) {
        REFKS_BAG_ITEM *item = CONTAINING_RECORD(entry, REFKS_BAG_ENTRY, InBag)->Item;
        NTSTATUS status = KsAddItemToObjectBag(ObjectBagDestination, item->Item, item->Free);

        if (!NT_SUCCESS(status))
            return status;
    }
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI _KsEdit(KSOBJECT_BAG ObjectBag, PVOID *PointerToPointerToItem, ULONG NewSize, ULONG OldSize, ULONG Tag)
{
    REFKS_BAG *bag = ObjectBag;
    PVOID old = *PointerToPointerToItem, item;
    BOOLEAN ours = FALSE;
    NTSTATUS status;
    KIRQL irql;

    if (!bag || bag->Signature != REFKS_SIGNATURE_BAG)
        return STATUS_INVALID_PARAMETER;
    if (old) {
        KeAcquireSpinLock(&bag->Device->BagLock, &irql);
        ours = FindEntry(bag, old) != NULL;
        KeReleaseSpinLock(&bag->Device->BagLock, irql);
    }
    if (ours && NewSize <= OldSize)
        return STATUS_SUCCESS;
    item = ExAllocatePoolWithTag(PagedPool, NewSize, Tag);
    if (!item)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(item, NewSize);
    if (old)
        RtlCopyMemory(item, old, NewSize < OldSize ? NewSize : OldSize);
    status = KsAddItemToObjectBag(ObjectBag, item, NULL);
    if (!NT_SUCCESS(status)) {
        ExFreePool(item);
        return status;
    }
    *PointerToPointerToItem = item;
    if (ours)
        (void)KsRemoveItemFromObjectBag(ObjectBag, old, TRUE);
    return STATUS_SUCCESS;
}
