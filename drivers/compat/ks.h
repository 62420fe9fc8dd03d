/* SPDX-License-Identifier: Apache-2.0
 *
 * ks.h - mingw-w64's, and what it lacks of the documented ks.h.
 */
#ifndef KSHS_COMPAT_KS_H
#define KSHS_COMPAT_KS_H

/*
 * mingw-w64's KSDEVICE_DESCRIPTOR ends with Version.  Its tag is named twice there, when the type is made
 * known and when it is defined: the first keeps its name, and the second gets another, for it is defined below.
 */
#define _KSDEVICE_DESCRIPTOR kshs_KSDEVICE_DESCRIPTOR
#pragma push_macro("_KSDEVICE_DESCRIPTOR")
#undef _KSDEVICE_DESCRIPTOR
#define _KSDEVICE_DESCRIPTOR _KSDEVICE_DESCRIPTOR _Pragma("pop_macro(\"_KSDEVICE_DESCRIPTOR\")")
#include_next <ks.h>
#undef _KSDEVICE_DESCRIPTOR

struct _KSDEVICE_DESCRIPTOR {
    const KSDEVICE_DISPATCH *Dispatch;
    ULONG FilterDescriptorsCount;
    const KSFILTER_DESCRIPTOR *const *FilterDescriptors;
    ULONG Version;
    ULONG Flags;
    PVOID Alignment;
};

#ifndef KSDEVICE_DESCRIPTOR_VERSION_2
#define KSDEVICE_DESCRIPTOR_VERSION_2 0x110
#define MIN_DEV_VER_FOR_QI 0x100
#define MIN_DEV_VER_FOR_FLAGS 0x110
#define KSDEVICE_FLAG_ENABLE_REMOTE_WAKEUP 0x00000001
#define KSDEVICE_FLAG_LOWPOWER_PASSTHROUGH 0x00000002
#define KSDEVICE_FLAG_ENABLE_QUERYINTERFACE 0x00000004
#endif

/* What a pin is asked of its formats since Windows 7 and 8.1. */
#define KSPROPERTY_PIN_PROPOSEDATAFORMAT2 (KSPROPERTY_PIN_PROPOSEDATAFORMAT + 1)
#define KSPROPERTY_PIN_MODEDATAFORMATS (KSPROPERTY_PIN_PROPOSEDATAFORMAT + 2)

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

#ifndef KSSTREAM_HEADER_OPTIONSF_ENDOFPHOTOSEQUENCE
#define KSSTREAM_HEADER_OPTIONSF_ENDOFPHOTOSEQUENCE 0x00002000
#define KSSTREAM_HEADER_OPTIONSF_FRAMEINFO 0x00004000
#define KSSTREAM_HEADER_OPTIONSF_PERSIST_SAMPLE 0x00008000
#define KSSTREAM_HEADER_OPTIONSF_SAMPLE_PERSISTED 0x00010000
#endif

/* What a USB camera says of the time of a frame (UVC 1.5, payload header). */
typedef struct {
    ULONG PresentationTimeStamp;
    ULONG SourceClockReference;
    union {
        struct {
            USHORT Counter : 11;
            USHORT Reserved : 5;
        };
        USHORT SCRToken;
    };
    USHORT Reserved0;
    ULONG Reserved1;
} KSSTREAM_UVC_METADATATYPE_TIMESTAMP, *PKSSTREAM_UVC_METADATATYPE_TIMESTAMP;

typedef struct {
    KSSTREAM_UVC_METADATATYPE_TIMESTAMP StartOfFrameTimestamp;
    KSSTREAM_UVC_METADATATYPE_TIMESTAMP EndOfFrameTimestamp;
} KSSTREAM_UVC_METADATA, *PKSSTREAM_UVC_METADATA;

#ifndef KSFILTER_FLAG_PRIORITIZE_REFERENCEGUID
#define KSFILTER_FLAG_PRIORITIZE_REFERENCEGUID 0x00000010
#endif

/* ---- what a device is good for (Windows 8.1 and later) --------------------------------------- */

struct _KSDEVICE_PROFILE_INFO;

#ifdef __cplusplus
extern "C" {
#endif

KSDDKAPI NTSTATUS NTAPI KsInitializeDeviceProfile(PKSFILTERFACTORY FilterFactory);
KSDDKAPI NTSTATUS NTAPI KsPublishDeviceProfile(PKSFILTERFACTORY FilterFactory,
                                               const struct _KSDEVICE_PROFILE_INFO *Profile);
KSDDKAPI NTSTATUS NTAPI KsPersistDeviceProfile(PKSFILTERFACTORY FilterFactory);

#ifdef __cplusplus
}
#endif

#endif
