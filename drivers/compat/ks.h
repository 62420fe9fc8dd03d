/* SPDX-License-Identifier: Apache-2.0
 *
 * ks.h - mingw-w64's, and what it lacks of the documented ks.h.
 */
#ifndef KSHS_COMPAT_KS_H
#define KSHS_COMPAT_KS_H

#include_next <ks.h>

#ifndef KSDEVICE_DESCRIPTOR_VERSION_2
#define KSDEVICE_DESCRIPTOR_VERSION_2 0x110
#endif

/* The version that a stream header's metadata has, and where it lies. */
#ifndef KSSTREAM_HEADER_OPTIONSF_METADATA
#define KSSTREAM_HEADER_OPTIONSF_METADATA 0x00001000

typedef struct {
    ULONG BufferSize;
    ULONG UsedSize;
    PVOID Data;
    PVOID SystemVa;
    ULONG Flags;
    ULONG Reserved;
} KSSTREAM_METADATA_INFO, *PKSSTREAM_METADATA_INFO;
#endif

#endif
