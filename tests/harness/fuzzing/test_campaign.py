# SPDX-License-Identifier: Apache-2.0
"""Whole campaigns on simulated guests: what is found, what is not, and what is left on the disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from harness.capsule.opened import SCENARIO, Capsule
from harness.errors import HarnessError, UsageError
from harness.fuzzing.counted import Counted
from harness.fuzzing.describing import capsules
from harness.fuzzing.draft import Draft
from harness.fuzzing.feedback import Coverage
from harness.fuzzing.in_flight import InFlight, left
from harness.fuzzing.keeping import CAMPAIGN, FOUND, State, load_state
from harness.fuzzing.mutating import Mutator
from harness.fuzzing.setup import Asked, campaign
from harness.fuzzing.trips import Trips
from harness.guests import Evidence, Guest
from harness.language.scenario_file import load
from harness.running import attribution
from harness.verdict import Verdict
from tests.harness.capsule import made
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import ABI, INFO, SUCCESS, Bend, C, Simulation
from tests.harness.fuzzing.simulated import Fuzzed


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No recorder of crashes is a process of its own here."""
    monkeypatch.setattr(attribution, "_RECORDER_TIME", 0.0)


def new(seed: int = 3) -> State:
    return State(seed=seed, budget=36_000.0, target="sim", target_digest="ef", guest="fake")


def fuzz(
    folder: Path,
    wrong: Bend | None = None,
    state: State | None = None,
    *,
    coverage: Any = None,
    provider: Fuzzed | None = None,
    against: Fuzzed | None = None,
    **asked: Any,
) -> tuple[State, list[str]]:
    """One campaign; what it is by then, and what it said."""
    said: list[str] = []
    state = state or new()
    with campaign(
        provider or Fuzzed(wrong),
        ABI,
        folder,
        state,
        said.append,
        Asked(**asked),
        coverage=coverage,
        against=against,
    ) as work:
        work.run()
    return state, said


def accepts(length: int) -> Bend:
    """A target that takes one wrong length of the input."""

    def wrong(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if int(step.in_length) == length and int(step.value) == 0 and int(step.flags) == 0:
            return simulation.request(step, data, status=SUCCESS)
        return None

    return wrong


def found(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(folder.glob("finds/*/find.json"))]


def test_a_target_that_keeps_the_contract_gives_no_find(tmp_path: Path) -> None:
    state, said = fuzz(tmp_path, sequences=100)
    assert (found(tmp_path), state.unconfirmed, state.errors) == ([], 0, 0), said
    assert state.sequences >= 100
    kept = sorted(tmp_path.glob("corpus/*.scenario.toml"))
    assert len(kept) > 10
    for file in kept[:10]:
        assert load(file)[0].id == f"fuzz.{file.name.removesuffix('.scenario.toml')}"


def test_what_is_wrong_is_found_made_small_and_kept(tmp_path: Path) -> None:
    state, _ = fuzz(tmp_path, accepts(0), finds=1)
    record = found(tmp_path)[0]
    assert (record["verdict"], record["hits"], record["runs"]) == ("failed", 2, 2)
    scenario = load(tmp_path / "finds" / record["signature"] / FOUND)[0]
    requests = [step for step in scenario.steps if step.do == "handshake"]
    assert len(scenario.steps) <= 5 < record["steps_before"] + 4
    assert [step.in_length for step in requests if step.do == "handshake"] in ([0], ["0*size"])
    assert state.again >= 0 and load_state(tmp_path) == state


def test_a_failure_that_does_not_come_again_is_no_find(tmp_path: Path) -> None:
    """The first guest alone answers wrongly, and only once."""
    told: list[int] = []

    def wrong(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if int(step.in_length) == 32 and len(told) < 20:
            told.append(1)
            if len(told) == 20:
                return simulation.request(step, data, status=0x103)  # never final, whatever was asked
        return None

    state, said = fuzz(tmp_path, wrong, sequences=60)
    assert (found(tmp_path), state.unconfirmed) == ([], 1), said
    assert len(list(tmp_path.glob("unconfirmed/*.toml"))) == 1


def test_a_failure_is_found_behind_another_one_of_the_same_sequence(tmp_path: Path) -> None:
    """What is looked into is what failed, not what fails first in the sequence that shows it."""
    first: Draft = ({"do": "handshake", "on": "source", "in_length": 0},)
    second: Draft = (*first, {"do": "handshake", "on": "source", "argument1": 77})

    def wrong(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if int(step.in_length) == 32 and int.from_bytes(data[16:24], "little") == 77:
            return simulation.request(step, data, status=0xC0000001)
        return accepts(0)(simulation, step, data)

    with InFlight(tmp_path) as journal:
        journal.now([[first], [second]])
    state, said = fuzz(tmp_path, wrong, finds=2, in_bulks=False, sequences=100)
    causes = sorted(record["cause"].partition(",")[0] for record in found(tmp_path))
    assert len(causes) == 2 and any("STATUS_UNSUCCESSFUL" in cause for cause in causes), said
    assert state.unconfirmed == 0
    for record in found(tmp_path):
        scenario = load(tmp_path / "finds" / record["signature"] / FOUND)[0]
        assert len([step for step in scenario.steps if step.do == "handshake"]) == 1


def test_a_row_that_is_wrong_is_found_by_the_request_that_is(tmp_path: Path) -> None:
    """A trip knows that answers differ; who plays it again knows which. That is no failure that went away."""
    row: Draft = ({"do": "handshake", "on": "source", "in_length": 0, "repeat": 4, "in_stride": 1},)

    def wrong(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if int(step.in_length) or int(step.flags):
            return None
        if int(step.repeat) == 1:
            return simulation.request(step, data, status=0xC0000001)
        right = simulation.request(step, data)
        return Answer(record={**(right.record or {}), "repeats": 2}, data=right.data)

    with InFlight(tmp_path) as journal:
        journal.now([[row]])
    state, said = fuzz(tmp_path, wrong, finds=1, in_bulks=False, sequences=60)
    assert any(text.startswith("looks into: H4: repeats") for text in said), said
    assert [record["cause"][:21] for record in found(tmp_path)] == ["H4: answer is STATUS_"]
    assert state.unconfirmed == 0


def test_a_crash_throws_the_lease_away_and_the_campaign_goes_on(tmp_path: Path) -> None:
    def wrong(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        return Answer(die=1) if int(step.in_length) == 0 else None

    provider = Fuzzed(wrong)
    provider.evidence = Evidence(driver=("sim.sys faulted at sim.sys+0x1234",))
    state, said = fuzz(tmp_path, provider=provider, finds=1)
    record = found(tmp_path)[0]
    assert record["verdict"] == "crashed", said
    assert state.leases >= 1
    assert len(provider.guests) > 3
    assert all(guest.closed for guest in provider.guests)


def test_errors_of_the_harness_are_no_finds_and_end_it_when_they_go_on(tmp_path: Path) -> None:
    def wrong(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        return Answer(die=1)

    with pytest.raises(HarnessError, match="5 errors of the harness in a row"):
        fuzz(tmp_path, wrong, sequences=50)
    assert found(tmp_path) == []


def test_a_campaign_that_was_killed_goes_on(tmp_path: Path) -> None:
    first, _ = fuzz(tmp_path, accepts(0), finds=1)
    signature = found(tmp_path)[0]["signature"]
    flying: Draft = ({"do": "handshake", "on": "source", "argument1": 77},)
    with InFlight(tmp_path) as journal:
        journal.now([[flying]])
    assert left(tmp_path) == [(flying,)]
    again = load_state(tmp_path)
    assert again == first
    sent: list[int] = []

    def wrong(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        sent.append(int.from_bytes(data[16:24], "little"))
        return accepts(0)(simulation, step, data)

    second, _ = fuzz(tmp_path, wrong, again, sequences=first.sequences + 30)
    assert 77 in sent[:40]
    assert second.sessions == 2 and second.sequences > first.sequences
    assert [record["signature"] for record in found(tmp_path)] == [signature]


@pytest.mark.parametrize("interrupted", [False, True])
def test_what_an_earlier_time_kept_stays_where_it_is_not_sent_again(
    tmp_path: Path, interrupted: bool
) -> None:
    """Its time was over when it was resumed, or somebody ended it before the corpus had gone out anew."""
    fuzz(tmp_path, sequences=60)
    kept = {file.name: file.read_text() for file in tmp_path.glob("corpus/*.scenario.toml")}
    drawn = (tmp_path / "drawn.jsonl").read_bytes()
    again = load_state(tmp_path)
    assert again is not None and len(kept) > 5
    again.budget = again.seconds + 3600.0 if interrupted else again.seconds
    torn = next(iter(kept))
    (tmp_path / "corpus" / torn).write_text(kept[torn][:40])
    (tmp_path / "drawn.jsonl").write_bytes(b"\xff\xfe\n[[[[\n" + drawn + b'[{"do')

    def said(text: str) -> None:
        if interrupted:
            raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt) if interrupted else nullcontext(),
        campaign(Fuzzed(), ABI, tmp_path, again, said, Asked()) as work,
    ):
        work.run()
    after = {file.name: file.read_text() for file in tmp_path.glob("corpus/*.scenario.toml")}
    assert kept.items() <= after.items()
    assert set(drawn.splitlines()) <= set((tmp_path / "drawn.jsonl").read_bytes().splitlines())


def test_nothing_that_was_torn_is_believed(tmp_path: Path) -> None:
    for text in ("[[[{", '{"a": 1}', "[[[1]]]", "null", "[1]"):
        (tmp_path / "in-flight.json").write_text(text)
        assert left(tmp_path) == []
    assert load_state(tmp_path) is None
    damaged = ("{", "[]", "{}", "[" * 100_000, '{"schema": 2}', '{"schema": 1, "other": 2}', "\ud800")
    for text in damaged:
        (tmp_path / CAMPAIGN).write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(UsageError, match="no campaign's state") as refused:
            load_state(tmp_path)
        assert "\n" not in str(refused.value)


def test_who_is_killed_before_the_first_guest_is_there_can_go_on(tmp_path: Path) -> None:
    class Dead(Fuzzed):
        def acquire(self) -> Any:
            raise HarnessError("no guest")

    with pytest.raises(HarnessError, match="no guest"):
        fuzz(tmp_path, provider=Dead())
    assert load_state(tmp_path) == new()


def test_code_that_was_never_reached_makes_a_sequence_worth_keeping(tmp_path: Path) -> None:
    """The answers are all the same to it; the map says that an argument reaches other code."""

    class Counting:
        def __init__(self) -> None:
            self.reached: set[int] = set()
            self.zeroed = 0

        def zero(self) -> None:
            self.reached.clear()
            self.zeroed += 1

        def read(self) -> set[int]:
            return set(self.reached)

        def of(self, guest: Guest, session: Any, info: Any) -> Coverage:
            return self

    counting = Counting()

    def wrong(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        counting.reached.add(16 if int.from_bytes(data[16:24], "little") else 0)
        return None

    state, _ = fuzz(tmp_path, wrong, coverage=counting, sequences=40)
    assert state.coverage_blocks == 2
    assert counting.zeroed == state.trips + state.bulks


@pytest.mark.parametrize("steered", [True, False])
def test_what_is_kept_is_made_into_others_where_that_is_wanted(
    tmp_path: Path, steered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Draft] = []
    real: Callable[..., Draft] = Mutator.mutate

    def mutate(self: Mutator, draft: Draft, others: Any) -> Draft:
        made.append(draft)
        return real(self, draft, others)

    monkeypatch.setattr(Mutator, "mutate", mutate)
    fuzz(tmp_path, sequences=60, steered=steered)
    assert bool(made) is steered


def breaks_both(status: int) -> Bend:
    """A target that answers so where H4 and H5 are broken at once, of which the contract says nothing."""

    def wrong(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        both = int(step.mode) == C["KSHS_MODE_USER"] and int(step.in_length) != 32
        plain = int(step.repeat) == 1 and int(step.flags) == 0
        return simulation.request(step, data, status=status) if both and plain else None

    return wrong


def test_what_the_contract_says_nothing_of_is_found_against_another_driver(tmp_path: Path) -> None:
    state = new()
    state.against = "the older one"
    other = Fuzzed(breaks_both(0xC0000010))
    _, said = fuzz(tmp_path, breaks_both(0xC0000206), state, against=other, finds=1)
    record = found(tmp_path)[0]
    assert record["cause"].startswith("against: answer is STATUS_INVALID_BUFFER_SIZE"), said
    assert "STATUS_INVALID_DEVICE_REQUEST" in record["cause"] and "the older one" in record["cause"]
    assert (record["hits"], record["runs"]) == (2, 2)
    assert record["lacks"] == ["no capsule: it only differs from the older one, and alone it passes"]
    scenario = load(tmp_path / "finds" / record["signature"] / FOUND)[0]
    assert len(scenario.steps) <= 3


def test_two_drivers_that_answer_alike_give_no_find(tmp_path: Path) -> None:
    state = new()
    state.against = "itself"
    fuzz(tmp_path, None, state, against=Fuzzed(), sequences=50)
    assert found(tmp_path) == []


def test_a_target_to_which_nothing_can_be_sent_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.fuzzing.campaign._MOST_EMPTY", 5)
    monkeypatch.setattr("harness.fuzzing.composing.Composer.compose", lambda *given: None)
    with pytest.raises(UsageError, match="nothing that is drawn can be sent to it"):
        fuzz(tmp_path, sequences=5)


def test_who_ends_it_gets_the_corpus(tmp_path: Path) -> None:
    provider = Fuzzed()
    state = new()

    def said(text: str) -> None:
        if state.sequences > 20:
            raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        campaign(provider, ABI, tmp_path, state, said, Asked()) as work,
    ):
        work.run()
    assert len(list(tmp_path.glob("corpus/*.scenario.toml"))) > 3
    assert load_state(tmp_path) is not None and all(guest.closed for guest in provider.guests)


def test_the_capsule_of_a_find_can_be_opened_and_holds_its_scenario(tmp_path: Path) -> None:
    """Scenario, target and package as they were, and the records of the failure under the find's name."""
    provider = Fuzzed(accepts(0))
    state = new()
    (tmp_path / "files").mkdir()
    loaded = made.loaded_target(tmp_path / "files")
    packed = made.package(tmp_path / "files")
    provider.target_digest = lambda: packed.digest  # type: ignore[method-assign]

    def capsule(trips: Trips) -> Any:
        return capsules(provider, loaded, lambda: packed, lambda: trips.lease.info, state)

    folder = tmp_path / "out"
    folder.mkdir()
    with campaign(provider, ABI, folder, state, lambda text: None, Asked(finds=1), capsule=capsule) as work:
        work.run()
    record = found(folder)[0]
    assert record["lacks"] == []
    file = next(folder.glob("finds/*/*.capsule"))
    with Capsule(file) as opened:
        opened.check()
        assert opened.manifest.origin.scenario == f"fuzz.find.{record['signature']}"
        assert opened.manifest.verdict is Verdict.FAILED
        opened.unpack(tmp_path / "unpacked")
    scenario = load(folder / "finds" / record["signature"] / FOUND)[0]
    assert load(tmp_path / "unpacked" / SCENARIO) == [scenario]


def test_a_guest_in_which_nobody_counts_has_no_coverage() -> None:
    provider = Fuzzed()
    session: Any = None
    assert Counted(provider, ABI).of(provider.acquire(), session, INFO) is None
