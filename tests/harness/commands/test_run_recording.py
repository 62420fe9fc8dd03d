# SPDX-License-Identifier: Apache-2.0
"""``kshs run --record``: what failed is played once more on recorded guests, and both attempts are told."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from harness.capsule.playing import NotPlayableError
from harness.capsule.scenario_text import render
from harness.capsule.seen import Seen
from harness.commands import run_recording
from harness.commands.recording_inputs import of_failure, opened
from harness.commands.run_recording import Wanted, check, record_failures, told
from harness.config import Config
from harness.errors import HarnessError, UsageError
from harness.results import parts, report, seal
from harness.results.record import ScenarioResult, scenario_records
from tests.harness.capsule.made import records, result, scenario, wrong
from tests.harness.commands.in_process import called
from tests.harness.replay.test_taking import World

RUN = "r1"
#: What a page needs of a run beside what `records` has.
RUN_RECORD = {
    "target": {"name": "relay", "title": "Relay", "hardware_id": "Root\\Relay", "service": "relay"},
    "problem": None,
    "selection": None,
    "seconds": 1.0,
    "host": {},
}


class Guests(World):
    """Plays on recorded guests: those in `failing` fail."""

    def __init__(self, folder: Path, failing: set[int]) -> None:
        super().__init__(folder, failing)
        self.raises: list[Exception] = []

    def play(self, of: Any, *, fresh: bool) -> Seen:
        if self.raises:
            raise self.raises.pop(0)
        return super().play(of, fresh=fresh)


@pytest.fixture
def guests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guests:
    """Guests that fail at once, in a project with a scenario file."""
    monkeypatch.chdir(tmp_path)
    found = Guests(tmp_path, set(range(1000)))

    @contextlib.contextmanager
    def player(provider: Any, say: Any) -> Iterator[Any]:
        yield provider
        provider.leave()

    def provider(wanted: Wanted, takes: Path) -> Any:
        found.takes = takes
        return found

    monkeypatch.setattr(run_recording, "Player", player)
    monkeypatch.setattr(run_recording, "_provider", provider)
    return found


def run_of(folder: Path, *results: ScenarioResult) -> Path:
    """A run's results, sealed, with a page; the scenarios are in a file."""
    (folder / "scenarios").mkdir()
    scenarios = [scenario(id=each.id) for each in results]
    (folder / "scenarios/relay.toml").write_text(render(scenarios))
    out = folder / "out"
    out.mkdir()
    lines: list[Any] = records(results[0], **RUN_RECORD)[:2]
    for order, each in enumerate(results):
        lines += scenario_records(each, order=order, worker="gw0")
    (out / "results.jsonl").write_text("".join(f"{parts.line_of(line)}\n" for line in lines))
    seal.write(out, RUN)
    report.write(lines, out / "report.html")
    return out


def named(name: str, **how: Any) -> ScenarioResult:
    return cast("ScenarioResult", result(scenario(id=name), **how))


WANTED = Wanted(Config(), "wine", "avshs", None)


def recorded(out: Path) -> Sequence[Any]:
    return record_failures(out, WANTED, lambda text: None)


def test_a_failure_is_recorded_and_both_attempts_are_told(tmp_path: Path, guests: Guests) -> None:
    out = run_of(tmp_path, named("relay.fine", fails=False), named("relay.twice"))
    before = (out / "results.jsonl").read_text()
    guests.failing = {2}
    (out / ".takes-of-one-that-was-killed").mkdir()
    (record,) = recorded(out)
    after = (out / "results.jsonl").read_text()
    assert after.startswith(before) and json.loads(after[len(before) :]) == record
    assert (record["kind"], record["order"], record["scenario"]) == ("recording", 1, "relay.twice")
    assert (record["verdict"], record["attempt"]["verdict"], record["outcome"]) == (
        "failed",
        "failed",
        "reproduced",
    )
    assert (record["plays"], record["why"]) == (3, None)
    folder = out / record["folder"]
    assert folder.parent == out / "recordings/r1" and folder.name.startswith("relay-twice-")
    with opened(out, [], trust=False) as found:
        assert found == folder
    assert of_failure(out, "relay.twice") == folder and of_failure(out, "relay.fine") is None
    assert list(seal.broken(out, seal.read(out))) == []
    page = (out / "report.html").read_text()
    assert "in play 3 on a recorded guest (reproduced)" in page and f"kshs replay {record['folder']}" in page
    assert list(told([record], out)) == [
        "recorded: relay.twice: failed in play 3 on a recorded guest (reproduced):"
        f" kshs replay {out / record['folder']}"
    ]
    assert not list(out.glob(".takes-*"))


def test_one_of_each_cause_and_no_more_than_some(
    tmp_path: Path, guests: Guests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_recording, "CAUSES", 2)
    others = [named(f"relay.of{n}", comparison=wrong(field=f"field{n}")) for n in range(2)]
    out = run_of(tmp_path, named("relay.one"), named("relay.alike"), *others)
    first, second, third = recorded(out)
    assert [one["scenario"] for one in (first, second, third)] == ["relay.one", "relay.of0", "relay.of1"]
    assert second["outcome"] == "different", "it fails there, and otherwise"
    assert third["folder"] is None and "2 causes of a run are recorded" in third["why"]
    with pytest.raises(UsageError, match="2 recordings are in this run"), opened(out, [], trust=False):
        pass


def test_what_does_not_come_on_the_recorded_guest(tmp_path: Path, guests: Guests) -> None:
    out = run_of(tmp_path, named("relay.twice"))
    guests.failing = set()
    (record,) = recorded(out)
    assert (record["outcome"], record["plays"], record["folder"]) == ("not reproduced", 25, None)
    assert record["why"] == "it passed in 25 plays on a recorded guest"
    assert "Not recorded: it passed in 25 plays" in (out / "report.html").read_text()
    assert list(told([record], out)) == [f"not recorded: relay.twice: {record['why']}"]
    with pytest.raises(UsageError, match="nothing was recorded of this run"), opened(out, [], trust=False):
        pass


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (NotPlayableError("no such pin"), "the recorded guest cannot show it: no such pin"),
        (HarnessError("3 tries ended with an error"), "3 tries ended with an error"),
    ],
)
def test_what_goes_wrong_costs_no_other(tmp_path: Path, guests: Guests, error: Exception, why: str) -> None:
    out = run_of(tmp_path, named("relay.one"), named("relay.two", comparison=wrong(field="information")))
    guests.raises = [error]
    first, second = recorded(out)
    assert (first["outcome"], first["folder"], first["attempt"]["verdict"]) == ("not recorded", None, None)
    assert why in first["why"] and second["folder"] is not None


def test_a_failure_whose_recording_is_not_whole_is_told(tmp_path: Path, guests: Guests) -> None:
    out = run_of(tmp_path, named("relay.twice"))
    guests.lost = True
    (record,) = recorded(out)
    assert (record["attempt"]["verdict"], record["plays"], record["folder"]) == ("failed", 1, None)
    assert "was not recorded to its end: QEMU is gone" in record["why"]


def test_no_recorded_guest_can_be_had(
    tmp_path: Path, guests: Guests, monkeypatch: pytest.MonkeyPatch
) -> None:
    def provider(wanted: Wanted, takes: Path) -> Any:
        raise UsageError("the target cannot run there")

    monkeypatch.setattr(run_recording, "_provider", provider)
    out = run_of(tmp_path, named("relay.one"), named("relay.two", comparison=wrong(field="information")))
    assert [(one["folder"], one["why"]) for one in recorded(out)] == [
        (None, "the target cannot run there")
    ] * 2


def test_where_nothing_failed_nothing_is_done(tmp_path: Path, guests: Guests) -> None:
    out = run_of(tmp_path, named("relay.twice", fails=False))
    before = (out / "results.jsonl").read_bytes()
    assert recorded(out) == [] and guests.count == 0
    assert (out / "results.jsonl").read_bytes() == before and not (out / "recordings").exists()


def test_recordings_of_earlier_runs_go_with_their_age(tmp_path: Path, guests: Guests) -> None:
    import os

    out = run_of(tmp_path, named("relay.twice"))
    for name, days in (("old", 40), ("young", 3), (RUN, 0)):
        (out / "recordings" / name / "x").mkdir(parents=True)
        at = (out / "recordings" / name).stat().st_mtime - days * 86400
        os.utime(out / "recordings" / name, (at, at))
    recorded(out)
    assert sorted(path.name for path in (out / "recordings").iterdir()) == [RUN, "young"]
    assert len(list((out / "recordings" / RUN).iterdir())) == 1


def test_an_incident_is_replayed_by_its_folder(tmp_path: Path, guests: Guests) -> None:
    out = run_of(tmp_path, named("relay.twice"))
    (record,) = recorded(out)
    incident = out / "incidents" / RUN / Path(record["folder"]).name
    incident.mkdir(parents=True)
    (incident / "incident.json").write_text("{}")
    with opened(incident, [], trust=False) as found:
        assert found == out / record["folder"]
    other = out / "incidents" / RUN / "another"
    other.mkdir()
    (other / "incident.json").write_text("{}")
    with (
        pytest.raises(UsageError, match="nothing was recorded of this incident"),
        opened(other, [], trust=False),
    ):
        pass


def test_a_recording_is_looked_for_below_its_run_alone(tmp_path: Path, guests: Guests) -> None:
    out = run_of(tmp_path, named("relay.twice"))
    (record,) = recorded(out)
    lines = (out / "results.jsonl").read_text().splitlines()
    lines[-1] = json.dumps({**record, "folder": "../elsewhere"})
    (out / "results.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(UsageError, match="lies elsewhere than its run"), opened(out, [], trust=False):
        pass


def test_which_guests_can_be_recorded() -> None:
    check(Config(), "wine")
    with pytest.raises(UsageError, match="only the embedded guest can"):
        check(Config(), "win11")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--record", "--guest", "win11"), "kshs: --record: guest win11 cannot be recorded"),
        (("--record", "--scheduler", "tcp://127.0.0.1:1"), "kshs: --record: does not go with --scheduler"),
    ],
)
def test_what_cannot_be_recorded_is_said_before_anything_runs(
    tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    done = called(tmp_path, "run", *words)
    assert (done.returncode, says in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "out").exists()
