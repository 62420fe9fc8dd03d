# SPDX-License-Identifier: Apache-2.0
"""What a session with the agent stands on and what it gives out: the channel, and a step on its way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from harness.agent.journal import KEPT, Intent
from harness.errors import AgentError, StepNotReachedError

if TYPE_CHECKING:
    from harness.agent.frames import Record

#: Seconds between two looks of those who wait for a record.
LOOK = 0.5
#: Looks in a row at which nobody looked after the step, after which it is lost.
GRACE_LOOKS = 10


class Channel(Protocol):
    """The joint of `vm`: a byte stream to a process in the guest.

    `read` gives b"" at the end of the stream and raises TimeoutError when nothing came in time.
    """

    def read(self, n: int, timeout: float | None = None) -> bytes:
        """At most n bytes."""

    def write(self, data: bytes) -> None:
        """All of the bytes."""

    def close(self) -> None:
        """Ends the process's stdin and the channel."""

    def stderr_tail(self) -> str:
        """The last lines that the process wrote for people."""

    @property
    def exit_code(self) -> int | None:
        """Of the process, once it has ended."""


class Pending:
    """One step on its way; `result` waits for its record.

    Args:
        seq: its number in the session.
        what: it is, for people.
        timeout: seconds that it may take in the guest.
        size: in bytes.
        op: which its record must repeat.
        place: of the step in its scenario, None where it is none of its steps.
        watched: whether somebody still looks after it; see `is_forgotten`.
    """

    def __init__(
        self,
        seq: int,
        what: str,
        timeout: float,
        size: int,
        op: int,
        *,
        place: int | None = None,
        watched: Callable[[Pending], bool] = lambda pending: True,
    ) -> None:
        self.seq = seq
        self.what = what
        self.timeout = timeout
        self.size = size
        self.op = op
        self.place = place
        self.begun_at: float | None = None
        self.head_at: float | None = None
        self.ended_at: float | None = None
        self._watched = watched
        self._missed = 0
        self._done = threading.Event()
        self._record: Record | None = None
        self._error: Exception | None = None

    @property
    def seconds(self) -> float:
        """From its begin in the guest to its record, as seen from here; 0 where one of them is missing."""
        if self.begun_at is None or self.ended_at is None:
            return 0.0
        return self.ended_at - self.begun_at

    def intent(self, step: bytes) -> Intent:
        """It for the journal, with the bytes that are about to be sent."""
        return Intent(self.seq, self.what, self.place, len(step), step[:KEPT])

    @property
    def done(self) -> bool:
        """Whether `result` would return or raise at once."""
        return self._done.is_set()

    def result(self, look: Callable[[], Exception | None] = lambda: None) -> Record:
        """Waits for the record; the session's watchdog bounds the wait, and this one does should it fail.

        Args:
            look: asked now and then, as long as there is no record; what it gives is raised.

        Raises:
            StepHungError: this step was in flight and no record came in time.
            AgentLostError: the channel ended while this step was in flight.
            StepNotReachedError: an earlier step ended the session.
            AgentError: the agent broke the protocol, reported an error about this step, or the session has
                lost the step: its record was taken and never given out.
        """
        while not self._done.wait(LOOK):
            if (error := look()) is not None and not self.done:
                raise error
            if self.is_forgotten(self._watched):
                self.fail(forgotten(self))
        if self._error is not None:
            raise self._error
        assert self._record is not None
        return self._record

    def is_forgotten(self, watched: Callable[[Pending], bool]) -> bool:
        """Whether nobody has been looking after it for several looks.

        Looks are counted and not seconds: a process that was stopped has missed none of them.
        """
        self._missed = 0 if watched(self) else self._missed + 1
        return self._missed > GRACE_LOOKS

    def resolve(self, record: Record) -> None:
        """For the session: the record is here."""
        self.ended_at = time.monotonic()
        self._record = record
        self._done.set()

    def fail(self, error: Exception) -> None:
        """For the session: there will be no record."""
        self._error = error
        self._done.set()


def forgotten(pending: Pending) -> AgentError:
    """What is said of a step that the session no longer has and that never got its record."""
    return AgentError("the session has lost this step: its record was never given out", where=pending.what)


def fail_all(struck: Sequence[Pending], error: Exception) -> None:
    """Gives what ended the session to the step that was in flight; those behind it were never carried out."""
    for position, pending in enumerate(struck):
        if position == 0:
            pending.fail(error)
        else:
            why = f"never carried out: step {struck[0].seq} ended the session"
            pending.fail(StepNotReachedError(why, where=pending.what))
