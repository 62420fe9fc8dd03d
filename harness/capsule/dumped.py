# SPDX-License-Identifier: Apache-2.0
"""A capsule of a memory dump alone: what it says of the crash, and what it would take to play it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from harness import version
from harness.capsule import archive, manifest
from harness.capsule.contents import Contents
from harness.capsule.manifest import Manifest, Role
from harness.errors import UsageError
from harness.evidence import stop_codes
from harness.verdict import Verdict

if TYPE_CHECKING:
    from harness.evidence.dump_crash import NamedDump

FACTS = "dump.json"
_FOLDER = "dump"
_OTHER_NAME = "memory.dmp"

#: What no dump has, and what would bring it.
_ALWAYS = (
    "the requests: no dump says which ones led to it; where it comes again, kshsctl trace records them",
    "the driver package: the dump names drivers by stamp and size alone",
    "a target file: which pins and protocols the driver has",
)


def make(found: NamedDump, dump: Path, out: Path, key: Path | None = None) -> Manifest:
    """Writes a capsule with a dump, what it says, and what it lacks; what its manifest says.

    Args:
        found: the dump, read.
        dump: its file.
        out: the file to write.
        key: ed25519 private key in PEM to sign it with.

    Raises:
        UsageError: it is too large for a capsule, or the key is none.
        OSError: it cannot be read or written.
    """
    if dump.stat().st_size > archive.MOST_BYTES // 2:
        raise UsageError(
            f"a capsule has at most {archive.MOST_BYTES >> 20} MiB, and this dump takes most of them",
            str(dump),
            "take the small one (C:\\Windows\\Minidump), or send the dump beside the capsule",
        )
    contents = Contents()
    name = dump.name if archive.is_name(f"{_FOLDER}/{dump.name}") else _OTHER_NAME
    contents.add(f"{_FOLDER}/{name}", Role.DUMP, dump.read_bytes())
    facts = {**found.as_dict(), "file": name}
    contents.add(FACTS, Role.EVIDENCE, (json.dumps(facts, indent=1) + "\n").encode())
    header = found.dump.header
    said = Manifest.model_validate(
        {
            "schema": manifest.SCHEMA,
            "origin": {
                "kshs": version(),
                "started": header.system_time.isoformat() if header.system_time else "-",
            },
            "kernel": {"family": "windows", "build": None if header.build is None else str(header.build)},
            "target": {"name": _driver(found) or "unknown"},
            "verdict": Verdict.CRASHED,
            "reason": _reason(found),
            "files": contents.files,
            "lacks": [*_ALWAYS, *_lacks(found)],
        }
    )
    contents.write(out, said, key)
    return said


def _driver(found: NamedDump) -> str | None:
    frame = found.dump.fault_frame
    if frame is not None:
        return frame.module.name[:200]
    return found.dump.broken_driver


def _reason(found: NamedDump) -> str:
    stop = found.dump.stop
    what = "no stop code" if stop is None else stop_codes.titled(stop.code)
    frame = found.dump.fault_frame
    where = "" if frame is None else f" at {frame.module.name}+{frame.offset:#x}"
    return f"{what}{where}"


def _lacks(found: NamedDump) -> list[str]:
    lacks = []
    if found.dump.header.build is None:
        lacks.append("the kernel's build: the dump does not say it")
    if found.dump.fault is None:
        lacks.append("where it crashed: the dump does not tell")
    elif found.fault is None or found.fault.symbol.function is None:
        lacks.append("symbols that are proven to be the driver's (kshs dump --symbols)")
    return lacks
