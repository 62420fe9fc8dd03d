/* SPDX-License-Identifier: Apache-2.0
 *
 * user.h - the user side of the agent: slots, buffers, requests.
 */
#ifndef KSHSCTL_USER_H
#define KSHSCTL_USER_H

#include "serve.h"

/* ---- user_buffers.c ------------------------------------------------------ */
typedef struct io_buffer {
    uint8_t *region;                /* pages: one for the guard before, the buffer, one for the guard after */
    uint8_t *pointer;               /* what the driver is told */
    uint32_t kind;
    uint32_t space;                 /* bytes of the buffer from `pointer` on */
    bool readable;                  /* the agent may look at it */
    bool guard_high;                /* there is memory after it that could be overwritten */
} io_buffer;

bool buffer_create(io_buffer *b);
void buffer_destroy(io_buffer *b);
/* Lays the buffer out for a request that says LENGTH; the contents are FILL, data first. False: no memory. */
bool buffer_prepare(io_buffer *b, uint32_t kind, uint32_t length, uint8_t fill, const uint8_t *data,
                    uint32_t data_length);
/* Contents and guards anew, for the next repeat. */
void buffer_refill(io_buffer *b, uint8_t fill, const uint8_t *data, uint32_t data_length);
bool buffer_restore(io_buffer *b);  /* every page writable again; false: not to be used any more */
/* Compares with what buffer_refill wrote; sets the changed_* members. */
void buffer_compare(const io_buffer *b, uint8_t fill, const uint8_t *data, uint32_t data_length,
                    kshs_record *record);
bool buffer_guard_low_intact(const io_buffer *b);
bool buffer_guard_high_intact(const io_buffer *b);

/* ---- slots: user_steps.c ---------------------------------------------------- */
typedef struct user_slot {
    HANDLE handle;
    bool synchronous;
    bool on_port;                   /* associated with the agent's completion port: for good */
    bool is_pin;
    bool closed;                    /* the handle is a number that once was one: see user_closed.c */
    wchar_t *path;                  /* of a filter or device, for the make-pin control */
} user_slot;

user_slot *slot_get(uint32_t number);   /* NULL: no such number, or empty */

/* ---- user_open.c ------------------------------------------------------------- */
NTSTATUS open_file(HANDLE root, const void *name, uint32_t bytes, bool synchronous, HANDLE *handle,
                   IO_STATUS_BLOCK *status);
/* A make control of refks on an open handle, which is closed and NULL when it fails.  False: the step is answered. */
bool open_make(step_context *context, uint32_t control, const void *name, uint32_t bytes, HANDLE *handle,
               NTSTATUS *returned, IO_STATUS_BLOCK *status);
/* The path of a filter or another device.  Wine knows that of a device's first factory alone: with a reference string
 * behind it, what is opened there is made a filter of the factory that it names, and FLAGS say so.  False: as above. */
bool open_by_path(step_context *context, const wchar_t *path, uint32_t bytes, bool synchronous, HANDLE *handle,
                  NTSTATUS *returned, IO_STATUS_BLOCK *status, uint32_t *flags);

/* ---- user_closed.c: handles that are closed, and used all the same ------------ */
NTSTATUS handle_retire(HANDLE *handle); /* closes it; then *handle is a number that belonged to the same object */
bool handle_taken(HANDLE handle);       /* the number belongs to another object by now */
bool closed_usable(step_context *context, const user_slot *slot);  /* nothing to say against it, or not a closed one */

/* ---- user_request.c ------------------------------------------------------------ */
void request_step(step_context *context);
/* A control that STEP and DATA describe, in flight under the token of the context's step.  Of DATA, the last
 * OUT_DATA_LENGTH bytes are what the output buffer begins with. */
void request_start_control(step_context *context, user_slot *slot, const kshs_step *step, const uint8_t *data,
                           uint32_t out_data_length);
void request_wait_step(step_context *context);
void request_cancel_step(step_context *context);
void request_slot_closing(uint32_t slot);   /* its handle is about to be closed */
void requests_forget(void);                 /* RELEASE_ALL: every token is free again */

/* ---- user_control.c ------------------------------------------------------------- */
typedef struct plain_control {      /* a control that is not measured, with an event of its own */
    IO_STATUS_BLOCK status;
    HANDLE event;
    NTSTATUS returned;
    NTSTATUS result;                /* the final one */
    uint8_t *in, *out;
    uint32_t in_length, out_length;
    uint8_t room[1];
} plain_control;

plain_control *plain_new(uint32_t in_length, uint32_t out_length);
bool plain_send(plain_control *c, HANDLE file, uint32_t control, uint32_t timeout_ms);  /* false: never free it */
void plain_free(plain_control *c);
void property_step(step_context *context);

#endif
