# SPDX-License-Identifier: Apache-2.0
"""``kshs nightly``: cells beside each other, broken ones, going on, order, and what is said at the end."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness import cli, config
from harness.commands import nightly
from harness.commands.nightly import Cell, Done, Nightly, cells_of
from harness.errors import HarnessError, UsageError
from harness.host_room import HostRoom
from harness.store.importing import Importer
from harness.suite_settings import SuiteConfig
from tests.harness.nights.folders import Case, Results

SETTINGS = """
[store]
url = "nights.db"

[nights.lab]
suites.short = { rule = ["H4"], id = ["length.*"] }
suites.whole = { paths = ["scenarios"], k = "not slow" }
repeats = 2
"""
#: By suite and repeat: the cases of a run, or None for one that leaves no results.
Night = Mapping[str, list[Case] | None]
GOOD: Night = {"short": [Case("s")], "whole": [Case("a"), Case("b")]}


def cell(
    name: str, guest: str = "wine", workers: int = 1, memory: int = 1000, *, alone: bool = False
) -> Cell:
    return Cell(name, guest, "t", "all", SuiteConfig(), workers, memory, alone)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kshs.toml").write_text(SETTINGS)
    return tmp_path


@pytest.fixture
def play(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Plays a night: each cell copies results that were made beforehand."""
    nights = 0

    def played(night: Night, *words: str, memory: Mapping[str, int] | None = None) -> tuple[int, str]:
        nonlocal nights
        nights += 1

        def command(cell: Cell, folder: Path, given: Path | None) -> list[str]:
            names = (f"{cell.target}.{cell.suite}", f"{cell.suite}.{cell.repeat}", cell.suite)
            cases = night[next(name for name in names if name in night)]
            if cases is None:
                return ["sh", "-c", "echo 'kshs: no room'; exit 3"]
            number = nights * 10 + int(cell.name[-1])
            run = Results(
                night=number, id=f"{cell.name}-{nights}", cases=cases, package=f"{nights:x}{cell.target}"
            )
            run = run.but(memory_mib=(memory or {}).get(cell.suite))
            made = run.but(command=shlex.join(["kshs", *cell.arguments(given, folder)])).write(place / "made")
            bad = any(case.verdict not in ("passed", "skipped") for case in cases)
            return ["sh", "-c", f"cp {made}/results.jsonl {folder}; exit {int(bad)}"]

        monkeypatch.setattr(nightly, "kshs", command)
        with pytest.raises(SystemExit) as ended:
            cli.main(["nightly", "lab", *words])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return played


def record(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "night.json").read_text())["cells"]
    return found


def test_each_guest_with_each_target_and_suite_as_often_as_is_said(place: Path) -> None:
    loaded = config.load()
    cells = cells_of(loaded.nights["lab"], loaded)
    assert [one.name for one in cells] == [
        "wine.avshs.short.1",
        "wine.avshs.whole.1",
        "wine.avshs.short.2",
        "wine.avshs.whole.2",
    ]
    out = place / "o"
    assert cells[0].arguments(None, out) == [
        *("run", "--rule", "H4", "--id", "length.*"),
        *("--guest", "wine", "--target", "avshs", "--out", str(out)),
    ]
    assert cells[1].arguments(place / "k.toml", None) == [
        *("run", str(place / "scenarios"), "-k", "not slow"),
        *("--guest", "wine", "--target", "avshs", "--config", str(place / "k.toml")),
    ]
    assert cells[0].memory_mib == 2 * 448 + 400
    (place / "kshs.toml").write_text("[vm.legs.tight]\nmemory_mib = 320\n[nights.lab]\nguests = ['tight']\n")
    loaded = config.load()
    (tight,) = cells_of(loaded.nights["lab"], loaded)
    assert (tight.name, tight.memory_mib) == ("tight.avshs.all.1", 2 * 320 + 400)
    assert tight.arguments(None, None) == ["run", "--guest", "tight", "--target", "avshs"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[nights.lab]\ntargets = ['none']\n", "none"),
        ("[nights.lab]\nguests = ['none']\n", "none"),
        ("[nights.other]\n", "there is no night lab in the settings (known: other)"),
        ("[nights.lab]\nsuites.'../x' = {}\n", "../x is no name of a suite"),
        ("[nights.lab]\nrepeat = 2\n", "did you mean repeats?"),
        ("[nights.lab]\nreleased = 'old'\n", "released is old, which is none of the night's targets"),
        ("[vm.legs.wine]\ncpus = 2\n[nights.lab]\n", "wine is the guest itself"),
        ("[vm.legs.win11]\ncpus = 2\n[nights.lab]\n", "there is another guest of this name"),
        ("[vm.legs.'a b']\n[nights.lab]\n", "a b is no name of a guest"),
        ("[vm.legs.a]\nmemory = 2\n[nights.lab]\n", "did you mean memory_mib?"),
    ],
)
def test_what_the_settings_do_not_know_is_told_before_anything_runs(
    place: Path, play: Callable[..., tuple[int, str]], text: str, told: str
) -> None:
    (place / "kshs.toml").write_text(text)
    code, said = play(GOOD)
    assert code == 2 and told in said and len(said.splitlines()) == 1
    assert not (place / "out").exists()


def test_cells_are_beside_each_other_as_far_as_the_host_carries_them(tmp_path: Path) -> None:
    def fitting(waiting: list[Cell], running: list[Cell], cores: int = 4, memory: int = 3000) -> list[str]:
        work = Nightly(tmp_path, HostRoom(cores, memory), lambda cell, place: [], lambda cell, done: {})
        return [one.name for one in work._fitting(waiting, running)]

    four = [cell(name) for name in "abcd"]
    assert fitting(four, []) == ["a", "b", "c"], "memory"
    assert fitting(four, [], cores=2, memory=9000) == ["a", "b"], "cores"
    assert fitting(four, four[:1], cores=2, memory=9000) == ["a"]
    assert fitting([cell("huge", memory=99_000)], []) == ["huge"], "alone it is tried"
    assert fitting([cell("huge", memory=99_000), cell("a")], [cell("b")]) == ["a"]
    device = [cell("x", alone=True), cell("y", alone=True), cell("z", guest="other", alone=True)]
    assert fitting(device, []) == ["x", "z"], "a device is in one guest at a time"


def test_a_night_and_the_next_one(place: Path, play: Callable[..., tuple[int, str]]) -> None:
    code, said = play(GOOD, "--out", "one")
    assert code == 0 and "4 cells, 0 broken or not run; 0 new findings" in said
    assert [row["code"] for row in record(place / "one")] == [0] * 4
    assert (place / "one" / "summary.md").read_text().startswith("## Night `lab`: nothing new\n")
    changed: Night = {
        "short": [Case("s")],
        "whole": [Case("a", requests=[{"information": 0}]), Case("b", "failed")],
    }
    code, said = play(changed, "--out", "two", "--notify", "sh -c 'cat >told.json'")
    assert code == 1
    rows = {row["cell"]: row["more"] for row in record(place / "two")}
    assert rows["wine.avshs.short.1"]["alarms"] == 0
    assert rows["wine.avshs.short.1"]["against"] == "wine.avshs.short.2-1", (
        "the last good one of the same suite"
    )
    assert rows["wine.avshs.whole.1"]["counts"] == {"new failure": 1, "changed characteristic": 1}
    text = (place / "two" / "summary.md").read_text()
    assert "- **changed characteristic** `basic.toml::a`: `step 1," in text
    told = json.loads((place / "told.json").read_text())
    assert (told["night"], told["exit_code"], len(told["cells"])) == ("lab", 1, 4)
    _, said = play(GOOD, "--out", "three")
    begun = [row["cell"] for row in record(place / "three")]
    assert begun[0] == "wine.avshs.whole.1", "what failed last comes first"


def test_what_cells_took_is_what_the_next_night_plans_with(
    place: Path, play: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, int] = {}
    fitting = Nightly._fitting

    def noted(self: Nightly, waiting: Any, running: list[Cell]) -> list[Cell]:
        seen.update({one.name: one.memory_mib for one in waiting})
        return fitting(self, waiting, running)

    monkeypatch.setattr(Nightly, "_fitting", noted)
    _, said = play(GOOD, "--out", "one", memory={"short": 600})
    assert set(seen.values()) == {2 * 448 + 400} and "as measured" not in said
    _, said = play(GOOD, "--out", "two", memory={"short": 500})
    assert seen["wine.avshs.short.1"] == 660 and seen["wine.avshs.whole.1"] == 2 * 448 + 400
    assert "memory of 2 cells as measured, of 2 as set" in said


def test_repeats_are_one_side(place: Path, play: Callable[..., tuple[int, str]]) -> None:
    """What fails in one and passes in the other, on the same inputs, is flaky; what fails in both is new."""
    play(GOOD, "--out", "one")
    flaking: Night = {**GOOD, "whole.2": [Case("a", "failed"), Case("b")]}
    code, said = play(flaking, "--out", "two")
    rows = {row["cell"]: row["more"] for row in record(place / "two")}
    assert code == 0, said
    for name in ("wine.avshs.whole.1", "wine.avshs.whole.2"):
        assert (rows[name]["group"], rows[name]["counts"]) == ("wine.avshs.whole", {"flaky": 1})
    assert rows["wine.avshs.whole.1"]["against"].startswith("wine.avshs.whole."), "of the night before"
    assert rows["wine.avshs.whole.1"]["against"].endswith("-1")
    code, said = play({**GOOD, "whole": [Case("a"), Case("b", "failed")]}, "--out", "three")
    assert code == 1 and "4 cells, 0 broken or not run; 1 new finding:" in said, "it is one, and not two"
    found = {row["cell"]: row["more"] for row in record(place / "three")}["wine.avshs.whole.1"]
    assert found["new"][0]["words"] == "failed in 0 of 2 before, in 2 of 2 now: H6: answer is wrong"
    text = (place / "three" / "summary.md").read_text()
    assert text.startswith("## Night `lab`: 1 new\n") and text.count("- **new failure**") == 1
    varied = [Case("a"), Case("b", requests=[{"information": 0}])]
    code, _ = play({**GOOD, "whole.2": varied}, "--out", "four")
    assert code == 0, "a field that differs between the two varies: it is no change"


def test_a_store_that_is_away_breaks_its_cell_only_and_is_made_up_for(
    place: Path, play: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Importer.take

    def away(self: Importer, folder: Path) -> Any:
        if folder.name == "wine.avshs.short.1":
            raise HarnessError("does not answer", "postgresql://db/nights")
        return take(self, folder)

    monkeypatch.setattr(Importer, "take", away)
    code, said = play(GOOD, "--out", "one")
    assert code == 3 and "wine.avshs.short.1: broken: postgresql://db/nights: does not answer" in said
    assert [row["code"] for row in record(place / "one")] == [0] * 4
    monkeypatch.setattr(Importer, "take", take)
    code, said = play(GOOD, "--resume", "one")
    assert code == 0, said
    assert {row["more"]["group"] for row in record(place / "one")} == {"wine.avshs.short", "wine.avshs.whole"}


def test_what_was_new_when_it_last_ran_comes_first(place: Path, play: Callable[..., tuple[int, str]]) -> None:
    """Nothing failed in it: a field came otherwise, or a scenario was new."""
    play(GOOD, "--out", "one")
    play({**GOOD, "whole": [Case("a", requests=[{"information": 0}]), Case("b")]}, "--out", "two")
    play({**GOOD, "short": [Case("s"), Case("t")], "whole": GOOD["whole"]}, "--out", "three")
    assert record(place / "three")[0]["cell"].startswith("wine.avshs.whole")
    play(GOOD, "--out", "four")
    assert record(place / "four")[0]["cell"].startswith("wine.avshs.short")


def test_the_candidate_against_the_last_release_of_the_same_night(
    place: Path, play: Callable[..., tuple[int, str]]
) -> None:
    from harness.language.target import BUILTIN as TARGETS

    (place / "kshs.toml").write_text(
        f"[store]\nurl = 'nights.db'\n[targets]\nold = '{TARGETS / 'avshs.toml'}'\n"
        "[nights.lab]\ntargets = ['avshs', 'old']\nreleased = 'old'\nsuites.short = {}\n"
    )
    older = [Case("s", requests=[{"information": 0}]), Case("t", "failed")]
    night: Night = {"short": [Case("s"), Case("t")], "old.short": older}
    code, said = play(night, "--out", "one")
    row = {row["cell"]: row["more"] for row in record(place / "one")}
    found = row["wine.avshs.short.1"]["released"]
    assert found["summary"] == "1 changed characteristic, 1 fixed; 0 scenarios as before"
    assert (found["target"], found["run"]) == ("old", row["wine.old.short.1"]["run"])
    assert [one["kind"] for one in found["new"]] == ["changed characteristic"]
    assert "released" not in row["wine.old.short.1"]
    assert "wine.avshs.short.1: against old: 1 changed characteristic, 1 fixed" in said
    text = (place / "one" / "summary.md").read_text()
    assert "### `wine.avshs.short.1` against `old`: `1 changed characteristic, 1 fixed;" in text
    assert code == 1, "the release fails, and nothing of it is known"
    code, _ = play({**night, "old.short": [older[0], Case("t")]}, "--out", "two")
    assert code == 0, "what differs from the release is no alarm of the night"
    text = (place / "two" / "summary.md").read_text()
    assert "### `wine.avshs.short.1` against `old`: `1 changed characteristic; 1 scenario as before`" in text
    play({"short": [Case("s"), Case("t")]}, "--out", "three")
    text = (place / "three" / "summary.md").read_text()
    assert "`wine.avshs.short.1` against `old`: `nothing new; 2 scenarios as before`" in text


def test_a_first_night_that_fails_is_no_good_night(place: Path, play: Callable[..., tuple[int, str]]) -> None:
    bad: Night = {**GOOD, "short": [Case("s", "failed", reason="H4: length")]}
    assert play(bad, "--out", "one")[0] == 1
    (place / "known-issues.toml").write_text(
        'schema = 1\n[[issue]]\nid = "K"\nscenario = "s"\nsignature = "H4: *"\n'
        'link = "l"\nowner = "o"\nopened = 2026-01-01\nexpires = 2027-01-01\n'
    )
    code, said = play(bad, "--out", "two")
    assert code == 0 and "1 known" in said


def test_a_broken_cell_is_told_and_the_others_go_on(
    place: Path, play: Callable[..., tuple[int, str]]
) -> None:
    broken: Night = {**GOOD, "short": None}
    code, said = play(broken, "--out", "one")
    assert code == 3
    assert "wine.avshs.short.1: broken: no room" in said
    rows = {row["cell"]: row for row in record(place / "one")}
    assert rows["wine.avshs.short.1"]["code"] == 3 and rows["wine.avshs.whole.2"]["code"] == 0
    assert (
        "| `wine.avshs.short.1` | `-` | `-` | `not known: no room` |"
        in (place / "one" / "summary.md").read_text()
    )


def test_a_night_goes_on_where_it_ended(place: Path, play: Callable[..., tuple[int, str]]) -> None:
    play(GOOD, "--out", "one")
    left = json.loads((place / "one" / "night.json").read_text())
    left["cells"] = left["cells"][:1]
    (place / "one" / "night.json").write_text(json.dumps(left))
    code, _ = play({"short": None, "whole": [Case("a"), Case("b")]}, "--resume", "one")
    rows = {row["cell"]: row["code"] for row in record(place / "one")}
    assert code == 3
    assert rows == dict(zip(rows, [0, 0, 3, 0], strict=True)) or sorted(rows.values()) == [0, 0, 0, 3]
    assert "short.1-1" in json.dumps(record(place / "one")), "the first cell is as it was"
    assert play(GOOD, "--out", "one") == (
        2,
        f"kshs: {place / 'one'}: is not empty (--resume DIR goes on with a night)\n",
    )
    assert play(GOOD, "--resume", "none")[1] == f"kshs: {place / 'none'}: there is no night.json of a night\n"


def test_out_of_time_is_told_as_not_run(tmp_path: Path) -> None:
    work = Nightly(
        tmp_path, HostRoom(4, 9000), lambda cell, place: ["false"], lambda cell, done: {}, deadline=0.0
    )
    (done,) = work.run([cell("a")])
    assert done == Done("a", None, 0.0, "out of time before it was begun")


def test_a_night_is_shown_with_its_broken_cells(place: Path, play: Callable[..., tuple[int, str]]) -> None:
    (place / "kshs.toml").write_text(SETTINGS + 'site = "site"\n')
    code, said = play(GOOD, "--out", "one")
    assert code == 0 and f"{place}/site/index.html: 2 nights of 2 judged" in said
    code, said = play({**GOOD, "short": None}, "--out", "two")
    assert code == 3
    page = (place / "site" / "index.html").read_text()
    assert "<h1>Nothing new, but less known</h1>" in page
    assert "2 more broken or not run" in page and "wine.avshs.short.1" in page and "no room" in page


def test_a_site_that_cannot_be_made_is_said(place: Path, play: Callable[..., tuple[int, str]]) -> None:
    (place / "kshs.toml").write_text(SETTINGS + 'site = "kshs.toml"\n')
    code, said = play(GOOD, "--out", "one")
    assert code == 3 and f"the site: {place}/kshs.toml" in said
    assert "4 cells, 0 broken or not run; 0 new findings" in said


def test_a_command_that_cannot_be_told_is_said(place: Path, play: Callable[..., tuple[int, str]]) -> None:
    code, said = play(GOOD, "--out", "one", "--notify", "no-such-program")
    assert code == 3 and "--notify: no-such-program: " in said


def test_a_cell_without_a_program_is_broken(tmp_path: Path) -> None:
    work = Nightly(tmp_path, HostRoom(4, 9000), lambda cell, place: ["/no/such"], lambda cell, done: {})
    (done,) = work.run([cell("a")])
    assert done.code == 3 and done.said is not None and done.said.startswith("it could not be run: ")


def test_settings_of_a_night_are_anchored(place: Path) -> None:
    (place / "kshs.toml").write_text(
        "[nights.x]\ntargets = ['d/t.toml', 'avshs']\nsuites.a = { paths = ['s'] }\nsite = 'www'\n"
    )
    night = config.load().nights["x"]
    assert night.targets == [str(place / "d/t.toml"), "avshs"]
    assert (night.suites or {})["a"].paths == [place / "s"]
    assert night.site == place / "www"
    with pytest.raises(UsageError):
        nightly.find_night("y", config.load())
