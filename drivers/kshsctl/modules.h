/* SPDX-License-Identifier: Apache-2.0
 *
 * modules.h - the images of another process, and addresses as places in them.
 */
#ifndef KSHSCTL_MODULES_H
#define KSHSCTL_MODULES_H

#include "kshsctl.h"

#define MAX_MODULES 256

typedef struct module {
    ULONG_PTR base, size;
    wchar_t name[64];
} module;

typedef struct module_list {
    unsigned count;
    module items[MAX_MODULES];
} module_list;

void modules_read(DWORD pid, module_list *list, wchar_t *process, size_t count);    /* and the executable's name */
const module *modules_find(const module_list *list, ULONG_PTR address);
void modules_write(json *j, const module_list *list);
bool module_is_driver(const module *m);
void module_place(json *j, const module *m, ULONG_PTR address);     /* members address, module, offset */

#endif
