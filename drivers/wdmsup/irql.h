/* SPDX-License-Identifier: Apache-2.0
 *
 * irql.h - the IRQL that irql.c writes down for the calling thread.
 */
#ifndef WDMSUP_IRQL_H
#define WDMSUP_IRQL_H

#include "wdmsup.h"

/* What it was. */
KIRQL SupRaise(KIRQL Irql);
VOID SupLower(KIRQL Irql);

#endif
