/* SPDX-License-Identifier: Apache-2.0
 *
 * ksmedia.h - mingw-w64's, which needs tchar.h before it, and what it lacks of
 * audio and of cameras.
 */
#ifndef KSHS_COMPAT_KSMEDIA_H
#define KSHS_COMPAT_KSMEDIA_H

#include <tchar.h>

/* mingw-w64's KS_FRAME_INFO has plain fields where Ksmedia.h has unions. */
#define tagKS_FRAME_INFO kshs_tagKS_FRAME_INFO
#define KS_FRAME_INFO KSHS_KS_FRAME_INFO
#define PKS_FRAME_INFO KSHS_PKS_FRAME_INFO
#include_next <ksmedia.h>
#undef tagKS_FRAME_INFO
#undef KS_FRAME_INFO
#undef PKS_FRAME_INFO

typedef struct tagKS_FRAME_INFO {
    ULONG ExtendedHeaderSize;
    DWORD dwFrameFlags;
    LONGLONG PictureNumber;
    LONGLONG DropCount;
    HANDLE hDirectDraw;
    HANDLE hSurfaceHandle;
    RECT DirectDrawRect;
    union {
        LONG lSurfacePitch;
        DWORD Reserved1;
    };
    DWORD Reserved2;
    union {
        struct {
            DWORD Reserved3;
            DWORD Reserved4;
        };
        ULONGLONG FrameCompletionNumber;
    };
} KS_FRAME_INFO, *PKS_FRAME_INFO;

#include "ksaudio.h"
#include "kscamera.h"

#endif
