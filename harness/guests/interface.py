# SPDX-License-Identifier: Apache-2.0
"""What a guest and its provider are to those who run scenarios.

A conftest.py may give providers of its own by the hook `pytest_kshs_provider` (docs/pytest.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from harness.agent.pending import Channel
from harness.guest_info import CrashRecord

if TYPE_CHECKING:
    from drivers.kernel_calls import Doubt
    from harness.guests.memory_used import Resident
    from harness.language.model import Target
    from vm.plugin.block_map import BlockMap

Say = Callable[[str], None]


@dataclass(frozen=True)
class Evidence:
    """What a guest shows of its own death.

    `driver` holds what speaks of a crash in a driver or its kernel (crash records, bugchecks,
    the hypervisor's panic event); `other` is for people; `gone` says that the machine itself
    ended, which is nobody's crash.  `standstill` says why the machine could not go on although it is
    there: what did not answer in it may have had no chance to, so that no hang can be told from it.
    `records` are the crash recorder's records behind sentences of `driver`.  `recording` says whether the
    crash recorder is at work, so that a crash is still to come; None where that cannot be known.
    `unrecorded` are crashes for which it was started and of which it has written nothing yet.
    """

    driver: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    gone: bool = False
    standstill: str | None = None
    records: Mapping[str, CrashRecord] = field(default_factory=dict)
    recording: bool | None = None
    unrecorded: tuple[str, ...] = ()


@dataclass(frozen=True)
class DriverFiles:
    """What was deployed: images by their names in the guest, and files and directories with their PDBs.

    `targets` are the drivers under test among the images, in lower case.
    """

    images: Mapping[str, Path] = field(default_factory=dict)
    symbols: tuple[Path, ...] = ()
    targets: frozenset[str] = frozenset()


class Guest(Protocol):
    """One leased guest with the target deployed."""

    @property
    def id(self) -> str:
        """Names the lease."""

    def open_agent(self) -> Channel:
        """A channel to its agent; once a lease."""

    def evidence(self) -> Evidence:
        """What there is to know after the agent or a step was lost; bounded in time, never raises."""

    def close(self) -> None:
        """Throws the lease away; never raises."""


class GuestProvider(Protocol):
    """Gives clean guests with one target deployed; one in each process that runs scenarios."""

    def target(self) -> Target:
        """The target, loaded and checked; needs no guest."""

    def target_digest(self) -> str:
        """Of the target's package; may be asked once guests were prepared."""

    def prepare(self, say: Say) -> None:
        """Everything that is done once, however long it takes; a second call is quick."""

    def acquire(self) -> Guest:
        """A clean guest; prepares where nobody has."""

    def host(self) -> Mapping[str, Any]:
        """What the report says of the host, the image and the build."""

    def close(self) -> None:
        """Gives back what the provider holds; leases are closed before."""


class EvidenceSink(Protocol):
    """Takes pieces of evidence; their names are the harness's own, and what they may hold is bounded."""

    limit: int
    room: int

    def add(self, name: str, data: bytes, *, size: int | None = None) -> None:
        """A text of which `data` is all, or the end of `size` bytes; never raises."""

    def place(self, name: str) -> Path:
        """Where a program of the host writes a piece itself; `took` afterwards."""

    def took(self, name: str) -> None:
        """A piece was written at its place; nothing where it was not."""

    def lack(self, name: str, why: str) -> None:
        """A piece that could not be had, and why."""


@runtime_checkable
class LeavesEvidence(Protocol):
    """A guest of which more can be kept than what `Guest.evidence` says in words."""

    def leave_evidence(
        self, into: EvidenceSink, *, hung: bool = False, memory_dump: bool = True
    ) -> Mapping[str, Any]:
        """Everything that is to be kept of it before it is thrown away; bounded in time, never raises.

        Args:
            into: takes the pieces.
            hung: a driver hangs: where its threads stand is worth asking for.
            memory_dump: the machine's memory, too, where its drivers live in its kernel.

        Returns:
            What the hypervisor says: `event`, `events`, `state`, `standstill`.
        """


@runtime_checkable
class TakesStacks(Protocol):
    """A guest whose drivers' threads can be looked at before all else is kept of it."""

    def take_stacks(self, ask: Callable[[], bytes]) -> None:
        """Notes where they stand, for `LeavesEvidence.leave_evidence`; bounded in time, never raises.

        Args:
            ask: the agent, which is there already; what it gives is empty where it cannot say.
        """


@runtime_checkable
class TellsWhatDriversSay(Protocol):
    """A guest that keeps what its drivers print."""

    def session_log(self, limit: int) -> str:
        """The end of it, at most so many bytes; empty where it cannot be had.  Never raises."""


@runtime_checkable
class CountsBlocks(Protocol):
    """A guest of which it is counted what it executes, where that was asked for."""

    @property
    def counters(self) -> BlockMap | None:
        """The counters; None where nobody counts.  They can be read when the guest is gone, too."""

    @property
    def addresses_stay(self) -> bool:
        """Whether all such guests have drivers at the same addresses, being forks of one memory."""

    def fetch(self, path: str, into: Path) -> None:
        """Copies a file out of the guest.

        Raises:
            VmError: it cannot be had.
        """


@runtime_checkable
class KnowsDeployment(Protocol):
    """A provider of which it is known what ran while the drivers were deployed."""

    def deployment_counters(self) -> BlockMap | None:
        """Of the guest that all others are forks of; None where nobody counted."""


@runtime_checkable
class ChecksGuests(Protocol):
    """A provider whose guests must be in some state beyond having an agent."""

    def check_guest(self, info: Mapping[str, Any]) -> None:
        """Judges what a guest says of itself before anything runs on it.

        Raises:
            HarnessError: it is not what was asked for.
        """


@runtime_checkable
class LeasesAhead(Protocol):
    """A provider that can have the next guest made while the present one is still in use."""

    def acquire_ahead(self) -> None:
        """Begins what the next `acquire` gives; never raises, a second call does nothing."""

    def is_there(self) -> bool:
        """Whether what was begun is there, so that `acquire` waits for nothing."""


@runtime_checkable
class KnowsCalls(Protocol):
    """A provider that knows what its guests do wrong, of what the drivers under test call."""

    def doubts(self) -> Sequence[Doubt]:
        """Functions that a driver under test uses and that a guest gets wrong; quick after the first time."""


@runtime_checkable
class MeasuresMemory(Protocol):
    """A provider that knows what its guests took of the host's memory."""

    def memory_used(self) -> Resident:
        """The most at the same time, so far."""


@runtime_checkable
class KnowsFiles(Protocol):
    """A provider that has the files of the drivers that it deploys."""

    def driver_files(self) -> DriverFiles:
        """Of the build and of the target's package; empty before guests were prepared."""


@runtime_checkable
class KnowsPackage(Protocol):
    """A provider that knows the files of the target's package."""

    def package_files(self) -> Mapping[str, str]:
        """Their SHA-256 by name, with slashes; `GuestProvider.target_digest` is over them."""


class SayProgress:
    """The `Progress` of `vm` as one line of text a step."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def step(self, text: str, fraction: float | None = None) -> None:
        """Passes the text on."""
        self._say(text if fraction is None else f"{text} ({fraction:.0%})")
