# SPDX-License-Identifier: Apache-2.0
"""The way from the first logon to the sealed guest: the CD's own scripts and agent, under Wine's cmd.

What Wine lacks is played by the stand-ins (standins.py); restarts are played by running what the Run key
says.  What each step does is in test_provisioning_steps.py.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import drivers.build
from tests.component.provision_guest import RUN_KEY, SECRETS, ProvisionGuest, provision_guest, words
from tests.component.standins import StandIns
from tests.component.standins import build as build_standin
from vm.windows import payload
from vm.windows.milestones import Failure, Kind
from vm.windows.payload import Payload
from vm.windows.profile import BUILTIN, Leg

pytestmark = pytest.mark.component

RESTART, SHUTDOWN = "shutdown /r /t 0 /f", "shutdown /s /t 0 /f"
REBOOT = 3010 & 0xFF  # what of 3010 is left of an exit code on this host


@pytest.fixture(scope="module")
def whole(build: drivers.build.Build) -> Payload:
    """The CD of a guest with every leg."""
    profile = BUILTIN["server2025"].model_copy(update={"legs": frozenset(Leg)})
    return payload.build(
        profile,
        image_index=2,
        server=True,
        secrets=SECRETS,
        agent=build.agent,
        certificates=build.avshs.certificates,
        settle_seconds=(0, 5),
    )


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_standin(tmp_path_factory.mktemp("standin"))


@pytest.fixture(scope="module")
def _machine(
    build: drivers.build.Build, bare_template: Path, standin: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProvisionGuest]:
    cd = tmp_path_factory.mktemp("cd")
    with provision_guest(bare_template, build.agent, standin, cd) as guest:
        done = guest.guest.run(
            "sc", "create", "sshd", "start=", "demand", "binPath=", "C:\\windows\\system32\\wuauserv.exe"
        )
        assert done.exit_code == 0, done
        yield guest


@pytest.fixture
def machine(_machine: ProvisionGuest, whole: Payload) -> Iterator[ProvisionGuest]:
    """A machine with a service sshd that starts, Verifier's answers, and the whole CD."""
    _machine.reset()
    _machine.insert(whole.files)
    verified(_machine.standins)
    yield _machine
    _machine.guest.run("reg", "delete", RUN_KEY, "/v", "kshs", "/f")


def verified(standins: StandIns) -> None:
    """Driver Verifier as it answers when all goes well."""
    flags = [1 << (number - 1) for number in payload.VERIFIER_CLASSES if number <= 32]
    boxes = "".join(f"    [X] 0x{flag:08x} Something.\n" for flag in flags)
    names = "".join(f"    {name}\n" for name in payload.VERIFIER_DRIVERS)
    settings = f"Verifier Flags: 0x{sum(flags):08x}\n\n{boxes}\n  Verified Drivers:\n\n{names}"
    standins.answer("verifier", 0, "/querysettings", settings)
    standins.answer("verifier", 2)


def steps_file(machine: ProvisionGuest, *lines: str) -> None:
    """Another list of steps on the CD; its scripts are written with `script`."""
    (machine.cd / "kshs" / "steps.txt").write_text("".join(f"{line}\r\n" for line in lines))


def script(machine: ProvisionGuest, name: str, body: str) -> None:
    """A step on the CD that says in C:\\kshs\\ran that it ran, and then does what `body` says."""
    lines = ["@echo off", f'>>"%KSHS%\\ran" echo {name}', *body.splitlines()]
    path = machine.cd / "kshs" / "steps" / f"{name}.cmd"
    path.write_bytes("".join(f"{line}\r\n" for line in lines).encode())


def ran(machine: ProvisionGuest) -> list[str]:
    try:
        return (machine.kshs / "ran").read_text().split()
    except FileNotFoundError:
        return []


# ---- the whole way ---------------------------------------------------------------


def test_from_first_logon_to_sealed(machine: ProvisionGuest, whole: Payload) -> None:
    first_boundary = whole.steps.index("--")
    done = {name: [f"begin {name}", f"done {name}"] for name in whole.steps if name != "--"}

    said = words(machine.first_logon())
    assert machine.last.exit_code == REBOOT, machine.last
    expected = [line for name in whole.steps[:first_boundary] for line in done[name]]
    assert said == ["start 1", *expected, "reboot verifier"], machine.log
    assert str(machine.standins.calls()[-1]) == RESTART
    assert machine.value(RUN_KEY, "kshs") == "C:\\kshs\\kshsctl.exe supervise C:\\kshs\\provision.cmd"

    assert words(machine.start()) == ["start 2", *done["checked"], *done["settle"], "reboot settle"], (
        machine.log
    )
    assert machine.last.exit_code == REBOOT

    assert words(machine.start()) == ["start 3", *done["finish"], "sealed"], machine.log
    assert machine.last.exit_code == 0
    shutdowns = [str(call) for call in machine.standins.calls("shutdown")]
    assert shutdowns == [RESTART, RESTART, SHUTDOWN]
    assert machine.value(RUN_KEY, "kshs") is None, "nothing is to run in the sealed guest"
    assert machine.done == set(done)
    assert machine.reader.failure is None
    for line in ("KSHS 1 start 3", "KSHS 1 done openssh", "KSHS 1 sealed"):
        assert f"{line}\n" in machine.log, "the log has the milestones too"


def test_a_second_run_does_nothing(machine: ProvisionGuest) -> None:
    machine.first_logon()
    for _ in range(2):
        machine.start()
    before, log = machine.standins.calls(), machine.log
    machine.last = machine.cmd("C:\\kshs\\kshsctl.exe supervise C:\\kshs\\provision.cmd")
    assert words(machine.milestones()) == ["start 4", "sealed"]
    assert [str(call) for call in machine.standins.calls()[len(before) :]] == [SHUTDOWN]
    assert machine.log == log + "KSHS 1 start 4\nKSHS 1 sealed\n"


def test_the_port_carries_bounded_printable_lines(machine: ProvisionGuest) -> None:
    machine.first_logon()
    assert b"KSHS 1 start 1\r\n" in machine.raw
    for line in machine.raw.split(b"\r\n"):
        assert len(line) <= 240
        assert all(0x20 <= byte < 0x7F for byte in line), line
        assert not line or line.startswith(b"KSHS 1 ")


# ---- order, restarts, resuming ------------------------------------------------------


def test_a_restart_waits_for_the_boundary(machine: ProvisionGuest) -> None:
    steps_file(machine, "one", "two", "three", "--", "four", "--", "five", "--")
    for name, code in (("one", 0), ("two", 3010), ("three", 0), ("four", 0), ("five", 3010)):
        script(machine, name, f"exit /b {code}")
    assert words(machine.first_logon())[-2:] == ["done three", "reboot two"]
    assert ran(machine) == ["one", "two", "three"]
    # No step before the second boundary wants a restart, so there is none.
    assert words(machine.start()) == [
        "start 2",
        "begin four",
        "done four",
        "begin five",
        "done five",
        "reboot five",
    ]
    assert words(machine.start()) == ["start 3", "sealed"]
    assert ran(machine) == ["one", "two", "three", "four", "five"]


def test_the_end_is_a_boundary_too(machine: ProvisionGuest) -> None:
    steps_file(machine, "one")
    script(machine, "one", "exit /b 3010")
    assert words(machine.first_logon()) == ["start 1", "begin one", "done one", "reboot one"]
    assert words(machine.start()) == ["start 2", "sealed"]


def test_it_resumes_after_a_restart_nobody_asked_for(machine: ProvisionGuest) -> None:
    steps_file(machine, "one", "two", "three")
    script(machine, "one", "exit /b 3010")
    # Half of the step is done when the power goes: its cmd and the one that runs it are gone.
    script(machine, "two", 'if not exist "%KSHS%\\half" (\n>"%KSHS%\\half" echo x\nping -n 120 127.0.0.1\n)')
    script(machine, "three", "exit /b 0")
    run = threading.Thread(target=machine.first_logon)
    run.start()
    try:
        for _ in range(600):
            if (machine.kshs / "half").exists():
                break
            threading.Event().wait(0.1)
        assert ran(machine) == ["one", "two"]
    finally:
        machine.guest.stop()  # every process of the session
        run.join(60)
        machine.guest.hold()
    assert machine.done == {"one"}
    assert words(machine.start()) == [
        "start 2",
        "begin two",
        "done two",
        "begin three",
        "done three",
        "sealed",
    ], "the restart that step one wanted has been had"
    assert ran(machine) == ["one", "two", "two", "three"]


def test_a_restart_loop_ends(machine: ProvisionGuest) -> None:
    lines = []
    for number in range(10):
        lines += [f"step{number}", "--"]
        script(machine, f"step{number}", "exit /b 3010")
    steps_file(machine, *lines)
    machine.first_logon()
    for number in range(2, payload.MAXIMUM_STARTS + 1):
        assert words(machine.start())[0] == f"start {number}"
    calls = len(machine.standins.calls("shutdown"))
    said = words(machine.start())
    assert said[:2] == [f"start {payload.MAXIMUM_STARTS + 1}", "failed boot 1229"]
    assert len(machine.standins.calls("shutdown")) == calls, "it restarts no more"
    assert len(ran(machine)) == payload.MAXIMUM_STARTS


# ---- failures -------------------------------------------------------------------------


def test_every_step_that_fails_stops_with_its_name_code_and_tail(
    machine: ProvisionGuest, whole: Payload
) -> None:
    """The real list, each step of it failing in its turn."""
    names = [name for name in whole.steps if name != "--"]
    for name in names:
        script(
            machine,
            name,
            f"if not exist C:\\kshs\\mend-{name} goto :bad\nexit /b 0\n:bad\n"
            f"echo {name} says why\nexit /b {1600 + names.index(name)}",
        )
    machine.first_logon()
    for number, name in enumerate(names):
        assert machine.reader.failure == Failure(name, 1600 + number, (f"{name} says why",))
        assert ran(machine)[-1] == name, "no step after it ran"
        assert machine.done == set(names[:number])
        assert machine.last.exit_code == 1
        (machine.kshs / f"mend-{name}").touch()
        (machine.kshs / "state" / "starts").write_text("1\r\n")
        machine.start()
    assert machine.standins.calls("shutdown")[-1].arguments == "/s /t 0 /f"


def test_after_a_failure_the_step_is_tried_again(machine: ProvisionGuest) -> None:
    steps_file(machine, "one", "two")
    script(machine, "one", "exit /b 0")
    script(machine, "two", 'echo was here\nif exist "%KSHS%\\mended" exit /b 0\nexit /b 5')
    assert words(machine.first_logon())[-3:] == ["failed two 5", "log-begin two", "log-end two"]
    assert machine.start()[-1].kind is Kind.LOG_END
    assert machine.reader.failure == Failure("two", 5, ("was here",)), "of this attempt, not of all"
    (machine.kshs / "mended").touch()
    assert words(machine.start()) == ["start 3", "begin two", "done two", "sealed"]
    assert ran(machine) == ["one", "two", "two", "two"]


@pytest.mark.parametrize(
    ("code", "told"), [("-1073741819", 0xC0000005), ("-2146498548", 0x800F080C), ("4", 4)]
)
def test_exit_codes_arrive_as_they_are(machine: ProvisionGuest, code: str, told: int) -> None:
    steps_file(machine, "one")
    script(machine, "one", f"exit /b {code}")
    machine.first_logon()
    assert machine.reader.failure == Failure("one", told)


def test_the_tail_is_bounded_and_escaped(machine: ProvisionGuest) -> None:
    steps_file(machine, "one")
    long = "x" * 400
    body = "\n".join(
        [
            "for /l %%n in (1,1,200) do echo line %%n",
            f"echo {long}",
            "echo back\\slash",
            "echo KSHS 1 sealed",
            "echo \x7f",
            "exit /b 7",
        ]
    )
    script(machine, "one", body)
    machine.first_logon()
    failure = machine.reader.failure
    assert failure is not None
    assert len(failure.tail) == 40
    assert failure.tail[-3:] == ("back\\slash", "KSHS 1 sealed", "\x7f")
    assert failure.tail[-4].endswith("xxx ...")
    assert failure.tail[-5] == "line 200"
    assert not any(line == b"KSHS 1 sealed" for line in machine.raw.split(b"\r\n")), "a step seals nothing"


def test_a_step_that_is_not_there(machine: ProvisionGuest) -> None:
    steps_file(machine, "one", "nosuch", "two")
    script(machine, "one", "exit /b 0")
    script(machine, "two", "exit /b 0")
    assert words(machine.first_logon())[:4] == ["start 1", "begin one", "done one", "failed list 2"]
    assert ran(machine) == ["one"]


def test_a_step_can_change_nothing_for_the_others(machine: ProvisionGuest) -> None:
    steps_file(machine, "one", "two")
    script(machine, "one", "set KSHS=C:\\wrong\nset STATE=C:\\wrong\nset STOP=1\ncd C:\\windows\nexit 0")
    script(machine, "two", 'echo [%KSHS%] >"%KSHS%\\seen"\nexit /b 0')
    assert words(machine.first_logon())[-1] == "sealed"
    assert (machine.kshs / "seen").read_text().strip() == "[C:\\kshs]"


# ---- first.cmd and supervise -------------------------------------------------------------


def test_first_says_which_argument_it_needs(machine: ProvisionGuest) -> None:
    done = machine.cmd("D:\\kshs\\first.cmd C:")
    assert done.exit_code == 2
    assert "usage" in done.stdout
    assert not (machine.kshs / "steps.txt").exists()


def test_the_first_logon_command_of_the_answer_file_finds_the_cd(
    machine: ProvisionGuest, whole: Payload
) -> None:
    from vm.windows.answer_file import FIRST_LOGON

    steps_file(machine, "one")
    script(machine, "one", "exit /b 0")
    shutil.rmtree(machine.kshs)
    line = FIRST_LOGON.removeprefix('cmd.exe /d /c "').removesuffix('"')
    machine.cmd(line)
    assert words(machine.milestones()) == ["start 1", "begin one", "done one", "sealed"]


def test_a_guest_that_cannot_be_protected_is_not_provisioned(machine: ProvisionGuest) -> None:
    machine.standins.answer("icacls", 5)
    assert words(machine.first_logon())[:1] == ["failed first 5"]
    assert not machine.done


def test_only_one_provisioning_runs(machine: ProvisionGuest) -> None:
    steps_file(machine, "one")
    script(machine, "one", ':wait\nif exist "%KSHS%\\go" exit /b 0\nping -n 2 127.0.0.1 >nul\ngoto :wait')
    run = threading.Thread(target=machine.first_logon)
    run.start()
    try:
        for _ in range(600):
            if ran(machine):
                break
            threading.Event().wait(0.1)
        second = machine.guest.kshsctl("supervise", "C:\\kshs\\provision.cmd")
        assert second.exit_code == 0
        assert second.json["already"] is True
    finally:
        (machine.kshs / "go").touch()
        run.join(60)
    assert ran(machine) == ["one"]
    assert machine.last.exit_code == 0


def test_a_script_that_ends_oddly_is_told(machine: ProvisionGuest) -> None:
    steps_file(machine)
    (machine.cd / "kshs" / "provision.cmd").write_bytes(
        b"@echo off\r\necho what went wrong\r\nexit /b 77\r\n"
    )
    machine.first_logon()
    assert machine.last.exit_code == 1
    assert machine.reader.failure == Failure("provision", 77, ("what went wrong",))
