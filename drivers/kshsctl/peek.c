/* SPDX-License-Identifier: Apache-2.0
 *
 * peek.c - see peek.h.
 *
 * Wine's server stops a thread of the other process for each read of its
 * memory, however little is read, and unwinding reads a few bytes at a time.
 * So whole pages are read, and kept.
 */
#include "peek.h"

#define NO_PAGE 1                   /* as an address: of no page */

void peek_start(peeked *memory, HANDLE process)
{
    memory->process = process;
    memory->count = memory->next = 0;
}

static const uint8_t *page_at(peeked *memory, ULONG_PTR at)
{
    SIZE_T got = 0;
    unsigned i;

    for (i = 0; i < memory->count; i++)
        if (memory->pages[i].at == at)
            return memory->pages[i].bytes;
    i = memory->next;
    memory->next = (i + 1) % PEEK_PAGES;
    if (memory->count < PEEK_PAGES)
        memory->count++;
    memory->pages[i].at = NO_PAGE;
    if (!ReadProcessMemory(memory->process, (const void *)at, memory->pages[i].bytes, PEEK_PAGE, &got) ||
        got != PEEK_PAGE)
        return NULL;
    memory->pages[i].at = at;
    return memory->pages[i].bytes;
}

bool peek(peeked *memory, ULONG_PTR address, void *out, size_t length)
{
    uint8_t *to = out;

    while (length) {
        size_t offset = address % PEEK_PAGE, part = PEEK_PAGE - offset;
        const uint8_t *page = page_at(memory, address - offset);

        if (!page)
            return false;
        if (part > length)
            part = length;
        memcpy(to, page + offset, part);
        to += part;
        address += part;
        length -= part;
    }
    return true;
}
