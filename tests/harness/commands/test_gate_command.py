# SPDX-License-Identifier: Apache-2.0
"""`kshs gate` and `kshs waiver` as people call them: exit codes, one line for what is wrong, what is left."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from harness.commands import gate_runs
from tests.harness.commands.in_process import called
from tests.harness.gate.scene import NOW, WRONG, Scene, prepared

YES = ("gate", "run", "--candidate", "candidate", "--key", "ana.key")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return prepared(tmp_path_factory.mktemp("packages"))


@pytest.fixture
def scene(tmp_path: Path, made: tuple[Path, Path, Path]) -> Scene:
    scene = Scene(tmp_path, made)
    (tmp_path / "kshs.toml").write_text('[store]\nurl = "store.db"\n')
    scene.loaded()
    return scene


def kshs(scene: Scene, *words: str) -> CompletedProcess[str]:
    return called(scene.folder, *words)


def test_a_yes_is_signed_and_a_no_takes_its_statement_away(scene: Scene) -> None:
    scene.take()
    done = kshs(scene, *YES, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    page, out = json.loads(done.stdout), scene.folder / "out" / "gate"
    assert page["verdict"] == "yes" and page == json.loads((out / "verdict.json").read_text())
    assert (
        "<script" not in (out / "gate.html").read_text()
        and "| flakes | holds |" in (out / "summary.md").read_text()
    )
    verified = kshs(scene, "gate", "verify", "out/gate/statement.json", "--key", "ana.pub")
    assert verified.returncode == 0 and verified.stdout.endswith("verified\n")
    for words in (("--key", "eve.pub"), ("--key", "bo.pub"), ("--key", "ana.pub", "--package", "released")):
        done = kshs(scene, "gate", "verify", "out/gate/statement.json", *words)
        assert done.returncode == 1 and done.stdout.endswith("not verified\n"), words
    bundled = kshs(scene, "gate", "bundle", "out/gate", "--out", "b.zip")
    assert bundled.returncode == 0, bundled.stderr
    done = kshs(
        scene, "gate", "verify", "out/gate/statement.json", "--bundle", "b.zip", "--package", "candidate"
    )
    assert done.returncode == 0 and "judged by this very policy" in done.stdout
    (scene.results("new1") / "results.jsonl").unlink()
    done = kshs(scene, *YES)
    assert done.returncode == 1 and done.stdout.endswith("no\n")
    assert not (out / "statement.json").exists()
    assert kshs(scene, "gate", "bundle", "out/gate", "--out", "b.zip").returncode == 2


def test_a_yes_without_a_key_is_not_signed(scene: Scene) -> None:
    scene.take()
    done = kshs(scene, "gate", "run", "--candidate", "candidate")
    assert done.returncode == 0 and done.stdout.endswith("yes; not signed, for no key was given\n")
    assert not (scene.folder / "out" / "gate" / "statement.json").exists()


def test_a_no_says_which_commands_would_do(scene: Scene) -> None:
    scene.runs = {}
    scene.selftest = None
    scene.take()
    done = kshs(scene, *YES)
    assert done.returncode == 1
    runs = re.findall(r"^to be run: kshs run (\S+) --guest wine --target (\w+)$", done.stdout, re.MULTILINE)
    suite = str(scene.suite)
    assert runs == [(suite, "relay"), (suite, "released"), (suite, "relay")] or runs == [
        (suite, "relay"),
        (suite, "relay"),
        (suite, "released"),
    ]
    assert "to be run: kshs selftest\n" in done.stdout


RUN = ("gate", "run", "--candidate", "candidate")
ADD = ("waiver", "add", "relay.one", "--candidate", "candidate", "--why", "x", "--expires")
WRONG_CALLS = {
    "two candidates at once": ((*YES, "--candidate", "released"), "2 packages are given"),
    "no such package": (("gate", "run", "--candidate", "nowhere"), "nowhere: there is no such directory"),
    "no policy": ((*YES, "--policy", "none.toml"), "none.toml: there is no such file"),
    "no store": ((*YES, "--store", "none.db"), "none.db: there is no store"),
    "the key of nobody": ((*RUN, "--key", "eve.key"), "no signer"),
    "the key of who may not": ((*RUN, "--key", "bo.key"), "lacks release"),
    "no key at all": ((*RUN, "--key", "gate.toml"), "no private key in PEM"),
    "nothing to verify": (("gate", "verify", "none.json"), "none.json: there is no such file"),
    "a waiver for what passed": ((*ADD, "{day}", "--key", "ana.key"), "to nothing of this scenario"),
    "a waiver for ever": ((*ADD, "2999-01-01", "--key", "ana.key"), "the policy lets 0 to 90 be"),
    "a waiver of nobody": ((*ADD, "{day}"), "signed by its owner"),
}


def test_what_is_wrong_is_one_line_and_exit_code_2(scene: Scene) -> None:
    scene.take()
    for name, (words, said) in WRONG_CALLS.items():
        day = f"{(NOW + timedelta(days=9)).date()}"
        done = kshs(scene, *(word.replace("{day}", day) for word in words))
        assert done.returncode == 2, (name, done.stdout, done.stderr)
        assert said in done.stderr and len(done.stderr.splitlines()) == 1, (name, done.stderr)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "ana"', 'nam = "ana"', r"gate\.toml:27: signer\[0\].nam: unknown key 'nam'"),
        ('key = "ana.pub"', 'key = "no.pub"', r"signer\[0\].key: there is no no.pub"),
        ('name = "bo"', 'name = "ana"', r"signer\[1\].name: ana is there twice"),
        ('key = "bo.pub"', 'key = "ana.pub"', r"is the key of ana and of bo"),
        ("repeats = 2", "repeats = 0", r"require\[0\].repeats"),
        ('package = "released"', 'first = true\npackage = "released"', r"first says that nothing was"),
        ("suite = 0.7", "suite = 1.5", r"flakes.suite"),
        ("suite = 0.7", "suite = nan", r"flakes.suite"),
        ("repeats = 2", 'repeats = "2"', r"require\[0\].repeats: .* integer"),
        ("repeats = 2", 'repeats = 2\nreal_ks = "no"', r"require\[0\].real_ks: .* boolean"),
        ("[flakes]", '[selftest]\nrequired = "off"\n[flakes]', r"selftest.required: .* boolean"),
        ('package = "released"', f'package = "released"\ndigest = "{"0" * 64}"', r"say package or digest"),
        ('paths = ["scenarios/basic.toml"]', 'id = ["none.*"]', r"a suite holds no scenario"),
    ],
)  # fmt: skip
def test_a_wrong_policy_is_told_with_its_line(scene: Scene, old: str, new: str, said: str) -> None:
    scene.edit(old, new)
    (scene.folder / "gate.toml").write_text(scene.policy)
    done = kshs(scene, *YES)
    assert done.returncode == 2 and re.search(said, done.stderr), done.stderr


def test_waivers_are_listed_checked_and_signed_again(scene: Scene) -> None:
    scene.edit('package = "released"\nrun = "released"', "first = true")
    scene.loaded()
    scene.fail(two=WRONG)
    scene.take()
    day = f"{(NOW + timedelta(days=9)).date()}"
    add = ("waiver", "add", "relay.two", "--candidate", "candidate", "--why", "meant", "--expires", day)
    assert kshs(scene, "waiver", "check", "--candidate", "candidate").returncode == 1
    assert kshs(scene, *add, "--key", "bo.key").returncode == 2
    assert kshs(scene, *add, "--key", "ana.key", "--version", "9.9").returncode == 2
    done = kshs(scene, *add, "--key", "ana.key", "--version", "2.0")
    assert done.returncode == 0, done.stderr
    (path,) = (scene.folder / "waivers").iterdir()
    assert kshs(scene, "waiver", "check", "--candidate", "candidate").returncode == 0
    assert kshs(scene, "waiver", "sign", str(path), "--key", "ana.key").returncode == 2
    assert kshs(scene, "waiver", "sign", str(path), "--key", "bo.key").returncode == 0
    listed = kshs(scene, "waiver", "list").stdout
    assert f"basic.toml::relay.two failed, ana: meant; until {day}, second signer bo\n1 waiver\n" in listed
    assert kshs(scene, *YES).returncode == 0


def test_a_waiver_of_too_many_words_is_one_line(scene: Scene) -> None:
    scene.edit('package = "released"\nrun = "released"', "first = true")
    scene.loaded()
    scene.fail(two=WRONG)
    scene.take()
    day = f"{(NOW + timedelta(days=9)).date()}"
    add = ("waiver", "add", "relay.two", "--candidate", "candidate", "--expires", day, "--key", "ana.key")
    for why in ("y" * 4001, "half \ud800"):
        done = kshs(scene, *add, "--why", why)
        assert done.returncode == 2 and done.stderr.startswith("kshs: kshs waiver add: why: "), done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert list((scene.folder / "waivers").iterdir()) == []


def test_the_same_failure_on_two_guests_has_two_waivers(scene: Scene) -> None:
    scene.edit('package = "released"\nrun = "released"', "first = true")
    scene.loaded()
    scene.fail(two=WRONG)
    scene.runs["else"] = replace(scene.runs["new2"], id="else", recipe="server2025", hours=4)
    scene.take()
    day = f"{(NOW + timedelta(days=9)).date()}"
    add = ("waiver", "add", "relay.two", "--candidate", "candidate", "--why", "meant", "--expires", day)
    done = kshs(scene, *add, "--key", "ana.key")
    assert done.returncode == 0, done.stderr
    assert len(list((scene.folder / "waivers").iterdir())) == 2
    assert kshs(scene, "waiver", "check", "--candidate", "candidate").returncode == 0


def test_who_verifies_by_a_policy_needs_no_more_of_it_than_its_keys(scene: Scene) -> None:
    scene.take()
    assert kshs(scene, *YES).returncode == 0
    for path in (scene.folder / "scenarios", scene.folder / "released", scene.folder / "out" / "new1"):
        shutil.rmtree(path)
    done = kshs(scene, "gate", "verify", "out/gate/statement.json")
    assert done.returncode == 0 and "judged by this very policy" in done.stdout, done.stderr
    assert kshs(scene, *YES).returncode == 2


KNOWN = """
schema = 1
[[issue]]
id = "KS-1"
link = "x"
scenario = "relay.*"
owner = "ana"
signature = "*"
opened = 2020-01-01
expires = 2020-02-01
"""


def test_known_issues_beside_the_policy_are_seen_from_anywhere(scene: Scene) -> None:
    scene.take()
    (scene.folder / "known-issues.toml").write_text(KNOWN)
    (scene.folder / "else").mkdir()
    words = ("--candidate", "../candidate", "--policy", "../gate.toml", "--store", "../store.db")
    done = called(scene.folder / "else", "gate", "run", *words)
    assert done.returncode == 1 and "known issue KS-1 (ana) expired on 2020-02-01" in done.stdout


def test_known_issues_of_any_name_are_evidence_and_replace_none(scene: Scene) -> None:
    scene.take()
    for name in ("a", "b"):
        (scene.folder / name).mkdir()
        (scene.folder / name / "gate.toml").write_text("schema = 1\n")
    done = kshs(scene, *YES, "--known-issues", "a/gate.toml", "--quarantine", "b/gate.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    sources = json.loads((scene.folder / "out/gate/evidence.json").read_text())["files"]
    named = {name: Path(sources[name]).parent.name for name in ("known-issues.toml", "quarantine.toml")}
    assert named == {"known-issues.toml": "a", "quarantine.toml": "b"}
    assert Path(sources["gate.toml"]) == scene.folder / "gate.toml"


class Runs:
    """What stands for the processes of ``--run``: what each leaves, and how it was called."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.calls: list[list[str]] = []
        self.stdout: list[object] = []

    def __call__(self, words: list[str], *, check: bool, stdout: int | None) -> CompletedProcess[str]:
        assert not check
        out = Path(words[words.index("--out") + 1])
        self.calls.append(words[3:])
        self.stdout.append(stdout)
        assert not out.exists()
        if words[3] == "selftest":
            out.mkdir()
            started = f"{NOW - timedelta(hours=2.25):%Y-%m-%dT%H:%M:%SZ}"
            said = {**(self.scene.selftest or {}), "started": started}
            (out / "selftest.json").write_text(json.dumps(said))
        else:
            run = replace(self.scene.runs["new1"], id="new3", hours=2.5)
            run.write(out.parent).rename(out)
        return CompletedProcess(words, 0)


def test_what_is_missing_is_run_with_the_self_test_that_its_runs_then_need(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.edit("[flakes]", "[selftest]\nhours = 2\n\n[flakes]")
    scene.loaded()
    del scene.runs["new2"]
    scene.take()
    scene.runs["new1"] = replace(scene.runs["new1"], cases=scene.cases())
    out = scene.folder / "out" / "gate"
    (out / "run-007").mkdir(parents=True)
    (out / "run-007" / "kept").write_text("of an earlier call, as run-001 was")
    ran = Runs(scene)
    monkeypatch.setattr(gate_runs.subprocess, "run", ran)
    done = kshs(scene, *YES, "--run", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [words[0] for words in ran.calls] == ["run", "selftest"]
    assert [Path(words[-1]).name for words in ran.calls] == ["run-008", "run-009"]
    assert json.loads(done.stdout)["verdict"] == "yes", "stdout is for the program that has asked"
    assert ran.stdout == [2, 2] and "1 of 1: kshs selftest" in done.stderr
    assert (out / "run-007" / "kept").exists()
