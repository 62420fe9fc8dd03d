# SPDX-License-Identifier: Apache-2.0
"""What one process writes down of its guests, and what is made of it."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drivers import abi
from harness.coverage.gathering import Sources, _source, gather
from harness.coverage.model import RunCoverage
from harness.coverage.recorder import Recorder
from harness.errors import HarnessError
from harness.evidence.symbols.pdb import Checksum, _checksums
from harness.guests import DriverFiles
from tests.harness.coverage.code import BASE, CODE, TEXT, image
from tests.harness.fake_guest import FakeProvider
from tests.vm.plugin.plugin_double import PluginDouble
from vm.errors import VmError
from vm.plugin.block_map import BlockMap

C = abi.load().constants
INFO: dict[str, Any] = {"ks": {"present": True, "ours": False}}
FIRST, MIDDLE, SECOND = (0, 2), (2, 2), (16, 3)


@dataclass
class Guest:
    """A guest with sim.sys and a ks.sys of its own, whose file it hands out."""

    folder: Path
    number: int = 0
    addresses_stay: bool = True
    asked: list[str] = field(default_factory=list)
    room: int = 64

    def __post_init__(self) -> None:
        self.id = f"lease-{self.number}"
        path = self.folder / f"counters-{self.number}"
        self.counters = BlockMap.create(path, (), self.room)
        self.plugin = PluginDouble(path)

    def open_agent(self) -> Any: ...
    def evidence(self) -> Any: ...
    def close(self) -> None: ...

    def fetch(self, path: str, into: Path) -> None:
        self.asked.append(path)
        if "ks.sys" not in path:
            raise VmError("there is no such file", path)
        shutil.copyfile(image(self.folder / "theirs.sys"), into)

    def runs(self, *blocks: tuple[int, int], base: int = BASE) -> None:
        for begin, size in blocks:
            self.plugin.runs(base + CODE + begin, TEXT[begin : begin + size])


KS = 0xFFFFF80000000000
SAID = [
    {"name": "sim.sys", "base": hex(BASE), "path": "C:\\sim.sys"},
    {"name": "KS.SYS", "base": hex(KS), "path": "\\SystemRoot\\System32\\drivers\\ks.sys"},
    {"name": "more.sys", "base": hex(KS + 0x100000), "path": "\\??\\C:\\more.sys"},
]


class Provider(FakeProvider):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.image = image(folder / "sim.sys")

    def driver_files(self) -> DriverFiles:
        ours = {"sim.sys": self.image, "ks.sys": Path("/ours/and/unused/ks.sys")}
        return DriverFiles(ours, (), frozenset({"sim.sys"}))


class Recording:
    """A recorder, and what comes of what it wrote."""

    def __init__(self, folder: Path, *also: str) -> None:
        self.part = folder / "coverage-main.jsonl"
        self.questions = 0
        self.recorder = Recorder(self.part, Provider(folder), abi.load(), also)

    def leased(self, guest: Guest) -> None:
        def run(step: bytes, **_: Any) -> Any:
            head = abi.load().cs.kshs_step(step)
            guest.plugin.takes_ranges()
            asked = int(head.op) == C["KSHS_OP_INFO"]
            self.questions += asked
            data = json.dumps({"processes": [{"pid": 0, "modules": SAID}]}).encode() if asked else b""
            return SimpleNamespace(outcome=C["KSHS_OUTCOME_DONE"], data=data)

        self.recorder.leased(guest, SimpleNamespace(run=run), INFO)  # type: ignore[arg-type]

    def found(self) -> RunCoverage:
        return gather([self.part], [], Sources(Path("/nowhere")), {"id": "1"})

    def ran(self, module: str = "sim.sys") -> dict[str, list[int]]:
        found = self.found()
        of = found.module(module)
        assert of is not None
        return {
            one.id: [b.offset - CODE for n, b in enumerate(of.blocks) if one.blocks.get(module, 0) >> n & 1]
            for one in found.ran
        }


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return Recording(tmp_path)


def test_what_makes_a_guest_ready_is_no_scenarios(tmp_path: Path, recording: Recording) -> None:
    guest = Guest(tmp_path)
    recording.leased(guest)
    guest.runs(FIRST)
    recording.recorder.settled()
    guest.runs(MIDDLE)
    recording.recorder.begin()
    guest.runs(SECOND)
    recording.recorder.end(file="a.toml", name="one", scenario=True)
    guest.runs(MIDDLE)
    recording.recorder.begin()
    recording.recorder.end(file="", name="test", scenario=False)
    assert recording.ran() == {"preparing": [0, 2], "one": [16], "test": []}


def test_a_scenario_keeps_what_it_did_in_a_guest_that_was_lost(tmp_path: Path, recording: Recording) -> None:
    first, second = Guest(tmp_path), Guest(tmp_path, 1)
    recording.leased(first)
    recording.recorder.begin()
    first.runs(FIRST)
    recording.leased(second)
    second.runs(MIDDLE)
    recording.recorder.settled()
    second.runs(SECOND)
    recording.recorder.end(file="a.toml", name="one", scenario=True)
    assert recording.ran() == {"one": [0, 16], "preparing": [2]}
    assert recording.questions == 1, "forks of one memory have their drivers at the same addresses"


def test_guests_that_boot_by_themselves_are_asked_each(tmp_path: Path, recording: Recording) -> None:
    for number in range(2):
        recording.leased(Guest(tmp_path, number, addresses_stay=False))
    assert recording.questions == 2


def test_a_module_that_was_not_deployed_is_the_guests_own(tmp_path: Path, recording: Recording) -> None:
    guest = Guest(tmp_path)
    recording.leased(guest)
    recording.recorder.begin()
    guest.runs(SECOND, base=KS)
    recording.recorder.end(file="a.toml", name="one", scenario=True)
    assert guest.asked == ["C:\\Windows\\System32\\drivers\\ks.sys"]
    assert recording.ran("ks.sys") == {"one": [16]}


def test_what_cannot_be_counted_is_noted(tmp_path: Path) -> None:
    recording = Recording(tmp_path, "More.sys", "absent.sys")
    guest = Guest(tmp_path, room=1)
    recording.leased(guest)
    recording.recorder.begin()
    guest.runs(FIRST, SECOND)
    recording.recorder.end(file="a.toml", name="one", scenario=True)
    notes = " / ".join(recording.found().notes)
    assert "more.sys is not counted: C:\\more.sys: there is no such file" in notes
    assert "absent.sys is not counted: the guest does not say that it has loaded it" in notes.replace(
        "loaded absent.sys", "loaded it"
    )
    assert "1 translation found no room" in notes


def test_two_processes_are_one_run(tmp_path: Path) -> None:
    parts = []
    for name, block in (("gw0", FIRST), ("gw1", SECOND)):
        (tmp_path / name).mkdir()
        one, guest = Recording(tmp_path / name), Guest(tmp_path / name)
        one.leased(guest)
        one.recorder.begin()
        guest.runs(block)
        one.recorder.end(file="a.toml", name="same", scenario=True)
        parts.append(one.part)
    found = gather(parts, [], Sources(Path("/nowhere")), {})
    of = found.module("sim.sys")
    assert of is not None and [ran.blocks["sim.sys"] for ran in found.scenarios] == [0b11]
    assert [block.functions for block in of.blocks] == [(0,), (1,)]


def test_a_torn_last_line_is_forgiven_and_no_other(tmp_path: Path, recording: Recording) -> None:
    guest = Guest(tmp_path)
    recording.leased(guest)
    recording.recorder.begin()
    guest.runs(FIRST)
    recording.recorder.end(file="a.toml", name="one", scenario=True)
    whole = recording.part.read_bytes()
    recording.part.write_bytes(whole + b'{"kind": "ran", "fi')
    assert recording.ran() == {"one": [0]}
    recording.part.write_bytes(b'{"kind"\n' + whole)
    with pytest.raises(HarnessError, match="line 1 is damaged"):
        recording.found()


def test_a_guest_that_nobody_counts_is_refused(recording: Recording) -> None:
    with pytest.raises(HarnessError, match="not counted"):
        recording.recorder.leased(SimpleNamespace(id="x"), None, {})  # type: ignore[arg-type]


def test_sources_are_found_by_what_a_pdb_calls_them(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "drivers", tmp_path / "target"
    (tmp_path / "secret.c").write_text("x")
    for path in (ours / "refks" / "pin.c", theirs / "a" / "pin.c", theirs / "b" / "PIN.C", theirs / "x.o"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    find = Sources(ours, [theirs])
    assert find("/kshs/drivers/refks/pin.c") == ours / "refks" / "pin.c"
    assert find(r"D:\work\b\pin.c") == theirs / "b" / "PIN.C"
    assert find("/elsewhere/a/pin.c") == theirs / "a" / "pin.c"
    assert find("/elsewhere/x.o") is None and find("/kshs/drivers/../secret.c") is None


def _checksum(content: bytes) -> Checksum:
    return Checksum("sha256", hashlib.sha256(content).digest())


def test_of_two_sources_of_one_name_that_which_was_compiled_is_taken(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pin.c").write_bytes(f"int {name};\n".encode())
    find = Sources(tmp_path / "none", [tmp_path])
    assert find("/build/a/pin.c", _checksum(b"int b;\n").fits) == tmp_path / "b" / "pin.c"
    assert find("/build/b/pin.c", _checksum(b"int c;\n").fits) == tmp_path / "b" / "pin.c"


@pytest.mark.parametrize("compiled", [b"int a;\r\nint b;\r\n", b"int a;\nint b;\n", b"int a;\nint c;\n"])
def test_a_source_that_was_not_compiled_is_not_shown_as_if_it_were(tmp_path: Path, compiled: bytes) -> None:
    """Its lines would stand beside other text, and what has changed in it since would be no change."""
    (tmp_path / "pin.c").write_bytes(b"int a;\nint b;\n")
    notes: list[str] = []
    find = Sources(tmp_path / "none", [tmp_path])
    found = _source("m.sys", r"D:\w\pin.c", _checksum(compiled), find, notes)
    assert found.shown == str(tmp_path / "pin.c")
    if b"c" in compiled:
        assert found.text is None and notes[0].startswith(
            f"m.sys: {found.shown} is not the source that it was built from"
        )
    else:
        assert found.text == "int a;\nint b;\n" and not notes


def test_checksums_of_sources_are_read_as_far_as_they_are_whole() -> None:
    digest = bytes(range(16))
    entry = struct.pack("<IBB", 7, 16, 1) + digest + b"\0\0"
    none, torn = struct.pack("<IBB", 9, 0, 0) + b"\0\0", struct.pack("<IBB", 8, 32, 3) + digest
    assert list(_checksums(none + entry + torn)) == [(7, Checksum("md5", digest))]
    assert Checksum("md5", hashlib.md5(b"x", usedforsecurity=False).digest()).fits(b"x")
