/* SPDX-License-Identifier: Apache-2.0
 *
 * bugcheck.c - Driver Verifier, which Wine does not have, and who wants to hear of a bugcheck.
 *
 * Wine's KeBugCheckEx ends the process of the drivers and calls nobody.  A record
 * can be registered all the same, once, and be taken back: its state is what a
 * driver asks for.
 */
#include "wdmsup.h"

enum { RECORD_EMPTY, RECORD_INSERTED };     /* BufferEmpty, BufferInserted of KBUGCHECK_BUFFER_DUMP_STATE */

ULONG NTAPI SupMmIsDriverVerifying(PDRIVER_OBJECT Driver);
LOGICAL NTAPI SupMmIsDriverVerifyingByAddress(PVOID Address);
BOOLEAN NTAPI SupKeRegisterBugCheckCallback(PKBUGCHECK_CALLBACK_RECORD Record, PKBUGCHECK_CALLBACK_ROUTINE Routine,
                                            PVOID Buffer, ULONG Length, PUCHAR Component);
BOOLEAN NTAPI SupKeDeregisterBugCheckCallback(PKBUGCHECK_CALLBACK_RECORD Record);
BOOLEAN NTAPI SupKeRegisterBugCheckReasonCallback(PKBUGCHECK_REASON_CALLBACK_RECORD Record,
                                                  PKBUGCHECK_REASON_CALLBACK_ROUTINE Routine,
                                                  KBUGCHECK_CALLBACK_REASON Reason, PUCHAR Component);
BOOLEAN NTAPI SupKeDeregisterBugCheckReasonCallback(PKBUGCHECK_REASON_CALLBACK_RECORD Record);

ULONG NTAPI SupMmIsDriverVerifying(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
    return 0;
}

LOGICAL NTAPI SupMmIsDriverVerifyingByAddress(PVOID Address)
{
    UNREFERENCED_PARAMETER(Address);
    return 0;
}

static BOOLEAN Change(UCHAR *State, UCHAR From, UCHAR To)
{
    if (*State != From)
        return FALSE;
    *State = To;
    return TRUE;
}

BOOLEAN NTAPI SupKeRegisterBugCheckCallback(PKBUGCHECK_CALLBACK_RECORD Record, PKBUGCHECK_CALLBACK_ROUTINE Routine,
                                            PVOID Buffer, ULONG Length, PUCHAR Component)
{
    if (!Change(&Record->State, RECORD_EMPTY, RECORD_INSERTED))
        return FALSE;
    Record->CallbackRoutine = Routine;
    Record->Buffer = Buffer;
    Record->Length = Length;
    Record->Component = Component;
    return TRUE;
}

BOOLEAN NTAPI SupKeDeregisterBugCheckCallback(PKBUGCHECK_CALLBACK_RECORD Record)
{
    return Change(&Record->State, RECORD_INSERTED, RECORD_EMPTY);
}

BOOLEAN NTAPI SupKeRegisterBugCheckReasonCallback(PKBUGCHECK_REASON_CALLBACK_RECORD Record,
                                                  PKBUGCHECK_REASON_CALLBACK_ROUTINE Routine,
                                                  KBUGCHECK_CALLBACK_REASON Reason, PUCHAR Component)
{
    if (!Change(&Record->State, RECORD_EMPTY, RECORD_INSERTED))
        return FALSE;
    Record->CallbackRoutine = Routine;
    Record->Reason = Reason;
    Record->Component = Component;
    return TRUE;
}

BOOLEAN NTAPI SupKeDeregisterBugCheckReasonCallback(PKBUGCHECK_REASON_CALLBACK_RECORD Record)
{
    return Change(&Record->State, RECORD_INSERTED, RECORD_EMPTY);
}
