/* SPDX-License-Identifier: Apache-2.0
 *
 * request.h - what requests for properties and for methods have in common.
 */
#ifndef REFKS_REQUEST_H
#define REFKS_REQUEST_H

#include "refks.h"

/* One request, with copies of both buffers.  A handler works on them; what it leaves in the data buffer is handed
 * out when it says in IoStatus.Information how much that is. */
typedef struct REFKS_REQUEST {
    LIST_ENTRY Entry;           /* in the list of all requests */
    PIRP Irp;
    REFKS_HEADER *Object;       /* entered; NULL: a minidriver's own dispatch routine has the IRP */
    PKSIDENTIFIER Identifier;   /* KSPROPERTY or KSMETHOD: copy of the whole input buffer */
    ULONG IdentifierLength;
    PVOID Data;                 /* copy of, or room for, the output buffer; NULL if it has no length */
    ULONG DataLength;
    PVOID UserData;             /* the sender's */
    PMDL UserPages;             /* of UserData, locked; NULL: it is written as it is */
    BOOLEAN Delivers;           /* Data goes back to the sender */
} REFKS_REQUEST;

/* The sets in which a request is looked up; the first that has the item answers. */
typedef struct REFKS_SETS {
    ULONG Count;
    const REFKS_SET *Sets;
    ULONG ItemSize;
} REFKS_SETS;

#define REFKS_MAX_TABLES 2      /* the minidriver's and ours */

/* What makes a request one for a property or for a method. */
typedef struct REFKS_CONTROL {
    NTSTATUS (*Prepare)(REFKS_REQUEST *Request);        /* once the identifier is there */
    ULONG (*Gather)(const KSAUTOMATION_TABLE *Automation, REFKS_SETS *Tables, ULONG Count);     /* adds to them */
    NTSTATUS (*Route)(REFKS_REQUEST *Request, const REFKS_SETS *Tables, ULONG TableCount);
    BOOLEAN BuiltIn;            /* filters, nodes and pins have some of their own: of properties alone */
} REFKS_CONTROL;

/* For an object that the caller has entered: leaves it and completes the IRP. */
NTSTATUS RefksServe(REFKS_HEADER *Header, PIRP Irp, const REFKS_CONTROL *Control);
/* For a minidriver that completes the IRP itself.  Pending is not possible here. */
NTSTATUS RefksServeTable(PIRP Irp, const REFKS_CONTROL *Control, const REFKS_SETS *Table);

NTSTATUS RefksCaptureData(REFKS_REQUEST *Request);      /* the sender's data into Data */
NTSTATUS RefksCheckData(REFKS_REQUEST *Request);        /* whether it can be written to */

const REFKS_SET *RefksFindSet(const REFKS_SETS *Table, const GUID *Set);
const VOID *RefksFindItem(const REFKS_SET *Set, ULONG ItemSize, ULONG Id);
/* The sets that an object has, each once. */
NTSTATUS RefksListSets(REFKS_REQUEST *Request, const REFKS_SETS *Tables, ULONG TableCount);
/* Whether there is as much data as an item needs. */
NTSTATUS RefksCheckLengths(REFKS_REQUEST *Request, ULONG MinIdentifier, ULONG MinData, BOOLEAN AsksForSize);

#endif
