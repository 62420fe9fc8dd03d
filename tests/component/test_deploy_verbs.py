# SPDX-License-Identifier: Apache-2.0
"""The verbs that a deployment to Windows stands on, run for real."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import drivers.build
from drivers import inf
from harness.errors import DeployError
from harness.guests import deploy, setupapi_log, verifier, windows_deploy
from harness.guests.kshsctl import Kshsctl, VerbError
from harness.guests.verifier import Verifier
from tests.component.agent import ABI, agent_of
from tests.component.conftest import HARDWARE_ID
from tests.component.standins import StandIns
from tests.component.standins import build as build_standin
from tests.component.wine import WineGuest, copy_of
from tests.harness.fake_windows import section

pytestmark = pytest.mark.component

DONE, FAILED, USAGE = 0, 1, 2
MEMORY = "HKLM\\SYSTEM\\CurrentControlSet\\Control\\Session Manager\\Memory Management"


def host_side(guest: WineGuest) -> Kshsctl:
    """The harness's own way to call verbs, over this guest instead of SSH."""

    def run(command: str, timeout: float) -> Any:
        done = guest.run(*command.split("\0"), timeout=timeout)
        return SimpleNamespace(exit_code=done.exit_code, stdout=done.stdout.encode(), stderr=done.stderr)

    shell: Any = SimpleNamespace(wine="\0".join, run=run)
    return Kshsctl(shell)


# ---- device ------------------------------------------------------------------------


def test_device_says_what_is_bound_and_null_for_what_this_guest_does_not_know(wine_guest: WineGuest) -> None:
    device = wine_guest.must("device", HARDWARE_ID)
    assert device["service"] == "avshs"
    assert device["inf"] == "avshs.inf"  # Windows gives a published name, oemNN.inf
    assert device["instance"].startswith("ROOT\\MEDIA\\")
    assert device["alone"] is True
    unknown = {key: device[key] for key in ("started", "problem", "problem_status", "version", "provider")}
    assert unknown == dict.fromkeys(unknown), "Wine has no device nodes, and keeps no such properties"
    assert windows_deploy.problem_text(device) is None


@pytest.mark.parametrize("name", ["Root\\NotThere", "", " ", "\\", "x" * 2000, "Root\\Ü%s%n"])
def test_device_that_is_not_there(wine_guest: WineGuest, name: str) -> None:
    done = wine_guest.kshsctl("device", name)
    assert done.exit_code == FAILED, done
    assert "no device has the hardware id" in done.json["error"]


def test_a_failed_installation_is_an_error_with_its_json(wine_guest: WineGuest) -> None:
    with pytest.raises(
        VerbError, match=r"deploy: install-device, exit code 1: check there is no INF"
    ) as caught:
        host_side(wine_guest).call("install-device", "C:\\no such.inf", "Root\\X", "x")
    assert caught.value.answer["step"] == "check"
    assert windows_deploy.explain(caught.value) is caught.value


# ---- setupapi-log ---------------------------------------------------------------------


@pytest.fixture
def log(wine_guest: WineGuest) -> Iterator[Path]:
    """Wine writes no such log: here it lies where Windows has it."""
    path = wine_guest.prefix / "drive_c" / "windows" / "inf" / "setupapi.dev.log"
    yield path
    path.unlink(missing_ok=True)


def test_a_guest_without_a_log(wine_guest: WineGuest) -> None:
    done = wine_guest.kshsctl("setupapi-log")
    assert done.exit_code == FAILED
    assert "no log of device installations" in done.json["error"]
    assert setupapi_log.mark(host_side(wine_guest)).length == 0
    with pytest.raises(DeployError, match="setupapi-log, exit code 1"):
        setupapi_log.since(host_side(wine_guest), setupapi_log.Mark(0))


def test_the_log_of_before_nt_6(wine_guest: WineGuest) -> None:
    old = wine_guest.prefix / "drive_c" / "windows" / "setupapi.log"
    old.write_bytes(b"[2026/11/23 00:10:54 1.1]\r\n")
    try:
        assert (
            setupapi_log.since(host_side(wine_guest), setupapi_log.Mark(1)) == "2026/11/23 00:10:54 1.1]\r\n"
        )
    finally:
        old.unlink()


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8-sig", "utf-16"])
def test_sections_since_the_mark_through_the_real_verb(
    wine_guest: WineGuest, log: Path, encoding: str
) -> None:
    theirs = section("Device Install - USB\\Gerät", *["     usb: x" * 20] * 1000)
    ours = section(f"Device Install - {HARDWARE_ID}", "!!!  ndv: Gerät abgelehnt", status="FAILURE(0x1)")
    log.write_bytes(theirs.encode(encoding))
    guest = host_side(wine_guest)
    begin = setupapi_log.mark(guest)
    assert begin.length == log.stat().st_size
    with log.open("ab") as file:
        file.write((theirs + ours).encode("utf-16-le" if encoding == "utf-16" else encoding))
    text = setupapi_log.about(setupapi_log.since(guest, begin), [HARDWARE_ID])
    assert text.splitlines() == ours.strip().splitlines()
    assert setupapi_log.last_words(text) == ["!!! ndv: Gerät abgelehnt", "<<< [Exit status: FAILURE(0x1)]"]


def test_every_byte_and_every_piece(wine_guest: WineGuest, log: Path) -> None:
    data = random.Random(4).randbytes(3 * 32768 + 1)
    log.write_bytes(data)
    text = setupapi_log.since(host_side(wine_guest), setupapi_log.Mark(0))
    assert text == setupapi_log.decode(data, data[:4])


@pytest.mark.parametrize("offset", ["-1", "x", "", "0x10", "9" * 19])
def test_an_offset_that_is_none(wine_guest: WineGuest, offset: str) -> None:
    assert wine_guest.kshsctl("setupapi-log", offset).exit_code == USAGE


@pytest.mark.parametrize(("size", "offset"), [(0, 0), (0, 7), (5, 5), (5, 10**17)])
def test_behind_the_end_there_is_nothing(wine_guest: WineGuest, log: Path, size: int, offset: int) -> None:
    log.write_bytes(b"x" * size)
    answer = wine_guest.must("setupapi-log", str(offset))
    assert (answer["length"], answer["data"]) == (size, "")


# ---- certificates ---------------------------------------------------------------------


def test_certificates_are_read_back_from_both_stores(
    bare_guest: WineGuest, build: drivers.build.Build
) -> None:
    files = [bare_guest.put(file) for file in build.avshs.certificates]
    answer = bare_guest.must("install-cert", *files)
    windows_deploy.check_certificates(answer)
    assert [entry["stores"] for entry in answer["certificates"]] == [
        ["Root", "TrustedPublisher"],
        ["TrustedPublisher"],
    ]


# ---- Driver Verifier --------------------------------------------------------------------

BOXES = "".join(
    f"    [{'X' if 0x10001 & 1 << bit else ' '}] 0x{1 << bit:08x} Something.\n" for bit in range(26)
)
SETTINGS = f"Verifier Flags: 0x00010001\n\n{BOXES}\n  Verified Drivers:\n\n    AVSHS.sys\n    ksclient.sys\n"
QUERY = (
    "Time Stamp: 11/23/2026 00:10:54.123\n\nVerifier Flags: 0x00010001\n\n" + BOXES + "\n"
    "MODULE: ksclient.sys (load: 2 / unload: 1)\n\n  Pool Allocation Statistics:\n\n"
    "MODULE: avshs.sys (load: 1 / unload: 0)\n"
)


@pytest.fixture(scope="module")
def _verified(
    build: drivers.build.Build, bare_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[WineGuest, StandIns]]:
    with copy_of(bare_template) as prefix:
        guest = WineGuest(prefix, build.agent)
        standins = StandIns(prefix, build_standin(tmp_path_factory.mktemp("standin")))
        # Beside the agent it is found before any other; Windows has it in system32.
        shutil.copyfile(standins.home / "bin" / "verifier.exe", guest.folder / "verifier.exe")
        guest.hold()
        try:
            yield guest, standins
        finally:
            guest.stop()


@pytest.fixture
def verified(_verified: tuple[WineGuest, StandIns]) -> Iterator[tuple[WineGuest, StandIns]]:
    guest, standins = _verified
    for arguments in (
        ("VerifyDriverLevel", "/t", "REG_DWORD", "/d", "0x10001"),
        ("VerifyDrivers", "/t", "REG_SZ", "/d", "avshs.sys ksclient.sys"),
    ):
        assert guest.run("reg", "add", MEMORY, "/v", *arguments, "/f").exit_code == 0
    standins.reset()
    yield guest, standins
    for name in ("VerifyDriverLevel", "VerifyDrivers"):
        guest.run("reg", "delete", MEMORY, "/v", name, "/f")


def test_info_says_what_verifier_is_set_to_and_what_it_watches(verified: tuple[WineGuest, StandIns]) -> None:
    guest, standins = verified
    standins.answer("verifier", 0, "/querysettings", SETTINGS)
    standins.answer("verifier", 0, "/query", QUERY)
    said = guest.must("info")
    unsaid = {"loads": None, "unloads": None}
    assert said["verifier"] == {
        "flags": 0x10001,
        "drivers": ["avshs.sys", "ksclient.sys"],
        "settings": {
            "flags": 0x10001,
            "drivers": [{"name": "avshs.sys", **unsaid}, {"name": "ksclient.sys", **unsaid}],
        },
        "active": {
            "flags": 0x10001,
            "drivers": [
                {"name": "ksclient.sys", "loads": 2, "unloads": 1},
                {"name": "avshs.sys", "loads": 1, "unloads": 0},
            ],
        },
    }
    asked = Verifier((1, 17, 34), ("avshs.sys", "ksclient.sys"), "lab")
    verifier.check_settings(said, asked)
    verifier.check_active(said, asked, ["avshs.sys", "ksclient.sys"])
    with pytest.raises(DeployError, match=r"does not watch other\.sys, only avshs\.sys, ksclient\.sys"):
        verifier.check_active(said, asked, ["other.sys"])
    assert [str(call) for call in standins.calls()] == ["verifier /querysettings", "verifier /query"]
    assert not list(guest.folder.glob("*.tmp")), "what verifier printed is gone"


def test_the_agent_says_the_same_in_its_stream(verified: tuple[WineGuest, StandIns]) -> None:
    guest, standins = verified
    standins.answer("verifier", 0, "/querysettings", SETTINGS)
    standins.answer("verifier", 0, "/query", QUERY)
    with agent_of(guest) as agent:
        record = agent.run("INFO")
        assert record.outcome == ABI.constants["KSHS_OUTCOME_DONE"]
        assert json.loads(record.data)["verifier"]["active"]["drivers"][1]["name"] == "avshs.sys"


def test_nobody_is_asked_where_nothing_is_set(wine_guest: WineGuest) -> None:
    assert wine_guest.must("info")["verifier"] == {
        "flags": 0, "drivers": [], "settings": None, "active": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "", "nothing\n", "0x", "[X]\n", "\x00\x00", "0x" + "f" * 40 + "\n",
        "Flags: 0x1\n" + "a.sys " * 3 + "x" * 90 + ".sys\n",
    ],
    ids=["nothing", "no flags", "cut", "box", "zeros", "no number", "long name"],
)  # fmt: skip
def test_what_is_no_answer_of_verifier_is_null(verified: tuple[WineGuest, StandIns], text: str) -> None:
    guest, standins = verified
    standins.answer("verifier", 0, "", text)
    said = guest.must("info")["verifier"]
    assert (said["settings"], said["active"]) == (None, None)


def test_numbers_that_are_no_loads_are_not_taken_for_them(verified: tuple[WineGuest, StandIns]) -> None:
    guest, standins = verified
    text = "0x1\na.sys (load: 7)\nb.sys 1 2\nc.sys (5 / 6\nd.sys (99999999999999999999 / 1)\ne.sys ("
    standins.answer("verifier", 0, "", text)
    drivers_said = guest.must("info")["verifier"]["active"]["drivers"]
    assert [(item["name"], item["loads"]) for item in drivers_said[:3]] == [
        ("a.sys", None), ("b.sys", None), ("c.sys", 5),
    ]  # fmt: skip
    assert drivers_said[3]["loads"] >= 10**8
    assert drivers_said[4]["loads"] is None


def test_a_guest_whose_verifier_exe_cannot_be_run(verified: tuple[WineGuest, StandIns]) -> None:
    guest, _ = verified
    program = guest.folder / "verifier.exe"
    kept = program.read_bytes()
    program.write_bytes(b"no program")
    try:
        said = guest.must("info")["verifier"]
        assert (said["flags"], said["settings"], said["active"]) == (0x10001, None, None)
    finally:
        program.write_bytes(kept)


# ---- all of it ------------------------------------------------------------------------------


class Pretender:
    """The shell of a guest that says it were Windows; every verb is run for real."""

    def __init__(self, guest: WineGuest, **device: Any) -> None:
        self.guest = guest
        self.device = device
        self.verbs: list[str] = []

    def put(self, files: Mapping[str, Path]) -> None:
        for name, path in files.items():
            target = self.guest.prefix / "drive_c" / name.removeprefix("C:\\").replace("\\", "/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copyfile(path, target)

    def wine(self, argv: list[str]) -> str:
        return "\0".join(argv)

    def run(self, command: str, timeout: float) -> Any:
        words = command.split("\0")
        self.verbs.append(words[1])
        done = self.guest.run(*words, timeout=timeout)
        assert done.stdout, f"{words}: {done}"
        said = done.json
        if words[1] == "info":
            said |= {"family": "windows", "test_signing": True, "secure_boot": False, "hvci": True}
        if words[1] == "device":
            said |= self.device
        return SimpleNamespace(
            exit_code=done.exit_code, stdout=json.dumps(said).encode(), stderr=done.stderr.encode()
        )


def test_the_whole_deployment_with_what_wine_cannot_say_filled_in(
    bare_guest: WineGuest, build: drivers.build.Build
) -> None:
    version = inf.load(build.avshs.inf).driver_version()
    shell: Any = Pretender(bare_guest, started=True, problem=0, version=version)
    info = deploy.deploy(shell, deploy.Kit(build, build.avshs, HARDWARE_ID, "avshs"))
    assert shell.verbs == [
        "info", "setupapi-log", "install-ks", "install-cert", "install-client", "install-device", "ping",
        "info", "device",
    ]  # fmt: skip
    assert info["client"]["loaded"]
    with agent_of(bare_guest) as agent:
        agent.open_filter()


def test_a_deployment_that_fails_keeps_what_was_written_about_it(
    bare_guest: WineGuest, build: drivers.build.Build
) -> None:
    log = bare_guest.prefix / "drive_c" / "windows" / "inf" / "setupapi.dev.log"
    log.write_text(section("Device Install - ROOT\\OLD", "!!!  old: before"))
    shell: Any = Pretender(bare_guest)
    honest = shell.run

    def run(command: str, timeout: float) -> Any:
        if "\0device\0" in command:
            with log.open("a") as file:
                title = f"Device Install - {HARDWARE_ID}"
                file.write(section(title, "!!!  dvi: not started", status="FAILURE(0x2)"))
        return honest(command, timeout)

    shell.run = run
    says = r"is not started; its last words: !!! dvi: not started \| .*FAILURE\(0x2\)"
    with pytest.raises(DeployError, match=says) as caught:
        deploy.deploy(shell, deploy.Kit(build, build.avshs, HARDWARE_ID, "avshs"))
    assert "old: before" not in caught.value.artefacts["setupapi.dev.log"]
