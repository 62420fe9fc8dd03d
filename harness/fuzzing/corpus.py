# SPDX-License-Identifier: Apache-2.0
"""The sequences that brought something new, one scenario file each, for `kshs run` to replay.

A file's comment holds the sequence as it was drawn, for the fuzzer to go on from; what a run replays is the
scenario below it.  At the end those are removed that bring nothing which others do not bring, too.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness.capsule.scenario_text import render
from harness.fuzzing.composing import Composed
from harness.fuzzing.draft import Draft, digest, dumped, loaded
from harness.fuzzing.feedback import Feature
from vm.files import write_whole

DIRECTORY = "corpus"
_DRAWN = "# drawn: "


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

    def load(self) -> list[Draft]:
        """The sequences of an earlier time, to be sent anew: what they bring is not on record."""
        drafts = []
        for file in sorted((self.folder / DIRECTORY).glob("*.toml")):
            for line in file.read_text(encoding="utf-8").splitlines():
                if line.startswith(_DRAWN):
                    try:
                        drafts.append(loaded(line.removeprefix(_DRAWN)))
                    except ValueError:
                        continue  # somebody has edited it: it is replayed, and nothing is made of it
        return drafts

    def news(self, features: Iterable[Feature]) -> frozenset[Feature]:
        """Those that never came before."""
        return frozenset(features) - self.known

    def add(self, draft: Draft, composed: Composed, brings: frozenset[Feature]) -> None:
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
        directory = self.folder / DIRECTORY
        directory.mkdir(parents=True, exist_ok=True)
        scenario = composed.scenario.model_copy(
            update={"id": f"fuzz.{name}", "title": "A sequence that brought an answer which none before had"}
        )
        text = render([scenario], [f"drawn: {dumped(draft)}"])
        write_whole(directory / f"{name}.toml", text, mode=0o644)

    def choose(self, source: random.Random) -> Draft | None:
        """One to make others from: those that were chosen seldom come sooner."""
        if not self.entries:
            return None
        entries = list(self.entries.values())
        weights = [1.0 / (1 + entry.chosen) for entry in entries]
        entry = source.choices(entries, weights)[0]
        entry.chosen += 1
        return entry.draft

    def minimise(self) -> int:
        """Removes those that bring nothing which the others do not; how many."""
        covered: set[Feature] = set()
        kept: set[str] = set()
        for name, entry in sorted(self.entries.items(), key=lambda item: (-len(item[1].brings), item[0])):
            if entry.brings - covered:
                kept.add(name)
                covered |= entry.brings
        gone = [name for name in self.entries if name not in kept]
        for name in gone:
            del self.entries[name]
            (self.folder / DIRECTORY / f"{name}.toml").unlink(missing_ok=True)
        return len(gone)
