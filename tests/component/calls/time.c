/* SPDX-License-Identifier: Apache-2.0
 *
 * time.c - clocks and calendars.
 */
#include "calls.h"

#define YEAR_2020 132223104000000000ll          /* 100 ns since 1601 */

NTKERNELAPI ULONGLONG NTAPI KeQueryUnbiasedInterruptTime(VOID);
NTKERNELAPI VOID NTAPI KeQuerySystemTimePrecise(PLARGE_INTEGER Time);
NTKERNELAPI ULONGLONG NTAPI KeQueryInterruptTimePrecise(PULONG64 Counter);
NTHALAPI VOID NTAPI KeStallExecutionProcessor(ULONG Microseconds);

PROBE(Probe_KeQueryPerformanceCounter)
{
    LARGE_INTEGER frequency = { .QuadPart = 0 }, before = KeQueryPerformanceCounter(&frequency), after;
    LONGLONG least;

    EXPECT(frequency.QuadPart >= 1000000, "has a frequency below 1 MHz");
    Sleep(50);
    after = KeQueryPerformanceCounter(NULL);
    least = frequency.QuadPart / 25;
    EXPECT(after.QuadPart - before.QuadPart > least, "counts slower than its frequency says");
}

/* Drivers for x64 read the time from the data that the kernel shares with everybody, by whatever instruction the
 * compiler finds fit. */
PROBE(SharedTime)
{
    volatile LONGLONG time;
    LARGE_INTEGER now;

    KeQuerySystemTime(&now);
    time = now.QuadPart;
    EXPECT(time > YEAR_2020, "does not answer the time");
}

static DECLSPEC_NOINLINE LONGLONG AddSharedTime(LONGLONG Time)
{
    __asm__ volatile("addq (%1), %0" : "+r"(Time) : "r"(0xFFFFF78000000014ull) : "memory");
    return Time;
}

PROBE(SharedTimeInASum)
{
    EXPECT(AddSharedTime(1) > YEAR_2020, "does not answer the time");
}

PROBE(Probe_KeQueryTimeIncrement)
{
    ULONG increment = KeQueryTimeIncrement();

    EXPECT(increment >= 1000 && increment <= 1000000, "answers what is no time between two ticks");
}

PROBE(Probe_KeStallExecutionProcessor)
{
    LARGE_INTEGER frequency, before = KeQueryPerformanceCounter(&frequency), after;

    KeStallExecutionProcessor(1000);
    after = KeQueryPerformanceCounter(NULL);
    EXPECT((after.QuadPart - before.QuadPart) * 1000 >= frequency.QuadPart, "returns too early");
}

PROBE(Probe_KeQuerySystemTimePrecise)
{
    LARGE_INTEGER time = { .QuadPart = 0 };

    KeQuerySystemTimePrecise(&time);
    EXPECT(time.QuadPart > YEAR_2020, "does not answer the time");
}

PROBE(Probe_KeQueryInterruptTimePrecise)
{
    ULONG64 counter = 0;
    ULONGLONG before = KeQueryInterruptTimePrecise(&counter);

    Sleep(50);
    EXPECT(counter && KeQueryInterruptTimePrecise(&counter) - before > 400000, "does not go on");
}

PROBE(Probe_KeQueryUnbiasedInterruptTime)
{
    ULONGLONG before = KeQueryUnbiasedInterruptTime();

    Sleep(50);
    EXPECT(KeQueryUnbiasedInterruptTime() - before > 400000, "does not go on");
}

PROBE(Probe_ExSystemTimeToLocalTime)
{
    LARGE_INTEGER system = { .QuadPart = YEAR_2020 }, local = { .QuadPart = 0 };
    LONGLONG off;

    ExSystemTimeToLocalTime(&system, &local);
    off = local.QuadPart - system.QuadPart;
    EXPECT(off % 9000000000ll == 0 && off <= 504000000000ll && off >= -504000000000ll, "answers no local time");
}

PROBE(Probe_ExLocalTimeToSystemTime)
{
    LARGE_INTEGER system = { .QuadPart = YEAR_2020 }, local, back;

    ExSystemTimeToLocalTime(&system, &local);
    ExLocalTimeToSystemTime(&local, &back);
    EXPECT(back.QuadPart == system.QuadPart, "is not the reverse of ExSystemTimeToLocalTime");
}

PROBE(Probe_RtlTimeToTimeFields)
{
    LARGE_INTEGER time = { .QuadPart = YEAR_2020 };
    TIME_FIELDS fields;

    RtlTimeToTimeFields(&time, &fields);
    EXPECT(fields.Year == 2020 && fields.Month == 1 && fields.Day == 1 && fields.Hour == 0 && fields.Weekday == 3,
           "answers another day");
}

PROBE(Probe_RtlTimeFieldsToTime)
{
    TIME_FIELDS fields = { .Year = 2020, .Month = 1, .Day = 1 };
    LARGE_INTEGER time;

    EXPECT(RtlTimeFieldsToTime(&fields, &time) && time.QuadPart == YEAR_2020, "answers another time");
    fields.Month = 13;
    EXPECT(!RtlTimeFieldsToTime(&fields, &time), "takes a 13th month");
}

PROBE(Probe_ExSetTimerResolution)
{
    EXPECT(ExSetTimerResolution(10000, TRUE) > 0, "answers 0");
    (void)ExSetTimerResolution(0, FALSE);
}

const PROBE TimeProbes[] = {
    CASE(KeQuerySystemTime, "inline", SharedTime), CASE(KeQuerySystemTime, "inline, in a sum", SharedTimeInASum),
    P(KeQueryPerformanceCounter), P(KeQueryTimeIncrement), P(KeStallExecutionProcessor), P(KeQuerySystemTimePrecise),
    P(KeQueryInterruptTimePrecise), P(KeQueryUnbiasedInterruptTime), P(ExSystemTimeToLocalTime),
    P(ExLocalTimeToSystemTime), P(RtlTimeToTimeFields), P(RtlTimeFieldsToTime), P(ExSetTimerResolution), ENDS
};
