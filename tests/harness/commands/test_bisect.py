# SPDX-License-Identifier: Apache-2.0
"""``kshs bisect``: what it looks through, what it plays, what it says, and how it ends."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import cli, config
from harness.commands import bisect_candidates
from harness.errors import DeployError, HarnessError, UsageError
from harness.guests.package import LoadedTarget
from tests.harness.capsule.made import loaded_target
from tests.harness.fake_guest import OPS, Answer, FakeProvider, Simulation
from vm.errors import GuestLost

SCENARIO = """
schema = 1

[[scenario]]
id = "bridge.one"
title = "One request"
rule = "H6"
open = ["source"]
steps = [{ do = "handshake", on = "source", argument1 = 5 }]
"""
#: By a package's name: how it fails (a status), that it passes (None), or that it does not install.
Behaviour = Callable[[str], int | None]


class Lab:
    """Guests in which a package behaves as its folder's name says."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.providers: list[FakeProvider] = []
        self.asked: list[tuple[str, str]] = []

    def __call__(self, vm: Any, target: LoadedTarget, guest: str, **_: Any) -> FakeProvider:
        name = Path(target.target.package).name
        self.asked.append((name, guest))

        def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
            status = self._behaviour(name)
            if OPS[int(step.op)] != "REQUEST" or status is None:
                return None
            return simulation.request(step, data, status=status)

        self.providers.append(FakeProvider(bend=bend))
        return self.providers[-1]


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve packages, two with the package in a folder of its own, and what is none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("harness.guests.package.check_package", lambda target, file: None)
    loaded = loaded_target(tmp_path)
    (tmp_path / "kshs.toml").write_text(
        f'[run]\ntarget = "{loaded.file}"\nscenarios = ["one.toml"]\n[vm]\ncache_dir = "cache"\n'
    )
    (tmp_path / "one.toml").write_text(SCENARIO)
    place = tmp_path / "archive"
    for number in range(1, 13):
        folder = place / f"relay-1.{number}" / ("package" if number in (2, 11) else "")
        folder.mkdir(parents=True)
        (folder / "relay.inf").touch()
    (place / "notes").mkdir()
    (place / "readme.txt").touch()
    return place


@pytest.fixture
def lab(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Behaviour], Lab]:
    def made(behaviour: Behaviour) -> Lab:
        found = Lab(behaviour)
        monkeypatch.setattr("harness.guests.provider.VmProvider", found)
        return found

    return made


def number_of(name: str) -> int:
    return int(name.rpartition(".")[2])


def kshs(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["bisect", *words])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


ENDS = ("bridge.one", "--good", "archive/relay-1.1", "--bad", "archive/relay-1.12")


def test_the_first_bad_package_is_named(
    lab: Callable[[Behaviour], Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    played = lab(lambda name: 0xC00000BB if number_of(name) >= 8 else None)
    code, said, _ = kshs(capsys, *ENDS, "--rarest", "0.5")
    assert code == 0, said
    lines = said.splitlines()
    assert lines[-3].startswith("first bad: relay-1.8 (99.")
    assert lines[-2].startswith("  it fails there in ") and "and with relay-1.7 in 0 of " in lines[-2]
    assert lines[-1].startswith("  H9: answer is STATUS_NOT_SUPPORTED (0xC00000BB), expected STATUS_SUCCESS")
    assert {guest for _, guest in played.asked} == {"wine"}
    assert all(provider.closed for provider in played.providers), "one is at hand at a time"
    leases = sum(len(provider.guests) for provider in played.providers)
    plays = int(lines[-3].rpartition(", ")[2].split(" ")[0])
    assert leases == plays, "each play has a fresh lease"


def test_one_that_flakes_is_found_by_its_rate(
    lab: Callable[[Behaviour], Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(3)
    lab(lambda name: 0xC00000BB if number_of(name) >= 5 and dice.random() < 0.5 else None)
    code, said, _ = kshs(capsys, *ENDS, "--json")
    found = json.loads(said)
    assert code == 0 and found["first"] == "relay-1.5"
    row = {one["name"]: one for one in found["candidates"]}
    assert 0 < row["relay-1.5"]["failed"] < found["plays"]
    assert row["relay-1.4"]["failed"] == 0 and row["relay-1.4"]["passed"] >= 29
    assert found["confidence"] >= 0.99


def test_what_does_not_install_is_passed_over(
    lab: Callable[[Behaviour], Lab], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    played = lab(lambda name: 0xC00000BB if number_of(name) >= 8 else None)

    def refused(vm: Any, target: LoadedTarget, guest: str, **words: Any) -> FakeProvider:
        provider = played(vm, target, guest, **words)
        if Path(target.target.package).name in ("relay-1.6", "relay-1.7"):

            def prepare(say: Any) -> None:
                raise DeployError("the device does not start: code 10", step="install-device")

            provider.prepare = prepare  # type: ignore[method-assign]
        return provider

    monkeypatch.setattr("harness.guests.provider.VmProvider", refused)
    code, said, _ = kshs(capsys, *ENDS, "--rarest", "0.5")
    assert code == 0
    why = "it does not install: deploy: install-device: the device does not start: code 10"
    assert f"passed over: relay-1.7: {why}" in said
    assert "first bad: relay-1.8" in said
    assert "it may have begun with one that was passed over: relay-1.6, relay-1.7" in said or (
        "it may have begun with one that was passed over: relay-1.7" in said
    )


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (
            GuestLost("the connection broke"),
            "the guest was lost while it was installed: the connection broke",
        ),
        (
            HarnessError("the agent is of another build"),
            "nothing is known of it: the agent is of another build",
        ),
    ],
)
def test_one_of_which_nothing_is_known_is_passed_over(
    lab: Callable[[Behaviour], Lab],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    why: str,
) -> None:
    played = lab(lambda name: 0xC00000BB if number_of(name) >= 8 else None)

    def lost(vm: Any, target: LoadedTarget, guest: str, **words: Any) -> FakeProvider:
        provider = played(vm, target, guest, **words)

        def prepare(say: Any) -> None:
            raise error

        if Path(target.target.package).name == "relay-1.7":
            provider.prepare = prepare  # type: ignore[method-assign]
        return provider

    monkeypatch.setattr("harness.guests.provider.VmProvider", lost)
    code, said, _ = kshs(capsys, *ENDS, "--rarest", "0.5")
    assert code == 0 and f"passed over: relay-1.7: {why}" in said
    assert "it may have begun with one that was passed over: relay-1.7" in said


def test_another_failure_is_not_the_one_that_is_asked_for(
    lab: Callable[[Behaviour], Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    lab(lambda name: 0xC00000BB if number_of(name) >= 9 else 0xC000000D if number_of(name) >= 4 else None)
    code, said, _ = kshs(capsys, *ENDS, "--rarest", "0.5")
    assert code == 0, said
    assert "passed over: relay-1.8: it fails otherwise: H9: answer is STATUS_INVALID_PARAMETER" in said
    assert "first bad: relay-1.9" in said


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (None, "it does not fail with relay-1.12: 0 of 5"),
        (0xC00000BB, "it fails with relay-1.1 as well: 5 of 5, and 5 of 5 with relay-1.12"),
    ],
)
def test_what_cannot_be_told_is_said_with_3(
    lab: Callable[[Behaviour], Lab], capsys: pytest.CaptureFixture[str], status: int | None, why: str
) -> None:
    lab(lambda name: status)
    code, said, _ = kshs(capsys, *ENDS, "--rarest", "0.5")
    assert code == 3 and "cannot tell, after " in said and why in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("bridge.one", "--good", "none", "--bad", "archive/relay-1.2"),
            "--good none: there is no such directory",
        ),
        (("bridge.one", "--good", "archive/notes", "--bad", "archive/relay-1.2"), "there is no INF in it"),
        (
            ("bridge.one", "--good", "archive/relay-1.10", "--bad", "archive/relay-1.9"),
            "relay-1.10 comes behind relay-1.9",
        ),
        (("bridge.one", "--good", "archive/relay-1.2", "--bad", "archive/relay-1.2"), "both are relay-1.2"),
        (
            ("bridge.one", "--packages", "archive", "--good", "relay-2", "--bad", "relay-1.2"),
            "there is no such directory (in archive: notes, readme.txt, relay-1.1,",
        ),
        (("bridge.one", "--good", "a", "--bad", "b", "--guest", "none"), "there is no guest 'none'"),
        (("bridge.two", *ENDS[1:]), "there is no scenario bridge.two (kshs list shows what there is)"),
        (("no.toml::bridge.one", *ENDS[1:]), "no.toml: there is no such file"),
        ((*ENDS, "--images", "--guest", "wine"), "--images: --good and --bad name guests here"),
        (("bridge.one", "--images", "--good", "wine", "--bad", "wine"), "the same kernel build"),
        (("bridge.one", "--images", "--good", "wine", "--bad", "win11"), "the guest win11 is not made"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_played(
    lab: Callable[[Behaviour], Lab],
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    told: str,
) -> None:
    played = lab(lambda name: None)
    code, said, complained = kshs(capsys, *words)
    assert code == 2 and told in complained, complained
    assert len(complained.splitlines()) == 1 and said == ""
    assert played.asked == []


def test_the_archive_is_in_the_order_of_its_numbers(archive: Path) -> None:
    loaded = config.load()
    from harness.guests.package import find_target

    target = find_target(loaded.run.target, loaded)
    row = bisect_candidates.packages(target, "wine", "relay-1.2", "relay-1.11", archive)
    assert [one.name for one in row] == [f"relay-1.{number}" for number in range(2, 12)]
    assert row[0].target.target.package == str((archive / "relay-1.2" / "package").resolve())
    assert row[1].target.target.package == str((archive / "relay-1.3").resolve())
    with pytest.raises(UsageError, match="is not in "):
        bisect_candidates.packages(target, "wine", "relay-1.2", "relay-1.11/package", archive)


def test_kernels_are_in_the_order_of_their_builds(archive: Path) -> None:
    (Path("kshs.toml")).write_text(
        Path("kshs.toml").read_text()
        + 'suite = "bookworm"\n[vm.legs.newer]\nsuite = "trixie"\n[vm.legs.tight]\nmemory_mib = 320\n'
    )
    loaded = config.load()
    from harness.guests.package import find_target

    target = find_target(loaded.run.target, loaded)
    row = bisect_candidates.images(target, loaded, "tight", "newer")
    assert [one.name for one in row] == ["tight", "newer"], "wine is of the same kernel as tight"
    with pytest.raises(UsageError, match="newer comes behind wine"):
        bisect_candidates.images(target, loaded, "newer", "wine")
