# SPDX-License-Identifier: Apache-2.0
"""What a capsule says of itself: ``manifest.json``, the first of its members."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.capsule.archive import CapsuleError, is_name
from harness.verdict import Verdict

NAME = "manifest.json"
#: The signature over the manifest's bytes; the manifest has the digests of everything else.
SIGNATURE = "manifest.sig"
SCHEMA = 1
RECORDED = 2
"""Of a capsule with a recording, which an older kshs does not know."""
MOST_BYTES = 4 << 20
_MOST_DEPTH = 24

_SHORT = 2000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Role(StrEnum):
    """What a file of a capsule is."""

    SCENARIO = "scenario"
    TARGET = "target"
    PACKAGE = "package"
    SYMBOLS = "symbols"
    RESULT = "result"
    EVIDENCE = "evidence"
    DUMP = "dump"
    TRACE = "trace"
    DRIVERS = "drivers"
    RECORDING = "recording"


#: What each is, for people.
MEANING = {
    Role.SCENARIO: "the requests, as a scenario",
    Role.TARGET: "what the harness must know of the driver",
    Role.PACKAGE: "the driver package",
    Role.SYMBOLS: "symbols of the driver",
    Role.RESULT: "what came back: the records of the run",
    Role.EVIDENCE: "what the guest left behind",
    Role.DUMP: "a memory dump",
    Role.TRACE: "handshakes as a filter recorded them",
    Role.DRIVERS: "versions and digests of the drivers",
    Role.RECORDING: "a recorded guest, to be replayed",
}


class File(_Strict):
    """One file of the capsule: its name there, what it is, its length in bytes and SHA-256."""

    name: str = Field(max_length=800)
    role: Role
    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Origin(_Strict):
    """Where the failure was seen: in a run, or on a machine where it was recorded (then without a run)."""

    kshs: str = Field(max_length=100)
    run: str | None = Field(None, max_length=100)
    started: str = Field(max_length=100)
    scenario: str | None = Field(None, max_length=200)


class Kernel(_Strict):
    """The kernel on which it was seen, as far as the guest said it."""

    family: str | None = Field(None, max_length=100)
    name: str | None = Field(None, max_length=300)
    build: str | None = Field(None, max_length=100)
    ks_sha256: str | None = Field(None, max_length=100)
    image: str | None = Field(None, max_length=100)
    recipe: str | None = Field(None, max_length=100)
    verifier: str | None = Field(None, max_length=_SHORT)


class DriverPackage(_Strict):
    """The driver under test; ``digest`` is over all files of its package."""

    name: str = Field(max_length=200)
    title: str | None = Field(None, max_length=300)
    hardware_id: str | None = Field(None, max_length=300)
    service: str | None = Field(None, max_length=300)
    digest: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")


class Manifest(_Strict):
    """The manifest of a capsule.

    ``verdict`` and ``reason`` are the failure as its run judged it; without a verdict nobody has judged it,
    and ``reason`` is what its sender says.  ``lacks`` says in sentences what would be needed to play it
    and is not there.
    """

    schema_version: int = Field(alias="schema", ge=1)
    kind: Literal["kshs capsule"] = "kshs capsule"
    origin: Origin
    kernel: Kernel
    target: DriverPackage
    verdict: Verdict | None = None
    reason: str | None = Field(None, max_length=20_000)
    files: list[File] = Field(max_length=512)
    lacks: list[str] = Field(default_factory=list, max_length=50)

    def of(self, role: Role) -> list[File]:
        """The files that are this."""
        return [file for file in self.files if file.role is role]


def pack(manifest: Manifest) -> bytes:
    """As it stands in the zip: sorted, so that the same manifest has the same bytes."""
    table = manifest.model_dump(mode="json", by_alias=True)
    return (json.dumps(table, indent=1, sort_keys=True, ensure_ascii=True) + "\n").encode()


def parse(data: bytes, where: str) -> Manifest:
    """A manifest from its bytes.

    Raises:
        CapsuleError: it is none that this program reads.
    """
    try:
        table = json.loads(data.decode("utf-8"), object_pairs_hook=once)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise CapsuleError(f"{NAME} is not JSON: {error}", where) from None
    version = table.get("schema") if isinstance(table, dict) else None
    if isinstance(version, int) and version > RECORDED:
        raise CapsuleError(
            f"it was made by a newer kshs (schema {version}; this one reads {RECORDED})", where, "update kshs"
        )
    if _depth(table) > _MOST_DEPTH:
        raise CapsuleError(f"{NAME} is nested too deeply", where)
    try:
        manifest = Manifest.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise CapsuleError(f"{NAME} is no manifest: {key}: {first['msg']}", where) from None
    names = [file.name.lower() for file in manifest.files]
    odd = next((name for name in names if not is_name(name) or names.count(name) > 1), None)
    if odd is not None:
        raise CapsuleError(
            f"{NAME} lists {odd[:100]!r}, which no file may be called or which is twice", where
        )
    return manifest


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A table of JSON, in which no key may be there twice: which of them is meant nobody could say.

    Raises:
        ValueError: one is.
    """
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key is there twice")
    return table


def _depth(value: Any) -> int:
    """How deeply it is nested; without recursion, since its author may be hostile."""
    deepest, left = 0, [(value, 1)]
    while left and deepest <= _MOST_DEPTH:
        item, depth = left.pop()
        deepest = max(deepest, depth)
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        left += [(each, depth + 1) for each in inner]
    return deepest
