/* SPDX-License-Identifier: Apache-2.0
 *
 * counters.c - COUNTERS: what is held just now of what a driver can leak.
 *
 * No kernel documents all of it, so each counter proves itself before it is
 * believed: a reference that is taken must show and be gone again, a block
 * that is allocated must be among those that are counted.  One that does not
 * is left out of `counted`, and whoever asked says "not measured".
 *
 *             NT                                 Wine
 *   pool      SystemPoolTagInformation, by tag   the heap that is the pool, walked: one entry without a tag
 *   handles   of the System process              of the process that hosts drivers
 *   objects   PointerCount in OBJECT_HEADER      `ref` of Wine's object header
 *   class     -                                  what the reference class driver says of itself
 */
#include "ksclient.h"

#define HANDLE_COUNT_CLASS 20       /* ProcessHandleCount */
#define POOL_TAG_CLASS 22           /* SystemPoolTagInformation */
#define HANDLE_TABLE_CLASS 64       /* SystemExtendedHandleInformation */
#define TABLE_FIRST 0x20000
#define TABLE_LAST 0x1000000
#define TRIES 16                    /* others may take and drop references meanwhile */
#define SETTLE_TRIES 50
#define SETTLE_MS 2

typedef NTSTATUS (NTAPI *query_process)(HANDLE Process, ULONG Class, PVOID Data, ULONG Length, PULONG Returned);
typedef NTSTATUS (NTAPI *create_event)(PHANDLE Event, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes,
                                       EVENT_TYPE Type, BOOLEAN State);
typedef NTSTATUS (NTAPI *query_system)(ULONG Class, PVOID Data, ULONG Length, PULONG Returned);

/* ---- tables of the system ------------------------------------------------------------------ */

/* A table of a class of ZwQuerySystemInformation, from the pool and all of it; NULL: this kernel has none.
 * `room` is how long it may be. */
static PVOID read_table(ULONG class, ULONG *room)
{
    query_system query = (query_system)(ULONG_PTR)kshs_system_routine(L"ZwQuerySystemInformation");
    ULONG length;

    for (length = TABLE_FIRST; query && length <= TABLE_LAST; length *= 2) {
        PVOID table = kshs_zalloc(length, KSC_TAG);
        NTSTATUS status = table ? query(class, table, length, NULL) : STATUS_INSUFFICIENT_RESOURCES;

        *room = length;
        if (NT_SUCCESS(status))
            return table;
        if (table)
            ExFreePoolWithTag(table, KSC_TAG);
        if (status != STATUS_INFO_LENGTH_MISMATCH)
            return NULL;
    }
    return NULL;
}

/* ---- handles --------------------------------------------------------------------------- */

typedef struct handle_entry {       /* SYSTEM_HANDLE_TABLE_ENTRY_INFO_EX */
    PVOID object;
    ULONG_PTR process;
    ULONG_PTR handle;
    ULONG more[4];
} handle_entry;

typedef struct handle_table {       /* SYSTEM_HANDLE_INFORMATION_EX */
    ULONG_PTR count;
    ULONG_PTR reserved;
    handle_entry handles[1];
} handle_table;

/* Wine's ProcessHandleCount is always 0: there the handles of all processes are listed, and ours counted. */
static uint32_t count_listed(void)
{
    const ULONG_PTR own = (ULONG_PTR)PsGetCurrentProcessId();
    ULONG room;
    handle_table *table = read_table(HANDLE_TABLE_CLASS, &room);
    uint32_t count = 0;
    ULONG_PTR i;

    if (!table)
        return 0;
    for (i = 0; i < table->count && i < (room - offsetof(handle_table, handles)) / sizeof(handle_entry); i++)
        count += table->handles[i].process == own;
    ExFreePoolWithTag(table, KSC_TAG);
    return count;
}

BOOLEAN ksc_count_handles(uint32_t *handles)
{
    query_process query = (query_process)(ULONG_PTR)kshs_system_routine(L"ZwQueryInformationProcess");
    ULONG count = 0;

    if (kshs_is_wine())
        count = count_listed();
    else if (!query || !NT_SUCCESS(query((HANDLE)-1, HANDLE_COUNT_CLASS, &count, sizeof count, NULL)))
        return FALSE;
    *handles = count;
    return count != 0;
}

/* A list of all costs a scenario more than is worth it.  Wine gives out the lowest free handle: its place in the table
 * is how many there are, holes left out. */
BOOLEAN ksc_count_handles_fast(uint32_t *handles)
{
    static volatile PVOID routine;
    OBJECT_ATTRIBUTES attributes;
    create_event create;
    HANDLE lowest;

    if (!kshs_is_wine())
        return ksc_count_handles(handles);
    if (!routine)
        routine = kshs_system_routine(L"ZwCreateEvent");
    create = (create_event)(ULONG_PTR)routine;
    if (!create)
        return FALSE;
    InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    if (!NT_SUCCESS(create(&lowest, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE)))
        return FALSE;
    ZwClose(lowest);
    *handles = (uint32_t)((ULONG_PTR)lowest / 4);
    return TRUE;
}

/* ---- references ------------------------------------------------------------------------ */

/* The kernel's own count of an object's references.  Wine: struct { LONG ref; POBJECT_TYPE type; } before the
 * object.  NT: OBJECT_HEADER, which begins with PointerCount, six pointers before it. */
static int64_t raw_references(PVOID object)
{
    if (kshs_is_wine())
        return *(volatile LONG *)((PVOID *)object - 2);
    return *(volatile LONG_PTR *)((PVOID *)object - 6);
}

BOOLEAN ksc_count_references(PVOID object, uint64_t *count)
{
    int i;

    for (i = 0; object && i < TRIES; i++) {
        int64_t before = raw_references(object);
        int64_t with, after;

        ObReferenceObject(object);
        with = raw_references(object);
        ObDereferenceObject(object);
        after = raw_references(object);
        if (before > 0 && with == before + 1 && after == before) {
            *count = (uint64_t)before;
            return TRUE;
        }
    }
    return FALSE;
}

/* What the reference class driver counts.  No other is asked: a control that it does not know is nothing to test
 * drivers with that are only to be looked at. */
BOOLEAN ksc_count_held(ksc_context *context, PFILE_OBJECT file, uint32_t op, kshs_held *held)
{
    ksc_parameters parameters;
    ksc_request *request = NULL;
    BOOLEAN told = FALSE;

    if (!kshs_is_wine())
        return FALSE;
    RtlZeroMemory(&parameters, sizeof parameters);
    parameters.op = op;
    parameters.route = KSHS_ROUTE_IRP;
    parameters.control = IOCTL_KSHS_HELD;
    parameters.out_length = sizeof *held;
    parameters.keep = sizeof *held;
    if (!NT_SUCCESS(ksc_request_create(context, file, &parameters, &request)))
        return FALSE;
    if (NT_SUCCESS(ksc_request_begin(request, NULL))) {
        told = NT_SUCCESS(ksc_request_send(request)) &&
               request->record.status == KSHS_STATUS_U32(STATUS_SUCCESS) &&
               request->record.information == sizeof *held;
        if (told)
            RtlCopyMemory(held, request->result->pointer, sizeof *held);
        ksc_request_finish(request);
    }
    ksc_request_release(request);
    return told;
}

static void count_objects(const ksc_call *call, kshs_counters *counters)
{
    PFILE_OBJECT file = call->step.slot == KSHS_NO_SLOT ? NULL : ksc_slot_file(call->context, call->step.slot);

    if (!file)
        return;
    if (ksc_count_references(file, &counters->file_references)) {
        counters->file_references--;            /* the one that was taken here */
        counters->counted |= KSHS_COUNTED_FILE;
    }
    if (ksc_count_references(kshs_related_device(file), &counters->device_references) &&
        ksc_count_references(file->DeviceObject, &counters->base_references))
        counters->counted |= KSHS_COUNTED_DEVICE;
    if (ksc_count_held(call->context, file, call->step.op, &counters->held))
        counters->counted |= KSHS_COUNTED_CLASS;
    ObDereferenceObject(file);
}

/* ---- the pool of NT -------------------------------------------------------------------- */

typedef struct pool_tag {           /* SYSTEM_POOLTAG */
    ULONG tag;
    ULONG paged_allocations;
    ULONG paged_frees;
    SIZE_T paged_bytes;
    ULONG allocations;
    ULONG frees;
    SIZE_T bytes;
} pool_tag;

typedef struct pool_tags {          /* SYSTEM_POOLTAG_INFORMATION */
    ULONG count;
    pool_tag tags[1];
} pool_tags;

/* What the client itself has is left out: its buffers and IRPs are no driver's. */
static BOOLEAN count_tags(kshs_counters *counters, kshs_pool_use *uses, uint32_t room)
{
    ULONG room_there, i;
    pool_tags *table = read_table(POOL_TAG_CLASS, &room_there);
    BOOLEAN fits;

    if (!table)
        return FALSE;
    fits = table->count <= (room_there - offsetof(pool_tags, tags)) / sizeof(pool_tag);
    for (i = 0; i < table->count && fits; i++) {
        const pool_tag *tag = &table->tags[i];
        uint32_t blocks = tag->allocations - tag->frees + tag->paged_allocations - tag->paged_frees;

        if (tag->tag == KSC_TAG || !blocks)
            continue;
        fits = counters->uses < room;
        if (fits) {
            kshs_pool_use *use = &uses[counters->uses++];

            use->tag = tag->tag;
            use->blocks = blocks;
            use->bytes = (uint64_t)tag->bytes + tag->paged_bytes;
        }
    }
    ExFreePoolWithTag(table, KSC_TAG);
    if (fits)
        counters->counted |= KSHS_COUNTED_TAGS;
    return fits;
}

/* ---- the pool of Wine ------------------------------------------------------------------- */

static BOOLEAN count_heap(kshs_counters *counters, kshs_pool_use *use)
{
    if (!ksc_heap_count(&use->blocks, &use->bytes))
        return FALSE;
    use->tag = 0;
    counters->uses = 1;
    return TRUE;
}

/* ---- the step ---------------------------------------------------------------------------- */

static void count(const ksc_call *call, kshs_counters *counters, kshs_pool_use *uses, uint32_t room)
{
    RtlZeroMemory(counters, sizeof *counters);
    if (ksc_count_handles(&counters->handles))
        counters->counted |= KSHS_COUNTED_HANDLES;
    count_objects(call, counters);
    if (kshs_is_wine() ? count_heap(counters, uses) : count_tags(counters, uses, room))
        counters->counted |= KSHS_COUNTED_POOL;
    else
        counters->uses = 0;
}

/* Closes and ends of threads take their time: counted again until twice in a row the same is there.  What other
 * drivers of the system allocate meanwhile is not waited for. */
static BOOLEAN same(const kshs_counters *a, const kshs_counters *b)
{
    return a->counted == b->counted && a->handles == b->handles && a->file_references == b->file_references &&
           a->device_references == b->device_references && a->base_references == b->base_references &&
           RtlCompareMemory(&a->held, &b->held, sizeof a->held) == sizeof a->held;
}

void ksc_counters_step(ksc_call *call)
{
    uint32_t room = (uint32_t)((call->step.out_length - sizeof(kshs_counters)) / sizeof(kshs_pool_use));
    kshs_counters *counters = kshs_zalloc(call->step.out_length, KSC_TAG);
    kshs_record *record = &call->record;
    kshs_counters before;
    uint64_t heap = 0;
    int i;

    if (!counters) {
        ksc_call_refuse(call, STATUS_INSUFFICIENT_RESOURCES);
        return;
    }
    ksc_attempts_fill();
    record->begin_ns = kshs_now_ns();
    record->thread = (uint64_t)(ULONG_PTR)PsGetCurrentThreadId();
    for (i = 0; i < SETTLE_TRIES && !call->answered; i++) {
        kshs_pool_use *uses = (kshs_pool_use *)(counters + 1);

        if (i)
            kshs_sleep_ms(SETTLE_MS);
        before = *counters;
        count(call, counters, uses, room);
        if (i && same(&before, counters) && (!kshs_is_wine() || heap == uses->bytes))
            break;
        heap = uses->bytes;
    }
    record->returned = KSHS_STATUS_U32(STATUS_SUCCESS);
    record->duration_ns = kshs_now_ns() - record->begin_ns;
    record->data_length = (uint32_t)(sizeof *counters + counters->uses * sizeof(kshs_pool_use));
    ksc_call_answer(call, record, counters);
    ExFreePoolWithTag(counters, KSC_TAG);
}
