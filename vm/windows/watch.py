# SPDX-License-Identifier: Apache-2.0
"""What a guest in the making says on COM1, over all of its starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vm.windows.milestones import Failure, Kind, Milestone, Reader


class Serial:
    """The milestones of several serial logs, one behind the other.

    Args:
        files: oldest first; the last one may still grow.  A machine that went on from a saved state goes
            on in the middle of a line, so all files since the last power-on are one stream.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = list(files)
        self._reader = Reader()
        self._at = 0
        self._file = 0

    @property
    def failure(self) -> Failure | None:
        """The step that failed last, with its log as far as it came."""
        return self._reader.failure

    def new(self) -> list[Milestone]:
        """The milestones since the last call.

        Raises:
            MilestoneError: see `vm.windows.milestones`.
        """
        found: list[Milestone] = []
        while self._file < len(self._files):
            data = self._read()
            found += self._reader.feed(data)
            if data or self._file == len(self._files) - 1:
                if not data:
                    break
                continue
            self._file, self._at = self._file + 1, 0
        return found

    def _read(self) -> bytes:
        try:
            with self._files[self._file].open("rb") as stream:
                stream.seek(self._at)
                data = stream.read(1 << 20)
        except FileNotFoundError:
            return b""
        self._at += len(data)
        return data


class Story:
    """What the milestones so far mean."""

    def __init__(self, steps: Sequence[str]) -> None:
        self._steps = list(steps)
        self.done: set[str] = set()
        self.step: str | None = None
        self.started = False
        self.sealed = False
        self.failed = False
        self.failure_told = False
        """Its log has come to its end."""

    def take(self, milestone: Milestone) -> None:
        """One more."""
        match milestone.kind:
            case Kind.START:
                self.started = True
                self.failed = self.failure_told = False
            case Kind.BEGIN:
                self.step = milestone.name
            case Kind.DONE:
                self.done.add(milestone.name)
            case Kind.FAILED:
                self.failed = True
            case Kind.LOG_END:
                self.failure_told = True
            case Kind.SEALED:
                self.sealed = True
            case _:
                pass

    @property
    def fraction(self) -> float:
        """The part of the steps that is done."""
        known = len(self.done & set(self._steps))
        return known / len(self._steps) if self._steps else 0.0
