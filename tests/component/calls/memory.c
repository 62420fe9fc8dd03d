/* SPDX-License-Identifier: Apache-2.0
 *
 * memory.c - pool, look-aside lists, memory descriptor lists.
 */
#include "calls.h"

NTKERNELAPI PVOID NTAPI ExAllocatePool3(ULONGLONG Flags, SIZE_T Bytes, ULONG Tag, const VOID *Parameters, ULONG Count);
NTKERNELAPI VOID NTAPI ExFreePool2(PVOID Memory, ULONG Tag, const VOID *Parameters, ULONG Count);

#define PAGE 4096u

static BOOLEAN Zeroed(const UCHAR *Memory, SIZE_T Bytes)
{
    while (Bytes && !*Memory++)
        Bytes--;
    return Bytes == 0;
}

/* ---- pool --------------------------------------------------------------------------------------- */

#define ALIGNED(memory) (((ULONG_PTR)(memory) & 15) == 0)

PROBE(Probe_ExAllocatePool)
{
    PVOID memory = (ExAllocatePool)(NonPagedPool, 100);

    EXPECT(memory && ALIGNED(memory), "gives no memory that is aligned to 16 bytes");
    RtlFillMemory(memory, 100, 1);
    ExFreePool(memory);
}

PROBE(Probe_ExAllocatePoolWithTag)
{
    PVOID memory = ExAllocatePoolWithTag(PagedPool, 70000, TAG), small = ExAllocatePoolWithTag(NonPagedPool, 1, TAG);

    EXPECT(memory && small && ALIGNED(memory) && ALIGNED(small), "gives no memory that is aligned to 16 bytes");
    RtlFillMemory(memory, 70000, 1);
    ExFreePoolWithTag(memory, TAG);
    ExFreePoolWithTag(small, TAG);
}

PROBE(WholePages)
{
    PVOID memory = ExAllocatePoolWithTag(NonPagedPool, 2 * PAGE, TAG);

    MINOR(memory && ((ULONG_PTR)memory & (PAGE - 1)) == 0, "does not align a page and more to a page");
    ExFreePoolWithTag(memory, TAG);
}

PROBE(Probe_ExAllocatePoolWithQuotaTag)
{
    PVOID memory = ExAllocatePoolWithQuotaTag(PagedPool, 100, TAG);

    EXPECT(memory, "gives no memory");
    ExFreePoolWithTag(memory, TAG);
}

PROBE(Probe_ExAllocatePoolWithTagPriority)
{
    PVOID memory = ExAllocatePoolWithTagPriority(NonPagedPool, 100, TAG, NormalPoolPriority);

    EXPECT(memory, "gives no memory");
    ExFreePoolWithTag(memory, TAG);
}

PROBE(Probe_ExAllocatePool2)
{
    PUCHAR memory = ExAllocatePool2(POOL_FLAG_NON_PAGED, 5000, TAG);

    EXPECT(memory && Zeroed(memory, 5000), "gives memory that is not zeroed");
    RtlFillMemory(memory, 5000, 1);
    ExFreePoolWithTag(memory, TAG);
    memory = ExAllocatePool2(POOL_FLAG_PAGED, 5000, TAG);
    EXPECT(memory && Zeroed(memory, 5000), "gives memory that is not zeroed");
    ExFreePoolWithTag(memory, TAG);
}

PROBE(TwoPools)
{
    EXPECT(!ExAllocatePool2(POOL_FLAG_PAGED | POOL_FLAG_NON_PAGED, 16, TAG), "takes flags for two pools at once");
    EXPECT(!ExAllocatePool2(0, 16, TAG), "takes flags for no pool");
}

PROBE(Probe_ExAllocatePool3)
{
    PUCHAR memory = ExAllocatePool3(POOL_FLAG_NON_PAGED, 500, TAG, NULL, 0);

    EXPECT(memory && Zeroed(memory, 500), "gives memory that is not zeroed");
    ExFreePoolWithTag(memory, TAG);
}

PROBE(Probe_ExFreePool2)
{
    PVOID memory = ExAllocatePool2(POOL_FLAG_NON_PAGED, 500, TAG);

    ExFreePool2(memory, TAG, NULL, 0);
}

/* ---- look-aside lists --------------------------------------------------------------------------- */

static volatile LONG Allocated, Freed;

static PVOID NTAPI Allocate(POOL_TYPE Type, SIZE_T Bytes, ULONG Tag)
{
    (void)InterlockedIncrement(&Allocated);
    return ExAllocatePoolWithTag(Type, Bytes, Tag);
}

static VOID NTAPI Free(PVOID Memory)
{
    (void)InterlockedIncrement(&Freed);
    ExFreePool(Memory);
}

PROBE(Probe_ExInitializeNPagedLookasideList)
{
    static NPAGED_LOOKASIDE_LIST list;
    PVOID one, two;

    Allocated = Freed = 0;
    ExInitializeNPagedLookasideList(&list, Allocate, Free, 0, 128, TAG, 0);
    one = ExAllocateFromNPagedLookasideList(&list);
    two = ExAllocateFromNPagedLookasideList(&list);
    EXPECT(one && two && one != two && Allocated == 2, "makes a list that does not call the driver's routine");
    RtlFillMemory(one, 128, 1);
    ExFreeToNPagedLookasideList(&list, one);
    EXPECT(ExAllocateFromNPagedLookasideList(&list) == one || Freed == 1, "makes a list that loses what is freed");
    ExFreeToNPagedLookasideList(&list, two);
}

PROBE(Probe_ExDeleteNPagedLookasideList)
{
    static NPAGED_LOOKASIDE_LIST list;

    Allocated = Freed = 0;
    ExInitializeNPagedLookasideList(&list, Allocate, Free, 0, 128, TAG, 0);
    ExFreeToNPagedLookasideList(&list, ExAllocateFromNPagedLookasideList(&list));
    ExDeleteNPagedLookasideList(&list);
    EXPECT(Allocated == 1 && Freed == 1, "does not free what is in the list");
}

PROBE(DefaultRoutines)
{
    static NPAGED_LOOKASIDE_LIST list;
    PVOID memory;

    ExInitializeNPagedLookasideList(&list, NULL, NULL, 0, 128, TAG, 0);
    memory = ExAllocateFromNPagedLookasideList(&list);
    EXPECT(memory, "makes a list without memory");
    ExFreeToNPagedLookasideList(&list, memory);
    ExDeleteNPagedLookasideList(&list);
}

PROBE(Probe_ExInitializePagedLookasideList)
{
    static PAGED_LOOKASIDE_LIST list;
    PVOID memory;

    ExInitializePagedLookasideList(&list, NULL, NULL, 0, 256, TAG, 0);
    memory = ExAllocateFromPagedLookasideList(&list);
    EXPECT(memory, "makes a list without memory");
    RtlFillMemory(memory, 256, 1);
    ExFreeToPagedLookasideList(&list, memory);
    ExDeletePagedLookasideList(&list);
}

static volatile LONG AllocatedEx, FreedEx;

static PVOID NTAPI AllocateEx(POOL_TYPE Type, SIZE_T Bytes, ULONG Tag, PLOOKASIDE_LIST_EX List)
{
    UNREFERENCED_PARAMETER(List);
    (void)InterlockedIncrement(&AllocatedEx);
    return ExAllocatePoolWithTag(Type, Bytes, Tag);
}

static VOID NTAPI FreeEx(PVOID Memory, PLOOKASIDE_LIST_EX List)
{
    UNREFERENCED_PARAMETER(List);
    (void)InterlockedIncrement(&FreedEx);
    ExFreePool(Memory);
}

static DECLSPEC_ALIGN(16) LOOKASIDE_LIST_EX ListEx;

PROBE(Probe_ExInitializeLookasideListEx)
{
    PVOID one, two;

    AllocatedEx = FreedEx = 0;
    EXPECT(ExInitializeLookasideListEx(&ListEx, AllocateEx, FreeEx, NonPagedPool, 0, 200, TAG, 0) == STATUS_SUCCESS,
           "fails");
    one = ExAllocateFromLookasideListEx(&ListEx);
    two = ExAllocateFromLookasideListEx(&ListEx);
    EXPECT(one && two && one != two && AllocatedEx == 2, "makes a list that does not call the driver's routine");
    RtlFillMemory(one, 200, 1);
    ExFreeToLookasideListEx(&ListEx, one);
    EXPECT(ExAllocateFromLookasideListEx(&ListEx) == one && AllocatedEx == 2, "makes a list that keeps nothing");
    ExFreeToLookasideListEx(&ListEx, one);
    ExFreeToLookasideListEx(&ListEx, two);
    EXPECT(ExInitializeLookasideListEx(&ListEx, NULL, NULL, NonPagedPool, 3, 200, TAG, 0) != STATUS_SUCCESS,
           "takes flags that exclude each other");
}

PROBE(Probe_ExFlushLookasideListEx)
{
    AllocatedEx = FreedEx = 0;
    (void)ExInitializeLookasideListEx(&ListEx, AllocateEx, FreeEx, NonPagedPool, 0, 200, TAG, 0);
    ExFreeToLookasideListEx(&ListEx, ExAllocateFromLookasideListEx(&ListEx));
    ExFlushLookasideListEx(&ListEx);
    EXPECT(AllocatedEx == 1 && FreedEx == 1, "does not free what is in the list");
}

PROBE(Probe_ExDeleteLookasideListEx)
{
    AllocatedEx = FreedEx = 0;
    (void)ExInitializeLookasideListEx(&ListEx, AllocateEx, FreeEx, PagedPool, 0, 200, TAG, 0);
    ExFreeToLookasideListEx(&ListEx, ExAllocateFromLookasideListEx(&ListEx));
    ExDeleteLookasideListEx(&ListEx);
    EXPECT(AllocatedEx == 1 && FreedEx == 1, "does not free what is in the list");
}

/* ---- memory descriptor lists -------------------------------------------------------------------- */

static UCHAR Bytes[3 * PAGE];

static PMDL Described(VOID)
{
    PMDL mdl = IoAllocateMdl(Bytes + 100, 5000, FALSE, FALSE, NULL);

    if (mdl)
        MmBuildMdlForNonPagedPool(mdl);
    return mdl;
}

PROBE(Probe_IoAllocateMdl)
{
    PMDL mdl = IoAllocateMdl(Bytes + 100, 5000, FALSE, FALSE, NULL);

    EXPECT(mdl, "answers NULL");
    EXPECT(MmGetMdlByteCount(mdl) == 5000, "makes a list of another length");
    EXPECT(MmGetMdlVirtualAddress(mdl) == (PVOID)(Bytes + 100), "makes a list of another address");
    IoFreeMdl(mdl);
}

PROBE(MdlOfAnIrp)
{
    PIRP irp = IoAllocateIrp(1, FALSE);
    PMDL first = IoAllocateMdl(Bytes, 10, FALSE, FALSE, irp), second = IoAllocateMdl(Bytes + 10, 10, TRUE, FALSE, irp);

    EXPECT(first && second, "answers NULL");
    EXPECT(irp->MdlAddress == first, "does not put the list into the IRP");
    EXPECT(first->Next == second, "does not append a secondary buffer");
    irp->MdlAddress = NULL;
    IoFreeMdl(second);
    IoFreeMdl(first);
    IoFreeIrp(irp);
}

PROBE(Probe_MmBuildMdlForNonPagedPool)
{
    PMDL mdl = Described();

    EXPECT(mdl && mdl->MdlFlags & MDL_SOURCE_IS_NONPAGED_POOL, "does not mark the list");
    EXPECT(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority) == (PVOID)(Bytes + 100),
           "makes a list without the memory's own address");
    IoFreeMdl(mdl);
}

PROBE(Probe_MmProbeAndLockPages)
{
    PMDL mdl = IoAllocateMdl(Bytes + 100, 5000, FALSE, FALSE, NULL);

    MmProbeAndLockPages(mdl, KernelMode, IoWriteAccess);
    EXPECT(mdl->MdlFlags & MDL_PAGES_LOCKED, "does not mark the list");
    MmUnlockPages(mdl);
    EXPECT(!(mdl->MdlFlags & MDL_PAGES_LOCKED), "leaves a mark after MmUnlockPages");
    IoFreeMdl(mdl);
}

static VOID LockNothing(VOID)
{
    PMDL mdl = IoAllocateMdl((PVOID)(ULONG_PTR)0x1000, 100, FALSE, FALSE, NULL);

    MmProbeAndLockPages(mdl, UserMode, IoWriteAccess);
}

PROBE(LockInvalid)
{
    NTSTATUS status = STATUS_SUCCESS;

    __try {
        LockNothing();
    } __except (status = (NTSTATUS)GetExceptionCode(), EXCEPTION_EXECUTE_HANDLER) {
    }
    MINOR(status == STATUS_ACCESS_VIOLATION, "does not raise STATUS_ACCESS_VIOLATION");
}

PROBE(Probe_MmMapLockedPagesSpecifyCache)
{
    PMDL mdl = IoAllocateMdl(Bytes + 100, 5000, FALSE, FALSE, NULL);
    PUCHAR mapped;

    MmProbeAndLockPages(mdl, KernelMode, IoWriteAccess);
    mapped = MmMapLockedPagesSpecifyCache(mdl, KernelMode, MmCached, NULL, FALSE, NormalPagePriority);
    EXPECT(mapped, "answers NULL");
    Bytes[100] = 0;
    *mapped = 77;
    EXPECT(Bytes[100] == 77, "maps other memory");
    MmUnmapLockedPages(mapped, mdl);
    MmUnlockPages(mdl);
    IoFreeMdl(mdl);
}

PROBE(Probe_IoBuildPartialMdl)
{
    PMDL mdl = Described(), part = IoAllocateMdl(Bytes + 200, 1000, FALSE, FALSE, NULL);

    IoBuildPartialMdl(mdl, part, Bytes + 200, 1000);
    EXPECT(MmGetMdlByteCount(part) == 1000 && MmGetMdlVirtualAddress(part) == (PVOID)(Bytes + 200),
           "makes a list of other memory");
    IoFreeMdl(part);
    IoFreeMdl(mdl);
}

PROBE(Probe_MmIsAddressValid)
{
    EXPECT(MmIsAddressValid(Bytes), "answers FALSE for memory of the driver's");
    EXPECT(!MmIsAddressValid((PVOID)(ULONG_PTR)16), "answers TRUE for what is not mapped");
}

PROBE(Probe_MmGetSystemRoutineAddress)
{
    UNICODE_STRING there = RTL_CONSTANT_STRING(L"KeSetEvent"), not_there = RTL_CONSTANT_STRING(L"KeSetNothing");

    EXPECT(MmGetSystemRoutineAddress(&there), "answers NULL for what there is");
    EXPECT(!MmGetSystemRoutineAddress(&not_there), "finds what there is not");
}

PROBE(Probe_MmAllocateContiguousMemory)
{
    PHYSICAL_ADDRESS highest = { .QuadPart = -1 };
    PVOID memory = MmAllocateContiguousMemory(8192, highest);

    EXPECT(memory, "answers NULL");
    RtlFillMemory(memory, 8192, 1);
    MmFreeContiguousMemory(memory);
}

PROBE(Probe_MmGetPhysicalAddress)
{
    EXPECT(MmGetPhysicalAddress(Bytes).QuadPart, "answers 0");
}

PROBE(Probe_MmAllocatePagesForMdl)
{
    PHYSICAL_ADDRESS none = { .QuadPart = 0 }, highest = { .QuadPart = -1 };
    PMDL mdl = MmAllocatePagesForMdl(none, highest, none, 8192);

    EXPECT(mdl && MmGetMdlByteCount(mdl), "gives no pages");
    MmFreePagesFromMdl(mdl);
}

PROBE(Probe_MmPageEntireDriver)
{
    EXPECT(MmPageEntireDriver((PVOID)(ULONG_PTR)Described), "answers NULL");
}

PROBE(Probe_MmLockPagableDataSection)
{
    PVOID section = MmLockPagableDataSection(Bytes);

    EXPECT(section, "answers NULL");
    MmUnlockPagableImageSection(section);
}

PROBE(Probe_MmQuerySystemSize)
{
    EXPECT(MmQuerySystemSize() <= MmLargeSystem, "answers no size");
}

/* ---- probing: what user mode may use ------------------------------------------------------------ */

static VOID ReadOdd(VOID)
{
    ProbeForRead(Bytes + 1, 8, 8);
}

static VOID WriteNowhere(VOID)
{
    ProbeForWrite((PVOID)(ULONG_PTR)0x1000, 8, 1);
}

PROBE(Probe_ProbeForRead)
{
    NTSTATUS status = STATUS_SUCCESS;

    __try {
        ReadOdd();
    } __except (status = (NTSTATUS)GetExceptionCode(), EXCEPTION_EXECUTE_HANDLER) {
    }
    MINOR(status == STATUS_DATATYPE_MISALIGNMENT, "takes an address that is not aligned");
}

PROBE(Probe_ProbeForWrite)
{
    NTSTATUS status = STATUS_SUCCESS;

    __try {
        WriteNowhere();
    } __except (status = (NTSTATUS)GetExceptionCode(), EXCEPTION_EXECUTE_HANDLER) {
    }
    MINOR(status == STATUS_ACCESS_VIOLATION, "takes memory that is not there");
}

const PROBE MemoryProbes[] = {
    P(ExAllocatePool), P(ExAllocatePoolWithTag), CASE(ExAllocatePoolWithTag, "for whole pages", WholePages),
    P(ExAllocatePoolWithQuotaTag),
    P(ExAllocatePoolWithTagPriority), P(ExAllocatePool2), CASE(ExAllocatePool2, "with wrong flags", TwoPools),
    P(ExAllocatePool3), P(ExFreePool2), P(ExInitializeNPagedLookasideList), P(ExDeleteNPagedLookasideList),
    CASE(ExInitializeNPagedLookasideList, "without routines", DefaultRoutines), P(ExInitializePagedLookasideList),
    P(ExInitializeLookasideListEx), P(ExFlushLookasideListEx), P(ExDeleteLookasideListEx), P(IoAllocateMdl),
    CASE(IoAllocateMdl, "for an IRP", MdlOfAnIrp), P(MmBuildMdlForNonPagedPool), P(MmProbeAndLockPages),
    CASE(MmProbeAndLockPages, "of memory that is not there", LockInvalid), P(MmMapLockedPagesSpecifyCache),
    P(IoBuildPartialMdl), P(MmIsAddressValid), P(MmGetSystemRoutineAddress), P(MmAllocateContiguousMemory),
    P(MmGetPhysicalAddress), P(MmAllocatePagesForMdl), P(MmPageEntireDriver), P(MmLockPagableDataSection),
    P(MmQuerySystemSize), P(ProbeForRead), P(ProbeForWrite), ENDS
};
