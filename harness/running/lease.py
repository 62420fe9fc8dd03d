# SPDX-License-Identifier: Apache-2.0
"""The lease in use: taken when it is needed, thrown away after anything that spoiled it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from harness.agent.encode import Encoder
from harness.agent.frames import info_of
from harness.agent.journal import Journal
from harness.agent.session import AgentSession
from harness.errors import AgentError, HarnessError, StepHungError
from harness.guests import ChecksGuests, Guest, GuestProvider
from harness.planning.planned import Sizes
from harness.running.attribution import Attribution, stacks_step
from harness.running.ended import Ended
from harness.running.formats import resolve
from harness.running.incident import KeepsIncidents, kept_of_question

if TYPE_CHECKING:
    from drivers.abi import Abi
    from harness.language.model import Target

_LOG = logging.getLogger(__name__)

#: Seconds for INFO: it computes digests of drivers.
_INFO_TIMEOUT = 60.0
#: What is asked of the driver before any scenario is planned.
_QUESTION = "ask the pins what they accept"


class WatchesLeases(Protocol):
    """Is told what becomes of guests before scenarios are sent to them."""

    def leased(self, guest: Guest, session: AgentSession, info: Mapping[str, Any]) -> None:
        """A guest was taken; nothing but a question for its `info` was sent to it.

        Raises:
            HarnessError, AgentError, StepHungError: it is of no use.
        """

    def settled(self) -> None:
        """It has been asked all that is asked of it before the first scenario."""


@dataclass(frozen=True)
class Spoiled:
    """A lease that is about to be thrown away."""

    guest: Guest | None
    session: AgentSession | None

    def close(self) -> None:
        """Throws it away."""
        if self.guest is not None:
            failure = self.session.failure if self.session is not None else None
            _LOG.info("lease %s given back%s", self.guest.id, f": {failure!r}" if failure is not None else "")
        try:
            if self.session is not None:
                self.session.close(timeout=1.0, polite=False)
        finally:
            if self.guest is not None:
                self.guest.close()


class LeaseInUse:
    """One guest at a time, and the session with its agent.

    Args:
        provider: of guests.
        abi: of this harness.
        journal: of what is about to be sent.
        margin: seconds beyond a step's own time after which it is overdue.
        incidents: keeps the evidence of a driver that does not survive being asked.
        watch: told of each guest that is taken.
    """

    def __init__(
        self,
        provider: GuestProvider,
        abi: Abi,
        journal: Journal,
        margin: float,
        incidents: KeepsIncidents | None = None,
        watch: WatchesLeases | None = None,
    ) -> None:
        self._provider = provider
        self._abi = abi
        self._journal = journal
        self._margin = margin
        self._incidents = incidents
        self._watch = watch
        self._encoder = Encoder(abi)
        self._guest: Guest | None = None
        self._session: AgentSession | None = None
        self._info: Mapping[str, Any] | None = None
        self._target: Target | None = None
        self._fault: Ended | None = None

    @property
    def name(self) -> str | None:
        """Names the lease; None where there is none."""
        return self._guest.id if self._guest else None

    @property
    def known_info(self) -> Mapping[str, Any] | None:
        """What some guest has said of itself; asks nobody."""
        return self._info

    @property
    def info(self) -> Mapping[str, Any]:
        """What the guest says of itself (`kshsctl info`); the same for every fork of a template."""
        if self._info is None:
            self.ready()
        if self._info is None:
            raise HarnessError("the guest has not said what it is")
        return self._info

    @property
    def failure(self) -> Exception | None:
        """What ended the session with the agent, if anything did."""
        return self._session.failure if self._session is not None else None

    @property
    def fault(self) -> Ended | None:
        """What the driver did when its pins were asked what they accept, if it did not survive that."""
        return self._fault

    @property
    def guest(self) -> Guest:
        """The guest, the present one or a fresh one."""
        self.ready()
        if self._guest is None:
            raise HarnessError("the guest was thrown away while it was being made ready")
        return self._guest

    @property
    def held(self) -> Guest:
        """The guest that something was sent to, whatever has become of it.

        Raises:
            HarnessError: there is none any more.
        """
        if self._guest is None:
            raise HarnessError("the guest was thrown away while its answers were waited for")
        return self._guest

    def target(self) -> Target:
        """The target, with the formats that its pins were found to open with."""
        if self._target is None:
            self.ready()
        return self._target or self._provider.target()

    def sizes(self) -> Sizes:
        """Pointer sizes of the guest's two sides; both are the agent's on the guests there are."""
        size = self.ready().hello.pointer_size
        return Sizes(kernel=size, user=size)

    def ready(self) -> AgentSession:
        """A session on a lease, the present one or a fresh one.

        Raises:
            HarnessError, VmError, BuildError: the guest cannot be provided.
        """
        if self._session is not None and self._session.failure is None:
            return self._session
        self.discard()
        self._guest = self._provider.acquire()
        _LOG.info("lease %s taken", self._guest.id)
        try:
            self._journal.lease(self._guest.id)
            self._session = AgentSession(
                self._guest.open_agent(),
                self._abi,
                journal=self._journal.sending,
                seen=self._journal.seen,
                margin=self._margin,
            )
            if self._info is None:
                info = self._ask_info(self._session)
                if isinstance(self._provider, ChecksGuests):
                    self._provider.check_guest(info)
                self._info = info
            if self._watch is not None:
                self._watch.leased(self._guest, self._session, self._info)
            if self._target is None and not self._resolve(self._session):
                self.discard()
                return self.ready()
            if self._watch is not None:
                self._watch.settled()
        except BaseException:
            self.discard()
            raise
        return self._session

    def _resolve(self, session: AgentSession) -> bool:
        """Finds the formats of the target's pins; False where the driver was lost over the question.

        What came of it there is said of every scenario that needs a pin of which nothing is known now; the
        others have guests of their own.
        """
        target = self._provider.target()
        try:
            self._target = resolve(target, session, self._encoder)
        except (AgentError, StepHungError) as error:
            asked = [pin for pin in target.pin if target.asks(pin)]
            attribution = Attribution(
                self.held, session, self._encoder.step("CRASHES"), threads=stacks_step(self._encoder)
            )
            fault = attribution.of_question(_QUESTION, error)
            self._fault = kept_of_question(self._incidents, self.held, session, _QUESTION, fault)
            self._target = target.opened_with({}, {pin.name: self._fault.reason for pin in asked})
            return False
        return True

    def release(self) -> None:
        """Closes everything that steps of a test's own left open, or throws the lease away."""
        session = self._session
        if session is None:
            return
        try:
            for side in ("KERNEL", "USER"):
                step = self._encoder.step("RELEASE_ALL", side=self._encoder.constant(f"SIDE_{side}"))
                record = session.run(step, what=f"release all of the {side.lower()} side")
                if record.outcome != self._encoder.constant("OUTCOME_DONE"):
                    self.discard()
                    return
        except (AgentError, StepHungError):
            self.discard()
        except BaseException:
            self.discard()
            raise

    def set_aside(self) -> Spoiled:
        """The lease that is of no use any more but for its evidence; the next use gets a fresh one."""
        session, self._session = self._session, None
        guest, self._guest = self._guest, None
        if session is not None:
            session.heard.stop()
        return Spoiled(guest, session)

    def discard(self) -> None:
        """Throws the lease away; the next use gets a fresh one."""
        self.set_aside().close()

    def _ask_info(self, session: AgentSession) -> Mapping[str, Any]:
        try:
            record = session.run(self._encoder.step("INFO"), what="info", timeout=_INFO_TIMEOUT)
        except StepHungError as error:  # no request of anybody's: it speaks against no driver
            what = f"the agent does not say what its guest is: {error}"
            raise HarnessError(what, where=self.name) from None
        return info_of(record)
