# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from drivers import imports, toolchain
from drivers.errors import BuildError, ImportRefused
from drivers.imports import Exports, Offered

INSTALLED = next((path for path in imports._WINE_DIRECTORIES if (path / "ntoskrnl.exe").is_file()), None)

OLDEST = "8.0"


def driver(directory: Path, module: str, *functions: str) -> Path:
    """A driver that imports these functions and does nothing else."""
    tools = toolchain.find()
    definition = directory / "lib.def"
    definition.write_text("\n".join([f'LIBRARY "{module}"', "EXPORTS", *functions, ""]))
    tools.import_library(definition, directory / "lib.a", module)
    declarations = "".join(f"__declspec(dllimport) int {name}(void);\n" for name in functions)
    calls = " + ".join(f"{name}()" for name in functions)
    code = f"{declarations}int DriverEntry(void);\nint DriverEntry(void) {{ return {calls}; }}\n"
    (directory / "driver.c").write_text(code)
    tools.compile(directory, "driver.c", "driver.o", toolchain.Options(kernel=True))
    tools.link_driver("crafted.sys", ["driver.o"], ["lib.a"], directory)
    return directory / "crafted.sys"


@pytest.mark.component
@pytest.mark.parametrize(
    ("module", "function", "reason"),
    [
        ("ntoskrnl.exe", "KeGetRecommendedSharedDataAlignment", "only a stub"),
        ("ntoskrnl.exe", "IoCreateStreamFileObject", "only a stub"),
        ("ntoskrnl.exe", "ExQueueWorkItem", "only a stub"),
        ("ntoskrnl.exe", "NoSuchFunction", "does not have it"),
        ("ntoskrnl.exe", "IoGetDeviceObjectPointer", "on Wine it succeeds with a NULL file object"),
        ("ntoskrnl.exe", "ExRaiseStatus", "on Wine it ends the process"),
        ("storport.sys", "StorPortInitialize", "has no such module"),
    ],
)
def test_what_wine_lacks_or_pretends_is_refused(
    tmp_path: Path, module: str, function: str, reason: str
) -> None:
    image = driver(tmp_path, module, function)
    (found,) = imports.missing(image, imports.wine(OLDEST))
    assert (found.importer, found.module, found.function) == ("crafted.sys", module, function)
    assert reason in found.reason
    with pytest.raises(ImportRefused, match=rf"^crafted.sys imports {function} from {module}: .*{reason}"):
        imports.require(image, imports.wine(OLDEST))


@pytest.mark.component
def test_what_wine_has_is_accepted(tmp_path: Path) -> None:
    image = driver(tmp_path, "ntoskrnl.exe", "IoCreateDevice", "KeSetEvent", "RtlInitUnicodeString")
    imports.require(image, *imports.every_wine(), imports.windows(toolchain.find().libraries))


@pytest.mark.component
def test_all_refused_imports_are_told(tmp_path: Path) -> None:
    image = driver(tmp_path, "ntoskrnl.exe", "NotA", "NotB", "IoCreateDevice")
    with pytest.raises(ImportRefused, match=r"NotA .* \(and 1 more: NotB\)"):
        imports.require(image, imports.wine(OLDEST))


@pytest.mark.component
def test_care_excuses_a_wrong_function_but_never_a_stub(tmp_path: Path) -> None:
    image = driver(tmp_path, "ntoskrnl.exe", "Wrong", "Stub")
    exports = Exports(frozenset(), {"Wrong": "on Wine it lies", "Stub": imports._STUB_REASON})
    careful = {"known.sys": {"Wrong": "copes", "Stub": "copes not"}}
    offered = Offered("wine", "Wine", {"ntoskrnl.exe": exports}, careful)
    assert [entry.function for entry in imports.missing(image, offered)] == ["Stub", "Wrong"]
    assert [entry.function for entry in imports.missing(image, offered, "known.sys")] == ["Stub"]


@pytest.mark.component
def test_windows_offers_what_the_import_libraries_have(tmp_path: Path) -> None:
    windows = imports.windows(toolchain.find().libraries)
    good = driver(tmp_path, "ks.sys", "KsInitializeDriver", "KsPinHandshake")
    assert imports.missing(good, windows) == []
    (found,) = imports.missing(driver(tmp_path, "ntoskrnl.exe", "wine_ntoskrnl_main_loop"), windows)
    assert found.function == "wine_ntoskrnl_main_loop"


@pytest.mark.component
def test_a_module_of_ours_offers_its_exports(built_ks: Path, tmp_path: Path) -> None:
    offered = imports.wine(OLDEST).with_module("ks.sys", imports.exports_of(built_ks))
    assert imports.missing(driver(tmp_path, "ks.sys", "KsPinHandshake"), offered) == []
    (found,) = imports.missing(driver(tmp_path, "ks.sys", "KsInitializeDriver"), offered)
    assert "does not have it" in found.reason


@pytest.mark.component
@pytest.mark.parametrize(
    "function", ["ExAllocatePool2", "PsGetProcessImageFileName", "KeQueryInterruptTimePrecise"]
)
def test_a_driver_may_import_only_what_the_oldest_kernel_has(tmp_path: Path, function: str) -> None:
    oldest = imports.kernel()
    assert imports.missing(driver(tmp_path, "ntoskrnl.exe", "IoCreateDevice"), oldest) == []
    with pytest.raises(ImportRefused, match=f"imports {function} .* the list of what NT 5.2 has"):
        imports.require(driver(tmp_path, "ntoskrnl.exe", function), oldest)


@pytest.mark.component
def test_everything_that_was_built_starts_on_the_oldest_kernel(built: object) -> None:
    """Also the agent: a newer call among its imports would keep it from saying what the guest lacks."""
    build: Any = built
    for image in (build.client, build.refks, *build.avshs.sys):
        assert imports.missing(image, imports.kernel()) == []
    assert imports.missing(build.agent, imports.agent()) == []
    newer = {"GetFinalPathNameByHandleW", "CancelIoEx", "CancelSynchronousIo", "NtCancelIoFileEx"}
    assert not newer & {
        name for functions in imports._data()["agent"]["static"].values() for name in functions
    }


@pytest.fixture
def built_ks(built: object) -> Path:
    return built.refks  # type: ignore[attr-defined, no-any-return]


@pytest.mark.skipif(INSTALLED is None, reason="Wine is not installed")
def test_stubs_are_those_that_call_the_stub_handler() -> None:
    """The code pattern against an independent reader: the disassembler."""
    assert INSTALLED is not None
    module = INSTALLED / "hal.dll"
    exports = imports.exports_of(module)
    objdump = toolchain.find_program("llvm-objdump", "llvm")
    text = subprocess.run([objdump, "-d", module], capture_output=True, text=True, check=True).stdout
    # Every stub is lea, lea, call of the same handler: that call's target occurs once per stub.
    targets = [line.split()[-1] for line in text.splitlines() if "callq\t" in line]
    assert max(targets.count(target) for target in set(targets)) == len(exports.refused) > 50
    assert {"KeQueryPerformanceCounter", "KfAcquireSpinLock"} & exports.functions


@pytest.mark.skipif(INSTALLED is None, reason="Wine is not installed")
def test_the_snapshot_is_what_the_same_wine_says() -> None:
    assert INSTALLED is not None
    installed = imports.read_wine(INSTALLED)
    snapshots = [json.loads(path.read_text()) for path in imports.DATA.glob("wine-*.json")]
    same = [snapshot for snapshot in snapshots if snapshot["version"] == installed["version"]]
    if not same:
        pytest.skip(f"no snapshot is of {installed['version']}, which is installed here")
    assert same == [installed]


def test_each_snapshot_is_of_the_version_in_its_name() -> None:
    assert imports.wine_versions() == ["8.0", "10.0"]
    origins = [offered.origin for offered in imports.every_wine()]
    assert origins == [f"Wine {version}" for version in imports.wine_versions()]


@pytest.mark.parametrize(
    ("said", "origin"),
    [
        ("8.0", "Wine 8.0"),
        ("10.0", "Wine 10.0"),
        ("wine-10.0 (Debian 10.0~repack-6)", "Wine 10.0"),
        ("8.21", "Wine 8.0"),
        ("9.0", "Wine 8.0"),
        ("11.2", "Wine 10.0"),
        ("7.0", "Wine 8.0"),
        ("", "Wine 8.0"),
    ],
)
def test_the_guests_wine_decides(said: str, origin: str) -> None:
    assert imports.wine(said).origin == origin


@pytest.mark.component
def test_what_is_a_stub_in_one_wine_works_in_the_next(tmp_path: Path) -> None:
    image = driver(tmp_path, "ntoskrnl.exe", "ExGetPreviousMode", "ExAllocatePool2")
    old, new = imports.every_wine()
    assert [entry.function for entry in imports.missing(image, old)] == [
        "ExAllocatePool2",
        "ExGetPreviousMode",
    ]
    assert imports.missing(image, new) == []
    imports.check(image, [old, new])
    with pytest.raises(ImportRefused, match=r"imports ExAllocatePool2 .*Wine 8.0 does not have it"):
        imports.check(image, [old])


@pytest.mark.component
def test_a_driver_that_loads_nowhere_is_refused_for_what_it_lacks_in_the_best_case(tmp_path: Path) -> None:
    image = driver(tmp_path, "ntoskrnl.exe", "ExGetPreviousMode", "NoSuchFunction")
    with pytest.raises(ImportRefused, match=r"^crafted.sys imports NoSuchFunction from .*Wine 10.0 does not"):
        imports.check(image, imports.every_wine())


@pytest.mark.component
def test_zwcreatefile_loads_and_opens_on_wine(tmp_path: Path) -> None:
    image = driver(tmp_path, "ntoskrnl.exe", "ZwCreateFile")
    assert [imports.missing(image, wine) for wine in imports.every_wine()] == [[], []]


@pytest.mark.parametrize("version", ["8.0", "10.0"])
def test_every_named_function_is_real(version: str) -> None:
    """A misspelt name in guests.toml would refuse or excuse nothing."""
    wine = imports.wine(version)
    for module, functions in imports._data()["wine"]["refused"].items():
        known = wine.modules[module]
        assert set(functions) <= known.functions | known.refused.keys()
    wrong = {name for table in imports._data()["wine"]["refused"].values() for name in table}
    for importer, functions in imports._data()["wine"]["careful"].items():
        assert set(functions) <= wrong, importer
    for module, functions in imports._data()["agent"]["static"].items():
        assert set(functions) <= wine.modules[module].functions, module
    for module, functions in imports._data()["driver"]["static"].items():
        if module != "ks.sys":
            known = wine.modules[module]
            assert set(functions) <= known.functions | known.refused.keys(), module


def test_a_snapshot_of_an_unpacked_wine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "DATA", tmp_path)
    said = {"version": "Wine 12.0", "from": "/modules"}
    monkeypatch.setattr(imports, "read_wine", lambda directory: {**said, "from": str(directory)})
    written = imports.write_snapshot(Path("/modules"))
    assert written == tmp_path / "wine-12.0.json"
    assert json.loads(written.read_text()) == said
    assert imports.wine_versions() == ["12.0"]


def test_what_is_no_image_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.sys").write_bytes(b"MZ nothing")
    with pytest.raises(BuildError, match="is no PE image"):
        imports.imports(tmp_path / "x.sys")
    with pytest.raises(BuildError, match="is no archive"):
        imports.import_library_names(tmp_path / "x.sys")
    with pytest.raises(BuildError, match="holds no modules of Wine"):
        imports.read_wine(tmp_path)
