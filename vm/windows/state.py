# SPDX-License-Identifier: Apache-2.0
"""How far the making of a Windows guest has come, kept in a file that outlives any interruption.

::

    absent -> media checked -> installing -> first boot -> provisioning -> settled -> sealed
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from vm.errors import VmError
from vm.files import read_json, write_json

FORMAT = 1


class State(StrEnum):
    """What is true of the guest; the order of the members is that of time."""

    ABSENT = "absent"
    MEDIA_CHECKED = "media checked"
    """The medium was accepted; answer file, keys and CD are made."""
    INSTALLING = "installing"
    """Setup runs from the medium."""
    FIRST_BOOT = "first boot"
    """The guest has started from its own disk."""
    PROVISIONING = "provisioning"
    """The first-logon command reports on COM1."""
    SETTLED = "settled"
    """The guest said that all is done, and shut itself down."""
    SEALED = "sealed"
    """The disk was started once more, answered over SSH with the pinned key, and is an image."""

    @property
    def runs(self) -> bool:
        """Whether the guest runs in this state."""
        return self in (State.INSTALLING, State.FIRST_BOOT, State.PROVISIONING)

    @property
    def installed(self) -> bool:
        """Whether Windows is on the disk."""
        return self in (State.FIRST_BOOT, State.PROVISIONING, State.SETTLED, State.SEALED)


ORDER = tuple(State)


def _moment(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time without its zone")
    return text


Moment = Annotated[str, AfterValidator(_moment)]
"""A time as `now` writes it."""


class Failure(BaseModel):
    """Why the last attempt ended, and where what was seen of it lies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: State
    reason: str
    evidence: str
    at: str


class Session(BaseModel):
    """One start of the virtual machine; `continued`: from a saved state, not from power-on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    continued: bool = False


class Record(BaseModel):
    """The state file's content."""

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    digest: str
    """Of all that goes into the guest; another one means another guest."""
    state: State = State.ABSENT
    reached: dict[State, Moment] = Field(default_factory=dict)
    reboots: int = 0
    """Since Setup began; never set back, so that a loop is found also across interruptions."""
    sessions: list[Session] = Field(default_factory=list)
    saved: bool = False
    """The machine's memory and devices are saved: the next session continues the last one."""
    failure: Failure | None = None

    @property
    def installed(self) -> str:
        """When Windows was installed, which begins its evaluation: the earliest moment that is on record.

        Raises:
            VmError: none is.
        """
        moments = [self.reached[state] for state in ORDER if state in self.reached and state.installed]
        if not moments:
            raise VmError(
                "the state does not say when the guest was installed", hint="begin afresh: leave out --resume"
            )
        return moments[0]


class StateFile:
    """The record of one guest in the making; every change is on the disk before anything goes on."""

    def __init__(self, path: Path, record: Record) -> None:
        self.path = path
        self.record = record

    @classmethod
    def load(cls, path: Path) -> StateFile | None:
        """What an earlier attempt left; None where there was none.

        Raises:
            VmError: the file is damaged, or of another version of kshs.
        """
        value = read_json(path)
        if value is None:
            return None
        try:
            record = Record.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            raise VmError(
                f"the state of an earlier attempt cannot be used: {first['msg']}",
                str(path),
                "begin afresh: leave out --resume",
            ) from None
        if record.format != FORMAT:
            raise VmError(
                f"the state is of format {record.format}, not {FORMAT}",
                str(path),
                "begin afresh: leave out --resume",
            )
        return cls(path, record)

    def advance(self, state: State) -> None:
        """The guest has reached `state`; an earlier failure is history."""
        self.record.state = state
        self.record.reached[state] = now()
        self.record.failure = None
        self.save()

    def fall_back(self) -> State:
        """Where a new attempt can begin.

        Windows Setup does not survive a power cut, in either of its halves; provisioning does.
        """
        if self.record.state in (State.INSTALLING, State.FIRST_BOOT) and not self.record.saved:
            self.record.state = State.MEDIA_CHECKED
            self.record.reboots = 0
            self.record.sessions.clear()
        self.record.failure = None
        self.save()
        return self.record.state

    def save(self) -> None:
        """Writes it, whole or not at all."""
        write_json(self.path, self.record.model_dump(mode="json"))


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
