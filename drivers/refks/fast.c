/* SPDX-License-Identifier: Apache-2.0
 *
 * fast.c - properties and methods without an IRP, for drivers that fill a fast
 * I/O table.  FALSE sends the I/O manager the long way, which finds out what is
 * wrong with a request; so nothing is judged here.
 *
 * A fast handler gets a copy of the identifier, and the sender's data buffer as
 * it is: it has been probed, but accesses may fault all the same.
 */
#include "request.h"

/* Whose buffers they are.  Wine has no fast I/O from user mode, and of this routine only a stub. */
static KPROCESSOR_MODE PreviousMode(void)
{
    typedef KPROCESSOR_MODE (NTAPI *previous_mode)(VOID);
    PVOID routine = kshs_is_wine() ? NULL : kshs_system_routine(L"ExGetPreviousMode");

    return routine ? ((previous_mode)(ULONG_PTR)routine)() : KernelMode;
}

static PKSIDENTIFIER Capture(const VOID *Identifier, ULONG Length, KPROCESSOR_MODE Mode)
{
    PKSIDENTIFIER copy;

    if (Length < sizeof(*copy))
        return NULL;
    copy = RefksAllocate(Length);
    if (copy && !NT_SUCCESS(RefksCaptureIn(copy, Identifier, Length, Mode))) {
        RefksFree(copy);
        return NULL;
    }
    return copy;
}

static BOOLEAN Call(PFNKSFASTHANDLER Handler, PFILE_OBJECT FileObject, PKSIDENTIFIER Identifier, ULONG Length,
                    PVOID Data, ULONG DataLength, PIO_STATUS_BLOCK IoStatus, KPROCESSOR_MODE Mode)
{
    if (!Handler || !NT_SUCCESS(RefksCheckOut(Data, DataLength, Mode)))
        return FALSE;
    IoStatus->Information = 0;
    return Handler(FileObject, Identifier, Length, Data, DataLength, IoStatus);
}

/* The fast item of a request whose regular one finds it long enough; NULL: there is none. */
static const VOID *FindFast(const REFKS_SETS *Table, const KSIDENTIFIER *Identifier, ULONG FastSize,
                            const VOID **Regular)
{
    const REFKS_SET *set = RefksFindSet(Table, &Identifier->Set);
    REFKS_SET fast;

    if (!set)
        return NULL;
    *Regular = RefksFindItem(set, Table->ItemSize, Identifier->Id);
    fast = *set;
    fast.Count = set->FastCount;
    fast.Items = set->FastItems;
    return RefksFindItem(&fast, FastSize, Identifier->Id);
}

BOOLEAN NTAPI KsFastPropertyHandler(PFILE_OBJECT FileObject, PKSPROPERTY Property, ULONG PropertyLength, PVOID Data,
                                    ULONG DataLength, PIO_STATUS_BLOCK IoStatus, ULONG PropertySetsCount,
                                    const KSPROPERTY_SET *PropertySet)
{
    REFKS_SETS table = { PropertySetsCount, (const REFKS_SET *)PropertySet, sizeof(KSPROPERTY_ITEM) };
    KPROCESSOR_MODE mode = PreviousMode();
    PKSIDENTIFIER copy = Capture(Property, PropertyLength, mode);
    const KSFASTPROPERTY_ITEM *item;
    PFNKSFASTHANDLER handler = NULL;
    const VOID *regular = NULL;
    BOOLEAN handled;

    if (!copy)
        return FALSE;
    item = FindFast(&table, copy, sizeof(*item), &regular);
    if (item && copy->Flags == KSPROPERTY_TYPE_GET)
        handler = item->GetPropertyHandler;
    else if (item && copy->Flags == KSPROPERTY_TYPE_SET)
        handler = item->SetPropertyHandler;
    if (regular && (PropertyLength < ((const KSPROPERTY_ITEM *)regular)->MinProperty ||
                    DataLength < ((const KSPROPERTY_ITEM *)regular)->MinData))
        handler = NULL;
    handled = Call(handler, FileObject, copy, PropertyLength, Data, DataLength, IoStatus, mode);
    RefksFree(copy);
    return handled;
}

BOOLEAN NTAPI KsFastMethodHandler(PFILE_OBJECT FileObject, PKSMETHOD Method, ULONG MethodLength, PVOID Data,
                                  ULONG DataLength, PIO_STATUS_BLOCK IoStatus, ULONG MethodSetsCount,
                                  const KSMETHOD_SET *MethodSet)
{
    REFKS_SETS table = { MethodSetsCount, (const REFKS_SET *)MethodSet, sizeof(KSMETHOD_ITEM) };
    KPROCESSOR_MODE mode = PreviousMode();
    PKSIDENTIFIER copy = Capture(Method, MethodLength, mode);
    const KSFASTMETHOD_ITEM *item;
    PFNKSFASTHANDLER handler = NULL;
    const VOID *regular = NULL;
    BOOLEAN handled;

    if (!copy)
        return FALSE;
    item = FindFast(&table, copy, sizeof(*item), &regular);
    if (item && copy->Flags == KSMETHOD_TYPE_SEND)
        handler = item->MethodHandler;
    if (regular && (MethodLength < ((const KSMETHOD_ITEM *)regular)->MinMethod ||
                    DataLength < ((const KSMETHOD_ITEM *)regular)->MinData))
        handler = NULL;
    handled = Call(handler, FileObject, copy, MethodLength, Data, DataLength, IoStatus, mode);
    RefksFree(copy);
    return handled;
}
