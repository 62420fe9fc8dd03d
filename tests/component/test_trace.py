# SPDX-License-Identifier: Apache-2.0
"""kstrace.sys and ``kshsctl trace``: what is recorded, what is written, and that nothing changes by it."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.capsule.manifest import Role
from harness.capsule.opened import Capsule
from harness.capsule.traced.events import Event
from harness.capsule.traced.opening import trace_of
from harness.language.model import Scenario
from harness.results.record import ScenarioResult
from harness.verdict import Verdict
from tests.component.traced_guest import TracedProvider
from tests.seeded.hunt import catalogue, run
from tests.seeded.local_guest import LocalProvider

pytestmark = pytest.mark.component

HARDWARE_ID = "Root\\KshsAvshs"
#: What is played with and without the tracer in `make test`: each kind of traffic, and what is odd about it.
FEW = (
    "success.alternating",
    "mode.each-time.sync",
    "mode.kernel-client-as-user.irp",
    "connected.accepted",
    "completion.cancel",
    "closed.connected-end",
    "inflight.state-and-back.source",
)


def scenarios(*ids: str) -> list[Scenario]:
    return [scenario for scenario in catalogue() if scenario.id in ids]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TracedProvider, list[Event], Path]]:
    """A guest that is still there, what was recorded of a few scenarios, and the capsule."""
    folder = tmp_path_factory.mktemp("traced")
    provider = TracedProvider(None, "records=1024")
    results = run(provider, scenarios(*FEW[:4]), folder)
    for result in results:
        assert result.verdict is Verdict.PASSED, result.reason
        if result.id == scenarios(*FEW[:4])[-1].id:
            break
    assert provider.last is not None
    package = provider.last.wine.folder / "package"
    package.mkdir()
    (package / "driver.inf").write_text("; a driver\n")
    saved = provider.last.save("package=C:\\kshs\\package", "note=it declines now and then")
    with Capsule(saved) as opened:
        trace, _ = trace_of(opened)
    yield provider, list(trace.events), saved
    provider.last.close()
    results.close()  # type: ignore[attr-defined]


def test_a_handshake_is_recorded_with_all_that_its_sender_said_and_got(
    recorded: tuple[TracedProvider, list[Event], Path],
) -> None:
    events = recorded[1]
    handshakes = [event for event in events if event.event == "handshake"]
    accepted = next(each for each in handshakes if each.succeeded and each.in_length == 32)
    assert accepted.control == 0x2F001F and accepted.requestor == "kernel"
    assert accepted.input is not None and accepted.output is not None
    assert accepted.input.protocol == accepted.output.protocol
    assert accepted.information == 32 and accepted.returned == 0 and not accepted.pending
    user = [each for each in handshakes if each.requestor == "user"]
    assert {each.status for each in user} == {0xC0000010}
    assert {bool(each.irp_flags) for each in user} == {True, False}, (
        "user mode's and a driver's are told apart"
    )


def test_objects_are_told_by_number_and_no_address_leaves_the_machine(
    recorded: tuple[TracedProvider, list[Event], Path],
) -> None:
    _, events, saved = recorded
    pins = {event.object: event for event in events if event.event == "pin"}
    source = next(event for event in pins.values() if event.sink is not None)
    assert source.sink in pins, "the sink that a pin was connected to is one that was opened"
    with zipfile.ZipFile(saved) as archive:
        text = archive.read("trace.jsonl").decode()
    assert not re.search(r'"(?:file|in_pointer|out_pointer|address)"', text)
    assert all(event.object is None or re.fullmatch(r"o\d+", event.object) for event in events)


def test_the_capsule_has_what_was_asked_for_and_says_so(
    recorded: tuple[TracedProvider, list[Event], Path],
) -> None:
    with Capsule(recorded[2]) as opened:
        opened.check()
        said = opened.manifest
    assert {file.name: file.role for file in said.files} == {
        "trace.jsonl": Role.TRACE,
        "drivers.json": Role.DRIVERS,
        "package/driver.inf": Role.PACKAGE,
    }
    assert said.reason == "it declines now and then" and said.verdict is None
    assert said.target.hardware_id == HARDWARE_ID and said.target.service == "avshs"


def test_the_ring_keeps_the_newest_and_is_counted(
    recorded: tuple[TracedProvider, list[Event], Path],
) -> None:
    provider, events, _ = recorded
    assert provider.last is not None
    status = provider.last.trace("status")
    assert status["watched"] == [HARDWARE_ID] and status["devices"] == 1 and status["recording"] is True
    assert status["under_way"] == 0 and status["lost"] == 0
    assert len(events) <= 1024


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "usage"),
        (("start",), 2, "usage"),
        (("dance", "x"), 2, "usage"),
        (("start", "Root\\NoSuch"), 1, "no device has the hardware id"),
        (("start", HARDWARE_ID, "records=3"), 1, "a number from 64 to 65536"),
        (("start", HARDWARE_ID, "watch=x"), 1, "the GUID of a property set"),
        (("start", HARDWARE_ID, "colour=red"), 1, "is neither"),
        (("start", HARDWARE_ID), 1, "cannot be put above the device"),
        (("save", "C:\\kshs\\trace-1.capsule"), 1, "nothing is replaced"),
        (("save", "C:\\no such\\x.capsule"), 1, "cannot be made"),
        (("save", "C:\\kshs\\y.capsule", "package=C:\\no such"), 1, "there is no folder"),
        (("save", "C:\\kshs\\z.capsule", "dump=C:\\no such"), 1, "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    recorded: tuple[TracedProvider, list[Event], Path], words: tuple[str, ...], code: int, said: str
) -> None:
    provider = recorded[0]
    assert provider.last is not None
    done = provider.last.wine.kshsctl("trace", *words)
    assert done.exit_code == code, done
    assert said in done.stderr, done.stderr
    assert not list(provider.last.wine.folder.glob("[yz].capsule")), "what could not be finished is not left"


def test_stopping_takes_all_of_it_away(recorded: tuple[TracedProvider, list[Event], Path]) -> None:
    """The last of this file that uses the guest."""
    provider = recorded[0]
    assert provider.last is not None
    guest = provider.last
    assert guest.trace("stop", HARDWARE_ID)["unloaded"] is True
    assert not (guest.wine.drivers / "kstrace.sys").exists()
    assert guest.wine.kshsctl("trace", "status").exit_code == 1
    assert guest.trace("start", HARDWARE_ID)["attached"] == 1


# ---- with and without it ---------------------------------------------------------------------------------


def chosen() -> list[Scenario]:
    return list(catalogue()) if os.environ.get("KSHS_TEST_TRACED") == "all" else scenarios(*FEW)


def blocks(result: ScenarioResult) -> list[Mapping[str, Any]]:
    """The numbers of a scenario's status blocks."""
    return [(step.status_block or {}).get("numbers") or {} for step in result.steps]


def differing(one: ScenarioResult, other: ScenarioResult) -> list[str]:
    """What came otherwise: the verdict, or a number of a status block."""
    found = [] if one.verdict is other.verdict else [f"{one.verdict} and {other.verdict}: {other.reason}"]
    for step, before, after in zip(one.steps, blocks(one), blocks(other), strict=False):
        found += [
            f"{step.name}: {key} {before[key]} and {after.get(key)}"
            for key in before
            if before[key] != after.get(key)
        ]
    return found


def values(results: list[ScenarioResult]) -> dict[tuple[int, str], set[Any]]:
    """All that came under each number of each step."""
    found: dict[tuple[int, str], set[Any]] = {}
    for result in results:
        for place, numbers in enumerate(blocks(result)):
            for key, value in numbers.items():
                found.setdefault((place, key), set()).add(value)
    return found


def test_everything_answers_the_same_with_and_without_the_tracer(tmp_path: Path) -> None:
    plain = {result.id: [result] for result in run(LocalProvider(), chosen(), tmp_path)}
    traced = {result.id: [result] for result in run(TracedProvider(), chosen(), tmp_path)}
    assert plain.keys() == traced.keys() and plain
    odd = {name for name in plain if differing(plain[name][0], traced[name][0])}
    # What threads and timers make of it differs from run to run without anybody: those are asked again, and
    # have to have something in common.
    again = [scenario for scenario in chosen() if scenario.id in odd]
    for _ in range(4 if again else 0):
        for provider, results in ((LocalProvider(), plain), (TracedProvider(), traced)):
            for result in run(provider, again, tmp_path):
                results[result.id].append(result)
    apart = {}
    for name in odd:
        without, watched = values(plain[name]), values(traced[name])
        numbers = [
            f"step {place}, {key}: {without[place, key]} and {watched[place, key]}"
            for place, key in without.keys() & watched.keys()
            if not without[place, key] & watched[place, key]
        ]
        verdicts = {result.verdict for result in plain[name]} & {result.verdict for result in traced[name]}
        if numbers or not verdicts:
            apart[name] = numbers or [str([result.reason for result in traced[name]])]
    print(f"{len(plain)} scenarios, {len(odd)} of them differed once: {sorted(odd)}")
    assert apart == {}
