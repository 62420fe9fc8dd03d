/* SPDX-License-Identifier: Apache-2.0
 *
 * timer.h - the timers and DPCs of timer.c, for what is made of them.
 */
#ifndef WDMSUP_TIMER_H
#define WDMSUP_TIMER_H

#include "wdmsup.h"

#define SUP_MILLISECONDS 10000          /* a unit of periods, in 100 ns */

/* IRQL <= DISPATCH_LEVEL, from DPCs too.  DueTime in 100 ns, Period in units of so many 100 ns (0: once). */
BOOLEAN SupSetTimer(PKTIMER Timer, LONGLONG DueTime, ULONG Period, ULONG Unit, PKDPC Dpc);
/* Whether it is yet to expire; if not, the DPC of its last expiry is queued by now, or runs, or has run. */
BOOLEAN SupTimerIsSet(PKTIMER Timer);

VOID NTAPI SupKeInitializeTimerEx(PKTIMER Timer, TIMER_TYPE Type);
VOID NTAPI SupKeInitializeTimer(PKTIMER Timer);
BOOLEAN NTAPI SupKeSetTimerEx(PKTIMER Timer, LARGE_INTEGER DueTime, LONG Period, PKDPC Dpc);
BOOLEAN NTAPI SupKeSetTimer(PKTIMER Timer, LARGE_INTEGER DueTime, PKDPC Dpc);
BOOLEAN NTAPI SupKeSetCoalescableTimer(PKTIMER Timer, LARGE_INTEGER DueTime, ULONG Period, ULONG Delay, PKDPC Dpc);
BOOLEAN NTAPI SupKeCancelTimer(PKTIMER Timer);
BOOLEAN NTAPI SupKeReadStateTimer(PKTIMER Timer);
VOID NTAPI SupKeInitializeDpc(PKDPC Dpc, PKDEFERRED_ROUTINE Routine, PVOID Context);
BOOLEAN NTAPI SupKeInsertQueueDpc(PKDPC Dpc, PVOID Argument1, PVOID Argument2);
BOOLEAN NTAPI SupKeRemoveQueueDpc(PKDPC Dpc);
VOID NTAPI SupKeFlushQueuedDpcs(VOID);
VOID NTAPI SupKeSetImportanceDpc(PKDPC Dpc, KDPC_IMPORTANCE Importance);
VOID NTAPI SupKeSetTargetProcessorDpc(PKDPC Dpc, CCHAR Number);
BOOLEAN NTAPI SupKeIsExecutingDpc(VOID);
VOID NTAPI SupKeInitializeThreadedDpc(PKDPC Dpc, PKDEFERRED_ROUTINE Routine, PVOID Context);
NTSTATUS NTAPI SupKeSetTargetProcessorDpcEx(PKDPC Dpc, PPROCESSOR_NUMBER Number);

#endif
