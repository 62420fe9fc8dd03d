# SPDX-License-Identifier: Apache-2.0
"""Which sequences go next as scenarios: those that are to be played again, then new and changed ones."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from harness.fuzzing.corpus import Corpus
from harness.fuzzing.draft import Draft, Step
from harness.fuzzing.drawing import Drawing
from harness.fuzzing.mutating import Mutator
from harness.fuzzing.strategies import Strategies

#: Sequences that a trip is given to choose from: those that it has no room for go into the next one.
_A_TRIP = 24
#: Of the sequences that are drawn, those that are made of kept ones.
_MUTATED = 0.5


@dataclass
class Sequences:
    """Gives them, trip by trip.

    Args:
        strategies: of what is drawn.
        corpus: of those that are made into others.
        source: of randomness.
        steered: whether what was kept is made into others; else every sequence is a new one.
    """

    strategies: Strategies
    corpus: Corpus
    source: random.Random
    steered: bool
    _queue: deque[tuple[Draft, ...]] = field(default_factory=deque)
    _spare: deque[Draft] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._drawing = Drawing(self.strategies.sequences, self.source)
        steps: Drawing[list[Step]] = Drawing(self.strategies.steps, self.source)
        fresh: list[Step] = []

        def step() -> Step:
            if not fresh:
                fresh.extend(steps.draw())
            return fresh.pop()

        self._mutator = Mutator(self.source, step)

    @property
    def waits(self) -> bool:
        """Whether there are any that are to be played before new ones."""
        return bool(self._queue)

    def add(self, trips: Iterable[tuple[Draft, ...]]) -> None:
        """These are to be played, each trip by itself, behind those that wait."""
        self._queue.extend(trips)

    def first(self, trips: Iterable[tuple[Draft, ...]]) -> None:
        """These are to be played next, in their order."""
        self._queue.extendleft(reversed([*trips]))

    def back(self, drafts: Iterable[Draft]) -> None:
        """There was no room for these."""
        self._spare.extend(drafts)

    def next(self) -> tuple[Draft, ...]:
        """A trip's."""
        if self._queue:
            return self._queue.popleft()
        while len(self._spare) < _A_TRIP:
            self._spare.extend(self._drawn())
        return tuple(self._spare.popleft() for _ in range(_A_TRIP))

    def _drawn(self) -> Iterator[Draft]:
        for draft in self._drawing.draw():
            kept = self.corpus.choose(self.source) if self.steered else None
            if kept is None or self.source.random() >= _MUTATED:
                yield draft
            else:
                yield self._mutator.mutate(kept, [draft])
