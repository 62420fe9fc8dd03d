/* SPDX-License-Identifier: Apache-2.0
 *
 * threads.h - where the threads stand that drivers run on.
 */
#ifndef KSHSCTL_THREADS_H
#define KSHSCTL_THREADS_H

#include "kshsctl.h"

/*
 * One object, never more than the limit of `j` has room for: frames are left out, then threads, then lists of modules.
 * What is not looked at by `until_ms` (of now_ms; 0: there is no such time) is left out, too.  FALSE: nothing can be told.
 */
bool threads_write(json *j, uint64_t until_ms);

#endif
