/* SPDX-License-Identifier: Apache-2.0
 *
 * tree.h - the ordered tree behind both kinds of generic tables.
 */
#ifndef WDMSUP_TREE_H
#define WDMSUP_TREE_H

#include "wdmsup.h"

/* RTL_SPLAY_LINKS and RTL_BALANCED_LINKS both begin so. */
typedef struct SUP_NODE {
    struct SUP_NODE *Parent;
    struct SUP_NODE *Left;
    struct SUP_NODE *Right;
} SUP_NODE;

/* Less, greater, equal: as a table's compare routine answers (GenericLessThan, ...). */
typedef ULONG (*SUP_ORDER)(PVOID Table, PVOID First, PVOID Second);

/* Where data is in the tree, or, with NULL, below what and on which side it would be. */
typedef struct SUP_PLACE {
    SUP_NODE *Found;
    SUP_NODE *Parent;
    BOOLEAN Right;
} SUP_PLACE;

VOID SupTreeFind(SUP_NODE *Root, SIZE_T Header, SUP_ORDER Order, PVOID Table, PVOID Data, SUP_PLACE *Place);
VOID SupTreeInsert(SUP_NODE **Root, SUP_NODE *Node, const SUP_PLACE *Place);
VOID SupTreeRemove(SUP_NODE **Root, SUP_NODE *Node);
SUP_NODE *SupTreeFirst(SUP_NODE *Root);
SUP_NODE *SupTreeNext(SUP_NODE *Node);
SUP_NODE *SupTreePrevious(SUP_NODE *Node);

#endif
