/* SPDX-License-Identifier: Apache-2.0
 *
 * abi_layout.c - the layout of every structure as this agent was compiled.
 *
 * Format: one line a structure, in the order of kshs_abi.h:
 *     name size member:offset member:offset ...
 * separated by one blank each, sizes and offsets in decimal bytes, every line
 * ended by one \n, ASCII, no NUL counted.  Members are named as in the header;
 * arrays and nested structures are one member.  drivers/abi makes the same
 * text from the header itself, so a difference is a stale or foreign agent.
 */
#include "kshsctl.h"

typedef struct layout_member {
    const char *name;
    size_t offset;
} layout_member;

#define M(s, m) { #m, offsetof(s, m) }

static const layout_member frame_members[] = {
    M(kshs_frame, magic), M(kshs_frame, type), M(kshs_frame, flags), M(kshs_frame, seq), M(kshs_frame, length),
};
static const layout_member hello_members[] = {
    M(kshs_hello, abi_version), M(kshs_hello, pointer_size), M(kshs_hello, handshake_size),
    M(kshs_hello, layout_length),
};
static const layout_member error_members[] = {
    M(kshs_error, code), M(kshs_error, win32),
};
static const layout_member guid_members[] = {
    M(kshs_guid, data1), M(kshs_guid, data2), M(kshs_guid, data3), M(kshs_guid, data4),
};
static const layout_member step_members[] = {
    M(kshs_step, size), M(kshs_step, op), M(kshs_step, side), M(kshs_step, flags), M(kshs_step, slot),
    M(kshs_step, slot2), M(kshs_step, slot3), M(kshs_step, token), M(kshs_step, route), M(kshs_step, mode),
    M(kshs_step, control), M(kshs_step, in_kind), M(kshs_step, out_kind), M(kshs_step, in_length),
    M(kshs_step, out_length), M(kshs_step, repeat), M(kshs_step, timeout_ms), M(kshs_step, value),
    M(kshs_step, value2), M(kshs_step, data_length), M(kshs_step, guid),
};
static const layout_member record_members[] = {
    M(kshs_record, size), M(kshs_record, op), M(kshs_record, outcome), M(kshs_record, detail),
    M(kshs_record, flags), M(kshs_record, returned), M(kshs_record, status), M(kshs_record, completions),
    M(kshs_record, information), M(kshs_record, changed_bytes), M(kshs_record, changed_first),
    M(kshs_record, changed_last), M(kshs_record, irql_after), M(kshs_record, begin_ns),
    M(kshs_record, duration_ns), M(kshs_record, thread), M(kshs_record, repeats), M(kshs_record, data_length),
    M(kshs_record, in_pointer), M(kshs_record, out_pointer),
};
static const layout_member client_version_members[] = {
    M(kshs_client_version, abi_version), M(kshs_client_version, pointer_size),
    M(kshs_client_version, handshake_size), M(kshs_client_version, build_number), M(kshs_client_version, major),
    M(kshs_client_version, minor), M(kshs_client_version, is_wine), M(kshs_client_version, batches),
};
static const layout_member marks_members[] = {
    M(kshs_marks, begun), M(kshs_marks, ended), M(kshs_marks, refused), M(kshs_marks, reserved),
};
static const layout_member batch_entry_members[] = {
    M(kshs_batch_entry, step_offset), M(kshs_batch_entry, step_bytes), M(kshs_batch_entry, answer_offset),
    M(kshs_batch_entry, answer_bytes), M(kshs_batch_entry, flags), M(kshs_batch_entry, reserved),
};
static const layout_member batch_members[] = {
    M(kshs_batch, size), M(kshs_batch, count), M(kshs_batch, flags), M(kshs_batch, reserved),
};
static const layout_member behaviour_members[] = {
    M(kshs_behaviour, pin_id), M(kshs_behaviour, kind), M(kshs_behaviour, status), M(kshs_behaviour, delay_ms),
    M(kshs_behaviour, value), M(kshs_behaviour, value2),
};
static const layout_member handshake_members[] = {
    M(kshs_handshake, protocol), M(kshs_handshake, argument1), M(kshs_handshake, argument2),
};
static const layout_member seen_members[] = {
    M(kshs_seen, pin_id), M(kshs_seen, count), M(kshs_seen, finished), M(kshs_seen, overlapped),
    M(kshs_seen, after_close), M(kshs_seen, irql), M(kshs_seen, device_state), M(kshs_seen, returned),
    M(kshs_seen, thread), M(kshs_seen, in_pointer), M(kshs_seen, out_pointer), M(kshs_seen, request),
    M(kshs_seen, opened), M(kshs_seen, closed), M(kshs_seen, changes_begun), M(kshs_seen, changes_ended),
    M(kshs_seen, shared), M(kshs_seen, reserved),
};
static const layout_member pin_handshake_members[] = {
    M(kshs_pin_handshake, returned), M(kshs_pin_handshake, out_written), M(kshs_pin_handshake, duration_ns),
    M(kshs_pin_handshake, answer),
};
static const layout_member held_members[] = {
    M(kshs_held, object_inside), M(kshs_held, object_references), M(kshs_held, device_inside),
    M(kshs_held, device_references),
};
static const layout_member counters_members[] = {
    M(kshs_counters, counted), M(kshs_counters, handles), M(kshs_counters, file_references),
    M(kshs_counters, device_references), M(kshs_counters, base_references), M(kshs_counters, held), M(kshs_counters, uses),
    M(kshs_counters, reserved),
};
static const layout_member pool_use_members[] = {
    M(kshs_pool_use, tag), M(kshs_pool_use, blocks), M(kshs_pool_use, bytes),
};
static const layout_member held_now_members[] = {
    M(kshs_held_now, counted), M(kshs_held_now, handles), M(kshs_held_now, pool_blocks), M(kshs_held_now, reserved),
    M(kshs_held_now, pool_bytes), M(kshs_held_now, device_references), M(kshs_held_now, base_references),
    M(kshs_held_now, held),
};
static const layout_member left_members[] = {
    M(kshs_left, looked), M(kshs_left, unseen), M(kshs_left, kept), M(kshs_left, first), M(kshs_left, references),
    M(kshs_left, before), M(kshs_left, after),
};

static const layout_member make_members[] = {
    M(kshs_make, flags), M(kshs_make, version), M(kshs_make, functions), M(kshs_make, length), M(kshs_make, returns),
};
static const layout_member made_members[] = {
    M(kshs_made, kind), M(kshs_made, flags), M(kshs_made, address), M(kshs_made, context), M(kshs_made, size),
    M(kshs_made, version), M(kshs_made, held), M(kshs_made, references), M(kshs_made, dereferences),
    M(kshs_made, excess), M(kshs_made, stale), M(kshs_made, calls), M(kshs_made, strangers), M(kshs_made, sent),
    M(kshs_made, accepted), M(kshs_made, outside),
};

#define S(s, members) { #s, sizeof(s), members, ARRAY_COUNT(members) }

static const struct {
    const char *name;
    size_t size;
    const layout_member *members;
    size_t count;
} structures[] = {
    S(kshs_frame, frame_members),
    S(kshs_hello, hello_members),
    S(kshs_error, error_members),
    S(kshs_guid, guid_members),
    S(kshs_step, step_members),
    S(kshs_record, record_members),
    S(kshs_make, make_members),
    S(kshs_made, made_members),
    S(kshs_client_version, client_version_members),
    S(kshs_marks, marks_members),
    S(kshs_batch_entry, batch_entry_members),
    S(kshs_batch, batch_members),
    S(kshs_behaviour, behaviour_members),
    S(kshs_handshake, handshake_members),
    S(kshs_seen, seen_members),
    S(kshs_pin_handshake, pin_handshake_members),
    S(kshs_held, held_members),
    S(kshs_counters, counters_members),
    S(kshs_pool_use, pool_use_members),
    S(kshs_held_now, held_now_members),
    S(kshs_left, left_members),
};

#define LAYOUT_TEXT_SIZE 4096

static void add(char *text, size_t *used, const char *piece)
{
    size_t length = strlen(piece);

    if (*used + length < LAYOUT_TEXT_SIZE) {        /* a text cut short is refused by the host: nothing is hidden */
        memcpy(text + *used, piece, length + 1);
        *used += length;
    }
}

/* Called first from the main thread, before there is any other. */
const char *abi_layout_text(void)
{
    static char text[LAYOUT_TEXT_SIZE];
    size_t used = 0, s, m;
    char number[32];

    if (text[0])
        return text;
    for (s = 0; s < ARRAY_COUNT(structures); s++) {
        snprintf(number, sizeof(number), " %u", (unsigned)structures[s].size);
        add(text, &used, structures[s].name);
        add(text, &used, number);
        for (m = 0; m < structures[s].count; m++) {
            snprintf(number, sizeof(number), ":%u", (unsigned)structures[s].members[m].offset);
            add(text, &used, " ");
            add(text, &used, structures[s].members[m].name);
            add(text, &used, number);
        }
        add(text, &used, "\n");
    }
    return text;
}
