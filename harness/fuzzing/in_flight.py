# SPDX-License-Identifier: Apache-2.0
"""What is on its way to a guest, on the disk before it goes, so that a killed fuzzer can do it again.

The journal of a run grows with every request.  A fuzzer sends hundreds of sequences a second for hours, and
only the last ones of them matter: so this one has one line, which is replaced.  It survives the end of the
process, however it ends; a power cut may take it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.agent.journal import Intent, Journal
from harness.fuzzing.draft import Draft, checked

NAME = "in-flight.json"


class InFlight(Journal):
    """A journal that keeps what is in flight and nothing else.

    Args:
        folder: of the campaign.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / NAME)

    def now(self, trips: Iterable[Sequence[Draft]]) -> None:
        """These are on their way, the oldest first."""
        text = json.dumps([list(map(list, trip)) for trip in trips]).encode()
        os.ftruncate(self._fd, 0)
        self._end = os.pwrite(self._fd, text, 0)

    def lease(self, lease: str) -> None:
        """Not kept."""

    def begin(self, scenario: str, lease: str, file: str = "") -> None:
        """Not kept: `now` says it."""

    def sending(self, intents: Sequence[Intent]) -> None:
        """Not kept: `now` says it."""

    def seen(self, begun: int, answered: int) -> None:
        """Not kept."""

    def end(self, scenario: str, verdict: str, file: str = "") -> None:
        """Not kept."""

    def _make_room(self) -> None:
        """None: nothing is waited for, and what is read is all of the file."""

    def _append(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Nothing beside `now`."""


def left(folder: Path) -> list[tuple[Draft, ...]]:
    """What a killed process had in flight; nothing where there is none, or where it was torn."""
    try:
        value = json.loads((folder / NAME).read_text(encoding="utf-8"))
        return [tuple(checked(draft) for draft in trip) for trip in value]
    except (OSError, ValueError, TypeError):
        return []
