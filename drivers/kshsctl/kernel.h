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

typedef struct batch batch;

typedef struct kernel_client {
    HANDLE handle;
    bool was_open;                  /* once in this session */
    bool busy;                      /* a control is with the client; still set when another is to be sent: it never
                                       came back */
    uint8_t *block;                 /* shared with the client; NULL: there is none, and each step goes alone */
    batch *batch;                   /* whose steps are taken one after the other, or NULL */
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

/* ---- kernel_batch.c --------------------------------------------------------------------- */

/* The block of a fresh handle to the client; NULL where there can be none. */
uint8_t *batch_connect(HANDLE client);
/* With the client, and `step` the first of several that are sent together; false: nothing was sent. */
bool batch_send(step_context *context);
/* The step's answer from the batch under way; false: the batch was over before it. */
bool batch_take(step_context *context);
void batch_drop(void);              /* its buffers belong to nobody any more */

#endif
