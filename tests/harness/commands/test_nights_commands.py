# SPDX-License-Identifier: Apache-2.0
"""``kshs store``, ``kshs baseline`` and ``kshs compare`` as users call them, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cli
from tests.harness.nights.folders import Case, Results

Kshs = Callable[..., tuple[int, str]]
GOOD = Results(cases=[Case("a"), Case("b", "failed"), Case("c", requests=[{}, {}])])
NEXT = GOOD.but(
    night=1,
    package="2" * 64,
    cases=[Case("a", requests=[{"information": 0}]), Case("b", "failed"), Case("c")],
)


@pytest.fixture
def kshs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kshs:
    """Runs a command in a directory with a kshs.toml; its exit code, and all that it says."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kshs.toml").write_text('[store]\nurl = "kept/nights.db"\n')

    def called(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(words))
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return called


def test_import_list_export_and_again(kshs: Kshs, tmp_path: Path) -> None:
    folders = [str(run.write(tmp_path / "out")) for run in (GOOD, NEXT)]
    code, said = kshs("store", "import", *folders, str(tmp_path))
    assert code == 2
    assert said.splitlines() == [
        f"{folders[0]}: run night00: 3 scenarios, 4 status blocks",
        f"{folders[1]}: run night01: 3 scenarios, 3 status blocks",
        f"kshs: {tmp_path}: there is no results.jsonl (give the --out of a run)",
    ]
    assert (tmp_path / "kept" / "nights.db").is_file()
    assert "is in the store already" in kshs("store", "import", folders[0])[1]
    code, said = kshs("store", "list")
    assert code == 0 and said.splitlines()[-1] == "2 runs" and "2 passed, 1 failed" in said
    assert [one["id"] for one in json.loads(kshs("store", "list", "--json")[1])] == ["night00", "night01"]
    code, said = kshs("store", "export", "night00", "--out", "there/results.jsonl")
    assert (code, said) == (0, "run night00: there/results.jsonl\n")
    assert "is in the store already" in kshs("store", "import", "there")[1]
    assert "3 scenarios, 4 status" in kshs("store", "import", "there", "--store", "other.db")[1]
    assert kshs("compare", "there", folders[0])[1].splitlines()[-1] == (
        "1 still failing; 2 scenarios as before"
    )


def test_compare_says_what_is_new_and_ends_so(kshs: Kshs, tmp_path: Path) -> None:
    kshs("store", "import", str(GOOD.write(tmp_path / "out")), str(NEXT.write(tmp_path / "out")))
    code, said = kshs("compare", "night00", "night01")
    assert code == 1
    assert said.splitlines() == [
        "before: run night00 of 2026-01-01 02:00, Wine 8.0 as NT 6.1.7601, reference ks.sys aaaaaaaaaaaa,"
        " Verifier off, target relay 2.0 (111111111111)",
        "now:    run night01 of 2026-01-02 02:00, Wine 8.0 as NT 6.1.7601, reference ks.sys aaaaaaaaaaaa,"
        " Verifier off, target relay 2.0 (222222222222)",
        "  package changed: 2.0 (111111111111) -> 2.0 (222222222222)",
        "changed characteristic: 2",
        "  basic.toml::a",
        '    step 1, "handshake source by irp from kernel mode": information 32 -> 0',
        "  basic.toml::c",
        '    step 2, "handshake source by irp from kernel mode": step sent -> nothing',
        "still failing: 1",
        "  basic.toml::b: H6: answer is wrong",
        "2 changed characteristic, 1 still failing; 0 scenarios as before",
    ]
    (tmp_path / "known-issues.toml").write_text(
        'schema = 1\n[[issue]]\nid = "K"\nscenario = "[ac]"\nfield = "information"\nvalue = 0\n'
        'link = "l"\nowner = "o"\nopened = 2026-01-01\nexpires = 2027-01-01\n'
    )
    assert "known: 1\n  basic.toml::a [K, o, l]" in kshs("compare", "night00", "night01")[1]
    missing = GOOD.but(night=2, cases=[Case("a"), Case("b", "failed")])
    kshs("store", "import", str(missing.write(tmp_path / "out")))
    assert kshs("compare", "night00", "night02")[0] == 3
    assert kshs("compare", "night00", "night00")[0] == 0


def test_accept_takes_who_and_why_and_which(kshs: Kshs, tmp_path: Path) -> None:
    kshs("store", "import", str(GOOD.write(tmp_path / "out")), str(NEXT.write(tmp_path / "out")))
    assert kshs("baseline", "show") == (0, "nothing is accepted yet\n")
    assert kshs("baseline", "accept", "night00", "--all")[0] == 2
    assert kshs("baseline", "accept", "night00", "--who", "ana", "--why", " ", "--all") == (
        2,
        "kshs: say who accepts it, and why (--who NAME --why TEXT)\n",
    )
    who = ("--who", "ana", "--why", "first night")
    assert "say which" in kshs("baseline", "accept", "night00", *who)[1]
    assert kshs("baseline", "accept", "night00", *who, "--scenario", "b")[0] == 2
    assert kshs("baseline", "accept", "night00", *who, "--scenario", "a") == (
        0,
        "1 scenario of run night00 accepted\n",
    )
    assert kshs("baseline", "accept", "night00", *who, "--all") == (
        0,
        "1 scenario of run night00 accepted; 1 were accepted as they are\n",
    )
    code, said = kshs("baseline", "diff", "night01")
    assert code == 1 and "differs from what was accepted: 2" in said and "information 32 -> 0" in said
    assert kshs("baseline", "diff", "night00")[0] == 0
    assert "ana: first night" in kshs("baseline", "show")[1]
    assert "information 32" in kshs("baseline", "show", "a")[1]
    assert kshs("baseline", "show", "--varying")[1] == "0 fields came differently on identical inputs\n"


def test_prune_keeps_baselines_and_evidence(kshs: Kshs, tmp_path: Path) -> None:
    runs = [GOOD, NEXT, GOOD.but(night=2, cases=[Case("a")]), GOOD.but(night=3, cases=[Case("a")])]
    kshs("store", "import", *(str(run.write(tmp_path / "out")) for run in runs))
    kshs("baseline", "accept", "night02", "--who", "a", "--why", "b", "--all")
    (tmp_path / "known-issues.toml").write_text(
        'schema = 1\n[[issue]]\nid = "K"\nscenario = "a"\nfield = "information"\nvalue = 0\n'
        'link = "l"\nowner = "o"\nopened = 2026-01-01\nexpires = 2027-01-01\n'
    )
    assert kshs("store", "prune", "--older-than", "soon")[0] == 2
    code, said = kshs("store", "prune", "--older-than", "1d")
    assert (
        said == "2 runs removed; 1 old run kept as a baseline; 1 old run kept as evidence of an open issue\n"
    )
    left = [one["id"] for one in json.loads(kshs("store", "list", "--json")[1])]
    assert (code, left) == (0, ["night01", "night02"])
    assert "information 32" in kshs("baseline", "show", "a")[1]
    assert "2 scenarios as before" not in kshs("compare", "night01", "night02")[1]


def test_rates(kshs: Kshs, tmp_path: Path) -> None:
    runs = [Results(night=n, cases=[Case("a", v), Case("b")]) for n, v in enumerate(("passed", "failed"))]
    kshs("store", "import", *(str(run.write(tmp_path / "out")) for run in runs))
    code, said = kshs("store", "rates")
    assert code == 0
    assert said.splitlines() == [
        "basic.toml::a: flaky, failed in 1 of 2 (9.5% to 90.5%); Wine 8.0 as NT 6.1.7601, relay 111111111111",
        "1 rate; the interval is Wilson's, at 95%",
    ]
    assert len(kshs("store", "rates", "--all")[1].splitlines()) == 3


def test_without_a_store_it_is_said_what_makes_one(kshs: Kshs, tmp_path: Path) -> None:
    code, said = kshs("compare", "a", "b")
    assert code == 2
    assert (
        said == f"kshs: {tmp_path / 'kept/nights.db'}: there is no store (kshs store import DIR makes one)\n"
    )
    assert kshs("store")[0] == 0


def test_what_a_guest_has_said_is_printed_without_its_escapes(kshs: Kshs, tmp_path: Path) -> None:
    loud = NEXT.but(cases=[Case("a", "failed", reason="H6: \x1b]0;mine\x07 is wrong")])
    kshs("store", "import", str(GOOD.write(tmp_path / "out")), str(loud.write(tmp_path / "out")))
    code, said = kshs("compare", "night00", "night01")
    assert code == 1 and "]0;mine" in said and "\x1b" not in said and "\x07" not in said


def test_two_folders_of_one_run_that_differ_are_not_compared(kshs: Kshs, tmp_path: Path) -> None:
    first, second = GOOD.write(tmp_path / "x"), NEXT.but(id="night00", night=0).write(tmp_path / "y")
    assert kshs("compare", str(first), str(second)) == (
        2,
        f"kshs: {first} and {second}: both are run night00, with other records\n",
    )
    assert kshs("compare", str(first), str(first))[0] == 0
