// SPDX-License-Identifier: Apache-2.0
//
// camera.h - a camera without hardware: a timer paces frames on a capture pin, whose format is a VIDEOINFOHEADER, and
// the pin answers a handshake.  Follows the reference pages of AVStream.
#pragma once

#include <ntddk.h>
#include <windef.h>
#include <ks.h>
#include <ksmedia.h>

#define CAMERA_TAG 'maCF'

constexpr LONG FrameWidth = 320;
constexpr LONG FrameHeight = 240;
constexpr ULONG FrameBytes = FrameWidth * FrameHeight * 3;
constexpr LONGLONG FrameTime = 333333;       // 100 ns: 30 frames a second

// What hardware would be: beats once a frame, and fills what it is given.
class FrameClock
{
public:
    virtual void Beat() = 0;

protected:
    ~FrameClock() = default;
};

// One capture pin.  Its timer's DPC sets the timer again, and Stop takes it away under the same lock.
class CapturePin final : public FrameClock
{
public:
    CapturePin();

    void *operator new(size_t size, POOL_TYPE type);
    void operator delete(void *memory);

    void Start();
    void Stop();
    void Beat() override;
    ULONG Beats() const { return beats; }

private:
    static KDEFERRED_ROUTINE Tick;

    KTIMER timer;
    KDPC dpc;
    KSPIN_LOCK lock;
    bool running;
    volatile ULONG beats;
};

extern const KSPIN_DESCRIPTOR_EX CameraPins[1];
