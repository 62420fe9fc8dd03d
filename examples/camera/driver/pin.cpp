// SPDX-License-Identifier: Apache-2.0
//
// pin.cpp - the capture pin: its clock, its states, its format, its handshake.
#include "camera.h"

CapturePin::CapturePin() : running(false), beats(0)
{
    KeInitializeSpinLock(&lock);
    KeInitializeTimer(&timer);
    KeInitializeDpc(&dpc, Tick, this);
}

void *CapturePin::operator new(size_t size, POOL_TYPE type)
{
    return ExAllocatePoolZero(type, size, CAMERA_TAG);
}

void CapturePin::operator delete(void *memory)
{
    if (memory)
        ExFreePoolWithTag(memory, CAMERA_TAG);
}

void CapturePin::Start()
{
    LARGE_INTEGER due;
    KIRQL irql;

    due.QuadPart = -FrameTime;
    KeAcquireSpinLock(&lock, &irql);
    running = true;
    KeSetTimer(&timer, due, &dpc);
    KeReleaseSpinLock(&lock, irql);
}

// After it no DPC of the pin is on the way.
void CapturePin::Stop()
{
    KIRQL irql;

    KeAcquireSpinLock(&lock, &irql);
    running = false;
    KeCancelTimer(&timer);
    KeReleaseSpinLock(&lock, irql);
    KeFlushQueuedDpcs();
}

void CapturePin::Beat()
{
    beats = beats + 1;
}

void NTAPI CapturePin::Tick(PKDPC, PVOID context, PVOID, PVOID)
{
    CapturePin *self = static_cast<CapturePin *>(context);
    LARGE_INTEGER due;

    due.QuadPart = -FrameTime;
    KeAcquireSpinLockAtDpcLevel(&self->lock);
    if (self->running) {
        FrameClock *clock = self;

        clock->Beat();
        KeSetTimer(&self->timer, due, &self->dpc);
    }
    KeReleaseSpinLockFromDpcLevel(&self->lock);
}

// ---- handshakes ----------------------------------------------------------------------------------------------

static const GUID FrameProtocol = { 0x5F0C8E11, 0x7C1B, 0x4B61, { 0x9A, 0x2E, 0x30, 0x5B, 0x7D, 0x11, 0xC4, 0x01 } };

// Whoever is at the other end asks how far the clock is; the argument that it gives comes back beside it.
static NTSTATUS NTAPI Handshake(PKSPIN pin, PKSHANDSHAKE in, PKSHANDSHAKE out)
{
    CapturePin *capture = static_cast<CapturePin *>(pin->Context);

    if (!IsEqualGUIDAligned(in->ProtocolId, FrameProtocol))
        return STATUS_INVALID_DEVICE_REQUEST;
    out->ProtocolId = in->ProtocolId;
    out->Argument1 = in->Argument1;
    out->Argument2 = reinterpret_cast<PVOID>(static_cast<ULONG_PTR>(capture->Beats()));
    return STATUS_SUCCESS;
}

// ---- dispatch ----------------------------------------------------------------------------------------------------

static NTSTATUS NTAPI Create(PKSPIN pin, PIRP)
{
    CapturePin *capture = new (NonPagedPoolNx) CapturePin();

    if (!capture)
        return STATUS_INSUFFICIENT_RESOURCES;
    pin->Context = capture;
    KsPinRegisterHandshakeCallback(pin, Handshake);
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI Close(PKSPIN pin, PIRP)
{
    CapturePin *capture = static_cast<CapturePin *>(pin->Context);

    capture->Stop();
    delete capture;
    pin->Context = nullptr;
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI SetState(PKSPIN pin, KSSTATE to, KSSTATE)
{
    CapturePin *capture = static_cast<CapturePin *>(pin->Context);

    if (to == KSSTATE_RUN)
        capture->Start();
    else
        capture->Stop();
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI Process(PKSPIN)
{
    return STATUS_PENDING;      // nothing to do before the next beat
}

// A KS_DATAFORMAT_VIDEOINFOHEADER of our size, whole, with the sizes that it says of itself.
static bool IsOurFormat(const KSDATAFORMAT *format)
{
    auto video = reinterpret_cast<const KS_DATAFORMAT_VIDEOINFOHEADER *>(format);

    if (format->FormatSize < sizeof(*video))
        return false;
    const KS_BITMAPINFOHEADER &bitmap = video->VideoInfoHeader.bmiHeader;
    return bitmap.biSize >= sizeof(bitmap) && bitmap.biWidth == FrameWidth && abs(bitmap.biHeight) == FrameHeight &&
           bitmap.biBitCount == 24 && bitmap.biCompression == KS_BI_RGB && bitmap.biSizeImage == FrameBytes;
}

static NTSTATUS NTAPI SetDataFormat(PKSPIN pin, PKSDATAFORMAT, PKSMULTIPLE_ITEM, const KSDATARANGE *,
                                    const KSATTRIBUTE_LIST *)
{
    return IsOurFormat(pin->ConnectionFormat) ? STATUS_SUCCESS : STATUS_NO_MATCH;
}

// ---- format --------------------------------------------------------------------------------------------------------

static const KS_DATARANGE_VIDEO VideoRange = {
    { { sizeof(KS_DATARANGE_VIDEO), 0, FrameBytes, 0, { STATICGUIDOF(KSDATAFORMAT_TYPE_VIDEO) },
        { 0xE436EB7D, 0x524F, 0x11CE, { 0x9F, 0x53, 0x00, 0x20, 0xAF, 0x0B, 0xA7, 0x70 } },     // RGB24
        { STATICGUIDOF(KSDATAFORMAT_SPECIFIER_VIDEOINFO) } } },
    TRUE, TRUE, 0, 0,
    { { STATICGUIDOF(KSDATAFORMAT_SPECIFIER_VIDEOINFO) }, KS_AnalogVideo_None,
      { FrameWidth, FrameHeight }, { FrameWidth, FrameHeight }, { FrameWidth, FrameHeight }, 1, 1, 1, 1,
      { FrameWidth, FrameHeight }, { FrameWidth, FrameHeight }, 1, 1, 0, 0, 0, 0, FrameTime, FrameTime,
      8 * 30 * FrameBytes, 8 * 30 * FrameBytes },
    { { 0, 0, 0, 0 }, { 0, 0, 0, 0 }, 8 * 30 * FrameBytes, 0, FrameTime,
      { sizeof(KS_BITMAPINFOHEADER), FrameWidth, FrameHeight, 1, 24, KS_BI_RGB, FrameBytes, 0, 0, 0, 0 } },
};

// The one format that there is, for any range of video of our kind.
static NTSTATUS NTAPI Intersect(PVOID, PIRP, PKSP_PIN, PKSDATARANGE range, PKSDATARANGE matching, ULONG room, PVOID data,
                                PULONG size)
{
    auto format = static_cast<KS_DATAFORMAT_VIDEOINFOHEADER *>(data);

    if (range->FormatSize < sizeof(KSDATARANGE) || !IsEqualGUIDAligned(range->Specifier, matching->Specifier))
        return STATUS_NO_MATCH;
    *size = sizeof(*format);
    if (!room)
        return STATUS_BUFFER_OVERFLOW;
    if (room < sizeof(*format))
        return STATUS_BUFFER_TOO_SMALL;
    RtlZeroMemory(format, sizeof(*format));
    format->DataFormat = *matching;
    format->DataFormat.FormatSize = sizeof(*format);
    format->DataFormat.SampleSize = FrameBytes;
    format->VideoInfoHeader = VideoRange.VideoInfoHeader;
    return STATUS_SUCCESS;
}

static const PKSDATARANGE Ranges[] = {
    reinterpret_cast<PKSDATARANGE>(const_cast<KS_DATARANGE_VIDEO *>(&VideoRange)),
};

static const KSPIN_DISPATCH PinDispatch = {
    Create, Close, Process, nullptr, SetDataFormat, SetState, nullptr, nullptr, nullptr, nullptr,
};

static const GUID CaptureCategory = { STATICGUIDOF(PINNAME_VIDEO_CAPTURE) };

const KSPIN_DESCRIPTOR_EX CameraPins[1] = {
    { &PinDispatch, nullptr,
      { 0, nullptr, 0, nullptr, SIZEOF_ARRAY(Ranges), Ranges, KSPIN_DATAFLOW_OUT, KSPIN_COMMUNICATION_BOTH,
        &CaptureCategory, nullptr, { 0 } },
      KSPIN_FLAG_PROCESS_IN_RUN_STATE_ONLY, 4, 1, nullptr, Intersect },
};
