# SPDX-License-Identifier: Apache-2.0
"""From what ended a scenario to the incident that is kept of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from harness.evidence.incidents import Incident, Kept
from harness.guests import Guest
from harness.running.ended import Ended

if TYPE_CHECKING:
    from harness.running.answers import Answers
    from harness.running.flight import Flight

#: Lines of the session with the agent that are kept.
_LINES = 200


class KeepsIncidents(Protocol):
    """Keeps the evidence of one incident while its guest is still there (`harness.evidence.incidents`)."""

    def keep(self, incident: Incident, guest: Guest) -> Kept:
        """Never raises."""


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
        steps=answers.steps,
        evidence=ended.evidence,
        agent=list(flight.session.log)[-_LINES:],
        failure=str(failure) if failure is not None else None,
    )
    result = keeper.keep(incident, guest)
    note = (f"evidence was not kept: {result.why}",) if result.why is not None else ()
    return replace(ended, incident=result.path, evidence=(*ended.evidence, *result.said, *note))
