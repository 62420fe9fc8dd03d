/* SPDX-License-Identifier: Apache-2.0
 *
 * calls.h - a driver that asks a kernel, call by call, whether it does what the
 * reference page of the call says (kernel_calls.py runs it).
 *
 * A probe is about one call and stops at the first thing that is wrong.  Its
 * name is the call's, with a case behind a colon where one call has several:
 * "KeSetTimer: by the timer's own DPC".
 */
#ifndef CALLS_H
#define CALLS_H

#include <ntddk.h>
#include <stdarg.h>

#define TAG 'sllC'
#define MS(n) (-(LONGLONG)(n) * 10000)

typedef struct PROBE {
    PCSTR Name;
    VOID (*Run)(VOID);
} PROBE;

#define PROBE(name) static VOID name(VOID)
/* A probe of the call's own name, and one that has a case. */
#define P(call) { #call, Probe_##call }
#define CASE(call, text, probe) { #call ": " text, probe }
#define ENDS { NULL, NULL }

extern const PROBE TimeProbes[], TimerProbes[], WaitProbes[], LockProbes[], MemoryProbes[], TextProbes[], TableProbes[],
    WorkProbes[], IrpProbes[], QueueProbes[], DeviceProbes[], KeyProbes[], TraceProbes[], ExTimerProbes[], PowerProbes[], NewerProbes[];

extern PDRIVER_OBJECT Driver;
extern PDEVICE_OBJECT Pdo;              /* of the root-enumerated device */
extern PDEVICE_OBJECT Fdo;              /* its function device, which completes IRP_MJ_DEVICE_CONTROL and reads */
extern PDEVICE_OBJECT Lower;            /* what Fdo is attached to */

/* What is wrong: the rest of a sentence that begins with the call's name.  The first one counts. */
VOID Wrong(PCSTR What);

#define EXPECT(good, what)      \
    do {                        \
        if (!(good)) {          \
            Wrong(what);        \
            return;             \
        }                       \
    } while (0)

/* The same for what a driver hardly notices: Wine lets through what a kernel refuses, or grants a little less. */
VOID Minor(PCSTR What);

#define MINOR(good, what)       \
    do {                        \
        if (!(good)) {          \
            Minor(what);        \
            return;             \
        }                       \
    } while (0)

/* The same for a DPC, or another thread, that has come into a call and does not come out of it. */
VOID Stuck(VOID);

#define COMES_BACK(good)        \
    do {                        \
        if (!(good)) {          \
            Stuck();            \
            return;             \
        }                       \
    } while (0)

/* A wait of at most four seconds: TRUE where the object came in that time. */
BOOLEAN Came(PVOID Object);
/* The same for the fact that it does not come, in a fifth of a second. */
BOOLEAN StaysAway(PVOID Object);
/* Runs a routine in a thread of its own. */
VOID Beside(PKSTART_ROUTINE Routine, PVOID Context);
VOID Sleep(LONGLONG Milliseconds);
/* Until a counter has come to a number, in at most four seconds. */
BOOLEAN Reaches(volatile LONG *Counter, LONG Number);

#define FILLED(structure) RtlFillMemory(&(structure), sizeof(structure), 0xCC)

#endif
