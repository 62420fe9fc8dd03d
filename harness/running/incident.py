# SPDX-License-Identifier: Apache-2.0
"""From what ended a scenario to the incident that is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from harness.evidence import debug_output
from harness.evidence.incidents import Incident, Kept
from harness.guests import Guest, TellsWhatDriversSay
from harness.results.record import StepResult
from harness.running.ended import Ended
from harness.running.under_way import under_way

if TYPE_CHECKING:
    from harness.agent.session import AgentSession
    from harness.running.answers import Answers
    from harness.running.flight import Flight

#: Lines of the session with the agent that are kept.
_LINES = 200
#: Bytes of what drivers printed that are looked through.
_LOG_BYTES = 256 << 10


class KeepsIncidents(Protocol):
    """Keeps the evidence of one incident while its guest is still there (`harness.evidence.incidents`)."""

    def keep(self, incident: Incident, guest: Guest) -> Kept:
        """Never raises."""


def said(guest: Guest, steps: Sequence[StepResult]) -> tuple[str, ...]:
    """What the drivers printed during a scenario, each line with its step; empty where nobody keeps it."""
    if not isinstance(guest, TellsWhatDriversSay):
        return ()
    return debug_output.told(debug_output.printed(guest.session_log(_LOG_BYTES)), steps)


def kept(
    keeper: KeepsIncidents | None, guest: Guest, flight: Flight, answers: Answers, ended: Ended
) -> Ended:
    """What ended a scenario, with where its evidence is; the guest may be thrown away afterwards."""
    if keeper is None:
        return ended
    scenario = flight.planned.scenario
    place = next((place for place, step in enumerate(flight.planned.steps) if step is ended.step), None)
    failure = flight.session.failure
    incident = Incident(
        scenario=scenario.id,
        title=scenario.title,
        file=flight.file,
        line=None,
        verdict=ended.verdict,
        reason=ended.reason,
        in_flight=ended.step.what if ended.step is not None else None,
        step=place,
        under_way=() if place is None else under_way(flight.planned.steps, place),
        steps=answers.steps,
        evidence=ended.evidence,
        agent=list(flight.session.log)[-_LINES:],
        failure=str(failure) if failure is not None else None,
    )
    return _with_evidence(ended, keeper.keep(incident, guest))


def kept_of_question(
    keeper: KeepsIncidents | None, guest: Guest, session: AgentSession, what: str, ended: Ended
) -> Ended:
    """The same of a driver that did not survive a question which no scenario asked."""
    if keeper is None:
        return ended
    failure = session.failure
    incident = Incident(
        scenario=what,
        title=what,
        file="",
        line=None,
        verdict=ended.verdict,
        reason=ended.reason,
        in_flight=what,
        step=None,
        steps=(),
        evidence=ended.evidence,
        agent=list(session.log)[-_LINES:],
        failure=str(failure) if failure is not None else None,
    )
    return _with_evidence(ended, keeper.keep(incident, guest))


def _with_evidence(ended: Ended, result: Kept) -> Ended:
    note = (f"evidence was not kept: {result.why}",) if result.why is not None else ()
    evidence = (*ended.evidence, *result.evidence, *note)
    return replace(ended, incident=result.path, evidence=evidence, said=result.said)
