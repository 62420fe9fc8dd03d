/* SPDX-License-Identifier: Apache-2.0
 *
 * serve.c - the agent: what comes in, and its life from HELLO to the end.
 *
 * Threads: the reader takes frames from stdin and puts them into the queue;
 * the executor carries steps out, watched by the watchdog (executor.c); the
 * main thread waits for the end.
 */
#include "serve.h"
#include <stdarg.h>

#define CHUNK_SIZE 65536
#define END_GRACE_MS 15000          /* once no more frames come: for each step that is still to be done */
#define THREAD_GRACE_MS 2000        /* for a thread that has nothing more to do but end */

serve_state serve;

static HANDLE reader_done;          /* the reader reads no more */

/* ---- reader ------------------------------------------------------------------- */

static bool stream_ends(uint32_t code, const wchar_t *format, ...)
{
    wchar_t text[1024];
    va_list arguments;

    va_start(arguments, format);
    format_text_v(text, ARRAY_COUNT(text), format, arguments);
    va_end(arguments);
    InterlockedExchange(&serve.exit_code, EXIT_STREAM);
    output_error(0, code, 0, L"%ls", text);
    say(L"kshsctl: %ls", text);
    queue_abandon();
    return false;
}

/* The line of our layout that the host's text does not repeat, whatever line ends it uses. */
static bool hello_accepted(const queued_frame *frame)
{
    const kshs_hello *hello = (const kshs_hello *)frame->payload;
    const char *ours = abi_layout_text();
    const char *theirs = (const char *)(hello + 1);
    const char *end = (const char *)frame->payload + frame->header.length;

    if (frame->header.length < sizeof(*hello) || hello->layout_length != frame->header.length - sizeof(*hello))
        return stream_ends(KSHS_ERROR_PROTOCOL, L"the host's HELLO has a false length");
    if (hello->abi_version != KSHS_ABI_VERSION)
        return stream_ends(KSHS_ERROR_ABI, L"the host speaks ABI version %lu, this agent version %u; build both anew",
                           (unsigned long)hello->abi_version, KSHS_ABI_VERSION);
    while (*ours || theirs < end) {
        size_t our_length = strcspn(ours, "\n"), their_length = 0;

        while (theirs + their_length < end && theirs[their_length] != '\n')
            their_length++;
        if (our_length != their_length || memcmp(ours, theirs, our_length))
            return stream_ends(KSHS_ERROR_ABI, L"the layouts differ: this agent has \"%.*hs\", the host \"%.*hs\"",
                               (int)our_length, ours, (int)(their_length > 400 ? 400 : their_length), theirs);
        ours += our_length + (ours[our_length] == '\n');
        theirs += their_length + (theirs + their_length < end);
    }
    return true;
}

static bool header_accepted(const kshs_frame *header, bool greeted)
{
    if (header->magic != KSHS_FRAME_MAGIC)
        return stream_ends(KSHS_ERROR_PROTOCOL, L"a frame begins with 0x%08lx instead of 0x%08lx",
                           (unsigned long)header->magic, (unsigned long)KSHS_FRAME_MAGIC);
    if (header->flags)
        return stream_ends(KSHS_ERROR_PROTOCOL, L"a frame has the flags 0x%04x; there are none", header->flags);
    if (header->length > KSHS_MAX_PAYLOAD)
        return stream_ends(KSHS_ERROR_PROTOCOL, L"a frame announces %lu bytes; at most %u are allowed",
                           (unsigned long)header->length, KSHS_MAX_PAYLOAD);
    if (greeted ? header->type != KSHS_FRAME_STEP && header->type != KSHS_FRAME_BYE
                : header->type != KSHS_FRAME_HELLO)
        return stream_ends(KSHS_ERROR_PROTOCOL, L"a frame of type %u has no place here", header->type);
    return true;
}

/* One complete frame; takes the memory. False: it was the last one. */
static bool frame_accepted(queued_frame *frame, bool *greeted)
{
    bool last = frame->header.type == KSHS_FRAME_BYE;

    if (!*greeted) {
        *greeted = hello_accepted(frame);
        free(frame);
        return *greeted;
    }
    if (!queue_put(frame)) {
        free(frame);
        return false;
    }
    return !last;
}

static void read_frames(HANDLE input)
{
    static uint8_t chunk[CHUNK_SIZE];
    kshs_frame header;
    size_t have = 0;                /* bytes of the frame so far, its header included */
    queued_frame *frame = NULL;
    bool greeted = false;
    DWORD got, at;

    while (ReadFile(input, chunk, sizeof(chunk), &got, NULL) && got) {
        for (at = 0; at < got;) {
            uint8_t *target = frame ? frame->payload + (have - sizeof(header)) : (uint8_t *)&header + have;
            size_t need = frame ? sizeof(header) + frame->header.length - have : sizeof(header) - have;
            size_t part = need < got - at ? need : got - at;

            memcpy(target, chunk + at, part);
            at += (DWORD)part;
            have += part;
            if (!frame && have == sizeof(header)) {
                if (!header_accepted(&header, greeted))
                    return;
                frame = malloc(offsetof(queued_frame, payload) + header.length + 1);
                if (!frame) {
                    stream_ends(KSHS_ERROR_INTERNAL, L"no memory for a frame");
                    return;
                }
                frame->header = header;
            }
            if (frame && have == sizeof(header) + frame->header.length) {
                bool accepted = frame_accepted(frame, &greeted);

                frame = NULL;
                have = 0;
                if (!accepted)
                    return;
            }
        }
    }
    if (have)
        stream_ends(KSHS_ERROR_PROTOCOL, L"the stream ended inside a frame");
    free(frame);
}

static DWORD WINAPI reader_main(void *unused)
{
    (void)unused;
    read_frames(GetStdHandle(STD_INPUT_HANDLE));
    queue_close();
    SetEvent(reader_done);
    SetEvent(serve.ending);
    return 0;
}

/* ---- the verb ------------------------------------------------------------------- */

static void send_hello(void)
{
    const char *layout = abi_layout_text();
    kshs_hello hello;

    hello.abi_version = KSHS_ABI_VERSION;
    hello.pointer_size = sizeof(void *);
    hello.handshake_size = HANDSHAKE_SIZE;
    hello.layout_length = (uint32_t)strlen(layout);
    output_frame(KSHS_FRAME_HELLO, 0, &hello, sizeof(hello), layout, hello.layout_length);
    output_flush();
}

/*
 * Wine can deadlock a process that exits while another of its threads is just
 * about to end by itself: those are waited for.  A reader that is inside a
 * read, because the host keeps the stream open, is no such thread.
 */
static void let_threads_end(HANDLE reader)
{
    executor_join();
    if (WaitForSingleObject(reader_done, 0) == WAIT_OBJECT_0)
        WaitForSingleObject(reader, THREAD_GRACE_MS);
}

int verb_serve(int count, wchar_t **arguments)
{
    HANDLE reader;
    LONG progress;
    DWORD result;

    if (count && wcscmp(arguments[0], L"warm")) {
        say(L"usage: kshsctl serve [warm]");
        return EXIT_USAGE;
    }
    if (count)
        agent_warm_up();
    serve.ending = CreateEventW(NULL, TRUE, FALSE, NULL);
    serve.done = CreateEventW(NULL, TRUE, FALSE, NULL);
    reader_done = CreateEventW(NULL, TRUE, FALSE, NULL);
    output_start(GetStdHandle(STD_OUTPUT_HANDLE));
    queue_start();
    if (!serve.ending || !serve.done || !reader_done) {
        say(L"kshsctl: no events for the agent's threads");
        return EXIT_FAILED;
    }
    send_hello();
    if (!executor_start() || !thread_start(reader_main, &reader)) {
        say(L"kshsctl: the agent's threads cannot be started");
        return EXIT_FAILED;
    }
    WaitForSingleObject(serve.ending, INFINITE);
    do {
        progress = serve.progress;
        result = WaitForSingleObject(serve.done, END_GRACE_MS);
    } while (result != WAIT_OBJECT_0 && progress != serve.progress);
    if (result != WAIT_OBJECT_0)
        say(L"kshsctl: something is still inside a driver; ending all the same");
    else
        let_threads_end(reader);
    /* Not by return: the C runtime would wait for locks that an abandoned thread may hold. */
    ExitProcess((UINT)serve.exit_code);
}
