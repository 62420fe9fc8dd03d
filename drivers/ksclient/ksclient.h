/* SPDX-License-Identifier: Apache-2.0
 *
 * ksclient.h - the kernel-mode client: who owns what.
 *
 *   call      one IOCTL_KSHS_STEP, IOCTL_KSHS_BATCH or step of a batch that has not been answered yet
 *   batch     the steps that one IOCTL_KSHS_BATCH brings
 *   context   one open of \Device\KsHsClient: its slots, tokens and requests
 *   object    an open filter, pin or other device in a slot
 *   request   one I/O control on its way, or done and waiting for WAIT
 *   attempt   one IRP of a request (a request may be repeated)
 *
 * All of these are counted and live in non-paged memory.  A driver under test
 * may keep an IRP for ever, complete it twice or complete it after everybody
 * has given up, so nothing that a driver may still write to is ever freed:
 * what cannot be taken back safely is left behind, with a line in the debug log.
 *
 * Lock order: context->lock, request->lock, the locks inside calls and threads.
 */
#ifndef KSCLIENT_H
#define KSCLIENT_H

#include "kshs_compat.h"

#define KSC_TAG KSHS_TAG('K', 's', 'H', 'c')
#define KSC_NONE 0xFFFFFFFFu        /* "no offset" in a record */
#define KSC_STACK_GUARDS 2          /* stack locations of our own above the driver's */

#define KSC_LOG(...) kshs_print("ksclient: " __VA_ARGS__)

typedef struct ksc_context ksc_context;
typedef struct ksc_request ksc_request;
typedef struct ksc_made ksc_made;
typedef struct ksc_batch ksc_batch;

/* ---- threads.c: system threads for whatever may block -------------------- */

typedef struct ksc_job {
    void (*run)(struct ksc_job *job);   /* PASSIVE_LEVEL, system process; may free the job */
} ksc_job;

void ksc_threads_init(void);
NTSTATUS ksc_threads_run(ksc_job *job);             /* PASSIVE_LEVEL; the job runs unless this fails */
NTSTATUS ksc_thread_create(PKSTART_ROUTINE routine, PVOID argument, HANDLE *thread);
void ksc_thread_join(HANDLE thread);                /* waits for its end and closes the handle */
void ksc_threads_stop(void);                        /* waits for every job and thread */
void ksc_image_init(PDRIVER_OBJECT driver);
void ksc_image_pin(void);                           /* a target has our code or memory in its hands: */
void ksc_image_unpin(void);                         /* the driver must not be unloaded meanwhile */

/* ---- call.c: one step from IRP to answer ---------------------------------- */

typedef struct ksc_call {
    volatile LONG references;
    volatile LONG answered;         /* 1: somebody has the right to answer, and will */
    volatile LONG rendezvous;       /* of answer and cancel routine, see call.c */
    PIRP irp;                       /* NULL: a step of a batch */
    ksc_batch *batch;               /* counted; that this is a step of, or NULL */
    uint32_t number;                /* in it */
    ksc_context *context;
    ksc_request *request;           /* counted; whose end this call waits for; under context->lock */
    ksc_job job;
    LIST_ENTRY deadline_link;       /* under the deadline lock, as are the next three */
    uint64_t deadline_ns;
    uint64_t limit_ns;              /* the deadline of all repeats, beyond which it is not moved */
    BOOLEAN timed;
    kshs_record record;             /* the job builds its answer here */
    kshs_step step;
    DECLSPEC_ALIGN(8) uint8_t data[1];          /* step.data_length bytes */
} ksc_call;

NTSTATUS ksc_calls_init(void);
void ksc_calls_stop(void);
ksc_call *ksc_call_create(ksc_context *context, PIRP irp, const kshs_step *step, const void *data);
void ksc_call_reference(ksc_call *call);
void ksc_call_release(ksc_call *call);
/* Marks the IRP pending, makes it cancellable, starts timeout_ms.  The dispatch
 * routine must return STATUS_PENDING after this.  FALSE: it is cancelled already. */
BOOLEAN ksc_call_pend(ksc_call *call);
void ksc_call_time(ksc_call *call);                 /* starts timeout_ms, of a step of a batch */
/* Answers unless somebody else has; TRUE: the caller of the control gets this answer. */
BOOLEAN ksc_call_answer(ksc_call *call, const kshs_record *record, const void *data);
BOOLEAN ksc_call_refuse(ksc_call *call, NTSTATUS detail);
BOOLEAN ksc_call_unsupported(ksc_call *call, NTSTATUS detail);

/* ---- buffers.c, pages.c: what a request points at -------------------------- */

typedef struct ksc_pages {          /* address space with holes and protections */
    uint8_t *base;                  /* first byte */
    SIZE_T reserved;                /* bytes of address space */
    SIZE_T mapped;                  /* bytes of it that are memory */
    PVOID reservation;              /* NT: from MmAllocateMappingAddress, or NULL */
    PMDL mdl;                       /* NT: the pages behind it, or NULL */
    BOOLEAN in_use;
} ksc_pages;

/* `mapped` bytes of memory followed by an unmapped hole up to `reserved`.
 * STATUS_NOT_SUPPORTED: this kernel has no such service. */
NTSTATUS ksc_pages_allocate(ksc_pages *pages, SIZE_T reserved, SIZE_T mapped);
NTSTATUS ksc_pages_read_only(ksc_pages *pages);
void ksc_pages_free(ksc_pages *pages);
void ksc_pages_vanish(ksc_pages *pages);            /* the memory goes, its address space stays nobody's */

typedef struct ksc_buffer {
    uint32_t kind;
    uint8_t *pointer;               /* as told to the driver */
    uint32_t length;                /* bytes there that may be looked at; 0: none */
    uint8_t *low;                   /* KSHS_GUARD_SIZE guard bytes, NULL: none */
    uint8_t *high;
    uint8_t *original;              /* what `length` bytes hold before the request */
    BOOLEAN readable;               /* there is a buffer, be it of 0 bytes */
    BOOLEAN writable;               /* we may fill it again */
    uint8_t *pool;
    ksc_pages pages;
} ksc_buffer;

/* A buffer of `length` bytes: `content`, then zeros up to `input_length`, then
 * KSHS_OUT_FILL.  STATUS_NOT_SUPPORTED: this kernel cannot make one. */
NTSTATUS ksc_buffer_create(ksc_buffer *buffer, uint32_t kind, uint32_t length, const void *content,
                           uint32_t content_length, uint32_t input_length);
void ksc_buffer_arm(ksc_buffer *buffer);                    /* content and guards as at first */
/* Of a buffer in the pool: as many bytes as this from now on, no more than it was created with.  Arm it then. */
void ksc_buffer_fit(ksc_buffer *buffer, uint32_t length);
BOOLEAN ksc_buffer_guard_low(const ksc_buffer *buffer);     /* intact, or there is none */
BOOLEAN ksc_buffer_guard_high(const ksc_buffer *buffer);
void ksc_buffer_free(ksc_buffer *buffer);

/* ---- context.c ------------------------------------------------------------- */

typedef struct ksc_object {
    volatile LONG references;       /* of those who use the handle; the last one closes it */
    HANDLE handle;                  /* a kernel handle; NULL: it was closed, and the file object kept */
    PFILE_OBJECT file;              /* a reference of our own */
    PDEVICE_OBJECT devices[2];      /* of a kept file object: its own and the topmost, referenced */
    ksc_context *context;           /* that counts what is left of it, NULL: none does */
    uint32_t slot;                  /* there */
    BOOLEAN shared;                 /* a caller was given a handle */
    PVOID keeps[2];                 /* file objects that it may keep, to compare with alone: filter and sink of a pin */
    uint32_t path_bytes;
    WCHAR path[1];                  /* the NT path it was opened by; none for pins */
} ksc_object;

typedef struct ksc_slot {
    ksc_object *object;
    BOOLEAN reserved;               /* an open is under way */
} ksc_slot;

typedef struct ksc_shared {         /* with the opener */
    uint8_t *block;                 /* KSHS_BLOCK_BYTES */
    HANDLE bell;                    /* events of his */
    HANDLE done;
    HANDLE self;                    /* the client itself, to send something through Wine's queue */
} ksc_shared;

typedef struct ksc_left {           /* left.c: what RELEASE_ALL tells; steps come one after the other */
    BOOLEAN begun;                  /* something is or was open since the last of them */
    BOOLEAN asked;                  /* of its device */
    BOOLEAN known;                  /* `last` is what was counted then */
    const ksc_object *first;        /* what was opened first; to compare with alone */
    kshs_left told;
    kshs_held_now last;
    uint32_t count;
    struct {
        uint32_t slot;
        PFILE_OBJECT file;          /* a reference of our own */
    } files[KSHS_MAX_SLOTS];        /* closed, and kept by somebody */
} ksc_left;

struct ksc_context {
    volatile LONG references;
    volatile LONG released;         /* cleanup has begun: nothing new starts */
    KSPIN_LOCK lock;
    KEVENT changed;                 /* a request has left the list */
    LIST_ENTRY requests;
    ksc_job teardown;
    ksc_shared *shared;             /* NULL: each step comes alone */
    volatile LONG serving;          /* 1: an IOCTL_KSHS_BATCH is under way */
    ksc_slot slots[KSHS_MAX_SLOTS];
    ksc_request *tokens[KSHS_MAX_TOKENS];   /* each counts for one reference */
    ksc_made *made[KSHS_MAX_MADE];          /* so does each of these */
    ksc_left left;
};

ksc_context *ksc_context_create(void);
void ksc_context_reference(ksc_context *context);
void ksc_context_release(ksc_context *context);
void ksc_context_shut(ksc_context *context);        /* closes and cancels everything; idempotent */

ksc_object *ksc_object_create(const void *path, uint32_t path_bytes);
ksc_object *ksc_object_keep(const ksc_object *object);     /* its file object without its handle; NULL: no memory */
void ksc_object_reference(ksc_object *object);
NTSTATUS ksc_object_release(ksc_object *object);    /* STATUS_PENDING: others still use it; else of ZwClose */

NTSTATUS ksc_slot_reserve(ksc_context *context, uint32_t slot);
/* Ends a reservation; NULL: nothing came of it.  FALSE: the context is closing, the object stays the caller's. */
BOOLEAN ksc_slot_fill(ksc_context *context, uint32_t slot, ksc_object *object);
ksc_object *ksc_slot_get(ksc_context *context, uint32_t slot);      /* counted, or NULL */
ksc_object *ksc_slot_take(ksc_context *context, uint32_t slot);     /* the slot's own reference, or NULL */
BOOLEAN ksc_slot_take_if(ksc_context *context, uint32_t slot, const ksc_object *object);
BOOLEAN ksc_slot_replace(ksc_context *context, uint32_t slot, const ksc_object *before, ksc_object *after);
void ksc_slots_close(ksc_context *context);
PFILE_OBJECT ksc_slot_file(ksc_context *context, uint32_t slot);    /* referenced, or NULL */

/* ---- irp.c: the IRP route ---------------------------------------------------- */

typedef struct ksc_attempt {
    PIRP irp;
    KEVENT completed;
    volatile LONG runs;             /* of the completion routine */
    volatile LONG done;             /* 1: the following hold; `completed` is set after it */
    LONG pending_returned;          /* of the first run, as the next two */
    NTSTATUS status;
    ULONG_PTR information;
    const ksc_buffer *result;       /* the request's output, NULL: none */
    uint32_t shown_length;
    uint8_t shown[KSHS_KEEP_BYTES]; /* its first bytes as the first run found them */
} ksc_attempt;

ksc_attempt *ksc_attempt_create(const ksc_request *request, PDEVICE_OBJECT device);
void ksc_attempt_retire(ksc_attempt *attempt);      /* completed: freed after some others have been */
void ksc_attempts_init(void);
void ksc_attempts_fill(void);                       /* with spares, where none was retired yet */
void ksc_attempts_stop(void);

/* ---- request.c ------------------------------------------------------------- */

typedef struct ksc_parameters {
    uint32_t op;                    /* of the record */
    uint32_t route;
    uint32_t mode;
    uint32_t control;
    uint32_t in_kind;
    uint32_t out_kind;
    uint32_t in_length;
    uint32_t out_length;
    uint32_t repeat;
    uint32_t in_stride;             /* added to in_length and out_length with every repeat: ordinary buffers alone */
    uint32_t out_stride;
    BOOLEAN flips;                  /* repeat i is sent with bit first_bit + i of the input the other way */
    uint32_t first_bit;
    BOOLEAN reports;                /* the output is a kshs_pin_handshake */
    BOOLEAN errors_alike;           /* which error it is makes no difference between repeats */
    uint32_t keep;                  /* at most so many output bytes go with the record */
    BOOLEAN keep_information;       /* of those, as many as Information says */
    const void *in_data;            /* first bytes of the input buffer; copied */
    uint32_t in_data_length;
    const void *out_data;           /* first bytes of the output buffer; copied */
    uint32_t out_data_length;
    ksc_made *arguments[2];         /* what Argument1 and Argument2 point at, each counted, or NULL */
    ksc_made *takes[2];             /* what takes those of the answer, likewise */
} ksc_parameters;

struct ksc_request {
    volatile LONG references;
    LIST_ENTRY link;                /* context->requests, under context->lock, as the next four */
    ksc_call *call;                 /* counted; to be answered at the end, NULL: nobody waits */
    BOOLEAN linked;
    BOOLEAN swept;                  /* seen by the teardown of its context */
    BOOLEAN done;
    uint32_t token;                 /* or KSHS_NO_TOKEN */
    ksc_context *context;
    PFILE_OBJECT file;              /* a reference of our own */
    ksc_parameters p;
    uint32_t in_bytes;              /* of the input buffer that are input */
    ksc_buffer in;                  /* METHOD_BUFFERED: the system buffer */
    ksc_buffer out;                 /* unused for KSHS_BUFFER_ALIAS and METHOD_BUFFERED */
    ksc_buffer *result;             /* the one of these that the driver answers into */
    ksc_call *starter;              /* ASYNC: answered with STARTED as the first IRP goes out */
    KSPIN_LOCK lock;                /* for the following */
    ksc_attempt *attempt;           /* the IRP in flight, NULL: none */
    uint32_t cancellers;            /* IoCancelIrp calls under way on it */
    KEVENT cancellers_gone;
    BOOLEAN sent;                   /* nothing more will be sent */
    BOOLEAN cancelled;              /* a cancel came before it was complete: no more repeats */
    uint64_t sent_ns;               /* when its last repeat was sent; 0: it is not repeated, or was not sent */
    kshs_record record;             /* grows as the request goes on */
};

/* STATUS_NOT_SUPPORTED: this kernel cannot make such a buffer; other errors: refused. */
NTSTATUS ksc_request_create(ksc_context *context, PFILE_OBJECT file, const ksc_parameters *parameters,
                            ksc_request **request);
void ksc_request_reference(ksc_request *request);
void ksc_request_release(ksc_request *request);
/* Enters the request into its context, and `call` (or NULL) as the one to answer. */
NTSTATUS ksc_request_begin(ksc_request *request, ksc_call *call);
NTSTATUS ksc_request_send(ksc_request *request);        /* to its end, however long that takes */
void ksc_request_finish(ksc_request *request);          /* takes it out again and answers */
/* What ksc_request_cancel found: */
#define KSC_CANCEL_NOTHING 0        /* the request is complete */
#define KSC_CANCEL_REACHED 1        /* it was not; the driver had no cancel routine set */
#define KSC_CANCEL_ROUTINE 2        /* it was not; the driver's cancel routine was called */
int ksc_request_cancel(ksc_request *request);
/* When the last repeat of the request that a call waits for was sent; 0: never, or there are none. */
uint64_t ksc_request_sent_ns(ksc_call *call);
/* Parts a call from the request it waits for; with `record`, notes how far that has come. */
void ksc_request_part(ksc_call *call, kshs_record *record);

/* ---- steps.c: REQUEST, PROPERTY, WAIT and CANCEL --------------------------------- */

void ksc_request_step(ksc_call *call);
void ksc_wait_step(ksc_call *call);                     /* never blocks */
void ksc_cancel_step(ksc_call *call);

/* ---- inside.c: WAIT_INSIDE ----------------------------------------------------------- */

void ksc_inside_step(ksc_call *call);

/* ---- made.c, taken.c: what arguments point at ------------------------------------------- */

void ksc_made_init(void);
void ksc_made_stop(void);
NTSTATUS ksc_made_check(const kshs_step *step, const uint8_t *data);
void ksc_made_step(ksc_call *call);                     /* MAKE, INSPECT, REFERENCE, VANISH */
ksc_made *ksc_made_get(ksc_context *context, uint32_t number);          /* counted, or NULL */
void ksc_made_put(ksc_made *made);
void ksc_made_give_back(ksc_context *context);          /* what drivers gave, before their pins are closed */
void ksc_made_forget(ksc_context *context);
/* For a REQUEST: its things, counted, into the parameters, and their addresses into `data`. */
NTSTATUS ksc_made_arguments(ksc_context *context, const kshs_step *step, uint8_t *data, ksc_parameters *p);
void ksc_made_release(ksc_parameters *p);
void ksc_made_carry(const ksc_parameters *p);           /* around each IRP */
void ksc_made_back(ksc_request *request, BOOLEAN accepted);

/* ---- counters.c, heap.c, left.c: COUNTERS, and RELEASE_ALL with COUNT ---------------------- */

void ksc_counters_step(ksc_call *call);
BOOLEAN ksc_count_handles(uint32_t *count);
BOOLEAN ksc_count_handles_fast(uint32_t *count);
BOOLEAN ksc_count_references(PVOID object, uint64_t *count);
BOOLEAN ksc_count_held(ksc_context *context, PFILE_OBJECT file, uint32_t op, kshs_held *held);
void ksc_left_begin(ksc_context *context);              /* before an open */
void ksc_left_opened(ksc_context *context, const ksc_object *object);
void ksc_left_gone(const ksc_object *object);
void ksc_left_closed(ksc_object *object);               /* with its handle; its file object is taken over */
void ksc_left_count(ksc_context *context, kshs_left *told);     /* and closes everything */
void ksc_left_forget(ksc_context *context);
/* Wine: blocks and bytes of the heap that is the pool.  FALSE: it cannot be walked. */
BOOLEAN ksc_heap_count(uint32_t *blocks, uint64_t *bytes);

/* ---- open.c, share.c, property.c, step.c, record.c, secure.c ---------------------------- */

void ksc_open_device(ksc_call *call);
void ksc_open_pin(ksc_call *call);
void ksc_close(ksc_call *call);
void ksc_release_all(ksc_call *call);

void ksc_share_init(void);                              /* in DriverEntry */
NTSTATUS ksc_share(ksc_context *context, PIRP irp, uint32_t slot);      /* completes the IRP */

NTSTATUS ksc_property_parameters(const kshs_step *step, const uint8_t *data, ksc_parameters *p, void **block);

/* IOCTL_KSHS_STEP: completes the IRP or returns STATUS_PENDING. */
NTSTATUS ksc_step(ksc_context *context, PIRP irp, PIO_STACK_LOCATION stack);
/* What makes no sense about a step with so many bytes of data behind it, or STATUS_SUCCESS. */
NTSTATUS ksc_step_check(const kshs_step *step, uint32_t data_bytes);
uint32_t ksc_step_answer_bytes(const kshs_step *step);  /* after the record, of a step that makes sense */
void ksc_step_run(ksc_job *job);                        /* of a call, whose reference it takes */

/* ---- block.c, batch.c: IOCTL_KSHS_BLOCK and IOCTL_KSHS_BATCH ----------------------------- */

BOOLEAN ksc_block_possible(void);
NTSTATUS ksc_block(ksc_context *context, PIRP irp, PIO_STACK_LOCATION stack);   /* completes the IRP */
void ksc_block_shut(const ksc_context *context);
void ksc_block_end(ksc_context *context);
void ksc_closed(void);                                  /* a handle to a driver was closed */
LONG ksc_closes(void);                                  /* so many were */
void ksc_closes_delivered(LONG count);                  /* the drivers have seen so many closes */
/* Until they have seen all of them, or `all` that came before; the context has a block. */
void ksc_closes_await(const ksc_context *context, BOOLEAN all);
NTSTATUS ksc_batch_start(ksc_context *context, PIRP irp, PIO_STACK_LOCATION stack);     /* as ksc_step */
void ksc_batch_answer(ksc_call *call, const kshs_record *record, const void *data);     /* of a step of it */
void ksc_batch_release(ksc_batch *batch);

void ksc_record_init(kshs_record *record, uint32_t op);
void ksc_record_iosb(kshs_record *record, NTSTATUS status, uint64_t information);
void ksc_record_output(kshs_record *record, const ksc_buffer *buffer, uint32_t length);

NTSTATUS ksc_secure_device(PDEVICE_OBJECT device);

#endif
