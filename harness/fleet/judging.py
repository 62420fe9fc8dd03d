# SPDX-License-Identifier: Apache-2.0
"""What a lease's end says: of the driver nothing that its results do not say, of the host what failed
there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.results.parts import stream
from harness.verdict import Verdict

_USAGE = 2


@dataclass(frozen=True)
class Ended:
    """What became of a lease.

    `failed` says what of the host's infrastructure failed, None where nothing did; `refused` what was wrong
    with what the lease was asked to do.  `there` are the items of which there is a record, by their ids and
    files there, and `again` those that came to nothing.  `taken`: whether its results may count; `foreign`:
    it ran something else than it was given.
    `held`: whether what failed speaks against the host; a guest that was lost under a scenario does not: it
    is the driver's surroundings, and the run had other guests.
    """

    taken: bool
    foreign: bool = False
    held: bool = True
    failed: str | None = None
    refused: str | None = None
    again: frozenset[tuple[str, str]] | None = None
    there: frozenset[tuple[str, str]] = frozenset()


def judge(result: Mapping[str, Any], out: Path, expects: Mapping[str, str]) -> Ended:
    """Of a lease that has ended, from what its host says and from the results that were fetched.

    A driver that failed, crashed or hung is a result like any other.  An error is ours: it is tried again
    elsewhere, and what was found all the same is kept.
    """
    if result.get("error"):
        return Ended(taken=False, failed=str(result["error"])[:500])
    said = _last_word(str(result.get("said", "")))
    if result.get("code") == _USAGE:
        return Ended(taken=False, refused=said)
    path = out / "results.jsonl"
    if not path.is_file():
        return Ended(taken=False, failed=f"the run left no results: {said}")
    try:
        records = [r for r in stream(path) if r["kind"] in ("run", "environment", "scenario", "test")]
    except (HarnessError, OSError, KeyError) as error:
        return Ended(taken=False, failed=f"the run's results are damaged: {error}")
    wrong = _wrong(records, expects)
    if wrong is not None:
        return Ended(taken=False, foreign=True, failed=wrong)
    there = {
        (str(record["id"]), str(record.get("file", ""))): record
        for record in records
        if record["kind"] in ("scenario", "test")
    }
    errors = frozenset(key for key, record in there.items() if record.get("verdict") == Verdict.ERROR.value)
    run = next(
        (record for record in records if record["kind"] == "run"), {"problem": "there is no record of it"}
    )
    problem = run.get("problem")
    if errors or problem:
        first = next((there[key].get("reason") for key in errors), None)
        return Ended(
            taken=True,
            failed=str(problem or first or said)[:500],
            again=errors,
            there=frozenset(there),
            held=bool(problem),
        )
    return Ended(taken=True, there=frozenset(there))


def _wrong(records: list[dict[str, Any]], expects: Mapping[str, str]) -> str | None:
    """Where a lease ran on something else than what its digests name."""
    for record in records:
        if record["kind"] != "environment":
            continue
        host = record.get("host") or {}
        said = {
            "image": host.get("image"),
            "build": host.get("build"),
            "target_digest": record.get("target_digest"),
        }
        for name, wanted in expects.items():
            if said.get(name) != wanted:
                return f"it ran with another {name.partition('_')[0]} than it was given: {said.get(name)}"
    return None


def _last_word(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith("kshs: ")]
    return (ours[-1].removeprefix("kshs: ") if ours else lines[-1] if lines else "no word")[:400]
