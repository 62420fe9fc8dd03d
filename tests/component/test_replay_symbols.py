# SPDX-License-Identifier: Apache-2.0
"""What gdb is given of the drivers' PDBs: the same functions and lines at the same places."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import drivers.build
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
