# SPDX-License-Identifier: Apache-2.0
"""What gdb is given of the drivers' PDBs: the same functions and lines at the same places."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import drivers.build
from drivers.components import ROOT
from harness.evidence.symbols.pdb import pdb_functions
from harness.replay import symbol_file

pytestmark = pytest.mark.component
BASE = 0x2340000


@pytest.mark.skipif(shutil.which("gdb") is None, reason="there is no gdb here")
@pytest.mark.parametrize("driver", ["avshs", "ks"])
def test_gdb_knows_the_functions_and_lines_of_a_pdb(
    driver: str, build: drivers.build.Build, tmp_path: Path
) -> None:
    pdb = next(path for path in build.pdbs if path.stem == driver)
    made = tmp_path / f"{driver}.o"
    assert symbol_file.write(pdb, made)
    known = pdb_functions(pdb)
    asked = known.functions[:: max(1, len(known.functions) // 20)]
    script = [f"add-symbol-file {symbol_file.quoted(str(made))} {BASE:#x}"]
    for function in asked:
        script += [f"info symbol {BASE + function.rva:#x}", f"info line *{BASE + function.rva:#x}"]
    (tmp_path / "x.gdb").write_text("set confirm off\n" + "\n".join(script) + "\n")
    done = subprocess.run(
        ["gdb", "-batch", "-nx", "-x", tmp_path / "x.gdb"],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    found = re.findall(r"^(\S+) in section \.text", done.stdout, re.MULTILINE)
    names = [function.name for function in asked]
    # A second function of the same name has a number behind it.
    assert [re.sub(r"\.\d+$", "", name) for name in found] == names, done.stdout
    lines = {rva: (file, line) for rva, file, line in known.lines}
    told = re.findall(r'^Line (\d+) of "([^"]+)" starts at address 0x([0-9a-f]+)', done.stdout, re.MULTILINE)
    assert len(told) > len(asked) // 2, done.stdout
    for number, file, address in told:
        assert lines[int(address, 16) - BASE] == (file, int(number))


@pytest.mark.skipif(shutil.which("gdb") is None, reason="there is no gdb here")
def test_gdb_shows_a_write_in_inlined_code_at_its_own_line(
    build: drivers.build.Build, tmp_path: Path
) -> None:
    pdb = next(path for path in build.pdbs if path.stem == "ks")
    image = build.refks
    lines = (ROOT / "common" / "kshs_compat.h").read_text("utf-8").splitlines()
    written = 1 + next(at for at, line in enumerate(lines) if "irp->IoStatus.Status = status;" in line)
    told = {}
    for name, driver in (("without", None), ("with", image)):
        made = tmp_path / f"{name}.o"
        assert symbol_file.write(pdb, made, driver)
        asked = ("set confirm off", f"add-symbol-file {made} {BASE:#x}", f"info line kshs_compat.h:{written}")
        done = subprocess.run(
            ["gdb", "-batch", "-nx", *(word for line in asked for word in ("-ex", line))],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        told[name] = done.stdout
    at = re.compile(rf'^Line {written} of "\S+kshs_compat\.h" starts at address', re.MULTILINE)
    assert at.search(told["with"]) and not at.search(told["without"]), told


def test_without_the_tools_the_lines_are_those_of_the_pdb(
    build: drivers.build.Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pdb = next(path for path in build.pdbs if path.stem == "avshs")
    image = next(build.avshs.directory.glob("avshs.sys"))
    assert symbol_file.write(pdb, tmp_path / "plain.o")
    monkeypatch.setattr(symbol_file.llvm, "symbolizer", lambda: None)
    assert symbol_file.write(pdb, tmp_path / "same.o", image)
    assert (tmp_path / "same.o").read_bytes() == (tmp_path / "plain.o").read_bytes()
