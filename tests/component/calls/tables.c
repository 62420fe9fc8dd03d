/* SPDX-License-Identifier: Apache-2.0
 *
 * tables.c - generic tables, plain and balanced.
 */
#include "calls.h"

#define ELEMENTS 200u
#define ELEMENT(i) ((i) * 7919u % ELEMENTS)

static RTL_GENERIC_TABLE Table;
static RTL_AVL_TABLE Avl;

static RTL_GENERIC_COMPARE_RESULTS Order(PVOID First, PVOID Second)
{
    ULONG first = *(PULONG)First, second = *(PULONG)Second;

    return first < second ? GenericLessThan : first > second ? GenericGreaterThan : GenericEqual;
}

static RTL_GENERIC_COMPARE_RESULTS NTAPI Compare(PRTL_GENERIC_TABLE Unused, PVOID First, PVOID Second)
{
    UNREFERENCED_PARAMETER(Unused);
    return Order(First, Second);
}

static PVOID NTAPI Allocate(PRTL_GENERIC_TABLE Unused, CLONG Bytes)
{
    UNREFERENCED_PARAMETER(Unused);
    return ExAllocatePoolWithTag(NonPagedPool, Bytes, TAG);
}

static VOID NTAPI Free(PRTL_GENERIC_TABLE Unused, PVOID Memory)
{
    UNREFERENCED_PARAMETER(Unused);
    ExFreePoolWithTag(Memory, TAG);
}

static RTL_GENERIC_COMPARE_RESULTS NTAPI CompareAvl(PRTL_AVL_TABLE Unused, PVOID First, PVOID Second)
{
    UNREFERENCED_PARAMETER(Unused);
    return Order(First, Second);
}

static PVOID NTAPI AllocateAvl(PRTL_AVL_TABLE Unused, CLONG Bytes)
{
    UNREFERENCED_PARAMETER(Unused);
    return ExAllocatePoolWithTag(NonPagedPool, Bytes, TAG);
}

static VOID NTAPI FreeAvl(PRTL_AVL_TABLE Unused, PVOID Memory)
{
    UNREFERENCED_PARAMETER(Unused);
    ExFreePoolWithTag(Memory, TAG);
}

static BOOLEAN Insert(ULONG Value)
{
    return RtlInsertElementGenericTable(&Table, &Value, sizeof(Value), NULL) != NULL;
}

static BOOLEAN InsertAvl(ULONG Value)
{
    return RtlInsertElementGenericTableAvl(&Avl, &Value, sizeof(Value), NULL) != NULL;
}

static VOID New(ULONG Elements)
{
    ULONG i;

    RtlInitializeGenericTable(&Table, Compare, Allocate, Free, NULL);
    for (i = 0; i < Elements; i++)
        (void)Insert(ELEMENT(i));
}

static VOID NewAvl(ULONG Elements)
{
    ULONG i;

    RtlInitializeGenericTableAvl(&Avl, CompareAvl, AllocateAvl, FreeAvl, NULL);
    for (i = 0; i < Elements; i++)
        (void)InsertAvl(ELEMENT(i));
}

PROBE(Probe_RtlInitializeGenericTable)
{
    FILLED(Table);
    RtlInitializeGenericTable(&Table, Compare, Allocate, Free, NULL);
    EXPECT(Table.CompareRoutine == Compare && Table.AllocateRoutine == Allocate && !Table.TableRoot,
           "does not fill the table in");
}

PROBE(Probe_RtlInsertElementGenericTable)
{
    ULONG value = 5;
    BOOLEAN fresh = FALSE;
    PULONG element;

    New(0);
    element = RtlInsertElementGenericTable(&Table, &value, sizeof(value), &fresh);
    EXPECT(element && *element == 5 && fresh, "does not insert a copy");
    EXPECT(RtlInsertElementGenericTable(&Table, &value, sizeof(value), &fresh) == element && !fresh,
           "inserts an element twice");
}

PROBE(Probe_RtlLookupElementGenericTable)
{
    ULONG value = 100;
    PULONG element;

    New(ELEMENTS);
    element = RtlLookupElementGenericTable(&Table, &value);
    EXPECT(element && *element == 100, "does not find what there is");
    value = ELEMENTS;
    EXPECT(!RtlLookupElementGenericTable(&Table, &value), "finds what there is not");
}

PROBE(Probe_RtlDeleteElementGenericTable)
{
    ULONG value = 100;

    New(ELEMENTS);
    EXPECT(RtlDeleteElementGenericTable(&Table, &value), "does not delete what there is");
    EXPECT(!RtlDeleteElementGenericTable(&Table, &value), "deletes what there is not");
    EXPECT(!RtlLookupElementGenericTable(&Table, &value), "leaves what was deleted");
}

PROBE(Probe_RtlNumberGenericTableElements)
{
    New(ELEMENTS);
    EXPECT(RtlNumberGenericTableElements(&Table) == ELEMENTS, "answers another number");
}

PROBE(Probe_RtlIsGenericTableEmpty)
{
    New(0);
    EXPECT(RtlIsGenericTableEmpty(&Table), "answers FALSE for an empty table");
    (void)Insert(1);
    EXPECT(!RtlIsGenericTableEmpty(&Table), "answers TRUE for a table with an element");
}

PROBE(Probe_RtlGetElementGenericTable)
{
    PULONG element;

    New(ELEMENTS);
    element = RtlGetElementGenericTable(&Table, 3);
    EXPECT(element && *element == ELEMENT(3), "does not answer the element that was inserted as the fourth");
    EXPECT(!RtlGetElementGenericTable(&Table, ELEMENTS), "answers an element beyond the last");
}

PROBE(Probe_RtlEnumerateGenericTable)
{
    PULONG element;
    ULONG i = 0;

    New(ELEMENTS);
    for (element = RtlEnumerateGenericTable(&Table, TRUE); element; element = RtlEnumerateGenericTable(&Table, FALSE))
        EXPECT(*element == i++, "does not give the elements in order");
    EXPECT(i == ELEMENTS, "does not give every element");
}

PROBE(Probe_RtlEnumerateGenericTableWithoutSplaying)
{
    PVOID key = NULL;
    PULONG element;
    ULONG i = 0;

    New(ELEMENTS);
    while ((element = RtlEnumerateGenericTableWithoutSplaying(&Table, &key)) != NULL)
        EXPECT(*element == i++, "does not give the elements in order");
    EXPECT(i == ELEMENTS, "does not give every element");
}

PROBE(Probe_RtlInitializeGenericTableAvl)
{
    FILLED(Avl);
    RtlInitializeGenericTableAvl(&Avl, CompareAvl, AllocateAvl, FreeAvl, NULL);
    EXPECT(Avl.CompareRoutine == CompareAvl && Avl.AllocateRoutine == AllocateAvl && !Avl.NumberGenericTableElements,
           "does not fill the table in");
}

PROBE(Probe_RtlInsertElementGenericTableAvl)
{
    ULONG value = 5;
    BOOLEAN fresh = FALSE;
    PULONG element;

    NewAvl(0);
    element = RtlInsertElementGenericTableAvl(&Avl, &value, sizeof(value), &fresh);
    EXPECT(element && *element == 5 && fresh, "does not insert a copy");
    EXPECT(RtlInsertElementGenericTableAvl(&Avl, &value, sizeof(value), &fresh) == element && !fresh,
           "inserts an element twice");
}

PROBE(Probe_RtlLookupElementGenericTableAvl)
{
    ULONG value = 100;
    PULONG element;

    NewAvl(ELEMENTS);
    element = RtlLookupElementGenericTableAvl(&Avl, &value);
    EXPECT(element && *element == 100, "does not find what there is");
    value = ELEMENTS;
    EXPECT(!RtlLookupElementGenericTableAvl(&Avl, &value), "finds what there is not");
}

PROBE(Probe_RtlDeleteElementGenericTableAvl)
{
    ULONG value = 100;

    NewAvl(ELEMENTS);
    EXPECT(RtlDeleteElementGenericTableAvl(&Avl, &value), "does not delete what there is");
    EXPECT(!RtlDeleteElementGenericTableAvl(&Avl, &value), "deletes what there is not");
}

PROBE(Probe_RtlNumberGenericTableElementsAvl)
{
    NewAvl(ELEMENTS);
    EXPECT(RtlNumberGenericTableElementsAvl(&Avl) == ELEMENTS, "answers another number");
}

PROBE(Probe_RtlIsGenericTableEmptyAvl)
{
    NewAvl(0);
    EXPECT(RtlIsGenericTableEmptyAvl(&Avl), "answers FALSE for an empty table");
    (void)InsertAvl(1);
    EXPECT(!RtlIsGenericTableEmptyAvl(&Avl), "answers TRUE for a table with an element");
}

PROBE(Probe_RtlGetElementGenericTableAvl)
{
    PULONG element;

    NewAvl(ELEMENTS);
    element = RtlGetElementGenericTableAvl(&Avl, 3);
    EXPECT(element && *element == 3, "does not answer the fourth element in order");
}

PROBE(Probe_RtlEnumerateGenericTableAvl)
{
    PULONG element;
    ULONG i = 0;

    NewAvl(ELEMENTS);
    for (element = RtlEnumerateGenericTableAvl(&Avl, TRUE); element; element = RtlEnumerateGenericTableAvl(&Avl, FALSE))
        EXPECT(*element == i++, "does not give the elements in order");
    EXPECT(i == ELEMENTS, "does not give every element");
}

PROBE(Probe_RtlEnumerateGenericTableWithoutSplayingAvl)
{
    PVOID key = NULL;
    PULONG element;
    ULONG i = 0;

    NewAvl(ELEMENTS);
    while ((element = RtlEnumerateGenericTableWithoutSplayingAvl(&Avl, &key)) != NULL)
        EXPECT(*element == i++, "does not give the elements in order");
    EXPECT(i == ELEMENTS, "does not give every element");
}

const PROBE TableProbes[] = {
    P(RtlInitializeGenericTable), P(RtlInsertElementGenericTable), P(RtlLookupElementGenericTable),
    P(RtlDeleteElementGenericTable), P(RtlNumberGenericTableElements), P(RtlIsGenericTableEmpty),
    P(RtlGetElementGenericTable), P(RtlEnumerateGenericTable), P(RtlEnumerateGenericTableWithoutSplaying),
    P(RtlInitializeGenericTableAvl), P(RtlInsertElementGenericTableAvl), P(RtlLookupElementGenericTableAvl),
    P(RtlDeleteElementGenericTableAvl), P(RtlNumberGenericTableElementsAvl), P(RtlIsGenericTableEmptyAvl),
    P(RtlGetElementGenericTableAvl), P(RtlEnumerateGenericTableAvl), P(RtlEnumerateGenericTableWithoutSplayingAvl),
    ENDS
};
