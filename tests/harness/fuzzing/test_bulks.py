# SPDX-License-Identifier: Apache-2.0
"""Bulks: their bytes are the planner's, what passes would pass the judge, and what is odd becomes a find."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.agent.frames import Record
from harness.contract import capabilities
from harness.fuzzing.bulk import Aimed, Flown, Odd
from harness.fuzzing.bulk_drawing import BulkDrawing
from harness.fuzzing.bulk_loop import BulkLoop, _Batch
from harness.fuzzing.composing import Composer
from harness.fuzzing.corpus import Corpus
from harness.fuzzing.draft import Draft
from harness.fuzzing.fitting import Fitting
from harness.fuzzing.keeping import FOUND
from harness.fuzzing.pool import pool
from harness.fuzzing.screening import Screen, Shot
from harness.fuzzing.setup import Asked, campaign
from harness.fuzzing.standing import standing
from harness.guest_info import GuestInfo
from harness.language.scenario_file import load
from harness.planning.planned import Sizes
from harness.running.step_result import judge_step
from harness.verdict import Verdict
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import ABI, INFO, SUCCESS, Simulation
from tests.harness.fuzzing.simulated import Fuzzed
from tests.harness.fuzzing.test_campaign import new
from tests.harness.fuzzing.test_composing import named


def screen(name: str = "avshs", pointer_size: int = 8) -> Screen:
    target = named(name)
    lacks = frozenset(capabilities.absent(GuestInfo.of(INFO)))
    composer = Composer(target, pool(target), Fitting(target, lacks, pointer_size))
    sizes = Sizes(pointer_size, pointer_size)
    made = standing(composer, sizes)
    assert made is not None
    return Screen(composer, sizes, made)


def drawing(made: Screen, seed: int) -> BulkDrawing:
    composer = made.composer
    names = made.standing.slots
    return BulkDrawing(composer.target, composer.places, names, random.Random(seed), made.sizes.kernel)


def drawn(made: Screen, seed: int, count: int) -> Iterator[tuple[Draft, list[Shot]]]:
    draws = drawing(made, seed)
    for _ in range(count):
        draft = draws.draw()
        shots = made.shots(draft)
        if shots:
            yield draft, shots


@pytest.mark.parametrize(("name", "pointer_size"), [("avshs", 8), ("avshs", 4), ("clock", 8)])
def test_what_is_patched_is_what_the_planner_would_send(name: str, pointer_size: int) -> None:
    made = screen(name, pointer_size)
    steps = 0
    for _, shots in drawn(made, 5, 60):
        for shot in shots:
            if shot.planned is not None:
                continue
            planned = made._planned(shot.step)
            assert [made._placed(one, str(shot.step["on"])) for one in planned] == [shot.payload], shot.step
            assert planned[0].timeout == shot.timeout
            due = planned[0].callback.output if planned[0].callback is not None else None
            assert not shot.answer or (due is not None and shot.answer == due.pack(pointer_size))
            steps += 1
    assert steps > (20 if name == "avshs" else 0)


def record(shot: Shot, simulation: Simulation) -> Record:
    """What a target that keeps the contract answers."""
    head = ABI.cs.kshs_step(shot.payload)
    answer = simulation(head, shot.payload[len(ABI.cs.kshs_step) :])
    fields: dict[str, Any] = {name: 0 for name in Record.__dataclass_fields__ if name != "data"}
    fields |= {"op": int(head.op), "repeats": int(head.repeat), **(answer.record or {})}
    return Record(**fields, data=answer.data)


#: One field of a record, and other values for it.
BENT: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("returned", (0, 0xC0000010, 0xC0000206, 0x103, 0xC0000001)),
    ("status", (0, 0xC0000010, 0xC0000206, 0x103)),
    ("information", (0, 16, 31, 32, 33)),
    ("completions", (0, 1, 2)),
    ("irql_after", (0, 1, 2)),
    ("changed_bytes", (0, 1, 32)),
    ("changed_last", (0, 31, 32, 0xFFFFFFFF)),
    ("repeats", (1, 2, 63, 64)),
    ("outcome", (0, 2, 3, 4, 5)),
    ("flags", tuple(1 << bit for bit in range(13))),
    ("data", (b"", b"\xcc" * 32, bytes(32), b"\xcc" * 31 + b"\x01")),
)


def test_nothing_passes_that_the_judge_does_not_pass() -> None:
    """Answers bent in every way, in an order in which the screen has passed the likes of many before."""
    made, source = screen(), random.Random(9)
    simulation = Simulation()
    passed = refused = 0
    for draft, shots in drawn(made, 6, 250):
        for shot in shots:
            answers = [record(shot, simulation)]
            for _ in range(3):
                field, values = source.choice(BENT)
                changed: Any = source.choice(values)
                if field == "flags":
                    changed = answers[0].flags ^ changed
                answers.append(replace(answers[0], **{field: changed}))
            for answer in answers:
                if not made.passes(shot, answer):
                    made.judged(shot, answer)
                    continue
                verdict = judge_step(0, made._of(shot), answer)[0].verdict
                assert verdict is Verdict.PASSED, (draft, answer)
                passed += 1
            refused += sum(not made.passes(shot, answer) for answer in answers)
    assert passed > 100 and refused > 100


def test_the_same_seed_draws_the_same() -> None:
    made = screen()
    first, again, other = ([drawing(made, seed).draw() for _ in range(3)] for seed in (5, 5, 6))
    assert first == again != other


def test_a_sequence_ends_in_the_state_in_which_a_scenario_begins() -> None:
    made = screen()
    shots = made.shots(({"do": "state", "on": "source", "to": "run"}, {"do": "handshake", "on": "source"}))
    assert shots is not None and [shot.step["do"] for shot in shots] == ["state", "handshake", "state"]
    assert shots[-1].step["to"] == "stop"


@pytest.mark.parametrize(
    "step",
    [
        {"do": "handshake", "on": "source", "start": True},
        {"do": "handshake", "on": "source", "threads": 2},
        {"do": "close", "on": "source"},
        {"do": "handshake", "on": "source_sync"},
    ],
)
def test_what_goes_on_meanwhile_is_not_for_a_bulk(step: dict[str, Any]) -> None:
    assert screen().shots((step,)) is None


def fuzz(folder: Path, wrong: Any, coverage: Any = None, **asked: Any) -> tuple[Any, list[str], list[Any]]:
    said: list[str] = []
    state = new()
    with campaign(Fuzzed(wrong), ABI, folder, state, said.append, Asked(**asked), coverage=coverage) as work:
        work.run()
    return state, said, [json.loads(file.read_text()) for file in folder.glob("finds/*/find.json")]


def test_what_is_odd_in_a_bulk_is_played_as_a_scenario_and_found(tmp_path: Path) -> None:
    """Some lengths, in requests that a bulk has sent; scenarios of before have not met them."""
    told: list[int] = []

    def wrong(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        told.append(1)
        long = int(step.in_length) in range(100, 300) and int(step.out_length) == 32
        if len(told) > 800 and long and int(step.mode) == 0 and int(step.value) == 0:
            return simulation.request(step, data, status=SUCCESS)
        return None

    state, said, found = fuzz(tmp_path, wrong, finds=1, sequences=3_000)
    assert len(found) == 1 and found[0]["hits"] == found[0]["runs"] == 2, said
    scenario = load(tmp_path / "finds" / found[0]["signature"] / FOUND)[0]
    assert len(scenario.steps) <= 4
    assert state.bulk_sequences > 0


def test_what_is_odd_in_a_bulk_alone_is_put_down_and_nobody_is_blamed(tmp_path: Path) -> None:
    """One answer is wrong, once, in what only bulks send in such a number; which length it has is judged."""
    told: list[int] = []
    answered: list[int] = []

    def wrong(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        told.append(1)
        long = int(step.in_length) in range(100, 300) and int(step.out_length) == 32
        if len(told) > 700 and not answered and long and int(step.mode) == 0 and int(step.value) == 0:
            answered.append(1)
            return simulation.request(step, data, status=SUCCESS)
        return None

    state, said, found = fuzz(tmp_path, wrong, sequences=1_500)
    assert answered
    assert (found, state.unconfirmed, state.errors) == ([], 1, 0), said
    assert len(list(tmp_path.glob("unconfirmed/*.toml"))) == 1


def test_who_reached_new_code_is_found_by_halves(tmp_path: Path) -> None:
    """Of a bulk of hundreds the one sequence is kept that reached a block which no answer tells of."""

    class Counting:
        def __init__(self) -> None:
            self.reached: set[int] = set()

        def zero(self) -> None:
            self.reached.clear()

        def read(self) -> set[int]:
            return set(self.reached)

        def of(self, guest: Any, session: Any, info: Any) -> Any:
            return self

    counting = Counting()

    def wrong(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if int(step.in_length) in range(100, 300) and int(step.value) == 0:
            counting.reached.add(7)
        return None

    state, _, _ = fuzz(tmp_path, wrong, coverage=counting, sequences=600)
    assert state.coverage_blocks == 1
    kept = [json.loads(line) for line in (tmp_path / "drawn.jsonl").read_text().splitlines()]
    lengths = [step.get("in_length") for draft in kept for step in draft]
    assert any(isinstance(length, int) and 100 <= length < 300 for length in lengths)


def test_what_is_nobodys_alone_is_looked_for_by_halves_and_one_of_each_cause_is_enough(
    tmp_path: Path,
) -> None:
    """What a bulk leaves behind: a guest of threads and memory has nothing to leave."""
    nobody: Any = None
    loop = BulkLoop(
        nobody, nobody, Corpus(tmp_path), new(), random.Random(1), True, lambda cause: False, nobody
    )
    aimed = [Aimed(({"do": "handshake", "on": "source", "argument1": n},), ()) for n in range(40)]
    left = Flown(odd=[Odd(None, "IO: class_device_inside is +1, expected no more than before")])
    assert loop._suspicions(_Batch(aimed), left) == []
    assert [(len(batch.sequences), batch.blamed) for batch in loop._batches] == [(20, True), (20, True)]
    first = loop._batches.popleft()
    assert loop._suspicions(first, left) == []
    assert [len(batch.sequences) for batch in loop._batches] == [10, 10], "the other half is not sent"
    few = loop._suspicions(_Batch(aimed[:8], blamed=True), left)
    assert [(one.draft, len(one.context)) for one in few] == [(None, 8)]
    alone = loop._suspicions(_Batch(aimed), Flown(odd=[Odd(30, "hung")]))
    assert [(one.draft, one.context[-1]) for one in alone] == [(aimed[30].draft, aimed[30].draft)]


def test_without_bulks_none_is_sent(tmp_path: Path) -> None:
    state, _, _ = fuzz(tmp_path, None, sequences=10, in_bulks=False)
    assert state.bulks == 0


def test_what_is_kept_and_costs_little_is_made_into_others_more_often(tmp_path: Path) -> None:
    """A sequence of 70,000 requests takes the guest as long as some hundred others."""
    nobody: Any = None
    costs: Any

    class Costs:
        def shots(self, draft: Any) -> list[Any]:
            return [Shot(b"", 1.0, 0, "a step", b"", step, int(step["repeat"])) for step in draft]

    corpus = Corpus(tmp_path)
    for repeat in (1, 70_000):
        corpus.add(
            ({"do": "handshake", "on": "source", "repeat": repeat},), frozenset([("answer", str(repeat))])
        )
    loop = BulkLoop(nobody, nobody, corpus, new(), random.Random(1), True, lambda cause: False, nobody)
    costs = Costs()
    loop._screen = costs
    loop._keep_up()
    cheap, dear = loop._kept
    assert (cheap.draft[0]["repeat"], dear.draft[0]["repeat"]) == (1, 70_000)
    assert cheap.weight > 1_000 * dear.weight
    loop._keep_up()
    assert len(loop._kept) == 2, "nothing is kept twice"
    loop.close()
