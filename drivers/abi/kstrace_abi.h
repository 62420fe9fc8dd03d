/* SPDX-License-Identifier: Apache-2.0
 *
 * kstrace_abi.h - what kstrace.sys tells the agent: records of a ring, and the
 * controls by which they are fetched.
 *
 * Between these two alone, which come from one build: the agent writes what it
 * read as text (docs/tracing.md), and nobody else reads these structures.  All
 * members have fixed widths and stand at their natural alignment.
 */
#ifndef KSTRACE_ABI_H
#define KSTRACE_ABI_H

#define KSTRACE_VERSION 2
#define KSTRACE_RECORD_BYTES 512
#define KSTRACE_DATA_BYTES 376
#define KSTRACE_LOOK_BYTES 64           /* of a handshake's input and of its output, at most */
#define KSTRACE_VALUE_BYTES 256         /* of a property's value */
#define KSTRACE_NAME_BYTES 344          /* of an object's name, or of what a pin's name says */
#define KSTRACE_PROCESS_BYTES 32        /* of a process's name, UTF-16 */
#define KSTRACE_MAX_SETS 8              /* property sets that are watched besides */
#define KSTRACE_LEAST_RECORDS 64
#define KSTRACE_MOST_RECORDS 65536
#define KSTRACE_DEFAULT_RECORDS 4096

/* ---- events: one record each, begun when the IRP came by and filled up when it went back ---- */
#define KSTRACE_OPEN 1                  /* in: the object's name; out: the process's name */
#define KSTRACE_PIN 2                   /* an open by a pin's name; in: KSPIN_CONNECT and what follows; out: likewise */
#define KSTRACE_HANDSHAKE 3             /* IOCTL_KS_HANDSHAKE, or a control of that function by another method or access */
#define KSTRACE_STATE 4                 /* KSPROPERTY_CONNECTION_STATE is set; in: KSPROPERTY; out: KSSTATE */
#define KSTRACE_PROPERTY 5              /* of a watched set; in: KSPROPERTY and what follows; out: the value */
#define KSTRACE_CLEANUP 6
#define KSTRACE_CLOSE 7
#define KSTRACE_PNP 8                   /* control: the minor code */

/* ---- flags ------------------------------------------------------------------ */
#define KSTRACE_DONE 1                  /* end_flags: it went back: status, information and took_ns hold */
#define KSTRACE_MARKED 4                /* end_flags: it was marked pending when it went back */
#define KSTRACE_CANCEL 8                /* end_flags: somebody had called IoCancelIrp by then */
#define KSTRACE_UNWATCHED 16            /* it went on without a completion routine: nothing is known of its end */
#define KSTRACE_IN_UNREAD 32            /* there was input, and it could not be read */
#define KSTRACE_OUT_UNREAD 64           /* the same of the output, or of a property's value */
#define KSTRACE_CUT 128                 /* more of the input was there than is kept */
#define KSTRACE_BITS_KNOWN 256          /* KSTRACE_BITS32 holds */
#define KSTRACE_BITS32 512              /* the caller is a 32-bit process */
#define KSTRACE_PREVIOUS_KNOWN 1024     /* `previous` holds */
#define KSTRACE_POINTER1 2048           /* Argument1 of the input is the address of memory of the kernel */
#define KSTRACE_POINTER2 4096
#define KSTRACE_FAST 8192               /* by fast I/O, without an IRP */
#define KSTRACE_MADE 16384              /* a pin, or a filter of another factory, that Wine's fallback made
                                           of an open filter */
#define KSTRACE_VALUE 32768             /* out is the value that a property was set to */
#define KSTRACE_POINTER3 65536          /* Argument1 of the output is the address of memory of the kernel */
#define KSTRACE_POINTER4 131072
#define KSTRACE_IN_NULL 262144          /* there is no input buffer */
#define KSTRACE_OUT_NULL 524288
#define KSTRACE_SAME 1048576            /* both are at the same address */
#define KSTRACE_IN_ODD 2097152          /* not aligned for a KSHANDSHAKE */
#define KSTRACE_OUT_ODD 4194304

/*
 * Who began an event, who completes it and who sees the lower driver return may be three threads at the same time:
 * each has members of its own, `flags`, `end_flags` and `has_returned` among them, and none waits for another.
 */
typedef struct kstrace_record {
    uint64_t number;                    /* from 1 on, in the order in which they came; 0: none, or being written */
    uint64_t writer;                    /* in the ring: as the number, or its writers got in each other's way */
    uint64_t begin_ns;                  /* performance counter; in the ring: ticks of kstrace_clock */
    uint64_t took_ns;                   /* likewise */
    uint64_t file;                      /* file object: never leaves the machine */
    uint64_t related;                   /* that it was opened below, or, of a pin, its filter's */
    uint64_t connected;                 /* PIN: file object of the sink that it was connected to */
    uint64_t information;
    uint64_t later;                     /* in the ring: what its completion needs, address or handle; else 0 */
    uint32_t event;
    uint32_t flags;
    uint32_t end_flags;                 /* in the ring: those of its completion */
    uint32_t device;                    /* which of the filters, from 1 on */
    uint32_t process;
    uint32_t thread;
    uint32_t control;                   /* control code; PNP: minor code */
    uint32_t in_length;                 /* as the driver was told */
    uint32_t out_length;
    uint32_t returned;                  /* what the lower driver's dispatch routine returned, if it has */
    uint32_t status;                    /* IoStatus.Status */
    uint32_t in_bytes;                  /* of `data` */
    uint32_t out_bytes;                 /* behind them */
    uint32_t whole;                     /* bytes of the whole name */
    uint32_t irp_flags;                 /* IRP->Flags; 0 of fast I/O */
    uint8_t requestor;                  /* IRP->RequestorMode: 0 kernel, 1 user */
    uint8_t previous;                   /* previous mode of the thread */
    uint8_t irql;
    uint8_t has_returned;               /* the call into the lower driver returned: `returned` holds */
    uint8_t data[KSTRACE_DATA_BYTES];
} kstrace_record;

/* ---- time, in the ring -------------------------------------------------------------------------------
 * Ticks of whatever tells the time fastest: so many nanoseconds in so many ticks, both at once. */
typedef struct kstrace_clock {
    uint64_t first_ticks, first_ns;     /* a moment by both */
    uint64_t span_ticks, span_ns;       /* their rate; 0: the processor's counter, to be held against the time now */
} kstrace_clock;

static inline uint64_t kstrace_span_ns(const kstrace_clock *clock, uint64_t ticks)
{
    uint64_t per = clock->span_ticks, ns = clock->span_ns;

    while ((per | ns) >> 31) {          /* so that no product overflows; the rate keeps 30 bits */
        per >>= 1;
        ns >>= 1;
    }
    return per ? ticks / per * ns + ticks % per * ns / per : 0;
}

static inline uint64_t kstrace_ns(const kstrace_clock *clock, uint64_t ticks)
{
    if (ticks < clock->first_ticks)
        return clock->first_ns;
    return clock->first_ns + kstrace_span_ns(clock, ticks - clock->first_ticks);
}

/* A record of the ring as it is told. */
static inline void kstrace_tell(kstrace_record *record, const kstrace_clock *clock)
{
    record->flags |= record->end_flags;
    record->end_flags = 0;
    record->begin_ns = kstrace_ns(clock, record->begin_ns);
    record->took_ns = record->flags & KSTRACE_DONE ? kstrace_span_ns(clock, record->took_ns) : 0;
    record->writer = record->later = 0;
}

/* ---- what is found in the driver's data when nobody answers: Wine, where drivers live in a process ---- */
#define KSTRACE_MAGIC "kshs trace ring"
typedef struct kstrace_beacon {
    uint8_t magic[16];                  /* KSTRACE_MAGIC with its NUL */
    uint64_t records;                   /* their address; 0: there are none */
    uint64_t next;                      /* as in kstrace_state, and what was forgotten before */
    uint64_t forgotten;                 /* numbers that IOCTL_KSTRACE_CLEAR has put behind it */
    uint64_t lost;
    uint32_t count;                     /* a power of two */
    uint32_t version;                   /* KSTRACE_VERSION */
    kstrace_clock clock;
} kstrace_beacon;

/* ---- controls of \Device\KsHsTrace (METHOD_BUFFERED) ------------------------------------------- */
#define KSTRACE_DEVICE_TYPE 0x8001
#define IOCTL_KSTRACE_STATE 0x80012000  /* out: kstrace_state */
#define IOCTL_KSTRACE_READ 0x80012004   /* in: uint64_t, the first number wanted; out: records in their order */
#define IOCTL_KSTRACE_CLEAR 0x80012008  /* the ring is emptied and records from now on */
#define IOCTL_KSTRACE_ATTACH 0x8001200C /* Wine alone; in: name of a driver object (UTF-16): a filter on each device */
#define IOCTL_KSTRACE_FINISH 0x80012010 /* recording ends.  Wine: the filters go.  NT: the device of these controls goes
                                           with the last filter, so that the driver can be unloaded */

typedef struct kstrace_state {
    uint32_t version;                   /* KSTRACE_VERSION */
    uint32_t records;                   /* that the ring holds; 0: there was no memory for one */
    uint64_t next;                      /* number of the next one */
    uint64_t now_ns;
    uint64_t lost;                      /* events for which there was no record */
    uint32_t filters;                   /* devices that are watched */
    uint32_t busy;                      /* requests that are under way through them */
    uint32_t sets;                      /* property sets that are watched */
    uint32_t recording;
} kstrace_state;

#endif
