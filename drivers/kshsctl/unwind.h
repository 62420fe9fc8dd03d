/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind.h - from a thread's registers to the frame that called.
 */
#ifndef KSHSCTL_UNWIND_H
#define KSHSCTL_UNWIND_H

#include "modules.h"
#include "peek.h"

/* What was read of a process: of its images for all of its threads, of stacks for the one that stands still. */
typedef struct unwound {
    peeked images, stack;
} unwound;

void unwind_start(unwound *u, HANDLE process);
void unwind_thread(unwound *u);     /* another thread stands still now */

/* One frame up, in another process, by its images' unwind data.  FALSE: this frame is the last that can be told. */
bool unwind_step(unwound *u, const module_list *modules, CONTEXT *context);

#endif
