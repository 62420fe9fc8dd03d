# SPDX-License-Identifier: Apache-2.0
"""Results folders into the store: whole, again, partial, damaged, at once, and killed in between."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from harness.errors import UsageError
from harness.results.run_files import BegunRun, write_run
from harness.store import importing, queries
from harness.store.database import Store
from harness.store.importing import Importer
from harness.store.lists import load_lists
from harness.store.models import NUMBERS, Answer, Attempt, Base, Guest, Incident, Run, StatusBlock
from harness.store.reading import read
from harness.store.values import block_of
from tests.harness.nights.folders import DECLINED, SOUND, Case, Results

CASES = (
    Case("length.short", requests=({}, {"answer": DECLINED, "information": 0})),
    Case("mode.user", "failed"),
    Case("needs.more", "skipped", requests=()),
    Case("wild", "crashed"),
    Case("flips", "failed", attempts=("failed", "passed")),
)
RUN = Results(cases=CASES, tests={"test_x.py::test_a": "passed", "test_x.py::test_b": "failed"})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store.db"), make=True) as opened:
        yield opened


def dump(store: Store) -> dict[str, int]:
    with store.reading() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in Base.metadata.sorted_tables
        }


def test_a_run_is_kept_with_all_that_it_says(store: Store, tmp_path: Path) -> None:
    done = Importer(store).take(RUN.write(tmp_path))
    assert str(done) == "run night00: 7 scenarios, 5 status blocks"
    with store.reading() as connection:
        (run,) = queries.runs(connection)
        outcomes = {one.key: one for one in queries.outcomes(connection, [run.id])}
        short = outcomes["basic.toml::length.short"]
        (steps,) = load_lists(connection, [short.answers or 0]).values()
        evidence = connection.scalars(select(Incident.evidence)).all()
    on = run.conditions
    assert (on.kernel_build, on.ks_digest, on.image, on.verifier) == ("7601", "a" * 64, "f" * 64, "off")
    assert (on.accelerator, on.package, on.version) == ("tcg", "1" * 64, "2.0")
    assert short.content == "c1"
    assert steps[0].fields["argument2"] == 0xFFFFFFFFFFFFFFFD
    assert (steps[1].fields["answer"], steps[1].fields["information"]) == (DECLINED, 0)
    assert steps[0].fields["seen.count"] == 1 and "seen.thread" not in steps[0].fields
    assert outcomes["basic.toml::flips"].tries == ("failed", "passed")
    assert outcomes["basic.toml::mode.user"].signature == "failed | H6: answer is wrong"
    assert outcomes["test_x.py::test_b"].verdict == "failed"
    assert [json.loads(line) for line in evidence] == [["bugcheck 0x3b"]]


def test_the_same_folder_twice_changes_nothing(store: Store, tmp_path: Path) -> None:
    folder = RUN.write(tmp_path)
    importer = Importer(store)
    importer.take(folder)
    before = dump(store)
    assert str(importer.take(folder)) == "run night00 is in the store already"
    assert str(Importer(store).take(folder)) == "run night00 is in the store already"
    assert dump(store) == before


def test_a_night_like_the_one_before_costs_no_status_blocks(store: Store, tmp_path: Path) -> None:
    importer = Importer(store)
    importer.take(RUN.write(tmp_path))
    before = dump(store)
    importer.take(RUN.but(night=1, package="2" * 64).write(tmp_path))
    after = dump(store)
    changed = {name for name, count in after.items() if count != before[name]}
    assert changed == {"run", "attempt", "target", "incident"}


def test_a_run_that_went_on_replaces_what_was_there_of_it(store: Store, tmp_path: Path) -> None:
    importer = Importer(store)
    importer.take(RUN.but(cases=CASES[:2], problem="the run was interrupted").write(tmp_path))
    importer.take(RUN.write(tmp_path))
    whole = dump(store)
    assert (whole["run"], whole["attempt"]) == (1, 8)
    less = importer.take(RUN.but(cases=CASES[:1]).write(tmp_path))
    assert less.refused == "the store has 7 scenarios of it, here are 3: left as it was"
    assert dump(store) == whole


def test_damage_is_said_and_what_is_whole_is_kept(store: Store, tmp_path: Path) -> None:
    folder = RUN.write(tmp_path)
    lines = (folder / "results.jsonl").read_text().splitlines()
    lines[3] = lines[3][:90]  # a step of length.short
    lines.insert(1, '{"kind": "scenario", "id": 5}')
    lines.append('{"kind":"step","scenario":"nobody"}')
    lines.append("[1]")
    (folder / "results.jsonl").write_text("\n".join(lines))
    done = Importer(store).take(folder)
    assert done.notes == ("4 lines in it could not be read", "1 scenario without all of their steps")
    with store.reading() as connection:
        torn = connection.scalars(select(Attempt.torn).order_by(Attempt.position, Attempt.number)).all()
        assert torn.count(True) == 1 and torn[0]
        assert connection.scalar(select(Run.note)) == "; ".join(done.notes)


@pytest.mark.parametrize(
    "numbers", [{"answer": "0"}, {"answer": 1 << 64}, {"answer": True}, {"information": 1.5}], ids=str
)
def test_a_number_that_is_none_is_told(store: Store, tmp_path: Path, numbers: dict[str, int]) -> None:
    folder = RUN.but(cases=[Case("a", requests=[numbers]), Case("b")]).write(tmp_path)
    done = Importer(store).take(folder)
    assert done.notes == ("1 line in it could not be read", "1 scenario without all of their steps")


def test_parts_of_a_run_that_was_killed_are_taken(store: Store, tmp_path: Path) -> None:
    parts = tmp_path / "o" / ".parts-x"
    parts.mkdir(parents=True)
    begun = {"kind": "begun", "id": "b", "file": "f.toml", "content": "c1"}
    records = [RUN.records()[1], *Case("a").records(0), begun]
    (parts / "results-main.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records) + '{"ki')
    done = Importer(store).take(tmp_path / "o")
    assert done.scenarios == 2
    assert done.notes[0] == "the run has left no results.jsonl: what its processes had written by then"
    with store.reading() as connection:
        verdicts = {one.key: one.verdict for one in queries.outcomes(connection, [1])}
    assert verdicts == {"basic.toml::a": "passed", "f.toml::b": "error"}
    assert Importer(store).take(tmp_path / "o").known


def test_a_run_that_is_gone_on_with_is_the_same_run(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "o"
    (folder / ".parts-x").mkdir(parents=True)
    begun = BegunRun(
        schema=1, id="0123456789ab", started="2026-01-01T02:00:00Z", version="0.1.0", directory="/", call={}
    )
    write_run(folder / ".parts-x", begun)
    run = RUN.but(id="0123456789ab")
    lines = [json.dumps(one) + "\n" for one in [run.records()[1], *Case("a").records(0)]]
    (folder / ".parts-x" / "results-main.jsonl").write_text("".join(lines))
    assert Importer(store).take(folder).run == "0123456789ab"
    with store.reading() as connection:
        (killed,) = queries.runs(connection)
    assert killed.problem == "it had not ended when it was imported" and killed.started is not None
    run.write(tmp_path)
    Importer(store).take(tmp_path / "0123456789ab")
    with store.reading() as connection:
        (whole,) = queries.runs(connection)
        assert whole.problem is None and len(queries.outcomes(connection, [whole.id])) == 7


def test_what_is_no_run_is_refused_in_one_line(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no results\.jsonl \(give the --out of a run\)"):
        Importer(store).take(tmp_path)
    for text, said in (
        ("", "nothing in it is the record of a run"),
        ("\x00\x01\n{}\n", "nothing in it is the record of a run"),
        ('{"kind":"run","schema":2,"id":"x"}\n', "its schema is 2, this kshs knows 1"),
    ):
        (tmp_path / "results.jsonl").write_text(text)
        with pytest.raises(UsageError, match=said):
            Importer(store).take(tmp_path)


def test_texts_that_databases_do_not_take_are_made_harmless(store: Store, tmp_path: Path) -> None:
    case = Case("a", "failed", reason="nul \0 half \ud800 end")
    Importer(store).take(RUN.but(cases=[case]).write(tmp_path))
    with store.reading() as connection:
        assert connection.scalar(select(Attempt.reason).limit(1)) == "nul \ufffd half ? end"


def test_two_scenarios_of_one_name_in_two_files_stay_two(store: Store, tmp_path: Path) -> None:
    cases = [Case("a", file="x/basic.toml"), Case("a", file="y/basic.toml"), Case("a", file="z/other.toml")]
    Importer(store).take(RUN.but(cases=cases, tests={}).write(tmp_path))
    with store.reading() as connection:
        keys = [one.key for one in queries.outcomes(connection, [1])]
    assert keys == ["x/basic.toml::a", "y/basic.toml::a", "other.toml::a"]


def test_a_record_of_an_earlier_kshs_has_no_fields(store: Store, tmp_path: Path) -> None:
    folder = RUN.but(cases=[Case("a", content=None)], tests={}).write(tmp_path)
    records = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    for record in records:
        if record["kind"] == "step":
            del record["status_block"]["numbers"]
    (folder / "results.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    done = Importer(store).take(folder)
    assert done.notes == ("it is of a kshs that recorded no numbers: its fields cannot be compared",)
    with store.reading() as connection:
        assert queries.outcomes(connection, [1])[0].answers is None


# ---- several at once --------------------------------------------------------------------------------------


def import_one(where: str, folder: str, die: bool) -> None:
    """In another process; one that dies does so with its rows written and not yet kept."""
    if die:
        importing.learn = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
    with Store(where, make=True) as store:
        Importer(store).take(Path(folder))


def at_once(where: str, tmp_path: Path, die: int | None = None) -> list[int | None]:
    """Four imports at once of four nights; the exit codes."""
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(
            target=import_one, args=(where, str(RUN.but(night=night).write(tmp_path)), night == die)
        )
        for night in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def check_three_of_four(store: Store) -> None:
    """Night 2 has left nothing; the others are there as a whole."""
    with store.reading() as connection:
        names = {run.name for run in queries.runs(connection)}
        assert names == {"night00", "night01", "night03"}
        attempts = connection.scalar(select(func.count()).select_from(Attempt))
        assert attempts == 3 * 8
        used = connection.scalar(select(func.count(func.distinct(Answer.status_block_id))))
        assert used == connection.scalar(select(func.count()).select_from(StatusBlock))
        assert connection.scalar(select(func.count()).select_from(Guest)) == 1


def test_imports_at_once_all_land_and_a_killed_one_leaves_nothing(tmp_path: Path) -> None:
    where = str(tmp_path / "new.db")
    assert at_once(where, tmp_path, die=2) == [0, 0, -signal.SIGKILL, 0]
    with Store(where) as store:
        check_three_of_four(store)
        Importer(store).take(RUN.but(night=2).write(tmp_path))
        with store.reading() as connection:
            assert len(queries.runs(connection)) == 4


def test_what_a_race_decides_is_not_kept() -> None:
    """A cancel that may come too late, and how many are through by now; where a request is held, both are."""
    numbers = {**SOUND, "answer": 0xC0000225, "flags": 2167 | 512}
    seen = {"count": 3, "finished": 2, "overlapped": 3, "returned": 0, "after_close": 0, "protocol": "p"}

    def block(op: str, **how: bool) -> dict[str, object]:
        outcome, *kept, _protocol, members = block_of(
            {"op": op, "outcome": "done", "numbers": numbers, "seen": seen}, **how
        )
        return {"outcome": outcome, **dict(zip(NUMBERS, kept, strict=True)), "seen": dict(members or ())}

    assert block("cancel")["answer"] == 0xC0000225
    for how in ({"loose": True}, {"raced": True}):
        assert block("cancel", **how)["answer"] is None
        assert block("wait", **how)["flags"] == 2167
        assert block("wait", **how)["answer"] == 0xC0000225
    assert block("wait")["flags"] == 2167 | 512
    assert block("wait_inside")["seen"] == seen
    assert block("wait_inside", raced=True)["seen"] == {"after_close": 0}
    assert block("property", raced=True)["seen"] == {"count": 3, "finished": 2, "after_close": 0}
    assert block("property")["seen"] == seen
    assert block("wait", raced=True)["seen"]["returned"] == 0, "of one request, not of the last"  # type: ignore[index]


@pytest.mark.parametrize("inside", [True, False])
def test_a_request_is_held_from_where_it_was_seen_inside(tmp_path: Path, inside: bool) -> None:
    def step(index: int, do: str, outcome: str) -> dict[str, object]:
        block = {"op": do, "outcome": outcome, "numbers": {**SOUND, "answer": 5}}
        asked = {"do": do, "name": do, "index": index, "verdict": "passed", "status_block": block}
        return {"kind": "step", "scenario": "a", "order": 0, **asked}

    kinds = [("handshake", "started"), *([("wait_inside", "done")] if inside else []), ("cancel", "done")]
    steps = [step(index, *kind) for index, kind in enumerate(kinds)]
    (head, *_) = Results(cases=[Case("a")]).records()
    (scenario, *_) = Case("a").records(0)
    lines = [head, {**scenario, "step_count": len(steps)}, *steps]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (read_scenario,) = read(tmp_path).scenarios
    block = read_scenario.steps[-1][1]
    assert block is not None
    assert dict(zip(NUMBERS, block[1:-2], strict=True))["answer"] == (5 if inside else None)
