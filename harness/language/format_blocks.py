# SPDX-License-Identifier: Apache-2.0
"""What stands behind the 64 bytes of a KSDATAFORMAT: the format blocks of ksmedia.h and mmreg.h by name.

A target file says a block by its fields, as their documentation spells them; what is not said has the
value that the other fields leave no choice about (`_complete`), else 0.  Blocks are as long as the C
structure that begins with a KSDATAFORMAT makes them: 8-byte aligned, except for the wave formats, which
are packed to the byte.  Sizes and offsets: the structures' pages in Microsoft's "Kernel Streaming" and
"WAVEFORMATEX" references.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.language.toml_problems import nearest

_DEFINITIONS = """
typedef struct { uint8 bytes[16]; } GUID;
typedef struct { int32 left; int32 top; int32 right; int32 bottom; } RECT;
typedef struct { int32 cx; int32 cy; } SIZE;
typedef struct {
    uint32 biSize; int32 biWidth; int32 biHeight; uint16 biPlanes; uint16 biBitCount; uint32 biCompression;
    uint32 biSizeImage; int32 biXPelsPerMeter; int32 biYPelsPerMeter; uint32 biClrUsed; uint32 biClrImportant;
} KS_BITMAPINFOHEADER;
typedef struct {
    RECT rcSource; RECT rcTarget; uint32 dwBitRate; uint32 dwBitErrorRate; int64 AvgTimePerFrame;
    KS_BITMAPINFOHEADER bmiHeader;
} KS_VIDEOINFOHEADER;
typedef struct {
    RECT rcSource; RECT rcTarget; uint32 dwBitRate; uint32 dwBitErrorRate; int64 AvgTimePerFrame;
    uint32 dwInterlaceFlags; uint32 dwCopyProtectFlags; uint32 dwPictAspectRatioX; uint32 dwPictAspectRatioY;
    uint32 dwControlFlags; uint32 dwReserved2; KS_BITMAPINFOHEADER bmiHeader;
} KS_VIDEOINFOHEADER2;
typedef struct {
    GUID guid; uint32 VideoStandard; SIZE InputSize; SIZE MinCroppingSize; SIZE MaxCroppingSize;
    int32 CropGranularityX; int32 CropGranularityY; int32 CropAlignX; int32 CropAlignY;
    SIZE MinOutputSize; SIZE MaxOutputSize; int32 OutputGranularityX; int32 OutputGranularityY;
    int32 StretchTapsX; int32 StretchTapsY; int32 ShrinkTapsX; int32 ShrinkTapsY;
    int64 MinFrameInterval; int64 MaxFrameInterval; int32 MinBitsPerSecond; int32 MaxBitsPerSecond;
} KS_VIDEO_STREAM_CONFIG_CAPS;
typedef struct {
    uint32 bFixedSizeSamples; uint32 bTemporalCompression; uint32 StreamDescriptionFlags;
    uint32 MemoryAllocationFlags; KS_VIDEO_STREAM_CONFIG_CAPS ConfigCaps; KS_VIDEOINFOHEADER VideoInfoHeader;
} KS_DATARANGE_VIDEO;
typedef struct {
    uint32 bFixedSizeSamples; uint32 bTemporalCompression; uint32 StreamDescriptionFlags;
    uint32 MemoryAllocationFlags; KS_VIDEO_STREAM_CONFIG_CAPS ConfigCaps; KS_VIDEOINFOHEADER2 VideoInfoHeader;
} KS_DATARANGE_VIDEO2;
typedef struct {
    uint32 MaximumChannels; uint32 MinimumBitsPerSample; uint32 MaximumBitsPerSample;
    uint32 MinimumSampleFrequency; uint32 MaximumSampleFrequency;
} KSDATARANGE_AUDIO;
typedef struct { GUID Technology; uint32 Channels; uint32 Notes; uint32 ChannelMask; } KSDATARANGE_MUSIC;
"""

#: mmreg.h packs these to the byte; ks.h and ksmedia.h align as the compiler does.
_PACKED = """
typedef struct {
    uint16 wFormatTag; uint16 nChannels; uint32 nSamplesPerSec; uint32 nAvgBytesPerSec; uint16 nBlockAlign;
    uint16 wBitsPerSample; uint16 cbSize;
} WAVEFORMATEX;
typedef struct {
    uint16 wFormatTag; uint16 nChannels; uint32 nSamplesPerSec; uint32 nAvgBytesPerSec; uint16 nBlockAlign;
    uint16 wBitsPerSample; uint16 cbSize; uint16 wValidBitsPerSample; uint32 dwChannelMask; GUID SubFormat;
} WAVEFORMATEXTENSIBLE;
"""


@functools.cache
def _structures() -> Any:
    """Parsed when the first block is asked for: most target files say none."""
    from dissect.cstruct import cstruct

    found = cstruct()
    found.load(_DEFINITIONS, align=True)
    found.load(_PACKED)
    return found


_TYPE_VIDEO = uuid.UUID("73646976-0000-0010-8000-00aa00389b71")
_TYPE_AUDIO = uuid.UUID("73647561-0000-0010-8000-00aa00389b71")
_TYPE_MUSIC = uuid.UUID("e725d360-62cc-11cf-a5d6-28db04c10000")
_SPECIFIER_VIDEOINFO = uuid.UUID("05589f80-c356-11ce-bf01-00aa0055595a")
_SPECIFIER_VIDEOINFO2 = uuid.UUID("f72a76a0-eb0a-11d0-ace4-0000c0cc16ba")
_SPECIFIER_WAVEFORMATEX = uuid.UUID("05589f81-c356-11ce-bf01-00aa0055595a")
_SUBTYPE_RGB24 = uuid.UUID("e436eb7d-524f-11ce-9f53-0020af0ba770")
_SUBTYPE_RGB32 = uuid.UUID("e436eb7e-524f-11ce-9f53-0020af0ba770")
_SUBTYPE_RGB565 = uuid.UUID("e436eb7b-524f-11ce-9f53-0020af0ba770")
_SUBTYPE_RGB555 = uuid.UUID("e436eb7c-524f-11ce-9f53-0020af0ba770")
_WAVE_FORMAT_PCM = 1
_WAVE_FORMAT_EXTENSIBLE = 0xFFFE
_BI_RGB = 0
_BI_BITFIELDS = 3

Fields = Mapping[str, Any]


class BlockError(ValueError):
    """A field of a format block is wrong; `path` leads to it, the text says why, `hint` what to do."""

    def __init__(self, path: tuple[str, ...], message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of format block: its C structure, and what a KSDATAFORMAT in front of it says by default.

    `sub` and `sample_size` work on the completed structure.
    """

    structure: str
    major: uuid.UUID | None
    specifier: uuid.UUID | None
    sub: Callable[[Any], uuid.UUID | None]
    sample_size: Callable[[Any], int]


def media_subtype(code: int) -> uuid.UUID:
    """The GUID that stands for a FOURCC or a wave format tag (ksmedia.h, DEFINE_WAVEFORMATEX_GUID)."""
    return uuid.UUID(fields=(code, 0x0000, 0x0010, 0x80, 0x00, 0x00AA00389B71))


def _video_subtype(header: Any) -> uuid.UUID | None:
    bits = int(header.bmiHeader.biBitCount)
    compression = int(header.bmiHeader.biCompression)
    if compression == _BI_RGB:
        return {16: _SUBTYPE_RGB555, 24: _SUBTYPE_RGB24, 32: _SUBTYPE_RGB32}.get(bits)
    if compression == _BI_BITFIELDS:
        return {16: _SUBTYPE_RGB565, 32: _SUBTYPE_RGB32}.get(bits)
    return media_subtype(compression)


def _video(structure: str, specifier: uuid.UUID) -> Form:
    return Form(structure, _TYPE_VIDEO, specifier, _video_subtype, lambda h: int(h.bmiHeader.biSizeImage))


def _range(structure: str, major: uuid.UUID, specifier: uuid.UUID | None, inner: str = "") -> Form:
    if inner:
        return Form(
            structure,
            major,
            specifier,
            lambda r: _video_subtype(getattr(r, inner)),
            lambda r: int(getattr(r, inner).bmiHeader.biSizeImage),
        )
    return Form(structure, major, specifier, lambda r: None, lambda r: 0)


#: By the key of the target file: the structure's name in lower case.
FORMS: Mapping[str, Form] = {
    "videoinfoheader": _video("KS_VIDEOINFOHEADER", _SPECIFIER_VIDEOINFO),
    "videoinfoheader2": _video("KS_VIDEOINFOHEADER2", _SPECIFIER_VIDEOINFO2),
    "waveformatex": Form(
        "WAVEFORMATEX",
        _TYPE_AUDIO,
        _SPECIFIER_WAVEFORMATEX,
        lambda w: media_subtype(int(w.wFormatTag)),
        lambda w: int(w.nBlockAlign),
    ),
    "waveformatextensible": Form(
        "WAVEFORMATEXTENSIBLE",
        _TYPE_AUDIO,
        _SPECIFIER_WAVEFORMATEX,
        lambda w: uuid.UUID(bytes_le=bytes(w.SubFormat.bytes)),
        lambda w: int(w.nBlockAlign),
    ),
    "datarange_video": _range("KS_DATARANGE_VIDEO", _TYPE_VIDEO, _SPECIFIER_VIDEOINFO, "VideoInfoHeader"),
    "datarange_video2": _range("KS_DATARANGE_VIDEO2", _TYPE_VIDEO, _SPECIFIER_VIDEOINFO2, "VideoInfoHeader"),
    "datarange_audio": _range("KSDATARANGE_AUDIO", _TYPE_AUDIO, None),
    "datarange_music": _range("KSDATARANGE_MUSIC", _TYPE_MUSIC, None),
}


@dataclass(frozen=True, slots=True)
class Block:
    """A format block as bytes, and what the KSDATAFORMAT before it says unless told otherwise."""

    data: bytes
    major: uuid.UUID | None
    sub: uuid.UUID | None
    specifier: uuid.UUID | None
    sample_size: int


def make(form: str, fields: Fields) -> Block:
    """A block from its fields.

    Args:
        form: a key of `FORMS`.
        fields: numbers (or texts of them, ``"0x10"``), a FOURCC for biCompression (``"YUY2"``), GUIDs
            as text, lists for RECT and SIZE, tables for what is inside.

    Raises:
        BlockError: a field that the structure does not have, or a value that does not fit it.
    """
    kind = FORMS[form]
    layout = getattr(_structures(), kind.structure)
    # Not layout(): what is inside a default structure is one object for all of them.
    structure = layout(bytes(len(layout)))
    said = _fill(structure, layout, fields, ())
    _complete(structure, said)
    data = structure.dumps()
    whole = len(data) if hasattr(structure, "wFormatTag") else -(-len(data) // 8) * 8
    return Block(
        data.ljust(whole, b"\0"), kind.major, kind.sub(structure), kind.specifier, kind.sample_size(structure)
    )


def read(form: str, data: bytes) -> dict[str, Any] | None:
    """The fields of a block, flat (``bmiHeader.biWidth``); None where there are too few bytes for one."""
    kind = getattr(_structures(), FORMS[form].structure)
    if len(data) < len(kind):
        return None
    return dict(_flat(kind(data), kind, ""))


def form_of(specifier: uuid.UUID, data: bytes) -> str | None:
    """The form that a block behind a KSDATAFORMAT of this specifier has, None for an unknown one."""
    if specifier == _SPECIFIER_WAVEFORMATEX:
        tag = int.from_bytes(data[:2], "little")
        return "waveformatextensible" if tag == _WAVE_FORMAT_EXTENSIBLE else "waveformatex"
    by_specifier = {_SPECIFIER_VIDEOINFO: "videoinfoheader", _SPECIFIER_VIDEOINFO2: "videoinfoheader2"}
    return by_specifier.get(specifier)


def json_schema(form: str) -> dict[str, Any]:
    """What an editor needs to know of a form's fields."""
    return _schema_of(getattr(_structures(), FORMS[form].structure))


def _schema_of(kind: Any) -> dict[str, Any]:
    if kind.__name__ == "GUID":
        return {"type": "string", "format": "uuid"}
    if not hasattr(kind, "__fields__"):
        return {"type": ["integer", "string"]}
    fields = {field.name: _schema_of(field.type) for field in kind.__fields__}
    table = {"type": "object", "additionalProperties": False, "properties": fields}
    if kind.__name__ in ("RECT", "SIZE"):
        return {"anyOf": [table, {"type": "array", "minItems": len(fields), "maxItems": len(fields)}]}
    return table


def _fill(item: Any, kind: Any, fields: Fields, path: tuple[str, ...]) -> set[str]:
    """Puts what was said into a structure; gives the dotted names of the fields that were said."""
    said: set[str] = set()
    known = {field.name: field.type for field in kind.__fields__}
    for name, value in fields.items():
        here = (*path, name)
        if name not in known:
            near = nearest(name, sorted(known))
            raise BlockError(
                here, f"{kind.__name__} has no field {name!r}", near or f"there: {', '.join(known)}"
            )
        inner = known[name]
        if inner.__name__ == "GUID":
            getattr(item, name).bytes = list(_guid(value, here).bytes_le)
        elif hasattr(inner, "__fields__"):
            said |= _fill(getattr(item, name), inner, _table(value, inner, here), here)
        else:
            setattr(item, name, _number(value, inner, here))
        said.add(".".join(here))
    return said


def _table(value: Any, kind: Any, path: tuple[str, ...]) -> Fields:
    names = [field.name for field in kind.__fields__]
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list) and len(value) == len(names):
        return dict(zip(names, value, strict=True))
    raise BlockError(path, f"{kind.__name__} is a table, or a list of {len(names)}: {', '.join(names)}")


def _guid(value: Any, path: tuple[str, ...]) -> uuid.UUID:
    try:
        return uuid.UUID(value)
    except (ValueError, TypeError, AttributeError):
        raise BlockError(path, f"{value!r} is no GUID") from None


def _number(value: Any, kind: Any, path: tuple[str, ...]) -> int:
    number = value
    if isinstance(value, str):
        if path[-1] == "biCompression" and len(value) == 4 and value.isascii():
            return int.from_bytes(value.encode("ascii"), "little")
        try:
            number = int(value, 0)
        except ValueError:
            raise BlockError(path, f"{value!r} is no number") from None
    if isinstance(number, bool) or not isinstance(number, int):
        raise BlockError(path, f"{value!r} is no whole number")
    signed = kind.__name__.startswith("int")
    bits = 8 * len(kind)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if not low <= number <= high:
        raise BlockError(path, f"{number} does not fit: {low} to {high}")
    return number


def _complete(item: Any, said: set[str], prefix: str = "") -> None:
    """Gives fields that were not said the value which those that were leave no choice about."""
    if hasattr(item, "ConfigCaps"):
        _complete(item.VideoInfoHeader, said, "VideoInfoHeader.")
    elif hasattr(item, "bmiHeader"):
        _complete_bitmap(item.bmiHeader, said, f"{prefix}bmiHeader.")
    elif hasattr(item, "wFormatTag"):
        _complete_wave(item, said)


def _complete_bitmap(header: Any, said: set[str], prefix: str) -> None:
    if prefix + "biSize" not in said:
        header.biSize = len(header.dumps())
    if prefix + "biPlanes" not in said:
        header.biPlanes = 1
    if prefix + "biSizeImage" not in said:
        row = abs(int(header.biWidth)) * int(header.biBitCount)
        if int(header.biCompression) in (_BI_RGB, _BI_BITFIELDS):
            row = -(-row // 32) * 32  # rows of a bitmap end at a multiple of four bytes
        header.biSizeImage = row * abs(int(header.biHeight)) // 8 & 0xFFFFFFFF


def _complete_wave(wave: Any, said: set[str]) -> None:
    extensible = hasattr(wave, "SubFormat")
    if "wFormatTag" not in said:
        wave.wFormatTag = _WAVE_FORMAT_EXTENSIBLE if extensible else _WAVE_FORMAT_PCM
    if "nBlockAlign" not in said:
        wave.nBlockAlign = int(wave.nChannels) * int(wave.wBitsPerSample) // 8 & 0xFFFF
    if "nAvgBytesPerSec" not in said:
        wave.nAvgBytesPerSec = int(wave.nSamplesPerSec) * int(wave.nBlockAlign) & 0xFFFFFFFF
    if not extensible:
        return
    if "cbSize" not in said:
        wave.cbSize = len(wave.dumps()) - 18
    if "wValidBitsPerSample" not in said:
        wave.wValidBitsPerSample = wave.wBitsPerSample
    if "dwChannelMask" not in said:
        # Front centre, or front left and right (ksmedia.h, KSAUDIO_SPEAKER_MONO and _STEREO).
        wave.dwChannelMask = {1: 4, 2: 3}.get(int(wave.nChannels), 0)
    if "SubFormat" not in said:
        wave.SubFormat.bytes = list(media_subtype(_WAVE_FORMAT_PCM).bytes_le)


def _flat(item: Any, kind: Any, prefix: str) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for field in kind.__fields__:
        value = getattr(item, field.name)
        if field.type.__name__ == "GUID":
            rows.append((prefix + field.name, str(uuid.UUID(bytes_le=bytes(value.bytes)))))
        elif hasattr(field.type, "__fields__"):
            rows += _flat(value, field.type, f"{prefix}{field.name}.")
        else:
            rows.append((prefix + field.name, int(value)))
    return rows
