/* SPDX-License-Identifier: Apache-2.0
 *
 * waits.c - events, semaphores, mutexes, and waits for several of them.
 */
#include "calls.h"

static KEVENT Event, Other, Ready;

static BOOLEAN Signalled(PVOID Object)
{
    LARGE_INTEGER none = { .QuadPart = 0 };

    return KeWaitForSingleObject(Object, Executive, KernelMode, FALSE, &none) == STATUS_SUCCESS;
}

static VOID NTAPI SetsLater(PVOID Context)
{
    Sleep(50);
    (void)KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
    (void)PsTerminateSystemThread(STATUS_SUCCESS);
}

PROBE(Probe_KeInitializeEvent)
{
    KeInitializeEvent(&Event, NotificationEvent, TRUE);
    EXPECT(Signalled(&Event) && Signalled(&Event), "makes a notification event that a wait resets");
    KeInitializeEvent(&Event, SynchronizationEvent, TRUE);
    EXPECT(Signalled(&Event) && !Signalled(&Event), "makes a synchronization event that no wait resets");
}

PROBE(Probe_KeSetEvent)
{
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    EXPECT(!KeSetEvent(&Event, IO_NO_INCREMENT, FALSE), "answers that an event was set that was not");
    EXPECT(KeSetEvent(&Event, IO_NO_INCREMENT, FALSE), "answers that an event was not set that was");
    EXPECT(Signalled(&Event), "does not set the event");
}

PROBE(SetWakes)
{
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    Beside(SetsLater, &Event);
    EXPECT(Came(&Event), "does not wake who waits");
    KeInitializeEvent(&Event, SynchronizationEvent, FALSE);
    Beside(SetsLater, &Event);
    EXPECT(Came(&Event) && !Signalled(&Event), "leaves an event set for whose signal a thread has waited");
}

PROBE(Probe_KeClearEvent)
{
    KeInitializeEvent(&Event, NotificationEvent, TRUE);
    KeClearEvent(&Event);
    EXPECT(!Signalled(&Event), "does not reset the event");
}

PROBE(Probe_KeResetEvent)
{
    KeInitializeEvent(&Event, NotificationEvent, TRUE);
    EXPECT(KeResetEvent(&Event), "answers that an event was not set that was");
    EXPECT(!KeResetEvent(&Event) && !Signalled(&Event), "does not reset the event");
}

PROBE(Probe_KeReadStateEvent)
{
    KeInitializeEvent(&Event, NotificationEvent, TRUE);
    EXPECT(KeReadStateEvent(&Event), "answers 0 for an event that is set");
    KeClearEvent(&Event);
    EXPECT(!KeReadStateEvent(&Event), "answers that an event is set that is not");
}

PROBE(Probe_KePulseEvent)
{
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    EXPECT(!KePulseEvent(&Event, IO_NO_INCREMENT, FALSE), "answers that an event was set that was not");
    EXPECT(!Signalled(&Event), "leaves the event set");
}

PROBE(Probe_KeWaitForSingleObject)
{
    LARGE_INTEGER limit = { .QuadPart = MS(50) }, past = { .QuadPart = 1 };

    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    EXPECT(KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, &limit) == STATUS_TIMEOUT,
           "does not answer STATUS_TIMEOUT");
    EXPECT(KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, &past) == STATUS_TIMEOUT,
           "does not end at an absolute time that is past");
    (void)KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
    EXPECT(KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL) == STATUS_SUCCESS,
           "does not answer STATUS_SUCCESS");
}

PROBE(Probe_KeWaitForMultipleObjects)
{
    PVOID objects[] = { &Event, &Other };
    LARGE_INTEGER limit = { .QuadPart = MS(50) };

    KeInitializeEvent(&Event, SynchronizationEvent, FALSE);
    KeInitializeEvent(&Other, SynchronizationEvent, TRUE);
    EXPECT(KeWaitForMultipleObjects(2, objects, WaitAny, Executive, KernelMode, FALSE, &limit, NULL) == STATUS_WAIT_1,
           "does not say which object ended the wait");
    EXPECT(KeWaitForMultipleObjects(2, objects, WaitAny, Executive, KernelMode, FALSE, &limit, NULL) ==
               STATUS_TIMEOUT, "does not take the signal");
    (void)KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
    EXPECT(KeWaitForMultipleObjects(2, objects, WaitAll, Executive, KernelMode, FALSE, &limit, NULL) ==
               STATUS_TIMEOUT, "ends a wait for all before all are signalled");
    (void)KeSetEvent(&Other, IO_NO_INCREMENT, FALSE);
    EXPECT(KeWaitForMultipleObjects(2, objects, WaitAll, Executive, KernelMode, FALSE, &limit, NULL) ==
               STATUS_SUCCESS, "does not end a wait for all when all are signalled");
}

PROBE(Probe_KeDelayExecutionThread)
{
    LARGE_INTEGER frequency, before = KeQueryPerformanceCounter(&frequency), after, time = { .QuadPart = MS(50) };

    EXPECT(KeDelayExecutionThread(KernelMode, FALSE, &time) == STATUS_SUCCESS, "does not answer STATUS_SUCCESS");
    after = KeQueryPerformanceCounter(NULL);
    EXPECT((after.QuadPart - before.QuadPart) * 25 > frequency.QuadPart, "returns too early");
}

/* ---- semaphores --------------------------------------------------------------------------------- */

static KSEMAPHORE Semaphore;

PROBE(Probe_KeInitializeSemaphore)
{
    KeInitializeSemaphore(&Semaphore, 2, 3);
    EXPECT(Signalled(&Semaphore) && Signalled(&Semaphore) && !Signalled(&Semaphore), "makes another count");
}

PROBE(Probe_KeReleaseSemaphore)
{
    KeInitializeSemaphore(&Semaphore, 0, 3);
    EXPECT(KeReleaseSemaphore(&Semaphore, IO_NO_INCREMENT, 2, FALSE) == 0, "does not answer the earlier count");
    EXPECT(KeReleaseSemaphore(&Semaphore, IO_NO_INCREMENT, 1, FALSE) == 2, "does not answer the earlier count");
    EXPECT(Signalled(&Semaphore) && Signalled(&Semaphore) && Signalled(&Semaphore) && !Signalled(&Semaphore),
           "makes another count");
}

static VOID ReleaseTooOften(VOID)
{
    (void)KeReleaseSemaphore(&Semaphore, IO_NO_INCREMENT, 1, FALSE);
}

PROBE(ReleaseBeyondLimit)
{
    NTSTATUS status = STATUS_SUCCESS;

    KeInitializeSemaphore(&Semaphore, 1, 1);
    __try {
        ReleaseTooOften();
    } __except (status = (NTSTATUS)GetExceptionCode(), EXCEPTION_EXECUTE_HANDLER) {
    }
    MINOR(status == STATUS_SEMAPHORE_LIMIT_EXCEEDED, "does not raise STATUS_SEMAPHORE_LIMIT_EXCEEDED");
}

PROBE(Probe_KeReadStateSemaphore)
{
    KeInitializeSemaphore(&Semaphore, 2, 3);
    EXPECT(KeReadStateSemaphore(&Semaphore) == 2, "answers another count");
}

static VOID NTAPI ReleasesLater(PVOID Context)
{
    Sleep(50);
    (void)KeReleaseSemaphore(Context, IO_NO_INCREMENT, 1, FALSE);
    (void)PsTerminateSystemThread(STATUS_SUCCESS);
}

PROBE(ReleaseWakes)
{
    KeInitializeSemaphore(&Semaphore, 0, 5);
    Beside(ReleasesLater, &Semaphore);
    EXPECT(Came(&Semaphore), "does not wake who waits");
    EXPECT(!Signalled(&Semaphore), "makes another count");
}

/* ---- mutexes ------------------------------------------------------------------------------------ */

static KMUTEX Mutex;

static VOID NTAPI HoldsTheMutex(PVOID Context)
{
    if (Came(&Mutex)) {
        (void)KeSetEvent(&Ready, IO_NO_INCREMENT, FALSE);
        (void)Came(Context);
        Sleep(100);                     /* until somebody waits */
        (void)KeReleaseMutex(&Mutex, FALSE);
        (void)Came(&Other);             /* a mutex of user mode is given up at the end of its thread */
    }
    (void)PsTerminateSystemThread(STATUS_SUCCESS);
}

PROBE(Probe_KeInitializeMutex)
{
    KeInitializeMutex(&Mutex, 0);
    EXPECT(Signalled(&Mutex), "makes a mutex that is held");
    EXPECT(Signalled(&Mutex), "makes a mutex that its holder cannot take again");
    (void)KeReleaseMutex(&Mutex, FALSE);
    (void)KeReleaseMutex(&Mutex, FALSE);
}

PROBE(Probe_KeReleaseMutex)
{
    KeInitializeMutex(&Mutex, 0);
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    KeInitializeEvent(&Ready, NotificationEvent, FALSE);
    KeInitializeEvent(&Other, NotificationEvent, FALSE);
    Beside(HoldsTheMutex, &Event);
    EXPECT(Came(&Ready), "finds a mutex that nobody can take");
    EXPECT(!Signalled(&Mutex), "finds a mutex that two threads hold");
    (void)KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
    if (!Came(&Mutex))
        Wrong("does not give the mutex to who waits for it");
    else if (KeReleaseMutex(&Mutex, FALSE))
        Wrong("answers that the mutex was not held");
    (void)KeSetEvent(&Other, IO_NO_INCREMENT, FALSE);
}

PROBE(ReleaseHeldTwice)
{
    KeInitializeMutex(&Mutex, 0);
    KeInitializeEvent(&Ready, NotificationEvent, FALSE);
    KeInitializeEvent(&Event, NotificationEvent, TRUE);
    KeInitializeEvent(&Other, NotificationEvent, TRUE);
    (void)Signalled(&Mutex);
    (void)Signalled(&Mutex);
    (void)KeReleaseMutex(&Mutex, FALSE);
    Beside(HoldsTheMutex, &Event);
    EXPECT(StaysAway(&Ready), "gives the mutex away that its holder has taken twice and released once");
    (void)KeReleaseMutex(&Mutex, FALSE);
    EXPECT(Came(&Ready), "does not give the mutex to who waits for it");
}

PROBE(Probe_KeReadStateMutex)
{
    KeInitializeMutex(&Mutex, 0);
    EXPECT(KeReadStateMutex(&Mutex) == 1, "does not answer 1 for a mutex that nobody holds");
}

const PROBE WaitProbes[] = {
    P(KeInitializeEvent), P(KeSetEvent), CASE(KeSetEvent, "while a thread waits", SetWakes), P(KeClearEvent),
    P(KeResetEvent), P(KeReadStateEvent), P(KePulseEvent), P(KeWaitForSingleObject), P(KeWaitForMultipleObjects),
    P(KeDelayExecutionThread), P(KeInitializeSemaphore), P(KeReleaseSemaphore),
    CASE(KeReleaseSemaphore, "beyond the limit", ReleaseBeyondLimit),
    CASE(KeReleaseSemaphore, "while a thread waits", ReleaseWakes), P(KeReadStateSemaphore), P(KeInitializeMutex),
    P(KeReleaseMutex), CASE(KeReleaseMutex, "of a mutex that was taken twice", ReleaseHeldTwice),
    P(KeReadStateMutex), ENDS
};
