/* SPDX-License-Identifier: Apache-2.0
 *
 * audio.c - a microphone without hardware: one capture pin whose format is a
 * WAVEFORMATEXTENSIBLE, chosen by intersection within a range of rates, with a
 * handshake that says which one was chosen.  Follows the reference pages of AVStream.
 */
#include <ntddk.h>
#include <windef.h>
#define NOBITMAP
#include <mmreg.h>
#include <ks.h>
#include <ksmedia.h>

#define CHANNELS 2
#define BITS 16
#define LEAST_RATE 8000
#define MOST_RATE 48000

typedef struct AUDIO_FORMAT {
    KSDATAFORMAT DataFormat;
    WAVEFORMATEXTENSIBLE Wave;
} AUDIO_FORMAT;

DRIVER_INITIALIZE DriverEntry;

static const GUID RateProtocol = { 0x5F0C8E11, 0x7C1B, 0x4B61, { 0x9A, 0x2E, 0x30, 0x5B, 0x7D, 0x11, 0xC4, 0x02 } };
static const GUID Pcm = { STATICGUIDOF(KSDATAFORMAT_SUBTYPE_PCM) };

static BOOLEAN IsOurWave(const AUDIO_FORMAT *Format)
{
    const WAVEFORMATEX *wave = &Format->Wave.Format;

    return Format->DataFormat.FormatSize >= sizeof(*Format) && wave->wFormatTag == WAVE_FORMAT_EXTENSIBLE &&
           wave->cbSize >= sizeof(WAVEFORMATEXTENSIBLE) - sizeof(WAVEFORMATEX) &&
           IsEqualGUIDAligned(&Format->Wave.SubFormat, &Pcm) && wave->nChannels == CHANNELS &&
           wave->wBitsPerSample == BITS && wave->nSamplesPerSec >= LEAST_RATE && wave->nSamplesPerSec <= MOST_RATE &&
           wave->nBlockAlign == CHANNELS * BITS / 8 && wave->nAvgBytesPerSec == wave->nSamplesPerSec * wave->nBlockAlign;
}

/* The rate that was agreed on, beside the argument that came. */
static NTSTATUS NTAPI Handshake(PKSPIN Pin, PKSHANDSHAKE In, PKSHANDSHAKE Out)
{
    const AUDIO_FORMAT *format = (const AUDIO_FORMAT *)Pin->ConnectionFormat;

    if (!IsEqualGUIDAligned(&In->ProtocolId, &RateProtocol))
        return STATUS_INVALID_DEVICE_REQUEST;
    Out->ProtocolId = In->ProtocolId;
    Out->Argument1 = In->Argument1;
    Out->Argument2 = (PVOID)(ULONG_PTR)format->Wave.Format.nSamplesPerSec;
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI PinCreate(PKSPIN Pin, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Irp);
    KsPinRegisterHandshakeCallback(Pin, Handshake);
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI SetDataFormat(PKSPIN Pin, PKSDATAFORMAT OldFormat, PKSMULTIPLE_ITEM OldAttributes,
                                    const KSDATARANGE *Range, const KSATTRIBUTE_LIST *Attributes)
{
    UNREFERENCED_PARAMETER(OldFormat);
    UNREFERENCED_PARAMETER(OldAttributes);
    UNREFERENCED_PARAMETER(Range);
    UNREFERENCED_PARAMETER(Attributes);
    return IsOurWave((const AUDIO_FORMAT *)Pin->ConnectionFormat) ? STATUS_SUCCESS : STATUS_NO_MATCH;
}

static const KSDATARANGE_AUDIO Range = {
    { { sizeof(KSDATARANGE_AUDIO), 0, 0, 0, { STATICGUIDOF(KSDATAFORMAT_TYPE_AUDIO) },
        { STATICGUIDOF(KSDATAFORMAT_SUBTYPE_PCM) }, { STATICGUIDOF(KSDATAFORMAT_SPECIFIER_WAVEFORMATEX) } } },
    CHANNELS, BITS, BITS, LEAST_RATE, MOST_RATE,
};

/* The highest rate that both ranges have. */
static NTSTATUS NTAPI Intersect(PVOID Context, PIRP Irp, PKSP_PIN Pin, PKSDATARANGE Wanted, PKSDATARANGE Matching,
                                ULONG Room, PVOID Data, PULONG Size)
{
    const KSDATARANGE_AUDIO *wanted = (const KSDATARANGE_AUDIO *)Wanted;
    AUDIO_FORMAT *format = Data;
    ULONG rate;

    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Pin);
    if (Wanted->FormatSize < sizeof(*wanted) || !IsEqualGUIDAligned(&Wanted->Specifier, &Matching->Specifier) ||
        wanted->MaximumChannels < CHANNELS || wanted->MinimumBitsPerSample > BITS ||
        wanted->MaximumBitsPerSample < BITS)
        return STATUS_NO_MATCH;
    rate = wanted->MaximumSampleFrequency < MOST_RATE ? wanted->MaximumSampleFrequency : MOST_RATE;
    if (rate < LEAST_RATE || rate < wanted->MinimumSampleFrequency)
        return STATUS_NO_MATCH;
    *Size = sizeof(*format);
    if (!Room)
        return STATUS_BUFFER_OVERFLOW;
    if (Room < sizeof(*format))
        return STATUS_BUFFER_TOO_SMALL;
    RtlZeroMemory(format, sizeof(*format));
    format->DataFormat = *Matching;
    format->DataFormat.FormatSize = sizeof(*format);
    format->DataFormat.SampleSize = CHANNELS * BITS / 8;
    format->Wave.Format.wFormatTag = WAVE_FORMAT_EXTENSIBLE;
    format->Wave.Format.nChannels = CHANNELS;
    format->Wave.Format.nSamplesPerSec = rate;
    format->Wave.Format.wBitsPerSample = BITS;
    format->Wave.Format.nBlockAlign = CHANNELS * BITS / 8;
    format->Wave.Format.nAvgBytesPerSec = rate * CHANNELS * BITS / 8;
    format->Wave.Format.cbSize = sizeof(WAVEFORMATEXTENSIBLE) - sizeof(WAVEFORMATEX);
    format->Wave.Samples.wValidBitsPerSample = BITS;
    format->Wave.dwChannelMask = KSAUDIO_SPEAKER_STEREO;
    format->Wave.SubFormat = Pcm;
    return STATUS_SUCCESS;
}

static const PKSDATARANGE Ranges[] = { (PKSDATARANGE)&Range };
static const GUID MicrophoneCategory = { STATICGUIDOF(KSNODETYPE_MICROPHONE) };
static const KSPIN_DISPATCH PinDispatch = { .Create = PinCreate, .SetDataFormat = SetDataFormat };

static const KSPIN_DESCRIPTOR_EX Pins[] = {
    { .Dispatch = &PinDispatch,
      .PinDescriptor = { .DataRangesCount = SIZEOF_ARRAY(Ranges), .DataRanges = Ranges,
                         .DataFlow = KSPIN_DATAFLOW_OUT, .Communication = KSPIN_COMMUNICATION_SINK,
                         .Category = &MicrophoneCategory },
      .InstancesPossible = 4,
      .IntersectHandler = Intersect },
};

static const GUID FilterCategories[] = { { STATICGUIDOF(KSCATEGORY_AUDIO) }, { STATICGUIDOF(KSCATEGORY_CAPTURE) } };
static const GUID ReferenceGuid = { STATICGUIDOF(KSNAME_Filter) };
static const KSFILTER_DISPATCH FilterDispatch = { NULL };

static const KSFILTER_DESCRIPTOR FilterDescriptor = {
    .Dispatch = &FilterDispatch,
    .Version = KSFILTER_DESCRIPTOR_VERSION,
    .ReferenceGuid = &ReferenceGuid,
    .PinDescriptorsCount = SIZEOF_ARRAY(Pins),
    .PinDescriptorSize = sizeof(Pins[0]),
    .PinDescriptors = Pins,
    .CategoriesCount = SIZEOF_ARRAY(FilterCategories),
    .Categories = FilterCategories,
    .NodeDescriptorSize = sizeof(KSNODE_DESCRIPTOR),
};

static const KSFILTER_DESCRIPTOR *const Filters[] = { &FilterDescriptor };
static const KSDEVICE_DESCRIPTOR DeviceDescriptor = {
    .FilterDescriptorsCount = SIZEOF_ARRAY(Filters),
    .FilterDescriptors = Filters,
    .Version = KSDEVICE_DESCRIPTOR_VERSION,
};

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    return KsInitializeDriver(DriverObject, RegistryPath, &DeviceDescriptor);
}
