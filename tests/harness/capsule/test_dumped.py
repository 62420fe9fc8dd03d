# SPDX-License-Identifier: Apache-2.0
"""A memory dump alone as a capsule: what it says, and what it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.capsule.manifest import Role
from harness.capsule.opened import Capsule
from harness.verdict import Verdict
from tests.harness.evidence.dump_writer import TriageDump


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def kshs(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(map(str, words)))
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_a_dump_becomes_a_capsule_that_says_what_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = tmp_path / "120126-1.dmp"
    dump.write_bytes(TriageDump().bytes())
    code, said, err = kshs(capsys, "capsule", "make", "--dump", dump)
    assert (code, err) == (0, "")
    assert "120126-1.capsule: 2 files" in said and "it lacks: the requests" in said
    with Capsule(tmp_path / "120126-1.capsule") as opened:
        opened.check()
        manifest = opened.manifest
        (file,) = manifest.of(Role.DUMP)
        assert opened.read(file) == dump.read_bytes()
        (facts,) = manifest.of(Role.EVIDENCE)
        assert str(tmp_path).encode() not in opened.read(facts), "no paths of this machine"
    assert manifest.verdict is Verdict.CRASHED and manifest.origin.run is None
    assert manifest.kernel.family == "windows" and manifest.kernel.build is not None
    assert len(manifest.lacks) >= 3
    code, said, _ = kshs(capsys, "capsule", "show", "120126-1.capsule")
    assert code == 0 and "dump/120126-1.dmp" in said and "a memory dump" in said
    code, _, err = kshs(capsys, "repro", "120126-1.capsule")
    assert code == 2 and "it has no scenario" in err
    code, _, err = kshs(capsys, "capsule", "import", "120126-1.capsule", "--out", "in")
    assert code == 2 and "it has no scenario.toml and no target.toml" in err


def test_a_dump_with_a_name_that_no_file_here_may_have_gets_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = tmp_path / "con.dmp"
    dump.write_bytes(TriageDump().bytes())
    assert kshs(capsys, "capsule", "make", "--dump", dump, "--out", "x.capsule")[0] == 0
    with Capsule(tmp_path / "x.capsule") as opened:
        assert opened.manifest.of(Role.DUMP)[0].name == "dump/memory.dmp"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--dump", "none.dmp"), "none.dmp"),
        (("--dump", "text.dmp"), "text.dmp"),
        (("--dump", "text.dmp", "out"), "a run or of a dump"),
        ((), "RUN and SCENARIO, or of --dump FILE"),
        (("out",), "RUN and SCENARIO, or of --dump FILE"),
    ],
)
def test_what_is_none_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], why: str
) -> None:
    (tmp_path / "text.dmp").write_text("no dump")
    code, out, err = kshs(capsys, "capsule", "make", *words)
    assert code == 2 and why in err and "Traceback" not in err + out
    assert not list(tmp_path.glob("*.capsule"))
