# SPDX-License-Identifier: Apache-2.0
"""Who is to blame when a step ends without an answer, or with one that says that it was lost.

The guest's own evidence is collected here, and `harness.running.verdict_rules` decides: a crash that it shows
is the driver's, a request that began and never came back while nothing crashed is a hang, and everything else
is an error of the harness.  What the guest's Wine is known to do wrong is weighed at last
(`harness.running.doubts`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.errors import AgentError, DriverGoneError, LimitError, StepHungError
from harness.evidence.wine_crash import BUGCHECK, DriverSymbols
from harness.guest_text import GuestJsonError, load, one_line
from harness.guests import Evidence, TakesStacks
from harness.guests.crash_record import LACKING_CALL, Crashes, sorted_crashes
from harness.planning.planned import Answer, PlannedStep
from harness.results.record import StepResult
from harness.running.doubts import weigh
from harness.running.ended import Ended, ended_by
from harness.running.under_way import whose
from harness.running.verdict_rules import Rule, Seen, Signal, decide
from harness.verdict import Verdict

if TYPE_CHECKING:
    from drivers.kernel_calls import Doubt
    from harness.agent.encode import Encoder
    from harness.agent.session import AgentSession
    from harness.guests import Guest

#: Seconds that a crash record may come after the crash: the recorder is a process of its own.
_RECORDER_TIME = 6.0
_RECORDER_POLL = 0.1
#: Between two questions whether it is at work at all: it is started by the crash, which may be this moment's.
_WORK_POLL = 0.5
#: Of that the share that it has at least, also behind a step that had been waited for long.
_LAST_SHARE = 0.25
#: Seconds that the agent has for the stacks of drivers' threads, of which it stops looking after half.
_STACKS = 30.0
#: Characters that are shown of a record that cannot be read.
_SHOWN = 200
#: Kinds of steps that the agent carries out without any driver: their hanging is no driver's.
_AGENT_KINDS = frozenset({"sleep"})


def stacks_step(encoder: Encoder) -> bytes:
    """The step by which `Attribution` asks for stacks."""
    return encoder.step("THREADS", timeout_ms=round(_STACKS * 1000))


def nobody() -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class Attribution:
    """Asks one lease for its evidence.

    Args:
        guest: of the lease.
        session: with its agent.
        crashes: the step that asks the agent for the records of the crash recorder.
        doubts: calls that the drivers under test use and that the guest's Wine gets wrong.
        symbols: of the drivers in the guest.
        spoiled: told as soon as the guest is of no further use, before anything of it is asked.
        threads: the step that asks the agent for stacks (`stacks_step`); empty: it is not asked.
    """

    guest: Guest
    session: AgentSession
    crashes: bytes
    doubts: Sequence[Doubt] = ()
    symbols: DriverSymbols = field(default_factory=DriverSymbols)
    spoiled: Callable[[], None] = nobody
    threads: bytes = b""

    def of_error(self, step: PlannedStep, error: Exception, beside: Sequence[PlannedStep] = ()) -> Ended:
        """What it means that no record came: the guest's own evidence decides.

        `beside` was started before and not waited for: a crash may be one of theirs.
        """
        self.spoiled()
        return weigh(self._of_error(step, error, beside), self.doubts)

    def of_outcome(
        self, step: PlannedStep, result: StepResult, seconds: float, beside: Sequence[PlannedStep] = ()
    ) -> Ended:
        """The agent lives and says that the step was lost or hung, after so many seconds: who knows more?"""
        self.spoiled()
        return weigh(self._of_outcome(step, result, seconds, beside), self.doubts)

    def _of_error(self, step: PlannedStep, error: Exception, beside: Sequence[PlannedStep]) -> Ended:
        evidence = self._evidence(wait=not isinstance(error, StepHungError))
        # A machine that stands still would be asked for its agent's last words in vain, and for long.
        told = list(self.session.log) if evidence.standstill else self.session.evidence().splitlines()
        shown = (*evidence.driver, *evidence.other, *told[-20:])
        rule = decide(_seen(evidence, error=error, step=step))
        if evidence.driver:
            kind, what = whose(step, beside)
            return self._crashed(rule, what, evidence, shown, kind)
        return ended_by(rule, f"{step.what}: {_of_no_answer(rule, error, evidence)}", shown)

    def of_question(self, what: str, error: AgentError | StepHungError) -> Ended:
        """What it means that the driver, or its guest, did not survive a question that no scenario asked."""
        step = PlannedStep(what, b"", 0.0, Answer.PLAIN)
        if not isinstance(error, DriverGoneError):
            return self.of_error(step, error)
        verdict = Verdict.HUNG if error.hung else Verdict.CRASHED
        return self.of_outcome(step, StepResult(0, what, step.kind, verdict, reason=str(error)), 0.0)

    def _of_outcome(
        self, step: PlannedStep, result: StepResult, seconds: float, beside: Sequence[PlannedStep]
    ) -> Ended:
        hung = result.verdict is Verdict.HUNG
        told = self._ask_crashes(0.0 if hung else _RECORDER_TIME)
        known = Evidence(driver=told.driver, other=told.other, records=told.records)
        # A driver that crashed while the agent waited looks hung from where the agent stands.
        if not told.driver:
            known = self._of_hang(seconds) if hung else self._evidence(wait=True)
        evidence = known
        crowded = step.request is not None and step.crowded and seconds >= step.timeout
        rule = decide(_seen(evidence, signal=Signal.SAYS_HUNG if hung else Signal.SAYS_LOST, crowded=crowded))
        shown = (*evidence.driver, *evidence.other)
        if rule.verdict is not Verdict.CRASHED:
            return ended_by(rule, f"{step.what}: {_of_answer(rule, step, result, evidence)}", shown)
        kind, what = whose(step, beside)
        return self._crashed(rule, what, evidence, shown, kind, result.reason or "")

    def _crashed(
        self,
        rule: Rule,
        what: str,
        evidence: Evidence,
        shown: tuple[str, ...],
        kind: str | None,
        reason: str = "",
    ) -> Ended:
        """A crash: the record that counts, named by the symbols of its drivers; else what the agent said."""
        crash = _crash_of(evidence.driver)
        record = evidence.records.get(crash)
        said = evidence.driver
        if record is not None and record.kind == "bugcheck" and not any(BUGCHECK in line for line in said):
            said = self._ask_guest().driver  # the agent told it, which cannot know the parameters
        named = self.symbols.named(crash, record, kind, said)
        where = f": {named.place}" if named is not None and named.place else ""
        shown += tuple(f"called by {caller}" for caller in (named.callers if named is not None else ()))
        return replace(ended_by(rule, f"{what}: {crash or reason}{where}", shown, crash=crash), named=named)

    def afterwards(self) -> Ended | None:
        """A crash that came behind the last answer, where the lease goes and nothing else would show it.

        The agent tells of each crash once: what was there before was asked for before.
        """
        what = "after the last step"
        try:
            found = _crashes_of(self.session.run(self.crashes, what=what, timeout=10.0).data)
        except (AgentError, StepHungError):
            evidence = self._evidence(wait=True)
        else:
            evidence = Evidence(driver=found.driver, other=found.other, records=found.records)
            if found.ended and not found.driver:
                evidence = self._evidence(wait=True)
                if not (evidence.driver or evidence.gone or evidence.standstill):
                    evidence = replace(evidence, driver=found.ended)
        if not evidence.driver:
            return None
        shown = (*evidence.driver, *evidence.other)
        rule = decide(_seen(evidence, signal=Signal.BEHIND))
        return weigh(self._crashed(rule, what, evidence, shown, None), self.doubts)

    def _ask_crashes(self, seconds: float) -> Crashes:
        """The crash recorder's records, through the agent; empty when there are none in that time."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                record = self.session.run(self.crashes, what="crashes", timeout=10.0)
            except (AgentError, StepHungError):
                return Crashes()
            found = _crashes_of(record.data)
            if found.driver or time.monotonic() > deadline:
                return found
            time.sleep(_RECORDER_POLL)

    def _evidence(self, *, wait: bool) -> Evidence:
        """The guest's evidence; given time to appear where a crash is likely."""
        deadline = time.monotonic() + (_RECORDER_TIME if wait else 0.0)
        while True:
            evidence = self._ask_guest()
            # Not what crashed beside the drivers: theirs may still come.
            known = evidence.driver or evidence.gone or evidence.standstill
            if known or time.monotonic() >= deadline:
                return evidence
            time.sleep(_RECORDER_POLL)

    def _of_hang(self, seconds: float) -> Evidence:
        """The guest's evidence of a step that hung for so long: a crash in it may still be written down.

        It had its whole limit for that, but for a crash of the last moment.  A guest that says twice that no
        recorder is at work need not be waited for; in the time between the two its threads are looked at.
        One at work has its whole time.  Where it still writes nothing, what it was started for counts:
        a guest that is hardly let run takes longer for it than a driver may take for an answer.
        """
        deadline = time.monotonic() + max(_RECORDER_TIME - seconds, _RECORDER_TIME * _LAST_SHARE)
        idle, taken, waited = 0, False, False
        while True:
            evidence = self._ask_guest()
            asked = time.monotonic()
            idle = idle + 1 if evidence.recording is False else 0
            known = evidence.driver or evidence.gone or evidence.standstill
            if evidence.recording and not waited:
                deadline, waited = max(deadline, asked + _RECORDER_TIME), True
            if known or idle > 1 or asked >= deadline:
                return evidence if known else replace(evidence, driver=evidence.unrecorded)
            if idle and not taken and isinstance(self.guest, TakesStacks):
                self.guest.take_stacks(self._ask_threads)
                taken = True
                deadline += time.monotonic() - asked  # none of it was the recorder's
            time.sleep(max(0.0, asked + _WORK_POLL - time.monotonic()))

    def _ask_threads(self) -> bytes:
        """Where drivers' threads stand, by an agent that has just said that one of them hangs."""
        if not self.threads:
            return b""
        try:
            return self.session.run(self.threads, what="stacks", timeout=_STACKS).data
        except (AgentError, StepHungError):
            return b""

    def _ask_guest(self) -> Evidence:
        try:
            return self.guest.evidence()
        except Exception as error:  # a guest's words that nobody can read must not cost a verdict
            return Evidence(other=(f"the guest's evidence cannot be read: {type(error).__name__}: {error}",))


def _crashes_of(data: bytes) -> Crashes:
    """The crash recorder's records in words; what is no such record is evidence all the same."""
    try:
        found = load(data or b"[]")
    except GuestJsonError as error:
        return Crashes(driver=(f"a crash record that cannot be read: {error}",))
    items = found if isinstance(found, list) else [found]
    return sorted_crashes(item if isinstance(item, dict) else _unread(item) for item in items)


def _crash_of(crashes: tuple[str, ...]) -> str:
    """The one that counts; a call of what this Wine lacks only where there is no other.  Empty: no crash."""
    real = (crash for crash in crashes if not crash.startswith(LACKING_CALL))
    return next(real, crashes[0] if crashes else "")


def _unread(record: object) -> str:
    return f"a crash record that cannot be read: {one_line(str(record), _SHOWN)}"


def _seen(
    evidence: Evidence,
    *,
    signal: Signal | None = None,
    error: Exception | None = None,
    step: PlannedStep | None = None,
    crowded: bool = False,
) -> Seen:
    """What all oracles say together, of a signal or of the exception that was one."""
    if signal is None:
        signal = Signal.LOST
        if isinstance(error, LimitError):
            signal = Signal.LIMIT
        elif isinstance(error, StepHungError):
            signal = Signal.OVERDUE
    return Seen(
        signal,
        crash=bool(evidence.driver),
        gone=evidence.gone,
        standstill=evidence.standstill is not None,
        begun=error.begun if isinstance(error, StepHungError) else True,
        agents=step is not None and step.kind in _AGENT_KINDS,
        crowded=crowded,
    )


def _of_no_answer(rule: Rule, error: Exception, evidence: Evidence) -> str:
    """Why there is no answer, where the guest shows no crash."""
    if isinstance(error, StepHungError) and rule.signal is Signal.OVERDUE and not evidence.gone:
        if evidence.standstill is not None:
            return f"no answer in {error.waited:.0f} s, but {evidence.standstill}"
        if rule.verdict is Verdict.HUNG:
            return f"no answer in {error.waited:.0f} s, and the guest shows no crash"
        return f"the agent stopped answering ({error})"
    if rule.signal is Signal.LIMIT and evidence.standstill is not None:
        return f"{error}, but {evidence.standstill}"
    return str(error)


def _of_answer(rule: Rule, step: PlannedStep, result: StepResult, evidence: Evidence) -> str:
    """What it means that the agent says that the step was lost or hung, where that is no crash."""
    if rule.name == "crowded" and step.request is not None:
        return (
            f"its {step.request.repeat} requests did not get through in"
            f" {step.timeout:g} s, which is all that one step has, and none of them is known to hang:"
            " make several steps of it"
        )
    if rule.verdict is Verdict.ERROR:
        # What the driver lived in has gone down with the machine, or with its disk.
        return f"{result.reason}, but {evidence.standstill or 'the machine is gone'}"
    return str(result.reason)
