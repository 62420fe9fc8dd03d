# SPDX-License-Identifier: Apache-2.0
"""Every verb of kshsctl: usage, exit codes, JSON, and what it did to the guest."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

import drivers.build
from tests.component.agent import ABI, USER, agent_of
from tests.component.conftest import HARDWARE_ID, install
from tests.component.wine import Completed, WineGuest

pytestmark = pytest.mark.component

DONE, FAILED, USAGE = 0, 1, 2

VERBS = [
    "serve",
    "hold",
    "abi",
    "info",
    "ping",
    "install-cert",
    "uninstall-cert",
    "install-ks",
    "install-client",
    "uninstall-client",
    "install-device",
    "uninstall-device",
    "install-crash-recorder",
    "crash",
    "threads",
    "modules",
    "device",
    "setupapi-log",
]


def assert_failed(done: Completed) -> None:
    """Exit 1, and JSON that says which step, what and why."""
    assert done.exit_code == FAILED, done
    assert {"step", "error", "detail"} <= done.json.keys(), done.stdout
    assert done.json["error"], done.stdout
    assert done.stderr.strip(), "nothing for people"


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


# ---- usage ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["SERVE"],
        [""],
        ["serve", "x"],
        ["hold", "x"],
        ["abi", "x"],
        ["ping", "x"],
        ["install-cert"],
        ["uninstall-cert"],
        ["install-ks"],
        ["install-ks", "a", "b"],
        ["install-client"],
        ["uninstall-client", "x"],
        ["install-device", "only.inf"],
        ["install-device", "a", "b", "c", "d"],
        ["uninstall-device"],
        ["device"],
        ["device", "a", "b"],
        ["setupapi-log", "1", "2"],
        ["install-crash-recorder", "x"],
        ["crash", "1"],
    ],
    ids=lambda arguments: " ".join(arguments) or "nothing",
)
def test_bad_usage_exits_2_and_changes_nothing(wine_guest: WineGuest, arguments: list[str]) -> None:
    done = wine_guest.kshsctl(*arguments)
    assert (done.exit_code, done.stdout) == (USAGE, ""), done
    assert "usage" in done.stderr


def test_usage_names_every_verb(wine_guest: WineGuest) -> None:
    stderr = wine_guest.kshsctl().stderr
    assert [verb for verb in VERBS if verb not in stderr] == []


# ---- failures -------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["install-ks", "C:\\no such\\ks.sys"],
        ["install-client", "C:\\no such\\ksclient.sys"],
        ["install-device", "C:\\no such\\x.inf", HARDWARE_ID],
        ["install-device", "C:\\kshs\\avshs.inf", "Root\\NotInThatInf"],
        ["install-cert", "C:\\no such.cer"],
        ["install-cert", "C:\\kshs\\avshs.inf"],
        ["crash", "999999", "0"],
        ["crash", "one", "two"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_exits_1_and_says_why(wine_guest: WineGuest, arguments: list[str]) -> None:
    before = wine_guest.must("info")
    assert_failed(wine_guest.kshsctl(*arguments))
    assert wine_guest.must("info") == before  # and the guest is as it was


def test_ping_without_a_client_says_how_to_get_one(bare_guest: WineGuest) -> None:
    done = bare_guest.kshsctl("ping")
    assert_failed(done)
    assert "install-client" in done.stderr


# ---- abi, info, hold --------------------------------------------------------------


def test_abi_is_that_of_the_header(wine_guest: WineGuest) -> None:
    done = wine_guest.kshsctl("abi")
    assert done.exit_code == DONE
    told = done.json
    assert told["abi"] == ABI.version
    assert told["pointer_size"] == 8
    assert told["handshake_size"] == 32
    assert told["layout"] == ABI.layout_text()


def test_info_of_a_guest_in_use(wine_guest: WineGuest, build: drivers.build.Build) -> None:
    info = wine_guest.must("info")
    assert info["agent"] == {"abi": ABI.version, "pointer_size": 8}
    assert info["family"] == "wine"
    assert info["wine"]["version"]
    assert info["kernel"]["arch"] == "x86_64"
    assert isinstance(info["kernel"]["build"], int)
    assert (info["ks"]["present"], info["ks"]["ours"]) == (True, True)
    assert info["ks"]["sha256"] == sha256(build.refks)
    assert info["ks"]["unimplemented_calls"] == []
    assert info["client"]["loaded"] is True
    assert info["client"]["abi"] == ABI.version
    found = {driver["service"]: driver for driver in info["drivers"]}
    assert found["avshs"]["state"] == "running"
    assert found["avshs"]["sha256"] == sha256(build.avshs.sys[0])
    assert found["KsHsClient"]["state"] == "running"
    assert found["KsHsClient"]["sha256"] == sha256(build.client)
    # Wine has neither; null says that it cannot say.
    assert info["test_signing"] is None
    assert info["secure_boot"] is None
    assert isinstance(info["missing_apis"], list)


def test_info_names_services_that_were_asked_for(wine_guest: WineGuest) -> None:
    info = wine_guest.must("info", "Winmgmt", "no_such_service")
    named = {driver["service"] for driver in info["drivers"]}
    assert "Winmgmt" in named


def test_info_of_a_bare_guest(bare_guest: WineGuest) -> None:
    info = bare_guest.must("info")
    assert info["ks"]["present"] is False
    assert info["ks"]["unimplemented_calls"] is None
    assert info["client"]["loaded"] is False


def test_hold_ends_with_its_input(bare_guest: WineGuest) -> None:
    channel = bare_guest.channel("hold")
    bare_guest.kshsctl("abi")
    assert channel.exit_code is None
    channel.end_of_input()
    assert channel.wait() == DONE


# ---- installation -------------------------------------------------------------------


def test_installation_is_idempotent_and_complete_and_can_be_undone(
    bare_guest: WineGuest, build: drivers.build.Build
) -> None:
    install(bare_guest, build)
    first = bare_guest.must("info")
    install(bare_guest, build)
    assert bare_guest.must("info") == first
    assert sha256(bare_guest.drivers / "ks.sys") == sha256(build.refks)
    assert sha256(bare_guest.drivers / "ksclient.sys") == sha256(build.client)
    assert bare_guest.must("ping")["abi"] == ABI.version

    bare_guest.must("uninstall-client")
    assert_failed(bare_guest.kshsctl("ping"))
    bare_guest.must("uninstall-client")  # done already is no failure
    removed = bare_guest.kshsctl("uninstall-device", HARDWARE_ID)
    assert removed.exit_code in (DONE, 3010), removed
    with pytest.raises(AssertionError, match="REFUSED"), agent_of(bare_guest) as agent:
        agent.open_filter(side=USER)  # its interface is gone
    assert bare_guest.kshsctl("uninstall-device", HARDWARE_ID).exit_code == DONE
    install(bare_guest, build)
    assert bare_guest.must("info") == first


def test_a_foreign_class_driver_is_left_alone(bare_guest: WineGuest, build: drivers.build.Build) -> None:
    foreign = bare_guest.drivers / "ks.sys"
    shutil.copyfile(build.avshs.sys[0], foreign)  # any driver that is not our reference class driver
    before = sha256(foreign)
    assert bare_guest.must("info")["ks"]["ours"] is False
    assert_failed(bare_guest.kshsctl("install-ks", bare_guest.put(build.refks, "new.sys")))
    assert sha256(foreign) == before


def test_an_older_class_driver_of_ours_is_replaced(bare_guest: WineGuest, build: drivers.build.Build) -> None:
    older = bare_guest.drivers / "ks.sys"
    older.write_bytes(build.refks.read_bytes() + b"another build")
    bare_guest.must("install-ks", bare_guest.put(build.refks, "new.sys"))
    assert sha256(older) == sha256(build.refks)


def test_certificates_go_where_windows_looks_for_them(
    bare_guest: WineGuest, build: drivers.build.Build
) -> None:
    files = [bare_guest.put(file) for file in build.avshs.certificates]
    prints = [hashlib.sha1(file.read_bytes()).hexdigest().upper() for file in build.avshs.certificates]

    def stored(store: str) -> str:
        key = f"HKLM\\Software\\Microsoft\\SystemCertificates\\{store}\\Certificates"
        return bare_guest.run("reg", "query", key).stdout.upper()

    bare_guest.must("install-cert", *files)
    bare_guest.must("install-cert", *files)
    assert prints[0] in stored("Root"), "the root is no trusted root"
    assert prints[1] not in stored("Root"), "a leaf is no root"
    assert all(found in stored("TrustedPublisher") for found in prints)
    bare_guest.must("uninstall-cert", *files)
    bare_guest.must("uninstall-cert", *files)
    assert not any(found in stored("Root") + stored("TrustedPublisher") for found in prints)


def test_the_crash_recorder_is_registered_once(bare_guest: WineGuest, build: drivers.build.Build) -> None:
    """The agent itself where there is nothing else; the program that starts sooner where it is there."""
    key = "HKLM\\Software\\Microsoft\\Windows NT\\CurrentVersion\\AeDebug"
    for name in ("kshsctl.exe", "kshsrec.exe"):
        assert bare_guest.must("install-crash-recorder")["changed"]
        assert not bare_guest.must("install-crash-recorder")["changed"]
        value = bare_guest.run("reg", "query", key, "/v", "Debugger").stdout
        assert f'{name}" crash %ld %ld' in value
        bare_guest.put(build.recorder)
