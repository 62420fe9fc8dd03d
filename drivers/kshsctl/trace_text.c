/* SPDX-License-Identifier: Apache-2.0
 *
 * trace_text.c - records of kstrace.sys as lines of JSON (docs/tracing.md).
 *
 * No address of the kernel leaves the machine: a file object is "o1", "o2"... in
 * the order in which they were opened, and an argument that is an address is
 * "pointer:1", the same number for the same address.
 */
#include "trace.h"

#define LINE_BYTES 16384
#define MOST_OBJECTS 1024
#define MOST_POINTERS 1024
#define KS_PIN_BYTES 72                 /* KSPIN_CONNECT of 64 bits: interface, medium, pin, handle, priority */
#define KS_PIN_HANDLE 56
#define KS_PROPERTY_BYTES 24            /* KSPROPERTY: set, id, flags */
#define HANDSHAKE_BYTES 32              /* KSHANDSHAKE of a 64-bit kernel */

typedef struct numbers {
    uint64_t values[MOST_OBJECTS];
    unsigned ids[MOST_OBJECTS];
    unsigned count, last;
} numbers;

typedef struct writer {
    json j;
    numbers objects, pointers;
    uint64_t begin_ns;
} writer;

/* ---- bytes -------------------------------------------------------------------------------- */

void bytes_add(bytes *b, const void *data, size_t length)
{
    if (b->failed)
        return;
    if (b->length + length > b->capacity) {
        size_t capacity = b->capacity ? b->capacity : 65536;
        uint8_t *grown;

        while (capacity < b->length + length)
            capacity *= 2;
        grown = realloc(b->data, capacity);
        if (!grown) {
            b->failed = true;
            return;
        }
        b->data = grown;
        b->capacity = capacity;
    }
    memcpy(b->data + b->length, data, length);
    b->length += length;
}

void bytes_free(bytes *b)
{
    free(b->data);
    memset(b, 0, sizeof(*b));
}

/* ---- numbers instead of addresses ------------------------------------------------------------- */

/* The newest of that value.  When there are too many the oldest are forgotten: then one thing has two numbers. */
static unsigned number_of(numbers *n, uint64_t value, bool anew)
{
    unsigned known = n->count < MOST_OBJECTS ? n->count : MOST_OBJECTS, i;

    for (i = 1; i <= known && !anew; i++) {
        unsigned place = (n->count - i) % MOST_OBJECTS;

        if (n->values[place] == value)
            return n->ids[place];
    }
    n->values[n->count % MOST_OBJECTS] = value;
    n->ids[n->count % MOST_OBJECTS] = ++n->last;
    n->count++;
    return n->last;
}

static void write_object(writer *w, const char *key, uint64_t file, bool anew)
{
    char text[24];

    if (!file)
        return;
    snprintf(text, sizeof(text), "o%u", number_of(&w->objects, file, anew));
    json_utf8(&w->j, key, text);
}

/* ---- values -------------------------------------------------------------------------------------- */

static void write_bytes(writer *w, const char *key, const uint8_t *data, size_t length)
{
    char text[2 * KSTRACE_DATA_BYTES + 1] = "";
    size_t i;

    for (i = 0; i < length && i < KSTRACE_DATA_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", data[i]);
    json_utf8(&w->j, key, text);
}

static void write_guid(writer *w, const char *key, const uint8_t *data)
{
    kshs_guid guid;
    char text[40];

    memcpy(&guid, data, sizeof(guid));
    snprintf(text, sizeof(text), "%08lx-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", (unsigned long)guid.data1,
             guid.data2, guid.data3, guid.data4[0], guid.data4[1], guid.data4[2], guid.data4[3], guid.data4[4],
             guid.data4[5], guid.data4[6], guid.data4[7]);
    json_utf8(&w->j, key, text);
}

static void write_argument(writer *w, const char *key, const uint8_t *data, bool pointer)
{
    char text[32];
    uint64_t value;

    memcpy(&value, data, sizeof(value));
    if (!pointer) {
        json_hex(&w->j, key, value);
        return;
    }
    snprintf(text, sizeof(text), "pointer:%u", number_of(&w->pointers, value, false));
    json_utf8(&w->j, key, text);
}

/* A whole KSHANDSHAKE by its members, what lies behind it and a part of one as bytes. */
static void write_handshake(writer *w, const char *key, const uint8_t *data, uint32_t length, bool first, bool second)
{
    json_object(&w->j, key);
    if (length < HANDSHAKE_BYTES) {
        write_bytes(w, "bytes", data, length);
    } else {
        write_guid(w, "protocol", data);
        write_argument(w, "argument1", data + 16, first);
        write_argument(w, "argument2", data + 24, second);
        if (length > HANDSHAKE_BYTES)
            write_bytes(w, "behind", data + HANDSHAKE_BYTES, length - HANDSHAKE_BYTES);
    }
    json_end(&w->j);
}

static void write_flag(writer *w, const char *key, const kstrace_record *record, uint32_t flag)
{
    if (record->flags & flag)
        json_bool(&w->j, key, true);
}

/* UTF-16 that its writer did not end. */
static void write_text(writer *w, const char *key, const uint8_t *data, uint32_t length)
{
    wchar_t text[KSTRACE_DATA_BYTES / sizeof(wchar_t) + 1];

    memset(text, 0, sizeof(text));
    if (length > KSTRACE_DATA_BYTES)
        length = KSTRACE_DATA_BYTES;
    memcpy(text, data, length / sizeof(wchar_t) * sizeof(wchar_t));
    json_text(&w->j, key, text);
}

/* ---- events ---------------------------------------------------------------------------------------- */

static const char *event_name(const kstrace_record *record)
{
    switch (record->event) {
    case KSTRACE_OPEN: return "open";
    case KSTRACE_PIN: return "pin";
    case KSTRACE_HANDSHAKE: return "handshake";
    case KSTRACE_STATE: return "state";
    case KSTRACE_PROPERTY: return "property";
    case KSTRACE_CLEANUP: return "cleanup";
    case KSTRACE_CLOSE: return "close";
    case KSTRACE_PNP: return "device";
    default: return "unknown";
    }
}

static const char *change_name(uint32_t minor)
{
    switch (minor) {
    case 0x00: return "start";
    case 0x01: return "query-remove";
    case 0x02: return "remove";
    case 0x03: return "cancel-remove";
    case 0x04: return "stop";
    case 0x17: return "surprise-removal";
    default: return "other";
    }
}

static void write_open(writer *w, const kstrace_record *record)
{
    const uint8_t *name = record->data, *process = record->data + record->in_bytes;
    uint8_t pin[KSTRACE_DATA_BYTES];

    write_object(w, "below", record->related, false);
    if (record->event == KSTRACE_OPEN) {
        write_text(w, "name", name, record->in_bytes);
    } else {
        memcpy(pin, name, record->in_bytes);
        if (record->in_bytes >= KS_PIN_BYTES) {     /* a handle's number is of no use elsewhere */
            static const uint8_t none[8];

            json_bool(&w->j, "connects", memcmp(pin + KS_PIN_HANDLE, none, sizeof(none)) != 0);
            memset(pin + KS_PIN_HANDLE, 0, 8);
        }
        write_bytes(w, "connect", pin, record->in_bytes);
        write_object(w, "sink", record->connected, false);
    }
    write_flag(w, "made", record, KSTRACE_MADE);
    json_unsigned(&w->j, "whole", record->whole);
    if (record->out_bytes)
        write_text(w, "process", process, record->out_bytes);
}

static const char *buffer_kind(const kstrace_record *record, uint32_t null, uint32_t odd)
{
    if (record->flags & null)
        return "null";
    return record->flags & odd ? "misaligned" : "normal";
}

static void write_request(writer *w, const kstrace_record *record)
{
    const uint32_t flags = record->flags;

    json_hex(&w->j, "control", record->control);
    json_unsigned(&w->j, "in_length", record->in_length);
    json_unsigned(&w->j, "out_length", record->out_length);
    json_utf8(&w->j, "in_buffer", buffer_kind(record, KSTRACE_IN_NULL, KSTRACE_IN_ODD));
    json_utf8(&w->j, "out_buffer",
              flags & KSTRACE_SAME ? "alias" : buffer_kind(record, KSTRACE_OUT_NULL, KSTRACE_OUT_ODD));
    if (record->in_bytes)
        write_handshake(w, "input", record->data, record->in_bytes, flags & KSTRACE_POINTER1, flags & KSTRACE_POINTER2);
    if (record->out_bytes)
        write_handshake(w, "output", record->data + record->in_bytes, record->out_bytes, flags & KSTRACE_POINTER3,
                        flags & KSTRACE_POINTER4);
    write_flag(w, "fast", record, KSTRACE_FAST);
}

static void write_property(writer *w, const kstrace_record *record)
{
    const uint8_t *value = record->data + record->in_bytes;
    uint32_t id, kind, state;

    if (record->in_bytes < KS_PROPERTY_BYTES)
        return;
    memcpy(&id, record->data + 16, sizeof(id));
    memcpy(&kind, record->data + 20, sizeof(kind));
    json_unsigned(&w->j, "in_length", record->in_length);
    json_unsigned(&w->j, "out_length", record->out_length);
    if (record->event == KSTRACE_STATE && record->out_bytes >= sizeof(state)) {
        static const char *const names[] = { "stop", "acquire", "pause", "run" };

        memcpy(&state, value, sizeof(state));
        if (state < ARRAY_COUNT(names))
            json_utf8(&w->j, "to", names[state]);
        else
            json_unsigned(&w->j, "to", state);
    }
    if (record->event == KSTRACE_STATE)
        return;
    write_guid(w, "set", record->data);
    json_unsigned(&w->j, "id", id);
    json_hex(&w->j, "type", kind);
    write_bytes(w, "instance", record->data + KS_PROPERTY_BYTES, record->in_bytes - KS_PROPERTY_BYTES);
    write_bytes(w, record->flags & KSTRACE_VALUE ? "value" : "answer", value, record->out_bytes);
}

/* How it ended, as far as it did. */
static void write_end(writer *w, const kstrace_record *record)
{
    const uint32_t flags = record->flags;

    if (record->has_returned) {
        json_hex(&w->j, "returned", record->returned);
        json_bool(&w->j, "pending", record->returned == (uint32_t)STATUS_PENDING);
    }
    json_bool(&w->j, "came_back", flags & KSTRACE_DONE);
    if (flags & KSTRACE_DONE) {
        json_hex(&w->j, "status", record->status);
        json_hex(&w->j, "information", record->information);
        json_unsigned(&w->j, "took_ns", record->took_ns);
        json_bool(&w->j, "marked_pending", flags & KSTRACE_MARKED);
    }
    write_flag(w, "cancelled", record, KSTRACE_CANCEL);
    write_flag(w, "unwatched", record, KSTRACE_UNWATCHED);
    write_flag(w, "input_unread", record, KSTRACE_IN_UNREAD);
    write_flag(w, "output_unread", record, KSTRACE_OUT_UNREAD);
    write_flag(w, "cut", record, KSTRACE_CUT);
}

static void write_caller(writer *w, const kstrace_record *record)
{
    json_utf8(&w->j, "requestor", record->requestor ? "user" : "kernel");
    if (record->flags & KSTRACE_PREVIOUS_KNOWN)
        json_utf8(&w->j, "previous", record->previous ? "user" : "kernel");
    if (record->flags & KSTRACE_BITS_KNOWN)
        json_unsigned(&w->j, "bits", record->flags & KSTRACE_BITS32 ? 32 : 64);
    json_hex(&w->j, "irp_flags", record->irp_flags);
    json_unsigned(&w->j, "pid", record->process);
    json_unsigned(&w->j, "tid", record->thread);
    if (record->irql)
        json_unsigned(&w->j, "irql", record->irql);
}

static void write_event(writer *w, const kstrace_record *record)
{
    /* An open makes an object, also where memory of an older one is used again. */
    bool anew = (record->event == KSTRACE_OPEN || record->event == KSTRACE_PIN) && !(record->flags & KSTRACE_MADE);

    json_object(&w->j, NULL);
    json_unsigned(&w->j, "n", record->number);
    json_utf8(&w->j, "event", event_name(record));
    json_unsigned(&w->j, "at_ns", record->begin_ns - w->begin_ns);
    json_unsigned(&w->j, "device", record->device);
    write_object(w, "object", record->file, anew);
    switch (record->event) {
    case KSTRACE_OPEN:
    case KSTRACE_PIN: write_open(w, record); break;
    case KSTRACE_HANDSHAKE: write_request(w, record); break;
    case KSTRACE_STATE:
    case KSTRACE_PROPERTY: write_property(w, record); break;
    case KSTRACE_PNP: json_utf8(&w->j, "change", change_name(record->control)); break;
    default: break;
    }
    write_caller(w, record);
    write_end(w, record);
    json_end(&w->j);
}

static void write_head(writer *w, const kstrace_state *state, size_t count, uint64_t first)
{
    json_object(&w->j, NULL);
    json_utf8(&w->j, "kind", "kshs trace");
    json_unsigned(&w->j, "schema", 1);
    json_bool(&w->j, "wine", nt_is_wine());
    json_unsigned(&w->j, "pointer_size", sizeof(void *));
    json_unsigned(&w->j, "events", count);
    json_unsigned(&w->j, "overwritten", count ? first - 1 : 0);
    json_unsigned(&w->j, "lost", state->lost);
    json_unsigned(&w->j, "devices", state->filters);
    json_unsigned(&w->j, "under_way", state->busy);
    json_end(&w->j);
}

/* Every line ends. */
static void take_line(bytes *out, writer *w)
{
    if (w->j.failed)
        out->failed = true;
    else
        bytes_add(out, w->j.text, w->j.length);
    bytes_add(out, "\n", 1);
    json_free(&w->j);
}

void trace_lines(bytes *out, const kstrace_state *state, const kstrace_record *records, size_t count)
{
    writer *w = calloc(1, sizeof(*w));
    size_t i;

    if (!w) {
        out->failed = true;
        return;
    }
    w->begin_ns = count ? records[0].begin_ns : 0;
    for (i = 1; i < count; i++)         /* they are in the order of their numbers, which are given a moment later */
        if (records[i].begin_ns < w->begin_ns)
            w->begin_ns = records[i].begin_ns;
    json_start(&w->j, LINE_BYTES);
    write_head(w, state, count, count ? records[0].number : 0);
    take_line(out, w);
    for (i = 0; i < count && !out->failed; i++) {
        if (records[i].in_bytes + records[i].out_bytes > KSTRACE_DATA_BYTES)
            continue;                   /* no record of ours */
        json_start(&w->j, LINE_BYTES);
        write_event(w, &records[i]);
        take_line(out, w);
    }
    free(w);
}
