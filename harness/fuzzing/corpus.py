# SPDX-License-Identifier: Apache-2.0
"""The sequences that brought something new: what others are made of, and what `kshs run` replays.

While a campaign is at work they are lines of `drawn.jsonl`, which survive its end, however it comes.  At its
end those are removed that bring nothing which the others do not, and each that is left becomes a scenario
file.  Those of an earlier time that were not sent again in this one stay: nobody knows what they bring.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.capsule.scenario_text import render
from harness.fuzzing.draft import Draft, digest, dumped, loaded
from harness.fuzzing.feedback import Feature
from harness.plugin.items import SUFFIX
from vm.files import write_whole

if TYPE_CHECKING:
    from harness.language.model import Scenario

DIRECTORY = "corpus"
DRAWN = "drawn.jsonl"


@dataclass
class Entry:
    """One sequence: all that it brought when it was kept, and how often it was made into others."""

    draft: Draft
    brings: frozenset[Feature]
    chosen: int = 0


@dataclass
class Corpus:
    """All of them.

    Args:
        folder: of the campaign.
    """

    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    known: set[Feature] = field(default_factory=set)
    _unsent: dict[str, Draft] = field(default_factory=dict)

    def load(self) -> list[Draft]:
        """The sequences of an earlier time, to be sent anew: what they bring is not on record.

        Raises:
            OSError: they cannot be read.
        """
        file = self.folder / DRAWN
        if not file.is_file():
            return []
        content = file.read_bytes()
        for line in content.split(b"\n"):
            try:
                draft = loaded(line.decode())
            except (ValueError, RecursionError):
                continue  # torn
            self._unsent[digest(draft)] = draft
        if content and not content.endswith(b"\n"):
            with file.open("ab") as out:
                out.write(b"\n")  # what comes next is no part of the torn line
        return list(self._unsent.values())

    def sent(self, draft: Draft) -> None:
        """It was answered in this time: from now on what it brings decides whether it is kept."""
        self._unsent.pop(digest(draft), None)

    def news(self, features: Iterable[Feature]) -> frozenset[Feature]:
        """Those that never came before."""
        return frozenset(features) - self.known

    def add(self, draft: Draft, brings: frozenset[Feature]) -> None:
        """One more, with all that it brings.

        Raises:
            OSError: it cannot be written.
        """
        self.known |= brings
        name = digest(draft)
        if name in self.entries:
            self.entries[name].brings |= brings
            return
        self.entries[name] = Entry(draft, brings)
        with (self.folder / DRAWN).open("a", encoding="utf-8") as out:
            out.write(f"{dumped(draft)}\n")

    def choose(self, source: random.Random) -> Draft | None:
        """One to make others from: those that were chosen seldom come sooner."""
        if not self.entries:
            return None
        entries = list(self.entries.values())
        weights = [1.0 / (1 + entry.chosen) for entry in entries]
        entry = source.choices(entries, weights)[0]
        entry.chosen += 1
        return entry.draft

    def minimise(self) -> None:
        """Leaves out those that bring nothing which the others do not."""
        covered: set[Feature] = set()
        kept: dict[str, Entry] = {}
        for name, entry in sorted(self.entries.items(), key=lambda item: (-len(item[1].brings), item[0])):
            if entry.brings - covered:
                kept[name] = entry
                covered |= entry.brings
        self.entries = kept

    def write(self, compose: Callable[[Draft], Scenario | None]) -> None:
        """A scenario file for each, in the place of those that were there; and the lines for another time.

        Args:
            compose: makes the scenario of a sequence; None where it comes to nothing on this target.

        Raises:
            OSError: they cannot be written.
        """
        directory = self.folder / DIRECTORY
        directory.mkdir(parents=True, exist_ok=True)
        title = "A sequence that brought an answer which none before it had"
        drafts = {**self._unsent, **{name: entry.draft for name, entry in self.entries.items()}}
        for name, draft in drafts.items():
            scenario = compose(draft)
            if scenario is not None:
                named = scenario.model_copy(update={"id": f"fuzz.{name}", "title": title})
                write_whole(directory / f"{name}{SUFFIX}", render([named]), mode=0o644)
        for file in directory.glob(f"*{SUFFIX}"):
            if file.name.removesuffix(SUFFIX) not in drafts:
                file.unlink()
        lines = "".join(f"{dumped(draft)}\n" for draft in drafts.values())
        write_whole(self.folder / DRAWN, lines, mode=0o644)
