# SPDX-License-Identifier: Apache-2.0
"""``kshs dump`` in this process; with symbols in tests/component/test_symbols.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import main
from harness.evidence.signature import Crash, CrashFrame, signature
from harness.results import parts
from harness.verdict import Verdict
from tests.harness.evidence.dump_writer import AVSHS, DRIVERS, Driver, Header, TriageDump
from tests.harness.results.test_report import make, scenario


@pytest.fixture(autouse=True)
def no_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def triage(tmp_path: Path) -> Path:
    path = tmp_path / "120126-1.dmp"
    path.write_bytes(TriageDump().bytes())
    return path


def kshs(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_what_a_person_reads(triage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kshs("dump", triage) == 0
    said = capsys.readouterr()
    assert said.err == ""
    for line in (
        f"{triage}: triage dump, {triage.stat().st_size} bytes",
        "  stop       DRIVER_IRQL_NOT_LESS_OR_EQUAL (0xD1)",
        "    3  0x1                  kind of access: write",
        "  fault      avshs.sys+0x1234 (parameter 4)",
        "  system     build 26100, x64, 4 processors, workstation, stopped 2025-11-21 12:00:00 UTC,"
        " up 0:20:34",
        "             stop 0xd1, write, avshs.sys+0x1200~",
        "  unloaded   WpdUpFltr.sy...",
    ):
        assert line in said.out.splitlines(), said.out
    rows = [line.split() for line in said.out.splitlines()]
    assert ["Null.SYS", "0xfffff80100020000", "0xa000", "unknown", "unknown"] in rows
    assert ["avshs.sys", f"{AVSHS.base:#x}", "0x9000", "11223344", "55667"] in rows


def test_a_files_name_reaches_the_terminal_as_one_visible_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dumps come from elsewhere, and so do their names."""
    good, bad = tmp_path / "\x1b[31mgood\n.dmp", tmp_path / "\x1b]0;bad\n\udcff.dmp"
    good.write_bytes(TriageDump().bytes())
    bad.write_bytes(b"hello")
    assert kshs("dump", good, bad) == 2
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert said.out.splitlines()[0].endswith(
        "\N{REPLACEMENT CHARACTER}[31mgood .dmp: triage dump, 9292 bytes"
    )
    assert len(said.err.splitlines()) == 1 and "is text, no dump" in said.err
    assert kshs("dump", good, bad, "--json") == 2
    assert [one["file"] for one in json.loads(capsys.readouterr().out)] == [str(good), str(bad)]


def test_verifiers_rule_and_who_stopped_the_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.dmp"
    path.write_bytes(TriageDump(Header(stop_code=0xC4, parameters=(0x81005, 1, 0, 0))).bytes())
    assert kshs("dump", path) == 0
    said = capsys.readouterr().out
    assert "Driver Verifier: rule KsCallbackReturn" in said
    assert "stopped    ntoskrnl.exe+0x3f5c00 (the header's context: who stopped the machine)" in said
    assert "avshs.sys+0x2000" in said


def test_several_dumps_of_which_one_is_none(
    triage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.dmp"
    page.write_text("<html>not found</html>")
    assert kshs("dump", triage, page, triage) == 2
    said = capsys.readouterr()
    assert said.out.count("triage dump") == 2
    (line,) = said.err.splitlines()
    assert line.startswith(f"kshs: {page}: is a page of HTML")
    assert kshs("dump", "--json", triage, page) == 2
    said = capsys.readouterr()
    first, second = json.loads(said.out)
    assert first["stop"]["name"] == "DRIVER_IRQL_NOT_LESS_OR_EQUAL"
    assert first["signature"]["text"] == "stop 0xd1|write|avshs.sys+0x1200~"
    assert "HTML" in second["error"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("dump",), "Missing argument"),
        (("dump", "absent.dmp"), "absent.dmp: there is no such file"),
        (("dump", "."), ".: is no regular file"),
        (("dump", "/dev/null"), "/dev/null: is no regular file"),
        (("dump", "x", "--symbols", "absent"), "absent: there is no such directory (check --symbols)"),
    ],
)
def test_mistakes_are_one_line(
    words: tuple[str, ...],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert kshs(*words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("kshs: ") and says in line


def test_nothing_of_a_dump_reaches_the_terminal_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.dmp"
    names = ["\x1b]0;title\x07.sys", "[bold red]x.sys", "a\nb.sys"]
    drivers = [Driver(name, 0x1000 * number, 0x1000) for number, name in enumerate(names, 1)]
    path.write_bytes(TriageDump(drivers=[*DRIVERS, *drivers], unloaded=[("\x1b[2J", 1, 2)]).bytes())
    assert kshs("dump", path) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said and "\x07" not in said
    assert "[bold red]x.sys" in said


def test_a_report_keys_old_crashes_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crash = Crash(exception=0xC0000005, frames=(CrashFrame("x.sys", 0x10, "Pin", 0),), request="handshake")
    old = {"version": 0, "digest": "0"}
    scenarios = [
        scenario(
            f"s{number}", Verdict.CRASHED, crash=crash.as_dict(), signature={**old, "text": f"old {number}"}
        )
        for number in range(2)
    ]
    make(tmp_path, scenarios)
    assert kshs("report", tmp_path) == 0
    page = (tmp_path / "report.html").read_text()
    assert "crash: " + signature(crash).text.replace("|", ", ") in page
    assert "crash: old" not in page
    assert parts.read(tmp_path / "results.jsonl")  # which stays what it is
    capsys.readouterr()
