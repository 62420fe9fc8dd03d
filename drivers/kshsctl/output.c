/* SPDX-License-Identifier: Apache-2.0
 *
 * output.c - the agent's side of the stream.
 *
 * Frames gather in a buffer and leave it in one write: when the queue of steps
 * is empty, when the buffer is full, and before each step that reaches a
 * driver.  The last of these makes one write of the record before and the
 * BEGIN of that step, so that a dying guest has said how far it came, and it
 * costs no more than a write a step.
 */
#include "serve.h"
#include <stdarg.h>

#define OUTPUT_SIZE 65536

static struct {
    CRITICAL_SECTION lock;
    HANDLE handle;
    size_t used;
    volatile LONG broken;
    bool closed;                    /* an ERROR of sequence number 0 was the last frame */
    uint8_t buffer[OUTPUT_SIZE];
} output;

void output_start(HANDLE handle)
{
    InitializeCriticalSection(&output.lock);
    output.handle = handle;
}

bool output_broken(void)
{
    return output.broken != 0;
}

static void write_locked(const void *data, size_t length)
{
    if (!output.broken && !output.closed && length && !write_all(output.handle, data, length))
        InterlockedExchange(&output.broken, 1);
}

static void flush_locked(void)
{
    write_locked(output.buffer, output.used);
    output.used = 0;
}

static void append_locked(const void *data, size_t length)
{
    if (length > OUTPUT_SIZE - output.used)
        flush_locked();
    if (length > OUTPUT_SIZE) {
        write_locked(data, length);
        return;
    }
    if (length)
        memcpy(output.buffer + output.used, data, length);
    output.used += length;
}

void output_flush(void)
{
    EnterCriticalSection(&output.lock);
    flush_locked();
    LeaveCriticalSection(&output.lock);
}

void output_frame(uint16_t type, uint32_t seq, const void *head, size_t head_length, const void *tail,
                  size_t tail_length)
{
    kshs_frame frame;

    frame.magic = KSHS_FRAME_MAGIC;
    frame.type = type;
    frame.flags = 0;
    frame.seq = seq;
    frame.length = (uint32_t)(head_length + tail_length);
    EnterCriticalSection(&output.lock);
    append_locked(&frame, sizeof(frame));
    append_locked(head, head_length);
    append_locked(tail, tail_length);
    LeaveCriticalSection(&output.lock);
}

static void text_frame(uint16_t type, uint32_t seq, const void *head, size_t head_length, const wchar_t *format,
                       va_list arguments)
{
    wchar_t wide[1024];
    size_t length = 0;
    char *text;

    format_text_v(wide, ARRAY_COUNT(wide), format, arguments);
    text = utf8_from_wide(wide, wcslen(wide), &length);
    output_frame(type, seq, head, head_length, text, text ? length : 0);
    free(text);
}

void output_log(const wchar_t *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    text_frame(KSHS_FRAME_LOG, 0, NULL, 0, format, arguments);
    va_end(arguments);
}

void output_error(uint32_t seq, uint32_t code, DWORD win32, const wchar_t *format, ...)
{
    kshs_error error;
    va_list arguments;

    error.code = code;
    error.win32 = win32;
    va_start(arguments, format);
    text_frame(KSHS_FRAME_ERROR, seq, &error, sizeof(error), format, arguments);
    va_end(arguments);
    output_flush();
    if (!seq) {
        EnterCriticalSection(&output.lock);
        output.closed = true;
        LeaveCriticalSection(&output.lock);
    }
}
