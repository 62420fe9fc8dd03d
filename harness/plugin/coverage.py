# SPDX-License-Identifier: Apache-2.0
"""The coverage of a run, made from what its processes wrote down, beside its results."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.guests import KnowsFiles
from harness.plugin.guests import COVERAGE_PARTS
from harness.plugin.state import PluginState

#: Everything that coverage leaves in the directory of a run (`harness.coverage.outputs`).
_FILES = ("coverage.json", "coverage.html", "coverage.info", "coverage.xml")
#: How the first of them begins.
_BEGIN = b'{"schema":1,"run":{'


def write(state: PluginState, records: Sequence[Mapping[str, Any]]) -> None:
    """The four files; where nothing was counted, those of an earlier run there go.

    Raises:
        HarnessError, OSError: they cannot be made.
        UsageError: a folder of sources or symbols is gone.
    """
    assert state.out is not None, "there are results"
    if not state.options.coverage:
        remove(state.out)
        return
    # Libraries that a run without coverage does without.
    from harness.coverage import outputs
    from harness.coverage.figures import figures, summary
    from harness.coverage.gathering import Sources, gather

    run = next(record for record in records if record["kind"] == "run")
    symbols, sources = _places(state)
    found = gather(_parts(state), symbols, Sources(_ours(state), sources), _about(run))
    every = [figures(found, module) for module in found.modules]
    state.coverage = [*summary(every), *found.notes]
    outputs.write(found, every, state.out, timestamp=int(time.time() * 1000))


def remove(out: Path) -> None:
    """The files of an earlier run of ours: other tools call theirs so, too."""
    try:
        with (out / _FILES[0]).open("rb") as file:
            ours = file.read(len(_BEGIN)) == _BEGIN
    except OSError:
        return
    if not ours:
        return
    for name in _FILES:
        with contextlib.suppress(OSError):
            (out / name).unlink(missing_ok=True)


def _parts(state: PluginState) -> list[Path]:
    """Of all sessions of the run."""
    path = state.folder.path
    return sorted(path.glob(f"{COVERAGE_PARTS}-*.jsonl")) if path is not None else []


def _about(run: Mapping[str, Any]) -> dict[str, Any]:
    """What the coverage says of its run."""
    kept = {key: run.get(key) for key in ("id", "started", "version", "command", "guest")}
    return {**kept, "target": run["target"].get("name")}


def _places(state: PluginState) -> tuple[list[Path], list[Path]]:
    """Where PDBs and sources are: what was given, what was deployed, and the target's own folder."""
    given = state.options.folders("symbols")
    files = state.provider.driver_files() if isinstance(state.provider, KnowsFiles) else None
    symbols = [*given, *(files.symbols if files is not None else ())]
    package = [path.parent for path in files.images.values()] if files is not None else []
    return symbols, [*state.options.folders("sources"), *_target_folder(state), *package]


def _target_folder(state: PluginState) -> Iterator[Path]:
    name = Path(state.target_name)
    named = state.options.settings.targets.get(state.target_name)
    for path in (name, *([Path(named)] if named is not None else [])):
        if path.suffix == ".toml" and path.is_file():
            yield path.absolute().parent


def _ours(state: PluginState) -> Path:
    """The folder that our own drivers were built from."""
    import drivers

    return state.options.drivers() or Path(str(drivers.__file__)).parent
