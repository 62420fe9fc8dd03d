# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drivers import hvci
from harness.errors import DeployError, UsageError
from harness.guests.deploy import Kit, deploy
from harness.guests.verifier import Verifier
from harness.guests.windows_deploy import LOG_NAME, problem_text
from tests.harness import fake_windows
from tests.harness.fake_windows import FakeWindows, section, sha
from vm.errors import GuestLost

HARDWARE_ID = r"Root\KshsAvshs"
INSTALLED = ["info", "install-cert", "install-client", "install-device", "ping", "info", "device"]


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return fake_windows.kit(tmp_path)


def run(guest: FakeWindows) -> dict[str, Any]:
    return deploy(guest, guest.kit)  # type: ignore[arg-type]


def bend(verb: str, code: int = 0, stderr: bytes = b"", **changed: Any) -> Any:
    return lambda seen, honest: (code, {**honest, **changed}, stderr) if seen == verb else None


# ---- what is done, and what is refused before -------------------------------------


def test_everything_in_order_and_nothing_of_wine(kit: Kit) -> None:
    guest = FakeWindows(kit)
    info = run(guest)
    assert guest.commands == INSTALLED
    assert info["client"]["loaded"]


def test_calls_that_only_the_agent_misses_are_no_reason(kit: Kit) -> None:
    guest = FakeWindows(kit)
    assert guest.info()["missing_apis"]
    run(guest)


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({"test_signing": False}, r"test signing is off.*bcdedit /set testsigning on"),
        ({"test_signing": False, "secure_boot": True}, r"Secure Boot is on.*firmware"),
        ({"secure_boot": True}, r"Secure Boot is on"),
    ],
)
def test_a_guest_that_would_not_load_the_drivers_is_refused_before_anything_is_installed(
    kit: Kit, policy: dict[str, Any], says: str
) -> None:
    guest = FakeWindows(kit)
    guest.policy |= policy
    with pytest.raises(DeployError, match=says):
        run(guest)
    assert guest.commands == ["info"]


def test_what_the_guest_cannot_say_is_no_reason(kit: Kit) -> None:
    guest = FakeWindows(kit, policy={"test_signing": None, "secure_boot": None, "hvci": None})
    run(guest)


def test_memory_integrity_refuses_what_it_would_not_load(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def problems(path: Path) -> list[str]:
        asked.append(path.name)
        return ["its section INIT is writable and executable"] if path.name == "avshs.sys" else []

    monkeypatch.setattr(hvci, "problems", problems)
    guest = FakeWindows(kit)
    run(guest)
    assert not asked, "without HVCI nobody asks"
    guest = FakeWindows(kit)
    guest.policy["hvci"] = True
    with pytest.raises(UsageError, match=r"avshs\.sys: .*HVCI.*section INIT.*implement-hvci-compatible-code"):
        run(guest)
    assert asked == ["ksclient.sys", "avshs.sys"]
    assert guest.commands == ["info"]


def test_memory_integrity_alone_is_no_reason(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hvci, "problems", lambda path: [])
    guest = FakeWindows(kit)
    guest.policy["hvci"] = True
    run(guest)


# ---- what is read back --------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            bend("device", service="usbvideo"),
            r"bound the service usbvideo.* is avshs \(oem7\.inf\)",
        ),
        (bend("device", service=""), r"bound the service none"),
        (
            bend("device", version="1.2.0.3"),
            r"version 1\.2\.0\.3 \(oem7\.inf\), avshs\.inf is .*1\.2\.0\.4",
        ),
        (bend("device", version=None), r"bound version unknown"),
        (bend("device", inf=None), r"does not say which INF"),
        (bend("device", started=False), r"is not started"),
        (bend("device", started=None), r"is not started"),
        (bend("device", problem=10), r"problem code 10 CM_PROB_FAILED_START: its driver refused"),
        (bend("install-cert", certificates=[{"stores": ["Root"]}]), r"not in TrustedPublisher"),
        (bend("install-cert", certificates=[{"stores": ["TrustedPublisher"]}]), r"none .* is a root"),
        (bend("install-cert", certificates=[]), r"not in TrustedPublisher"),
    ],
)
def test_what_windows_bound_must_be_the_package(kit: Kit, change: Any, says: str) -> None:
    with pytest.raises(DeployError, match=says):
        run(FakeWindows(kit, bend=change))


def test_versions_are_compared_as_numbers(kit: Kit) -> None:
    run(FakeWindows(kit, bend=bend("device", version="1.02.0.4")))


@pytest.mark.parametrize("written", ["odd", "1.2.3.4.5", "1.\N{SUPERSCRIPT TWO}", ""])
def test_a_version_that_is_none_has_to_be_the_same_text(kit: Kit, written: str) -> None:
    text = fake_windows.INF.replace("1.2.0.4", f'"{written}"')
    kit.package.inf.write_text(text, encoding="utf-8-sig")
    run(FakeWindows(kit, bend=bend("device", version=written)))
    with pytest.raises(DeployError, match="Windows bound version unknown"):
        run(FakeWindows(kit, bend=bend("device", version=None)))


def test_another_file_is_told_with_both_digests(kit: Kit) -> None:
    def other(verb: str, honest: dict[str, Any]) -> Any:
        if verb != "info" or not honest["drivers"]:
            return None
        client, target = honest["drivers"]
        return 0, {**honest, "drivers": [client, {**target, "sha256": "ab" * 32}]}, b""

    with pytest.raises(DeployError) as caught:
        run(FakeWindows(kit, bend=other))
    said = str(caught.value)
    assert rf"C:\x\avshs.sys has sha256 {'ab' * 32}, sent was {sha(kit.package.sys[0])}" in said


# ---- why Windows refused --------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "says"),
    [
        ({"problem": 0}, None),
        ({"problem": None}, None),
        ({}, None),
        (
            {"problem": 52, "problem_status": "0xc0000428"},
            "problem code 52 CM_PROB_UNSIGNED_DRIVER, STATUS_INVALID_IMAGE_HASH (0xC0000428):"
            " Windows does not accept the driver's signature",
        ),
        (
            {"problem": 39, "problem_status": "0xc0000263"},
            "problem code 39 CM_PROB_DRIVER_FAILED_LOAD, STATUS_DRIVER_ENTRYPOINT_NOT_FOUND (0xC0000263):"
            " the driver could not be loaded: it imports what this system does not have",
        ),
        ({"problem": 39, "problem_status": "0x0"}, "problem code 39 CM_PROB_DRIVER_FAILED_LOAD: the"),
        ({"problem": 99}, "problem code 99: see Device Manager error messages"),
    ],
)
def test_problem_codes_have_their_reason(device: dict[str, Any], says: str | None) -> None:
    text = problem_text(device)
    assert text is None if says is None else text is not None and text.startswith(says)


THEIRS = section(r"Device Install - USB\VID_1234", "!!!  usb: nothing to do with us")
OURS = section(
    rf"Device Install (UpdateDriverForPlugAndPlayDevices) - {HARDWARE_ID.upper()}",
    "     dvi: {Build Driver List} 00:10:54.200",
    "!    sig: no catalogue was found in the cache",
    "!!!  sto: Failed to verify the catalogue. Error = 0x800B0109",
    "!!!  ndv: Driver package import failed.",
    status="FAILURE(0x800b0109)",
)
STAGED = section(
    r"SetupCopyOEMInf - C:\kshs\target\avshs.inf", "     inf: copied", status="FAILURE(0x800b0109)"
)
INSTANCE = section(r"Device Install (Hardware initiated) - ROOT\MEDIA\0007", "     ndv: by its instance")
FAILED = bend(
    "install-device", 1, b"kshsctl: not installed\n", step="update-driver", error="was not installed",
    detail="Win32 error 0x800b0109", problem=52, problem_status="0xc0000428", instance=r"Root\MEDIA\0007",
)  # fmt: skip


@pytest.mark.parametrize("encoding", ["ascii", "utf-8-sig", "utf-16"])
def test_setupapis_words_about_this_device_since_the_deployment_began(kit: Kit, encoding: str) -> None:
    before = (THEIRS + OURS.replace("ndv", "old")).encode(encoding)
    added = (THEIRS + STAGED + INSTANCE + OURS).encode("utf-16-le" if encoding == "utf-16" else "utf-8")
    guest = FakeWindows(kit, log=before, writes=added, bend=FAILED)
    with pytest.raises(DeployError) as caught:
        run(guest)
    kept = caught.value.artefacts[LOG_NAME]
    assert "Failed to verify" in kept
    assert "inf: copied" in kept
    assert "by its instance" in kept
    assert "nothing to do with us" not in kept
    assert "old:" not in kept, "what was there before"
    said = str(caught.value)
    assert said.startswith("deploy: install-device, exit code 1: update-driver was not installed")
    assert "problem code 52 CM_PROB_UNSIGNED_DRIVER" in said
    assert "Failed to verify the catalogue. Error = 0x800B0109" in said
    assert "Exit status: FAILURE(0x800b0109)" in said
    assert "\n" not in said


def test_a_log_of_megabytes_is_read_at_its_end(kit: Kit) -> None:
    noise = section(r"Device Install - USB\VID_1234", *["     usb: " + "x" * 300] * 100).encode()
    guest = FakeWindows(kit, log=b"old\r\n", writes=noise * 100 + OURS.encode(), bend=FAILED)
    asked = []
    honest = guest.verb
    guest.verb = lambda verb, arguments: asked.append(verb) or honest(verb, arguments)  # type: ignore[func-returns-value,method-assign]
    with pytest.raises(DeployError) as caught:
        run(guest)
    assert caught.value.artefacts[LOG_NAME].replace("\n", "\r\n").strip() == OURS.strip()
    assert asked.count("setupapi-log") <= 2 + (1 << 20) // 32768


def test_a_log_that_began_anew_is_read_from_its_start(kit: Kit) -> None:
    guest = FakeWindows(kit, log=b"x" * 100_000, bend=FAILED)
    honest = guest.verb

    def rotates(verb: str, arguments: list[str]) -> dict[str, Any]:
        if verb == "install-device":
            guest.log = OURS.encode()
        return honest(verb, arguments)

    guest.verb = rotates  # type: ignore[method-assign]
    with pytest.raises(DeployError, match="Failed to verify the catalogue"):
        run(guest)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"keeps_log": False}, r"kshsctl: not installed \| \(the setupapi log could not be read: .*no log"),
        ({"log": b"old"}, r"kshsctl: not installed \| \(the setupapi log says nothing"),
    ],
)
def test_without_a_log_the_failure_is_still_told(kit: Kit, change: Mapping[str, Any], says: str) -> None:
    guest = FakeWindows(kit, bend=FAILED, **change)
    with pytest.raises(DeployError, match=says) as caught:
        run(guest)
    assert not caught.value.artefacts


def test_the_log_comes_with_a_mismatch_too(kit: Kit) -> None:
    guest = FakeWindows(kit, writes=OURS.encode(), bend=bend("device", version="9.9"))
    with pytest.raises(DeployError, match=r"bound version 9\.9") as caught:
        run(guest)
    assert "ndv:" in caught.value.artefacts[LOG_NAME]


def test_a_driver_that_takes_the_guest_along_is_still_no_verdict(kit: Kit) -> None:
    guest = FakeWindows(kit, log=b"x")
    honest = guest.verb

    def dies(verb: str, arguments: list[str]) -> dict[str, Any]:
        if verb in ("install-device", "setupapi-log") and "install-device" in guest.commands:
            raise GuestLost("the connection broke", "guest")
        return honest(verb, arguments)

    guest.verb = dies  # type: ignore[method-assign]
    says = r"the guest was lost while the driver was installed: the connection broke .*log could not be read"
    with pytest.raises(DeployError, match=says):
        run(guest)


# ---- Driver Verifier --------------------------------------------------------------------

ASKED = Verifier((1, 17, 34), ("ksclient.sys",), "lab")
FLAGS = 0x10001


@pytest.fixture
def watched(tmp_path: Path) -> FakeWindows:
    kit = fake_windows.kit(tmp_path, ASKED)
    return FakeWindows(kit, flags=FLAGS, settings=["ksclient.sys"], watched={"ksclient.sys": 0})


def test_the_targets_driver_is_put_under_verifier_before_it_is_loaded(watched: FakeWindows) -> None:
    info = run(watched)
    first = watched.commands.index("install-cert")
    assert watched.commands[1:first] == [
        "verifier /rc 1 17 34 /driver avshs.sys ksclient.sys",
        "verifier /bootmode resetonbootfail",
        "verifier /volatile /adddriver avshs.sys",
    ]
    assert info["verifier"]["settings"]["drivers"][0]["name"] == "avshs.sys"
    assert {item["name"]: item["loads"] for item in info["verifier"]["active"]["drivers"]} == {
        "ksclient.sys": 1,
        "avshs.sys": 1,
    }


def test_a_driver_of_the_profile_needs_no_more(tmp_path: Path) -> None:
    kit = fake_windows.kit(tmp_path, Verifier((1, 17), ("avshs.sys", "ksclient.sys"), "lab"))
    names = ["avshs.sys", "ksclient.sys"]
    guest = FakeWindows(kit, flags=FLAGS, settings=names, watched=dict.fromkeys(names, 0))
    run(guest)
    assert guest.commands == INSTALLED


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"flags": 1}, r"rule classes 17 .* not set \(flags 0x1, asked for 0x10001\)"),
        ({"settings": ["other.sys"]}, r"not set for ksclient\.sys but for other\.sys"),
        ({"flags": 0, "settings": []}, r"verifier leg \(classes 1 17 34\), and Driver Verifier is off"),
    ],
)
def test_settings_that_are_not_what_was_asked_for_are_refused(
    watched: FakeWindows, change: Mapping[str, Any], says: str
) -> None:
    for name, value in change.items():
        setattr(watched, name, value)
    with pytest.raises(DeployError, match=says):
        run(watched)
    assert watched.commands == ["info"]


def test_a_driver_that_verifier_does_not_take_is_refused(watched: FakeWindows) -> None:
    watched.takes_volatile = False
    says = r"adddriver avshs\.sys was refused .*\[guests\.lab\] verifier_drivers = .*provision lab --iso FILE"
    with pytest.raises(DeployError, match=says):
        run(watched)
    assert "install-device" not in watched.commands


def test_a_driver_that_verifier_never_saw_is_refused(watched: FakeWindows) -> None:
    watched.start = lambda service, path: watched.running.update({service: path})  # type: ignore[method-assign]
    with pytest.raises(DeployError, match=r"ksclient\.sys on its list and has not seen it loaded"):
        run(watched)


def test_the_leg_is_part_of_what_names_the_layer(tmp_path: Path) -> None:
    digests = {
        fake_windows.kit(tmp_path, asked).digest
        for asked in (None, ASKED, replace(ASKED, classes=(1,)), replace(ASKED, drivers=("x.sys",)))
    }
    assert len(digests) == 4
