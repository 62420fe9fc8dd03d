/* SPDX-License-Identifier: Apache-2.0
 *
 * queue.c - a bounded queue of frames: one reader puts, one executor takes.
 *
 * When it is full the reader stops reading, the pipe fills, and the host's
 * writes wait: that is all the flow control there is.
 */
#include "serve.h"

/* What one thread waits for.  Where threads can wait for a change of memory, that costs no way through Wine's server,
 * as an event does. */
typedef struct signal {
    volatile LONG set;
    HANDLE event;                   /* auto-reset; where there is no other way */
} signal;

static struct {
    CRITICAL_SECTION lock;
    signal may_put, may_take;       /* set only for a side that waits */
    bool putter_waits, taker_waits, closed, abandoned;
    queued_frame *frames[QUEUE_MAX_FRAMES];
    unsigned first, count;
    size_t bytes;
} queue;

void queue_start(void)
{
    InitializeCriticalSection(&queue.lock);
    queue.may_put.event = CreateEventW(NULL, FALSE, FALSE, NULL);
    queue.may_take.event = CreateEventW(NULL, FALSE, FALSE, NULL);
}

static bool by_address(void)
{
    return nt.wait_on_address && nt.wake_address;
}

static void await(signal *s)
{
    static const LONG not_set = 0;

    if (!by_address())
        WaitForSingleObject(s->event, INFINITE);
    else
        while (!InterlockedExchange(&s->set, 0))
            nt.wait_on_address((const void *)&s->set, &not_set, sizeof(not_set), NULL);
}

static void wake(bool *waits, signal *s)
{
    if (!*waits)
        return;
    *waits = false;
    if (!by_address()) {
        SetEvent(s->event);
        return;
    }
    InterlockedExchange(&s->set, 1);
    nt.wake_address((const void *)&s->set);
}

bool queue_put(queued_frame *frame)
{
    size_t size = sizeof(kshs_frame) + frame->header.length;

    EnterCriticalSection(&queue.lock);
    while (!queue.abandoned &&
           (queue.count == QUEUE_MAX_FRAMES || (queue.count && queue.bytes + size > QUEUE_MAX_BYTES))) {
        queue.putter_waits = true;
        LeaveCriticalSection(&queue.lock);
        await(&queue.may_put);
        EnterCriticalSection(&queue.lock);
    }
    if (queue.abandoned) {
        LeaveCriticalSection(&queue.lock);
        return false;
    }
    queue.frames[(queue.first + queue.count++) % QUEUE_MAX_FRAMES] = frame;
    queue.bytes += size;
    wake(&queue.taker_waits, &queue.may_take);
    LeaveCriticalSection(&queue.lock);
    return true;
}

queued_frame *queue_take(void (*idle)(void))
{
    queued_frame *frame;

    EnterCriticalSection(&queue.lock);
    while (!queue.count && !queue.closed && !queue.abandoned) {
        queue.taker_waits = true;
        LeaveCriticalSection(&queue.lock);
        idle();
        await(&queue.may_take);
        EnterCriticalSection(&queue.lock);
    }
    if (!queue.count || queue.abandoned) {
        LeaveCriticalSection(&queue.lock);
        return NULL;
    }
    frame = queue.frames[queue.first];
    queue.first = (queue.first + 1) % QUEUE_MAX_FRAMES;
    queue.count--;
    queue.bytes -= sizeof(kshs_frame) + frame->header.length;
    wake(&queue.putter_waits, &queue.may_put);
    LeaveCriticalSection(&queue.lock);
    return frame;
}

const queued_frame *queue_peek(unsigned position)
{
    const queued_frame *frame = NULL;

    EnterCriticalSection(&queue.lock);
    if (position < queue.count && !queue.abandoned)
        frame = queue.frames[(queue.first + position) % QUEUE_MAX_FRAMES];
    LeaveCriticalSection(&queue.lock);
    return frame;
}

void queue_close(void)
{
    EnterCriticalSection(&queue.lock);
    queue.closed = true;
    wake(&queue.taker_waits, &queue.may_take);
    LeaveCriticalSection(&queue.lock);
}

void queue_abandon(void)
{
    EnterCriticalSection(&queue.lock);
    queue.abandoned = true;
    wake(&queue.taker_waits, &queue.may_take);
    wake(&queue.putter_waits, &queue.may_put);
    LeaveCriticalSection(&queue.lock);
}
