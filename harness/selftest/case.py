# SPDX-License-Identifier: Apache-2.0
"""One case of the self-test: what is provoked, and what must come of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.guests.provider import VmGuest
from harness.language.model import Scenario
from harness.verdict import Verdict

if TYPE_CHECKING:
    from harness.agent.session import AgentSession
    from harness.running.runner import Runner

#: Seconds for a request to be on its way, and between two looks.
_PATIENCE = 60.0
_LOOK = 0.02
#: How the step is called that is to be struck, as plans call it.
STRUCK = "handshake source"


@dataclass
class Scene:
    """What a provocation can reach: the runner, the guest of its lease, and the session with the agent."""

    runner: Runner
    guest: VmGuest
    session: AgentSession
    #: Undone after the case, whatever came of it.
    undo: list[Callable[[], None]] = field(default_factory=list)
    #: What went wrong in a thread of the provocation.
    failed: list[str] = field(default_factory=list)

    def when_in_flight(self, act: Callable[[Scene], None]) -> None:
        """Does something, in a thread of its own, once the request is inside the driver."""
        threading.Thread(target=self._strike, args=(act,), name="kshs-selftest", daemon=True).start()

    def _strike(self, act: Callable[[Scene], None]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            pending = self.session.in_flight
            if pending is not None and pending.begun_at is not None and STRUCK in pending.what:
                time.sleep(0.3)  # from the agent's word that it begins to the callback
                try:
                    act(self)
                except Exception as error:
                    self.failed.append(f"{type(error).__name__}: {error}")
                return
            time.sleep(_LOOK)
        self.failed.append("the request that was to be struck was never on its way")


@dataclass(frozen=True)
class Case:
    """What is provoked, and what must come of it.

    Args:
        name: of the case, for `--only` and for tables.
        what: happens, in words.
        scenario: during which it happens.
        verdicts: those that it may have.
        says: a regular expression that its reason must hold; empty: none is looked for.
        provoke: makes it happen, where the scenario alone does not; called before the scenario is sent.
        agent: a command line of the guest's Linux that stands in for the agent.
        shows: regular expressions, each of which one line of evidence must hold.
        pieces: files that the incident's folder must have.
        fresh: whether the next scenario must get another guest.
        short: whether it belongs to the short self-test.
    """

    name: str
    what: str
    scenario: Scenario
    verdicts: tuple[Verdict, ...]
    says: str = ""
    provoke: Callable[[Scene], None] | None = None
    agent: str | None = None
    shows: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()
    fresh: bool = True
    short: bool = False

    @property
    def is_incident(self) -> bool:
        """Whether evidence must be kept of it."""
        return Verdict.PASSED not in self.verdicts


@dataclass(frozen=True)
class Finding:
    """What came of one case; `problems` is empty where all of it is as it must be."""

    name: str
    what: str
    expected: tuple[str, ...]
    verdict: str | None
    reason: str | None
    struck: str | None
    incident: str | None
    pieces: tuple[str, ...]
    continued: str
    problems: tuple[str, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether verdict, evidence and continuation were right."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """For JSON and tables."""
        shown: Mapping[str, Any] = {**self.__dict__, "ok": self.ok}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in shown.items()}


def scenario(name: str, *steps: Mapping[str, Any], timeout_ms: int = 20000) -> Scenario:
    """A scenario of the self-test; all of them use the sample target's pin `source`."""
    return Scenario.model_validate(
        {
            "id": f"selftest.{name}",
            "title": f"self-test: {name.replace('-', ' ')}",
            "rule": "H9",
            "open": ["source"],
            "timeout_ms": timeout_ms,
            "steps": list(steps),
        }
    )


def behave(kind: str, **more: Any) -> Mapping[str, Any]:
    """A step that tells the callback what to do."""
    return {"do": "behaviour", "pin": "source", "kind": kind, **more}


#: A request by an IRP of the client's own.
HANDSHAKE: Mapping[str, Any] = {"do": "handshake", "on": "source", "route": "irp", "argument1": 7}
#: What must pass after each case.
FINE = scenario("fine", HANDSHAKE)
#: The table of the built-in cases stands in `harness.selftest.cases`.
OUT = Path("out/selftest")
