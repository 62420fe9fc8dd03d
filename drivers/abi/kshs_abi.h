/* SPDX-License-Identifier: Apache-2.0
 *
 * kshs_abi.h - everything that crosses a boundary of the harness.
 *
 * Read by C (agent, client, sample target) and, through dissect.cstruct, by
 * Python: there is no second copy.  To keep that possible this file holds
 * only #define lines with one literal, and typedefs of structures whose
 * members have fixed widths, stand at their natural alignment and leave no
 * implicit padding.  All integers are little endian.
 *
 * Whoever changes a layout or a meaning raises KSHS_ABI_VERSION.
 */
#ifndef KSHS_ABI_H
#define KSHS_ABI_H

#define KSHS_ABI_VERSION 7

/* ---- limits ------------------------------------------------------------ */
#define KSHS_MAX_PAYLOAD 131072     /* bytes after a frame header */
#define KSHS_MAX_DATA 66048         /* bytes after a step or a record */
#define KSHS_MAX_SLOTS 128          /* open objects of one side of one agent */
#define KSHS_MAX_TOKENS 128         /* requests in flight of one agent */
#define KSHS_MAX_MADE 1024          /* blocks and interfaces of one agent */
#define KSHS_MAX_FUNCTIONS 8        /* of an interface, behind Reference and Dereference */
#define KSHS_BUFFER_SIZE 65536      /* usable bytes of a request buffer */
#define KSHS_GUARD_SIZE 64          /* guard bytes on each side of it */
#define KSHS_GUARD_BYTE 0xA5
#define KSHS_OUT_FILL 0xCC          /* the output buffer before the request */
#define KSHS_POISON_STATUS 0xDEADF00D
#define KSHS_POISON_INFORMATION 0xDEADF00DDEADF00D
#define KSHS_KEEP_BYTES 256         /* output bytes that a record carries */
#define KSHS_MAX_REPEATED_MS 600000 /* for all repeats of a REQUEST together, unless timeout_ms is more */

/* ---- frames: host <-> agent, on stdin and stdout of the agent ----------- */
#define KSHS_FRAME_MAGIC 0x5348534B /* "KSHS" */
#define KSHS_FRAME_HELLO 1          /* both ways, first: kshs_hello + layout text */
#define KSHS_FRAME_STEP 2           /* host: kshs_step + data */
#define KSHS_FRAME_BEGIN 3          /* agent: the step of this seq starts now */
#define KSHS_FRAME_RECORD 4         /* agent: kshs_record + data */
#define KSHS_FRAME_ERROR 5          /* agent: kshs_error + UTF-8 text; seq 0: the connection is over */
#define KSHS_FRAME_LOG 6            /* agent: UTF-8 text for people */
#define KSHS_FRAME_BYE 7            /* host: finish, release everything, exit 0 */

typedef struct kshs_frame {
    uint32_t magic;
    uint16_t type;
    uint16_t flags;                 /* 0 */
    uint32_t seq;                   /* of the step; answers repeat it */
    uint32_t length;                /* of the payload, <= KSHS_MAX_PAYLOAD */
} kshs_frame;

typedef struct kshs_hello {
    uint32_t abi_version;
    uint32_t pointer_size;          /* of the agent: 4 or 8 */
    uint32_t handshake_size;        /* sizeof(KSHANDSHAKE) there: 24 or 32 */
    uint32_t layout_length;         /* bytes of layout text that follow */
} kshs_hello;                       /* text: one "name size member:offset ..." line a structure */

#define KSHS_ERROR_PROTOCOL 1       /* bad magic, type, length: the stream cannot be trusted */
#define KSHS_ERROR_ABI 2            /* version or layout mismatch */
#define KSHS_ERROR_CLIENT 3         /* ksclient.sys cannot be opened */
#define KSHS_ERROR_INTERNAL 4       /* out of memory and the like */

typedef struct kshs_error {
    uint32_t code;
    uint32_t win32;                 /* GetLastError() where it says more, else 0 */
} kshs_error;

typedef struct kshs_guid {
    uint32_t data1;
    uint16_t data2;
    uint16_t data3;
    uint8_t data4[8];
} kshs_guid;

/* ---- steps -------------------------------------------------------------- */
/* OPEN_*, user side: route KSHS_ROUTE_SYNC opens a synchronous handle, EVENT, PORT and APC an
 * asynchronous one; a REQUEST by a route that does not fit its handle is REFUSED. */
#define KSHS_OP_NOP 0               /* the agent answers itself */
#define KSHS_OP_OPEN_FILTER 1       /* slot := filter; guid = interface category, value = index of the instance */
#define KSHS_OP_OPEN_DEVICE 2       /* slot := device whose NT path is the data (UTF-16LE, no NUL) */
#define KSHS_OP_OPEN_PIN 3          /* slot := pin of the filter in slot2; data = KSPIN_CONNECT + KSDATAFORMAT;
                                       slot3 = pin to connect to, or KSHS_NO_SLOT */
#define KSHS_OP_CLOSE 4             /* of slot; with KSHS_STEP_KEEP it stays there, closed, for REQUEST and PROPERTY */
#define KSHS_OP_REQUEST 5           /* one handshake (or any other I/O control) */
#define KSHS_OP_WAIT 6              /* for the request of token: its record */
#define KSHS_OP_CANCEL 7            /* IoCancelIrp / NtCancelIoFile on the request of token */
#define KSHS_OP_PROPERTY 8          /* IOCTL_KS_PROPERTY on slot: guid = set, value = id, value2 = flags,
                                       data = bytes after KSPROPERTY (in_length of them), then property data */
#define KSHS_OP_RELEASE_ALL 9       /* close every slot of the side; with KSHS_STEP_COUNT, kernel: kshs_left */
#define KSHS_OP_INFO 10             /* agent: value = KSHS_INFO_*, its `info` JSON as data */
#define KSHS_OP_CRASHES 11          /* agent: crash records since the last call, JSON as data */
#define KSHS_OP_DEVICE 12           /* agent: value = KSHS_DEVICE_*, data = hardware id (UTF-16LE, no NUL) */
#define KSHS_OP_SLEEP 13            /* agent: timeout_ms in the guest */
#define KSHS_OP_SHARE 14            /* user: slot := a synchronous handle to what kernel slot slot2 holds;
                                       kernel (for the agent alone): information = handle, changed_bytes = process */
#define KSHS_OP_WAIT_INSIDE 15      /* kernel: KSHS_PROP_SEEN (guid = set) of pin id `value` on the filter in slot, until
                                       `value2` calls are inside, of what `mode` says, or `repeat` ms have passed; then
                                       the record of the last PROPERTY and its kshs_seen */
#define KSHS_OP_THREADS 16          /* agent: where drivers' threads stand, as JSON: what fits of what `kshsctl threads`
                                       prints, and what was found in half of timeout_ms */

/* Blocks and interfaces that a handshake's arguments point at; kernel alone, `slot` is a number below KSHS_MAX_MADE. */
#define KSHS_OP_MAKE 20             /* value = KSHS_MADE_*, in_kind = the memory, data = the block's bytes or a
                                       kshs_make; information = the address */
#define KSHS_OP_INSPECT 21          /* kshs_made and what can be read of it; waits for `held` = 0, at most `repeat` ms */
#define KSHS_OP_REFERENCE 22        /* of a taken interface: InterfaceReference (value 0) or InterfaceDereference (1),
                                       value2 times (1 to 1000); returned = what kept it from being called, or 0 */
#define KSHS_OP_VANISH 23           /* of a PAGE_END block: there is no memory at its address any more */

#define KSHS_MADE_NOTHING 0
#define KSHS_MADE_BLOCK 1           /* memory of the client's */
#define KSHS_MADE_INTERFACE 2       /* INTERFACE of wdm.h, implemented by the client */
#define KSHS_MADE_TAKEN_POINTER 3   /* to be filled by a REQUEST with TAKE */
#define KSHS_MADE_TAKEN_INTERFACE 4

#define KSHS_MAKE_GIVEN 1           /* the receiver owns a reference with each handshake that is accepted */
#define KSHS_MAKE_ELSEWHERE 2       /* taken: its functions need not be the driver's own */

#define KSHS_INFO_ALL 0
#define KSHS_INFO_CALLS 1           /* of it, ks.unimplemented_calls alone: all else does not change, and costs more */
#define KSHS_INFO_INTERFACES 2      /* instead of it, the device interfaces of the devices whose hardware id is the
                                       step's data (UTF-16LE, no NUL) */
#define KSHS_INFO_MODULES 3         /* instead of it, where drivers are loaded: `kshsctl modules` */

#define KSHS_DEVICE_RESTART 1
#define KSHS_DEVICE_REMOVE 2
#define KSHS_DEVICE_DISABLE 3
#define KSHS_DEVICE_ENABLE 4

#define KSHS_SIDE_KERNEL 0          /* ksclient.sys does it */
#define KSHS_SIDE_USER 1            /* the agent does it itself */

#define KSHS_ROUTE_CALL 0           /* kernel: KsSynchronousIoControlDevice */
#define KSHS_ROUTE_IRP 1            /* kernel: an IRP of its own */
#define KSHS_ROUTE_SYNC 2           /* user: NtDeviceIoControlFile on a synchronous handle */
#define KSHS_ROUTE_EVENT 3          /* user: asynchronous handle, event */
#define KSHS_ROUTE_PORT 4           /* user: asynchronous handle, completion port */
#define KSHS_ROUTE_APC 5            /* user: asynchronous handle, APC */

#define KSHS_MODE_KERNEL 0
#define KSHS_MODE_USER 1

#define KSHS_INSIDE_CALLBACK 0      /* WAIT_INSIDE: count - finished */
#define KSHS_INSIDE_STATE 1         /* changes_begun - changes_ended */

#define KSHS_BUFFER_NORMAL 0
#define KSHS_BUFFER_NULL 1
#define KSHS_BUFFER_ALIAS 2         /* output only: the input buffer itself */
#define KSHS_BUFFER_MISALIGNED 3    /* one byte past its natural alignment */
#define KSHS_BUFFER_READONLY 4
#define KSHS_BUFFER_FREED 5
#define KSHS_BUFFER_PAGE_END 6      /* the last valid byte ends a page; the next page is not mapped */
#define KSHS_BUFFER_PAGED 7         /* MAKE alone: paged pool */

#define KSHS_STEP_ASYNC 1           /* REQUEST, PROPERTY: answer at once with STARTED; WAIT fetches the record,
                                       with at most KSHS_KEEP_BYTES of output */
#define KSHS_STEP_FALLBACK 2        /* OPEN_PIN: allowed to use the make-pin control (Wine) */
#define KSHS_STEP_NO_FALLBACK 4     /* OPEN_PIN: native name or nothing */
#define KSHS_STEP_KEEP 8            /* CLOSE: keep what can be kept of a closed handle.  Kernel: a reference on the file
                                       object, so that it is cleaned up and not closed; user: the handle's number */
#define KSHS_STEP_ARGUMENTS 16      /* REQUEST, kernel: Argument1 := address of what was made as slot2, Argument2 of slot3;
                                       KSHS_NO_SLOT leaves what the data has */
#define KSHS_STEP_TAKE 32           /* REQUEST, kernel: what was made as `value` (KSHS_MADE_TAKEN_*) := Argument1 of the
                                       answer, if it is a success, `value2` Argument2; KSHS_NO_SLOT: neither */
#define KSHS_STEP_FLIP 64           /* REQUEST: repeat number i, from 0, is sent with bit `value` + i of the input the other
                                       way, and with none of the bits before it.  PROPERTY, kernel: `repeat` times, bit
                                       `slot2` + i of what follows KSPROPERTY; the answers are kshs_pin_handshake, and
                                       those that say an error are alike */
#define KSHS_STEP_ERRORS_ALIKE 128  /* REQUEST whose repeats differ in length or a bit: those that end in errors are alike
                                       whatever the status */
#define KSHS_STEP_COUNT 1024        /* RELEASE_ALL, kernel: counts what is left; out_length: sizeof(kshs_left) */

#define KSHS_NO_SLOT 0xFFFFFFFF
#define KSHS_NO_TOKEN 0xFFFFFFFF

typedef struct kshs_step {
    uint32_t size;                  /* sizeof(kshs_step) */
    uint32_t op;
    uint32_t side;
    uint32_t flags;
    uint32_t slot;
    uint32_t slot2;
    uint32_t slot3;
    uint32_t token;                 /* with ASYNC, WAIT, CANCEL */
    uint32_t route;
    uint32_t mode;                  /* RequestorMode of kernel routes; WAIT_INSIDE: KSHS_INSIDE_* */
    uint32_t control;               /* I/O control code of REQUEST */
    uint32_t in_kind;
    uint32_t out_kind;
    uint32_t in_length;             /* as said to the driver; may exceed every buffer */
    uint32_t out_length;
    uint32_t repeat;                /* REQUEST: send it so often, or until one answers otherwise; the record is the
                                       last one's.  WAIT: as its request has it, for the time that all may take;
                                       WAIT_INSIDE: milliseconds */
    uint32_t timeout_ms;            /* 0: none.  After it the record says KSHS_OUTCOME_HUNG.  Each repeat has it
                                       anew, within KSHS_MAX_REPEATED_MS for all of them */
    uint32_t value;                 /* REQUEST: what each repeat adds to the in_length of the one before; FLIP: above */
    uint32_t value2;                /* REQUEST: the same of out_length */
    uint32_t data_length;           /* bytes after this structure, <= KSHS_MAX_DATA */
    kshs_guid guid;
} kshs_step;                        /* REQUEST: data = input buffer's first bytes (rest zero) */

/* ---- records ------------------------------------------------------------ */
#define KSHS_OUTCOME_DONE 0         /* the step was carried out; the status fields hold */
#define KSHS_OUTCOME_STARTED 1      /* ASYNC: on its way */
#define KSHS_OUTCOME_REFUSED 2      /* the step itself was malformed or impossible: detail = NTSTATUS; nothing changed */
#define KSHS_OUTCOME_HUNG 3         /* timeout_ms passed */
#define KSHS_OUTCOME_LOST 4         /* the kernel side vanished under the step: detail = what the agent got */
#define KSHS_OUTCOME_UNSUPPORTED 5  /* this guest cannot do it: detail = NTSTATUS */

#define KSHS_REC_IOSB_VISIBLE 1     /* the route shows an IO_STATUS_BLOCK at all */
#define KSHS_REC_STATUS_WRITTEN 2   /* IoStatus.Status differs from its poison */
#define KSHS_REC_INFO_WRITTEN 4     /* IoStatus.Information differs from its poison */
#define KSHS_REC_PENDING 8          /* the call returned STATUS_PENDING */
#define KSHS_REC_GUARD_LOW 16       /* guard bytes before the output buffer intact */
#define KSHS_REC_GUARD_HIGH 32      /* guard bytes after it intact */
#define KSHS_REC_IN_INTACT 64       /* input buffer unchanged */
#define KSHS_REC_NATIVE 128         /* OPEN_PIN: by its native name */
#define KSHS_REC_MADE 256           /* OPEN_PIN: by the make-pin control; OPEN_FILTER, OPEN_DEVICE: by make-filter */
#define KSHS_REC_CANCELLED 512      /* a CANCEL reached the request before it was complete */
#define KSHS_REC_SIGNALLED 1024     /* event, port entry or APC arrived */
#define KSHS_REC_OUT_VISIBLE 2048   /* changed_bytes, guards and data describe a real output buffer */
#define KSHS_REC_PENDING_RETURNED 4096 /* Irp->PendingReturned was set at completion */

typedef struct kshs_record {
    uint32_t size;                  /* sizeof(kshs_record) */
    uint32_t op;
    uint32_t outcome;
    uint32_t detail;                /* NTSTATUS or Win32 code behind an outcome other than DONE */
    uint32_t flags;
    uint32_t returned;              /* what the call returned */
    uint32_t status;                /* IoStatus.Status, poison if untouched */
    uint32_t completions;           /* completion routine runs, APCs or port entries seen: must be 1 when pending or by IRP */
    uint64_t information;           /* IoStatus.Information, poison if untouched; CALL: BytesReturned */
    uint32_t changed_bytes;         /* of the output buffer, compared to its fill */
    uint32_t changed_first;         /* offset of the first one, 0xFFFFFFFF if none */
    uint32_t changed_last;          /* offset of the last one, 0xFFFFFFFF if none */
    uint32_t irql_after;            /* IRQL when the call was back: must be that before (0) */
    uint64_t begin_ns;              /* guest's performance counter, in ns */
    uint64_t duration_ns;           /* of all repeats together */
    uint64_t thread;                /* that sent the request */
    uint32_t repeats;               /* requests sent */
    uint32_t data_length;           /* output bytes that follow: min(out_length, KSHS_KEEP_BYTES); PROPERTY: Information */
    uint64_t in_pointer;            /* REQUEST by a kernel route: the buffers as they were told to the driver */
    uint64_t out_pointer;
} kshs_record;

/* ---- what handshakes point at --------------------------------------------- */
typedef struct kshs_make {          /* data of MAKE for all kinds but BLOCK */
    uint32_t flags;                 /* KSHS_MAKE_* */
    uint32_t version;               /* INTERFACE: Version */
    uint32_t functions;             /* INTERFACE: so many behind InterfaceDereference; TAKEN_INTERFACE: so many looked at */
    uint32_t length;                /* TAKEN_POINTER: bytes that there should be */
    uint64_t returns[8];            /* INTERFACE: what each of its functions returns */
} kshs_make;

#define KSHS_LOOK_PRESENT 1         /* taken: a handshake was accepted, and its answer is here */
#define KSHS_LOOK_READABLE 2        /* its memory could be read: `size`, `version`, `context` and the data hold */
#define KSHS_LOOK_UNSURE 4          /* not READABLE, but it might be paged out */
#define KSHS_LOOK_IMAGE 8           /* taken: the images of the drivers of the device are known */
#define KSHS_LOOK_INSIDE 16         /* taken interface: all of its functions are in one of them */
#define KSHS_LOOK_INTACT 32         /* made: its bytes are as they were, and the guards around them */
#define KSHS_LOOK_GONE 64           /* block: vanished */

typedef struct kshs_made {
    uint32_t kind;                  /* KSHS_MADE_* */
    uint32_t flags;                 /* KSHS_LOOK_* */
    uint64_t address;
    uint64_t context;               /* interface: Context */
    uint32_t size;                  /* interface: Size */
    uint32_t version;               /* interface: Version */
    uint32_t held;                  /* references that the other side holds (made), or the client (taken) */
    uint32_t references;            /* calls of InterfaceReference: the driver's (made), the client's (taken) */
    uint32_t dereferences;
    uint32_t excess;                /* made: of these, those when nothing was held */
    uint32_t stale;                 /* made: other calls when nothing was held and no request carried it */
    uint32_t calls;                 /* made: of its further functions */
    uint32_t strangers;             /* calls of any interface of the client with a Context that is none, since MAKE */
    uint32_t sent;                  /* made: requests that carried it; taken: answers that it came with */
    uint32_t accepted;              /* made: those of them that were answered with success */
    uint32_t outside;               /* taken interface: its first function outside the images, 0 InterfaceReference,
                                       1 InterfaceDereference, 2 ...; 0xFFFFFFFF: none */
} kshs_made;                        /* then bytes of the block or structure, as many as fit KSHS_KEEP_BYTES in all */

/* ---- ksclient.sys controls (METHOD_BUFFERED, FILE_ANY_ACCESS) ------------- */
#define KSHS_CLIENT_DEVICE_TYPE 0x8000
#define IOCTL_KSHS_STEP 0x80002000      /* in: kshs_step + data; out: kshs_record + data */
#define IOCTL_KSHS_VERSION 0x80002004   /* out: kshs_client_version */
#define IOCTL_KSHS_BLOCK 0x80002008     /* in: NT name of a section (UTF-16LE, no NUL), which the client maps: the block
                                           of this open, once.  Events of the same name with "-bell" and "-done" belong
                                           to it.  c00000bb: this kernel cannot (docs/client.md) */
#define IOCTL_KSHS_BATCH 0x8000200C     /* batches of the block are carried out, one for each bell, until the open ends
                                           or a step is HUNG; out: kshs_record of op BATCH */

typedef struct kshs_client_version {
    uint32_t abi_version;
    uint32_t pointer_size;
    uint32_t handshake_size;
    uint32_t build_number;          /* of the kernel, from RtlGetVersion or PsGetVersion */
    uint32_t major;
    uint32_t minor;
    uint32_t is_wine;
    uint32_t batches;               /* 1: IOCTL_KSHS_BLOCK and IOCTL_KSHS_BATCH are taken */
} kshs_client_version;

/* ---- steps that travel together: the agent and the client alone ------------- */
/* The block: kshs_marks, from KSHS_BLOCK_QUESTION on a kshs_batch with its entries and steps, from KSHS_BLOCK_ANSWERS on
 * the records.  The steps are carried out one after the other, as IOCTL_KSHS_STEP would each of them.  Before one begins
 * and when it has ended the marks say so, and "-done" is set when no further one of the batch will begin.  A step that
 * is HUNG is the last one. */
#define KSHS_OP_BATCH 25
#define KSHS_BATCH_STEPS 64         /* of one batch, at most */
#define KSHS_BATCH_BYTES 131072     /* of one kshs_batch with all that belongs to it, at most */
#define KSHS_BLOCK_QUESTION 64
#define KSHS_BLOCK_ANSWERS 131136
#define KSHS_BLOCK_BYTES 262208     /* of the block */
#define KSHS_BATCH_MUST_EXIST 1     /* entry: OPEN_DEVICE by a path from a list: when nothing has it (c0000034) the batch is
                                       over before this step, which has then begun and not ended */
#define KSHS_BATCH_END 2            /* batch: there are no steps, and the control comes back */
#define KSHS_BATCH_QUEUE 1          /* batch: begins behind all that user mode has sent before (Wine's queue of requests) */

typedef struct kshs_marks {         /* the agent zeroes them before it rings; then they are the client's */
    uint32_t begun;                 /* steps of the batch that have begun */
    uint32_t ended;                 /* and ended: their records are in the block */
    uint32_t refused;               /* NTSTATUS: what is wrong with the batch, of which nothing was done; 0: nothing */
    uint32_t reserved;
} kshs_marks;

typedef struct kshs_batch_entry {
    uint32_t step_offset;           /* of a kshs_step and its data, from the begin of kshs_batch; a multiple of 8 */
    uint32_t step_bytes;
    uint32_t answer_offset;         /* of its kshs_record and data, from the begin of the block; a multiple of 8, and
                                       behind the answer of the entry before */
    uint32_t answer_bytes;
    uint32_t flags;                 /* KSHS_BATCH_MUST_EXIST */
    uint32_t reserved;              /* 0 */
} kshs_batch_entry;

typedef struct kshs_batch {
    uint32_t size;                  /* of all */
    uint32_t count;                 /* of entries, which follow */
    uint32_t flags;                 /* KSHS_BATCH_QUEUE, KSHS_BATCH_END */
    uint32_t reserved;              /* 0 */
} kshs_batch;

/* ---- refks make controls (Wine only), METHOD_BUFFERED on a filter handle ----- */
#define IOCTL_KSHS_MAKE_PIN 0x2F3FE0    /* in: the native pin name's bytes; the file object becomes that pin */
#define IOCTL_KSHS_MAKE_FILTER 0x2F3FE8 /* in: a reference string; the file object becomes a filter of that factory */

/* ---- avshs: property set on its filter, KSPROPSETID_Kshs ------------------ */
/* {6B2F7A10-52D3-4C0E-9E1B-0B9C1B7D5A01} KSPROPSETID_Kshs
 * {6B2F7A11-52D3-4C0E-9E1B-0B9C1B7D5A01} KSCATEGORY_KSHS, the filter's category
 * {6B2F7A12-52D3-4C0E-9E1B-0B9C1B7D5A01} KSHS_PROTOCOL_A, accepted by its pins
 * {6B2F7A13-52D3-4C0E-9E1B-0B9C1B7D5A01} KSHS_PROTOCOL_B, accepted by pin 2 alone
 * {6B2F7A14-52D3-4C0E-9E1B-0B9C1B7D5A01} major format
 * {6B2F7A15-52D3-4C0E-9E1B-0B9C1B7D5A01} subformat; specifier is KSDATAFORMAT_SPECIFIER_NONE
 * Pins: 0 source (OUT), 1 sink (IN), 2 source, 3 sink; hardware id Root\KshsAvshs. */
#define KSHS_AVSHS_PINS 4
#define KSHS_PROP_BEHAVIOUR 1       /* filter, SET: kshs_behaviour, in force for every pin instance of pin_id */
#define KSHS_PROP_SEEN 2            /* filter, GET: input KSPROPERTY + uint32_t pin_id; output kshs_seen */
#define KSHS_PROP_RESET 3           /* filter, SET: uint32_t pin_id: default behaviour, seen zeroed, blocks released */
#define KSHS_PROP_UNBLOCK 4         /* filter, SET: uint32_t pin_id: let a BLOCK callback or a SLOW_STATE change go on */
#define KSHS_PROP_PIN_HANDSHAKE 5   /* pin, GET: input KSPROPERTY + kshs_handshake; calls KsPinHandshake; output kshs_pin_handshake */
#define KSHS_PROP_SEEN_LATER 6      /* filter, GET: as SEEN, but pended and answered by another thread */

#define KSHS_BEHAVE_DEFAULT 0       /* known protocol: TRANSFORM by KSHS_DEFAULT_VALUE and _VALUE2; other: decline c0000010 */
#define KSHS_BEHAVE_ECHO 1          /* STATUS_SUCCESS, output = input, any protocol */
#define KSHS_BEHAVE_TRANSFORM 2     /* STATUS_SUCCESS, protocol kept, Argument1 + value, Argument2 ^ value2 */
#define KSHS_BEHAVE_DECLINE 3       /* return status, output untouched */
#define KSHS_BEHAVE_NO_CALLBACK 4   /* pins created from now on register none */
#define KSHS_BEHAVE_SLOW 5          /* wait delay_ms, then DEFAULT */
#define KSHS_BEHAVE_FAULT 6         /* write through NULL */
#define KSHS_BEHAVE_HANG 7          /* never return */
#define KSHS_BEHAVE_CORRUPT_POOL 8  /* write past a pool block, free it, then DEFAULT */
#define KSHS_BEHAVE_PENDING 9       /* return STATUS_PENDING */
#define KSHS_BEHAVE_BLOCK 10        /* wait for UNBLOCK (or delay_ms, 0: no limit), then DEFAULT */
#define KSHS_BEHAVE_BUGCHECK 11     /* KeBugCheckEx(status, pin_id, value, value2, 0) */
#define KSHS_BEHAVE_STATUS 12       /* output = input, return status whatever it is */
#define KSHS_BEHAVE_SLOW_STATE 13   /* a change of the pin's state waits delay_ms inside the driver, or for UNBLOCK;
                                       callback: DEFAULT */
#define KSHS_BEHAVE_LOOP 14         /* never return, and never let go of the processor */
#define KSHS_BEHAVE_STATE_STATUS 15 /* a change of the pin's state returns `status`; callback: DEFAULT */
#define KSHS_BEHAVE_LAST 15
#define KSHS_DEFAULT_VALUE 1        /* added to Argument1 */
#define KSHS_DEFAULT_VALUE2 0xFFFFFFFFFFFFFFFF /* xor'ed to Argument2: every bit flips; cut to the pointer size */

typedef struct kshs_behaviour {
    uint32_t pin_id;
    uint32_t kind;
    uint32_t status;
    uint32_t delay_ms;              /* ECHO, TRANSFORM, DECLINE, STATUS too: wait so long first */
    uint64_t value;
    uint64_t value2;
} kshs_behaviour;

typedef struct kshs_handshake {     /* KSHANDSHAKE with its pointers widened to 64 bits */
    kshs_guid protocol;
    uint64_t argument1;
    uint64_t argument2;
} kshs_handshake;

typedef struct kshs_seen {          /* what the callback of one pin id saw since RESET */
    uint32_t pin_id;
    uint32_t count;                 /* calls begun */
    uint32_t finished;              /* calls ended */
    uint32_t overlapped;            /* calls begun while another was inside */
    uint32_t after_close;           /* calls for a pin that was closed */
    uint32_t irql;                  /* of the last call, as are the following */
    uint32_t device_state;          /* KSSTATE of the pin */
    uint32_t returned;              /* NTSTATUS that the callback gave back */
    uint64_t thread;
    uint64_t in_pointer;            /* as the callback got them */
    uint64_t out_pointer;
    kshs_handshake request;
    uint32_t opened;                /* pin instances created, and closed */
    uint32_t closed;
    uint32_t changes_begun;         /* of an instance's state */
    uint32_t changes_ended;
    uint32_t shared;                /* calls that wrote to Out and found In changed by it */
    uint32_t reserved;
} kshs_seen;

typedef struct kshs_pin_handshake { /* what KsPinHandshake gave the source pin */
    uint32_t returned;
    uint32_t out_written;           /* 1: Out differs from its fill */
    uint64_t duration_ns;
    kshs_handshake answer;
} kshs_pin_handshake;

/* ---- what is held: COUNTERS ----------------------------------------------- */
#define KSHS_OP_COUNTERS 24         /* kernel: counts what drivers hold just now.  slot: whose file object and devices,
                                       or KSHS_NO_SLOT; out_length: room for the answer, kshs_counters and then
                                       `uses` kshs_pool_use */

#define KSHS_COUNTED_POOL 1         /* all kshs_pool_use are there */
#define KSHS_COUNTED_TAGS 2         /* they are one a pool tag, without the client's own; else one of the whole pool */
#define KSHS_COUNTED_HANDLES 4
#define KSHS_COUNTED_FILE 8
#define KSHS_COUNTED_DEVICE 16
#define KSHS_COUNTED_CLASS 32       /* the class driver is the reference one, and has told */

/* What the reference class driver counts itself for the object behind a file object (Wine only), METHOD_BUFFERED:
 * who is inside, that is who keeps it from being finished, and who keeps its memory.  The asker is inside, too. */
#define IOCTL_KSHS_HELD 0x2F3FE4    /* out: kshs_held */

typedef struct kshs_held {
    uint32_t object_inside;
    uint32_t object_references;
    uint32_t device_inside;
    uint32_t device_references;
} kshs_held;

typedef struct kshs_counters {
    uint32_t counted;               /* KSHS_COUNTED_*: what of this proved itself */
    uint32_t handles;               /* open ones of the process that drivers live in */
    uint64_t file_references;       /* to the slot's file object, that of this very question left out */
    uint64_t device_references;     /* to the device at the top of its stack */
    uint64_t base_references;       /* to the device that the file object is of */
    kshs_held held;
    uint32_t uses;
    uint32_t reserved;
} kshs_counters;

typedef struct kshs_pool_use {
    uint32_t tag;                   /* 0: of all together */
    uint32_t blocks;                /* allocated and not freed */
    uint64_t bytes;
} kshs_pool_use;

/* ---- what is left: RELEASE_ALL with COUNT ---------------------------------- */
typedef struct kshs_held_now {      /* all but the class driver's own: of the whole system, or of Wine's driver process */
    uint32_t counted;               /* KSHS_COUNTED_POOL, _HANDLES, _DEVICE, _CLASS */
    uint32_t handles;               /* Wine: the place of the lowest free one */
    uint32_t pool_blocks;           /* Wine alone */
    uint32_t reserved;
    uint64_t pool_bytes;
    uint64_t device_references;     /* while the first object that was opened is, and nothing else */
    uint64_t base_references;
    kshs_held held;
} kshs_held_now;

typedef struct kshs_left {          /* since the slots were empty before */
    uint32_t looked;                /* file objects that were counted when their handle had been closed */
    uint32_t unseen;                /* that could not be */
    uint32_t kept;                  /* those of `looked` to which references were left */
    uint32_t first;                 /* slot of the first of these, or KSHS_NO_SLOT */
    uint64_t references;            /* to all of them together */
    kshs_held_now before;           /* the first open */
    kshs_held_now after;            /* the last close */
} kshs_left;

#endif
