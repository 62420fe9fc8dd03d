/* SPDX-License-Identifier: Apache-2.0
 *
 * ring.c - the records, the newest of them, and the requests under way whose
 * records are to be filled up.  Any IRQL up to DISPATCH_LEVEL.
 *
 * Both are of a fixed size and there from the start: when memory is low, a
 * request is recorded as ever.  Where too many are under way, further ones go on
 * unwatched and say so.
 */
#include "kstrace.h"

/* In the image, for who looks into the memory of a process in which drivers have died. */
static volatile kstrace_beacon beacon = { KSTRACE_MAGIC, 0, 0, 0, 0, KSTRACE_VERSION };

static struct {
    KSPIN_LOCK lock;
    kstrace_record *records;
    ULONG count;
    uint64_t next;
    uint64_t lost;
    BOOLEAN recording;
    kst_flight *idle;
    kst_flight flights[KST_FLIGHTS];
} ring;

NTSTATUS kst_ring_init(ULONG records)
{
    ULONG i;

    KeInitializeSpinLock(&ring.lock);
    for (i = 0; i < KST_FLIGHTS; i++) {
        ring.flights[i].next = ring.idle;
        ring.idle = &ring.flights[i];
    }
    ring.next = 1;
    ring.recording = TRUE;
    for (; records >= KSTRACE_LEAST_RECORDS; records /= 2) {
        ring.records = kshs_zalloc((SIZE_T)records * sizeof *ring.records, KST_TAG);
        if (ring.records) {
            ring.count = records;
            beacon.count = records;
            beacon.next = ring.next;
            beacon.records = (uint64_t)(ULONG_PTR)ring.records;
            return STATUS_SUCCESS;
        }
    }
    return STATUS_INSUFFICIENT_RESOURCES;
}

void kst_ring_free(void)
{
    beacon.records = 0;
    if (ring.records)
        ExFreePoolWithTag(ring.records, KST_TAG);
    ring.records = NULL;
    ring.count = 0;
}

void kst_ring_clear(void)
{
    KIRQL irql;

    KeAcquireSpinLock(&ring.lock, &irql);
    if (ring.records)
        RtlZeroMemory(ring.records, ring.count * sizeof *ring.records);
    ring.next = 1;
    ring.lost = 0;
    beacon.next = 1;
    beacon.lost = 0;
    ring.recording = TRUE;
    KeReleaseSpinLock(&ring.lock, irql);
}

void kst_ring_stop(void)
{
    ring.recording = FALSE;
}

void kst_ring_state(kstrace_state *state)
{
    KIRQL irql;

    KeAcquireSpinLock(&ring.lock, &irql);
    state->records = ring.count;
    state->next = ring.next;
    state->lost = ring.lost;
    state->recording = ring.recording && ring.records;
    KeReleaseSpinLock(&ring.lock, irql);
}

/* Under the lock: the record of a number, if it is still there. */
static kstrace_record *find_locked(uint64_t number)
{
    kstrace_record *record;

    if (!ring.count || !number)
        return NULL;
    record = &ring.records[(number - 1) % ring.count];
    return record->number == number ? record : NULL;
}

ULONG kst_ring_read(uint64_t first, kstrace_record *out, ULONG most)
{
    ULONG given = 0;
    KIRQL irql;

    while (given < most) {
        const kstrace_record *record;
        BOOLEAN over;

        KeAcquireSpinLock(&ring.lock, &irql);
        if (ring.next > ring.count && first < ring.next - ring.count)
            first = ring.next - ring.count;         /* those before have been overwritten */
        if (!first)
            first = 1;
        over = first >= ring.next;
        record = over ? NULL : find_locked(first);
        if (record)
            out[given++] = *record;
        KeReleaseSpinLock(&ring.lock, irql);
        if (over)
            break;
        first++;
    }
    return given;
}

uint64_t kst_ring_add(kstrace_record *record, BOOLEAN fly, kst_flight **flight)
{
    ULONG bytes = (ULONG)offsetof(kstrace_record, data) + record->in_bytes + record->out_bytes;
    KIRQL irql;

    if (flight)
        *flight = NULL;
    KeAcquireSpinLock(&ring.lock, &irql);
    if (!ring.recording || !ring.records) {
        ring.lost += ring.recording;
        beacon.lost = ring.lost;
        record->number = 0;
    } else {
        kstrace_record *place = &ring.records[(ring.next - 1) % ring.count];

        record->number = ring.next++;
        if (fly && ring.idle) {
            *flight = ring.idle;
            ring.idle = ring.idle->next;
            (*flight)->busy = 1;
            (*flight)->number = record->number;
            (*flight)->begin_ns = record->begin_ns;
        } else if (fly) {
            record->flags |= KSTRACE_UNWATCHED;
        }
        RtlCopyMemory(place, record, bytes);
        beacon.next = ring.next;
    }
    KeReleaseSpinLock(&ring.lock, irql);
    return record->number;
}

void kst_ring_returned(uint64_t number, NTSTATUS status)
{
    kstrace_record *record;
    KIRQL irql;

    KeAcquireSpinLock(&ring.lock, &irql);
    record = find_locked(number);
    if (record) {
        record->returned = KSHS_STATUS_U32(status);
        record->flags |= KSTRACE_RETURNED;
    }
    KeReleaseSpinLock(&ring.lock, irql);
}

void kst_ring_flag(uint64_t number, uint32_t flags)
{
    kstrace_record *record;
    KIRQL irql;

    KeAcquireSpinLock(&ring.lock, &irql);
    record = find_locked(number);
    if (record)
        record->flags |= flags;
    KeReleaseSpinLock(&ring.lock, irql);
}

void kst_flight_free(kst_flight *flight)
{
    KIRQL irql;

    KeAcquireSpinLock(&ring.lock, &irql);
    flight->busy = 0;
    flight->next = ring.idle;
    ring.idle = flight;
    KeReleaseSpinLock(&ring.lock, irql);
}

/* Whether this is the thread that sent it, so that its addresses and its handles hold. */
static BOOLEAN is_its_own(const kst_flight *flight)
{
    return PsGetCurrentThreadId() == flight->thread && PsGetCurrentProcessId() == flight->process;
}

/* The file object of the sink that a pin was connected to; the class driver has just taken the handle for good. */
static uint64_t sink_of(const kst_flight *flight)
{
    PFILE_OBJECT file;

    if (!flight->sink || kshs_current_irql() != PASSIVE_LEVEL || !is_its_own(flight))
        return 0;
    if (!NT_SUCCESS(ObReferenceObjectByHandle(flight->sink, 0, KSHS_IO_FILE_OBJECT_TYPE, flight->mode,
                                              (PVOID *)&file, NULL)))
        return 0;
    ObDereferenceObject(file);          /* the number alone is wanted */
    return (uint64_t)(ULONG_PTR)file;
}

/* Which arguments of an answer are addresses; a user's are none of the kernel's. */
static uint32_t pointers(const kst_flight *flight, const uint8_t *output, uint32_t bytes)
{
    KSHANDSHAKE answer;
    uint32_t flags = 0;

    if (flight->event != KSTRACE_HANDSHAKE || flight->mode != KernelMode || bytes < sizeof answer)
        return 0;
    RtlCopyMemory(&answer, output, sizeof answer);
    if (kst_is_kernel_memory((uint64_t)(ULONG_PTR)answer.Argument1))
        flags |= KSTRACE_POINTER3;
    if (kst_is_kernel_memory((uint64_t)(ULONG_PTR)answer.Argument2))
        flags |= KSTRACE_POINTER4;
    return flags;
}

/* From the completion routine: the IRP is on its way up, and its output is not the sender's yet. */
void kst_ring_end(kst_flight *flight, PIRP irp)
{
    NTSTATUS status = irp->IoStatus.Status;
    uint64_t end = kshs_now_ns(), sink = 0;
    uint8_t output[KSTRACE_LOOK_BYTES];
    uint32_t bytes = 0, flags = KSTRACE_DONE;
    kstrace_record *record;
    KIRQL irql;

    if (irp->PendingReturned)
        flags |= KSTRACE_MARKED;
    if (irp->Cancel)
        flags |= KSTRACE_CANCEL;
    if (flight->out && NT_SUCCESS(status)) {
        uint32_t wanted = flight->out_length < sizeof output ? flight->out_length : (uint32_t)sizeof output;

        if ((flight->mode == KernelMode || is_its_own(flight)) &&
            kst_read(output, flight->out, wanted, flight->mode))
            bytes = wanted;
        else if (wanted)
            flags |= KSTRACE_OUT_UNREAD;
        flags |= pointers(flight, output, bytes);
    }
    if (flight->event == KSTRACE_PIN && NT_SUCCESS(status))
        sink = sink_of(flight);
    KeAcquireSpinLock(&ring.lock, &irql);
    record = find_locked(flight->number);
    if (record) {
        record->status = KSHS_STATUS_U32(status);
        record->information = irp->IoStatus.Information;
        record->took_ns = end - flight->begin_ns;
        record->flags |= flags;
        if (sink)
            record->connected = sink;
        if (bytes && record->in_bytes + bytes <= KSTRACE_DATA_BYTES) {
            RtlCopyMemory(record->data + record->in_bytes, output, bytes);
            record->out_bytes = bytes;
        }
    }
    KeReleaseSpinLock(&ring.lock, irql);
}
