/* SPDX-License-Identifier: Apache-2.0
 *
 * is_wine.c - the one question of nt.c that the crash recorder has, too.
 */
#include "nt.h"

bool nt_is_wine(void)
{
    static int known;               /* 1 no, 2 yes; it never changes: a race writes the same value twice */

    if (!known)
        known = GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version") ? 2 : 1;
    return known == 2;
}
