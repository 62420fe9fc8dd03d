/* SPDX-License-Identifier: Apache-2.0
 *
 * table.c - generic tables, of both kinds that drivers compile: RTL_GENERIC_TABLE
 * and RTL_AVL_TABLE.  The caller serialises; IRQL < DISPATCH_LEVEL unless the
 * table's memory is non-paged.
 *
 * An element is allocated by the table's routine with its header in front, as
 * large as the real one, because drivers subtract it (a table's allocate routine
 * is told the sum).
 */
#include "tree.h"

typedef struct SPLAY_HEADER {
    RTL_SPLAY_LINKS Links;
    LIST_ENTRY Order;                   /* of insertion */
    LONGLONG Data;
} SPLAY_HEADER;

#define SPLAY_DATA FIELD_OFFSET(SPLAY_HEADER, Data)
#define AVL_DATA sizeof(RTL_BALANCED_LINKS)

C_ASSERT(SPLAY_DATA == 40 && AVL_DATA == 32);

VOID NTAPI SupRtlInitializeGenericTable(PRTL_GENERIC_TABLE Table, PRTL_GENERIC_COMPARE_ROUTINE Compare,
                                        PRTL_GENERIC_ALLOCATE_ROUTINE Allocate, PRTL_GENERIC_FREE_ROUTINE Free,
                                        PVOID Context);
PVOID NTAPI SupRtlInsertElementGenericTable(PRTL_GENERIC_TABLE Table, PVOID Data, ULONG Size, PBOOLEAN New);
BOOLEAN NTAPI SupRtlDeleteElementGenericTable(PRTL_GENERIC_TABLE Table, PVOID Data);
PVOID NTAPI SupRtlLookupElementGenericTable(PRTL_GENERIC_TABLE Table, PVOID Data);
PVOID NTAPI SupRtlEnumerateGenericTable(PRTL_GENERIC_TABLE Table, BOOLEAN Restart);
PVOID NTAPI SupRtlEnumerateGenericTableWithoutSplaying(PRTL_GENERIC_TABLE Table, PVOID *Key);
PVOID NTAPI SupRtlGetElementGenericTable(PRTL_GENERIC_TABLE Table, ULONG Number);
ULONG NTAPI SupRtlNumberGenericTableElements(PRTL_GENERIC_TABLE Table);
BOOLEAN NTAPI SupRtlIsGenericTableEmpty(PRTL_GENERIC_TABLE Table);

VOID NTAPI SupRtlInitializeGenericTableAvl(PRTL_AVL_TABLE Table, PRTL_AVL_COMPARE_ROUTINE Compare,
                                           PRTL_AVL_ALLOCATE_ROUTINE Allocate, PRTL_AVL_FREE_ROUTINE Free,
                                           PVOID Context);
PVOID NTAPI SupRtlInsertElementGenericTableAvl(PRTL_AVL_TABLE Table, PVOID Data, ULONG Size, PBOOLEAN New);
BOOLEAN NTAPI SupRtlDeleteElementGenericTableAvl(PRTL_AVL_TABLE Table, PVOID Data);
PVOID NTAPI SupRtlLookupElementGenericTableAvl(PRTL_AVL_TABLE Table, PVOID Data);
PVOID NTAPI SupRtlEnumerateGenericTableAvl(PRTL_AVL_TABLE Table, BOOLEAN Restart);
PVOID NTAPI SupRtlEnumerateGenericTableWithoutSplayingAvl(PRTL_AVL_TABLE Table, PVOID *Key);
PVOID NTAPI SupRtlGetElementGenericTableAvl(PRTL_AVL_TABLE Table, ULONG Number);
ULONG NTAPI SupRtlNumberGenericTableElementsAvl(PRTL_AVL_TABLE Table);
BOOLEAN NTAPI SupRtlIsGenericTableEmptyAvl(PRTL_AVL_TABLE Table);

static PVOID DataOf(SUP_NODE *Node, SIZE_T Header)
{
    return Node ? (PUCHAR)Node + Header : NULL;
}

static VOID Tell(PBOOLEAN New, BOOLEAN Value)
{
    if (New)
        *New = Value;
}

/* After the last comes NULL, and then NULL for ever: only a restart begins anew. */
static SUP_NODE *Step(SUP_NODE *Root, SUP_NODE *Last, BOOLEAN Restart)
{
    return Restart ? SupTreeFirst(Root) : Last ? SupTreeNext(Last) : NULL;
}

/* ---- RTL_GENERIC_TABLE; OrderedPointer is the element that was enumerated last ------------------------ */

static SUP_NODE *SplayRoot(PRTL_GENERIC_TABLE Table)
{
    return (SUP_NODE *)Table->TableRoot;
}

static ULONG SplayOrder(PVOID Table, PVOID First, PVOID Second)
{
    return ((PRTL_GENERIC_TABLE)Table)->CompareRoutine(Table, First, Second);
}

VOID NTAPI SupRtlInitializeGenericTable(PRTL_GENERIC_TABLE Table, PRTL_GENERIC_COMPARE_ROUTINE Compare,
                                        PRTL_GENERIC_ALLOCATE_ROUTINE Allocate, PRTL_GENERIC_FREE_ROUTINE Free,
                                        PVOID Context)
{
    RtlZeroMemory(Table, sizeof(*Table));
    InitializeListHead(&Table->InsertOrderList);
    Table->CompareRoutine = Compare;
    Table->AllocateRoutine = Allocate;
    Table->FreeRoutine = Free;
    Table->TableContext = Context;
}

/* What is there already is answered and left as it is; NULL: the table's routine had no memory. */
PVOID NTAPI SupRtlInsertElementGenericTable(PRTL_GENERIC_TABLE Table, PVOID Data, ULONG Size, PBOOLEAN New)
{
    SPLAY_HEADER *header;
    SUP_PLACE place;

    Tell(New, FALSE);
    SupTreeFind(SplayRoot(Table), SPLAY_DATA, SplayOrder, Table, Data, &place);
    if (place.Found)
        return DataOf(place.Found, SPLAY_DATA);
    header = Table->AllocateRoutine(Table, (CLONG)(Size + SPLAY_DATA));
    if (!header)
        return NULL;
    RtlCopyMemory(&header->Data, Data, Size);
    InsertTailList(&Table->InsertOrderList, &header->Order);
    SupTreeInsert((SUP_NODE **)&Table->TableRoot, (SUP_NODE *)header, &place);
    Table->NumberGenericTableElements++;
    Tell(New, TRUE);
    return &header->Data;
}

BOOLEAN NTAPI SupRtlDeleteElementGenericTable(PRTL_GENERIC_TABLE Table, PVOID Data)
{
    SUP_PLACE place;

    SupTreeFind(SplayRoot(Table), SPLAY_DATA, SplayOrder, Table, Data, &place);
    if (!place.Found)
        return FALSE;
    if ((SUP_NODE *)Table->OrderedPointer == place.Found)
        Table->OrderedPointer = (PLIST_ENTRY)SupTreePrevious(place.Found);
    SupTreeRemove((SUP_NODE **)&Table->TableRoot, place.Found);
    RemoveEntryList(&((SPLAY_HEADER *)place.Found)->Order);
    Table->NumberGenericTableElements--;
    Table->FreeRoutine(Table, place.Found);
    return TRUE;
}

PVOID NTAPI SupRtlLookupElementGenericTable(PRTL_GENERIC_TABLE Table, PVOID Data)
{
    SUP_PLACE place;

    SupTreeFind(SplayRoot(Table), SPLAY_DATA, SplayOrder, Table, Data, &place);
    return DataOf(place.Found, SPLAY_DATA);
}

PVOID NTAPI SupRtlEnumerateGenericTable(PRTL_GENERIC_TABLE Table, BOOLEAN Restart)
{
    SUP_NODE *node = Step(SplayRoot(Table), (SUP_NODE *)Table->OrderedPointer, Restart);

    Table->OrderedPointer = (PLIST_ENTRY)node;
    return DataOf(node, SPLAY_DATA);
}

PVOID NTAPI SupRtlEnumerateGenericTableWithoutSplaying(PRTL_GENERIC_TABLE Table, PVOID *Key)
{
    SUP_NODE *node = Step(SplayRoot(Table), *Key, *Key == NULL);

    if (node)
        *Key = node;
    return DataOf(node, SPLAY_DATA);
}

/* By the order of insertion. */
PVOID NTAPI SupRtlGetElementGenericTable(PRTL_GENERIC_TABLE Table, ULONG Number)
{
    PLIST_ENTRY entry = Table->InsertOrderList.Flink;

    if (Number >= Table->NumberGenericTableElements)
        return NULL;
    while (Number--)
        entry = entry->Flink;
    return &CONTAINING_RECORD(entry, SPLAY_HEADER, Order)->Data;
}

ULONG NTAPI SupRtlNumberGenericTableElements(PRTL_GENERIC_TABLE Table)
{
    return Table->NumberGenericTableElements;
}

BOOLEAN NTAPI SupRtlIsGenericTableEmpty(PRTL_GENERIC_TABLE Table)
{
    return Table->NumberGenericTableElements == 0;
}

/* ---- RTL_AVL_TABLE; RestartKey is the element that was enumerated last ----------------------------------- */

static SUP_NODE **AvlRoot(PRTL_AVL_TABLE Table)
{
    return (SUP_NODE **)&Table->BalancedRoot.RightChild;
}

static ULONG AvlOrder(PVOID Table, PVOID First, PVOID Second)
{
    return ((PRTL_AVL_TABLE)Table)->CompareRoutine(Table, First, Second);
}

VOID NTAPI SupRtlInitializeGenericTableAvl(PRTL_AVL_TABLE Table, PRTL_AVL_COMPARE_ROUTINE Compare,
                                           PRTL_AVL_ALLOCATE_ROUTINE Allocate, PRTL_AVL_FREE_ROUTINE Free,
                                           PVOID Context)
{
    RtlZeroMemory(Table, sizeof(*Table));
    Table->BalancedRoot.Parent = &Table->BalancedRoot;
    Table->CompareRoutine = Compare;
    Table->AllocateRoutine = Allocate;
    Table->FreeRoutine = Free;
    Table->TableContext = Context;
}

PVOID NTAPI SupRtlInsertElementGenericTableAvl(PRTL_AVL_TABLE Table, PVOID Data, ULONG Size, PBOOLEAN New)
{
    SUP_PLACE place;
    SUP_NODE *node;

    Tell(New, FALSE);
    SupTreeFind(*AvlRoot(Table), AVL_DATA, AvlOrder, Table, Data, &place);
    if (place.Found)
        return DataOf(place.Found, AVL_DATA);
    node = Table->AllocateRoutine(Table, (CLONG)(Size + AVL_DATA));
    if (!node)
        return NULL;
    RtlZeroMemory(node, AVL_DATA);
    RtlCopyMemory(DataOf(node, AVL_DATA), Data, Size);
    SupTreeInsert(AvlRoot(Table), node, &place);
    Table->NumberGenericTableElements++;
    Tell(New, TRUE);
    return DataOf(node, AVL_DATA);
}

BOOLEAN NTAPI SupRtlDeleteElementGenericTableAvl(PRTL_AVL_TABLE Table, PVOID Data)
{
    SUP_PLACE place;

    SupTreeFind(*AvlRoot(Table), AVL_DATA, AvlOrder, Table, Data, &place);
    if (!place.Found)
        return FALSE;
    if ((SUP_NODE *)Table->RestartKey == place.Found)
        Table->RestartKey = (PRTL_BALANCED_LINKS)SupTreePrevious(place.Found);
    SupTreeRemove(AvlRoot(Table), place.Found);
    Table->NumberGenericTableElements--;
    Table->DeleteCount++;
    Table->FreeRoutine(Table, place.Found);
    return TRUE;
}

PVOID NTAPI SupRtlLookupElementGenericTableAvl(PRTL_AVL_TABLE Table, PVOID Data)
{
    SUP_PLACE place;

    SupTreeFind(*AvlRoot(Table), AVL_DATA, AvlOrder, Table, Data, &place);
    return DataOf(place.Found, AVL_DATA);
}

PVOID NTAPI SupRtlEnumerateGenericTableAvl(PRTL_AVL_TABLE Table, BOOLEAN Restart)
{
    SUP_NODE *node = Step(*AvlRoot(Table), (SUP_NODE *)Table->RestartKey, Restart);

    Table->RestartKey = (PRTL_BALANCED_LINKS)node;
    return DataOf(node, AVL_DATA);
}

PVOID NTAPI SupRtlEnumerateGenericTableWithoutSplayingAvl(PRTL_AVL_TABLE Table, PVOID *Key)
{
    SUP_NODE *node = Step(*AvlRoot(Table), *Key, *Key == NULL);

    if (node)
        *Key = node;
    return DataOf(node, AVL_DATA);
}

/* By the order of the elements. */
PVOID NTAPI SupRtlGetElementGenericTableAvl(PRTL_AVL_TABLE Table, ULONG Number)
{
    SUP_NODE *node = SupTreeFirst(*AvlRoot(Table));

    while (node && Number--)
        node = SupTreeNext(node);
    return DataOf(node, AVL_DATA);
}

ULONG NTAPI SupRtlNumberGenericTableElementsAvl(PRTL_AVL_TABLE Table)
{
    return Table->NumberGenericTableElements;
}

BOOLEAN NTAPI SupRtlIsGenericTableEmptyAvl(PRTL_AVL_TABLE Table)
{
    return Table->NumberGenericTableElements == 0;
}
