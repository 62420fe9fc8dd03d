# SPDX-License-Identifier: Apache-2.0
"""The parts of the benchmark that measure nothing: figures, goals, the bare command line, the picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from drivers.abi import load
from harness.agent.encode import Encoder
from harness.bench.figures import KEYS, Figure, Point, Workers, document, goals
from harness.bench.floor import bare_command
from harness.bench.guest import Steps
from harness.bench.plot import svg
from harness.bench.suite import first_send, pss_mib
from harness.commands.bench import tables
from harness.errors import HarnessError
from harness.language import target

MET = {
    "first_request_s": 3.0,
    "lease_s": 1.3,
    "clone_floor_s": 1.0,
    "requests_per_s_single": 100.0,
    "requests_per_s_pipelined": 800.0,
    "agent_loop_per_s": 1000.0,
    "naive_per_s": 8.0,
    "suite_s": 21.3,
    "suite_guest_s": 10.0,
    "journal_s": 0.639,
    "host_peak_mib": 300.0,
}
FLAT = [Point(100, 1, 0.1, 90.0), Point(1_000, 1, 1.3, 106.0)]


def met(medians: dict[str, float], series: list[Point] = FLAT) -> dict[str, bool]:
    return {goal.name: goal.met for goal in goals(medians, series)}


def test_a_callback_that_follows_its_arguments_is_not_measured_with_numbers() -> None:
    clock = target.load(Path(__file__).resolve().parents[3] / "examples" / "clock" / "clock.toml")
    with pytest.raises(HarnessError, match="pin source of clock accepts no protocol of numbers"):
        Steps.make(Encoder(load()), clock, 8)
    avshs, _ = target.find("avshs")
    assert Steps.make(Encoder(load()), avshs, 8).request


def test_a_figure_knows_its_spread() -> None:
    figure = Figure((3.0, 1.0, 2.00004))
    assert figure.as_dict() == {"min": 1.0, "median": 2.0, "max": 3.0, "samples": [3.0, 1.0, 2.0]}
    with pytest.raises(ValueError, match="at least one"):
        Figure(())


def test_goals_are_met_at_their_very_limits() -> None:
    assert all(met(MET).values())
    assert len(met(MET)) == 7


@pytest.mark.parametrize(
    ("key", "value", "missed"),
    [
        ("requests_per_s_pipelined", 799.0, {"pipelined >= 0.8 x agent loop", "pipelined >= 100 x naive"}),
        ("agent_loop_per_s", 1001.0, {"pipelined >= 0.8 x agent loop"}),
        ("naive_per_s", 8.1, {"pipelined >= 100 x naive"}),
        ("clone_floor_s", 0.99, {"lease <= 1.3 x clone floor"}),
        ("journal_s", 0.65, {"journal <= 0.03 x suite"}),
        ("suite_s", 21.4, {"suite <= 2 x time in the guest + lease"}),
        ("suite_guest_s", 9.9, {"suite <= 2 x time in the guest + lease"}),
    ],
)
def test_each_figure_can_miss_its_goal(key: str, value: float, missed: set[str]) -> None:
    assert {name for name, good in met({**MET, key: value}).items() if not good} == missed


def test_what_grows_is_not_flat() -> None:
    dear = [Point(100, 1, 0.1, 90.0), Point(1_000, 1, 1.4, 90.0)]
    heavy = [Point(100, 1, 0.1, 90.0), Point(1_000, 1, 1.0, 107.0)]
    # A first size that pays for warming up is not growth.
    cold = [Point(100, 1, 1.0, 90.0), Point(1_000, 1, 1.0, 90.0)]
    names = [f"flat {what}, 100 to 1,000 requests, one request a step" for what in ("cost", "memory")]
    assert [met(MET, dear)[name] for name in names] == [False, True]
    assert [met(MET, heavy)[name] for name in names] == [True, False]
    assert [met(MET, cold)[name] for name in names] == [True, True]


def test_series_of_other_steps_are_judged_apart() -> None:
    many = [Point(10_000, 100, 0.4, 90.0), Point(100_000, 100, 4.0, 90.0)]
    found = met(MET, [*FLAT, *many])
    assert found["flat cost, 10,000 to 100,000 requests, 100 requests a step"]
    assert len(found) == 9


def figures() -> dict[str, Figure]:
    return {key: Figure((value, value * 2, value * 3)) for key, value in MET.items()}


def test_the_document_has_every_key_as_a_number() -> None:
    written = document(figures(), FLAT, {"host": {"cores": 2}})
    assert list(written)[: len(KEYS)] == list(KEYS)
    assert written["lease_s"] == 2.6
    assert written["host_peak_mib"] == 900.0, "a peak is the worst that was seen"
    assert written["figures"]["lease_s"]["max"] == 3.9
    assert written["host"] == {"cores": 2}
    with pytest.raises(ValueError, match="lease_s"):
        document({"lease_s": Figure((1.0,))}, FLAT, {})


def test_people_get_every_figure_and_goal() -> None:
    workers = [Workers(n, 18.0 / n, 600.0, 18.0, n, n / 2).as_dict() for n in (1, 2)]
    written = document(figures(), FLAT, {"suite": {"workers": workers}})
    measured, series, judged, scaling = tables(written)
    assert measured.row_count == len(KEYS)
    assert series.row_count == len(FLAT)
    assert judged.row_count == len(written["goals"])
    assert scaling.row_count == 2
    assert "2 workers" in written["goals"][-1]["goal"]


@pytest.mark.parametrize(("seconds", "good"), [(10.0, True), (10.1, False)])
def test_workers_are_held_against_what_bare_guests_gain(seconds: float, good: bool) -> None:
    """Two guests beside each other do 2 times the work of one here, so 1.6 times is what is wanted."""
    workers = [
        Workers(1, 16.0, 600.0, 16.0, 1.0, 0.6).as_dict(),
        Workers(2, seconds, 600.0, 16.0, 2.0, 1.0).as_dict(),
    ]
    judged = goals(MET, FLAT, workers)[-1]
    assert judged.met is good
    assert "2 workers" in judged.name


def test_the_bare_machine_has_the_same_devices_and_its_own_files() -> None:
    old, new = Path("/run/kshs/r0/leases/x"), Path("/run/b")
    argv = [
        "qemu-system-x86_64", "-name", "guest=x", "-S",
        "-object", '{"qom-type":"secret","id":"masterKey0","file":"/run/kshs/r0/lib/master-key.aes"}',
        "-machine", "q35",
        "-chardev", "socket,id=charmonitor,fd=11,server=on,wait=off",
        "-mon", "chardev=charmonitor,id=monitor,mode=control",
        "-blockdev", '{"driver":"file","filename":"/run/kshs/r0/leases/x/disk.qcow2"}',
        "-add-fd", "set=0,fd=9,opaque=serial0-source",
        "-chardev", "file,id=charserial0,path=/dev/fdset/0,append=on",
        "-netdev", "user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:1234-:22",
        "-sandbox", "off",
    ]  # fmt: skip
    assert bare_command(argv, old=old, new=new, old_port=1234, new_port=99) == [
        "qemu-system-x86_64", "-S",
        "-machine", "q35",
        "-chardev", "socket,id=charmonitor,path=/run/b/monitor,server=on,wait=off",
        "-mon", "chardev=charmonitor,id=monitor,mode=control",
        "-blockdev", '{"driver":"file","filename":"/run/b/disk.qcow2"}',
        "-chardev", "file,id=charserial0,path=/run/b/serial.log",
        "-netdev", "user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:99-:22",
    ]  # fmt: skip


def test_the_first_request_is_the_first_scenarios() -> None:
    lines = [
        '{"at": 1.0, "event": "send", "seq": 1, "what": "info"}',
        '{"at": 2.0, "event": "scenario", "scenario": "a", "lease": "x"}',
    ]
    assert first_send("\n".join(lines)) is None
    lines.append('{"at": 3.5, "event": "send", "seq": 2, "what": "reset"}')
    assert first_send("\n".join([*lines, '{"at": 4.0, "eve'])) == 3.5


def test_memory_of_a_process_that_is_gone_is_nothing() -> None:
    assert pss_mib(2**22 + 1) == 0.0


def test_the_picture_is_well_formed_and_shows_every_point() -> None:
    series = [*FLAT, Point(10_000, 100, 0.4, 90.0)]
    root = etree.fromstring(svg([point.as_dict() for point in series]).encode())
    circles = root.findall("{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 2 * len(series)
    width, height = float(root.get("width")), float(root.get("height"))
    assert all(0 < float(c.get("cx")) < width and 0 < float(c.get("cy")) < height for c in circles)
    with pytest.raises(ValueError, match="no series"):
        svg([])
