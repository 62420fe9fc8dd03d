/* SPDX-License-Identifier: Apache-2.0
 *
 * kshs_plain_name.h - the name of a device interface without its reference string.
 *
 * Wine knows the one in front of the string alone; the string is given to IOCTL_KSHS_MAKE_FILTER.
 */
#ifndef KSHS_PLAIN_NAME_H
#define KSHS_PLAIN_NAME_H

#include <stddef.h>

#define KSHS_CLASS_CHARACTERS 38    /* of {00000000-0000-0000-0000-000000000000} */

/* Of \??\DEVICE#{CLASS}\REFERENCE the characters in front of the last backslash; 0: it is no such name. */
static inline size_t kshs_plain_characters(const wchar_t *name, size_t characters)
{
    size_t end;

    if (characters < 4 || name[0] != L'\\' || name[3] != L'\\')
        return 0;
    for (end = 4; end < characters && name[end] != L'\\'; end++)
        ;
    if (end + 1 >= characters || end < 4 + 1 + KSHS_CLASS_CHARACTERS || name[end - 1] != L'}' ||
        name[end - KSHS_CLASS_CHARACTERS] != L'{' || name[end - KSHS_CLASS_CHARACTERS - 1] != L'#')
        return 0;
    return end;
}

#endif
