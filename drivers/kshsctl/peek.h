/* SPDX-License-Identifier: Apache-2.0
 *
 * peek.h - the memory of another process, which stands still meanwhile.
 */
#ifndef KSHSCTL_PEEK_H
#define KSHSCTL_PEEK_H

#include "kshsctl.h"

#define PEEK_PAGE 4096
#define PEEK_PAGES 48

/* Too large for a stack. */
typedef struct peeked {
    HANDLE process;
    unsigned count, next;           /* pages that are there, and the one that goes for a further one */
    struct {
        ULONG_PTR at;
        uint8_t bytes[PEEK_PAGE];
    } pages[PEEK_PAGES];
} peeked;

void peek_start(peeked *memory, HANDLE process);            /* what was read before is forgotten */
bool peek(peeked *memory, ULONG_PTR address, void *out, size_t length);     /* all of it, or FALSE */

#endif
