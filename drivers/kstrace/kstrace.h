/* SPDX-License-Identifier: Apache-2.0
 *
 * kstrace.h - what the files of the tracer share.
 *
 * An upper filter that records handshakes and the opens, state changes, closes
 * and removals around them, and changes nothing on the way.  Two rules make that
 * so: what it cannot watch it passes on unwatched (no memory is allocated for a
 * request, no lock is taken, and none is held up), and it reads of a request's
 * buffers only what can be read without a fault that the drivers below would not
 * have had.
 */
#ifndef KSTRACE_H
#define KSTRACE_H

#include "kshs_compat.h"
#include "kstrace_abi.h"
#include <ks.h>

#define KST_TAG KSHS_TAG('K', 's', 'T', 'r')

#define KST_LOG(...) DbgPrint("kstrace: " __VA_ARGS__)

typedef struct kst_device {             /* begins every device extension of ours */
    BOOLEAN is_filter;
} kst_device;

typedef struct kst_filter {
    kst_device head;
    BOOLEAN live;                       /* put above a stack that had been started: Wine */
    PDEVICE_OBJECT self;
    PDEVICE_OBJECT lower;               /* NULL: never attached */
    volatile LONG inside;               /* dispatch routines that run, and IRPs that will run our completion routine */
    volatile LONG gone;                 /* detached: nothing is passed on any more, unless it is live */
    ULONG number;
    LIST_ENTRY link;
} kst_filter;

/* ---- driver.c ------------------------------------------------------------------ */
extern PDRIVER_OBJECT kst_driver;
void kst_control_delete(void);          /* PASSIVE_LEVEL; once */
void kst_begin_again(void);             /* PASSIVE_LEVEL: a device is added to a driver that was told to finish */
extern volatile LONG kst_finishing;     /* FINISH came: the control device goes with the last filter */

/* ---- filter.c -------------------------------------------------------------------- */
DRIVER_ADD_DEVICE kst_add_device;
NTSTATUS kst_attach_driver(PUNICODE_STRING name, ULONG *attached);     /* PASSIVE_LEVEL, Wine */
void kst_detach_live(void);
void kst_filters_init(void);
void kst_filters_delete(void);          /* at unload: those that were kept */
void kst_filters_count(uint32_t *filters, uint32_t *busy);
BOOLEAN kst_enter(kst_filter *filter, LONG times);
void kst_leave(kst_filter *filter, LONG times);
NTSTATUS kst_pass(kst_filter *filter, PIRP irp);
NTSTATUS kst_power(kst_filter *filter, PIRP irp);
NTSTATUS kst_pnp(kst_filter *filter, PIRP irp);
NTSTATUS kst_gone(PIRP irp, UCHAR major);

/* ---- watch.c: IRPs that are recorded ------------------------------------------------ */
/* HANDED: the IRP will run our completion routine, which leaves the filter once. */
NTSTATUS kst_watch(kst_filter *filter, PIRP irp, UCHAR major, BOOLEAN *handed);
BOOLEAN NTAPI kst_fast_control(PFILE_OBJECT file, BOOLEAN wait, PVOID in, ULONG in_length, PVOID out,
                               ULONG out_length, ULONG control, PIO_STATUS_BLOCK status, PDEVICE_OBJECT device);
/* All of a record's head but its number. */
void kst_begin_record(kstrace_record *record, const kst_filter *filter, uint32_t event, PIRP irp, PFILE_OBJECT file);

/* ---- look.c: memory of others ---------------------------------------------------------- */
void kst_look_init(void);
BOOLEAN kst_read(PVOID to, const VOID *from, ULONG bytes, KPROCESSOR_MODE mode);
BOOLEAN kst_is_callers(PIRP irp);       /* the process whose addresses hold is the requestor's */
BOOLEAN kst_is_kernel_memory(uint64_t address);
ULONG kst_process_name(PVOID to, ULONG room);   /* bytes; PASSIVE_LEVEL */
void kst_caller(kstrace_record *record, PIRP irp);

/* ---- ring.c -------------------------------------------------------------------------------- */
NTSTATUS kst_ring_init(ULONG records);
void kst_ring_free(void);
void kst_ring_clear(void);
void kst_ring_stop(void);
void kst_ring_state(kstrace_state *state);
ULONG kst_ring_read(uint64_t first, kstrace_record *out, ULONG most);
void kst_ring_put(const kstrace_record *whole);         /* a record that was written elsewhere */
void kst_ring_lose(void);

typedef struct kst_ring_memory {
    kstrace_record *records;
    ULONG mask;                         /* their number, a power of two, less one */
    volatile BOOLEAN recording;
} kst_ring_memory;

extern kst_ring_memory kst_ring;
extern volatile kstrace_beacon kst_beacon;      /* its `next` is the number that is given next */

#define KST_SPOILT (~(uint64_t)0)

/* Stores before it are seen before those behind it, and loads likewise.  The processors for which this is built keep
 * that order by themselves; compilers do not. */
#if defined(_M_X64) || defined(__x86_64__) || defined(_M_IX86) || defined(__i386__)
#define KST_IN_ORDER() _ReadWriteBarrier()
#else
#define KST_IN_ORDER() KeMemoryBarrier()
#endif

/* The record of a number that nobody else has, or NULL: nothing is recorded. */
static inline kstrace_record *kst_ring_reserve(uint64_t *number)
{
    kstrace_record *record;

    *number = 0;
    if (!kst_ring.recording)
        return NULL;
    if (!kst_ring.records) {
        kst_ring_lose();
        return NULL;
    }
    *number = (uint64_t)InterlockedIncrement64((volatile LONG64 *)&kst_beacon.next) - 1;
    record = &kst_ring.records[(*number - 1) & kst_ring.mask];
    *(volatile uint64_t *)&record->number = 0;
    *(volatile uint64_t *)&record->writer = *number;
    KST_IN_ORDER();
    return record;
}

static inline void kst_ring_spoil(kstrace_record *record)
{
    *(volatile uint64_t *)&record->writer = KST_SPOILT;
    kst_ring_lose();
}

static inline void kst_ring_publish(kstrace_record *record, uint64_t number)
{
    KST_IN_ORDER();
    if (*(volatile uint64_t *)&record->writer == number)
        *(volatile uint64_t *)&record->number = number;
    else
        kst_ring_spoil(record);         /* the ring has gone round meanwhile, and somebody else writes here */
}

/* The record of a number, if it is still there. */
static inline kstrace_record *kst_ring_find(uint64_t number)
{
    kstrace_record *record = &kst_ring.records[(number - 1) & kst_ring.mask];

    return *(volatile uint64_t *)&record->number == number ? record : NULL;
}

/* Behind the last store to a record that was found. */
static inline void kst_ring_found(kstrace_record *record, uint64_t number)
{
    KST_IN_ORDER();
    if (*(volatile uint64_t *)&record->number != number)
        kst_ring_spoil(record);
}

/* ---- clock.c ------------------------------------------------------------------------------------ */
void kst_clock_init(void);
void kst_clock_set(void);               /* PASSIVE_LEVEL: by it the ticks of the records become nanoseconds */
extern BOOLEAN kst_counts_itself;

static inline uint64_t kst_ticks(void)
{
    if (!kst_counts_itself)
        return (uint64_t)KeQueryPerformanceCounter(NULL).QuadPart;
    return __rdtsc();
}

/* ---- settings.c ------------------------------------------------------------------------------- */
void kst_settings_read(PUNICODE_STRING registry_path, ULONG *records);  /* PASSIVE_LEVEL */
BOOLEAN kst_is_watched(const GUID *set);
ULONG kst_watched_sets(void);

static inline BOOLEAN kst_same_guid(const GUID *a, const GUID *b)
{
    return RtlCompareMemory(a, b, sizeof *a) == sizeof *a;
}

#endif
