# SPDX-License-Identifier: Apache-2.0
"""Steps at the end of the set-up: the verifier, rest, and what is left."""

from __future__ import annotations

import shutil

import pytest

from tests.component import test_provisioning_steps
from tests.component.provision_guest import RUN_KEY, SECRETS
from tests.component.test_provisioning_steps import (
    REBOOT,
    WINLOGON,
    Steps,
    package,
)
from vm.windows import payload

pytestmark = pytest.mark.component

#: Fixtures of the tests beside these.
_machine = test_provisioning_steps._machine
whole = test_provisioning_steps.whole
steps = test_provisioning_steps.steps
no_sshd = test_provisioning_steps.no_sshd


@pytest.mark.parametrize(("code", "told"), [(0, REBOOT), (2, REBOOT), (1, 1)])
def test_verifier(steps: Steps, code: int, told: int) -> None:
    steps.standins.answer("verifier", code)
    assert steps.run("verifier").exit_code == told
    asked = "verifier /rc 1 2 4 5 6 8 9 12 17 18 34 /driver avshs.sys ksclient.sys"
    bootmode = "verifier /bootmode resetonbootfail"
    assert steps.calls() == ([asked, bootmode] if told == REBOOT else [asked])


SETTINGS = "Verifier Flags: 0x{flags:08x}\n\n{boxes}\n  Verified Drivers:\n\n    avshs.sys\n    {second}\n"
FLAGS = sum(1 << (number - 1) for number in payload.VERIFIER_CLASSES if number <= 32)


def settings(flags: int = FLAGS, second: str = "ksclient.sys") -> str:
    boxes = "".join(
        f"    [{'X' if flags & 1 << bit else ' '}] 0x{1 << bit:08x} Something.\n" for bit in range(26)
    )
    return SETTINGS.format(flags=flags, boxes=boxes, second=second)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (settings(), 0),
        (settings(FLAGS & ~0x10000), 1),  # class 17 is not in force
        (settings(second=""), 1),
        (settings(second="other.sys"), 1),
        ("Verifier Flags: 0x00000000\n\n  Verified Drivers: None\n", 1),  # silently off
        ("nothing\n", 1),
    ],
    ids=["as asked", "class missing", "driver missing", "other driver", "off", "no settings"],
)
def test_checked_compares_verifiers_settings(no_sshd: Steps, text: str, told: int) -> None:
    no_sshd.service("sshd")
    no_sshd.standins.answer("verifier", 0, "/querysettings", text)
    done = no_sshd.run("checked")
    assert done.exit_code == told, done
    assert text.splitlines()[0] in done.stdout, "the settings are in the log"


def test_checked_needs_a_running_server(no_sshd: Steps) -> None:
    done = no_sshd.run("checked")
    assert done.exit_code == 1
    assert "sshd cannot be opened" in done.stderr


# ---- the end --------------------------------------------------------------------------------


def test_settle(steps: Steps) -> None:
    done = steps.run("settle")
    assert done.exit_code == REBOOT, done
    assert '"settled":' in done.stdout


def test_finish_leaves_no_secret(steps: Steps) -> None:
    for name, data in (
        ("AutoAdminLogon", "1"),
        ("DefaultPassword", SECRETS.password),
        ("AutoLogonCount", "3"),
    ):
        steps.machine.put_value(WINLOGON, name, "REG_SZ", data)
    steps.machine.put_value(
        RUN_KEY, "kshs", "REG_SZ", "C:\\kshs\\kshsctl.exe supervise C:\\kshs\\provision.cmd"
    )
    answers = [
        steps.file(f"windows/{name}") for name in ("Panther/unattend.xml", "Panther/Unattend/unattend.xml")
    ]
    for file in answers:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(SECRETS.password)
    package(steps, "msi")
    done = steps.run("finish")
    assert done.exit_code == 0, done
    assert steps.values(WINLOGON, "AutoAdminLogon", "DefaultPassword", "AutoLogonCount") == ["0", None, None]
    assert steps.machine.value(RUN_KEY, "kshs") is None
    assert not any(file.exists() for file in answers)
    for file in steps.machine.kshs.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert SECRETS.host_key not in data, file
            assert SECRETS.password.encode() not in data, file
    assert not (steps.machine.kshs / "openssh").exists()
    assert steps.run("finish").exit_code == 0, "once more"


@pytest.mark.parametrize("step", ["time", "power", "crash", "updates", "defender", "hvci", "finish"])
def test_a_registry_that_refuses_stops(steps: Steps, step: str) -> None:
    """reg is real in all tests but this one, where it only refuses."""
    reg = steps.standins.home / "bin" / "reg.exe"
    shutil.copyfile(steps.standins.home / "bin" / "netsh.exe", reg)
    (steps.standins.home / "reg.answers").write_text("5\tadd\tERROR: Access is denied.\n")
    try:
        assert steps.run(step).exit_code == 5
        assert len(steps.calls("reg")) == 1, "nothing after the first refusal"
    finally:
        reg.unlink()
