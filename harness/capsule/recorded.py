# SPDX-License-Identifier: Apache-2.0
"""A recording inside of a capsule: which files it is, and that they may be given to anybody.

Its author is not trusted, as of the rest.  What is looked at here is all that can be: names, sizes, what the
recording says of itself, and the header of its disk.  The memory of the guest on that disk is for QEMU to
load, which does not expect an enemy to have written it; so who replays it must know by whom it was made
(`harness.commands.recording_inputs`).
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.capsule import recording
from harness.capsule.manifest import File, Role
from harness.capsule.recording import DRIVERS, FACTS, RECORDS, WHOLE, Recording
from harness.errors import UsageError
from vm.recorded_machine import BLOCKS
from vm.recorder import LOG, STATE_DISK
from vm.state_disk import NOWHERE, base_of, set_base

if TYPE_CHECKING:
    from harness.capsule.contents import Contents

FOLDER = "recording"
#: Bytes of each file; of ten seconds the log has 200 KB, and a state has 150 MB.
MOST = {FACTS: recording.MOST_FACTS, RECORDS: 8 << 20, LOG: 64 << 20, BLOCKS: 64 << 20, STATE_DISK: 240 << 20}
_MOST_OTHER = 32 << 20
_DRIVER = re.compile(rf"{DRIVERS}/[A-Za-z0-9_.-]{{1,80}}\.(?:sys|pdb)", re.IGNORECASE)


def looked_at(
    files: Sequence[File], text: Callable[[File], str], head: Callable[[File], bytes], scenario: str | None
) -> Recording:
    """What a recording says of itself, after all of it that can be looked at was.

    Args:
        files: of the recording, as the manifest lists them.
        text: reads one that is text.
        head: reads the first bytes of one, as `vm.state_disk.base_of` wants them.
        scenario: that the capsule is of.

    Raises:
        ValueError: it is none that may be unpacked; the text says why.
    """
    known = {inside(file.name): file for file in files}
    needed = {FACTS, *WHOLE}
    missing = sorted(needed - known.keys())
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    for name, file in known.items():
        if name not in needed and name != RECORDS and not _DRIVER.fullmatch(name):
            raise ValueError(f"{file.name} is no file of a recording")
        if file.size > MOST.get(name, _MOST_OTHER):
            raise ValueError(
                f"{file.name} has {file.size:,} bytes, of at most {MOST.get(name, _MOST_OTHER):,}"
            )
    said = recording.parse(text(known[FACTS]))
    if said.scenario != scenario:
        raise ValueError("it is of another scenario than the capsule")
    base = base_of(head(known[STATE_DISK]))
    if base != NOWHERE:
        raise ValueError("its disk lies on a file of the machine that replays it")
    return said


def inside(name: str) -> str:
    """The path of a file from the recording's folder on.

    Raises:
        ValueError: it lies elsewhere.
    """
    found = name.removeprefix(f"{FOLDER}/")
    if found == name:
        raise ValueError(f"{name} is called a file of the recording and does not lie in {FOLDER}/")
    return found


@contextlib.contextmanager
def put(contents: Contents, folder: Path, scenario: str, package: str) -> Iterator[Recording]:
    """Puts the recording of a folder into a capsule, which is to be written before the context ends.

    Args:
        contents: of the capsule.
        folder: of the recording.
        scenario: that the capsule is of.
        package: digest of the capsule's driver package.

    Raises:
        UsageError: it is no recording, or one of something else.
        VmError: its disk is none that a state is kept in.
    """
    said = recording.load(folder)
    if said.scenario != scenario:
        raise UsageError(f"it is a recording of {said.scenario}, and not of {scenario}", str(folder))
    if said.package is not None and said.package != package:
        raise UsageError(
            f"it was recorded with the package {said.package[:12]}, and the capsule has {package[:12]}",
            str(folder),
            "take the recording of this failure",
        )
    with tempfile.TemporaryDirectory(prefix="kshs-recording-") as place:
        disk = Path(place) / STATE_DISK
        shutil.copyfile(folder / STATE_DISK, disk)
        set_base(disk, NOWHERE)  # its header tells where the image lay on this machine
        for name, path in {**_files(folder), STATE_DISK: disk}.items():
            contents.add_file(f"{FOLDER}/{name}", Role.RECORDING, path)
        yield said


def _files(folder: Path) -> Mapping[str, Path]:
    """What belongs to it, by its name there; what else may lie in the folder stays where it is."""
    names = [FACTS, *WHOLE, *([RECORDS] if (folder / RECORDS).is_file() else [])]
    drivers = folder / DRIVERS
    found = sorted(path.name for path in drivers.iterdir() if path.is_file()) if drivers.is_dir() else []
    names += [f"{DRIVERS}/{name}" for name in found if _DRIVER.fullmatch(f"{DRIVERS}/{name}")]
    return {name: folder / name for name in names}
