/* SPDX-License-Identifier: Apache-2.0
 *
 * loaded.h - where drivers are loaded.
 */
#ifndef KSHSCTL_LOADED_H
#define KSHSCTL_LOADED_H

#include "kshsctl.h"

void loaded_write(json *j);

#endif
