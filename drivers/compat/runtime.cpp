// SPDX-License-Identifier: Apache-2.0
//
// runtime.cpp - what the compiler expects of a C++ driver's surroundings: no exceptions, no type information, memory
// from the pool.  Everything is weak: what the driver defines itself, it gets.
#include <wdm.h>

#define WEAK __attribute__((weak))

using Size = decltype(sizeof(0));
static const ULONG tag = 'pCsk';

extern "C" WEAK int __cdecl abs(int value)
{
    return value < 0 ? -value : value;
}

// A virtual function of an object that is half made or half gone.
extern "C" WEAK void __cdecl __cxa_pure_virtual()
{
    KeBugCheckEx(0xE2 /* MANUALLY_INITIATED_CRASH */, 'pure', 0, 0, 0);
}

// Objects of static lifetime end with the driver's image, without their destructors.
extern "C" WEAK int __cdecl __cxa_atexit(void (*)(void *), void *, void *)
{
    return 0;
}

extern "C" WEAK int __cdecl atexit(void (*)(void))
{
    return 0;
}

// Initialisation of a static variable in a function: 0 not yet, 1 done (the first byte), 0x100 on the way.
extern "C" WEAK int __cdecl __cxa_guard_acquire(volatile LONG *guard)
{
    LARGE_INTEGER moment;

    moment.QuadPart = -10000;
    for (;;) {
        LONG was = InterlockedCompareExchange(guard, 0x100, 0);

        if (!was)
            return 1;
        if (was & 1)
            return 0;
        KeDelayExecutionThread(KernelMode, FALSE, &moment);
    }
}

extern "C" WEAK void __cdecl __cxa_guard_release(volatile LONG *guard)
{
    InterlockedExchange(guard, 1);
}

extern "C" WEAK void __cdecl __cxa_guard_abort(volatile LONG *guard)
{
    InterlockedExchange(guard, 0);
}

WEAK void *__cdecl operator new(Size size)
{
    return ExAllocatePoolWithTag(NonPagedPool, size, tag);
}

WEAK void *__cdecl operator new[](Size size)
{
    return ExAllocatePoolWithTag(NonPagedPool, size, tag);
}

WEAK void __cdecl operator delete(void *memory) noexcept
{
    if (memory)
        ExFreePool(memory);
}

WEAK void __cdecl operator delete[](void *memory) noexcept
{
    if (memory)
        ExFreePool(memory);
}

WEAK void __cdecl operator delete(void *memory, Size) noexcept
{
    if (memory)
        ExFreePool(memory);
}

WEAK void __cdecl operator delete[](void *memory, Size) noexcept
{
    if (memory)
        ExFreePool(memory);
}
