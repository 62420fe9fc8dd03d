/* SPDX-License-Identifier: Apache-2.0
 *
 * pages.c - address space with a hole or a protection in it, for buffers that a
 * driver must not touch, must not write, or must not overrun by one byte.
 *
 * NT: a range is reserved by MmAllocateMappingAddress and fewer pages than that
 * are mapped into it; the rest faults on every access and cannot become anybody
 * else's memory.  Wine: drivers live in a process, whose virtual memory does the
 * same.  All services are looked up at run time, for kernels without them.
 */
#include "ksclient.h"

typedef PVOID (NTAPI *allocate_mapping)(SIZE_T bytes, ULONG tag);
typedef VOID (NTAPI *free_mapping)(PVOID base, ULONG tag);
typedef PVOID (NTAPI *map_reserved)(PVOID base, ULONG tag, PMDL mdl, MEMORY_CACHING_TYPE cache);
typedef VOID (NTAPI *unmap_reserved)(PVOID base, ULONG tag, PMDL mdl);
typedef PMDL (NTAPI *allocate_pages)(PHYSICAL_ADDRESS low, PHYSICAL_ADDRESS high, PHYSICAL_ADDRESS skip, SIZE_T bytes);
typedef VOID (NTAPI *free_pages)(PMDL mdl);
typedef PVOID (NTAPI *map_pages)(PMDL mdl, KPROCESSOR_MODE mode, MEMORY_CACHING_TYPE cache, PVOID base,
                                 ULONG bugcheck, ULONG priority);
typedef VOID (NTAPI *unmap_pages)(PVOID base, PMDL mdl);
typedef NTSTATUS (NTAPI *protect_pages)(PMDL mdl, ULONG protection);
typedef NTSTATUS (NTAPI *allocate_virtual)(HANDLE process, PVOID *base, ULONG_PTR zero, PSIZE_T bytes, ULONG type,
                                           ULONG protection);
typedef NTSTATUS (NTAPI *free_virtual)(HANDLE process, PVOID *base, PSIZE_T bytes, ULONG type);
typedef NTSTATUS (NTAPI *protect_virtual)(HANDLE process, PVOID *base, PSIZE_T bytes, ULONG protection, PULONG old);

#define ROUTINE(type, name) ((type)(ULONG_PTR)kshs_system_routine(name))
#define THIS_PROCESS ((HANDLE)(LONG_PTR)-1)

/* ---- Wine ------------------------------------------------------------------------ */

static NTSTATUS allocate_in_process(ksc_pages *pages)
{
    allocate_virtual allocate = ROUTINE(allocate_virtual, L"ZwAllocateVirtualMemory");
    free_virtual release = ROUTINE(free_virtual, L"ZwFreeVirtualMemory");
    PVOID base = NULL;
    SIZE_T bytes = pages->reserved;
    NTSTATUS status;

    if (!allocate || !release)
        return STATUS_NOT_SUPPORTED;
    status = allocate(THIS_PROCESS, &base, 0, &bytes, MEM_RESERVE, PAGE_NOACCESS);
    if (!NT_SUCCESS(status))
        return status;
    pages->base = base;
    if (pages->mapped) {
        bytes = pages->mapped;
        status = allocate(THIS_PROCESS, &base, 0, &bytes, MEM_COMMIT, PAGE_READWRITE);
    }
    if (!NT_SUCCESS(status)) {
        bytes = 0;
        release(THIS_PROCESS, &base, &bytes, MEM_RELEASE);
    }
    return status;
}

static NTSTATUS read_only_in_process(ksc_pages *pages)
{
    protect_virtual protect = ROUTINE(protect_virtual, L"ZwProtectVirtualMemory");
    PVOID base = pages->base;
    SIZE_T bytes = pages->mapped;
    ULONG old;

    return protect ? protect(THIS_PROCESS, &base, &bytes, PAGE_READONLY, &old) : STATUS_NOT_SUPPORTED;
}

static void free_in_process(ksc_pages *pages)
{
    free_virtual release = ROUTINE(free_virtual, L"ZwFreeVirtualMemory");
    PVOID base = pages->base;
    SIZE_T bytes = 0;

    release(THIS_PROCESS, &base, &bytes, MEM_RELEASE);
}

static void decommit_in_process(ksc_pages *pages)
{
    free_virtual release = ROUTINE(free_virtual, L"ZwFreeVirtualMemory");
    PVOID base = pages->base;
    SIZE_T bytes = pages->mapped;

    release(THIS_PROCESS, &base, &bytes, MEM_DECOMMIT);
}

/* ---- NT -------------------------------------------------------------------------- */

/* Physical pages for the mapped part, or NULL. */
static PMDL take_pages(SIZE_T bytes)
{
    allocate_pages allocate = ROUTINE(allocate_pages, L"MmAllocatePagesForMdl");
    free_pages release = ROUTINE(free_pages, L"MmFreePagesFromMdl");
    PHYSICAL_ADDRESS low, high, skip;
    PMDL mdl;

    if (!allocate || !release)
        return NULL;
    low.QuadPart = 0;
    high.QuadPart = -1;
    skip.QuadPart = 0;
    mdl = allocate(low, high, skip, bytes);
    if (mdl && MmGetMdlByteCount(mdl) < bytes) {    /* it may give less than asked for */
        release(mdl);
        ExFreePool(mdl);
        mdl = NULL;
    }
    return mdl;
}

static void give_pages_back(PMDL mdl)
{
    ROUTINE(free_pages, L"MmFreePagesFromMdl")(mdl);
    ExFreePool(mdl);
}

/* A reservation with pages at its beginning. */
static NTSTATUS allocate_reserved(ksc_pages *pages)
{
    allocate_mapping reserve = ROUTINE(allocate_mapping, L"MmAllocateMappingAddress");
    free_mapping unreserve = ROUTINE(free_mapping, L"MmFreeMappingAddress");
    map_reserved map = ROUTINE(map_reserved, L"MmMapLockedPagesWithReservedMapping");

    if (!reserve || !unreserve || !map || !kshs_system_routine(L"MmUnmapReservedMapping"))
        return STATUS_NOT_SUPPORTED;
    pages->reservation = reserve(pages->reserved, KSC_TAG);
    if (!pages->reservation)
        return STATUS_NOT_SUPPORTED;                /* out of address space, or an empty implementation */
    pages->base = pages->reservation;
    if (!pages->mapped)
        return STATUS_SUCCESS;
    pages->mdl = take_pages(pages->mapped);
    if (pages->mdl && map(pages->reservation, KSC_TAG, pages->mdl, MmCached) == pages->reservation)
        return STATUS_SUCCESS;
    if (pages->mdl)
        give_pages_back(pages->mdl);
    unreserve(pages->reservation, KSC_TAG);
    return STATUS_INSUFFICIENT_RESOURCES;
}

/* Pages mapped wherever there is room: no hole is wanted. */
static NTSTATUS allocate_anywhere(ksc_pages *pages)
{
    map_pages map = ROUTINE(map_pages, L"MmMapLockedPagesSpecifyCache");

    if (!map || !kshs_system_routine(L"MmUnmapLockedPages"))
        return STATUS_NOT_SUPPORTED;
    pages->mdl = take_pages(pages->mapped);
    if (!pages->mdl)
        return STATUS_NOT_SUPPORTED;
    pages->base = map(pages->mdl, KernelMode, MmCached, NULL, FALSE, NormalPagePriority);
    if (pages->base)
        return STATUS_SUCCESS;
    give_pages_back(pages->mdl);
    return STATUS_INSUFFICIENT_RESOURCES;
}

static void free_kernel(ksc_pages *pages)
{
    if (pages->reservation) {
        if (pages->mdl)
            ROUTINE(unmap_reserved, L"MmUnmapReservedMapping")(pages->reservation, KSC_TAG, pages->mdl);
        ROUTINE(free_mapping, L"MmFreeMappingAddress")(pages->reservation, KSC_TAG);
    } else {
        ROUTINE(unmap_pages, L"MmUnmapLockedPages")(pages->base, pages->mdl);
    }
    if (pages->mdl)
        give_pages_back(pages->mdl);
}

/* ---- both ------------------------------------------------------------------------ */

NTSTATUS ksc_pages_allocate(ksc_pages *pages, SIZE_T reserved, SIZE_T mapped)
{
    NTSTATUS status;

    RtlZeroMemory(pages, sizeof *pages);
    pages->reserved = (reserved + PAGE_SIZE - 1) & ~((SIZE_T)PAGE_SIZE - 1);
    pages->mapped = (mapped + PAGE_SIZE - 1) & ~((SIZE_T)PAGE_SIZE - 1);
    if (kshs_is_wine())
        status = allocate_in_process(pages);
    else if (pages->reserved > pages->mapped)
        status = allocate_reserved(pages);
    else
        status = allocate_anywhere(pages);
    pages->in_use = NT_SUCCESS(status);
    return status;
}

NTSTATUS ksc_pages_read_only(ksc_pages *pages)
{
    protect_pages protect;

    if (kshs_is_wine())
        return read_only_in_process(pages);
    protect = ROUTINE(protect_pages, L"MmProtectMdlSystemAddress");
    /* Kernels that export it without an implementation say so in their own words. */
    if (!protect || !NT_SUCCESS(protect(pages->mdl, PAGE_READONLY)))
        return STATUS_NOT_SUPPORTED;
    return STATUS_SUCCESS;
}

void ksc_pages_vanish(ksc_pages *pages)
{
    if (!pages->in_use || !pages->mapped)
        return;
    if (kshs_is_wine()) {
        decommit_in_process(pages);
    } else if (pages->reservation && pages->mdl) {
        ROUTINE(unmap_reserved, L"MmUnmapReservedMapping")(pages->reservation, KSC_TAG, pages->mdl);
        give_pages_back(pages->mdl);
        pages->mdl = NULL;
    }
    pages->mapped = 0;
}

void ksc_pages_free(ksc_pages *pages)
{
    if (!pages->in_use)
        return;
    pages->in_use = FALSE;
    if (kshs_is_wine())
        free_in_process(pages);
    else
        free_kernel(pages);
}
