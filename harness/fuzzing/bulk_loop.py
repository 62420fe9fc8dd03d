# SPDX-License-Identifier: Apache-2.0
"""The part of a campaign that goes in bulks: draws, sends, keeps what is new, and names what is odd.

Of what is odd no more is said here than which sequence it was: the campaign plays it again as a scenario, by
the runner's own steps.  What is nobody's alone, and code that was reached for the first time, is looked for
by halves.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.fuzzing.bulk import Aimed, Flown, Odd, fly
from harness.fuzzing.bulk_drawing import BulkDrawing
from harness.fuzzing.draft import Draft
from harness.fuzzing.feedback import Feature
from harness.fuzzing.mutating import Mutator
from harness.fuzzing.screening import Screen
from harness.fuzzing.standing import standing
from harness.fuzzing.suspected import Suspicion
from harness.results.cause import Cause, cause_of
from harness.results.record import ScenarioResult, scenario_records
from harness.verdict import Verdict

if TYPE_CHECKING:
    from harness.fuzzing.composing import Composer
    from harness.fuzzing.corpus import Corpus
    from harness.fuzzing.keeping import State
    from harness.fuzzing.trips import Trips

#: Sequences of one bulk: many, since opening and closing its objects takes as long as some hundred of them.
SIZE = 1_000
#: Of the sequences that are drawn, those that are made of kept ones.
_MUTATED = 0.5
#: Requests of a sequence by which it is taken half as often as one that has none.
_CHEAP = 32
#: Sequences of which nobody is to blame alone that are played as one scenario.
_FEW = 8
#: Sequences before an odd one that are played with it where it is not odd alone.
_BEFORE = 40


@dataclass
class _Batch:
    """Sequences to be sent; `wanted` are blocks of code of which it is to be known who reached them.

    `blamed`: they were sent before, and something was odd that is to be somebody's.
    """

    sequences: Sequence[Aimed]
    wanted: frozenset[Feature] | None = None
    blamed: bool = False


@dataclass(frozen=True, slots=True)
class _Kept:
    """A sequence that others are made of, and how often: those that cost the guest little come sooner."""

    draft: Draft
    weight: float


@dataclass
class BulkLoop:
    """Goes on for a while each time it is asked.

    Args:
        trips: whose lease is used; nothing else may be on its way to it.
        composer: of scenarios.
        corpus: what is kept.
        state: of the campaign; is added to.
        source: of randomness.
        steered: whether what was kept is made into others.
        known: whether a cause is known already, and needs no look.
        keep: takes a sequence that brought something new, with all that it brings.
    """

    trips: Trips
    composer: Composer
    corpus: Corpus
    state: State
    source: random.Random
    steered: bool
    known: Callable[[Cause], bool]
    keep: Callable[[Draft, frozenset[Feature]], None]
    unattributed: set[Feature] = field(default_factory=set)
    _batches: deque[_Batch] = field(default_factory=deque)
    _screen: Screen | None = None
    _drawing: BulkDrawing | None = None
    _mutator: Mutator | None = None
    _kept: Sequence[_Kept] = ()
    _seen: int = 0
    # A bulk is drawn while the guest is at the one before it.
    _drawer: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="kshs-drawing")
    )
    _ahead: Future[list[Aimed]] | None = None

    def close(self) -> None:
        """Ends what draws; what was drawn and not sent is forgotten."""
        self._drawer.shutdown(cancel_futures=True)

    def run(self, seconds: float, sequences: int | None = None) -> list[Suspicion]:
        """Bulks for so many seconds and of so many sequences, or up to the first thing that is odd.

        Raises:
            HarnessError, VmError, BuildError: no guest can be provided.
        """
        if self._screen is None and not self._begin():
            return []
        assert self._screen is not None
        deadline = time.monotonic() + seconds
        end = None if sequences is None else self.state.sequences + sequences
        while time.monotonic() < deadline and (end is None or self.state.sequences < end):
            size = SIZE if end is None else min(SIZE, end - self.state.sequences)
            batch = self._batches.popleft() if self._batches else _Batch(self._next()[:size])
            if not batch.sequences:
                break
            found = self._fly(batch)
            if found:
                return found
        return []

    @property
    def serves(self) -> bool:
        """Whether there is anything that stands open."""
        return self._screen is not None or self._begin()

    def _begin(self) -> bool:
        sizes = self.trips.lease.sizes()
        made = standing(self.composer, sizes)
        if made is None:
            return False
        self._screen = Screen(self.composer, sizes, made)
        target, places = self.composer.target, self.composer.places
        self._drawing = BulkDrawing(target, places, made.slots, self.source, sizes.kernel)
        self._mutator = Mutator(self.source, self._drawing.step)
        return True

    # ---- sending -----------------------------------------------------------------------------------

    def _next(self) -> list[Aimed]:
        """Sequences for a bulk; the next ones are drawn from now on, of what is kept now."""
        ahead = self._ahead or self._draw()
        found = ahead.result()
        self._ahead = self._draw()
        return found

    def _draw(self) -> Future[list[Aimed]]:
        assert self._screen is not None
        self._keep_up()
        return self._drawer.submit(self._drawn, self._screen, self._kept)

    def _drawn(self, screen: Screen, kept: Sequence[_Kept]) -> list[Aimed]:
        found: list[Aimed] = []
        for draft in self._draws(kept):
            shots = screen.shots(draft)
            if shots:
                found.append(Aimed(draft, shots))
                if len(found) >= SIZE:
                    break
        return found

    def _draws(self, kept: Sequence[_Kept]) -> Iterator[Draft]:
        assert self._drawing is not None and self._mutator is not None
        weights = list(itertools.accumulate(one.weight for one in kept))
        for _ in range(20 * SIZE):
            draft = self._drawing.draw()
            if kept and self.source.random() < _MUTATED:
                other = self.source.choices(kept, cum_weights=weights)[0]
                draft = self._mutator.mutate(other.draft, [draft])
            yield draft

    def _keep_up(self) -> None:
        """Those of the corpus that a bulk can be made of."""
        if not self.steered or self._screen is None:
            return
        entries = list(self.corpus.entries.values())[self._seen :]  # none is taken out while it goes on
        self._seen += len(entries)
        new = [(one.draft, self._screen.shots(one.draft)) for one in entries]
        self._kept = (
            *self._kept,
            *(
                _Kept(draft, 1 / (1 + sum(s.requests for s in shots) / _CHEAP))
                for draft, shots in new
                if shots
            ),
        )

    def _fly(self, batch: _Batch) -> list[Suspicion]:
        assert self._screen is not None
        session = self.trips.session()
        self.trips.journal.now([[one.draft for one in batch.sequences]])
        counter = self.trips.counter
        if counter is not None:
            counter.zero()
        began = time.monotonic()
        flown = fly(self._screen, session, batch.sequences)
        self.state.bulk_seconds += time.monotonic() - began
        self.state.leases = self.trips.leases
        self._count(flown, batch)
        if counter is not None and flown.clean:
            self._cover(batch, frozenset(("block", block) for block in counter.read()))
        for number, brings in flown.news.items():
            if self.corpus.news(brings):
                self.keep(batch.sequences[number].draft, brings)
        if not flown.clean:
            self.trips.discard()
        return self._suspicions(batch, flown)

    def _count(self, flown: Flown, batch: _Batch) -> None:
        if batch.wanted is None and not batch.blamed:
            self.state.sequences += flown.sent
            self.state.bulk_sequences += flown.sent
        self.state.bulks += 1
        self.state.steps += flown.steps
        self.state.requests += flown.requests

    # ---- by halves -----------------------------------------------------------------------------------

    def _halves(self, batch: _Batch, **more: Any) -> None:
        middle = len(batch.sequences) // 2
        parts = (batch.sequences[:middle], batch.sequences[middle:])
        self._batches.extendleft(_Batch(part, **more) for part in reversed(parts) if part)

    def _cover(self, batch: _Batch, blocks: Collection[Feature]) -> None:
        """Code that never ran before: by halves, down to the sequence that reached it."""
        if batch.wanted is None:
            found = self.corpus.news(blocks) - self.unattributed
        else:
            found = batch.wanted & frozenset(blocks) & self.unattributed
        self.unattributed |= found
        if found and len(batch.sequences) == 1:
            self.keep(batch.sequences[0].draft, found)
        elif found:
            self._halves(batch, wanted=found)
        self.unattributed -= self.corpus.known
        known = sum(1 for feature in self.corpus.known if feature[0] == "block")
        self.state.coverage_blocks = known + len(self.unattributed)

    def _suspicions(self, batch: _Batch, flown: Flown) -> list[Suspicion]:
        """What of it is worth a look: one of each cause that is not known."""
        found: list[Suspicion] = []
        causes: set[tuple[str, ...]] = set()
        drafts = [one.draft for one in batch.sequences]
        for odd in flown.odd:
            cause = _cause(odd)
            if cause is not None and (cause.key in causes or self.known(cause)):
                self.state.again += 1
                continue
            causes.update([cause.key] if cause is not None else [])
            if odd.number is not None:
                before = drafts[max(0, odd.number - _BEFORE) : odd.number + 1]
                found.append(Suspicion(drafts[odd.number], tuple(before), odd.reason, cause))
            elif len(drafts) > _FEW:
                # One half that shows it is enough.
                self._batches = deque(other for other in self._batches if not other.blamed)
                self._halves(batch, blamed=True)
            else:
                found.append(Suspicion(None, tuple(drafts), odd.reason, cause))
        return found


def _cause(odd: Odd) -> Cause | None:
    """By what it failed; None where no answer came, which says too little."""
    if odd.result is None or odd.result.verdict is not Verdict.FAILED:
        return None
    result = ScenarioResult(
        "fuzz.bulk", "A bulk", (), Verdict.FAILED, "fuzz", reason=odd.reason, steps=(odd.result,)
    )
    scenario, *steps = scenario_records(result, order=0, worker="-")
    return cause_of(scenario, steps)
