# SPDX-License-Identifier: Apache-2.0
"""Which failures have one cause, as far as their records tell.

A wrong driver fails hundreds of scenarios in a handful of ways.  Two failures have one cause when the same
rule was broken in the same field by the same kind of answer, or when the same crash ended them; what differs
from scenario to scenario (lengths, routes, step numbers, addresses of buffers) does not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.verdict import SEVERITY, Verdict

#: Verdicts that somebody has to look at, worst first.
LOUD = tuple(v for v in reversed(SEVERITY) if v not in (Verdict.PASSED, Verdict.SKIPPED))

_STATUS = re.compile(r"\b(STATUS_\w+|[A-Z]\w*) \(0x[0-9A-Fa-f]{8}\)")
_PLACE = re.compile(r"\S+\.(?:sys|dll|exe)\+0x[0-9a-fA-F]+|bugcheck 0x[0-9a-fA-F]+")
_AT_STEP = re.compile(r'^step \d+, ".*?": ')
_VARYING = re.compile(r"0x[0-9a-fA-F]+|\b\d+(?:\.\d+)?\b")


@dataclass(frozen=True, slots=True)
class Cause:
    """What failures have in common: `key` is equal for equal causes, `words` say it."""

    verdict: str
    key: tuple[str, ...]
    words: str


def cause_of(scenario: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> Cause | None:
    """The cause of one scenario's failure; None where it has not failed.

    Args:
        scenario: its record.
        steps: the records of its steps.
    """
    verdict = str(scenario["verdict"])
    if verdict not in LOUD:
        return None
    guilty = next((step for step in steps if step["verdict"] == verdict), None)
    kind = _kind(guilty) if guilty is not None else "-"
    reason = str((guilty or {}).get("reason") or scenario.get("reason") or "no reason given")
    if verdict == Verdict.FAILED and guilty is not None:
        wrong = next((c for c in guilty["comparisons"] if not c["ok"] and not c["characteristic"]), None)
        if wrong is not None:
            return _of_comparison(verdict, kind, wrong)
    if verdict == Verdict.CRASHED:
        signature = scenario.get("signature")
        if signature:
            # Its key holds what one crash has in common with its like (harness.evidence.signature).
            text = str(signature["text"])
            return Cause(verdict, (verdict, "signature", text), f"crash: {text.replace('|', ', ')}")
        place = next((found[0] for text in _texts(scenario, reason) if (found := _PLACE.search(text))), None)
        if place is not None:
            return Cause(verdict, (verdict, place), f"crash at {place}")
    if verdict == Verdict.HUNG:
        return Cause(verdict, (verdict, kind, _steady(reason)), reason)
    return Cause(verdict, (verdict, _steady(reason)), reason)


def reason_first(scenario: Mapping[str, Any], steps: Sequence[Mapping[str, Any]] = ()) -> str:
    """Why it did not pass, in one line that begins with the reason and ends with the step.

    Args:
        scenario: its verdict and its reason, which begins with the step.
        steps: of each its verdict, index and name.
    """
    reason = str(scenario.get("reason") or "no reason given")
    step = next((step for step in steps if step["verdict"] == scenario["verdict"]), None)
    named = _AT_STEP.match(reason)
    if step is None or named is None:
        return reason
    return f'{reason[named.end() :]} (step {step["index"] + 1}, "{step["name"]}")'


def grouped(
    scenarios: Iterable[tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]],
) -> dict[Cause, list[Mapping[str, Any]]]:
    """Failures by cause: worst verdict first, then the causes of most; members in their order.

    The words of a cause are those of its first member.
    """
    found: dict[tuple[str, ...], tuple[Cause, list[Mapping[str, Any]]]] = {}
    for scenario, steps in scenarios:
        cause = cause_of(scenario, steps)
        if cause is not None:
            found.setdefault(cause.key, (cause, []))[1].append(scenario)
    rank = {verdict.value: number for number, verdict in enumerate(LOUD)}
    ordered = sorted(found.values(), key=lambda item: (rank[item[0].verdict], -len(item[1])))
    return dict(ordered)


def _kind(step: Mapping[str, Any]) -> str:
    """The kind of a step; of one that waits for a handshake a handshake's, for its answer is what is judged.

    Of what is waited for, a handshake alone has a route.
    """
    do = str(step["do"])
    return "handshake" if do == "wait" and step.get("route") else do


def _of_comparison(verdict: str, kind: str, wrong: Mapping[str, Any]) -> Cause:
    field = str(wrong["field"]).replace("_", " ")
    rule = wrong.get("rule") or "-"
    expected, got = str(wrong["expected"]), str(wrong["got"])
    words = f"{rule}: {field} is {_short(got)}, expected {_short(expected)}"
    return Cause(verdict, (verdict, kind, rule, field, _answer(expected), _answer(got)), words)


def _answer(text: str) -> str:
    """An answer as far as it tells causes apart: statuses by name, other values by their kind."""
    names = _STATUS.findall(text)
    if names:
        return " ".join(sorted(set(names)))
    if len(text) > 40:
        return "long value"
    # A value that nobody wrote and one that was cleared are other causes than a wrong value.
    digits = text.lower().removeprefix("0x")
    if digits and not digits.strip("0"):
        return "zero"
    return "untouched" if re.fullmatch("(?:cc){4,8}", digits) else _steady(text)


def _steady(text: str) -> str:
    """A text without what varies: numbers and addresses."""
    return _VARYING.sub("#", text)[:200]


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def _texts(scenario: Mapping[str, Any], reason: str) -> list[str]:
    return [*map(str, scenario.get("evidence") or ()), reason]
