# SPDX-License-Identifier: Apache-2.0
"""``kshs target`` as it is typed: what it says, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import cli
from harness.commands import target_check, target_command
from harness.guests.package import LoadedTarget
from harness.language import target
from tests.harness.fake_guest import FakeProvider
from tests.harness.onboarding.fake_driver import CAPTURE, FakeDriver, FakePin

INF = (Path(__file__).parents[3] / "drivers" / "avshs" / "avshs.inf").read_text("utf-8")
PROTOCOL = "C5E1B4F2-8D07-4C7B-9A53-2F6E01D9A7B4"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    """A package in ``package``, and a fake driver in every guest."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "avshs.inf").write_text(INF, "utf-8")
    (tmp_path / "package" / "avshs.sys").write_bytes(b"KsPinRegisterHandshakeCallback")
    made = FakeDriver([FakePin(), FakePin(flow=1)])
    monkeypatch.setattr(
        target_command, "_guests", lambda config, guest: lambda loaded: FakeProvider(bend=made)
    )
    return made


def kshs(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(words))
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_init_then_check(driver: FakeDriver, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = kshs(capsys, "target", "init", "package", "--protocol", f"clock={PROTOCOL}")
    assert (code, err) == (0, "")
    assert "avshs.toml: 2 pins (source, sink)" in out and "fill in" not in out
    assert "asking the driver for its filters and pins" in out
    code, out, err = kshs(capsys, "target", "check", "avshs.toml")
    assert (code, err) == (0, "")
    assert "avshs.toml: target avshs, 2 pins (source, sink), 1 protocol" in out
    assert "behaviour = true" in out and "scenarios of the catalogue" in out
    code, out, err = kshs(capsys, "target", "check", "avshs.toml", "--guest", "wine")
    assert (code, err) == (0, "")


def test_check_with_a_guest_says_where_the_file_is_wrong(
    driver: FakeDriver, capsys: pytest.CaptureFixture[str]
) -> None:
    kshs(capsys, "target", "init", "package")
    text = Path("avshs.toml").read_text()
    Path("avshs.toml").write_text(text.replace('flow = "in"', 'flow = "out"').replace("id = 0", "id = 9"))
    code, _, err = kshs(capsys, "target", "check", "avshs.toml", "--guest", "wine")
    assert code == 2
    assert "pin[0].id: the filter has no pin 9 (there: 0, 1)" in err
    assert "pin[1].flow: out, and the driver says in" in err
    assert err.startswith("kshs: avshs.toml:") and "Traceback" not in err
    driver.categories = {CAPTURE: 1}
    code, _, err = kshs(capsys, "target", "check", "avshs.toml", "--guest", "wine")
    assert (
        code == 2
        and "category: filter 0 in KSCATEGORY_CAPTURE is not the device's (the device's there: 1;" in err
    )


def test_a_format_that_the_driver_does_not_take_is_told_by_check(
    driver: FakeDriver, capsys: pytest.CaptureFixture[str]
) -> None:
    kshs(capsys, "target", "init", "package")
    Path("avshs.toml").write_text(Path("avshs.toml").read_text().replace("000022", "000033"))
    code, _, err = kshs(capsys, "target", "check", "avshs.toml", "--guest", "wine")
    assert code == 2 and "source does not open: STATUS_NO_MATCH" in err and "format.sub: asked for" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("init", "nowhere"), "kshs: nowhere: there is no such directory (give the directory with INF"),
        (("init", "package", "--category", "x"), "kshs: --category: 'x' is no GUID"),
        (("init", "package", "--protocol", "x"), "kshs: --protocol: 'x' is no protocol"),
        (("init", "package", "--out", "package"), "kshs: package: a target file ends in .toml"),
        (("check", "nope"), "kshs: --target: there is no target 'nope'"),
        (("check", "nope.toml"), "kshs: nope.toml:1: cannot be read"),
        (("fly",), "kshs: No such command 'fly'"),
    ],
)
def test_bad_usage_is_one_line_and_2(
    driver: FakeDriver, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    code, _, err = kshs(capsys, "target", *words)
    assert (code, err.startswith(says), err.count("\n")) == (2, True, 1), err


def test_a_guest_that_is_not_there_is_told_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "package").mkdir()
    code, _, err = kshs(capsys, "target", "init", "package", "--guest", "nope")
    assert code == 2 and err.startswith("kshs: there is no guest 'nope'")


def test_the_sample_is_checked_without_a_package_of_its_own() -> None:
    sample, file = target.find("avshs")
    checked = target_check.check(LoadedTarget(sample, file))
    assert [one.openings for one in checked.outlooks.values()] == [(), ()]
    assert "package builtin:avshs: Root\\KshsAvshs, service avshs" in target_check.heading(checked)[1]
