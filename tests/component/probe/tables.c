/* SPDX-License-Identifier: Apache-2.0
 *
 * tables.c - merged automation tables.
 */
#include "probe.h"

/* {3F0E7C20-8C55-4E0B-9E51-6B1D2A9C0011} to 13 */
#define STATIC_PROBE_SET_ONE 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x11
#define STATIC_PROBE_SET_TWO 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x12
#define STATIC_PROBE_SET_THREE 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x13
static const GUID One = { STATIC_PROBE_SET_ONE };
static const GUID Two = { STATIC_PROBE_SET_TWO };
static const GUID Three = { STATIC_PROBE_SET_THREE };

static NTSTATUS Give(PIRP Irp, PVOID Data, ULONG Value)
{
    *(PULONG)Data = Value;
    Irp->IoStatus.Information = sizeof(Value);
    return STATUS_SUCCESS;
}

static NTSTATUS FromA(PIRP Irp, PKSPROPERTY Property, PVOID Data)
{
    return Give(Irp, Data, 0xA00 + Property->Id);
}

static NTSTATUS FromB(PIRP Irp, PKSPROPERTY Property, PVOID Data)
{
    return Give(Irp, Data, 0xB00 + Property->Id);
}

static NTSTATUS AddEvent(PIRP Irp, PKSEVENTDATA EventData, struct _KSEVENT_ENTRY *EventEntry)
{
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(EventData);
    UNREFERENCED_PARAMETER(EventEntry);
    return STATUS_SUCCESS;
}

#define PROPERTY(id, handler) \
    DEFINE_KSPROPERTY_ITEM(id, handler, sizeof(KSPROPERTY), sizeof(ULONG), NULL, NULL, 0, NULL, NULL, 0)

/* The items of A are longer than those of B, as a driver's may be. */
typedef struct LONG_ITEM {
    KSPROPERTY_ITEM Item;
    ULONGLONG More;
} LONG_ITEM;

static const LONG_ITEM ItemsAOne[] = { { PROPERTY(1, FromA), 0x11 }, { PROPERTY(2, FromA), 0x22 } };
static const LONG_ITEM ItemsATwo[] = { { PROPERTY(7, FromA), 0x77 } };
static const KSPROPERTY_ITEM ItemsBOne[] = { PROPERTY(2, FromB), PROPERTY(3, FromB) };
static const KSPROPERTY_ITEM ItemsBThree[] = { PROPERTY(5, FromB) };
static const KSFASTPROPERTY_ITEM FastB[] = { DEFINE_KSFASTPROPERTY_ITEM(2, NULL, NULL) };
static const KSMETHOD_ITEM MethodsB[] = { DEFINE_KSMETHOD_ITEM(4, KSMETHOD_TYPE_NONE, FromB, sizeof(KSMETHOD), 0, NULL) };
static const KSEVENT_ITEM EventsA[] = { DEFINE_KSEVENT_ITEM(1, 0, 0, AddEvent, NULL, NULL) };
static const KSEVENT_ITEM EventsB[] = { DEFINE_KSEVENT_ITEM(1, 0, 1, AddEvent, NULL, NULL),
                                        DEFINE_KSEVENT_ITEM(2, 0, 2, AddEvent, NULL, NULL) };

static const KSPROPERTY_SET SetsA[] = {
    DEFINE_KSPROPERTY_SET(&One, SIZEOF_ARRAY(ItemsAOne), &ItemsAOne[0].Item, 0, NULL),
    DEFINE_KSPROPERTY_SET(&Two, SIZEOF_ARRAY(ItemsATwo), &ItemsATwo[0].Item, 0, NULL),
};
static const KSPROPERTY_SET SetsB[] = {
    DEFINE_KSPROPERTY_SET(&Three, SIZEOF_ARRAY(ItemsBThree), ItemsBThree, 0, NULL),
    DEFINE_KSPROPERTY_SET(&One, SIZEOF_ARRAY(ItemsBOne), ItemsBOne, SIZEOF_ARRAY(FastB), FastB),
};
static const KSMETHOD_SET MethodSetsB[] = { DEFINE_KSMETHOD_SET(&One, SIZEOF_ARRAY(MethodsB), MethodsB, 0, NULL) };
static const KSEVENT_SET EventSetsA[] = { DEFINE_KSEVENT_SET(&One, SIZEOF_ARRAY(EventsA), EventsA) };
static const KSEVENT_SET EventSetsB[] = { DEFINE_KSEVENT_SET(&One, SIZEOF_ARRAY(EventsB), EventsB) };

static const KSAUTOMATION_TABLE TableA = {
    .PropertySetsCount = SIZEOF_ARRAY(SetsA), .PropertyItemSize = sizeof(LONG_ITEM), .PropertySets = SetsA,
    .EventSetsCount = SIZEOF_ARRAY(EventSetsA), .EventItemSize = sizeof(KSEVENT_ITEM), .EventSets = EventSetsA,
};
static const KSAUTOMATION_TABLE TableB = {
    .PropertySetsCount = SIZEOF_ARRAY(SetsB), .PropertyItemSize = sizeof(KSPROPERTY_ITEM), .PropertySets = SetsB,
    .MethodSetsCount = SIZEOF_ARRAY(MethodSetsB), .MethodItemSize = sizeof(KSMETHOD_ITEM), .MethodSets = MethodSetsB,
    .EventSetsCount = SIZEOF_ARRAY(EventSetsB), .EventItemSize = sizeof(KSEVENT_ITEM), .EventSets = EventSetsB,
};

/* A and B, then that and nothing, so that a table of the class driver's own is merged too. */
NTSTATUS ProbeMergedTable(PKSFILTER Filter, PKSAUTOMATION_TABLE *Table)
{
    PKSAUTOMATION_TABLE first = NULL;
    NTSTATUS status;

    status = KsMergeAutomationTables(&first, (PKSAUTOMATION_TABLE)&TableA, (PKSAUTOMATION_TABLE)&TableB, Filter->Bag);
    if (NT_SUCCESS(status))
        status = KsMergeAutomationTables(Table, NULL, first, Filter->Bag);
    return status;
}

NTSTATUS ProbeMerge(PKSFILTER Filter, PULONGLONG Numbers)
{
    PKSAUTOMATION_TABLE both = NULL, again = NULL, none = (PKSAUTOMATION_TABLE)&TableA, loose = NULL;
    const LONG_ITEM *item;
    NTSTATUS status;

    KsAcquireControl(Filter);
    Numbers[0] = (ULONG)KsMergeAutomationTables(&none, NULL, NULL, Filter->Bag);
    Numbers[1] = none == &TableA;       /* nothing was done */
    status = KsMergeAutomationTables(&both, (PKSAUTOMATION_TABLE)&TableA, (PKSAUTOMATION_TABLE)&TableB, Filter->Bag);
    if (NT_SUCCESS(status)) {
        Numbers[2] = both->PropertySetsCount;
        Numbers[3] = both->PropertyItemSize;
        Numbers[4] = both->PropertySets[0].PropertiesCount;
        Numbers[5] = both->PropertySets[0].FastIoCount;
        item = (const LONG_ITEM *)both->PropertySets[0].PropertyItem;
        Numbers[6] = item[0].Item.PropertyId | item[1].Item.PropertyId << 4 | item[2].Item.PropertyId << 8;
        Numbers[7] = item[0].More | item[1].More << 8 | item[2].More << 16;
        Numbers[8] = both->MethodSetsCount;
        Numbers[9] = both->MethodSets[0].MethodsCount;
        Numbers[10] = both->EventSets[0].EventsCount;
        Numbers[11] = both->EventSets[0].EventItem[0].ExtraEntryData | both->EventSets[0].EventItem[1].ExtraEntryData << 4;
        /* an input that is in the bag leaves it */
        status = KsMergeAutomationTables(&again, both, NULL, Filter->Bag);
        Numbers[12] = KsRemoveItemFromObjectBag(Filter->Bag, both, FALSE);      /* 0: is not there */
        Numbers[13] = KsRemoveItemFromObjectBag(Filter->Bag, again, FALSE);     /* 1: was there */
    }
    KsReleaseControl(Filter);
    if (NT_SUCCESS(status)) {
        Numbers[14] = again->PropertySetsCount;
        status = KsMergeAutomationTables(&loose, again, NULL, NULL);            /* without a bag it is the caller's */
        ExFreePool(again);
    }
    if (NT_SUCCESS(status)) {
        Numbers[15] = loose->PropertySets[1].PropertyItem[0].PropertyId;
        ExFreePool(loose);
    }
    return status;
}
