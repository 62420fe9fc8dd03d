/* SPDX-License-Identifier: Apache-2.0
 *
 * missing.h - functions of ks.h that a minidriver may import and that this
 * driver does not have.
 *
 * They are exported, so that the minidriver loads.  A call answers what fits
 * the type of the function, changes nothing, and is put on record: `kshsctl
 * info` lists the names (docs/refks.md), so that nobody takes a consequence
 * of ours for a fault of the minidriver.
 */
#ifndef REFKS_MISSING_H
#define REFKS_MISSING_H

#include "refks.h"

/* Nobody looks at the parameters of a function that is not there. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wunused-parameter"
#endif
#ifdef _MSC_VER
#pragma warning(disable: 4100)
#endif

/* One per function.  It is on the list from its first call on, and for good. */
typedef struct REFKS_MISSING {
    const WCHAR *Name;
    struct REFKS_MISSING *Next;
    volatile LONG Called;
    volatile LONG Written;
} REFKS_MISSING;

void RefksRecordMissing(REFKS_MISSING *Function);       /* any IRQL */

#define REFKS_RECORD_MISSING(name)                                  \
    do {                                                            \
        static REFKS_MISSING called = { L"" #name, NULL, 0, 0 };    \
        RefksRecordMissing(&called);                                \
    } while (0)

#define MISSING_VALUE(type, value, name, parameters)    \
    type NTAPI name parameters                          \
    {                                                   \
        REFKS_RECORD_MISSING(name);                     \
        return value;                                   \
    }

#define MISSING_VOID(name, parameters)                  \
    VOID NTAPI name parameters                          \
    {                                                   \
        REFKS_RECORD_MISSING(name);                     \
    }

#define MISSING(name, parameters) MISSING_VALUE(NTSTATUS, STATUS_NOT_IMPLEMENTED, name, parameters)

/* Functions that own the IRP they are given: it is completed, or whoever waits for it would wait for ever. */
#define MISSING_DISPATCH(name, parameters)                          \
    NTSTATUS NTAPI name parameters                                  \
    {                                                               \
        REFKS_RECORD_MISSING(name);                                 \
        return kshs_complete(Irp, STATUS_NOT_IMPLEMENTED, 0);       \
    }

#endif
