# SPDX-License-Identifier: Apache-2.0
"""The verbs of kshsctl that provisioning is made of, each for itself and at its edges."""

from __future__ import annotations

import hashlib
import os
import termios
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

import drivers.build
from tests.component.provision_guest import Port
from tests.component.wine import WineGuest, copy_of
from vm.windows.milestones import Kind, Milestone, parse

pytestmark = pytest.mark.component

DONE, FAILED, USAGE = 0, 1, 2
LOG = "C:\\kshs\\provision.log"


@pytest.fixture(scope="module")
def port() -> Iterator[Port]:
    port = Port()
    yield port
    port.close()


@pytest.fixture(scope="module")
def _guest(build: drivers.build.Build, bare_template: Path, port: Port) -> Iterator[WineGuest]:
    with copy_of(bare_template) as prefix:
        guest = WineGuest(prefix, build.agent)
        done = guest.run("reg", "add", "HKLM\\Software\\Wine\\Ports", "/v", "COM1", "/d", port.name, "/f")
        assert done.exit_code == 0
        guest.stop()
        guest.hold()
        try:
            yield guest
        finally:
            guest.stop()


@pytest.fixture
def guest(_guest: WineGuest, port: Port) -> WineGuest:
    for path in _guest.folder.iterdir():
        if path.name != "kshsctl.exe":
            path.unlink()
    port.take(0.05)
    return _guest


def lines(port: Port) -> list[Milestone]:
    found = [parse(line) for line in port.take().split(b"\r\n")]
    return [milestone for milestone in found if milestone is not None]


# ---- milestone -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["start", "1"], Milestone(Kind.START, number=1)),
        (["begin", "openssh"], Milestone(Kind.BEGIN, "openssh")),
        (["done", "a" * 32], Milestone(Kind.DONE, "a" * 32)),
        (["reboot", "a-2"], Milestone(Kind.REBOOT, "a-2")),
        (["sealed"], Milestone(Kind.SEALED)),
    ],
)
def test_milestone(guest: WineGuest, port: Port, arguments: list[str], expected: Milestone) -> None:
    done = guest.must("milestone", *arguments)
    assert done["port"] is True
    assert lines(port) == [expected]
    text = (guest.folder / "provision.log").read_bytes()
    assert text == f"KSHS 1 {done['line']}\r\n".encode()
    assert parse(text[:-2]) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ["boom"],
        ["start"],
        ["start", "0"],
        ["start", "01"],
        ["start", "-1"],
        ["start", "x"],
        ["start", "10000"],
        ["begin"],
        ["begin", ""],
        ["begin", "Openssh"],
        ["begin", "-x"],
        ["begin", "2nd"],
        ["begin", "two words"],
        ["begin", "x\r\nKSHS 1 sealed"],
        ["begin", "a" * 33],
        ["begin", "a", "b"],
        ["sealed", "now"],
        ["failed", "x"],
        ["failed", "x", "1"],
        ["failed", "x", "", LOG],
        ["failed", "x", "4294967296", LOG],
        ["failed", "x", "-2147483649", LOG],
        ["failed", "x", "1x", LOG],
    ],
    ids=repr,
)
def test_no_other_milestone_can_be_written(guest: WineGuest, port: Port, arguments: list[str]) -> None:
    done = guest.kshsctl("milestone", *arguments)
    assert (done.exit_code, done.stdout) == (USAGE, "")
    assert "usage" in done.stderr
    assert port.take() == b""
    assert not (guest.folder / "provision.log").exists()


def test_lines_are_appended(guest: WineGuest) -> None:
    (guest.folder / "provision.log").write_bytes(b"what a step wrote\r\n")
    for _ in range(3):
        guest.must("milestone", "begin", "x")
    assert (
        guest.folder / "provision.log"
    ).read_bytes() == b"what a step wrote\r\n" + 3 * b"KSHS 1 begin x\r\n"


@pytest.mark.parametrize(
    ("log", "tail"),
    [
        (b"", []),
        (b"no line end", ["no line end"]),
        (b"old\r\nKSHS 1 begin x\r\nnew\r\n", ["new"]),
        (b"KSHS 1 begin x\r\none\r\nKSHS 1 begin x\r\ntwo\r\n", ["two"]),
        (b"KSHS 1 begin xy\r\nother step\r\n", ["KSHS 1 begin xy", "other step"]),
        (b"\xff\xfe\r\n", ["\u00a0\u25a0"]),
        (b"a\r\n\r\n  \r\nb   \r\n", ["a", "b"]),
        (b"z" * 100_000 + b"\r\nlast\r\n", ["last"]),
        (b"\n" * 100_000 + b"last", ["last"]),
    ],
)
def test_the_tail_of_a_failure(guest: WineGuest, port: Port, log: bytes, tail: list[str]) -> None:
    (guest.folder / "provision.log").write_bytes(log)
    guest.must("milestone", "failed", "x", "5", LOG)
    first, begin, *middle, end = lines(port)
    assert first == Milestone(Kind.FAILED, "x", 5)
    assert (begin.kind, end.kind) == (Kind.LOG_BEGIN, Kind.LOG_END)
    assert [milestone.text for milestone in middle] == tail
    assert (guest.folder / "provision.log").read_bytes() == log + b"KSHS 1 failed x 5\r\n"


def test_a_failure_without_a_log(guest: WineGuest, port: Port) -> None:
    guest.must("milestone", "failed", "x", "5", "C:\\no such\\log")
    assert [milestone.kind for milestone in lines(port)] == [Kind.FAILED, Kind.LOG_BEGIN, Kind.LOG_END]


@pytest.fixture
def com1(guest: WineGuest) -> Iterator[Path]:
    """What COM1 leads to, to be replaced."""
    link = guest.prefix / "dosdevices" / "com1"
    before = link.readlink()
    yield link
    link.unlink(missing_ok=True)
    link.symlink_to(before)


def test_without_a_port_the_log_is_enough(guest: WineGuest, com1: Path) -> None:
    com1.unlink()
    assert guest.must("milestone", "sealed")["port"] is False
    assert (guest.folder / "provision.log").read_bytes() == b"KSHS 1 sealed\r\n"


def test_without_a_log_the_port_is_enough(guest: WineGuest, port: Port) -> None:
    (guest.folder / "provision.log").mkdir()
    try:
        assert guest.must("milestone", "sealed")["port"] is True
        assert lines(port) == [Milestone(Kind.SEALED)]
    finally:
        (guest.folder / "provision.log").rmdir()


def test_without_either_it_fails(guest: WineGuest, com1: Path) -> None:
    com1.unlink()
    (guest.folder / "provision.log").mkdir()
    try:
        done = guest.kshsctl("milestone", "sealed")
        assert done.exit_code == FAILED
        assert "neither" in done.json["error"]
    finally:
        (guest.folder / "provision.log").rmdir()


def test_a_port_that_nobody_reads_holds_nobody_up(guest: WineGuest, com1: Path) -> None:
    host, far = os.openpty()
    try:
        tty.setraw(far)
        termios.tcflow(far, termios.TCOOFF)
        com1.unlink()
        com1.symlink_to(os.ttyname(far))
        begin = time.monotonic()
        done = guest.kshsctl("milestone", "failed", "x", "5", LOG, timeout=50)
        assert time.monotonic() - begin < 40
        assert done.exit_code == DONE, "the log has it"
        assert done.json["port"] is False
    finally:
        os.close(host)
        os.close(far)


# ---- check-files -----------------------------------------------------------------------


def summed(guest: WineGuest, files: dict[str, bytes], separator: str = "  ") -> list[str]:
    made = []
    for name, data in files.items():
        (guest.folder / name).write_bytes(data)
        made.append(f"{hashlib.sha256(data).hexdigest()}{separator}{name}")
    return made


def check(guest: WineGuest, text: str) -> tuple[int, str]:
    (guest.folder / "list.sha256").write_text(text, encoding="utf-8")
    done = guest.kshsctl("check-files", "C:\\kshs\\list.sha256")
    return done.exit_code, str(done.json.get("error") or done.json["checked"])


@pytest.mark.parametrize("separator", ["  ", " *"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_check_files(guest: WineGuest, separator: str, end: str) -> None:
    entries = summed(guest, {"a": b"1", "b b": b"", "über": b"2" * 100_000}, separator)
    assert check(guest, end.join(entries) + end) == (DONE, "3")
    assert check(guest, end.join(entries)) == (DONE, "3")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "cannot be read"),
        ("\n", "empty"),
        ("hello\n", "entry 1"),
        ("0" * 64 + "\n", "entry 1"),
        ("g" * 64 + "  a\n", "entry 1"),
        ("0" * 64 + "  a\n", "damaged"),
        ("0" * 64 + "  nosuch\n", "no file"),
        ("0" * 64 + "  " + "a" * 5000 + "\n", "too long"),
    ],
)
def test_check_files_refuses(guest: WineGuest, text: str, error: str) -> None:
    (guest.folder / "a").write_bytes(b"1")
    code, said = check(guest, text)
    assert code == FAILED
    assert error in said


def test_check_files_without_a_list(guest: WineGuest) -> None:
    assert guest.kshsctl("check-files", "C:\\kshs\\nosuch").exit_code == FAILED
    assert guest.kshsctl("check-files", "C:\\" + "a" * 400 + "\\x").exit_code == FAILED


# ---- services ----------------------------------------------------------------------------


@pytest.fixture
def service(guest: WineGuest) -> Iterator[str]:
    name = "KshsTestService"
    program = "C:\\windows\\system32\\wuauserv.exe"
    done = guest.run("sc", "create", name, "start=", "disabled", "binPath=", program)
    assert done.exit_code == 0, done
    yield name
    guest.run("sc", "stop", name)
    guest.run("sc", "delete", name)


def test_start_and_disable_service(guest: WineGuest, service: str) -> None:
    assert guest.must("start-service", service)["ok"] is True
    assert "RUNNING" in guest.run("sc", "query", service).stdout
    assert guest.must("start-service", service)["ok"] is True, "it runs already"
    done = guest.must("disable-service", service, "KshsNoSuchService")
    assert done["services"] == [
        {"service": service, "result": "disabled"},
        {"service": "KshsNoSuchService", "result": "absent"},
    ]
    deadline = time.monotonic() + 20
    while "STOPPED" not in guest.run("sc", "query", service).stdout:
        assert time.monotonic() < deadline
    assert guest.must("disable-service", service)["services"][0]["result"] == "disabled"


def test_a_service_that_is_absent_cannot_start(guest: WineGuest) -> None:
    done = guest.kshsctl("start-service", "KshsNoSuchService")
    assert done.exit_code == FAILED
    assert done.json["code"] == 1060
    assert done.json["step"] == "open"


# ---- settle, check-policy ------------------------------------------------------------------


def test_settle_waits_for_rest(guest: WineGuest) -> None:
    done = guest.must("settle", "0", "30")
    assert set(done) >= {"settled", "seconds", "idle_percent", "pending_services"}
    assert done["seconds"] <= 30


def test_settle_gives_up_in_time(guest: WineGuest) -> None:
    begin = time.monotonic()
    done = guest.kshsctl("settle", "2", "2")
    assert time.monotonic() - begin < 15
    assert done.exit_code == DONE, "an installation is not thrown away for that"
    if not done.json["settled"]:
        assert "not at rest after 2 s" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["-1", "5"], ["x", "5"], ["1", "x"], ["", "1"], ["10", "5"], ["0", "7201"], ["1 ", "5"]]
)
def test_settle_refuses(guest: WineGuest, arguments: list[str]) -> None:
    assert guest.kshsctl("settle", *arguments).exit_code == USAGE


def test_a_guest_that_cannot_say_is_not_refused(guest: WineGuest) -> None:
    done = guest.must("check-policy", "testsigning", "hvci")
    assert (done["test_signing"], done["secure_boot"], done["hvci"]) == (None, None, None)
    assert guest.kshsctl("check-policy", "nonsense").exit_code == USAGE


# ---- verifier-check ---------------------------------------------------------------------------
