# SPDX-License-Identifier: Apache-2.0
"""What coverage stands on: QEMU's plugin, where drivers are loaded, and what a PDB says of code."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

import drivers.build
from harness.agent import modules
from harness.agent.encode import Encoder
from harness.coverage.images import CodeImage
from harness.coverage.symbols import ModuleSymbols, symbols_of
from harness.evidence.symbols import SymbolFiles
from tests.component.agent import ABI, Agent
from tests.component.wine import WineGuest
from vm import trials
from vm.commands import qemu_version, require
from vm.config import VmConfig
from vm.errors import VmError
from vm.plugin import build as plugin_build

pytestmark = pytest.mark.component


def test_the_plugin_is_built_and_counts_with_this_qemu(tmp_path: Path) -> None:
    config = VmConfig(cache_dir=tmp_path)
    emulator = require(config.qemu)
    said: list[str] = []

    class Progress:
        def step(self, text: str, fraction: float | None = None) -> None:
            said.append(text)

    found = plugin_build.ensure(config, emulator, qemu_version(emulator), Progress())
    again = plugin_build.ensure(config, emulator, qemu_version(emulator), Progress())
    assert found == again and found.api in plugin_build.VERSIONS
    assert len(said) == 1, "the second time nothing is done"
    assert f"by version {found.api} of its interface" in trials.plugin(config)


def test_a_qemu_that_takes_no_plugin_is_refused_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin_build, "VERSIONS", (1,))
    other = tmp_path / "qemu"
    other.write_text("#!/bin/sh\necho 'qemu: -plugin: invalid option' >&2\nexit 1\n")
    other.chmod(0o755)
    with pytest.raises(VmError, match=r"takes no plugin of ours.*invalid option"):
        plugin_build.ensure(VmConfig(cache_dir=tmp_path / "cache"), str(other), "7.2")


def test_the_guest_says_where_its_drivers_are(agent: Agent, wine_guest: WineGuest) -> None:
    found = modules.ask(agent.session, Encoder(ABI))
    loaded = {one.key: one for process in found for one in process.modules}
    for name in ("avshs.sys", "ks.sys", "ksclient.sys"):
        assert loaded[name].base and loaded[name].size, name
        assert (loaded[name].path or "").lower().endswith(rf"\{name}")
    assert loaded["avshs.sys"].base != loaded["ks.sys"].base
    told = wine_guest.must("modules")
    assert any(
        one["name"].lower() == "avshs.sys" for process in told["processes"] for one in process["modules"]
    )


@pytest.fixture(scope="module")
def symbols(build: drivers.build.Build) -> ModuleSymbols:
    return symbols_of("avshs.sys", CodeImage(build.avshs.sys[0]), SymbolFiles(build.pdbs))


def test_every_line_with_code_is_known(symbols: ModuleSymbols, build: drivers.build.Build) -> None:
    assert symbols.why_no_lines is None and symbols.pdb is not None
    handshake = next(one for one in symbols.functions if one.name == "AvshsPinHandshake")
    lines = {symbols.lines[place] for place in symbols.lines_of(handshake.begin, handshake.end)}
    source = (Path(drivers.build.__file__).parent / "avshs" / "behaviour.c").read_text().splitlines()
    begin = next(number for number, line in enumerate(source, 1) if "AvshsPinHandshake(" in line)
    assert any(begin <= one.line <= begin + 15 for one in lines if one.file.endswith("avshs/behaviour.c"))
    # CorruptPool is inlined everywhere: it has no function, and lines all the same.
    assert not any(one.name == "CorruptPool" for one in symbols.functions)
    corrupt = next(number for number, line in enumerate(source, 1) if " CorruptPool(" in line)
    assert any(corrupt <= one.line <= corrupt + 12 for one in lines if one.file.endswith("avshs/behaviour.c"))


def test_a_block_is_in_its_function_and_has_its_lines_alone(symbols: ModuleSymbols) -> None:
    for number, function in enumerate(symbols.functions):
        assert list(symbols.functions_of(function.begin, function.begin + 1)) == [number]
        assert list(symbols.functions_of(function.end - 1, function.end)) == [number]
    first = symbols.instructions[0]
    assert symbols.lines_of(first, first + 1) == set(symbols.at[0])
    assert symbols.lines_of(first, first) == set()


def test_without_its_pdb_a_module_has_functions_and_exports(build: drivers.build.Build) -> None:
    image = CodeImage(build.refks)
    found = symbols_of("ks.sys", image, SymbolFiles(path for path in build.pdbs if path.stem == "avshs"))
    assert found.why_no_lines is not None and "no PDB with the GUID" in found.why_no_lines
    assert not found.lines
    by_name = {one.name: one for one in found.functions}
    assert by_name["KsPinHandshake"].begin == image.exports["KsPinHandshake"]
    assert sum(1 for one in found.functions if not one.name) > 50, "functions that nobody exports"
    every = sorted(found.functions, key=lambda one: one.begin)
    assert all(one.begin < one.end <= after.begin for one, after in itertools.pairwise(every))
