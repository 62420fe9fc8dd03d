/* SPDX-License-Identifier: Apache-2.0
 *
 * bits.c - single bits of bitmaps, and processors by their numbers: one group, as many as Wine says.
 */
#include "wdmsup.h"

BOOLEAN NTAPI SupRtlTestBit(PRTL_BITMAP Map, ULONG Bit);
VOID NTAPI SupRtlSetBit(PRTL_BITMAP Map, ULONG Bit);
VOID NTAPI SupRtlClearBit(PRTL_BITMAP Map, ULONG Bit);
ULONG NTAPI SupKeGetProcessorIndexFromNumber(PPROCESSOR_NUMBER Number);
NTSTATUS NTAPI SupKeGetProcessorNumberFromIndex(ULONG Index, PPROCESSOR_NUMBER Number);
ULONG NTAPI SupKeGetRecommendedSharedDataAlignment(VOID);
LONG NTAPI SupKeSetBasePriorityThread(PKTHREAD Thread, LONG Increment);

#define BITS 32
#define INVALID_INDEX 0xFFFFFFFFu
#define CACHE_LINE 64

BOOLEAN NTAPI SupRtlTestBit(PRTL_BITMAP Map, ULONG Bit)
{
    return (Map->Buffer[Bit / BITS] >> (Bit % BITS)) & 1;
}

VOID NTAPI SupRtlSetBit(PRTL_BITMAP Map, ULONG Bit)
{
    Map->Buffer[Bit / BITS] |= 1u << (Bit % BITS);
}

VOID NTAPI SupRtlClearBit(PRTL_BITMAP Map, ULONG Bit)
{
    Map->Buffer[Bit / BITS] &= ~(1u << (Bit % BITS));
}

ULONG NTAPI SupKeGetProcessorIndexFromNumber(PPROCESSOR_NUMBER Number)
{
    if (Number->Group || Number->Reserved || Number->Number >= KeQueryActiveProcessorCount(NULL))
        return INVALID_INDEX;
    return Number->Number;
}

NTSTATUS NTAPI SupKeGetProcessorNumberFromIndex(ULONG Index, PPROCESSOR_NUMBER Number)
{
    if (Index >= KeQueryActiveProcessorCount(NULL))
        return STATUS_INVALID_PARAMETER;
    Number->Group = 0;
    Number->Number = (UCHAR)Index;
    Number->Reserved = 0;
    return STATUS_SUCCESS;
}

ULONG NTAPI SupKeGetRecommendedSharedDataAlignment(VOID)
{
    return CACHE_LINE;
}

/* What it was: threads of drivers keep the one they begin with, for Wine has but one for all. */
LONG NTAPI SupKeSetBasePriorityThread(PKTHREAD Thread, LONG Increment)
{
    UNREFERENCED_PARAMETER(Thread);
    UNREFERENCED_PARAMETER(Increment);
    return 0;
}
