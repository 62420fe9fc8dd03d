# SPDX-License-Identifier: Apache-2.0
"""Verbs that check: the settings of the verifier, and supervise."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.component import test_provisioning_verbs
from tests.component.provision_guest import Port
from tests.component.standins import build_program
from tests.component.test_provisioning_verbs import (
    DONE,
    FAILED,
    USAGE,
    lines,
)
from tests.component.wine import WineGuest
from vm.windows.milestones import Kind, Milestone

pytestmark = pytest.mark.component

#: Fixtures of the tests beside these.
_guest = test_provisioning_verbs._guest
guest = test_provisioning_verbs.guest
port = test_provisioning_verbs.port


# Words as a German system might have them: only numbers, boxes and file names are read.
SETTINGS = (
    "\r\nFlags der Treiberüberprüfung: 0x00010003\r\n\r\n  Standardflags:\r\n\r\n"
    "    [X] 0x00000001 Spezieller Pool.\r\n    [X] 0x00000002 IRQL.\r\n    [ ] 0x00000008 Pool.\r\n"
    "    [X] 0x00010000 Port/Miniport.\r\n\r\n    [X] bedeutet: aktiviert.\r\n\r\n"
    "  Überprüfte Treiber:\r\n\r\n    AVSHS.sys\r\n    ksclient.sys\r\n"
)


def verify(guest: WineGuest, data: bytes, classes: str, names: str) -> tuple[int, dict[str, object]]:
    (guest.folder / "settings.txt").write_bytes(data)
    done = guest.kshsctl("verifier-check", "C:\\kshs\\settings.txt", classes, names)
    return done.exit_code, done.json


@pytest.mark.parametrize("encoding", ["cp850", "utf-8", "utf-16", "utf-16-le"])
def test_settings_in_any_language_and_encoding(guest: WineGuest, encoding: str) -> None:
    code, said = verify(guest, SETTINGS.lstrip().encode(encoding), "1 2 17 34", "avshs.sys ksclient.sys")
    assert code == DONE, said
    assert said["flags"] == "0x10003"
    assert said["classes_not_shown"] == [34]


def test_every_difference_is_named(guest: WineGuest) -> None:
    code, said = verify(guest, SETTINGS.encode(), "1 4 17", "avshs.sys other.sys")
    assert code == FAILED
    assert said["missing_classes"] == [4]
    assert said["missing_drivers"] == ["other.sys"]
    assert said["other_drivers"] == ["ksclient.sys"]
    assert said["other_flags"] == "0x2"


def test_older_systems_give_one_number(guest: WineGuest) -> None:
    text = b"Flags: 0x00010003\r\nDrivers:\r\navshs.sys\r\n"
    assert verify(guest, text, "1 2 17", "avshs.sys")[0] == DONE
    assert verify(guest, text, "1 2 5", "avshs.sys")[0] == FAILED


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"0x",
        b"[X]",
        b"[X] 0x",
        b"\xff\xfe",
        b"\xff\xfe0",
        b"0x" + b"f" * 100,
        b".sys " * 10_000,
        b"\0" * 99,
    ],
)
def test_what_is_no_settings_is_refused(guest: WineGuest, data: bytes) -> None:
    assert verify(guest, data, "1", "a.sys")[0] == FAILED


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        ("", "a.sys"),
        ("0", "a.sys"),
        ("65", "a.sys"),
        ("1x", "a.sys"),
        ("-1", "a.sys"),
        ("1", ""),
        ("1", "a.exe"),
    ],
)
def test_verifier_check_refuses(guest: WineGuest, classes: str, names: str) -> None:
    assert guest.kshsctl("verifier-check", "C:\\kshs\\x", classes, names).exit_code == USAGE


def test_verifier_check_without_a_file(guest: WineGuest) -> None:
    assert guest.kshsctl("verifier-check", "C:\\kshs\\nosuch", "1", "a.sys").exit_code == FAILED


# ---- supervise -----------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "result"), [(0, DONE), (3010, 3010 & 0xFF), (1, FAILED), (77, FAILED)])
def test_supervise_passes_on_how_the_script_ended(
    guest: WineGuest, port: Port, code: int, result: int
) -> None:
    script = f"@echo off\r\necho said\r\necho complained >&2\r\nexit /b {code}\r\n"
    (guest.folder / "provision it.cmd").write_bytes(script.encode())
    done = guest.kshsctl("supervise", "C:\\kshs\\provision it.cmd")
    assert done.exit_code == result, done
    assert done.json["exit_code"] == code
    assert (guest.folder / "supervise.log").read_text().split() == ["said", "complained"]
    said = lines(port)
    if code == 77:
        assert said[0] == Milestone(Kind.FAILED, "provision", 77)
        assert [milestone.text for milestone in said if milestone.kind is Kind.LOG] == ["said", "complained"]
    else:
        assert said == []


def test_supervise_without_a_script(guest: WineGuest, port: Port) -> None:
    done = guest.kshsctl("supervise", "C:\\kshs\\nosuch.cmd")
    assert done.exit_code == FAILED


def test_supervise_wants_an_administrators_rights(guest: WineGuest, port: Port, tmp_path: Path) -> None:
    unelevated = guest.put(build_program(tmp_path, "unelevated"))
    (guest.folder / "p.cmd").write_bytes(b"@echo off\r\necho ran >C:\\kshs\\ran\r\nexit /b 0\r\n")
    line = ("C:\\kshs\\kshsctl.exe", "supervise", "C:\\kshs\\p.cmd")
    done = guest.run(unelevated, *line)
    assert done.exit_code == FAILED, done
    assert done.json["step"] == "elevated"
    assert done.json["code"] == 740
    assert lines(port)[0] == Milestone(Kind.FAILED, "supervise", 740)
    assert not (guest.folder / "ran").exists()
    assert guest.run(*line).exit_code == DONE, "with them it runs"
    assert (guest.folder / "ran").exists()
