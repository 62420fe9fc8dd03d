/* SPDX-License-Identifier: Apache-2.0
 *
 * buffers.c - the buffers that a request points at.
 *
 * A buffer is exactly as long as the driver is told (up to KSHS_BUFFER_SIZE), so
 * that the first byte beyond its length is a guard byte.
 *
 *   pool:     guard | (1 byte when misaligned) buffer | guard | slack | original
 *   pages:    guard | buffer | guard                      READONLY
 *             ...... guard | buffer | hole                PAGE_END
 *             hole                                        FREED
 */
#include "ksclient.h"

/* Behind the high guard, so that a driver that overruns it does not at once
 * corrupt the kernel's pool: it has been seen, and the guest lives to tell. */
#define SLACK 256

static BOOLEAN is_filled(const uint8_t *bytes, uint32_t length, uint8_t value)
{
    uint32_t i;

    for (i = 0; i < length; i++)
        if (bytes[i] != value)
            return FALSE;
    return TRUE;
}

static void fill_guard(uint8_t *guard, uint32_t length)
{
    if (guard)
        RtlFillMemory(guard, length, KSHS_GUARD_BYTE);
}

BOOLEAN ksc_buffer_guard_low(const ksc_buffer *buffer)
{
    return !buffer->low || is_filled(buffer->low, KSHS_GUARD_SIZE, KSHS_GUARD_BYTE);
}

BOOLEAN ksc_buffer_guard_high(const ksc_buffer *buffer)
{
    return !buffer->high || is_filled(buffer->high, KSHS_GUARD_SIZE, KSHS_GUARD_BYTE);
}

void ksc_buffer_arm(ksc_buffer *buffer)
{
    if (!buffer->writable)
        return;
    fill_guard(buffer->low, KSHS_GUARD_SIZE);
    fill_guard(buffer->high, KSHS_GUARD_SIZE + (buffer->pages.in_use ? 0 : SLACK));
    RtlCopyMemory(buffer->pointer, buffer->original, buffer->length);
}

void ksc_buffer_fit(ksc_buffer *buffer, uint32_t length)
{
    buffer->length = length;
    buffer->high = buffer->pointer + length;
}

/* Pool memory for `around` bytes of buffer and guards, and the original behind them. */
static NTSTATUS take_pool(ksc_buffer *buffer, SIZE_T around)
{
    POOL_TYPE type = buffer->kind == KSHS_BUFFER_PAGED ? PagedPool : NonPagedPool;

    buffer->pool = ExAllocatePoolWithTag(type, around + buffer->length, KSC_TAG);
    if (!buffer->pool)
        return STATUS_INSUFFICIENT_RESOURCES;
    buffer->original = buffer->pool + around;
    return STATUS_SUCCESS;
}

static NTSTATUS place_in_pool(ksc_buffer *buffer, uint32_t shift)
{
    NTSTATUS status = take_pool(buffer, 2 * KSHS_GUARD_SIZE + shift + buffer->length + SLACK);

    if (!NT_SUCCESS(status))
        return status;
    buffer->pointer = buffer->pool + KSHS_GUARD_SIZE + shift;
    buffer->low = buffer->pointer - KSHS_GUARD_SIZE;
    buffer->high = buffer->pointer + buffer->length;
    return STATUS_SUCCESS;
}

static NTSTATUS place_read_only(ksc_buffer *buffer)
{
    SIZE_T bytes = 2 * KSHS_GUARD_SIZE + (SIZE_T)buffer->length;
    NTSTATUS status = take_pool(buffer, 0);

    if (NT_SUCCESS(status))
        status = ksc_pages_allocate(&buffer->pages, bytes, bytes);
    if (!NT_SUCCESS(status))
        return status;
    buffer->low = buffer->pages.base;
    buffer->pointer = buffer->low + KSHS_GUARD_SIZE;
    buffer->high = buffer->pointer + buffer->length;
    return STATUS_SUCCESS;
}

static NTSTATUS place_at_page_end(ksc_buffer *buffer)
{
    SIZE_T bytes = KSHS_GUARD_SIZE + (SIZE_T)buffer->length;
    NTSTATUS status = take_pool(buffer, 0);

    if (NT_SUCCESS(status))
        status = ksc_pages_allocate(&buffer->pages, bytes + PAGE_SIZE, bytes);
    if (!NT_SUCCESS(status))
        return status;
    buffer->pointer = buffer->pages.base + buffer->pages.mapped - buffer->length;
    buffer->low = buffer->pointer - KSHS_GUARD_SIZE;
    buffer->high = NULL;                        /* the hole is the guard: it stops the driver */
    return STATUS_SUCCESS;
}

/* Memory that is nobody's.  Really freed pool would soon be somebody else's, and
 * a driver that writes there would harm an innocent. */
static NTSTATUS place_nowhere(ksc_buffer *buffer)
{
    NTSTATUS status = ksc_pages_allocate(&buffer->pages, (SIZE_T)buffer->length + PAGE_SIZE, 0);

    if (NT_SUCCESS(status))
        buffer->pointer = buffer->pages.base;
    buffer->length = 0;
    return status;
}

NTSTATUS ksc_buffer_create(ksc_buffer *buffer, uint32_t kind, uint32_t length, const void *content,
                           uint32_t content_length, uint32_t input_length)
{
    NTSTATUS status;

    RtlZeroMemory(buffer, sizeof *buffer);
    buffer->kind = kind;
    buffer->length = length;
    switch (kind) {
    case KSHS_BUFFER_NULL:
        buffer->length = 0;
        return STATUS_SUCCESS;
    case KSHS_BUFFER_FREED:
        return place_nowhere(buffer);
    case KSHS_BUFFER_NORMAL:
    case KSHS_BUFFER_PAGED:
        status = place_in_pool(buffer, 0);
        break;
    case KSHS_BUFFER_MISALIGNED:
        status = place_in_pool(buffer, 1);
        break;
    case KSHS_BUFFER_READONLY:
        status = place_read_only(buffer);
        break;
    case KSHS_BUFFER_PAGE_END:
        status = place_at_page_end(buffer);
        break;
    default:
        return STATUS_INVALID_PARAMETER;
    }
    if (NT_SUCCESS(status)) {
        if (content_length > length)
            content_length = length;
        if (input_length > length)
            input_length = length;
        RtlFillMemory(buffer->original, length, KSHS_OUT_FILL);
        RtlZeroMemory(buffer->original, input_length);
        if (content_length)
            RtlCopyMemory(buffer->original, content, content_length);
        buffer->readable = buffer->writable = TRUE;
        ksc_buffer_arm(buffer);
        if (kind == KSHS_BUFFER_READONLY) {
            buffer->writable = FALSE;
            status = ksc_pages_read_only(&buffer->pages);
        }
    }
    if (!NT_SUCCESS(status))
        ksc_buffer_free(buffer);
    return status;
}

void ksc_buffer_free(ksc_buffer *buffer)
{
    ksc_pages_free(&buffer->pages);
    if (buffer->pool)
        ExFreePoolWithTag(buffer->pool, KSC_TAG);
    RtlZeroMemory(buffer, sizeof *buffer);
}
