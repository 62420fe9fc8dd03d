# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pefile
import pytest

from drivers import __main__ as command
from drivers import build as build_module
from drivers import imports, job, package, seh, toolchain
from drivers.build import Build, build
from drivers.components import ROOT
from drivers.errors import BuildError, CompileError, ImportRefused, ToolMissing
from drivers.version import DRIVER_DATE, stamp_inf, version_text
from tests.drivers.conftest import write_tree

#: A compiler, and where drivers are loaded Wine, are needed.
pytestmark = pytest.mark.component


def contents(made: Build) -> dict[str, bytes]:
    return {
        path.relative_to(made.directory).as_posix(): path.read_bytes()
        for path in made.directory.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def stamp(image: Path) -> int:
    with pefile.PE(str(image), fast_load=True) as pe:
        return int(pe.FILE_HEADER.TimeDateStamp)


def compiled(messages: list[str]) -> set[str]:
    return {text.split(": ")[1] for text in messages if text.startswith("compiled ")}


@pytest.mark.component
def test_a_build_has_everything(built: Build) -> None:
    ours = (built.agent, built.recorder, built.client, built.refks)
    for path in (*ours, built.avshs.inf, built.avshs.cat, *built.pdbs):
        assert path.stat().st_size > 0
    names = {"avshs.pdb", "ks.pdb", "ksclient.pdb", "kshsctl.pdb", "kshsrec.pdb", "kstrace.pdb", "wdmsup.pdb"}
    assert {path.name for path in built.pdbs} == names
    assert not list(built.directory.glob(".work-*"))


@pytest.mark.component
def test_its_package_loads_and_has_the_same_digest(built: Build) -> None:
    loaded = package.load(built.avshs.directory)
    assert loaded == built.avshs


@pytest.mark.component
def test_two_builds_in_different_places_are_byte_identical(
    built: Build, tmp_path: Path, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    deep = tmp_path / "another" / "much deeper" / "place"
    messages: list[str] = []
    other = build(deep / "out", source=write_tree(deep / "tree"), progress=messages.append)
    assert compiled(messages)  # nothing came from a cache
    assert contents(other) == contents(built)
    assert other.digest == built.digest


@pytest.mark.component
def test_no_path_of_the_builder_is_inside(built: Build) -> None:
    for name, data in contents(built).items():
        assert str(built.directory.parent).encode() not in data, name
        assert str(Path.home()).encode() + b"/" not in data, name


@pytest.mark.component
def test_images_are_as_drivers_must_be(built: Build) -> None:
    for path in (built.client, built.refks, built.avshs.sys[0]):
        with pefile.PE(str(path)) as image:
            assert image.OPTIONAL_HEADER.Subsystem == 1
            assert image.OPTIONAL_HEADER.DllCharacteristics & 0x160 == 0x160
            assert not image.FILE_HEADER.Characteristics & 0x2000
            assert image.FILE_HEADER.TimeDateStamp
            assert image.verify_checksum()
            (debug,) = [entry for entry in image.DIRECTORY_ENTRY_DEBUG if entry.struct.Type == 2]
            assert debug.entry.PdbFileName.rstrip(b"\0").decode() == f"{path.stem}.pdb"
            assert image.VS_FIXEDFILEINFO[0].FileVersionMS == 1  # 0.1


@pytest.mark.component
def test_a_second_build_does_nothing_and_is_quick(tree: Path, tmp_path: Path) -> None:
    first = build(tmp_path / "out", source=tree)
    messages: list[str] = []
    begin = time.process_time()  # a busy machine is no reason to fail
    second = build(tmp_path / "out", source=tree, progress=messages.append)
    assert time.process_time() - begin < 0.3
    assert messages == []
    assert second == first


@pytest.mark.component
def test_default_directory_is_named_by_the_inputs(tree: Path, fresh_cache: Path) -> None:
    first = build(source=tree)
    assert first.directory.parent == fresh_cache / "builds"
    (tree / "common/shared.h").write_text("#define SHARED 8\n")
    second = build(source=tree)
    assert second.directory != first.directory
    assert second.digest != first.digest
    assert first.client.exists()


@pytest.mark.component
def test_only_what_depends_on_a_change_is_compiled(tree: Path, tmp_path: Path, fresh_cache: Path) -> None:
    build(tmp_path / "out", source=tree)
    messages: list[str] = []
    (tree / "common/shared.h").write_text("#define SHARED 8\n")
    build(tmp_path / "out", source=tree, progress=messages.append)
    assert compiled(messages) == {"drivers/ksclient/client.c", "drivers/avshs/avshs.c"}


@pytest.mark.component
def test_a_variant_shares_what_is_the_same(tree: Path, tmp_path: Path, fresh_cache: Path) -> None:
    original = build(tmp_path / "out", source=tree)
    variant = write_tree(tmp_path / "variant")
    (variant / "refks/ks.c").write_text((variant / "refks/ks.c").read_text().replace("32 : 24", "31 : 24"))
    messages: list[str] = []
    made = build(tmp_path / "out2", source=variant, progress=messages.append)
    assert compiled(messages) == {"drivers/refks/ks.c"}
    assert made.refks.read_bytes() != original.refks.read_bytes()
    # What a crash dump says of a driver: builds are told apart by it, and nothing else of it has changed.
    assert stamp(made.refks) != stamp(original.refks)
    assert stamp(made.client) == stamp(original.client)
    assert made.client.read_bytes() == original.client.read_bytes()


@pytest.mark.component
def test_a_damaged_output_is_made_again(tree: Path, tmp_path: Path) -> None:
    made = build(tmp_path / "out", source=tree)
    good = made.client.read_bytes()
    made.client.write_bytes(good[:-1])
    made.avshs.cat.unlink()
    again = build(tmp_path / "out", source=tree)
    assert again.client.read_bytes() == good
    assert again.digest == made.digest


@pytest.mark.component
def test_a_damaged_object_store_is_no_obstacle(tree: Path, tmp_path: Path, fresh_cache: Path) -> None:
    made = build(tmp_path / "out", source=tree)
    for path in (fresh_cache / "objects").iterdir():
        if path.suffix == ".json":
            path.write_text("{broken")
        else:
            path.unlink()
    assert build(tmp_path / "out2", source=tree).digest == made.digest


@pytest.mark.component
def test_a_failed_build_leaves_the_last_one_and_no_rubbish(tree: Path, tmp_path: Path) -> None:
    made = build(tmp_path / "out", source=tree)
    before = contents(made)
    (tree / "avshs/avshs.c").write_text("int broken")
    with pytest.raises(CompileError, match=r"avshs/avshs.c: does not compile: .*error"):
        build(tmp_path / "out", source=tree)
    assert contents(made) == before
    assert not list(tmp_path.glob("out/.work-*"))


@pytest.mark.component
def test_what_the_compiler_refused_is_not_compiled_again(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = (tree / "avshs/avshs.c").read_text()
    (tree / "avshs/avshs.c").write_text("int broken")
    with pytest.raises(CompileError) as first:
        build(tmp_path / "out", source=tree)
    with monkeypatch.context() as patch:
        patch.setattr(job.Job, "run", lambda *_args: pytest.fail("compiled again"))
        with pytest.raises(CompileError) as second:
            build(tmp_path / "out", source=tree)
    assert (str(second.value), second.value.output) == (str(first.value), first.value.output)
    (tree / "avshs/avshs.c").write_text(good)
    assert build(tmp_path / "out2", source=tree).client.exists()


@pytest.mark.component
def test_what_a_killed_build_left_is_removed(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "out/.work-dead/obj").mkdir(parents=True)
    build(tmp_path / "out", source=tree)
    assert not list(tmp_path.glob("out/.work-*"))


@pytest.mark.component
def test_warnings_are_errors(tree: Path, tmp_path: Path) -> None:
    source = tree / "avshs/avshs.c"
    source.write_text(source.read_text() + "static int unused(void) { return 1; }\n")
    with pytest.raises(CompileError, match="unused") as caught:
        build(tmp_path / "out", source=tree)
    assert "\n" not in str(caught.value)


@pytest.mark.component
def test_a_link_error_names_the_symbol(tree: Path, tmp_path: Path) -> None:
    source = tree / "avshs/avshs.c"
    source.write_text(source.read_text().replace("KsPinHandshake", "KsNotThere"))
    with pytest.raises(CompileError, match=r"avshs.sys: does not link: .*KsNotThere"):
        build(tmp_path / "out", source=tree)


@pytest.mark.component
def test_another_name_for_the_class_driver(tree: Path, tmp_path: Path) -> None:
    made = build(tmp_path / "out", source=tree, ks_module="kshsks.sys")
    assert made.refks.name == "kshsks.sys"
    assert ("kshsks.sys", "KsPinHandshake") in imports.imports(made.client)
    assert "ks.sys" not in {module for module, _ in imports.imports(made.avshs.sys[0])}
    with pefile.PE(str(made.refks)) as image:
        assert image.DIRECTORY_ENTRY_EXPORT.name == b"kshsks.sys"


@pytest.mark.parametrize("name", ["", "ks", "../ks.sys", "k s.sys", "avshs.sys", "ks.dll", "a" * 40 + ".sys"])
def test_bad_module_names_are_refused(tree: Path, name: str) -> None:
    with pytest.raises(BuildError):
        build(source=tree, ks_module=name)


@pytest.mark.component
def test_a_stub_import_is_refused(tree: Path, tmp_path: Path) -> None:
    source = tree / "avshs/avshs.c"
    text = source.read_text().replace(
        "(PVOID)(ULONG_PTR)SHARED", "(PVOID)(ULONG_PTR)KeGetRecommendedSharedDataAlignment()"
    )
    source.write_text(text)
    with pytest.raises(
        ImportRefused,
        match=r"avshs.sys imports KeGetRecommendedSharedDataAlignment from ntoskrnl.exe: Wine has",
    ):
        build(tmp_path / "out", source=tree)


@pytest.mark.component
def test_a_new_import_of_the_agent_is_refused(tree: Path, tmp_path: Path) -> None:
    source = tree / "kshsctl/main.c"
    source.write_text(
        source.read_text()
        .replace("GetTickCount", "GetTickCount64")
        .replace("int wmain", "WINBASEAPI ULONGLONG WINAPI GetTickCount64(void);\nint wmain", 1)
    )
    with pytest.raises(ImportRefused, match=r"kshsctl.exe imports GetTickCount64 .*NT 5.2"):
        build(tmp_path / "out", source=tree)


@pytest.mark.component
def test_a_try_that_protects_nothing_is_refused(tree: Path, tmp_path: Path) -> None:
    source = tree / "refks/ks.c"
    source.write_text(
        source.read_text().replace(
            "memcpy(out, in, pin ? 32 : 24)", "*(int *)out = *(int *)in + (pin == NULL)"
        )
    )
    with pytest.raises(BuildError, match=r"ks.sys \(ks.c\): 1 __try blocks but only 0 protected ranges"):
        build(tmp_path / "out", source=tree)


def test_try_blocks_in_comments_and_strings_do_not_count() -> None:
    assert seh.count_blocks('/* __try */ // __try\nchar *x = "__try"; __try { f(); }') == 1


def test_a_missing_tool_is_named_with_its_package(
    tree: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    only = tmp_path / "bin"
    only.mkdir()
    clang = shutil.which("clang")
    assert clang
    (only / "clang").symlink_to(clang)
    monkeypatch.setenv("PATH", str(only))
    with pytest.raises(ToolMissing, match=r"^ld.lld is not installed; run: apt-get install -y lld$"):
        build(source=tree)


def test_missing_headers_are_named_with_their_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(toolchain, "_INCLUDE_DIRECTORIES", (tmp_path,))
    with pytest.raises(ToolMissing, match="mingw-w64-x86-64-dev"):
        toolchain.find()


@pytest.mark.component
def test_an_incomplete_tree_is_refused(tree: Path) -> None:
    (tree / "refks/ks.def").unlink()
    with pytest.raises(BuildError, match=r"ks.def: is missing"):
        build(source=tree)
    shutil.rmtree(tree / "kshsctl")
    with pytest.raises(BuildError, match=r"kshsctl: folder is missing"):
        build(source=tree)


@pytest.mark.component
def test_the_inf_is_stamped_and_nothing_else_changed(built: Build) -> None:
    original = (ROOT / "avshs/avshs.inf").read_text(encoding="utf-8").splitlines()
    stamped = built.avshs.inf.read_text(encoding="utf-8").splitlines()
    different = [line for line, old in zip(stamped, original, strict=True) if line != old]
    assert len(different) <= 1
    assert f"{DRIVER_DATE},{version_text()}" in "\n".join(stamped)
    with pytest.raises(BuildError, match="0 lines with DriverVer"):
        stamp_inf(b"[Version]\n")


def _build_once(arguments: tuple[Path, Path]) -> tuple[str, int]:
    source, out = arguments
    messages: list[str] = []
    digest = build(out, source=source, progress=messages.append).digest
    return digest, len(messages)


@pytest.mark.component
def test_processes_share_one_build(tree: Path, tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(3) as pool:
        results = pool.map(_build_once, [(tree, tmp_path / "out")] * 3)
    assert len({digest for digest, _ in results}) == 1
    assert sorted(count > 0 for _, count in results) == [False, False, True]


@pytest.mark.component
def test_unused_builds_are_forgotten(tree: Path, fresh_cache: Path) -> None:
    first = build(source=tree)
    long_ago = time.time() - 30 * 86400
    os.utime(first.directory / build_module.MANIFEST, (long_ago, long_ago))
    (tree / "common/shared.h").write_text("#define SHARED 9\n")
    second = build(source=tree)
    assert not first.directory.exists()
    assert second.client.exists()


@pytest.mark.component
def test_command_prints_paths(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--source", str(tree), str(tmp_path / "out")]) == 0
    assert str(tmp_path / "out/kshsctl.exe") in capsys.readouterr().out
    (tree / "kshsctl/main.c").write_text("nonsense")
    assert command.main(["--source", str(tree), str(tmp_path / "out")]) == 1
    assert (
        capsys.readouterr().err.splitlines()[-1].startswith("error: drivers/kshsctl/main.c: does not compile")
    )


@pytest.mark.component
def test_the_projects_own_sources_build_twice_as_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")  # the user's: compiled once, not at every test run
    first = build(tmp_path / "out")
    assert package.load(first.avshs.directory) == first.avshs
    program = [sys.executable, "-m", "drivers", str(tmp_path / "out")]
    done = subprocess.run(program, cwd=ROOT.parent, capture_output=True, text=True, check=True)
    assert first.digest in done.stdout
    assert done.stderr == ""
    manifest = json.loads((tmp_path / "out" / build_module.MANIFEST).read_text())
    assert "kshsctl.exe" in manifest["files"]
