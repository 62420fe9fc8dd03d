/* SPDX-License-Identifier: Apache-2.0
 *
 * kshs_guid.h - GUIDs that a header of compat/ declares.
 */
#ifndef KSHS_COMPAT_GUID_H
#define KSHS_COMPAT_GUID_H

/* libksguid does not have these: each is defined where it is used, and kept once in a driver. */
#define KSHS_GUID(text, name)    \
    EXTERN_C const GUID name;    \
    EXTERN_C __declspec(selectany) const GUID name = { STATIC_##name }

#endif
