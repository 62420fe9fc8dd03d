# SPDX-License-Identifier: Apache-2.0
"""The state machine against a machine that is played: every way in which an attempt can end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.vm.windows.discs import Image, make_disc, make_wim
from vm.accel import Accelerator
from vm.config import VmConfig
from vm.errors import InputError, VmError
from vm.windows import evidence, plan, sealing, strategy, turn_off
from vm.windows.failures import ProvisionError
from vm.windows.profile import WindowsProfile
from vm.windows.state import State
from vm.windows.strategy import Options, provision

LINE = "\r\n\r\n{}\r\n"
IMAGES = (Image("Server"),)


class PlayedMachine:
    """A machine whose every look from outside (one a poll) is the next of a script's lines."""

    script: list[str]
    made: list[PlayedMachine]

    def __init__(self, _hv: object, hardware: Any, folder: Path, *, incoming: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.hardware = hardware
        self.incoming = incoming
        self.port = 0
        self.placement = SimpleNamespace(serial=folder / "com1.log", debug_console=folder / "debugcon.log")
        self.placement.serial.write_bytes(b"")
        self.placement.debug_console.write_bytes(b"firmware\n")
        self.reboots = 0
        self.shut_down = False
        self.running: list[str] = []
        self.keys = 0
        self.loaded: bytes | None = None
        self.ended_by_us = False
        self._ended: str | None = None
        events = SimpleNamespace(crashed=False, describe=lambda: "the guest crashed (0x7e)")
        self.domain = SimpleNamespace(events=events, screenshot=self._screenshot)
        PlayedMachine.made.append(self)

    def _screenshot(self, path: Path) -> bool:
        path.write_bytes(b"\x89PNG")
        return True

    def __enter__(self) -> PlayedMachine:
        return self

    def __exit__(self, *_: object) -> None:
        self.ended_by_us = True

    def load(self, source: Path) -> None:
        self.loaded = source.read_bytes()

    def save(self, target: Path) -> None:
        target.write_bytes(b"memory")

    def resume(self) -> None:
        pass

    def press_key(self) -> None:
        self.keys += 1

    @property
    def ended(self) -> str | None:
        self._step()
        return self._ended

    def _step(self) -> None:
        if not PlayedMachine.script or self._ended is not None:
            return
        word = PlayedMachine.script.pop(0)
        match word.split(":", 1):
            case ["reboot"]:
                self.reboots += 1
            case ["say", text]:
                with self.placement.serial.open("a") as port:
                    port.write(LINE.format(f"KSHS 1 {text}"))
            case ["torn", text]:
                with self.placement.serial.open("a") as port:
                    port.write(text)
            case ["off"]:
                self._ended, self.shut_down = "the guest shut down", True
            case ["killed"]:
                self._ended = "QEMU ended by itself"
            case ["crash"]:
                self.domain.events.crashed = True
            case ["ctrl-c"]:
                raise KeyboardInterrupt
            case _:
                assert word == "-", word


FIRST = ["-", "reboot", "-"]
GOOD = [
    *FIRST,
    "say:start 1",
    "say:begin agent",
    "say:done agent",
    "reboot",
    "say:start 2",
    "say:sealed",
    "off",
]


class Bench:
    def __init__(self, tmp_path: Path, what: plan.Plan) -> None:
        self.config = VmConfig(cache_dir=tmp_path / "cache")
        self.hv: Any = SimpleNamespace(
            config=self.config, accelerator=Accelerator("kvm", "played"), qemu_version="7.2"
        )
        self.what = what
        self.said: list[str] = []
        self.work = self.config.cache_dir / "windows" / "lab.work"

    def step(self, text: str, fraction: float | None = None) -> None:
        self.said.append(text)

    def make(self, script: list[str], **options: Any) -> Any:
        PlayedMachine.script = list(script)
        PlayedMachine.made = []
        return provision(self.hv, self.what, Options(**options), self)

    def fails(self, script: list[str], **options: Any) -> tuple[str, Path, dict[str, Any]]:
        with pytest.raises(ProvisionError) as failed:
            self.make(script, **options)
        state = json.loads((self.work / "state.json").read_text())
        assert all(machine.ended_by_us for machine in PlayedMachine.made)
        return str(failed.value), Path(state["failure"]["evidence"]), state


@pytest.fixture(scope="module")
def what(tmp_path_factory: pytest.TempPathFactory) -> plan.Plan:
    folder = tmp_path_factory.mktemp("plan")
    iso = make_disc(folder / "medium.iso", {"sources/install.wim": make_wim(folder, IMAGES)})
    agent = folder / "kshsctl.exe"
    agent.write_bytes(b"MZ")
    profile = WindowsProfile(name="lab", edition="ServerStandardEval", firmware="bios", evaluation_days=180)
    from vm.windows.media import digest

    return plan.make(plan.Request(profile, iso, agent, sha256=digest(iso)))


@pytest.fixture
def bench(tmp_path: Path, what: plan.Plan, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(strategy, "Machine", PlayedMachine)
    monkeypatch.setattr(strategy, "_POLL", 0.001)
    monkeypatch.setattr(strategy, "_TAIL_SECONDS", 0.2)
    monkeypatch.setattr(evidence, "_REACH_SECONDS", 0.2)  # nobody plays the guest's SSH server
    monkeypatch.setattr(turn_off, "_REACH_SECONDS", 0.2)

    @contextmanager
    def trial(hv: Any, _plan: Any, layout: plan.Layout, folder: Path) -> Iterator[PlayedMachine]:
        with PlayedMachine(hv, SimpleNamespace(cds=()), folder) as machine:
            yield machine

    monkeypatch.setattr(sealing, "trial", trial)
    answer = sealing.Answer("windows", {"test_signing": True})
    monkeypatch.setattr(sealing, "ask", lambda *_: answer)
    yield Bench(tmp_path, what)


def test_the_way_to_the_sealed_image(bench: Bench) -> None:
    image = bench.make(GOOD)
    states = [text for text in bench.said if text.startswith("lab: ")]
    order = [state for state in State if any(text.startswith(f"lab: {state}") for text in states)]
    assert order == [
        State.MEDIA_CHECKED, State.INSTALLING, State.FIRST_BOOT, State.PROVISIONING, State.SETTLED,
    ]  # fmt: skip
    assert "lab: provisioning, agent" in states
    assert PlayedMachine.made[0].keys > 0
    assert (image.family, image.digest) == ("windows", bench.what.digest)
    assert image.manifest["evaluation_days"] == 180
    assert image.manifest["disk_sha256"]
    assert not bench.work.exists()
    again = bench.make(["killed"])
    assert again.digest == image.digest
    assert PlayedMachine.made == [], "what is sealed is not made again"


@pytest.mark.parametrize(
    ("script", "state", "message"),
    [
        (["killed"], "installing", r"ended before the guest was ready \(QEMU ended by itself\)"),
        ([*FIRST, "off"], "first boot", "ended before the guest was ready"),
        ([*FIRST, "crash"], "first boot", r"crashed: the guest crashed \(0x7e\)"),
        (["-", *["reboot"] * 7], "first boot", r"restarts over and over \(7 times"),
        ([*FIRST, "say:start 1", *["reboot"] * 16], "provisioning", r"restarts over and over \(17 times"),
        (
            [*FIRST, "say:start 1", "say:failed openssh 1060", "say:log-begin openssh", "say:log no sshd",
             "say:log-end openssh"],
            "provisioning",
            "step openssh failed with exit code 1060: no sshd",
        ),
        (
            [*FIRST, "say:start 1", "say:failed boot 1229"],
            "provisioning",
            "step boot failed with exit code 1229",
        ),
    ],
)  # fmt: skip
def test_failures(bench: Bench, script: list[str], state: str, message: str) -> None:
    import re

    line, evidence, record = bench.fails(script)
    assert re.search(message, line), line
    assert record["failure"]["state"] == state
    assert "--resume" in line and str(evidence) in line
    names = {path.name for path in evidence.iterdir()}
    assert {"reason.txt", "com1.log", "debugcon.log"} <= names
    assert not (bench.config.cache_dir / "windows/lab").exists()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("KSHS 2 begin agent", "no such line in version 1"),
        ("KSHS 1 begin", "1 words after begin are expected"),
        ("KSHS 1 log out of place", "a line of a log outside of one"),
        ("KSHS 1 done agent\x1b[2J", "not printable ASCII"),
    ],
)
def test_a_milestone_that_is_none_is_a_failure_like_any_other(bench: Bench, line: str, says: str) -> None:
    said, evidence, record = bench.fails([*FIRST, "say:start 1", f"torn:\r\n{line}\r\n", "-"])
    assert says in said and said.isprintable()
    assert record["failure"]["state"] == "provisioning" and says in record["failure"]["reason"]
    assert (evidence / "screenshot.png").exists(), "seen while the machine still ran"
    assert "MilestoneError" in (evidence / "traceback.txt").read_text()
    bench.make(["say:start 2", "say:sealed", "off"], resume=True)


ODD = (
    VmError("libvirt says no", hint="start it"),
    OSError(28, "No space left"),
    ValueError("a bug"),
    RecursionError(),
)


PLACES = {
    "plan.write": "absent",
    "tools.run": "media checked",
    "Machine": "media checked",
    "Machine.resume": "media checked",
    "Machine.press_key": "installing",
    "Serial.new": "installing",
    "sealing.trial": "settled",
    "sealing.ask": "settled",
    "sealing.seal": "settled",
}


@pytest.mark.parametrize(
    ("place", "state", "error"),
    [
        *((place, state, ODD[number % len(ODD)]) for number, (place, state) in enumerate(PLACES.items())),
        *(("Serial.new", "installing", error) for error in ODD),
    ],
)
def test_whatever_goes_wrong_is_on_record_and_can_be_resumed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, place: str, state: str, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise error

    owner, name = {
        "plan.write": (plan, "write"),
        "tools.run": (strategy, "run"),
        "Machine": (strategy, "Machine"),
        "Machine.resume": (PlayedMachine, "resume"),
        "Machine.press_key": (PlayedMachine, "press_key"),
        "Serial.new": (strategy.Serial, "new"),
        "sealing.trial": (sealing, "trial"),
        "sealing.ask": (sealing, "ask"),
        "sealing.seal": (sealing, "seal"),
    }[place]
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, fail)
        said, evidence, record = bench.fails(GOOD)
    assert record["failure"]["state"] == record["state"] == state
    assert str(error) in said
    goes_on = "media checked" if state == "installing" else state
    assert f"--resume to go on from {goes_on}" in said
    assert record["failure"]["reason"] in (evidence / "reason.txt").read_text()
    assert type(error).__name__ in (evidence / "traceback.txt").read_text()
    if isinstance(error, ValueError | RecursionError):
        assert f"unexpected error: {type(error).__name__}" in said
    script = [] if state == "settled" else GOOD
    assert bench.make(script, resume=True).digest == bench.what.digest


def test_what_the_user_gave_stays_the_users_to_mend(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Any:
        raise InputError("cannot be read", "tool.exe")

    with monkeypatch.context() as patched, pytest.raises(InputError, match=r"^tool\.exe: cannot be read$"):
        patched.setattr(strategy.Serial, "new", fail)
        bench.make(GOOD)
    record = json.loads((bench.work / "state.json").read_text())
    assert record["failure"]["reason"] == "tool.exe: cannot be read"
    assert len(list((bench.work / "evidence").iterdir())) == 1
    bench.make(GOOD, resume=True)


def test_a_full_disk_hides_no_failure(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    ended: list[str] = []

    def look(machine: PlayedMachine) -> str | None:
        monkeypatch.setattr(strategy.StateFile, "save", full)
        monkeypatch.setattr(evidence, "private_directory", full)
        ended.append("seen")
        return "QEMU ended by itself"

    monkeypatch.setattr(PlayedMachine, "ended", property(look))
    with pytest.raises(ProvisionError, match="QEMU ended by itself"):
        bench.make(GOOD)
    assert ended and any("could not be put on record" in text for text in bench.said)


def test_an_interruption_stays_one_when_the_machine_cannot_be_saved(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise VmError("no room")

    monkeypatch.setattr(PlayedMachine, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        bench.make([*FIRST, "ctrl-c"])
    assert any("could not be saved: no room" in text for text in bench.said)
    assert json.loads((bench.work / "state.json").read_text())["saved"] is False


def test_a_damaged_image_can_be_made_anew(bench: Bench) -> None:
    image = bench.make(GOOD)
    (image.path / "manifest.json").write_text('{"digest": 5}')
    with pytest.raises(VmError, match=r"cannot be used: digest: .* kshs clean --guest lab"):
        bench.make(GOOD)
    assert bench.make(GOOD, rebuild=True).digest == bench.what.digest


@pytest.mark.parametrize(
    ("script", "state"),
    [([], State.INSTALLING), (FIRST, State.FIRST_BOOT), ([*FIRST, "say:start 1"], State.PROVISIONING)],
)
def test_every_state_has_its_limit(bench: Bench, script: list[str], state: State) -> None:
    line, evidence, record = bench.fails(script, limits={state: 0.3})
    assert "took longer than" in line
    assert record["failure"]["state"] == state
    assert (evidence / "screenshot.png").read_bytes() == b"\x89PNG"


def test_no_answer_over_ssh_leaves_a_settled_guest(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object) -> sealing.Answer:
        raise sealing.NoAnswerError("no SSH server within 1 s: the guest's network does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(sealing, "ask", silent)
        line, evidence, record = bench.fails(GOOD)
    assert (evidence / "screenshot.png").exists(), "seen before the machine was ended"
    assert "network does not answer" in line
    assert record["state"] == "settled"
    bench.make([], resume=True)
    assert len(PlayedMachine.made) == 1, "nothing is installed again"
