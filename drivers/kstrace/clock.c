/* SPDX-License-Identifier: Apache-2.0
 *
 * clock.c - the time of the records.
 *
 * KeQueryPerformanceCounter is a short routine of an NT kernel; on Wine it is a
 * call into the system, and would be the greater part of what a record costs.
 * There the processor's own counter is read, if it counts evenly, and held
 * against the performance counter when somebody asks for the records.
 */
#include "kstrace.h"

#include <intrin.h>

BOOLEAN kst_counts_itself;

/* It runs at one rate, on all processors alike: that is what bit 8 says; or it is a hypervisor's, which see to it, and
 * hide the bit when they may move the machine. */
static BOOLEAN counts_evenly(void)
{
    int found[4];

    __cpuid(found, 1);
    if (found[2] < 0)
        return TRUE;
    __cpuid(found, (int)0x80000000);
    if ((ULONG)found[0] < 0x80000007u)
        return FALSE;
    __cpuid(found, (int)0x80000007);
    return found[3] >> 8 & 1;
}

void kst_clock_init(void)
{
    LARGE_INTEGER frequency;

    (void)KeQueryPerformanceCounter(&frequency);
    kst_counts_itself = kshs_is_wine() && counts_evenly();
    kst_beacon.clock.first_ns = kshs_now_ns();
    kst_beacon.clock.first_ticks = kst_ticks();
    if (kst_counts_itself)
        return;
    kst_beacon.clock.span_ticks = (uint64_t)frequency.QuadPart;
    kst_beacon.clock.span_ns = 1000000000u;
}

void kst_clock_set(void)
{
    uint64_t ticks, ns;

    if (!kst_counts_itself)
        return;
    ns = kshs_now_ns();
    ticks = kst_ticks();
    if (ticks <= kst_beacon.clock.first_ticks || ns <= kst_beacon.clock.first_ns)
        return;
    kst_beacon.clock.span_ticks = ticks - kst_beacon.clock.first_ticks;
    kst_beacon.clock.span_ns = ns - kst_beacon.clock.first_ns;
}
