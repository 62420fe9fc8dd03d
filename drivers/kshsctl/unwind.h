/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind.h - from a thread's registers to the frame that called.
 */
#ifndef KSHSCTL_UNWIND_H
#define KSHSCTL_UNWIND_H

#include "modules.h"

/* One frame up, in another process, by its images' unwind data.  FALSE: this frame is the last that can be told. */
bool unwind_step(HANDLE process, const module_list *modules, CONTEXT *context);

#endif
