# SPDX-License-Identifier: Apache-2.0
"""The loop: draws sequences, sends them, keeps what is new, and looks into what fails."""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from harness.errors import HarnessError, UsageError
from harness.fuzzing.bulk_loop import BulkLoop
from harness.fuzzing.causes import causes, may_come_otherwise
from harness.fuzzing.composing import ANY, Composer
from harness.fuzzing.corpus import Corpus
from harness.fuzzing.draft import Draft, digest
from harness.fuzzing.feedback import Feature, features
from harness.fuzzing.finding import Find, Investigator
from harness.fuzzing.in_flight import left
from harness.fuzzing.keeping import Keeper, State
from harness.fuzzing.sequences import Sequences
from harness.fuzzing.strategies import Strategies
from harness.fuzzing.suspected import Suspected, Suspicion
from harness.fuzzing.trips import Landed, Trip, Trips
from harness.guest_text import one_line
from harness.language.model import Scenario
from harness.planning.planned import NotApplicable
from harness.results.cause import Cause
from harness.rules import Rule
from harness.verdict import Verdict
from vm.words import counted

#: Errors of our own infrastructure in a row after which it is no use to go on.
_MOST_ERRORS = 5
#: Trips in a row that come to nothing on this target, after which all others would, too.
_MOST_EMPTY = 1_000
#: How often a failure that does not come again is looked into.
_TRIES = 2
#: Seconds for making one find smaller, and for that when the time is over.
SMALLER = 60.0
_LATE = 20.0
#: Of its time, what it holds kept sequences against another guest or driver for.
_COMPARED = 0.3
#: Characters of a line about what a guest has said.
_MOST_SAID = 500
#: Of the time, that in which sequences go in bulks, and seconds that they go in a row at least and at most.
_IN_BULKS = 0.7
_A_TURN = (1.0, 10.0)
#: Seconds between two times at which the state is written.
_SAVE = 5.0

Say = Callable[[str], None]


@dataclass
class Campaign:
    """One campaign on one target; `run` may be called once.

    Args:
        trips: sends and judges.
        composer: of scenarios.
        investigators: gives who looks into failures, on leases of its own; entered for each failure.
        corpus: what is kept.
        keeper: of finds.
        state: what it is, and how far it came.
        say: is told how it goes.
        finds: so many are enough; None: it goes on to the end of its time.
        sequences: so many are enough.
        steered: whether what was kept is made into others; else every sequence is a new one.
        differences: looks into what differs from another guest or driver, where there is one.
        in_bulks: whether sequences on pins that stand open go in bulks, too.
        smaller: seconds at most for making a find smaller.
    """

    trips: Trips
    composer: Composer
    investigators: Callable[[], AbstractContextManager[Investigator]]
    corpus: Corpus
    keeper: Keeper
    state: State
    say: Say
    finds: int | None = None
    sequences: int | None = None
    steered: bool = True
    differences: Investigator | None = None
    in_bulks: bool = True
    smaller: float = SMALLER
    _compare: deque[Draft] = field(default_factory=deque)
    _comparing: float = 0.0
    _known: set[tuple[str, ...]] = field(default_factory=set)
    _signatures: set[str] = field(default_factory=set)
    _tried: Counter[tuple[str, ...]] = field(default_factory=Counter)
    _unattributed: set[Feature] = field(default_factory=set)
    _probing: set[str] = field(default_factory=set)
    _errors: int = 0
    _here: int = 0
    _end: float | None = None

    def __post_init__(self) -> None:
        self._random = random.Random(f"{self.state.seed}/{self.state.sessions}")  # noqa: S311 - no secret
        strategies = Strategies(self.composer.target, self.composer.places)
        self._sequences = Sequences(strategies, self.corpus, self._random, self.steered)
        self._suspected = Suspected(self.composer)
        self._bulks = BulkLoop(
            self.trips,
            self.composer,
            self.corpus,
            self.state,
            random.Random(f"bulks/{self.state.seed}/{self.state.sessions}"),  # noqa: S311 - no secret
            self.steered,
            self._is_known,
            self._keep_sequence,
            self._unattributed,
        )

    # ---- the loop --------------------------------------------------------------------------------

    def run(self) -> None:
        """To the end of its time, or to as many finds as are enough.

        Raises:
            HarnessError, VmError, BuildError: no guest can be provided, or our infrastructure fails again and
                again.
        """
        self._begin()
        began, cpu, before = time.monotonic(), time.process_time(), self.state.seconds
        saved = began
        try:
            while not self._is_over:
                while not self._is_over and self.trips.has_room():
                    self._send()
                self._land(self.trips.take())
                self.state.seconds = before + time.monotonic() - began
                self._go_in_bulks()
                self._hold_against()
                now = time.monotonic()
                self.state.seconds = before + now - began
                self._tell()
                if now - saved > _SAVE:
                    saved = now
                    self.keeper.state(self.state)
            while self.trips.on_their_way:
                self._land(self.trips.take())
        except KeyboardInterrupt:
            self._write_corpus()  # who ends it wants to see what there is
            raise
        finally:
            self._bulks.close()
            self.state.seconds = before + time.monotonic() - began
            self.state.host_cpu_seconds += time.process_time() - cpu
            self.keeper.state(self.state)
        self._write_corpus()

    def _write_corpus(self) -> None:
        self.corpus.minimise()
        self.corpus.write(self._alone)

    def _alone(self, draft: Draft) -> Scenario | None:
        composed = self.composer.compose([draft], "fuzz.kept", "A kept sequence")
        return None if composed is None else composed.scenario

    def _begin(self) -> None:
        self.state.sessions += 1
        for record in self.keeper.finds():
            self._known.add(tuple(record["key"]))
            self._signatures.add(record["signature"])
        for trip in left(self.keeper.folder):
            self._sequences.add((draft,) for draft in trip)
        for name in self.composer.places:
            draft = ({"do": "handshake", "on": name},)
            self._probing.add(digest(draft))
            self._sequences.add([(draft,)])
        self._sequences.add((draft,) for draft in self.corpus.load())

    @property
    def _is_over(self) -> bool:
        done = self.sequences is not None and self.state.sequences >= self.sequences
        if not done and self.state.seconds < self.state.budget:
            return self._is_enough
        # What is suspected is still played: nobody would come back to it.
        self._end = self._end or self.state.seconds + _LATE
        return self._is_enough or not self._suspected.waits or self.state.seconds >= self._end

    @property
    def _is_enough(self) -> bool:
        return self.finds is not None and self._here >= self.finds

    def _send(self) -> None:
        """One trip that goes; what does not fit the target is told apart from what does.

        Raises:
            UsageError: nothing fits it.
        """
        for _ in range(_MOST_EMPTY):
            drafts = self._sequences.next()
            trip = self._trip(drafts)
            if trip is None:
                self.state.skipped += len(drafts)
                continue
            try:
                self.trips.send(trip)
                return
            except (NotApplicable, UsageError):
                self.state.skipped += 1
                if len(trip.drafts) > 1:
                    self._sequences.add((draft,) for draft in trip.drafts)
        raise UsageError(
            "nothing that is drawn can be sent to it", self.composer.target.name, "see kshs target check FILE"
        )

    def _trip(self, drafts: tuple[Draft, ...]) -> Trip | None:
        name = f"fuzz.trip.{digest(tuple(step for draft in drafts for step in draft))}"
        composed = self.composer.compose(drafts, name, "Sequences that kshs fuzz has drawn")
        if composed is None:
            return None
        self._sequences.back(drafts[composed.sequences :])
        return Trip(drafts[: composed.sequences], composed)

    # ---- what came -------------------------------------------------------------------------------

    def _land(self, landed: Landed) -> None:
        result = landed.result
        self.state.trips += 1
        self.state.leases = self.trips.leases
        if result.verdict is Verdict.ERROR:
            self._error(str(result.reason))
            return
        self._errors = 0
        self.state.sequences += len(landed.trip.drafts)
        self.state.steps += len(result.steps)
        self.state.requests += sum(
            step.request.repeat if step.request is not None else 0 for step in landed.plan.steps
        )
        if result.verdict is Verdict.SKIPPED:
            self._ban(landed)
        self._learn(landed)
        suspicion = self._suspected.landed(landed.trip.drafts)
        if landed.odd:
            for cause, number in list(causes(landed)):
                self._look(landed, cause, number)
        elif suspicion is not None:
            self._not_odd(landed, suspicion)

    def _error(self, reason: str) -> None:
        self.state.errors += 1
        self._errors += 1
        self.say(one_line(f"an error of the harness: {reason}", _MOST_SAID))
        if self._errors >= _MOST_ERRORS:
            raise HarnessError(f"{_MOST_ERRORS} errors of the harness in a row; the last: {reason}", "fuzz")

    def _ban(self, landed: Landed) -> None:
        """A step that this target, or this guest, does not show is not sent again."""
        for step in landed.result.steps:
            planned = landed.plan.steps[step.index] if step.index < len(landed.plan.steps) else None
            if step.verdict is Verdict.SKIPPED and planned is not None and planned.step is not None:
                on = getattr(planned.step, "on", getattr(planned.step, "name", None))
                kind = planned.step.do
                self.composer.banned.add(("leak", ANY) if kind == "counters" else (kind, str(on)))
                self.say(one_line(f"not sent again: {step.name}: {step.reason}", _MOST_SAID))
                return

    def _learn(self, landed: Landed) -> None:
        executed = self.trips.executed()
        blocks: frozenset[Feature] = frozenset(("block", block) for block in executed or ())
        alone = len(landed.trip.drafts) == 1
        if executed is not None:
            new = self.corpus.news(blocks) - self._unattributed
            if new and not alone:
                self._unattributed |= new
                self._sequences.first((draft,) for draft in landed.trip.drafts)
            known = sum(1 for feature in self.corpus.known if feature[0] == "block")
            self.state.coverage_blocks = known + len(self._unattributed)
        for number, draft in enumerate(landed.trip.drafts):
            self.corpus.sent(draft)
            brings = features([step for step in landed.steps_of(number) if step.verdict is Verdict.PASSED])
            if alone:
                brings |= blocks
                self._unattributed -= blocks
            if self.corpus.news(brings):
                self._keep_sequence(draft, brings, odd=landed.odd)

    def _keep_sequence(self, draft: Draft, brings: frozenset[Feature], *, odd: bool = False) -> None:
        self.corpus.add(draft, brings)
        if self.differences is not None and not odd:
            self._compare.append(draft)

    # ---- bulks -------------------------------------------------------------------------------------

    def _go_in_bulks(self) -> None:
        """For a part of the time, when nothing waits to be played."""
        idle = self.in_bulks and not self._sequences.waits and not self._is_over
        if not idle or self.state.bulk_seconds > _IN_BULKS * self.state.seconds or not self._bulks.serves:
            return
        while self.trips.on_their_way:
            self._land(self.trips.take())
        left_over = None if self.sequences is None else max(0, self.sequences - self.state.sequences)
        owed = (_IN_BULKS * self.state.seconds - self.state.bulk_seconds) / (1 - _IN_BULKS)
        for suspicion in self._bulks.run(min(max(owed, _A_TURN[0]), _A_TURN[1]), left_over):
            self._play(self._suspected.first(suspicion))

    def _play(self, drafts: tuple[Draft, ...] | None) -> bool:
        """As a scenario, by which alone anybody is judged."""
        self._sequences.first([drafts] if drafts else [])
        return drafts is not None

    def _not_odd(self, landed: Landed, suspicion: Suspicion) -> None:
        """What was odd in a bulk is not in a scenario."""
        if self._play(self._suspected.further(suspicion)):
            return
        self.state.unconfirmed += 1
        if suspicion.cause is not None:
            self._tried[suspicion.cause.key] += 1
        self.keeper.unconfirmed_bulk(landed.trip.composed.scenario, suspicion.reason)
        self.say(one_line(f"odd in a bulk, and not in a scenario: {suspicion.reason}", _MOST_SAID))

    def _is_known(self, cause: Cause) -> bool:
        return cause.key in self._known or self._tried[cause.key] >= _TRIES

    # ---- failures ----------------------------------------------------------------------------------

    def _look(self, landed: Landed, cause: Cause, number: int | None) -> None:
        if cause.key in self._known:
            self.state.again += 1
            return
        if self._is_probe(landed) and Rule.SETUP.value in cause.key:
            self._cannot_open(landed, cause)
            return
        if self._tried[cause.key] >= _TRIES or self._is_enough:
            return
        self.say(one_line(f"looks into: {cause.words}", _MOST_SAID))
        later = [self.trips.take() for _ in range(self.trips.on_their_way)]
        self.trips.discard()
        seconds = min(self.smaller, max(_LATE, self.state.budget - self.state.seconds))
        find, why = None, "did not come again"
        with self.investigators() as investigator:
            try:
                find = investigator.look(landed.trip, number, cause, seconds)
            except HarnessError as error:
                why = "could not be played again"
                self._error(str(error))
        new = find is not None and self._keep(find)
        if cause.key not in self._known and not new:
            self._tried[cause.key] += 1
            if find is None or not may_come_otherwise(cause):
                self.state.unconfirmed += 1
                self.keeper.unconfirmed(landed, f"{why}: {cause.words}")
                self.say(one_line(f"{why}: {cause.words}", _MOST_SAID))
        for one in later:
            self._land(one)

    def _is_probe(self, landed: Landed) -> bool:
        return len(landed.trip.drafts) == 1 and digest(landed.trip.drafts[0]) in self._probing

    def _cannot_open(self, landed: Landed, cause: Cause) -> None:
        """An object that does not open at the very first is none of this target's."""
        name = str(landed.trip.drafts[0][0]["on"])
        self.state.unopened[name] = cause.words
        self.composer.ban(name)
        self.say(f"{name} does not open, and is left out: {cause.words}")

    def _hold_against(self) -> None:
        """Kept sequences against the other guest or driver, for a part of the time."""
        while self._compare and self.differences and self._comparing < _COMPARED * self.state.seconds:
            began = time.monotonic()
            draft = self._compare.popleft()
            trip = self._trip((draft,))
            find = None
            if trip is not None:
                try:
                    find = self.differences.difference(trip, _LATE)
                except HarnessError as error:
                    self._error(str(error))
            if find is not None:
                self._keep(find)
            self._comparing += time.monotonic() - began

    def _keep(self, find: Find) -> bool:
        """Whether it is a new one."""
        self._known.add(find.cause.key)
        if find.signature in self._signatures:
            self.state.again += 1
            return False
        self._signatures.add(find.signature)
        self._here += 1
        self.keeper.find(find, self.state)
        self.say(one_line(f"find {find.signature}: {find.cause.words}", _MOST_SAID))
        return True

    # ---- words -------------------------------------------------------------------------------------

    def _tell(self) -> None:
        state = self.state
        rate = state.sequences / state.seconds if state.seconds else 0.0
        self.say(
            f"fuzzed {min(state.seconds, state.budget):.0f} of {state.budget:.0f} s:"
            f" {state.sequences:,} sequences ({rate:.0f}/s), {len(self.corpus.entries)} kept,"
            f" {counted(len(self._signatures), 'find')}"
        )
