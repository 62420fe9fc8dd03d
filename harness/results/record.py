# SPDX-License-Identifier: Apache-2.0
"""Results as dataclasses, and as the records of ``results.jsonl`` (docs/results.md)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from harness.results.rule_outcome import judged_rules
from harness.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """One field of a status block, as expected and as it came, in words for people.

    `expected_values` and `got_value` are the same as values (statuses and arguments as numbers), for those
    who compare runs; None where there is none: nothing was laid down, or nothing came.
    """

    field: str
    expected: str
    got: str
    ok: bool
    rule: str | None = None
    clause: str | None = None
    characteristic: bool = False
    expected_values: tuple[int | str | bool, ...] | None = None
    got_value: int | str | bool | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step of a scenario: what was asked, what came, what is said of it."""

    index: int
    name: str
    do: str
    verdict: Verdict
    route: str | None = None
    mode: str | None = None
    rule: str | None = None
    line: int | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    status_block: Mapping[str, Any] | None = None
    comparisons: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def mismatches(self) -> tuple[Comparison, ...]:
        """The comparisons that speak against the driver."""
        return tuple(c for c in self.comparisons if not c.ok and not c.characteristic)


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """One scenario on one lease; `content` is the digest of what it sends and expects.

    `ended` names the rule by which it ended before its last answer (docs/results.md), `again` says that it is
    an error which another try may mend.
    """

    id: str
    title: str
    rules: tuple[str, ...]
    verdict: Verdict
    file: str
    line: int | None = None
    tags: tuple[str, ...] = ()
    reason: str | None = None
    steps: tuple[StepResult, ...] = ()
    evidence: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    seconds: float = 0.0
    guest_seconds: float = 0.0
    lease: str | None = None
    incident: str | None = None
    ended: str | None = None
    again: bool = False
    crash: Mapping[str, Any] | None = None
    signature: Mapping[str, Any] | None = None
    content: str | None = None

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes of its requests, each once, in the order of their first use."""
        return tuple(dict.fromkeys(step.route for step in self.steps if step.route))


#: What JSON has as it is.  Exact types: most values are of these, and a dictionary's look-up is quick.
_AS_IT_IS = frozenset((str, int, float, bool, type(None)))


def _plain(value: Any) -> Any:
    """JSON's view of a dataclass field: 64-bit numbers stay numbers, bytes become hex."""
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    if kind is dict:
        return {str(key): _plain(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (str, int, float)):
        return value
    return str(value)


@functools.cache
def _names(kind: Hashable, but: str = "") -> tuple[str, ...]:
    """The fields of a dataclass, in order."""
    return tuple(each.name for each in dataclasses.fields(cast("Any", kind)) if each.name != but)


def _fields(value: Any, but: str = "") -> dict[str, Any]:
    """JSON's view of a dataclass; `asdict` copies each value deeply, ten thousand times a run."""
    return {name: _plain(getattr(value, name)) for name in _names(cast("Hashable", type(value)), but)}


#: In a part only: a scenario that is about to run.
BEGUN = "begun"


def begun_record(result: ScenarioResult, *, order: int, worker: str) -> dict[str, Any]:
    """The line that says that a scenario is about to run, with what is known of it by then."""
    known = ("id", "title", "rules", "file", "line", "tags", "content")
    return {
        "kind": BEGUN,
        "order": order,
        "worker": worker,
        **_plain({name: getattr(result, name) for name in known}),
    }


def result_of_begun(
    record: Mapping[str, Any], verdict: Verdict, reason: str, lease: str | None
) -> ScenarioResult:
    """What is said of a scenario of which nothing but its begin is on record."""
    return ScenarioResult(
        id=str(record["id"]),
        title=str(record["title"]),
        rules=tuple(record["rules"]),
        verdict=verdict,
        file=str(record["file"]),
        line=record["line"],
        tags=tuple(record["tags"]),
        reason=reason,
        lease=lease,
        content=record.get("content"),
    )


def scenario_records(result: ScenarioResult, *, order: int, worker: str) -> Iterator[dict[str, Any]]:
    """The lines of one scenario: its verdict, then one a step."""
    yield {
        "kind": "scenario",
        "order": order,
        "worker": worker,
        "step_count": len(result.steps),
        "routes": list(result.routes),
        "judged": judged_rules(result.rules, result.steps),
        **_fields(result, "steps"),
    }
    for step in result.steps:
        yield {
            "kind": "step",
            "order": order,
            "scenario": result.id,
            **_fields(step, "comparisons"),
            "comparisons": [_fields(comparison) for comparison in step.comparisons],
        }


def result_of_records(scenario: Mapping[str, Any], steps: Iterable[Mapping[str, Any]]) -> ScenarioResult:
    """A result as `scenario_records` put it on record.

    Raises:
        KeyError, TypeError, ValueError: the records are damaged.
    """
    return ScenarioResult(
        **{
            **_given(ScenarioResult, scenario, "steps"),
            "verdict": Verdict(scenario["verdict"]),
            **{name: tuple(map(str, scenario[name])) for name in ("rules", "tags", "evidence")},
        },
        steps=tuple(map(_step_of, steps)),
    )


def _step_of(record: Mapping[str, Any]) -> StepResult:
    return StepResult(
        **{
            **_given(StepResult, record, "comparisons"),
            "verdict": Verdict(record["verdict"]),
            "notes": tuple(record["notes"]),
        },
        comparisons=tuple(map(_comparison_of, record["comparisons"])),
    )


def _comparison_of(record: Mapping[str, Any]) -> Comparison:
    values = record["expected_values"]
    known = _given(Comparison, record, "expected_values")
    return Comparison(**known, expected_values=None if values is None else tuple(values))


def _given(kind: Hashable, record: Mapping[str, Any], but: str) -> dict[str, Any]:
    """The fields of a dataclass that a record has."""
    return {name: record[name] for name in _names(kind, but) if name in record}
