# SPDX-License-Identifier: Apache-2.0
"""Which verdict it is when a step ends without an answer, or with one that says that it was lost or hung.

One table (`RULES`), read from its top; the first rule that fits decides.  It combines all that tells of the
end: the session with the agent, the watchdogs of request, step and scenario, the state of the domain, and
what shows a crash of the drivers: the hypervisor's event, the crash recorder, bugchecks, a stop of Driver
Verifier.  docs/results.md shows the same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from harness.verdict import Verdict


class Signal(StrEnum):
    """How it was noticed that there is no answer."""

    LOST = "the session with the agent ended"
    OVERDUE = "no record in the step's time"
    SAYS_LOST = "the agent says that the kernel side vanished"
    SAYS_HUNG = "the agent says that the request did not come back"
    LIMIT = "all the time of the step or the scenario was over"
    BEHIND = "nothing: all steps have answered"


@dataclass(frozen=True, slots=True)
class Seen:
    """What all oracles together say.

    `crash`: something shows a crash of the drivers or of the kernel they live in.  `gone`: the machine itself
    has ended.  `standstill`: it is there and could not go on (paused, stopped, its disk full; a Linux that
    does not answer).  `begun`: the agent had announced the step.  `agents`: no driver takes part in the step.
    `crowded`: the step was many requests, none of which is known to have hung, and all that a step may take
    was over.
    """

    signal: Signal
    crash: bool = False
    gone: bool = False
    standstill: bool = False
    begun: bool = True
    agents: bool = False
    crowded: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: `when` holds what must be so of `Seen`; `verdict` is None where nothing ended.

    `again` says that another try on a fresh lease may tell what this one could not: our own infrastructure
    failed, and neither the scenario nor the guest's known lacks did.
    """

    name: str
    signal: Signal | None
    verdict: Verdict | None
    again: bool = False
    when: Mapping[str, bool] = field(default_factory=dict)

    def fits(self, seen: Seen) -> bool:
        """Whether it decides, where no rule above it does."""
        return self.signal in (None, seen.signal) and all(
            getattr(seen, name) is value for name, value in self.when.items()
        )


RULES = (
    Rule("crash-shown", None, Verdict.CRASHED, when={"crash": True}),
    Rule("nothing-shown", Signal.BEHIND, None),
    Rule("session-lost", Signal.LOST, Verdict.ERROR, again=True),
    Rule("overdue-gone", Signal.OVERDUE, Verdict.ERROR, again=True, when={"gone": True}),
    Rule("overdue-standstill", Signal.OVERDUE, Verdict.ERROR, again=True, when={"standstill": True}),
    Rule("overdue-not-begun", Signal.OVERDUE, Verdict.ERROR, again=True, when={"begun": False}),
    Rule("overdue-agent", Signal.OVERDUE, Verdict.ERROR, again=True, when={"agents": True}),
    Rule("overdue", Signal.OVERDUE, Verdict.HUNG),
    Rule("vanished-gone", Signal.SAYS_LOST, Verdict.ERROR, again=True, when={"gone": True}),
    Rule("vanished-standstill", Signal.SAYS_LOST, Verdict.ERROR, again=True, when={"standstill": True}),
    Rule("vanished", Signal.SAYS_LOST, Verdict.CRASHED),
    Rule("crowded", Signal.SAYS_HUNG, Verdict.ERROR, when={"crowded": True}),
    Rule("hung-standstill", Signal.SAYS_HUNG, Verdict.ERROR, again=True, when={"standstill": True}),
    Rule("hung", Signal.SAYS_HUNG, Verdict.HUNG),
    Rule("limit-gone", Signal.LIMIT, Verdict.ERROR, again=True, when={"gone": True}),
    Rule("limit-standstill", Signal.LIMIT, Verdict.ERROR, again=True, when={"standstill": True}),
    Rule("limit", Signal.LIMIT, Verdict.ERROR),
)

#: What a condition is called in the table of docs/results.md.
_CONDITIONS: Mapping[tuple[str, bool], str] = {
    ("crash", True): "a crash of the drivers is shown",
    ("gone", True): "the machine has ended",
    ("standstill", True): "the machine stands still",
    ("begun", False): "the agent never began the step",
    ("agents", True): "no driver takes part in the step",
    ("crowded", True): "it was many requests, of which none is known to hang",
}


def decide(seen: Seen) -> Rule:
    """The rule that decides: the first that fits."""
    return next(rule for rule in RULES if rule.fits(seen))


def table() -> list[str]:
    """The rules as the lines of a table in Markdown, in their order."""
    rows = ["| rule | noticed by | and | verdict | tried again |", "|---|---|---|---|---|"]
    for rule in RULES:
        conditions = " and ".join(_CONDITIONS[condition] for condition in rule.when.items())
        cells: list[Any] = [
            f"`{rule.name}`",
            rule.signal.value if rule.signal is not None else "anything",
            conditions,
            rule.verdict.value if rule.verdict is not None else "that of the answers",
            "yes" if rule.again else "",
        ]
        rows.append("| " + " | ".join(cells).replace("|  |", "| |") + " |")
    return [row.replace("|  |", "| |").replace("|  |", "| |") for row in rows]
