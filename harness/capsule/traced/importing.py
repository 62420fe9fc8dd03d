# SPDX-License-Identifier: Apache-2.0
"""A capsule that can be played, of one that has a trace: scenario, target, package, and what came."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.capsule.contents import Contents
from harness.capsule.manifest import DriverPackage, Manifest, Role
from harness.capsule.opened import SCENARIO, TARGET
from harness.capsule.scenario_text import render
from harness.capsule.traced.compacting import Row, rows
from harness.capsule.traced.events import Event, Trace
from harness.capsule.traced.judging import Judged, judge
from harness.capsule.traced.leaking import leaks_of
from harness.capsule.traced.steps import Step
from harness.capsule.traced.translating import Translated, translate, with_something, without_the_end
from harness.language.model import Route
from harness.language.model.scenario import Scenario
from harness.results.record import ScenarioResult, StepResult, scenario_records
from harness.verdict import Verdict

if TYPE_CHECKING:
    from drivers.package import Package
    from harness.guests.package import LoadedTarget

RESULT = "result.jsonl"
_RULES = ("H1", "H2", "H3", "H4", "H5", "H6", "H7", "H8", "H9", "H10", "arguments")
_KERNEL_ROUTES = (Route.IRP.value, Route.CALL.value)
_NOTHING_FORBIDDEN = "the trace shows no answer that the contract forbids"
_LEAKS = "a trace shows no leak: whether its traffic leaves something behind is seen when it is played"
#: Milliseconds that one request of thousands may take, as the catalogue has it.
_LEAKS_TIMEOUT_MS = 30_000


@dataclass(frozen=True)
class Imported:
    """What a trace has become: the scenario, its results as they were seen, and what is to be said of it.

    `silent` is what is said where no answer is wrong.
    """

    scenario: Scenario
    result: ScenarioResult
    remarks: tuple[str, ...]
    silent: str = _NOTHING_FORBIDDEN

    @property
    def reason(self) -> str:
        """The first answer that the contract forbids, or that there is none."""
        return self.result.reason or self.silent

    @property
    def failed(self) -> bool:
        """Whether the trace shows an answer that the contract forbids."""
        return self.result.verdict is Verdict.FAILED


def scenario_of(trace: Trace, target: LoadedTarget, name: str, route: Route = Route.IRP) -> Imported:
    """A trace as a scenario, and what the contract says of its answers.

    Args:
        trace: of any machine.
        target: the driver as the harness knows it.
        name: the scenario's id is made of it.
        route: by which requests of drivers are sent.

    Raises:
        UsageError: there is nothing in it that could be played.
    """
    translated = translate(trace, target.target, route)
    judged = judge(translated, target.target)
    translated = with_something(_without_idle_looks(translated, judged))
    made, fewer = rows(translated, target.target)
    remarks = [*translated.remarks, *fewer]
    if judged.why_not is not None:
        remarks.append(f"its answers are not judged: {judged.why_not}")
    lost = [event.n for event in trace.events if event.event == "handshake" and _never_came_back(event)]
    if lost:
        remarks.append(
            f"{len(lost)} handshakes had not come back when the trace was saved: a hang or a crash"
        )
    failure = judged.first_failure
    if failure is None:
        for row in made:
            _look_at_the_input(row.step)
    scenario = Scenario.model_validate(
        {
            "id": f"field.{slug(name)}",
            "title": f"What was recorded in {name}"[:200],
            "rule": failure.rule if failure is not None and failure.rule in _RULES else "characteristic",
            "tags": ["field"],
            "steps": [row.step for row in made],
        }
    )
    return Imported(scenario, _result(scenario, made, judged), tuple(remarks))


def leaks_scenario_of(trace: Trace, target: LoadedTarget, name: str, route: Route = Route.IRP) -> Imported:
    """A trace as a scenario that asks whether its traffic leaves anything behind.

    Args:
        trace: of any machine.
        target: the driver as the harness knows it.
        name: the scenario's id is made of it.
        route: by which requests of drivers are sent.

    Raises:
        UsageError: there is nothing in it that could be done over and over.
    """
    found = leaks_of(trace, target.target, route)
    scenario = Scenario.model_validate(
        {
            "id": f"field.{slug(name)}.leaks",
            "title": f"What was recorded in {name}, over and over, leaves nothing behind"[:200],
            "rule": "characteristic",
            "tags": ["field", "leaks"],
            "open": list(found.open),
            "timeout_ms": _LEAKS_TIMEOUT_MS,
            "steps": list(found.steps),
        }
    )
    made = [Row(step, []) for step in found.steps]
    return Imported(scenario, _result(scenario, made, Judged({})), found.remarks, _LEAKS)


def _without_idle_looks(translated: Translated, judged: Judged) -> Translated:
    """Without the questions what a callback had seen, unless that was wrong."""
    wrong = {number for number, result in judged.results.items() if result.verdict is Verdict.FAILED}
    kept = [
        place
        for place, (step, event) in enumerate(zip(translated.steps, translated.events, strict=True))
        if step["do"] != "seen" or (event is not None and event.n in wrong)
    ]
    return without_the_end(
        replace(
            translated,
            steps=tuple(translated.steps[place] for place in kept),
            events=tuple(translated.events[place] for place in kept),
        )
    )


def _look_at_the_input(step: Step) -> None:
    """Has the harness look whether a request leaves its input alone, as H2 has it.

    A filter reads the input once, before the drivers below do: where no answer is wrong, this may be it.
    """
    plain = not {"start", "in_buffer", "out_buffer", "expect"} & step.keys()
    if step["do"] == "handshake" and step.get("route") in _KERNEL_ROUTES and plain:
        step["expect"] = {"input_intact": True}


def slug(name: str) -> str:
    """A file's name as part of a scenario's id."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "trace"


def _never_came_back(event: Event) -> bool:
    return not event.came_back and not event.unwatched


def _result(scenario: Scenario, made: list[Row], judged: Judged) -> ScenarioResult:
    steps = tuple(_step(place, row, judged) for place, row in enumerate(made))
    guilty = next((step for step in steps if step.verdict is Verdict.FAILED), None)
    reason = f'step {guilty.index + 1}, "{guilty.name}": {guilty.reason}' if guilty is not None else None
    return ScenarioResult(
        id=scenario.id,
        title=scenario.title,
        rules=tuple(rule.value for rule in scenario.rules),
        verdict=Verdict.FAILED if guilty is not None else Verdict.PASSED,
        file=SCENARIO,
        tags=tuple(scenario.tags),
        reason=reason,
        steps=steps,
        content=scenario.content,
    )


def _step(place: int, row: Row, judged: Judged) -> StepResult:
    """What came of a row: its first wrong answer, or its first one."""
    seen = [judged.results[e.n] for e in row.events if e is not None and e.n in judged.results]
    wrong = next((each for each in seen if each.verdict is Verdict.FAILED), None)
    told = wrong or (seen[0] if seen else None)
    if told is None:
        return StepResult(index=place, name=row.step["do"], do=row.step["do"], verdict=Verdict.PASSED)
    return replace(told, index=place)


def make(
    manifest: Manifest,
    imported: Imported,
    target: LoadedTarget,
    package: Package,
    trace: bytes,
    out: Path,
) -> Manifest:
    """Writes the capsule that can be played; what its manifest says.

    Args:
        manifest: of the capsule with the trace.
        imported: what the trace has become.
        target: the driver as the harness knows it.
        package: of the target: what will be played with.
        trace: kept as it came.
        out: the file to write.

    Raises:
        UsageError: it cannot be put into a capsule.
        OSError: it cannot be written.
    """
    from harness.capsule.making import target_text

    contents = Contents()
    reason = imported.reason
    origin = [f"From a trace of {manifest.origin.started}", reason, *imported.remarks]
    contents.add(SCENARIO, Role.SCENARIO, render([imported.scenario], origin).encode())
    contents.add(TARGET, Role.TARGET, target_text(target.file, target.target).encode())
    contents.add_package(package)
    contents.add(
        RESULT, Role.RESULT, "".join(f"{json.dumps(r)}\n" for r in _records(manifest, imported)).encode()
    )
    contents.add("trace.jsonl", Role.TRACE, trace)
    said = manifest.model_copy(
        update={
            "origin": manifest.origin.model_copy(update={"scenario": imported.scenario.id}),
            "target": DriverPackage(
                name=target.target.name,
                title=target.target.title,
                hardware_id=target.target.hardware_id,
                service=target.target.service,
                digest=package.digest,
            ),
            "verdict": Verdict.FAILED if imported.failed else None,
            "reason": reason,
            "files": contents.files,
            "lacks": [*imported.remarks, *manifest.lacks][:50],
        }
    )
    contents.write(out, said)
    return said


def _records(manifest: Manifest, imported: Imported) -> Iterator[Mapping[str, Any]]:
    """As lines of results.jsonl, so that what reads those of a run reads these."""
    yield {
        "kind": "run",
        "schema": 1,
        "id": "trace",
        "started": manifest.origin.started,
        "version": manifest.origin.kshs,
        "host": {},
    }
    yield from scenario_records(imported.result, order=0, worker="-")
