/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel.h - as much of an NT kernel as single files of our drivers need, in a
 * program: with the conditions that a checked kernel asserts and Wine does not
 * look at.  What breaks one is written to stdout, and the program ends with 1.
 *
 * One thread alone runs.  What would happen in another one, in a DPC or while
 * somebody waits is done by `kernel_while_waiting`.
 */
#ifndef TESTS_KERNEL_H
#define TESTS_KERNEL_H

#include "kshs_compat.h"

extern KIRQL kernel_irql;                   /* the current one; code under test reads it from CR8 */
extern LONG kernel_irps;                    /* allocated and not freed */
extern LONG kernel_pool;                    /* blocks of pool, the same */
extern LONG kernel_mdls;
extern void (*kernel_while_waiting)(void);  /* called once, when somebody begins to wait */

/* Memory of a user-mode process: `kernel_user` as that process sees it, `kernel_pages` the pages themselves.  It may
 * be paged out, so that nobody may touch it above APC_LEVEL, and is not there in another process. */
#define KERNEL_USER_BYTES 4096
extern UCHAR *kernel_user;
extern UCHAR *kernel_pages;

void kernel_start(BOOLEAN wine);            /* whether code under test finds Wine */
void kernel_raise(KIRQL irql);              /* to any, also back down */
void kernel_attach(BOOLEAN sender);         /* into the process with `kernel_user`, or into another one */
void kernel_work(void);                     /* runs the work items that are queued */
void kernel_check(BOOLEAN holds, const char *text);     /* one condition: counted and written if it does not hold */
int kernel_end(void);                       /* for the program's exit: 0 if all conditions held */

#endif
