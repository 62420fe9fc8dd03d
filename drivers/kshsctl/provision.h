/* SPDX-License-Identifier: Apache-2.0
 *
 * provision.h - what the verbs of a guest's set-up share (docs/windows.md).
 */
#ifndef KSHSCTL_PROVISION_H
#define KSHSCTL_PROVISION_H

#include "kshsctl.h"

#define MILESTONE_NAME 32           /* characters of a step's name, at most */

typedef struct milestone_port {
    bool written;
    DWORD error;                    /* Win32 code, if it was not: ERROR_FILE_NOT_FOUND where there is no COM1 */
} milestone_port;

/*
 * One line to COM1 and to provision.log beside this executable.  TEXT is what
 * stands behind "KSHS 1 ".  With TAIL, the end of that log goes to the port
 * after it, as the log of step NAME.  Win32 code of the log; the line counts as
 * written if either took it.
 */
DWORD milestone_write(const char *text, const char *name, const wchar_t *tail, milestone_port *port);
void json_milestone_port(json *j, const milestone_port *port);

#endif
