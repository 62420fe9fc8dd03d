/* SPDX-License-Identifier: Apache-2.0
 *
 * probe.h - a minidriver that does nothing but call the class driver, for the
 * tests of drivers/refks (test_refks_functions.py).  Each file answers GETs of
 * one property with what it saw.
 */
#ifndef PROBE_H
#define PROBE_H

#ifdef __MINGW32__
/* mingw-w64's wdm.h defines these two after its intrinsics have declared them. */
#define __INTRINSIC_DEFINED_InterlockedBitTestAndSet
#define __INTRINSIC_DEFINED_InterlockedBitTestAndReset
#endif
#include <ntddk.h>
#include <windef.h>
#include <ks.h>

#ifdef __clang__
#pragma clang diagnostic ignored "-Wmissing-braces"     /* ks.h's GUIDs are flat lists */
#endif

#ifdef __MINGW32__
NTSYSAPI NTSTATUS NTAPI ZwWaitForSingleObject(HANDLE Handle, BOOLEAN Alertable, PLARGE_INTEGER Timeout);
#endif

#define PROBE_TAG 'borP'
#define PROBE_NUMBERS 24        /* ULONGLONGs in an answer */

enum {                          /* also in test_refks_functions.py */
    PROBE_PIN_FACTORY = 1,      /* filter: makes one; its id */
    PROBE_NODE = 2,             /* filter: makes one; its id */
    PROBE_CONNECTIONS = 3,      /* filter: adds two; status */
    PROBE_MERGE = 4,            /* filter: numbers */
    PROBE_QUEUE_ORDER = 5,      /* filter: numbers, as all the following */
    PROBE_QUEUE_CANCEL = 6,
    PROBE_QUEUE_CANCEL_ALL = 7,
    PROBE_QUEUE_MOVE = 8,
    PROBE_QUEUE_RACE = 9,
    PROBE_WORKER = 10,
    PROBE_COUNTED_WORKER = 11,
    PROBE_OPEN = 12,            /* filter: input goes on with a name in UTF-16; numbers */
    PROBE_FORWARD = 13,         /* pin: numbers */
    PROBE_FORWARD_MORE = 14,    /* pin: numbers */
    PROBE_WILDCARD = 15,        /* filter: status */
    PROBE_FAST = 16,            /* filter: numbers */
    PROBE_PEND = 17,            /* filter: ULONG, answered later */
    PROBE_QUEUED = 18,          /* filter: waits in a queue until it is cancelled or released */
    PROBE_RELEASE = 19,         /* filter: completes what is queued; ULONG: how many there were */
    PROBE_CLOSED = 20,          /* filter: ULONG, filters closed so far */
    PROBE_MISSING = 21,         /* filter: ULONG, functions called that are not there; in_guest.py alone */
    PROBE_BAGS = 22,            /* filter: numbers, as all the following */
    PROBE_EDIT = 23,
    PROBE_PINS = 24,
    PROBE_NAMES = 25,
    PROBE_FACTORIES = 26,
    PROBE_ARGUMENTS = 27,
    PROBE_DEVICE = 28,
    PROBE_REMOVED = 29,
    PROBE_POWER = 30,
    PROBE_FAILURES = 31,
    PROBE_TABLE = 32,
    PROBE_ALONE = 33,
    PROBE_LATE = 34,
    PROBE_LATE_PINS = 35,
    PROBE_HAND_ON = 1,          /* filter, in a set of its own: the handler asks another table */
};

NTSTATUS ProbeMerge(PKSFILTER Filter, PULONGLONG Numbers);
NTSTATUS ProbeMergedTable(PKSFILTER Filter, PKSAUTOMATION_TABLE *Table);
NTSTATUS ProbeQueueOrder(PULONGLONG Numbers);
NTSTATUS ProbeQueueCancel(PULONGLONG Numbers);
NTSTATUS ProbeQueueCancelAll(PULONGLONG Numbers);
NTSTATUS ProbeQueueMove(PULONGLONG Numbers);
NTSTATUS ProbeQueueRace(PULONGLONG Numbers);
NTSTATUS ProbeWorker(PULONGLONG Numbers);
NTSTATUS ProbeCountedWorker(PULONGLONG Numbers);
NTSTATUS ProbeOpen(PKSFILTER Filter, const WCHAR *Name, ULONG Bytes, PULONGLONG Numbers);
NTSTATUS ProbeForward(PKSPIN Pin, PFILE_OBJECT FileObject, PULONGLONG Numbers);
NTSTATUS ProbeForwardMore(PKSPIN Pin, PFILE_OBJECT FileObject, PULONGLONG Numbers);
NTSTATUS ProbeQueued(PIRP Irp);
ULONG ProbeRelease(void);
ULONG ProbeMissing(void);
NTSTATUS ProbeFast(PFILE_OBJECT FileObject, PULONGLONG Numbers);
NTSTATUS ProbePendProperty(PIRP Irp, PKSPROPERTY Property, PVOID Data);
NTSTATUS ProbeHandOnProperty(PIRP Irp, PKSPROPERTY Property, PVOID Data);

NTSTATUS ProbeBags(PKSFILTER Filter, PULONGLONG Numbers);
NTSTATUS ProbeEdit(PKSFILTER Filter, PULONGLONG Numbers);
NTSTATUS ProbePins(PIRP Irp, PKSFILTER Filter, PULONGLONG Numbers);
NTSTATUS ProbeNames(PIRP Irp, PKSFILTER Filter, PULONGLONG Numbers);
NTSTATUS ProbeFactories(PKSFILTER Filter, PULONGLONG Numbers);
NTSTATUS ProbeArguments(PIRP Irp, PKSFILTER Filter, PULONGLONG Numbers);
NTSTATUS ProbeDevice(PULONGLONG Numbers);
NTSTATUS ProbeRemoved(PULONGLONG Numbers);
NTSTATUS ProbePower(PULONGLONG Numbers);
NTSTATUS ProbeFailures(PULONGLONG Numbers);
NTSTATUS ProbeTable(PKSFILTER Filter, PULONGLONG Numbers);
NTSTATUS ProbeAlone(PKSFILTER Filter, PULONGLONG Numbers);
NTSTATUS ProbeLate(PULONGLONG Numbers);
NTSTATUS ProbeLatePins(PIRP Irp, PKSFILTER Filter, PULONGLONG Numbers);
void ProbeTakeOver(PDRIVER_OBJECT DriverObject);

/* A create or close is answered later, from ProbePendFrom on until ProbePendNoMore: by ProbeFinish. */
void ProbePendFrom(NTSTATUS Answer);
void ProbePendNoMore(void);
NTSTATUS ProbeAnswer(PIRP Irp, NTSTATUS Answer);        /* for the routine that is asked */
void ProbeFinish(void);

/* Sends an IRP of the probe's own, with the parameters of a location; the status that it was completed with, once. */
NTSTATUS ProbeSend(PDEVICE_OBJECT Device, PFILE_OBJECT FileObject, UCHAR Major, UCHAR Minor,
                   const IO_STACK_LOCATION *Parameters);
/* Sends one that is left pending, and then finished; the status that it was completed with, once and not before. */
NTSTATUS ProbeSendLate(PDEVICE_OBJECT Device, PFILE_OBJECT FileObject, UCHAR Major, void (*Finish)(void));
/* Calls one dispatch routine in the same way. */
NTSTATUS ProbeDispatch(PDRIVER_DISPATCH Routine, PDEVICE_OBJECT Device, UCHAR Major,
                       const IO_STACK_LOCATION *Parameters, PVOID Out);

extern const KSMETHOD_SET ProbeMethodSets[1];
extern const KSAUTOMATION_TABLE ProbeNodeTable;

#endif
