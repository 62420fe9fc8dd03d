# SPDX-License-Identifier: Apache-2.0
"""Runs the cases of the self-test, one after the other, and looks at what came of each."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.agent.journal import Journal
from harness.agent.pending import Channel
from harness.errors import HarnessError
from harness.evidence.incidents import FACTS, Incidents
from harness.guests import DriverFiles, Evidence, EvidenceSink, Guest, Say
from harness.guests.provider import VmGuest, VmProvider
from harness.incident_settings import IncidentsConfig
from harness.results.record import ScenarioResult
from harness.running.runner import Runner
from harness.selftest.case import FINE, STRUCK, Case, Finding, Scene
from harness.verdict import Verdict

if TYPE_CHECKING:
    from drivers.abi import Abi
    from harness.language.model import Target

#: Seconds beyond a step's own time after which it is overdue: short, for the wait is a part of every hang.
MARGIN = 5.0
#: The run's name in the folder of its incidents.
RUN = "selftest"


class _StandIn:
    """A guest whose agent is another program."""

    def __init__(self, guest: VmGuest, agent: str) -> None:
        self.guest = guest
        self._agent = agent

    @property
    def id(self) -> str:
        return self.guest.id

    def open_agent(self) -> Channel:
        return self.guest.lease.shell.channel(self._agent)

    def evidence(self) -> Evidence:
        return self.guest.evidence()

    def leave_evidence(
        self, into: EvidenceSink, *, hung: bool = False, memory_dump: bool = True
    ) -> Mapping[str, Any]:
        return self.guest.leave_evidence(into, hung=hung, memory_dump=memory_dump)

    def close(self) -> None:
        self.guest.close()


class _Provider:
    """Real guests; the agent of the next one may be another program."""

    def __init__(self, real: VmProvider) -> None:
        self._real = real
        self.agent: str | None = None

    def target(self) -> Target:
        return self._real.target()

    def target_digest(self) -> str:
        return self._real.target_digest()

    def prepare(self, say: Say) -> None:
        self._real.prepare(say)

    def acquire(self) -> Guest:
        guest = self._real.acquire()
        agent, self.agent = self.agent, None
        if agent is None:
            return guest
        if not isinstance(guest, VmGuest):
            raise HarnessError("the self-test needs guests of its own")
        return _StandIn(guest, agent)

    def driver_files(self) -> DriverFiles:
        return self._real.driver_files()

    def host(self) -> Mapping[str, Any]:
        return self._real.host()

    def close(self) -> None:
        self._real.close()


@dataclass
class SelfTest:
    """A session of the self-test: guests, a runner, and a directory for what it leaves.

    Args:
        provider: of guests with the sample target.
        abi: of this harness.
        out: the directory.
        settings: table [incidents].
    """

    provider: VmProvider
    abi: Abi
    out: Path
    settings: IncidentsConfig

    def __post_init__(self) -> None:
        self._provider = _Provider(self.provider)
        self.out.mkdir(parents=True, exist_ok=True)
        self._journal = Journal(self.out / "journal.jsonl")
        incidents = Incidents(
            self.out, RUN, "main", self.settings, lambda: self._provider.host(), self._provider.driver_files
        )
        self._runner = Runner(self._provider, self.abi, self._journal, margin=MARGIN, incidents=incidents)

    def run(self, cases: Sequence[Case], say: Callable[[str], None]) -> Iterator[Finding]:
        """What came of each case.

        Raises:
            HarnessError, VmError, BuildError: guests cannot be had, or the sample does not pass on one.
        """
        self._provider.prepare(say)
        first = self._runner.run(FINE, file=RUN)
        if first.verdict is not Verdict.PASSED:
            raise HarnessError(
                f"the sample target does not pass before anything was provoked: {first.reason}",
                hint="kshs doctor, then kshs run --tag smoke",
            )
        for case in cases:
            say(f"{case.name}: {case.what}")
            yield self._finding(case)

    def close(self) -> None:
        """Gives the guests back."""
        self._runner.close()
        self._journal.close()

    def _finding(self, case: Case) -> Finding:
        begun = time.monotonic()
        result, failed = self._provoked(case)
        lease = result.lease
        problems = [*self._of_verdict(case, result), *self._of_evidence(case, result), *failed]
        continued, wrong = self._continued(case, lease)
        problems += wrong
        facts = self._facts(result)
        return Finding(
            name=case.name,
            what=case.what,
            expected=tuple(verdict.value for verdict in case.verdicts),
            verdict=result.verdict.value,
            reason=result.reason,
            struck=facts.get("in_flight", {}).get("what"),
            incident=result.incident,
            pieces=tuple(sorted(facts.get("files", {}))),
            continued=continued,
            problems=tuple(problems),
            seconds=round(time.monotonic() - begun, 2),
        )

    def _provoked(self, case: Case) -> tuple[ScenarioResult, list[str]]:
        """The scenario, run while it happens; of an exception comes what `kshs run` makes of it."""
        scene: Scene | None = None
        try:
            scene = self._scene(case)
            if case.provoke is not None:
                case.provoke(scene)
            return self._runner.run(case.scenario, file=RUN), scene.failed
        except Exception as error:
            wrong = [] if scene is not None else [f"nothing could be provoked: {error}"]
            result = ScenarioResult(
                id=case.scenario.id,
                title=case.scenario.title,
                rules=(),
                verdict=Verdict.ERROR,
                file=RUN,
                reason=f"{type(error).__name__}: {error}",
                lease=scene.guest.id if scene is not None else None,
            )
            return result, wrong
        finally:
            for undo in scene.undo if scene is not None else ():
                undo()

    def _scene(self, case: Case) -> Scene:
        if case.agent is not None:
            self._runner.discard()
            self._provider.agent = case.agent
        session = self._runner.ready()
        guest = self._runner.guest
        real = guest.guest if isinstance(guest, _StandIn) else guest
        if not isinstance(real, VmGuest):
            raise HarnessError("the self-test needs guests of its own")
        return Scene(self._runner, real, session)

    @staticmethod
    def _of_verdict(case: Case, result: ScenarioResult) -> Iterator[str]:
        if result.verdict not in case.verdicts:
            expected = " or ".join(verdict.value for verdict in case.verdicts)
            yield f"the verdict is {result.verdict.value}, not {expected}: {result.reason}"
        elif case.says and not re.search(case.says, result.reason or ""):
            yield f"the reason does not hold {case.says!r}: {result.reason}"

    def _of_evidence(self, case: Case, result: ScenarioResult) -> Iterator[str]:
        shown = [*result.evidence, *result.said]
        facts = self._facts(result)
        shown.append(str(facts.get("machine", {}).get("event", "")))
        for wanted in case.shows:
            if not any(re.search(wanted, line) for line in shown):
                yield f"no evidence holds {wanted!r}"
        if result.verdict is Verdict.PASSED or not case.pieces:
            return
        if not facts:
            yield "no incident was kept"
            return
        lacking = [piece for piece in case.pieces if piece not in facts["files"]]
        if lacking:
            why = "; ".join(f"{name}: {reason}" for name, reason in facts["missing"].items())
            yield f"the incident lacks {', '.join(lacking)} ({why or 'and does not say why'})"
        struck = facts["in_flight"]["what"] or ""
        if case.agent is None and STRUCK not in struck:
            yield f"the incident names another request than the one in flight: {struck or 'none'}"

    def _facts(self, result: ScenarioResult) -> dict[str, Any]:
        if result.incident is None:
            return {}
        try:
            value = json.loads((self.out / result.incident / FACTS).read_bytes())
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def _continued(self, case: Case, lease: str | None) -> tuple[str, list[str]]:
        """The next scenario must pass, and on a clean guest."""
        try:
            after = self._runner.run(FINE, file=RUN)
        except Exception as error:
            return f"{type(error).__name__}: {error}", [f"the next scenario could not be run: {error}"]
        if after.verdict is not Verdict.PASSED:
            return str(after.reason), [f"the next scenario is {after.verdict.value}: {after.reason}"]
        if (after.lease != lease) is not case.fresh:
            wrong = "the same guest was used again" if case.fresh else "the guest was thrown away"
            return wrong, [wrong]
        return "on a fresh guest" if case.fresh else "on the same guest", []
