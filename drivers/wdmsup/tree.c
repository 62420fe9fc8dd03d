/* SPDX-License-Identifier: Apache-2.0
 *
 * tree.c - an ordered binary tree that stays shallow without a field for it.
 *
 * Of a node and its children the node has the highest rank, which is a hash of
 * its address (a treap): depth is some 2 log2 of the number of nodes whatever the
 * order of insertion, and looking something up changes nothing.
 */
#include "tree.h"

static ULONGLONG Rank(const SUP_NODE *Node)
{
    ULONGLONG value = (ULONG_PTR)Node >> 4;

    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ull;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBull;
    return value ^ (value >> 31);
}

static VOID Replace(SUP_NODE **Root, SUP_NODE *Old, SUP_NODE *New)
{
    if (!Old->Parent)
        *Root = New;
    else if (Old->Parent->Left == Old)
        Old->Parent->Left = New;
    else
        Old->Parent->Right = New;
    if (New)
        New->Parent = Old->Parent;
}

/* The node takes its parent's place, and the parent becomes its child. */
static VOID RotateUp(SUP_NODE **Root, SUP_NODE *Node)
{
    SUP_NODE *parent = Node->Parent;
    SUP_NODE *moved;

    Replace(Root, parent, Node);
    if (parent->Left == Node) {
        moved = parent->Left = Node->Right;
        Node->Right = parent;
    } else {
        moved = parent->Right = Node->Left;
        Node->Left = parent;
    }
    if (moved)
        moved->Parent = parent;
    parent->Parent = Node;
}

VOID SupTreeFind(SUP_NODE *Root, SIZE_T Header, SUP_ORDER Order, PVOID Table, PVOID Data, SUP_PLACE *Place)
{
    SUP_NODE *node = Root;

    RtlZeroMemory(Place, sizeof(*Place));
    while (node) {
        ULONG result = Order(Table, Data, (PUCHAR)node + Header);

        if (result != GenericLessThan && result != GenericGreaterThan) {
            Place->Found = node;
            return;
        }
        Place->Parent = node;
        Place->Right = result == GenericGreaterThan;
        node = Place->Right ? node->Right : node->Left;
    }
}

VOID SupTreeInsert(SUP_NODE **Root, SUP_NODE *Node, const SUP_PLACE *Place)
{
    Node->Parent = Place->Parent;
    Node->Left = Node->Right = NULL;
    if (!Place->Parent)
        *Root = Node;
    else if (Place->Right)
        Place->Parent->Right = Node;
    else
        Place->Parent->Left = Node;
    while (Node->Parent && Rank(Node) > Rank(Node->Parent))
        RotateUp(Root, Node);
}

VOID SupTreeRemove(SUP_NODE **Root, SUP_NODE *Node)
{
    while (Node->Left && Node->Right)
        RotateUp(Root, Rank(Node->Left) > Rank(Node->Right) ? Node->Left : Node->Right);
    Replace(Root, Node, Node->Left ? Node->Left : Node->Right);
}

SUP_NODE *SupTreeFirst(SUP_NODE *Root)
{
    while (Root && Root->Left)
        Root = Root->Left;
    return Root;
}

SUP_NODE *SupTreeNext(SUP_NODE *Node)
{
    if (Node->Right)
        return SupTreeFirst(Node->Right);
    while (Node->Parent && Node->Parent->Right == Node)
        Node = Node->Parent;
    return Node->Parent;
}

SUP_NODE *SupTreePrevious(SUP_NODE *Node)
{
    if (Node->Left) {
        for (Node = Node->Left; Node->Right; Node = Node->Right)
            ;
        return Node;
    }
    while (Node->Parent && Node->Parent->Left == Node)
        Node = Node->Parent;
    return Node->Parent;
}
