# SPDX-License-Identifier: Apache-2.0
"""Names of GUIDs that drivers say of their pins, as ks.h and ksmedia.h have them."""

from __future__ import annotations

import uuid

#: By the name that the headers give them; a test compares with mingw-w64's.
NAMES = {
    "KSCATEGORY_ACOUSTIC_ECHO_CANCEL": "bf963d80-c559-11d0-8a2b-00a0c9255ac1",
    "KSCATEGORY_AUDIO": "6994ad04-93ef-11d0-a3cc-00a0c9223196",
    "KSCATEGORY_BRIDGE": "085aff00-62ce-11cf-a5d6-28db04c10000",
    "KSCATEGORY_CAPTURE": "65e8773d-8f56-11d0-a3b9-00a0c9223196",
    "KSCATEGORY_COMMUNICATIONSTRANSFORM": "cf1dda2c-9743-11d0-a3ee-00a0c9223196",
    "KSCATEGORY_CROSSBAR": "a799a801-a46d-11d0-a18c-00a02401dcd4",
    "KSCATEGORY_DATACOMPRESSOR": "1e84c900-7e70-11d0-a5d6-28db04c10000",
    "KSCATEGORY_DATADECOMPRESSOR": "2721ae20-7e70-11d0-a5d6-28db04c10000",
    "KSCATEGORY_DATATRANSFORM": "2eb07ea0-7e70-11d0-a5d6-28db04c10000",
    "KSCATEGORY_ENCODER": "19689bf6-c384-48fd-ad51-90e58c79f70b",
    "KSCATEGORY_INTERFACETRANSFORM": "cf1dda2d-9743-11d0-a3ee-00a0c9223196",
    "KSCATEGORY_MEDIUMTRANSFORM": "cf1dda2e-9743-11d0-a3ee-00a0c9223196",
    "KSCATEGORY_MIXER": "ad809c00-7b88-11d0-a5d6-28db04c10000",
    "KSCATEGORY_MULTIPLEXER": "7a5de1d3-01a1-452c-b481-4fa2b96271e8",
    "KSCATEGORY_RENDER": "65e8773e-8f56-11d0-a3b9-00a0c9223196",
    "KSCATEGORY_SPLITTER": "0a4252a0-7e70-11d0-a5d6-28db04c10000",
    "KSCATEGORY_TOPOLOGY": "dda54a40-1e4c-11d1-a050-405705c10000",
    "KSCATEGORY_TVAUDIO": "a799a802-a46d-11d0-a18c-00a02401dcd4",
    "KSCATEGORY_TVTUNER": "a799a800-a46d-11d0-a18c-00a02401dcd4",
    "KSCATEGORY_VIDEO": "6994ad05-93ef-11d0-a3cc-00a0c9223196",
    "KSCATEGORY_VIDEO_CAMERA": "e5323777-f976-4f5b-9b55-b94699c46e44",
    "KSDATAFORMAT_SPECIFIER_DSOUND": "518590a2-a184-11d0-8522-00c04fd9baf3",
    "KSDATAFORMAT_SPECIFIER_NONE": "0f6417d6-c318-11d0-a43f-00a0c9223196",
    "KSDATAFORMAT_SPECIFIER_VIDEOINFO": "05589f80-c356-11ce-bf01-00aa0055595a",
    "KSDATAFORMAT_SPECIFIER_VIDEOINFO2": "f72a76a0-eb0a-11d0-ace4-0000c0cc16ba",
    "KSDATAFORMAT_SPECIFIER_WAVEFORMATEX": "05589f81-c356-11ce-bf01-00aa0055595a",
    "KSDATAFORMAT_TYPE_ANALOGAUDIO": "0482dee1-7817-11cf-8a03-00aa006ecb65",
    "KSDATAFORMAT_TYPE_ANALOGVIDEO": "0482dde1-7817-11cf-8a03-00aa006ecb65",
    "KSDATAFORMAT_TYPE_AUDIO": "73647561-0000-0010-8000-00aa00389b71",
    "KSDATAFORMAT_TYPE_MIDI": "7364696d-0000-0010-8000-00aa00389b71",
    "KSDATAFORMAT_TYPE_MUSIC": "e725d360-62cc-11cf-a5d6-28db04c10000",
    "KSDATAFORMAT_TYPE_STREAM": "e436eb83-524f-11ce-9f53-0020af0ba770",
    "KSDATAFORMAT_TYPE_VIDEO": "73646976-0000-0010-8000-00aa00389b71",
    "KSINTERFACESETID_FileIo": "8c6f932c-e771-11d0-b8ff-00a0c9223196",
    "KSINTERFACESETID_Media": "3a13eb40-30a7-11d0-a5d6-28db04c10000",
    "KSINTERFACESETID_Standard": "1a8766a0-62ce-11cf-a5d6-28db04c10000",
    "KSMEDIUMSETID_Standard": "4747b320-62ce-11cf-a5d6-28db04c10000",
    "PINNAME_VIDEO_ANALOGVIDEOIN": "fb6c4283-0353-11d1-905f-0000c0cc16ba",
    "PINNAME_VIDEO_CAPTURE": "fb6c4281-0353-11d1-905f-0000c0cc16ba",
    "PINNAME_VIDEO_PREVIEW": "fb6c4282-0353-11d1-905f-0000c0cc16ba",
    "PINNAME_VIDEO_STILL": "fb6c428a-0353-11d1-905f-0000c0cc16ba",
    "PINNAME_VIDEO_VBI": "fb6c4284-0353-11d1-905f-0000c0cc16ba",
    "PINNAME_VIDEO_VIDEOPORT": "fb6c4285-0353-11d1-905f-0000c0cc16ba",
}

_BY_GUID = {uuid.UUID(value): name for name, value in NAMES.items()}
#: Uncompressed video (uuids.h), which has no FOURCC.
_RGB = {
    uuid.UUID("e436eb7b-524f-11ce-9f53-0020af0ba770"): "RGB565",
    uuid.UUID("e436eb7c-524f-11ce-9f53-0020af0ba770"): "RGB555",
    uuid.UUID("e436eb7d-524f-11ce-9f53-0020af0ba770"): "RGB24",
    uuid.UUID("e436eb7e-524f-11ce-9f53-0020af0ba770"): "RGB32",
}
_WAVE_TAGS = {1: "PCM", 2: "ADPCM", 3: "IEEE_FLOAT", 6: "ALAW", 7: "MULAW"}
#: Behind the first 32 bits of a subtype that stands for a FOURCC or a wave format tag (ksmedia.h).
_CODED = uuid.UUID("00000000-0000-0010-8000-00aa00389b71").bytes[4:]
#: DFF219E0 + code-F70F-...: terminals of the USB audio class (ksmedia.h, DEFINE_USB_TERMINAL_GUID).
_TERMINAL = uuid.UUID("dff219e0-f70f-11d0-b917-00a0c9223196")
_TERMINALS = {0x0201: "MICROPHONE", 0x0205: "MICROPHONE_ARRAY", 0x0301: "SPEAKER", 0x0302: "HEADPHONES"}


def name_of(guid: uuid.UUID) -> str | None:
    """What the headers, or a FOURCC, call a GUID; None for one that nobody here knows."""
    if not guid.int:
        return "any"
    found = _BY_GUID.get(guid) or _RGB.get(guid)
    if found is not None:
        return found
    code = guid.fields[0]
    if guid.bytes[4:] == _CODED:
        text = code.to_bytes(4, "little")
        if all(0x20 < byte < 0x7F for byte in text):
            return text.decode("ascii")
        return _WAVE_TAGS.get(code) or f"wave format {code:#x}"
    if guid.bytes[4:] == _TERMINAL.bytes[4:] and code - _TERMINAL.fields[0] in _TERMINALS:
        return f"KSNODETYPE_{_TERMINALS[code - _TERMINAL.fields[0]]}"
    return None


def shown(guid: uuid.UUID) -> str:
    """The name where there is one, else the GUID itself."""
    return name_of(guid) or str(guid).upper()
