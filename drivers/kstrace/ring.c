/* SPDX-License-Identifier: Apache-2.0
 *
 * ring.c - the records, the newest of them.  Any IRQL up to DISPATCH_LEVEL.
 *
 * They are of a fixed size and there from the start: when memory is low, a
 * request is recorded as ever.  Nobody waits for anybody: a record is reserved
 * by counting, and filled where it stays.  When the ring has gone round while
 * somebody was still writing, that is found out afterwards, and the record is
 * left out and counted as lost.
 */
#include "kstrace.h"

/* In the image, for who looks into the memory of a process in which drivers have died. */
volatile kstrace_beacon kst_beacon = { KSTRACE_MAGIC, 0, 1, 0, 0, 0, KSTRACE_VERSION, { 0, 0, 0, 0 } };

kst_ring_memory kst_ring;

#define PATIENCE 1000                   /* looks at a record that is being written */

NTSTATUS kst_ring_init(ULONG records)
{
    ULONG count = KSTRACE_LEAST_RECORDS;

    kst_clock_init();
    while (count < records)
        count *= 2;
    for (; count >= KSTRACE_LEAST_RECORDS; count /= 2) {
        kst_ring.records = kshs_zalloc((SIZE_T)count * sizeof *kst_ring.records, KST_TAG);
        if (kst_ring.records) {
            kst_ring.mask = count - 1;
            kst_beacon.count = count;
            kst_beacon.records = (uint64_t)(ULONG_PTR)kst_ring.records;
            kst_ring.recording = TRUE;
            return STATUS_SUCCESS;
        }
    }
    kst_ring.recording = TRUE;
    return STATUS_INSUFFICIENT_RESOURCES;
}

void kst_ring_free(void)
{
    kstrace_record *records = kst_ring.records;

    kst_beacon.records = 0;
    kst_ring.records = NULL;
    if (records)
        ExFreePoolWithTag(records, KST_TAG);
}

/* Numbers are never given twice, so that whoever is still writing an old record cannot meet a new one of its number;
 * what is told of them begins with 1 again. */
void kst_ring_clear(void)
{
    kst_beacon.forgotten = kst_beacon.next - 1;
    kst_beacon.lost = 0;
    kst_ring.recording = TRUE;
}

void kst_ring_stop(void)
{
    kst_ring.recording = FALSE;
}

void kst_ring_state(kstrace_state *state)
{
    uint64_t forgotten = kst_beacon.forgotten;

    kst_clock_set();
    state->records = kst_ring.records ? kst_ring.mask + 1 : 0;
    state->next = kst_beacon.next - forgotten;
    state->lost = kst_beacon.lost;
    state->recording = kst_ring.recording && kst_ring.records;
}

void kst_ring_lose(void)
{
    InterlockedIncrement64((volatile LONG64 *)&kst_beacon.lost);
}

/* One record, if it is that of the number and whole.  FALSE: it is not, and will not be any more. */
static BOOLEAN copy(kstrace_record *out, uint64_t number)
{
    const volatile kstrace_record *record = &kst_ring.records[(number - 1) & kst_ring.mask];
    ULONG look;

    for (look = 0; look < PATIENCE; look++) {
        uint32_t end = record->end_flags;
        uint8_t returned = record->has_returned;

        if (record->writer > number)
            return FALSE;               /* overwritten, or spoilt */
        if (record->writer != number || record->number != number)
            continue;                   /* it has been reserved, and is about to be there */
        KST_IN_ORDER();
        RtlCopyMemory(out, (const VOID *)record, sizeof *out);
        KST_IN_ORDER();
        if (record->number != number || record->writer != number)
            return FALSE;
        out->end_flags = end;           /* as it was before: what they promise has been copied */
        out->has_returned = returned;
        return TRUE;
    }
    return FALSE;
}

ULONG kst_ring_read(uint64_t first, kstrace_record *out, ULONG most)
{
    uint64_t forgotten = kst_beacon.forgotten, next = kst_beacon.next;
    uint64_t oldest = next > (uint64_t)kst_ring.mask + 1 ? next - kst_ring.mask - 1 : 1;
    uint64_t number = (first ? first : 1) + forgotten;
    kstrace_clock clock = kst_beacon.clock;
    ULONG given = 0;

    if (!kst_ring.records || first >= next)
        return 0;
    if (number < oldest)
        number = oldest;                /* those before have been overwritten */
    for (; number < next && given < most; number++) {
        kstrace_record *record = &out[given];

        if (!copy(record, number))
            continue;
        kstrace_tell(record, &clock);
        record->number -= forgotten;
        given++;
    }
    return given;
}

void kst_ring_put(const kstrace_record *whole)
{
    ULONG bytes = (ULONG)offsetof(kstrace_record, data) + whole->in_bytes + whole->out_bytes;
    ULONG head = (ULONG)offsetof(kstrace_record, begin_ns);
    kstrace_record *record;
    uint64_t number;

    record = kst_ring_reserve(&number);
    if (!record)
        return;
    RtlCopyMemory((PUCHAR)record + head, (const UCHAR *)whole + head, bytes - head);
    kst_ring_publish(record, number);
}
