/* SPDX-License-Identifier: Apache-2.0
 *
 * crash.h - one crash as the debugger sees it, and the line made of it.
 */
#ifndef KSHSCTL_CRASH_H
#define KSHSCTL_CRASH_H

#include "nt.h"

typedef struct crash_report {
    DWORD pid, thread;
    HANDLE process;
    const EXCEPTION_RECORD *exception;
    bool first_chance;
} crash_report;

bool crash_write(const crash_report *crash);
void crash_append_simple(DWORD pid, const char *kind, DWORD code);  /* a crash of which no more is known */

#endif
