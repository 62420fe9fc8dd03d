/* SPDX-License-Identifier: Apache-2.0
 *
 * record.c - how a record says what came back.
 */
#include "ksclient.h"

void ksc_record_init(kshs_record *record, uint32_t op)
{
    RtlZeroMemory(record, sizeof *record);
    record->size = sizeof *record;
    record->op = op;
    record->outcome = KSHS_OUTCOME_DONE;
    record->returned = KSHS_POISON_STATUS;
    record->status = KSHS_POISON_STATUS;
    record->information = KSHS_POISON_INFORMATION;
    record->changed_first = KSC_NONE;
    record->changed_last = KSC_NONE;
}

void ksc_record_iosb(kshs_record *record, NTSTATUS status, uint64_t information)
{
    /* On a 32-bit kernel the poison was cut to the width of the field. */
    const ULONG_PTR poison = (ULONG_PTR)KSHS_POISON_INFORMATION;

    record->status = KSHS_STATUS_U32(status);
    record->information = information == poison ? KSHS_POISON_INFORMATION : information;
    record->flags |= KSHS_REC_IOSB_VISIBLE;
    if (record->status != KSHS_POISON_STATUS)
        record->flags |= KSHS_REC_STATUS_WRITTEN;
    if (record->information != KSHS_POISON_INFORMATION)
        record->flags |= KSHS_REC_INFO_WRITTEN;
}

/* The first byte from `i` on that may differ: eight are looked at in one go, for buffers of 64 KiB take most of the
 * time of their request otherwise. */
static uint32_t skip_equal(const ksc_buffer *buffer, uint32_t i, uint32_t length)
{
    typedef const UNALIGNED uint64_t eight_bytes;

    while (length - i >= sizeof(eight_bytes) &&
           *(eight_bytes *)(buffer->pointer + i) == *(eight_bytes *)(buffer->original + i))
        i += sizeof(eight_bytes);
    return i;
}

/* Describes the first `length` bytes of the buffer that the driver answers into. */
void ksc_record_output(kshs_record *record, const ksc_buffer *buffer, uint32_t length)
{
    uint32_t i;

    if (!buffer || !buffer->readable)
        return;
    record->flags |= KSHS_REC_OUT_VISIBLE;
    if (ksc_buffer_guard_low(buffer))
        record->flags |= KSHS_REC_GUARD_LOW;
    if (ksc_buffer_guard_high(buffer))
        record->flags |= KSHS_REC_GUARD_HIGH;
    if (length > buffer->length)
        length = buffer->length;
    for (i = 0; i < length; i++) {
        if (i % sizeof(uint64_t) == 0)
            i = skip_equal(buffer, i, length);
        if (i == length || buffer->pointer[i] == buffer->original[i])
            continue;
        if (!record->changed_bytes++)
            record->changed_first = i;
        record->changed_last = i;
    }
}
