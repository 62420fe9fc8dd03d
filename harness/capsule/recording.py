# SPDX-License-Identifier: Apache-2.0
"""A recording on disk: what it needs to be replayed, and what a replay has to give again.

A folder with ``recording.json``, QEMU's log, the state that it begins with, the consoles as they were
recorded, the records of the scenario, and the drivers with their PDBs.  `harness.replay` makes and plays it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import UsageError
from vm.files import write_whole
from vm.recorded_machine import BLOCKS, DEBUGCON, SERIAL
from vm.recorder import LOG, STATE_DISK

FACTS = "recording.json"
RECORDS = "result.jsonl"
DRIVERS = "drivers"
CONSOLES = (SERIAL, DEBUGCON)
SCHEMA = 3
COUNTED = 2
"""Since this schema the state that it begins with has the count of instructions of the recording."""
WHOLE = (LOG, STATE_DISK, BLOCKS, *CONSOLES)
"""What no recording is without, beside `FACTS`."""

_HASH = r"^[0-9a-f]{64}$"
MOST_FACTS = 1 << 20
"""Bytes of ``recording.json``."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Module(_Strict):
    """A driver in the guest's memory: its name, where it lies, and its bytes there."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    base: int = Field(ge=0, lt=1 << 64)
    size: int = Field(ge=0, lt=1 << 32)


class Recording(_Strict):
    """What ``recording.json`` says.

    ``plays`` are the instructions before which each playing of the scenario began, the failing one last;
    ``instructions`` how many there are in all: counted by QEMU, from the start of the state's guest on.
    ``image_made`` tells builds of one image apart (None before schema 3): their bytes differ, and so would
    the instructions.  ``package`` is the digest of the driver package.
    """

    schema_version: int = Field(alias="schema", ge=1)
    kshs: str = Field(max_length=100)
    qemu: str = Field(max_length=200)
    icount: str = Field(pattern=r"^shift=(auto|[0-9]{1,2}),sleep=(on|off)$")
    image: str = Field(pattern=_HASH)
    image_made: str | None = Field(None, max_length=100)
    package: str | None = Field(None, pattern=_HASH)
    state: str = Field(pattern=_HASH)
    memory_mib: int = Field(ge=1, le=1 << 14)
    scenario: str = Field(max_length=200)
    verdict: str = Field(max_length=100)
    reason: str | None = Field(None, max_length=20_000)
    started: str = Field(max_length=100)
    plays: list[int] = Field(min_length=1, max_length=10_000)
    instructions: int = Field(ge=0, lt=1 << 63)
    modules: list[Module] = Field(default_factory=list, max_length=512)


def save(folder: Path, said: Recording) -> None:
    """Writes ``recording.json``."""
    table = said.model_dump(mode="json", by_alias=True)
    write_whole(folder / FACTS, json.dumps(table, indent=1) + "\n")


def load(folder: Path) -> Recording:
    """What a folder says of itself.

    Raises:
        UsageError: it is no recording, or not whole.
    """
    path = folder / FACTS
    if not path.is_file():
        raise UsageError(
            f"there is no {FACTS}: this is no recording",
            str(folder),
            "give what --record left, or a capsule with a recording",
        )
    try:
        if path.stat().st_size > MOST_FACTS:
            raise ValueError("it is too long")
        said = parse(path.read_text(encoding="utf-8"))
    except NewerError as error:
        raise UsageError(f"it was {error}", str(path), "update kshs") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"this is no recording: {error}", str(path)) from None
    missing = [name for name in WHOLE if not (folder / name).is_file()]
    if missing:
        raise UsageError(f"the recording is not whole: {', '.join(missing)} is missing", str(folder))
    return said


def parse(text: str) -> Recording:
    """What a ``recording.json`` says.

    Raises:
        NewerError: a newer kshs has written it.
        ValueError: it is none; the text says what is wrong.
    """
    try:
        table = json.loads(text)
        version = table.get("schema") if isinstance(table, dict) else None
        if isinstance(version, int) and version > SCHEMA:
            raise NewerError(f"made by a newer kshs (schema {version})")
        return Recording.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except RecursionError as error:
        raise ValueError(str(error)) from None


class NewerError(ValueError):
    """A newer kshs has written it."""


def take_state(disk: Path, folder: Path) -> None:
    """The state into a recording's folder: the same file where that can be, since it never changes."""
    target = folder / STATE_DISK
    with contextlib.suppress(OSError):
        os.link(disk, target)
        return
    shutil.copyfile(disk, target)
