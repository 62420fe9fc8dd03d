/* SPDX-License-Identifier: Apache-2.0
 *
 * serve.h - the inside of `kshsctl serve`: output, queue, steps.
 */
#ifndef KSHSCTL_SERVE_H
#define KSHSCTL_SERVE_H

#include "nt.h"
#include "kshs_step_time.h"

/* ---- output.c: one writer at a time ------------------------------------- */
void output_start(HANDLE handle);
void output_frame(uint16_t type, uint32_t seq, const void *head, size_t head_length, const void *tail,
                  size_t tail_length);
void output_flush(void);
bool output_broken(void);           /* the host reads no more: nothing is worth doing */
void output_log(const wchar_t *format, ...);                        /* LOG */
void output_error(uint32_t seq, uint32_t code, DWORD win32, const wchar_t *format, ...);    /* ERROR, flushed */

/* ---- queue.c: frames from the reader to the executor ---------------------- */
#define QUEUE_MAX_FRAMES 512
#define QUEUE_MAX_BYTES (4 * 1024 * 1024)

typedef struct queued_frame {
    kshs_frame header;
    uint8_t payload[1];             /* header.length bytes */
} queued_frame;

void queue_start(void);
bool queue_put(queued_frame *frame);            /* waits while the queue is full; false: nobody takes any more */
queued_frame *queue_take(void (*idle)(void));   /* calls idle before it waits; NULL: closed and empty */
/* For the one who takes: the frame that he will take as the next but `position`, if it is there already. */
const queued_frame *queue_peek(unsigned position);
void queue_close(void);                         /* no more will be put; what is there is still taken */
void queue_abandon(void);                       /* no more will be taken */

/* ---- serve.c, executor.c: the agent's life -------------------------------- */
typedef struct serve_state {
    HANDLE ending;                  /* no more frames will come */
    HANDLE done;                    /* everything is released */
    volatile LONG exit_code;
    volatile LONG progress;         /* steps carried out */
} serve_state;

extern serve_state serve;

bool thread_start(LPTHREAD_START_ROUTINE routine, HANDLE *thread);
bool executor_start(void);          /* and its watchdog */
void executor_join(void);           /* after `done`: until their threads have ended */

/* ---- a step on its way ------------------------------------------------------ */
#define STEP_RUNNING 0
#define STEP_CLAIMED 1
#define STEP_ABANDONED 2

typedef struct step_context {
    uint32_t seq;
    const kshs_step *step;
    const uint8_t *data;            /* step->data_length bytes */
    kshs_record record;
    uint8_t reply[KSHS_MAX_DATA];   /* record.data_length bytes of it follow the record */
    volatile LONG state;
    bool answered;                  /* with an ERROR frame: no RECORD follows */
} step_context;

/*
 * A step that blocks in a driver is taken over by the watchdog, which answers
 * HUNG and lets a new thread go on with the next step; the old thread must
 * then touch nothing that is shared.  So whoever is back from a call that may
 * block claims the step before it changes any table, and leaves if it cannot.
 */
bool step_claim(step_context *context);
bool step_is_whole(const queued_frame *frame);      /* a STEP whose lengths are those of the frame */
/* For the step itself: a repeat of its request begins, which has the time of the step anew. */
void step_again(step_context *context);
void step_refuse(step_context *context, NTSTATUS detail, const wchar_t *format, ...);   /* REFUSED, with a LOG line */
void step_unsupported(step_context *context, NTSTATUS detail, const wchar_t *format, ...);

/* ---- the sides ---------------------------------------------------------------- */
/* kernel_steps.c: steps behind this one may go with it, and are then answered from there when their turn comes. */
void kernel_step(step_context *context);
void kernel_other_side(void);       /* something else is carried out, which the next kernel step has to come behind */
void kernel_share(step_context *context, uint32_t slot);    /* asks for a handle; the record is the client's */
void kernel_end(void);                          /* closes the client's handle, which releases its slots */
void user_step(step_context *context);          /* user_steps.c */
void user_end(void);
void agent_step(step_context *context);         /* agent_steps.c: what needs no driver handle */
void agent_warm_up(void);                       /* answers the first INFO now, if nothing else comes before it */
void agent_changed(void);                       /* something else is carried out */

#endif
