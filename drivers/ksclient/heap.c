/* SPDX-License-Identifier: Apache-2.0
 *
 * heap.c - blocks and bytes of Wine's pool, which is a heap of the process
 * that hosts drivers.
 *
 * Only ntdll.dll can walk a heap, and a driver that imported from it would be
 * loaded by no NT kernel: its functions are looked up in the export table of
 * the module that the process has loaded first behind its own image.  Nothing
 * here runs on NT.
 */
#include "ksclient.h"

#define MODULES_LOOKED_AT 8         /* ntdll.dll is the second one */
#define MAX_HEAPS 64
#define MAX_ENTRIES 4000000
#define PROBE_BYTES 40000           /* more than what a heap keeps many of in one block */
#define BUSY 1                      /* RTL_HEAP_ENTRY_BUSY */
#define OLD_BUSY 4                  /* PROCESS_HEAP_ENTRY_BUSY, which Wine took before; its 1 is a region */
#define BASIC_CLASS 0               /* ProcessBasicInformation */
#define PROBES 64                   /* small blocks that must be seen to come and to go, */
#define PROBES_SEEN 48              /* and of which others may hide some by what they take and free meanwhile */
#define PROBE_SMALL 40

typedef struct heap_entry {         /* of RtlWalkHeap */
    PVOID data;
    SIZE_T bytes;
    UCHAR overhead;
    UCHAR region;
    USHORT flags;
    ULONG_PTR more[8];              /* whatever the rest is, there is room for it */
} heap_entry;

/*
 * Wine 9 and later keep small blocks in groups of 31, which a walk shows as one block that is allocated, however many
 * of them are.  In front of each block stands a header, and a group's data begin with what is the heap's own.
 */
#define GROUP_BLOCKS 31
#define GROUP_OWN 24
#define HEADER_GROUP 0x80           /* of flags: the block is a group, or lies in one */
#define HEADER_FREE 0x01

typedef struct block_header {
    USHORT units;                   /* of 16 bytes, the header included */
    USHORT tail;                    /* bytes at the end that nobody asked for; of a free block something else */
    USHORT place;
    UCHAR type;
    UCHAR flags;
} block_header;

typedef ULONG (NTAPI *get_heaps)(ULONG Count, HANDLE *Heaps);
typedef BOOLEAN (NTAPI *lock_heap)(HANDLE Heap);
typedef NTSTATUS (NTAPI *walk_heap)(HANDLE Heap, heap_entry *Entry);
typedef NTSTATUS (NTAPI *query_process)(HANDLE Process, ULONG Class, PVOID Data, ULONG Length, PULONG Returned);

static struct {
    volatile LONG looked;           /* 0: not yet, 1: somebody does, 2: done */
    HANDLE pool;                    /* the heap that is the pool; NULL: it was not found, or cannot be walked */
    USHORT busy;                    /* the flag of a block that is allocated */
    get_heaps heaps;
    lock_heap lock;
    lock_heap unlock;
    walk_heap walk;
} heap;

/* ---- ntdll.dll --------------------------------------------------------------------------- */

typedef struct loaded_module {      /* LDR_DATA_TABLE_ENTRY */
    LIST_ENTRY in_load_order;
    LIST_ENTRY in_memory_order;
    LIST_ENTRY in_initialization_order;
    PUCHAR base;
    PVOID entry_point;
    ULONG size;
    UNICODE_STRING path;
    UNICODE_STRING name;
} loaded_module;

typedef struct loader_data {        /* PEB_LDR_DATA */
    ULONG length;
    ULONG initialized;
    PVOID handle;
    LIST_ENTRY in_load_order;
} loader_data;

typedef struct process_block {      /* PEB */
    UCHAR flags[4];
    PVOID mutant;
    PVOID image;
    loader_data *loader;
} process_block;

static PUCHAR find_ntdll(void)
{
    query_process query = (query_process)(ULONG_PTR)kshs_system_routine(L"ZwQueryInformationProcess");
    UNICODE_STRING wanted = RTL_CONSTANT_STRING(L"ntdll.dll");
    struct {
        ULONG_PTR status;
        process_block *block;
        ULONG_PTR more[4];
    } basic;
    LIST_ENTRY *head, *entry;
    int i;

    if (!query || !NT_SUCCESS(query((HANDLE)-1, BASIC_CLASS, &basic, sizeof basic, NULL)))
        return NULL;
    head = &basic.block->loader->in_load_order;
    for (entry = head->Flink, i = 0; entry != head && i < MODULES_LOOKED_AT; entry = entry->Flink, i++) {
        loaded_module *module = CONTAINING_RECORD(entry, loaded_module, in_load_order);

        if (RtlEqualUnicodeString(&module->name, &wanted, TRUE))
            return module->base;
    }
    return NULL;
}

static uint32_t dword_at(const UCHAR *base, ULONG offset)
{
    uint32_t value;

    RtlCopyMemory(&value, base + offset, sizeof value);
    return value;
}

/* A function by its name in the export table of a loaded image; NULL: it has none. */
static PVOID exported(PUCHAR base, const char *name)
{
    ULONG optional = dword_at(base, 0x3C) + 24;
    BOOLEAN wide = (dword_at(base, optional) & 0xFFFF) == 0x20B;
    const UCHAR *table = base + dword_at(base, optional + (wide ? 112 : 96));
    const UCHAR *functions = base + dword_at(table, 28);
    const UCHAR *names = base + dword_at(table, 32);
    const UCHAR *ordinals = base + dword_at(table, 36);
    ULONG count = dword_at(table, 24), i;

    for (i = 0; i < count; i++) {
        const char *found = (const char *)base + dword_at(names, 4 * i);
        USHORT ordinal;
        ULONG c = 0;

        while (name[c] && found[c] == name[c])
            c++;
        if (name[c] || found[c])
            continue;
        RtlCopyMemory(&ordinal, ordinals + 2 * i, sizeof ordinal);
        return base + dword_at(functions, 4 * (ULONG)ordinal);
    }
    return NULL;
}

static BOOLEAN find_functions(void)
{
    PUCHAR ntdll = find_ntdll();

    if (!ntdll)
        return FALSE;
    heap.heaps = (get_heaps)(ULONG_PTR)exported(ntdll, "RtlGetProcessHeaps");
    heap.lock = (lock_heap)(ULONG_PTR)exported(ntdll, "RtlLockHeap");
    heap.unlock = (lock_heap)(ULONG_PTR)exported(ntdll, "RtlUnlockHeap");
    heap.walk = (walk_heap)(ULONG_PTR)exported(ntdll, "RtlWalkHeap");
    return heap.heaps && heap.lock && heap.unlock && heap.walk;
}

/* ---- walking ------------------------------------------------------------------------------ */

typedef struct heap_use {
    uint32_t blocks;
    uint64_t bytes;
    USHORT flags;                   /* of the block that was looked for */
    BOOLEAN found;
} heap_use;

/* The blocks of a group that are allocated.  FALSE: it is no group, but a block as any other. */
static BOOLEAN count_group(const heap_entry *entry, heap_use *use)
{
    const UCHAR *data = entry->data;
    uint32_t blocks = 0, i;
    uint64_t bytes = 0;
    block_header header;
    SIZE_T size;

    RtlCopyMemory(&header, data - sizeof header, sizeof header);
    if (!(header.flags & HEADER_GROUP) || entry->bytes < GROUP_OWN + sizeof header)
        return FALSE;
    RtlCopyMemory(&header, data + GROUP_OWN, sizeof header);
    size = (SIZE_T)header.units * 16;
    if (entry->bytes != GROUP_OWN + GROUP_BLOCKS * size)
        return FALSE;
    for (i = 0; i < GROUP_BLOCKS; i++) {
        RtlCopyMemory(&header, data + GROUP_OWN + i * size, sizeof header);
        if (!(header.flags & HEADER_GROUP) || (SIZE_T)header.units * 16 != size)
            return FALSE;
        if (header.flags & HEADER_FREE)
            continue;
        if (header.tail + sizeof header > size)
            return FALSE;
        blocks++;
        bytes += size - sizeof header - header.tail;
    }
    use->blocks += blocks;
    use->bytes += bytes;
    return TRUE;
}

/* All blocks with this flag, and the flags of the one at an address.  FALSE: it cannot be walked to its end. */
static BOOLEAN walk(HANDLE which, USHORT flag, PVOID wanted, heap_use *use)
{
    heap_entry entry;
    NTSTATUS status = STATUS_SUCCESS;
    uint32_t i;

    RtlZeroMemory(use, sizeof *use);
    RtlZeroMemory(&entry, sizeof entry);
    if (!heap.lock(which))
        return FALSE;
    for (i = 0; i < MAX_ENTRIES; i++) {
        status = heap.walk(which, &entry);
        if (!NT_SUCCESS(status))
            break;
        if (wanted && entry.data == wanted) {
            use->found = TRUE;
            use->flags = entry.flags;
        }
        if (entry.flags & flag && !count_group(&entry, use)) {
            use->blocks++;
            use->bytes += entry.bytes;      /* as asked for: what is around it varies with what was there before */
        }
    }
    heap.unlock(which);
    return status == STATUS_NO_MORE_ENTRIES;
}

/* The heap in which a block of the pool lies, and what a block that is allocated looks like there.  Believed only if
 * the count goes down by that very block when it is freed. */
static void find_pool(void)
{
    PVOID probe = ExAllocatePoolWithTag(NonPagedPool, PROBE_BYTES, KSC_TAG);
    HANDLE heaps[MAX_HEAPS], found = NULL;
    ULONG count = probe ? heap.heaps(MAX_HEAPS, heaps) : 0, i;
    heap_use with, without;

    RtlZeroMemory(&with, sizeof with);
    for (i = 0; i < count && i < MAX_HEAPS && !found; i++)
        if (walk(heaps[i], 0, probe, &with) && with.found)
            found = heaps[i];
    heap.busy = with.flags & OLD_BUSY ? OLD_BUSY : with.flags & BUSY;
    if (found && (!heap.busy || !walk(found, heap.busy, NULL, &with)))
        found = NULL;
    if (probe)
        ExFreePoolWithTag(probe, KSC_TAG);
    if (found && walk(found, heap.busy, NULL, &without) && without.bytes + PROBE_BYTES <= with.bytes)
        heap.pool = found;
}

/* Whether small blocks are counted one by one, too. */
static BOOLEAN sees_small_blocks(void)
{
    PVOID *probes = ExAllocatePoolWithTag(NonPagedPool, PROBES * sizeof *probes, KSC_TAG);
    heap_use without, with, after;
    BOOLEAN walked;
    uint32_t i, made = 0;

    if (!probes)
        return FALSE;
    walked = walk(heap.pool, heap.busy, NULL, &without);
    for (i = 0; i < PROBES; i++) {
        probes[i] = ExAllocatePoolWithTag(NonPagedPool, PROBE_SMALL, KSC_TAG);
        made += probes[i] != NULL;
    }
    walked &= walk(heap.pool, heap.busy, NULL, &with);
    for (i = 0; i < PROBES; i++)
        if (probes[i])
            ExFreePoolWithTag(probes[i], KSC_TAG);
    walked &= walk(heap.pool, heap.busy, NULL, &after);
    ExFreePoolWithTag(probes, KSC_TAG);
    return walked && made == PROBES && without.blocks + PROBES_SEEN <= with.blocks &&
           after.blocks + PROBES_SEEN <= with.blocks;
}

BOOLEAN ksc_heap_count(uint32_t *blocks, uint64_t *bytes)
{
    heap_use use;

    if (!InterlockedCompareExchange(&heap.looked, 1, 0)) {
        if (find_functions())
            find_pool();
        if (heap.pool && !sees_small_blocks())
            heap.pool = NULL;
        InterlockedExchange(&heap.looked, 2);
    }
    if (heap.looked != 2 || !heap.pool || !walk(heap.pool, heap.busy, NULL, &use))
        return FALSE;
    *blocks = use.blocks;
    *bytes = use.bytes;
    return TRUE;
}
