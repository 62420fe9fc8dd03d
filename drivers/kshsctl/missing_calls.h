/* SPDX-License-Identifier: Apache-2.0
 *
 * missing_calls.h - what drivers asked of the reference class driver in vain.
 */
#ifndef MISSING_CALLS_H
#define MISSING_CALLS_H

#include "kshsctl.h"

/* An array of names of functions; null where the guest's ks.sys keeps no such record. */
void json_missing_calls(json *j, const char *key, bool recorded);

#endif
