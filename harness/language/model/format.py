# SPDX-License-Identifier: Apache-2.0
"""The KSDATAFORMAT that a pin is opened with, and its interface and medium, as target files say them."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from harness.language.format_blocks import FORMS, BlockError, json_schema, make
from harness.language.model.values import Dword, Guid, Strict

#: KSDATAFORMAT_SPECIFIER_NONE of ksmedia.h.
SPECIFIER_NONE = uuid.UUID("0f6417d6-c318-11d0-a43f-00a0c9223196")
#: KSINTERFACESETID_Standard and KSMEDIUMSETID_Standard of ks.h.
INTERFACE_STANDARD = uuid.UUID("1a8766a0-62ce-11cf-a5d6-28db04c10000")
MEDIUM_STANDARD = uuid.UUID("4747b320-62ce-11cf-a5d6-28db04c10000")
#: Bytes that a format block may have: with the pin's name around it, a step must carry it (KSHS_MAX_DATA).
MAX_BLOCK = 65_000

_SAYS_BLOCK = ("block", "block_file", *FORMS)


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise ValueError(f"{value[:40]!r} is not made of pairs of hex digits") from None


Hex = Annotated[
    bytes,
    BeforeValidator(_bytes),
    Field(max_length=MAX_BLOCK),
    PlainSerializer(bytes.hex, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^([0-9A-Fa-f]{2}\\s*)*$"}),
]
"""Bytes, written as pairs of hex digits with or without blanks between the pairs."""


def _form(form: str) -> tuple[AfterValidator, WithJsonSchema]:
    def check(fields: dict[str, Any]) -> dict[str, Any]:
        try:
            make(form, fields)
        except BlockError as error:
            hint = f" ({error.hint})" if error.hint else ""
            raise ValueError(f"{'.'.join(error.path)}: {error}{hint}") from None
        return fields

    return AfterValidator(check), WithJsonSchema(json_schema(form))


class Identifier(Strict):
    """KSIDENTIFIER as KSPIN_INTERFACE and KSPIN_MEDIUM have it (ks.h)."""

    set: Guid
    id: Dword = 0
    flags: Dword = 0

    def pack(self) -> bytes:
        """Its 24 bytes."""
        return self.set.bytes_le + self.id.to_bytes(4, "little") + self.flags.to_bytes(4, "little")


#: KSINTERFACE_STANDARD_STREAMING and KSMEDIUM_TYPE_ANYINSTANCE, what ordinary pins are opened with.
STANDARD_INTERFACE = Identifier(set=INTERFACE_STANDARD)
STANDARD_MEDIUM = Identifier(set=MEDIUM_STANDARD)


class Format(Strict):
    """The KSDATAFORMAT that a pin is opened with; it must match one of its data ranges.

    What follows its 64 bytes is said in one of several ways: as bytes (`block`, `block_file`), or by the
    fields of a structure (`harness.language.format_blocks`), which then gives major format, subformat,
    specifier and sample size where these are not said.  Once validated, `block` holds the bytes.
    """

    major: Guid = uuid.UUID(int=0)
    sub: Guid = uuid.UUID(int=0)
    specifier: Guid = SPECIFIER_NONE
    sample_size: Dword = 0
    flags: Dword = 0
    block: Hex = Field(b"", description="bytes behind the KSDATAFORMAT, in hex")
    block_file: str | None = Field(None, description="file that holds them, relative to the target file")
    videoinfoheader: Annotated[dict[str, Any], *_form("videoinfoheader")] | None = None
    videoinfoheader2: Annotated[dict[str, Any], *_form("videoinfoheader2")] | None = None
    waveformatex: Annotated[dict[str, Any], *_form("waveformatex")] | None = None
    waveformatextensible: Annotated[dict[str, Any], *_form("waveformatextensible")] | None = None
    datarange_video: Annotated[dict[str, Any], *_form("datarange_video")] | None = None
    datarange_video2: Annotated[dict[str, Any], *_form("datarange_video2")] | None = None
    datarange_audio: Annotated[dict[str, Any], *_form("datarange_audio")] | None = None
    datarange_music: Annotated[dict[str, Any], *_form("datarange_music")] | None = None

    @model_validator(mode="after")
    def _resolve(self) -> Self:
        said = [name for name in _SAYS_BLOCK if name in self.model_fields_set and getattr(self, name)]
        if len(said) > 1:
            raise ValueError(f"{' and '.join(said)} both say what follows the KSDATAFORMAT: leave one")
        values = self.__dict__  # frozen for everybody else
        form = next((name for name in said if name in FORMS), None)
        if form is not None:
            made = make(form, getattr(self, form))
            values["block"] = made.data
            for name in ("major", "sub", "specifier", "sample_size"):
                given = getattr(made, name)
                if name not in self.model_fields_set and given is not None:
                    values[name] = given
        for name in ("major", "sub"):
            if name not in self.model_fields_set and not values[name].int:
                raise ValueError(f"the key {name!r} is missing")
        return self

    def pack(self) -> bytes:
        """KSDATAFORMAT and the block behind it."""
        size = 64 + len(self.block)
        numbers = (size, self.flags, self.sample_size, 0)
        head = b"".join(number.to_bytes(4, "little") for number in numbers)
        return head + self.major.bytes_le + self.sub.bytes_le + self.specifier.bytes_le + self.block


#: In the place of a format that the target file leaves to the pin, until the pin was asked.
UNKNOWN_FORMAT = Format.model_validate(dict.fromkeys(("major", "sub"), str(uuid.UUID(int=0))))
