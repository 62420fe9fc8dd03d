/* SPDX-License-Identifier: Apache-2.0
 *
 * user_buffers.c - request buffers of every kind that the ABI names.
 *
 * A region is 1 + 16 + 1 pages.  The buffer begins (at a page's end: ends) in
 * the sixteen of the middle and has as many bytes as the driver is told, as far
 * as they fit; its guards are the bytes just before and just after these.
 */
#include "user.h"

#define PAGE 4096u
#define BUFFER_PAGES (KSHS_BUFFER_SIZE / PAGE)
#define REGION_SIZE ((BUFFER_PAGES + 2) * PAGE)

static uint8_t *middle(const io_buffer *b)
{
    return b->region + PAGE;
}

static uint8_t *last_page(const io_buffer *b)
{
    return b->region + PAGE + KSHS_BUFFER_SIZE;
}

bool buffer_create(io_buffer *b)
{
    memset(b, 0, sizeof(*b));
    b->region = VirtualAlloc(NULL, REGION_SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    return b->region != NULL;
}

void buffer_destroy(io_buffer *b)
{
    if (b->region)
        VirtualFree(b->region, 0, MEM_RELEASE);
    b->region = NULL;
}

static bool put_on(io_buffer *b, uint32_t kind, uint32_t length)
{
    b->kind = kind;
    b->space = length < KSHS_BUFFER_SIZE ? length : KSHS_BUFFER_SIZE;
    b->readable = true;
    b->guard_high = true;
    b->pointer = middle(b);
    switch (kind) {
    case KSHS_BUFFER_NORMAL:
    case KSHS_BUFFER_READONLY:
        return true;
    case KSHS_BUFFER_MISALIGNED:
        b->pointer = middle(b) + 1;
        return true;
    case KSHS_BUFFER_PAGE_END:
        b->pointer = last_page(b) - b->space;
        b->guard_high = false;
        return true;
    case KSHS_BUFFER_NULL:
        b->pointer = NULL;
        b->space = 0;
        b->readable = b->guard_high = false;
        return true;
    case KSHS_BUFFER_FREED:
        b->space = 0;
        b->readable = b->guard_high = false;
        return true;
    default:
        return false;
    }
}

bool buffer_prepare(io_buffer *b, uint32_t kind, uint32_t length, uint8_t fill, const uint8_t *data,
                    uint32_t data_length)
{
    DWORD before;

    if (!put_on(b, kind, length))
        return false;
    buffer_refill(b, fill, data, data_length);
    switch (kind) {
    case KSHS_BUFFER_READONLY:
        return VirtualProtect(middle(b), KSHS_BUFFER_SIZE, PAGE_READONLY, &before) != 0;
    case KSHS_BUFFER_FREED:
        /* Decommitted and still reserved: nothing else of this process can come to lie there. */
        return VirtualFree(middle(b), KSHS_BUFFER_SIZE, MEM_DECOMMIT) != 0;
    case KSHS_BUFFER_PAGE_END:
        return VirtualFree(last_page(b), PAGE, MEM_DECOMMIT) != 0;
    default:
        return true;
    }
}

void buffer_refill(io_buffer *b, uint8_t fill, const uint8_t *data, uint32_t data_length)
{
    DWORD before;

    if (!b->readable)
        return;
    /* A read-only buffer is opened for the moment: the first time it still is, and nobody minds. */
    if (b->kind == KSHS_BUFFER_READONLY && !VirtualProtect(middle(b), KSHS_BUFFER_SIZE, PAGE_READWRITE, &before))
        return;
    memset(b->pointer - KSHS_GUARD_SIZE, KSHS_GUARD_BYTE, KSHS_GUARD_SIZE);
    memset(b->pointer, fill, b->space);
    if (data_length)
        memcpy(b->pointer, data, data_length < b->space ? data_length : b->space);
    if (b->guard_high)
        memset(b->pointer + b->space, KSHS_GUARD_BYTE, KSHS_GUARD_SIZE);
    if (b->kind == KSHS_BUFFER_READONLY)
        VirtualProtect(middle(b), KSHS_BUFFER_SIZE, PAGE_READONLY, &before);
}

bool buffer_restore(io_buffer *b)
{
    DWORD before;

    switch (b->kind) {
    case KSHS_BUFFER_READONLY:
        return VirtualProtect(middle(b), KSHS_BUFFER_SIZE, PAGE_READWRITE, &before) != 0;
    case KSHS_BUFFER_FREED:
        return VirtualAlloc(middle(b), KSHS_BUFFER_SIZE, MEM_COMMIT, PAGE_READWRITE) != NULL;
    case KSHS_BUFFER_PAGE_END:
        return VirtualAlloc(last_page(b), PAGE, MEM_COMMIT, PAGE_READWRITE) != NULL;
    default:
        return true;
    }
}

void buffer_compare(const io_buffer *b, uint8_t fill, const uint8_t *data, uint32_t data_length,
                    kshs_record *record)
{
    uint32_t at;

    record->changed_bytes = 0;
    record->changed_first = record->changed_last = 0xFFFFFFFF;
    if (!b->readable)
        return;
    for (at = 0; at < b->space; at++) {
        uint8_t was = at < data_length ? data[at] : fill;

        if (b->pointer[at] == was)
            continue;
        if (!record->changed_bytes)
            record->changed_first = at;
        record->changed_last = at;
        record->changed_bytes++;
    }
}

static bool all_guard(const uint8_t *at)
{
    unsigned i;

    for (i = 0; i < KSHS_GUARD_SIZE; i++)
        if (at[i] != KSHS_GUARD_BYTE)
            return false;
    return true;
}

bool buffer_guard_low_intact(const io_buffer *b)
{
    return all_guard(b->pointer - KSHS_GUARD_SIZE);
}

bool buffer_guard_high_intact(const io_buffer *b)
{
    return !b->guard_high || all_guard(b->pointer + b->space);
}
