/* SPDX-License-Identifier: Apache-2.0
 *
 * pool.c - allocation as of Windows 10 2004, look-aside lists of Windows Vista.
 *
 * Memory is Wine's pool's, so that ExFreePool takes it back; it is aligned to
 * 16 bytes and never paged out, whatever was asked for.
 */
#include "wdmsup.h"

#define FLAG_UNINITIALIZED 0x2ull
#define FLAG_RAISE 0x20ull
#define FLAG_NON_PAGED 0x40ull
#define FLAG_NON_PAGED_EXECUTE 0x80ull
#define FLAG_PAGED 0x100ull
#define FLAGS_OF_TYPE (FLAG_NON_PAGED | FLAG_NON_PAGED_EXECUTE | FLAG_PAGED)
#define FLAGS_REQUIRED 0xFFFFFFFFull    /* the upper half may be ignored by who does not know it */
#define FLAGS_KNOWN (0x1Full | FLAG_RAISE | FLAGS_OF_TYPE | 0x200ull)

NTSYSAPI VOID NTAPI RtlRaiseStatus(NTSTATUS Status);

PVOID NTAPI SupExAllocatePool2(ULONGLONG Flags, SIZE_T Bytes, ULONG Tag);
PVOID NTAPI SupExAllocatePool3(ULONGLONG Flags, SIZE_T Bytes, ULONG Tag, const VOID *Parameters, ULONG Count);
VOID NTAPI SupExFreePool2(PVOID Memory, ULONG Tag, const VOID *Parameters, ULONG Count);
PVOID NTAPI SupExAllocatePoolWithTagPriority(POOL_TYPE Type, SIZE_T Bytes, ULONG Tag, ULONG Priority);
VOID NTAPI SupExRaiseStatus(NTSTATUS Status);
VOID NTAPI SupExRaiseAccessViolation(VOID);
VOID NTAPI SupExRaiseDatatypeMisalignment(VOID);

/* IRQL <= DISPATCH_LEVEL (PASSIVE or APC for paged pool).  Zeroed unless it is asked for as it is. */
PVOID NTAPI SupExAllocatePool2(ULONGLONG Flags, SIZE_T Bytes, ULONG Tag)
{
    ULONGLONG kind = Flags & FLAGS_OF_TYPE;
    NTSTATUS status = STATUS_INVALID_PARAMETER;
    PVOID memory = NULL;

    if (Tag && kind && !(kind & (kind - 1)) && !(Flags & FLAGS_REQUIRED & ~FLAGS_KNOWN)) {
        memory = ExAllocatePoolWithTag(kind == FLAG_PAGED ? PagedPool : NonPagedPool, Bytes, Tag);
        status = STATUS_INSUFFICIENT_RESOURCES;
    }
    if (memory && !(Flags & FLAG_UNINITIALIZED))
        RtlZeroMemory(memory, Bytes);
    if (!memory && (Flags & FLAG_RAISE))
        RtlRaiseStatus(status);
    return memory;
}

/* Priorities and nodes are hints.  A secure pool is none here: nobody can ask for one without its handle. */
PVOID NTAPI SupExAllocatePool3(ULONGLONG Flags, SIZE_T Bytes, ULONG Tag, const VOID *Parameters, ULONG Count)
{
    UNREFERENCED_PARAMETER(Parameters);
    UNREFERENCED_PARAMETER(Count);
    return SupExAllocatePool2(Flags, Bytes, Tag);
}

VOID NTAPI SupExFreePool2(PVOID Memory, ULONG Tag, const VOID *Parameters, ULONG Count)
{
    UNREFERENCED_PARAMETER(Parameters);
    UNREFERENCED_PARAMETER(Count);
    ExFreePoolWithTag(Memory, Tag);
}

PVOID NTAPI SupExAllocatePoolWithTagPriority(POOL_TYPE Type, SIZE_T Bytes, ULONG Tag, ULONG Priority)
{
    UNREFERENCED_PARAMETER(Priority);
    return ExAllocatePoolWithTag(Type, Bytes, Tag);
}

/* Wine's ends the process; ntdll's raises what __try can catch. */
VOID NTAPI SupExRaiseStatus(NTSTATUS Status)
{
    RtlRaiseStatus(Status);
}

VOID NTAPI SupExRaiseAccessViolation(VOID)
{
    RtlRaiseStatus(STATUS_ACCESS_VIOLATION);
}

VOID NTAPI SupExRaiseDatatypeMisalignment(VOID)
{
    RtlRaiseStatus(STATUS_DATATYPE_MISALIGNMENT);
}

/* ---- look-aside lists: allocation and release are inline in drivers and read these fields ------- */

typedef struct SUP_LOOKASIDE SUP_LOOKASIDE;
typedef PVOID (NTAPI *SUP_ALLOCATE)(POOL_TYPE Type, SIZE_T Bytes, ULONG Tag, SUP_LOOKASIDE *List);
typedef VOID (NTAPI *SUP_FREE)(PVOID Memory, SUP_LOOKASIDE *List);

struct SUP_LOOKASIDE {                  /* LOOKASIDE_LIST_EX */
    SLIST_HEADER Head;
    USHORT Depth;
    USHORT MaximumDepth;
    ULONG TotalAllocates;
    ULONG AllocateMisses;
    ULONG TotalFrees;
    ULONG FreeMisses;
    POOL_TYPE Type;
    ULONG Tag;
    ULONG Size;
    SUP_ALLOCATE Allocate;
    SUP_FREE Free;
    LIST_ENTRY Entry;
    ULONG LastTotalAllocates;
    ULONG LastAllocateMisses;
    ULONG Future[2];
};

C_ASSERT(FIELD_OFFSET(SUP_LOOKASIDE, Allocate) == 48 && sizeof(SUP_LOOKASIDE) == 96);

NTSTATUS NTAPI SupExInitializeLookasideListEx(SUP_LOOKASIDE *List, SUP_ALLOCATE Allocate, SUP_FREE Free,
                                              POOL_TYPE Type, ULONG Flags, SIZE_T Size, ULONG Tag, USHORT Depth);
VOID NTAPI SupExFlushLookasideListEx(SUP_LOOKASIDE *List);
VOID NTAPI SupExDeleteLookasideListEx(SUP_LOOKASIDE *List);

static PVOID NTAPI AllocateEntry(POOL_TYPE Type, SIZE_T Bytes, ULONG Tag, SUP_LOOKASIDE *List)
{
    UNREFERENCED_PARAMETER(List);
    return ExAllocatePoolWithTag(Type, Bytes, Tag);
}

static VOID NTAPI FreeEntry(PVOID Memory, SUP_LOOKASIDE *List)
{
    UNREFERENCED_PARAMETER(List);
    ExFreePool(Memory);
}

/* IRQL <= DISPATCH_LEVEL.  Flags, of which raising (1) and failing without it (2) exclude each other. */
NTSTATUS NTAPI SupExInitializeLookasideListEx(SUP_LOOKASIDE *List, SUP_ALLOCATE Allocate, SUP_FREE Free,
                                              POOL_TYPE Type, ULONG Flags, SIZE_T Size, ULONG Tag, USHORT Depth)
{
    UNREFERENCED_PARAMETER(Depth);      /* reserved */
    if ((Flags & ~3u) || Flags == 3)
        return STATUS_INVALID_PARAMETER_5;
    if (Size > MAXULONG)
        return STATUS_INVALID_PARAMETER_6;
    RtlZeroMemory(List, sizeof(*List));
    List->Depth = 4;
    List->MaximumDepth = 256;
    List->Type = Type;
    List->Tag = Tag;
    List->Size = max((ULONG)Size, (ULONG)sizeof(SLIST_ENTRY));
    List->Allocate = Allocate ? Allocate : AllocateEntry;
    List->Free = Free ? Free : FreeEntry;
    InitializeListHead(&List->Entry);
    return STATUS_SUCCESS;
}

VOID NTAPI SupExFlushLookasideListEx(SUP_LOOKASIDE *List)
{
    PVOID entry;

    while ((entry = InterlockedPopEntrySList(&List->Head)) != NULL)
        List->Free(entry, List);
}

VOID NTAPI SupExDeleteLookasideListEx(SUP_LOOKASIDE *List)
{
    SupExFlushLookasideListEx(List);
}
