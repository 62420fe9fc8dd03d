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
/* A crash of which no more is known; PROCESS may be NULL. */
void crash_append_simple(DWORD pid, const wchar_t *process, const char *kind, DWORD code);
bool crash_known(DWORD pid, LONGLONG since);        /* from that offset on there is a line about that process */
LONGLONG crash_file_size(void);     /* 0: there is none yet */

/* crash_watch.c, for the executor and for who installs a driver: */
void crash_watch_start(void);       /* the driver processes that there are now */
void crash_watch_look(void);        /* the client is gone: which of them ended, and how */
bool crash_watch_ended(void);       /* one of them has; it is on record.  Does not wait */

#endif
