# SPDX-License-Identifier: Apache-2.0
"""Where a recording is: in a folder, an incident, a run, or in a capsule, which is unpacked meanwhile."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.capsule.opened import Capsule
from harness.capsule.recording import FACTS
from harness.commands.run_recording import KIND, RECORDINGS
from harness.errors import HarnessError, UsageError
from harness.evidence import incidents
from harness.evidence.incident_folder import INCIDENTS
from harness.results import parts
from harness.results.seal import RESULTS


@contextlib.contextmanager
def opened(path: Path, keys: Sequence[Path], *, trust: bool) -> Iterator[Path]:
    """The folder of a recording; of a capsule's it is gone with the context.

    Args:
        path: of a recording's folder, an incident's, a run's, or a capsule.
        keys: by which capsules must be signed, where there are any.
        trust: whoever made the capsule is trusted as the owner of a key is.

    Raises:
        UsageError: there is no recording, or several; the capsule's author is not trusted.
        CapsuleError: the capsule may not be opened.
    """
    if not path.is_file():
        yield _folder(path)
        return
    with Capsule(path) as capsule:
        signed = capsule.signed(keys)
        capsule.check()
        if capsule.recording() is not None and signed.key is None and not trust:
            raise UsageError(
                "its recording holds the memory of a guest, which QEMU loads as it is: that is for capsules"
                " of people you trust",
                str(path),
                "have it signed by a key of capsule.keys, or add --trust if you know its sender",
            )
        with tempfile.TemporaryDirectory(prefix="kshs-recording-") as place:
            capsule.unpack_recording(Path(place))
            yield Path(place)


def of_failure(out: Path, scenario: str) -> Path | None:
    """The folder of the recording that a run has of a scenario; None where it has none.

    Raises:
        UsageError: the results cannot be read, or name a recording that is gone.
    """
    record = next((one for one in _kept(out) if one["scenario"] == scenario), None)
    if record is None:
        return None
    folder = _there(out, record)
    if not (folder / FACTS).is_file():
        raise UsageError(
            "the run has recorded it, and the recording is gone", str(folder), "add --without-recording"
        )
    return folder


def _folder(path: Path) -> Path:
    """Of whatever was given."""
    if (path / FACTS).is_file():
        return path
    if (path / incidents.FACTS).is_file() and path.parent.parent.name == INCIDENTS:
        found = path.parent.parent.parent / RECORDINGS / path.parent.name / path.name
        if not (found / FACTS).is_file():
            raise UsageError("nothing was recorded of this incident", str(path), "run it with --record")
        return found
    if (path / RESULTS).is_file():
        kept = _kept(path)
        if len(kept) == 1:
            return _there(path, kept[0])
        if not kept:
            raise UsageError("nothing was recorded of this run", str(path), "run it with --record")
        raise UsageError(
            f"{len(kept)} recordings are in this run",
            str(path),
            "give one of them: " + ", ".join(str(path / str(one["folder"])) for one in kept),
        )
    return path  # what it lacks is said where it is read


def _kept(out: Path) -> list[Mapping[str, Any]]:
    """The records of a run's recordings that were kept."""
    try:
        return [
            record
            for record in parts.stream(out / RESULTS)
            if record["kind"] == KIND and record.get("folder") is not None
        ]
    except (HarnessError, OSError) as error:
        raise UsageError(f"these are not the records of a run: {error}", str(out / RESULTS)) from None


def _there(out: Path, record: Mapping[str, Any]) -> Path:
    """The folder that a record names, below the run's own."""
    folder = (out / str(record["folder"])).resolve()
    if not folder.is_relative_to((out / RECORDINGS).resolve()):
        raise UsageError("a recording lies elsewhere than its run", str(out / RESULTS))
    return folder
