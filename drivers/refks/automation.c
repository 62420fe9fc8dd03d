/* SPDX-License-Identifier: Apache-2.0
 *
 * automation.c - KsMergeAutomationTables: one table out of two.
 *
 * The new table is one block of memory that shares nothing with the old ones
 * but what their items point to, so the old ones may be freed.  It is laid out
 * twice: first to learn its size, then to fill it.
 */
#include "refks.h"

#define ALIGN_UP_8(value) (((SIZE_T)(value) + 7) & ~(SIZE_T)7)

C_ASSERT(sizeof(REFKS_SET) == sizeof(KSPROPERTY_SET) && sizeof(REFKS_SET) == sizeof(KSMETHOD_SET));
C_ASSERT(FIELD_OFFSET(REFKS_SET, Items) == FIELD_OFFSET(KSPROPERTY_SET, PropertyItem));
C_ASSERT(FIELD_OFFSET(REFKS_SET, FastItems) == FIELD_OFFSET(KSPROPERTY_SET, FastIoTable));
C_ASSERT(FIELD_OFFSET(REFKS_SET, Items) == FIELD_OFFSET(KSMETHOD_SET, MethodItem));
C_ASSERT(FIELD_OFFSET(REFKS_SET, FastItems) == FIELD_OFFSET(KSMETHOD_SET, FastIoTable));
C_ASSERT(FIELD_OFFSET(REFKS_SET, Items) == FIELD_OFFSET(KSEVENT_SET, EventItem));
C_ASSERT(FIELD_OFFSET(REFKS_SET, FastCount) <= sizeof(KSEVENT_SET));
C_ASSERT(FIELD_OFFSET(KSPROPERTY_ITEM, PropertyId) == 0 && FIELD_OFFSET(KSFASTPROPERTY_ITEM, PropertyId) == 0);
C_ASSERT(FIELD_OFFSET(KSMETHOD_ITEM, MethodId) == 0 && FIELD_OFFSET(KSFASTMETHOD_ITEM, MethodId) == 0);
C_ASSERT(FIELD_OFFSET(KSEVENT_ITEM, EventId) == 0);
C_ASSERT(sizeof(KSFASTPROPERTY_ITEM) % 8 == 0 && sizeof(KSFASTMETHOD_ITEM) % 8 == 0);

/* The sets of one kind of one table. */
typedef struct REFKS_SIDE {
    ULONG Count;
    ULONG ItemSize;
    const VOID *Sets;
} REFKS_SIDE;

/* How sets of one kind look. */
typedef struct REFKS_KIND {
    ULONG SetSize;
    ULONG FastItemSize;         /* 0: there are none */
} REFKS_KIND;

static const REFKS_KIND Properties = { sizeof(KSPROPERTY_SET), sizeof(KSFASTPROPERTY_ITEM) };
static const REFKS_KIND Methods = { sizeof(KSMETHOD_SET), sizeof(KSFASTMETHOD_ITEM) };
static const REFKS_KIND Events = { sizeof(KSEVENT_SET), 0 };

/* ---- the block that it becomes ------------------------------------------------------ */

typedef struct REFKS_ARENA {
    PUCHAR Base;                /* NULL: nothing is written, sizes are added up */
    SIZE_T Used;
} REFKS_ARENA;

static PVOID Take(REFKS_ARENA *Arena, SIZE_T Size)
{
    PVOID taken = Arena->Base ? Arena->Base + Arena->Used : NULL;

    Arena->Used += ALIGN_UP_8(Size);
    return taken;
}

/* ---- items ---------------------------------------------------------------------------- */

static ULONG IdOf(const VOID *Items, ULONG Size, ULONG Index)
{
    return *(const ULONG *)((const UCHAR *)Items + (SIZE_T)Index * Size);
}

static BOOLEAN HasId(const VOID *Items, ULONG Count, ULONG Size, ULONG Id)
{
    ULONG index;

    for (index = 0; index < Count; index++) {
        if (IdOf(Items, Size, index) == Id)
            return TRUE;
    }
    return FALSE;
}

/* An item of the table with the shorter ones gets zeros after it. */
static void AddItem(REFKS_ARENA *Arena, const VOID *Items, ULONG Size, ULONG Index, ULONG NewSize)
{
    PVOID to = Take(Arena, NewSize);

    if (to)
        RtlCopyMemory(to, (const UCHAR *)Items + (SIZE_T)Index * Size, Size);
}

/* Those of A, and those of B that A does not have.  NewSize is a multiple of 8, so that they follow each other. */
static const VOID *MergeItems(REFKS_ARENA *Arena, const VOID *A, ULONG CountA, ULONG SizeA, const VOID *B,
                              ULONG CountB, ULONG SizeB, ULONG NewSize, ULONG *Count)
{
    const VOID *merged = Take(Arena, 0);
    ULONG index;

    *Count = 0;
    for (index = 0; index < CountA; index++, (*Count)++)
        AddItem(Arena, A, SizeA, index, NewSize);
    for (index = 0; index < CountB; index++) {
        if (HasId(A, CountA, SizeA, IdOf(B, SizeB, index)))
            continue;
        AddItem(Arena, B, SizeB, index, NewSize);
        (*Count)++;
    }
    return *Count ? merged : NULL;
}

/* ---- sets ------------------------------------------------------------------------------- */

static const REFKS_SET *SetAt(const REFKS_KIND *Kind, const REFKS_SIDE *Side, ULONG Index)
{
    return (const REFKS_SET *)((const UCHAR *)Side->Sets + (SIZE_T)Index * Kind->SetSize);
}

static const REFKS_SET *FindSet(const REFKS_KIND *Kind, const REFKS_SIDE *Side, const GUID *Set)
{
    ULONG index;

    for (index = 0; index < Side->Count; index++) {
        if (RefksSameGuid(SetAt(Kind, Side, index)->Set, Set))
            return SetAt(Kind, Side, index);
    }
    return NULL;
}

/* First or Second may be NULL.  To NULL: the sizes alone. */
static void MergeSet(REFKS_ARENA *Arena, const REFKS_KIND *Kind, const REFKS_SET *First, ULONG FirstSize,
                     const REFKS_SET *Second, ULONG SecondSize, ULONG NewSize, REFKS_SET *To)
{
    REFKS_SET merged;
    GUID *set = Take(Arena, sizeof(*set));

    RtlZeroMemory(&merged, sizeof(merged));
    if (set)
        *set = *(First ? First : Second)->Set;
    merged.Set = set;
    merged.Items = MergeItems(Arena, First ? First->Items : NULL, First ? First->Count : 0, FirstSize,
                              Second ? Second->Items : NULL, Second ? Second->Count : 0, SecondSize, NewSize,
                              &merged.Count);
    if (Kind->FastItemSize)
        merged.FastItems = MergeItems(Arena, First ? First->FastItems : NULL, First ? First->FastCount : 0,
                                      Kind->FastItemSize, Second ? Second->FastItems : NULL,
                                      Second ? Second->FastCount : 0, Kind->FastItemSize, Kind->FastItemSize,
                                      &merged.FastCount);
    if (To)
        RtlCopyMemory(To, &merged, Kind->SetSize < sizeof(merged) ? Kind->SetSize : sizeof(merged));
}

static REFKS_SIDE MergeSide(REFKS_ARENA *Arena, const REFKS_KIND *Kind, const REFKS_SIDE *A, const REFKS_SIDE *B)
{
    REFKS_SIDE merged;
    PUCHAR sets;
    ULONG index;

    RtlZeroMemory(&merged, sizeof(merged));
    merged.Count = A->Count;
    for (index = 0; index < B->Count; index++)
        merged.Count += !FindSet(Kind, A, SetAt(Kind, B, index)->Set);
    if (!merged.Count)
        return merged;
    merged.ItemSize = (ULONG)ALIGN_UP_8(A->ItemSize > B->ItemSize ? A->ItemSize : B->ItemSize);
    merged.Sets = sets = Take(Arena, (SIZE_T)merged.Count * Kind->SetSize);
    for (index = 0; index < A->Count; index++) {
        const REFKS_SET *set = SetAt(Kind, A, index);

        MergeSet(Arena, Kind, set, A->ItemSize, FindSet(Kind, B, set->Set), B->ItemSize, merged.ItemSize,
                 (REFKS_SET *)sets);
        sets = sets ? sets + Kind->SetSize : NULL;
    }
    for (index = 0; index < B->Count; index++) {
        const REFKS_SET *set = SetAt(Kind, B, index);

        if (FindSet(Kind, A, set->Set))
            continue;
        MergeSet(Arena, Kind, NULL, 0, set, B->ItemSize, merged.ItemSize, (REFKS_SET *)sets);
        sets = sets ? sets + Kind->SetSize : NULL;
    }
    return merged;
}

/* ---- tables -------------------------------------------------------------------------------- */

static REFKS_SIDE Side(ULONG Count, ULONG ItemSize, ULONG DefaultSize, const VOID *Sets)
{
    REFKS_SIDE side;

    side.Count = Count;
    side.ItemSize = !Count ? 0 : ItemSize ? ItemSize : DefaultSize;
    side.Sets = Sets;
    return side;
}

static REFKS_SIDE PropertiesOf(const KSAUTOMATION_TABLE *Table)
{
    return Side(Table->PropertySetsCount, Table->PropertyItemSize, sizeof(KSPROPERTY_ITEM), Table->PropertySets);
}

static REFKS_SIDE MethodsOf(const KSAUTOMATION_TABLE *Table)
{
    return Side(Table->MethodSetsCount, Table->MethodItemSize, sizeof(KSMETHOD_ITEM), Table->MethodSets);
}

static REFKS_SIDE EventsOf(const KSAUTOMATION_TABLE *Table)
{
    return Side(Table->EventSetsCount, Table->EventItemSize, sizeof(KSEVENT_ITEM), Table->EventSets);
}

/* The table is the first thing in the arena. */
static void Merge(REFKS_ARENA *Arena, const KSAUTOMATION_TABLE *A, const KSAUTOMATION_TABLE *B)
{
    PKSAUTOMATION_TABLE table = Take(Arena, sizeof(*table));
    REFKS_SIDE a = PropertiesOf(A), b = PropertiesOf(B), properties, methods, events;

    properties = MergeSide(Arena, &Properties, &a, &b);
    a = MethodsOf(A);
    b = MethodsOf(B);
    methods = MergeSide(Arena, &Methods, &a, &b);
    a = EventsOf(A);
    b = EventsOf(B);
    events = MergeSide(Arena, &Events, &a, &b);
    if (!table)
        return;
    table->PropertySetsCount = properties.Count;
    table->PropertyItemSize = properties.ItemSize;
    table->PropertySets = properties.Sets;
    table->MethodSetsCount = methods.Count;
    table->MethodItemSize = methods.ItemSize;
    table->MethodSets = methods.Sets;
    table->EventSetsCount = events.Count;
    table->EventItemSize = events.ItemSize;
    table->EventSets = events.Sets;
}

/* As documented: A wins; both NULL change nothing; the old tables leave the bag, if they are in it. */
NTSTATUS NTAPI KsMergeAutomationTables(PKSAUTOMATION_TABLE *AutomationTableAB, PKSAUTOMATION_TABLE AutomationTableA,
                                       PKSAUTOMATION_TABLE AutomationTableB, KSOBJECT_BAG Bag)
{
    static const KSAUTOMATION_TABLE none;
    const KSAUTOMATION_TABLE *a = AutomationTableA ? AutomationTableA : &none;
    const KSAUTOMATION_TABLE *b = AutomationTableB ? AutomationTableB : &none;
    REFKS_ARENA arena = { NULL, 0 };
    NTSTATUS status;

    if (!AutomationTableA && !AutomationTableB)
        return STATUS_SUCCESS;
    Merge(&arena, a, b);
    arena.Base = RefksAllocate(arena.Used);
    if (!arena.Base)
        return STATUS_INSUFFICIENT_RESOURCES;
    arena.Used = 0;
    Merge(&arena, a, b);
    if (Bag) {
        status = KsAddItemToObjectBag(Bag, arena.Base, NULL);
        if (!NT_SUCCESS(status)) {
            RefksFree(arena.Base);
            return status;
        }
        if (AutomationTableA)
            (void)KsRemoveItemFromObjectBag(Bag, AutomationTableA, TRUE);
        if (AutomationTableB && AutomationTableB != AutomationTableA)
            (void)KsRemoveItemFromObjectBag(Bag, AutomationTableB, TRUE);
    }
    *AutomationTableAB = (PKSAUTOMATION_TABLE)arena.Base;
    return STATUS_SUCCESS;
}
