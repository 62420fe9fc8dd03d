/* SPDX-License-Identifier: Apache-2.0
 *
 * mdl.c - memory descriptor lists and pages for them.
 *
 * Drivers of a guest on Wine share one address space with everybody whose memory
 * they are given, and nothing is paged out: a list is locked by saying so, and
 * mapped where it lies.
 */
#include "wdmsup.h"

NTSYSAPI VOID NTAPI RtlRaiseStatus(NTSTATUS Status);
NTSYSAPI NTSTATUS NTAPI NtAllocateVirtualMemory(HANDLE Process, PVOID *Base, ULONG_PTR Zero, PSIZE_T Size, ULONG Type,
                                                ULONG Protection);
NTSYSAPI NTSTATUS NTAPI NtFreeVirtualMemory(HANDLE Process, PVOID *Base, PSIZE_T Size, ULONG Type);

VOID NTAPI SupMmBuildMdlForNonPagedPool(PMDL Mdl);
VOID NTAPI SupMmProbeAndLockPages(PMDL Mdl, KPROCESSOR_MODE Mode, LOCK_OPERATION Operation);
VOID NTAPI SupMmUnlockPages(PMDL Mdl);
PVOID NTAPI SupMmMapLockedPagesSpecifyCache(PMDL Mdl, KPROCESSOR_MODE Mode, MEMORY_CACHING_TYPE Type, PVOID Address,
                                            ULONG BugCheck, ULONG Priority);
PVOID NTAPI SupMmMapLockedPages(PMDL Mdl, KPROCESSOR_MODE Mode);
VOID NTAPI SupMmUnmapLockedPages(PVOID Base, PMDL Mdl);
VOID NTAPI SupIoBuildPartialMdl(PMDL Source, PMDL Target, PVOID Address, ULONG Length);
PMDL NTAPI SupMmAllocatePagesForMdl(PHYSICAL_ADDRESS Low, PHYSICAL_ADDRESS High, PHYSICAL_ADDRESS Skip, SIZE_T Bytes);
PMDL NTAPI SupMmAllocatePagesForMdlEx(PHYSICAL_ADDRESS Low, PHYSICAL_ADDRESS High, PHYSICAL_ADDRESS Skip, SIZE_T Bytes,
                                      MEMORY_CACHING_TYPE Type, ULONG Flags);
VOID NTAPI SupMmFreePagesFromMdl(PMDL Mdl);
PVOID NTAPI SupMmAllocateContiguousMemory(SIZE_T Bytes, PHYSICAL_ADDRESS Highest);
PVOID NTAPI SupMmAllocateContiguousMemorySpecifyCache(SIZE_T Bytes, PHYSICAL_ADDRESS Lowest, PHYSICAL_ADDRESS Highest,
                                                      PHYSICAL_ADDRESS Boundary, MEMORY_CACHING_TYPE Type);
VOID NTAPI SupMmFreeContiguousMemory(PVOID Memory);
VOID NTAPI SupMmFreeContiguousMemorySpecifyCache(PVOID Memory, SIZE_T Bytes, MEMORY_CACHING_TYPE Type);
PVOID NTAPI SupMmLockPagableDataSection(PVOID Address);
VOID NTAPI SupMmUnlockPagableImageSection(PVOID Section);
SIZE_T NTAPI SupMmSizeOfMdl(PVOID Base, SIZE_T Length);
PMDL NTAPI SupMmCreateMdl(PMDL Room, PVOID Base, SIZE_T Length);
NTSTATUS NTAPI SupMmAdvanceMdl(PMDL Mdl, ULONG Bytes);

#define THIS_PROCESS ((HANDLE)(LONG_PTR)-1)

static PUCHAR Address(PMDL Mdl)
{
    return (PUCHAR)Mdl->StartVa + Mdl->ByteOffset;
}

/* IRQL <= DISPATCH_LEVEL. */
VOID NTAPI SupMmBuildMdlForNonPagedPool(PMDL Mdl)
{
    Mdl->MappedSystemVa = Address(Mdl);
    Mdl->MdlFlags |= MDL_SOURCE_IS_NONPAGED_POOL;
}

/* IRQL <= APC_LEVEL for memory that may be paged out.  Raises STATUS_ACCESS_VIOLATION where there is none. */
VOID NTAPI SupMmProbeAndLockPages(PMDL Mdl, KPROCESSOR_MODE Mode, LOCK_OPERATION Operation)
{
    PUCHAR page, end = Address(Mdl) + Mdl->ByteCount;

    UNREFERENCED_PARAMETER(Mode);
    for (page = Mdl->StartVa; page < end; page += PAGE_SIZE) {
        if (!MmIsAddressValid(page))
            RtlRaiseStatus(STATUS_ACCESS_VIOLATION);
    }
    Mdl->MdlFlags |= MDL_PAGES_LOCKED;
    if (Operation != IoReadAccess)
        Mdl->MdlFlags |= MDL_WRITE_OPERATION;
}

VOID NTAPI SupMmUnlockPages(PMDL Mdl)
{
    Mdl->MdlFlags &= ~(MDL_PAGES_LOCKED | MDL_WRITE_OPERATION | MDL_MAPPED_TO_SYSTEM_VA);
}

PVOID NTAPI SupMmMapLockedPagesSpecifyCache(PMDL Mdl, KPROCESSOR_MODE Mode, MEMORY_CACHING_TYPE Type, PVOID Wanted,
                                            ULONG BugCheck, ULONG Priority)
{
    UNREFERENCED_PARAMETER(Type);
    UNREFERENCED_PARAMETER(Wanted);
    UNREFERENCED_PARAMETER(BugCheck);
    UNREFERENCED_PARAMETER(Priority);
    if (Mode == UserMode)               /* there is no other process to map it into */
        return Address(Mdl);
    Mdl->MappedSystemVa = Address(Mdl);
    Mdl->MdlFlags |= MDL_MAPPED_TO_SYSTEM_VA;
    return Mdl->MappedSystemVa;
}

PVOID NTAPI SupMmMapLockedPages(PMDL Mdl, KPROCESSOR_MODE Mode)
{
    return SupMmMapLockedPagesSpecifyCache(Mdl, Mode, MmCached, NULL, TRUE, HighPagePriority);
}

VOID NTAPI SupMmUnmapLockedPages(PVOID Base, PMDL Mdl)
{
    if (Base == Mdl->MappedSystemVa)
        Mdl->MdlFlags &= ~(MDL_MAPPED_TO_SYSTEM_VA | MDL_PARTIAL_HAS_BEEN_MAPPED);
}

/* A length of zero is all that is left. */
VOID NTAPI SupIoBuildPartialMdl(PMDL Source, PMDL Target, PVOID Start, ULONG Length)
{
    ULONG offset = (ULONG)((PUCHAR)Start - Address(Source));

    Target->StartVa = (PVOID)((ULONG_PTR)Start & ~(ULONG_PTR)(PAGE_SIZE - 1));
    Target->ByteOffset = (ULONG)((ULONG_PTR)Start & (PAGE_SIZE - 1));
    Target->ByteCount = Length ? Length : Source->ByteCount - offset;
    Target->Process = Source->Process;
    Target->MappedSystemVa = Start;
    Target->MdlFlags |= MDL_PARTIAL | (Source->MdlFlags & (MDL_SOURCE_IS_NONPAGED_POOL | MDL_MAPPED_TO_SYSTEM_VA));
}

/* ---- pages -------------------------------------------------------------------------------------- */

/* Zeroed, and aligned to 64 KiB; NULL where there are none. */
static PVOID AllocatePages(SIZE_T Bytes)
{
    PVOID base = NULL;

    if (!Bytes || !NT_SUCCESS(NtAllocateVirtualMemory(THIS_PROCESS, &base, 0, &Bytes, MEM_COMMIT | MEM_RESERVE,
                                                      PAGE_READWRITE)))
        return NULL;
    return base;
}

static VOID FreePages(PVOID Base)
{
    SIZE_T whole = 0;

    (void)NtFreeVirtualMemory(THIS_PROCESS, &Base, &whole, MEM_RELEASE);
}

/* IRQL <= APC_LEVEL, and the driver frees the list itself with ExFreePool. */
PMDL NTAPI SupMmAllocatePagesForMdlEx(PHYSICAL_ADDRESS Low, PHYSICAL_ADDRESS High, PHYSICAL_ADDRESS Skip, SIZE_T Bytes,
                                      MEMORY_CACHING_TYPE Type, ULONG Flags)
{
    SIZE_T whole = (Bytes + PAGE_SIZE - 1) & ~(SIZE_T)(PAGE_SIZE - 1);
    PVOID pages;
    PMDL mdl;

    UNREFERENCED_PARAMETER(Low);
    UNREFERENCED_PARAMETER(High);
    UNREFERENCED_PARAMETER(Skip);
    UNREFERENCED_PARAMETER(Type);
    UNREFERENCED_PARAMETER(Flags);
    if (whole > MAXULONG)
        return NULL;
    pages = AllocatePages(whole);
    if (!pages)
        return NULL;
    mdl = IoAllocateMdl(pages, (ULONG)whole, FALSE, FALSE, NULL);
    if (!mdl) {
        FreePages(pages);
        return NULL;
    }
    mdl->MdlFlags |= MDL_PAGES_LOCKED;
    return mdl;
}

PMDL NTAPI SupMmAllocatePagesForMdl(PHYSICAL_ADDRESS Low, PHYSICAL_ADDRESS High, PHYSICAL_ADDRESS Skip, SIZE_T Bytes)
{
    return SupMmAllocatePagesForMdlEx(Low, High, Skip, Bytes, MmCached, 0);
}

VOID NTAPI SupMmFreePagesFromMdl(PMDL Mdl)
{
    FreePages(Mdl->StartVa);
    Mdl->MdlFlags &= ~MDL_PAGES_LOCKED;
}

/* No device reads it by its physical address here. */
PVOID NTAPI SupMmAllocateContiguousMemory(SIZE_T Bytes, PHYSICAL_ADDRESS Highest)
{
    UNREFERENCED_PARAMETER(Highest);
    return AllocatePages(Bytes);
}

PVOID NTAPI SupMmAllocateContiguousMemorySpecifyCache(SIZE_T Bytes, PHYSICAL_ADDRESS Lowest, PHYSICAL_ADDRESS Highest,
                                                      PHYSICAL_ADDRESS Boundary, MEMORY_CACHING_TYPE Type)
{
    UNREFERENCED_PARAMETER(Lowest);
    UNREFERENCED_PARAMETER(Highest);
    UNREFERENCED_PARAMETER(Boundary);
    UNREFERENCED_PARAMETER(Type);
    return AllocatePages(Bytes);
}

VOID NTAPI SupMmFreeContiguousMemory(PVOID Memory)
{
    FreePages(Memory);
}

VOID NTAPI SupMmFreeContiguousMemorySpecifyCache(PVOID Memory, SIZE_T Bytes, MEMORY_CACHING_TYPE Type)
{
    UNREFERENCED_PARAMETER(Bytes);
    UNREFERENCED_PARAMETER(Type);
    FreePages(Memory);
}

/* Nothing is paged out: the section is named by the address that it was asked by. */
PVOID NTAPI SupMmLockPagableDataSection(PVOID Section)
{
    return Section;
}

VOID NTAPI SupMmUnlockPagableImageSection(PVOID Section)
{
    UNREFERENCED_PARAMETER(Section);
}

/* ---- lists that the caller has made room for, or that begin later -------------------------------- */

SIZE_T NTAPI SupMmSizeOfMdl(PVOID Base, SIZE_T Length)
{
    return sizeof(MDL) + sizeof(PFN_NUMBER) * ADDRESS_AND_SIZE_TO_SPAN_PAGES(Base, Length);
}

/* IRQL <= DISPATCH_LEVEL.  Room for a list is the caller's, or comes from the pool. */
PMDL NTAPI SupMmCreateMdl(PMDL Room, PVOID Base, SIZE_T Length)
{
    PMDL mdl = Room;

    if (!mdl)
        mdl = ExAllocatePoolWithTag(NonPagedPool, SupMmSizeOfMdl(Base, Length), SUP_TAG);
    if (mdl)
        MmInitializeMdl(mdl, Base, Length);
    return mdl;
}

/* IRQL <= DISPATCH_LEVEL.  The list begins so many bytes later; what is mapped moves with it. */
NTSTATUS NTAPI SupMmAdvanceMdl(PMDL Mdl, ULONG Bytes)
{
    PUCHAR begin = Address(Mdl) + Bytes;

    if (Bytes >= Mdl->ByteCount)
        return STATUS_INVALID_PARAMETER_2;
    if (Mdl->MdlFlags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL | MDL_PARTIAL_HAS_BEEN_MAPPED))
        Mdl->MappedSystemVa = (PUCHAR)Mdl->MappedSystemVa + Bytes;
    Mdl->StartVa = PAGE_ALIGN(begin);
    Mdl->ByteOffset = BYTE_OFFSET(begin);
    Mdl->ByteCount -= Bytes;
    return STATUS_SUCCESS;
}
