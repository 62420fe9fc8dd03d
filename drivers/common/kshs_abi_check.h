/* SPDX-License-Identifier: Apache-2.0
 *
 * kshs_abi_check.h - proof that this compiler lays kshs_abi.h out as intended.
 *
 * The ABI header promises natural alignment without implicit padding; a
 * compiler option or a careless edit that breaks the promise must stop the
 * build, not a run.  Include it after kshs_abi.h in one file of each binary.
 * CTL_CODE must be defined (wdm.h, winioctl.h) for the control codes to be
 * checked.
 */
#ifndef KSHS_ABI_CHECK_H
#define KSHS_ABI_CHECK_H

#include <stddef.h>

#define KSHS_ASSERT(condition) _Static_assert(condition, #condition)
#define KSHS_ASSERT_OFFSET(type, member, offset) \
    _Static_assert(offsetof(type, member) == (offset), #type "." #member)

KSHS_ASSERT(KSHS_ABI_VERSION == 7);

KSHS_ASSERT(sizeof(kshs_frame) == 16);
KSHS_ASSERT(sizeof(kshs_hello) == 16);
KSHS_ASSERT(sizeof(kshs_error) == 8);
KSHS_ASSERT(sizeof(kshs_guid) == 16);

KSHS_ASSERT(sizeof(kshs_step) == 96);
KSHS_ASSERT_OFFSET(kshs_step, token, 28);
KSHS_ASSERT_OFFSET(kshs_step, control, 40);
KSHS_ASSERT_OFFSET(kshs_step, timeout_ms, 64);
KSHS_ASSERT_OFFSET(kshs_step, data_length, 76);
KSHS_ASSERT_OFFSET(kshs_step, guid, 80);

KSHS_ASSERT(sizeof(kshs_record) == 104);
KSHS_ASSERT_OFFSET(kshs_record, information, 32);
KSHS_ASSERT_OFFSET(kshs_record, irql_after, 52);
KSHS_ASSERT_OFFSET(kshs_record, begin_ns, 56);
KSHS_ASSERT_OFFSET(kshs_record, data_length, 84);
KSHS_ASSERT_OFFSET(kshs_record, out_pointer, 96);

KSHS_ASSERT(sizeof(kshs_client_version) == 32);
KSHS_ASSERT(sizeof(kshs_marks) == 16);
KSHS_ASSERT(sizeof(kshs_batch_entry) == 24);
KSHS_ASSERT(sizeof(kshs_batch) == 16);
KSHS_ASSERT(sizeof(kshs_behaviour) == 32);
KSHS_ASSERT(sizeof(kshs_handshake) == 32);
KSHS_ASSERT(sizeof(kshs_seen) == 112);
KSHS_ASSERT_OFFSET(kshs_seen, thread, 32);
KSHS_ASSERT_OFFSET(kshs_seen, request, 56);
KSHS_ASSERT_OFFSET(kshs_seen, opened, 88);
KSHS_ASSERT_OFFSET(kshs_seen, changes_ended, 100);
KSHS_ASSERT_OFFSET(kshs_seen, shared, 104);
KSHS_ASSERT(sizeof(kshs_pin_handshake) == 48);
KSHS_ASSERT_OFFSET(kshs_pin_handshake, answer, 16);
KSHS_ASSERT(sizeof(kshs_make) == 80);
KSHS_ASSERT(sizeof(kshs_make) == 16 + 8 * KSHS_MAX_FUNCTIONS);
KSHS_ASSERT(sizeof(kshs_made) == 72);
KSHS_ASSERT_OFFSET(kshs_made, held, 32);
KSHS_ASSERT(sizeof(kshs_held) == 16);
KSHS_ASSERT(sizeof(kshs_counters) == 56);
KSHS_ASSERT_OFFSET(kshs_counters, file_references, 8);
KSHS_ASSERT_OFFSET(kshs_counters, uses, 48);
KSHS_ASSERT(sizeof(kshs_pool_use) == 16);
KSHS_ASSERT(sizeof(kshs_held_now) == 56);
KSHS_ASSERT_OFFSET(kshs_held_now, held, 40);
KSHS_ASSERT(sizeof(kshs_left) == 136);
KSHS_ASSERT_OFFSET(kshs_left, before, 24);
KSHS_ASSERT(sizeof(kshs_left) <= KSHS_KEEP_BYTES);

/* A frame carries a whole step or record with the most data allowed. */
KSHS_ASSERT(sizeof(kshs_step) + KSHS_MAX_DATA <= KSHS_MAX_PAYLOAD);
KSHS_ASSERT(sizeof(kshs_record) + KSHS_MAX_DATA <= KSHS_MAX_PAYLOAD);
KSHS_ASSERT(KSHS_BUFFER_SIZE <= KSHS_MAX_DATA);
/* A batch and its block have room for the largest step and the largest record. */
KSHS_ASSERT(sizeof(kshs_batch) + sizeof(kshs_batch_entry) + sizeof(kshs_step) + KSHS_MAX_DATA <= KSHS_BATCH_BYTES);
KSHS_ASSERT(sizeof(kshs_marks) <= KSHS_BLOCK_QUESTION);
KSHS_ASSERT(KSHS_BLOCK_QUESTION + KSHS_BATCH_BYTES <= KSHS_BLOCK_ANSWERS);
KSHS_ASSERT(KSHS_BLOCK_ANSWERS + sizeof(kshs_record) + KSHS_MAX_DATA <= KSHS_BLOCK_BYTES);
KSHS_ASSERT(KSHS_KEEP_BYTES <= KSHS_BUFFER_SIZE);

#ifdef CTL_CODE
KSHS_ASSERT(IOCTL_KSHS_STEP == CTL_CODE(KSHS_CLIENT_DEVICE_TYPE, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS));
KSHS_ASSERT(IOCTL_KSHS_VERSION == CTL_CODE(KSHS_CLIENT_DEVICE_TYPE, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS));
KSHS_ASSERT(IOCTL_KSHS_BLOCK == CTL_CODE(KSHS_CLIENT_DEVICE_TYPE, 0x802, METHOD_BUFFERED, FILE_ANY_ACCESS));
KSHS_ASSERT(IOCTL_KSHS_BATCH == CTL_CODE(KSHS_CLIENT_DEVICE_TYPE, 0x803, METHOD_BUFFERED, FILE_ANY_ACCESS));
KSHS_ASSERT(IOCTL_KSHS_MAKE_PIN == CTL_CODE(0x2F, 0xFF8, METHOD_BUFFERED, FILE_ANY_ACCESS));
KSHS_ASSERT(IOCTL_KSHS_MAKE_FILTER == CTL_CODE(0x2F, 0xFFA, METHOD_BUFFERED, FILE_ANY_ACCESS));
KSHS_ASSERT(IOCTL_KSHS_HELD == CTL_CODE(0x2F, 0xFF9, METHOD_BUFFERED, FILE_ANY_ACCESS));
#endif

#endif
