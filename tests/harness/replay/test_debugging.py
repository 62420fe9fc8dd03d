# SPDX-License-Identifier: Apache-2.0
"""A recording under a debugger: what gdb is told, and what cannot be debugged."""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.capsule import recording
from harness.errors import UsageError
from harness.replay import debugging
from harness.replay.debugging import Debugging, debug
from tests.harness.replay.test_recording import SAID, folder, recorder
from tests.vm.test_backwards import FIRST, LAST, Toy, position
from tests.vm.test_replay_qemu import image
from vm.backwards import Stand
from vm.gdb_remote import Link

NOW = SAID.model_copy(update={"schema_version": recording.COUNTED, "instructions": LAST + 1})


def test_gdb_is_told_where_symbols_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = folder(tmp_path, frames=b"")
    (place / recording.DRIVERS).mkdir()
    (place / recording.DRIVERS / "ks.pdb").write_bytes(b"symbols")
    (place / recording.DRIVERS / "ks.sys").write_bytes(b"driver")
    ks = recording.Module(name="KS.sys", base=0x230000, size=0x9000)  # as the guest writes it
    said = NOW.model_copy(update={"modules": [*SAID.modules, ks]})

    def write(pdb: Path, into: Path, image: Path) -> bool:
        assert (pdb.read_bytes(), image.read_bytes()) == (b"symbols", b"driver")
        into.write_bytes(b"elf")
        return True

    monkeypatch.setattr(debugging.symbol_file, "write", write)
    with Debugging(recorder(tmp_path), image(tmp_path), place, said) as made:
        text = made.script.read_text()
        assert re.search(r'^add-symbol-file "\S+/KS\.o" 0x230000$', text, re.MULTILINE)
        assert "avshs" not in text and made.without == ["avshs.sys"]
        assert text.splitlines()[-1] == f"target remote {made.place / 'gdb.sock'}"
    assert not made.place.exists()


def test_one_gdb_is_served_at_the_instruction_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(self: Any) -> Stand:
        toy = Toy()
        return Stand(toy, toy.stub)

    monkeypatch.setattr(Debugging, "_begin", begin)
    said: list[str] = []
    told = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("gdb -x "):
            told.set()

    place = folder(tmp_path, frames=b"")
    arguments = (recorder(tmp_path), image(tmp_path), place, NOW, FIRST + 3, say)
    server = threading.Thread(target=debug, args=arguments)
    server.start()
    assert told.wait(10)
    script = Path(said[-1].removeprefix("gdb -x "))
    stream = socket.socket(socket.AF_UNIX)
    stream.connect(script.read_text().split()[-1])
    gdb = Link(stream, "server")
    assert position(gdb) == FIRST + 3
    gdb.ask(b"bs", 10)
    assert position(gdb) == FIRST + 2
    gdb.close()
    server.join(10)
    assert not server.is_alive() and not script.exists()
    assert said[0] == "no symbols of avshs.sys: its PDB is not in the recording"


@pytest.mark.parametrize(
    ("said", "at", "why"),
    [
        (SAID, None, "made by an older kshs"),
        (NOW, LAST + 1, f"it has {LAST + 1:,} instructions"),
        (NOW.model_copy(update={"qemu": "9.9"}), None, "recorded by QEMU"),
    ],
)
def test_what_cannot_be_debugged(said: recording.Recording, at: int | None, why: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=why):
        debug(recorder(tmp_path), image(tmp_path), tmp_path, said, at, lambda text: None)
