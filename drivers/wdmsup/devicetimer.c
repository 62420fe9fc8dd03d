/* SPDX-License-Identifier: Apache-2.0
 *
 * devicetimer.c - the timer that a device has, once a second.
 */
#include "timer.h"

NTSTATUS NTAPI SupIoInitializeTimer(PDEVICE_OBJECT Device, PIO_TIMER_ROUTINE Routine, PVOID Context);
VOID NTAPI SupIoStartTimer(PDEVICE_OBJECT Device);
VOID NTAPI SupIoStopTimer(PDEVICE_OBJECT Device);

static SUP_LOCK Lock;                   /* over the list and what it says */

typedef struct DEVICE_TIMER {
    LIST_ENTRY Entry;
    PDEVICE_OBJECT Device;
    PIO_TIMER_ROUTINE Routine;
    PVOID Context;
    KTIMER Timer;
    KDPC Dpc;
} DEVICE_TIMER;

static LIST_ENTRY DeviceTimers = { &DeviceTimers, &DeviceTimers };      /* as long as the process lives */

static DEVICE_TIMER *TimerOf(PDEVICE_OBJECT Device)
{
    DEVICE_TIMER *found = NULL;
    PLIST_ENTRY entry;

    RtlAcquireSRWLockExclusive(&Lock);
    for (entry = DeviceTimers.Flink; entry != &DeviceTimers && !found; entry = entry->Flink) {
        DEVICE_TIMER *timer = CONTAINING_RECORD(entry, DEVICE_TIMER, Entry);

        if (timer->Device == Device)
            found = timer;
    }
    RtlReleaseSRWLockExclusive(&Lock);
    return found;
}

static VOID NTAPI Second(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    DEVICE_TIMER *timer = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    timer->Routine(timer->Device, timer->Context);
}

/* PASSIVE_LEVEL.  For a device that has one, the routine is another from now on. */
NTSTATUS NTAPI SupIoInitializeTimer(PDEVICE_OBJECT Device, PIO_TIMER_ROUTINE Routine, PVOID Context)
{
    DEVICE_TIMER *timer = TimerOf(Device), *fresh = NULL;

    if (!timer) {
        timer = fresh = kshs_zalloc(sizeof(*fresh), SUP_TAG);
        if (!fresh)
            return STATUS_INSUFFICIENT_RESOURCES;
        fresh->Device = Device;
        SupKeInitializeTimerEx(&fresh->Timer, NotificationTimer);
        SupKeInitializeDpc(&fresh->Dpc, Second, fresh);
    }
    RtlAcquireSRWLockExclusive(&Lock);
    timer->Routine = Routine;
    timer->Context = Context;
    if (fresh)
        InsertTailList(&DeviceTimers, &fresh->Entry);
    RtlReleaseSRWLockExclusive(&Lock);
    return STATUS_SUCCESS;
}

VOID NTAPI SupIoStartTimer(PDEVICE_OBJECT Device)
{
    const LARGE_INTEGER second = { .QuadPart = -10000000 };
    DEVICE_TIMER *timer = TimerOf(Device);

    if (timer)
        (void)SupKeSetTimerEx(&timer->Timer, second, 1000, &timer->Dpc);
}

VOID NTAPI SupIoStopTimer(PDEVICE_OBJECT Device)
{
    DEVICE_TIMER *timer = TimerOf(Device);

    if (timer)
        (void)SupKeCancelTimer(&timer->Timer);
}
