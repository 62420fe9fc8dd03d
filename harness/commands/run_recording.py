# SPDX-License-Identifier: Apache-2.0
"""``kshs run --record``: what failed, once more on recorded guests (docs/field-bugs.md, "Exact replay").

A run's guests are forks of a template, which cannot be recorded.  So the run is what it is without this,
with its own verdicts and exit code, and then the first scenario of each cause is played on a recorded guest
until it fails there.  That is another attempt, by another clock; what came of it is told beside the run's own
verdict, and changes none.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.capsule import making
from harness.capsule.agreement import outcome
from harness.capsule.playing import NotPlayableError, Player, Say
from harness.capsule.seen import Seen, failures_of
from harness.errors import HarnessError, UsageError
from harness.evidence.incident_folder import INCIDENTS, folder_name, run_name
from harness.replay.provider import RecordingProvider
from harness.replay.taking import PLAYS, Taken, Taking
from harness.results import parts, report, seal
from harness.results.cause import cause_of
from vm.errors import VmError
from vm.files import remove_tree
from vm.words import counted

if TYPE_CHECKING:
    from harness.config import Config

KIND = "recording"
RECORDINGS = "recordings"
CAUSES = 5
"""Of which a run records one failure each, at most: it is minutes for each."""
NOT_RECORDED = "not recorded"
_PAGE, _TAKES = "report.html", ".takes-"
_DAY = 86400.0


@dataclass(frozen=True)
class Wanted:
    """What the run was told: guest recipe, target, drivers' sources."""

    config: Config
    guest: str
    target: str
    drivers: Path | None


def check(config: Config, guest: str) -> None:
    """That guests of this name can be recorded, before anything is run.

    Raises:
        UsageError: they cannot.
    """
    from vm.guests import is_embedded

    if not is_embedded(config.vm, guest):
        raise UsageError(
            f"guest {guest} cannot be recorded: only the embedded guest can, under TCG",
            "--record",
            "choose --guest wine",
        )


def record_failures(out: Path, wanted: Wanted, say: Say) -> list[Mapping[str, Any]]:
    """Records one failure of each cause, puts what came of it into the results, and gives these records.

    Args:
        out: directory of the run's results, which this process holds.
        wanted: what the run was told.
        say: is told about progress.

    Raises:
        HarnessError: the results cannot be read or written.
    """
    found = list(failures_of(out))
    chosen = _one_a_cause(found)
    if not chosen:
        return []
    place = out / RECORDINGS / run_name(str(chosen[0].run["id"]))
    _prune(out / RECORDINGS, place, wanted.config.incidents.keep_days)
    with _takes(out) as takes:
        records = list(_recorded(chosen, wanted, place, takes, say))
    _add(out, records, str(chosen[0].run["id"]))
    return records


def told(records: Sequence[Mapping[str, Any]], out: Path) -> Iterator[str]:
    """What is said of them at the end of the run, a line each."""
    for record in records:
        attempt = record["attempt"]
        if record["folder"] is not None:
            plays = f"in play {record['plays']} " if record["plays"] > 1 else ""
            yield (
                f"recorded: {record['scenario']}: {attempt['verdict']} {plays}on a recorded guest"
                f" ({record['outcome']}): kshs replay {out / record['folder']}"
            )
        else:
            yield f"not recorded: {record['scenario']}: {record['why']}"


def _one_a_cause(found: Sequence[Seen]) -> list[Seen]:
    """The first failure of each cause, in the order of the run."""
    first: dict[tuple[str, ...], Seen] = {}
    for seen in found:
        cause = cause_of(seen.scenario, seen.steps)
        if cause is not None:
            first.setdefault(cause.key, seen)
    return list(first.values())


def _recorded(
    chosen: Sequence[Seen], wanted: Wanted, place: Path, takes: Path, say: Say
) -> Iterator[Mapping[str, Any]]:
    out = place.parent.parent
    with contextlib.ExitStack() as stack:
        try:
            provider = _provider(wanted, takes)
            player = stack.enter_context(Player(provider, say))
        except (HarnessError, VmError) as error:  # no recorded guest can be had
            yield from (_record(seen, out, why=str(error)) for seen in chosen)
            return
        for seen in chosen[:CAUSES]:
            begun, why = time.monotonic(), None
            name = folder_name(str(seen.scenario["id"]), str(seen.scenario["file"]))
            taking = Taking(provider, player, place / name, say)
            try:
                scenario = making.scenario_of(seen, Path.cwd())
                say(f"recording {scenario.id}")
                taking.play(scenario, PLAYS, until_failure=True)
                player.leave()
            except NotPlayableError as error:
                why = f"the recorded guest cannot show it: {error}"
            except (HarnessError, VmError, OSError) as error:
                why = str(error)
            yield _record(seen, out, taking.taken, why, time.monotonic() - begun)
        for seen in chosen[CAUSES:]:
            yield _record(seen, out, why=f"{counted(CAUSES, 'cause')} of a run are recorded, no more")


def _provider(wanted: Wanted, takes: Path) -> RecordingProvider:
    from harness.guests.package import find_target

    provider = RecordingProvider(
        wanted.config.vm,
        find_target(wanted.target, wanted.config),
        wanted.guest,
        source=wanted.drivers or wanted.config.run.drivers,
    )
    provider.takes = takes
    return provider


def _record(
    seen: Seen,
    out: Path,
    taken: Taken | None = None,
    why: str | None = None,
    seconds: float = 0.0,
) -> Mapping[str, Any]:
    """Both attempts: that of the run, and the last one on a recorded guest."""
    plays = taken.seen if taken is not None else []
    last = plays[-1] if plays else None
    kept = taken.folder if taken is not None else None
    if why is None and kept is None:
        why = f"it passed in {counted(len(plays), 'play')} on a recorded guest"
    return {
        "kind": KIND,
        "order": seen.scenario["order"],
        "scenario": seen.scenario["id"],
        "file": seen.scenario["file"],
        "verdict": seen.scenario["verdict"],
        "reason": seen.scenario.get("reason"),
        "attempt": {
            "verdict": last.scenario["verdict"] if last is not None else None,
            "reason": last.scenario.get("reason") if last is not None else None,
            "lease": last.scenario.get("lease") if last is not None else None,
        },
        "outcome": outcome(seen, last).value if last is not None else NOT_RECORDED,
        "plays": len(plays),
        "folder": kept.relative_to(out).as_posix() if kept is not None else None,
        "why": why if kept is None else None,
        "seconds": round(seconds, 2),
    }


def _add(out: Path, records: Sequence[Mapping[str, Any]], run: str) -> None:
    """Behind the other records, in one step; seal and page are those of the whole."""
    results = out / seal.RESULTS
    fresh = results.with_name(f".{seal.RESULTS}.{os.getpid()}")
    try:
        shutil.copyfile(results, fresh)
        with fresh.open("a", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.writelines(f"{parts.line_of(record)}\n" for record in records)
            file.flush()
            os.fdatasync(file.fileno())
        fresh.replace(results)
        seal.write(out, run, out / INCIDENTS / run_name(run))
        if (out / _PAGE).exists():
            report.write(parts.read(results), out / _PAGE)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        hint = f"the recordings themselves are in {out / RECORDINGS}"
        raise HarnessError(
            f"what was recorded cannot be told: {error.strerror}", str(results), hint
        ) from None


@contextlib.contextmanager
def _takes(out: Path) -> Iterator[Path]:
    """Where recordings grow, on the disk on which they will stay; what a killed run has left there goes."""
    for left in out.glob(f"{_TAKES}*"):
        shutil.rmtree(left, ignore_errors=True)
    place = Path(tempfile.mkdtemp(prefix=_TAKES, dir=out))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _prune(shelf: Path, own: Path, days: int) -> None:
    """Recordings of earlier runs go when their incidents do; what is left of this run's id goes at once."""
    for run in shelf.glob("*"):
        with contextlib.suppress(OSError):
            if run == own or time.time() - run.stat().st_mtime > days * _DAY:
                remove_tree(run)
