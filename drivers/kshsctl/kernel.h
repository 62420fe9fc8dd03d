/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel.h - the agent's handle to ksclient.sys, and what the files about its steps share.
 *
 * When a BEGIN has to have left the agent: where a driver can take the agent with it, before the step is sent; where
 * drivers live in a process of their own (Wine), the agent outlives them, and what is gathered may wait for a step
 * that is done at once.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include "serve.h"

#define KERNEL_LOOK_MS 8            /* a step that takes longer has its BEGIN, and all before it, passed on */
#define KERNEL_MOST_LOOK_MS 32      /* and what ends behind it in the same batch is passed on within this time */
#define KERNEL_WAIT_MARGIN_MS 2000  /* the client keeps the step's timeout itself */

typedef struct kernel_client {
    HANDLE handle;
    bool was_open;                  /* once in this session */
    bool busy;                      /* a step is with the client; still set when another is to be sent: it never came
                                       back */
} kernel_client;

extern kernel_client kernel;

bool kernel_open(step_context *context);        /* false: the step is answered, or nobody's any more */
/* The client is gone, or the step is given up; both leave step and record to this call. */
void kernel_gone(step_context *context, NTSTATUS status);
void kernel_lost(step_context *context, uint32_t outcome, NTSTATUS detail);
bool kernel_is_refusal(NTSTATUS status);        /* the client refused a control; anything else means that it is gone */
DWORD kernel_patience_ms(const kshs_step *step);
uint32_t kernel_answer_size(const kshs_step *step);     /* bytes of a record with its data */
/* A record as the client wrote it, and `room` bytes behind it at most, as the answer to a step. */
void kernel_take(step_context *context, const kshs_record *record, const uint8_t *data, uint64_t length,
                 uint32_t room);
/* `step` with the path that only user mode can find, for the client to open; false: `error` says why not. */
bool kernel_open_filter(const kshs_step *asked, kshs_step *step, wchar_t *path, size_t count, DWORD *error);

/* ---- kernel_server.c -------------------------------------------------------------------- */

#define KERNEL_CONTROL_WAIT_MS 10000        /* for a control that no driver under test has a part in */

typedef struct server {             /* of one handle to the client */
    uint8_t *block;
    HANDLE section, bell, done;     /* their names are to live as long as this */
    HANDLE event;                   /* of the control, which is under way as long as it `serves` */
    IO_STATUS_BLOCK status;
    kshs_record record;
    bool serves;
} server;

server *server_connect(HANDLE handle);  /* for a fresh handle to the client; NULL: nothing can be shared with it */
void server_free(server *s);            /* nobody writes to it any more */

/* ---- kernel_batch.c --------------------------------------------------------------------- */

void batch_use(server *s);          /* from now on; what was used before is given up, for the client may write to it */
void batch_gone(void);              /* the client is: nobody writes to it any more */
/* With the client, and `step` the first of those that are sent together; false: nothing was sent. */
bool batch_send(step_context *context);
/* The step's answer from the batch under way; false: there is none, or it was over before this step. */
bool batch_take(step_context *context);
void batch_end(void);               /* the client is left in peace before its handle is closed */

#endif
