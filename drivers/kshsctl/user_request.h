/* SPDX-License-Identifier: Apache-2.0
 *
 * user_request.h - one I/O control of the user side on its way.
 *
 * A request runs on one thread from its call to its end: the executor's, or
 * with KSHS_STEP_ASYNC a thread of its own, which NT also needs, since it
 * cancels what a thread has under way when that thread ends.
 */
#ifndef KSHSCTL_USER_REQUEST_H
#define KSHSCTL_USER_REQUEST_H

#include "user.h"

typedef struct user_request {
    struct user_request *next;      /* in the list of requests under way */
    ULONG_PTR serial;               /* APC and port entries carry it: a late one finds nothing, and no freed memory */
    HANDLE file;
    uint32_t slot;
    bool file_closed;               /* `file` is a closed handle's number */
    bool keep_information;          /* the record gets as many bytes as Information says */
    kshs_step step;
    uint8_t *data;                  /* a copy of the step's: the input's first bytes, then the output's */
    uint32_t in_data_length;
    uint32_t out_data_length;       /* of a property that is written; else 0 */
    io_buffer in, out;
    IO_STATUS_BLOCK status;
    HANDLE event;                   /* EVENT: completion; PORT: an entry arrived */
    HANDLE cancel;                  /* for guests on which only the sending thread can cancel */
    HANDLE issued;                  /* the first call has returned */
    HANDLE done;
    HANDLE thread;                  /* ASYNC */
    volatile LONG arrivals;         /* event seen, port entries, APCs: of this repeat */
    volatile LONG marker;           /* the port's own entry has come by */
    volatile LONG cancelled;        /* 1: to be, 2: the sending thread has done it; no more repeats */
    bool cancel_reached;            /* for the record; the executor's */
    volatile LONG closing;          /* its slot was closed: no more repeats */
    volatile LONG finished;
    uint64_t sent_ms;               /* ASYNC and repeated: when the last repeat was sent; under the table's lock */
    volatile LONG orphan;           /* no token names it any more: its thread frees it */
    step_context *context;          /* of a request that the executor runs, else NULL */
    kshs_record record;
    uint8_t kept[KSHS_KEEP_BYTES];
} user_request;

typedef struct request_table {
    CRITICAL_SECTION lock;          /* for all of it */
    bool ready;
    user_request *list;             /* under way, or to be waited for */
    user_request *tokens[KSHS_MAX_TOKENS];
    user_request *spare;
    ULONG_PTR serial;               /* the last one given */
    HANDLE port;                    /* see user_send.c */
} request_table;

extern request_table requests;

/* user_send.c */
bool port_tie(user_slot *slot);             /* for KSHS_ROUTE_PORT, once and for good */
void request_arm(user_request *r);          /* buffers, status block and counts as before the first call */
/* Every repeat, and the record.  False: the last one is still with the driver when its time is over. */
bool request_send(user_request *r);
DWORD left_until(uint64_t deadline_ms);     /* for the wait functions; UINT64_MAX: no deadline */

#endif
