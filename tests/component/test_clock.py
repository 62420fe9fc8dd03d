# SPDX-License-Identifier: Apache-2.0
"""A driver whose handshakes carry interfaces (examples/clock) under Wine: sound, and with one defect each.

The driver's own sources are altered, built and deployed; nothing stands in for anything.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import drivers.build
from drivers import folder
from drivers.abi import load
from drivers.package import Package
from harness.agent.journal import Journal
from harness.contract import capabilities
from harness.guests import Say
from harness.language import scenario_file
from harness.language.model import Scenario, Target
from harness.language.target import find
from harness.results.record import ScenarioResult
from harness.running.runner import Runner
from tests.component.package_guest import PackageGuest

pytestmark = pytest.mark.component

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "clock"
SCENARIOS = [scenario_file.CATALOGUE / "interfaces.toml", EXAMPLE / "scenarios" / "clock.toml"]


class Provider:
    """Guests with one build of the clock."""

    def __init__(self, build: drivers.build.Build, package: Package, target: Target) -> None:
        self._build, self._package, self._target = build, package, target
        self._count = 0

    def target(self) -> Target:
        return self._target

    def target_digest(self) -> str:
        return self._package.digest

    def prepare(self, say: Say) -> None:
        pass

    def acquire(self) -> PackageGuest:
        self._count += 1
        return PackageGuest(self._build, self._package, self._target, self._count)

    def host(self) -> Mapping[str, Any]:
        return {"recipe": "local"}

    def close(self) -> None:
        pass


def scenarios(*ids: str) -> list[Scenario]:
    found = [located.scenario for located in scenario_file.load_all(SCENARIOS)]
    return [one for one in found if not ids or one.id in ids]


def run(
    build: drivers.build.Build,
    source: Path,
    work: Path,
    chosen: list[Scenario],
    file: Path = EXAMPLE / "clock.toml",
) -> Iterator[ScenarioResult]:
    target, _ = find(str(file))
    package = folder.package(source, work / "package")
    runner = Runner(
        Provider(build, package, target), load(), Journal(work / "journal.jsonl"), fits=capabilities.missing
    )
    try:
        for scenario in chosen:
            yield runner.run(scenario, file="clock")
    finally:
        runner.close()


def test_the_sound_driver_passes_all(build: drivers.build.Build, tmp_path: Path) -> None:
    results = {one.id: one for one in run(build, EXAMPLE / "driver", tmp_path, scenarios())}
    bad = {
        name: one.reason for name, one in results.items() if one.verdict.value not in {"passed", "skipped"}
    }
    assert bad == {}
    skipped = {name: one.reason for name, one in results.items() if one.verdict.value == "skipped"}
    assert set(skipped) == {"interface.device-restarted"}
    assert "pnp-restart" in str(skipped["interface.device-restarted"])
    assert len(results) - len(skipped) >= 25


def test_the_catalogue_s_ordinary_scenarios_reach_it(build: drivers.build.Build, tmp_path: Path) -> None:
    """What says nothing of its arguments gets an interface, and is judged as ever."""
    wanted = ("success", "lengths", "mode", "threads", "states")
    files = [scenario_file.CATALOGUE / f"{name}.toml" for name in wanted]
    chosen = [located.scenario for located in scenario_file.load_all(files)]
    results = list(run(build, EXAMPLE / "driver", tmp_path, chosen))
    verdicts = [one.verdict.value for one in results]
    assert {one.id: one.reason for one in results if one.verdict.value not in {"passed", "skipped"}} == {}
    assert verdicts.count("passed") >= 30
    reasons = {str(one.reason) for one in results if one.verdict.value == "skipped"}
    assert any("(protocols.clock.argument1)" in reason for reason in reasons)


@dataclass(frozen=True)
class Defect:
    """One change to the clock; `find` stands once in its source, `told` is in the reason of the failure."""

    id: str
    find: str
    replace: str
    scenario: str
    told: str
    verdict: str = "failed"


DEFECTS = (
    Defect(
        "a reference is leaked when the pin is closed",
        "    ReplaceClock(pin, &none);\n",
        "    (void)none;\n",
        "interface.given-back.call",
        "arguments: held is 1 (1 reference, 0 dereferences), expected 0",
    ),
    Defect(
        "one release too many",
        "    ReplaceClock(pin, &none);\n",
        "    if (pin->Clock.InterfaceDereference)\n"
        "        pin->Clock.InterfaceDereference(pin->Clock.Context);\n    ReplaceClock(pin, &none);\n",
        "interface.given-back.call",
        "arguments: excess is 1 (1 reference, 2 dereferences), expected 0",
    ),
    Defect(
        "the reference is not taken",
        "    Clock->InterfaceReference(Clock->Context);\n",
        "",
        "interface.taken",
        "arguments: held is 0 (0 references, 0 dereferences), expected 1",
    ),
    Defect(
        "the one before is leaked when another comes",
        "    if (old.InterfaceDereference)\n",
        "    if (old.InterfaceDereference && !Clock->InterfaceReference)\n",
        "interface.replaced",
        "arguments: held is",
    ),
    Defect(
        "the interface is used after it was given back",
        "    Clock->InterfaceReference(Clock->Context);\n",
        "    static CLOCK_INTERFACE last;\n\n    if (last.GetTime)\n        last.GetTime(last.Context);\n"
        "    last = *Clock;\n    Clock->InterfaceReference(Clock->Context);\n",
        "interface.after-close",
        "arguments: stale is 1, expected 0",
    ),
    Defect(
        "the structure's address is passed instead of its Context",
        "(LONGLONG)Clock->GetTime(Clock->Context)",
        "(LONGLONG)Clock->GetTime((PVOID)Clock)",
        "interface.taken",
        "arguments: strangers is 1, expected 0",
    ),
    Defect(
        "the sender's structure is written into",
        "    ReplaceClock(Pin, Clock);\n",
        "    ReplaceClock(Pin, Clock);\n    ((CLOCK_INTERFACE *)Clock)->Version = 0;\n",
        "interface.taken",
        "arguments: intact is no, expected yes",
    ),
    Defect(
        "a refused interface is kept all the same",
        "    return status;\n}\n\nstatic NTSTATUS NTAPI ClockPinCreate",
        "    else if (In->Argument1)\n        FollowClock(pin, In->Argument1);\n    return status;\n}\n\n"
        "static NTSTATUS NTAPI ClockPinCreate",
        "interface.unknown-protocol",
        "references is 1, expected 0",
    ),
    Defect(
        "the follower dies with its pin",
        "    DereferenceFollower(pin->Follower);\n",
        "    RtlZeroMemory(pin->Follower, sizeof(*pin->Follower));\n",
        "interface.theirs-given-back-late",
        "arguments: size is 0, expected 40",
    ),
    Defect(
        "a function of the answer is not the driver's",
        "            Out->Argument1 = &pin->Follower->Interface;\n",
        "            pin->Follower->Interface.GetLastTime = (PVOID)pin->Clock.GetTime;\n"
        "            Out->Argument1 = &pin->Follower->Interface;\n",
        "interface.theirs",
        "arguments: inside is no: function 1 behind InterfaceDereference is elsewhere",
    ),
    Defect(
        "the answer is a number",
        "            Out->Argument1 = &pin->Follower->Interface;\n",
        "            Out->Argument1 = (PVOID)(ULONG_PTR)0x77;\n",
        "interface.theirs",
        "arguments: readable is no, expected yes",
    ),
    Defect(
        "the second argument of the answer is left over",
        "            Out->Argument2 = NULL;\n",
        "            Out->Argument2 = In->Argument1;\n",
        "interface.taken",
        "arguments: argument2 is",
    ),
    Defect(
        "the sender's block is written into",
        "    Out->Argument1 = (PVOID)&SlowestRate;\n",
        "    ((RATE *)Rate)->Numerator = hertz + 1;\n    Out->Argument1 = (PVOID)&SlowestRate;\n",
        "pointer.read.nonpaged",
        "arguments: intact is no, expected yes",
    ),
    Defect(
        "the sender's block is read after the call",
        "    hertz = Rate->Numerator / Rate->Denominator;\n",
        "    static const RATE *last;\n\n    hertz = (last ? last : Rate)->Numerator / Rate->Denominator;\n"
        "    last = Rate;\n",
        "pointer.vanishes",
        "",
        "crashed",
    ),
)


def altered(work: Path, find: str, replace: str) -> Path:
    """A copy of the clock's sources with one change."""
    source = work / "driver"
    shutil.copytree(EXAMPLE / "driver", source)
    text = (source / "clock.c").read_text(encoding="utf-8")
    assert text.count(find) == 1, "mend the table: this must stand once in clock.c"
    (source / "clock.c").write_text(text.replace(find, replace), encoding="utf-8")
    return source


def test_other_owners_need_another_target_file(build: drivers.build.Build, tmp_path: Path) -> None:
    """A driver that takes over the sender's reference: right where the file says so."""
    source = altered(tmp_path, "    Clock->InterfaceReference(Clock->Context);\n", "")
    text = (EXAMPLE / "clock.toml").read_text(encoding="utf-8")
    borrowed = 'argument1 = { kind = "interface", version = 0x0100,'
    assert text.count(borrowed) == 1
    file = tmp_path / "clock.toml"
    file.write_text(text.replace(borrowed, f'{borrowed} reference = "given",'), encoding="utf-8")
    chosen = [one for one in scenarios() if one.id.startswith("interface.")]
    results = list(run(build, source, tmp_path, chosen, file))
    bad = {one.id: one.reason for one in results if one.verdict.value not in {"passed", "skipped"}}
    assert bad == {}


#: Never left out: the first of each verdict.
ALWAYS = {one.verdict: one for one in reversed(DEFECTS)}.values()


@pytest.mark.seeded
@pytest.mark.parametrize(
    "defect",
    [
        pytest.param(one, id=one.id, marks=[pytest.mark.representative] if one in ALWAYS else [])
        for one in DEFECTS
    ],
)
def test_a_defect_is_caught_and_named(defect: Defect, build: drivers.build.Build, tmp_path: Path) -> None:
    source = altered(tmp_path, defect.find, defect.replace)
    (result,) = run(build, source, tmp_path, scenarios(defect.scenario))
    assert (result.verdict.value, result.reason) != ("passed", None)
    assert result.verdict.value == defect.verdict, result.reason
    assert defect.told in str(result.reason)
    if defect.verdict == "failed":
        assert "; if the driver is right, the target file may be wrong: " in str(result.reason)
