# SPDX-License-Identifier: Apache-2.0
"""A failure as its run recorded it: the records of one scenario, and what they have in common with others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, UsageError
from harness.results import parts
from harness.results.cause import Cause, cause_of
from harness.results.record import ScenarioResult, scenario_records

RESULTS = "results.jsonl"
_SETUP = "setup"
#: Verdicts of which a capsule can be made.
_FAILURES = ("failed", "crashed", "hung")


@dataclass(frozen=True)
class Seen:
    """One scenario of a run: records of the run, its environment, the scenario and its steps."""

    run: Mapping[str, Any]
    environment: Mapping[str, Any]
    scenario: Mapping[str, Any]
    steps: tuple[Mapping[str, Any], ...]

    @property
    def cause(self) -> Cause | None:
        """By what it failed, as `harness.results.cause` tells causes apart; None where it did not."""
        return cause_of(self.scenario, self.steps)

    @property
    def own_steps(self) -> tuple[str, ...]:
        """The kinds of the steps that the scenario itself names, in order, as far as it came."""
        return tuple(str(step["do"]) for step in self.steps if step["do"] != _SETUP)

    def records(self) -> Iterator[Mapping[str, Any]]:
        """As lines of results.jsonl."""
        yield self.run
        if self.environment:
            yield self.environment
        yield self.scenario
        yield from self.steps


def of_run(directory: Path, scenario: str) -> Seen:
    """A scenario that failed, from the folder of a run.

    Raises:
        UsageError: there is no such run, or no such scenario in it, or it has not failed.
    """
    source = directory / RESULTS
    if not source.is_file():
        raise UsageError(f"there is no {RESULTS}", str(directory), "give the --out of a run")
    try:
        seen, names = _pick(parts.stream(source), scenario)
    except (HarnessError, OSError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"these are not the records of a run: {error}", str(source)) from None
    if seen is None:
        failed = [name for name, verdict in names if verdict in _FAILURES]
        there = f"failed in it: {', '.join(failed[:10])}" if failed else "nothing failed in it"
        raise UsageError(f"no scenario {scenario!r} was run", str(source), there)
    verdict = seen.scenario["verdict"]
    if verdict not in _FAILURES:
        raise UsageError(f"{scenario} has {verdict}: there is no failure to keep", str(source))
    return seen


def failures_of(directory: Path) -> Iterator[Seen]:
    """All scenarios of a run that failed, crashed or hung, in their order.

    Raises:
        HarnessError: its records cannot be read.
    """
    source = directory / RESULTS
    run: Mapping[str, Any] = {}
    environment: Mapping[str, Any] = {}
    scenario: Mapping[str, Any] | None = None
    steps: list[Mapping[str, Any]] = []
    try:
        for record in parts.stream(source):
            match record["kind"]:
                case "run":
                    run = record
                case "environment":
                    environment = environment or record
                case "step" if scenario is not None:
                    steps.append(record)
                case "step":
                    pass
                case _:
                    if scenario is not None:
                        yield Seen(run, environment, scenario, tuple(steps))
                    failed = record["kind"] == "scenario" and record["verdict"] in _FAILURES
                    scenario, steps = (record if failed else None), []
        if scenario is not None:
            yield Seen(run, environment, scenario, tuple(steps))
    except (OSError, KeyError, TypeError) as error:
        raise HarnessError(f"these are not the records of a run: {error}", str(source)) from None


def of_records(records: Iterable[Mapping[str, Any]], where: str) -> Seen:
    """The one scenario of a capsule's records.

    Raises:
        UsageError: they are not the records of one.
    """
    try:
        seen, names = _pick(records, None)
    except (HarnessError, KeyError, TypeError, ValueError, AttributeError) as error:
        why = error.message if isinstance(error, HarnessError) else str(error)
        raise UsageError(f"these are not the records of a scenario: {why}", where) from None
    if seen is None or len(names) != 1:
        raise UsageError(f"these are the records of {len(names)} scenarios, not of one", where)
    return seen


def of_result(result: ScenarioResult) -> Seen:
    """What was just run, in the same form."""
    scenario, *steps = scenario_records(result, order=0, worker="-")
    return Seen({}, {}, scenario, tuple(steps))


def _pick(
    records: Iterable[Mapping[str, Any]], wanted: str | None
) -> tuple[Seen | None, list[tuple[str, str]]]:
    run: Mapping[str, Any] = {}
    environment: Mapping[str, Any] = {}
    scenario: Mapping[str, Any] | None = None
    steps: list[Mapping[str, Any]] = []
    names: list[tuple[str, str]] = []
    for record in records:
        kind = record["kind"]
        if kind == "run":
            run = record
        elif kind == "environment" and not environment:
            environment = record
        elif kind == "scenario":
            names.append((str(record["id"]), str(record["verdict"])))
            if scenario is None and wanted in (None, record["id"]):
                scenario = record
        elif kind == "step" and scenario is not None and _place(record, "scenario") == _place(scenario, "id"):
            steps.append(record)
    return (Seen(run, environment, scenario, tuple(steps)) if scenario is not None else None), names


def _place(record: Mapping[str, Any], name: str) -> tuple[str, int]:
    """By what steps find their scenario."""
    return str(record[name]), int(record["order"])
