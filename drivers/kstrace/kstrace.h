/* SPDX-License-Identifier: Apache-2.0
 *
 * kstrace.h - what the files of the tracer share.
 *
 * An upper filter that records handshakes and the opens, state changes, closes
 * and removals around them, and changes nothing on the way.  Two rules make that
 * so: what it cannot watch it passes on unwatched (no memory is allocated for a
 * request, and none is held up), and it reads of a request's buffers only what
 * can be read without a fault that the drivers below would not have had.
 */
#ifndef KSTRACE_H
#define KSTRACE_H

#include "kshs_compat.h"
#include "kstrace_abi.h"
#include <ks.h>

#define KST_TAG KSHS_TAG('K', 's', 'T', 'r')
#define KST_FLIGHTS 512                 /* requests that are watched at the same time, at most */

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

/* A watched request: what its completion needs, since the record may be overwritten before. */
typedef struct kst_flight {
    volatile LONG busy;
    kst_filter *filter;
    uint64_t number;                    /* of its record */
    uint64_t begin_ns;
    PVOID out;                          /* where its output will be, or NULL */
    uint32_t out_length;
    uint32_t event;
    HANDLE process, thread;             /* of the caller */
    KPROCESSOR_MODE mode;
    HANDLE sink;                        /* PIN: PinToHandle of its name */
    struct kst_flight *next;
} kst_flight;

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
BOOLEAN kst_enter(kst_filter *filter);
void kst_leave(kst_filter *filter);
NTSTATUS kst_pass(kst_filter *filter, PIRP irp);
NTSTATUS kst_power(kst_filter *filter, PIRP irp);
NTSTATUS kst_pnp(kst_filter *filter, PIRP irp);
NTSTATUS kst_gone(PIRP irp, UCHAR major);

/* ---- watch.c: IRPs that are recorded ------------------------------------------------ */
NTSTATUS kst_watch(kst_filter *filter, PIRP irp, UCHAR major);
BOOLEAN NTAPI kst_fast_control(PFILE_OBJECT file, BOOLEAN wait, PVOID in, ULONG in_length, PVOID out,
                               ULONG out_length, ULONG control, PIO_STATUS_BLOCK status, PDEVICE_OBJECT device);
void kst_begin_record(kstrace_record *record, kst_filter *filter, uint32_t event, PIRP irp, PFILE_OBJECT file);

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
/* Puts a record into the ring.  With `fly` the flight that its completion is told by, or NULL: none is free. */
uint64_t kst_ring_add(kstrace_record *record, BOOLEAN fly, kst_flight **flight);
void kst_ring_returned(uint64_t number, NTSTATUS status);
void kst_ring_flag(uint64_t number, uint32_t flags);
void kst_ring_end(kst_flight *flight, PIRP irp);
void kst_flight_free(kst_flight *flight);

/* ---- settings.c ------------------------------------------------------------------------------- */
void kst_settings_read(PUNICODE_STRING registry_path, ULONG *records);  /* PASSIVE_LEVEL */
BOOLEAN kst_is_watched(const GUID *set);
ULONG kst_watched_sets(void);

static inline BOOLEAN kst_same_guid(const GUID *a, const GUID *b)
{
    return RtlCompareMemory(a, b, sizeof *a) == sizeof *a;
}

#endif
