# SPDX-License-Identifier: Apache-2.0
"""Functions and lines of our own drivers, from the PDBs that the linker wrote beside them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pefile
import pytest

import drivers.build
from harness.cli import main
from harness.errors import HarnessError
from harness.evidence.dump import read
from harness.evidence.dump_crash import named
from harness.evidence.symbols import Identity, SymbolFiles, Symbols, llvm
from harness.evidence.symbols.files import ImageFile
from harness.evidence.symbols.pdb import pdb_functions, pdb_identity
from tests.harness.evidence.dump_writer import DRIVERS, STACK, Driver, Header, TriageDump, u64
from tests.harness.evidence.paged_writer import crashed_machine

pytestmark = pytest.mark.component
BASE = 0xFFFFF80100000000


@pytest.fixture(scope="module")
def places(build: drivers.build.Build) -> tuple[Path, ...]:
    return (build.directory,)


@pytest.fixture(scope="module")
def image(build: drivers.build.Build) -> ImageFile:
    return ImageFile(build.avshs.sys[0])


@pytest.fixture(scope="module")
def driver(image: ImageFile) -> Driver:
    """The sample target as it would stand in a dump's list."""
    assert image.facts is not None and image.facts.size and image.facts.check_sum
    name = r"\SystemRoot\system32\drivers\avshs.sys"
    return Driver(name, BASE, image.facts.size, image.facts.time_stamp, image.facts.check_sum)


def start_of(build: drivers.build.Build, function: str) -> int:
    pdb = next(path for path in build.pdbs if path.stem == "avshs")
    return next(one.rva for one in pdb_functions(pdb).functions if one.name == function)


def test_the_identity_is_the_one_that_the_image_names(build: drivers.build.Build, image: ImageFile) -> None:
    assert image.facts is not None and image.facts.debug is not None
    pdb = pdb_identity(next(path for path in build.pdbs if path.stem == "avshs"))
    assert pdb is not None
    assert (pdb.guid, image.facts.debug.age in pdb.ages) == (image.facts.debug.guid, True)
    assert image.facts.debug.pdb == "avshs.pdb"
    with pefile.PE(str(image.path)) as pe:
        assert image.facts.time_stamp == pe.FILE_HEADER.TimeDateStamp
        assert image.facts.check_sum == pe.OPTIONAL_HEADER.CheckSum


@pytest.mark.parametrize("name", ["avshs.sys", "ks.sys", "ksclient.sys"])
def test_purepdb_and_the_symbolizer_agree_on_every_function(build: drivers.build.Build, name: str) -> None:
    files = {path.name: path for path in (build.client, build.refks, *build.avshs.sys)}
    symbols = Symbols(SymbolFiles(build.pdbs))
    pdb = next(path for path in build.pdbs if path.stem == name.removesuffix(".sys"))
    functions = pdb_functions(pdb).functions
    found = symbols.at(Identity(name, path=files[name]), [one.rva + one.size // 2 for one in functions])
    for one, symbol in zip(functions, found, strict=True):
        assert symbol.function is not None and symbol.start == one.rva, one
        assert symbol.why == ""
        assert symbol.lines[-1].function == symbol.function
    with_lines = [symbol for symbol in found if symbol.lines[0].line]
    assert len(with_lines) > len(found) * 0.8
    assert any(len(symbol.lines) > 1 and symbol.lines[0].inlined for symbol in found)
    # The table for unwinding, which needs no PDB, has the same functions but for those that call nothing.
    table = ImageFile(files[name]).functions
    assert table is not None
    bounds = [table.around(one.rva + one.size // 2) for one in functions]
    same = [one for one, found in zip(functions, bounds, strict=True) if found and found[0] == one.rva]
    assert len(same) > len(functions) * 0.6
    assert len(same) + bounds.count(None) > len(functions) * 0.95


def test_addresses_in_no_function_have_no_name(build: drivers.build.Build, image: ImageFile) -> None:
    assert image.facts is not None and image.facts.size is not None
    symbols = Symbols(SymbolFiles(build.pdbs))
    offsets = [0, 5, image.facts.size - 1, image.facts.size, 1 << 31]
    for symbol in symbols.at(Identity("avshs.sys", path=image.path), offsets):
        assert (symbol.function, symbol.lines) == (None, ())
        assert symbol.why


def test_a_dump_is_named_by_image_and_pdb(
    build: drivers.build.Build, driver: Driver, places: tuple[Path, ...], tmp_path: Path
) -> None:
    start = start_of(build, "AvshsPinHandshake")
    header = Header(stop_code=0xD1, parameters=(0, 2, 1, BASE + start + 9))
    # Behind the function's first instruction stands no call: that word is no return address.
    path = tmp_path / "triage.dmp"
    path.write_bytes(TriageDump(header, (DRIVERS[0], driver), stack=u64(BASE + start + 1)).bytes())
    found = named(read(path), Symbols(SymbolFiles(places)), "handshake")
    assert found.fault is not None
    symbol = found.fault.symbol
    assert (symbol.function, symbol.start, symbol.why) == ("AvshsPinHandshake", start, "")
    assert symbol.lines[-1].file is not None and symbol.lines[-1].file.endswith("behaviour.c")
    assert symbol.pdb is not None and symbol.pdb.name == "avshs.pdb"
    assert found.frames == ()
    assert found.signature.text == "stop 0xd1|write|avshs.sys!AvshsPinHandshake|in handshake"


def test_another_build_gives_no_names(
    build: drivers.build.Build, driver: Driver, places: tuple[Path, ...], tmp_path: Path
) -> None:
    start = start_of(build, "AvshsPinHandshake")
    header = Header(stop_code=0xD1, parameters=(0, 2, 1, BASE + start))
    driver = Driver(driver.name, driver.base, driver.size, driver.stamp ^ 1, driver.check_sum)
    path = tmp_path / "triage.dmp"
    path.write_bytes(TriageDump(header, [driver]).bytes())
    found = named(read(path), Symbols(SymbolFiles(places)))
    assert found.fault is not None and found.fault.symbol.function is None
    assert "is the build that was loaded" in found.fault.symbol.why
    assert found.signature.text == f"stop 0xd1|write|avshs.sys+{start & ~0xFF:#x}~"


def test_a_pdb_of_the_right_name_and_another_guid_is_refused(
    build: drivers.build.Build, image: ImageFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = next(path for path in build.pdbs if path.stem == "ks")
    for directory in (tmp_path / "symbols", tmp_path / "here"):
        directory.mkdir()
        shutil.copy(other, directory / "avshs.pdb")
    # Where a symbolizer would take what lies about.
    shutil.copy(image.path, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    symbols = Symbols(SymbolFiles([tmp_path / "symbols"]))
    start = start_of(build, "AvshsPinHandshake")
    (symbol,) = symbols.at(Identity("avshs.sys", path=tmp_path / "here" / "avshs.sys"), [start + 5])
    assert symbol.function is None
    assert symbol.why == "avshs.pdb has another GUID than avshs.sys: it is of another build"
    # The image alone still tells where the function begins.
    assert symbol.start == start
    # Beside the wrong one, the right one is found by its GUID, whatever it is called.
    shutil.copy(next(path for path in build.pdbs if path.stem == "avshs"), tmp_path / "symbols" / "old.pdb")
    symbols = Symbols(SymbolFiles([tmp_path / "symbols"]))
    (symbol,) = symbols.at(Identity("avshs.sys", path=image.path), [start + 5])
    assert symbol.function == "AvshsPinHandshake"


def test_a_dump_with_pages_needs_the_pdb_alone(
    build: drivers.build.Build, image: ImageFile, driver: Driver, tmp_path: Path
) -> None:
    start = start_of(build, "AvshsPinHandshake")
    header = Header(dump_type=5, stop_code=0xD1, parameters=(0, 2, 1, BASE + start + 9))
    with pefile.PE(str(image.path)) as pe:
        whole = bytes(pe.get_memory_mapped_image())
    path = tmp_path / "MEMORY.DMP"
    path.write_bytes(crashed_machine(header, {BASE: whole, STACK: u64(0)}).bytes())
    found = named(read(path), Symbols(SymbolFiles(build.pdbs)))
    assert found.fault is not None
    assert found.fault.frame.module.debug == image.facts.debug
    symbol = found.fault.symbol
    assert symbol.function == "AvshsPinHandshake"
    assert symbol.lines[0].file is not None and symbol.lines[0].line
    assert "without what was inlined" in symbol.why


def test_a_place_is_asked_for_once_while_its_files_are_the_same(
    build: drivers.build.Build, image: ImageFile, tmp_path: Path
) -> None:
    start = start_of(build, "AvshsPinHandshake")
    program, pdb, asked = tmp_path / "llvm-symbolizer", tmp_path / "avshs.pdb", tmp_path / "asked"
    program.write_text(f'#!/bin/sh\necho "$*" >>{asked}\nexec {llvm.symbolizer()} "$@"\n')
    program.chmod(0o755)
    shutil.copy(next(path for path in build.pdbs if path.stem == "avshs"), pdb)
    first = llvm.places(program, image, pdb, [start, start + 4, start])
    assert first[0] == first[2] and first[0][-1].function == "AvshsPinHandshake"
    assert llvm.places(program, image, pdb, [start + 4, start]) == [first[1], first[0]]
    assert len(asked.read_text().splitlines()) == 1
    llvm.places(program, image, pdb, [start + 8])
    os.utime(pdb, ns=(1, 1))
    assert llvm.places(program, image, pdb, [start]) == first[:1]
    assert [line.count(" 0x") for line in asked.read_text().splitlines()] == [2, 1, 1]
    pdb.unlink()
    with pytest.raises(HarnessError, match="cannot be read"):
        llvm.places(program, image, pdb, [start])


def test_without_a_symbolizer_there_are_lines_all_the_same(
    build: drivers.build.Build, image: ImageFile, tmp_path: Path
) -> None:
    start = start_of(build, "AvshsPinHandshake")
    identity = Identity("avshs.sys", path=image.path)
    broken = tmp_path / "llvm-symbolizer"
    broken.write_text("#!/bin/sh\necho nonsense\n")
    broken.chmod(0o755)
    for program in (None, broken, tmp_path / "absent"):
        (symbol,) = Symbols(SymbolFiles(build.pdbs), program).at(identity, [start])
        assert symbol.function == "AvshsPinHandshake"
        assert symbol.lines[0].file is not None and symbol.lines[0].file.endswith(".c")
        assert symbol.why
    assert llvm.symbolizer() is not None


def test_the_command_shows_it(
    build: drivers.build.Build,
    driver: Driver,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    start = start_of(build, "AvshsPinHandshake")
    header = Header(stop_code=0xD1, parameters=(0, 2, 1, BASE + start + 9))
    path = tmp_path / "triage.dmp"
    path.write_bytes(TriageDump(header, (DRIVERS[0], driver)).bytes())
    with pytest.raises(SystemExit) as ended:
        main(["dump", str(path), "--symbols", str(build.directory)])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"fault      avshs.sys!AvshsPinHandshake+0x9 (avshs.sys+{start + 9:#x}) (parameter 4)" in shown
    assert "behaviour.c:" in shown
    with pytest.raises(SystemExit):
        main(["dump", "--json", str(path), "--symbols", str(build.directory)])
    (said,) = json.loads(capsys.readouterr().out)
    assert said["fault"]["symbol"]["function"] == "AvshsPinHandshake"
    assert said["signature"]["text"] == "stop 0xd1|write|avshs.sys!AvshsPinHandshake"
