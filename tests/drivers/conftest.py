# SPDX-License-Identifier: Apache-2.0
"""A small tree of C sources that builds in a second, with caches and keys of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from drivers import build as build_module
from drivers import signing
from drivers.components import COMPONENTS, ROOT

REFKS = """
#include <ntddk.h>
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path);
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    (void)driver;
    (void)path;
    return STATUS_SUCCESS;
}
NTSTATUS NTAPI KsPinHandshake(PVOID pin, PVOID in, PVOID out);
NTSTATUS NTAPI KsPinHandshake(PVOID pin, PVOID in, PVOID out)
{
    __try {
        memcpy(out, in, pin ? 32 : 24);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    return STATUS_SUCCESS;
}
"""
LIBRARY_EXPORTS = "LIBRARY wdmsup.sys\nEXPORTS\n; each: by itself\n    ExAllocatePool2=SupExAllocatePool2\n"
LIBRARY = """
#include <ntddk.h>
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path);
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    (void)driver;
    (void)path;
    return STATUS_SUCCESS;
}
PVOID NTAPI SupExAllocatePool2(ULONG64 flags, SIZE_T bytes, ULONG tag);
PVOID NTAPI SupExAllocatePool2(ULONG64 flags, SIZE_T bytes, ULONG tag)
{
    (void)flags;
    return ExAllocatePoolWithTag(NonPagedPool, bytes, tag);
}
"""
TRACER = """
#include <ntddk.h>
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path);
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    (void)path;
    return MmIsAddressValid(driver) ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}
"""
DRIVER = """
#include <ntddk.h>
#include "kshs_abi.h"
#include "shared.h"
__declspec(dllimport) NTSTATUS NTAPI KsPinHandshake(PVOID pin, PVOID in, PVOID out);
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path);
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    return KsPinHandshake(driver, path, (PVOID)(ULONG_PTR)SHARED);
}
"""
AGENT = """
#include <windows.h>
int wmain(int count, wchar_t **arguments)
{
    (void)arguments;
    return count == 1 ? 0 : (int)GetTickCount();
}
"""


def write_tree(directory: Path) -> Path:
    """The folders of drivers/ with next to nothing in them."""
    for folder in ("abi", "common", "refks", "wdmsup", "ksclient", "avshs", "kstrace", "kshsctl", "kshsrec"):
        (directory / folder).mkdir(parents=True)
    for name in ("abi/kshs_abi.h", "common/chkstk.S", "common/version.rc", "avshs/avshs.inf"):
        shutil.copyfile(ROOT / name, directory / name)
    header = (directory / "abi/kshs_abi.h").read_text(encoding="utf-8")
    (directory / "abi/kshs_abi.h").write_text("#include <stdint.h>\n" + header, encoding="utf-8")
    (directory / "common/shared.h").write_text("#define SHARED 7\n", encoding="utf-8")
    (directory / "refks/ks.def").write_text("LIBRARY ks.sys\nEXPORTS\n    KsPinHandshake\n", encoding="utf-8")
    (directory / "refks/ks.c").write_text(REFKS, encoding="utf-8")
    (directory / "wdmsup/wdmsup.def").write_text(LIBRARY_EXPORTS, encoding="utf-8")
    (directory / "wdmsup/library.c").write_text(LIBRARY, encoding="utf-8")
    (directory / "ksclient/client.c").write_text(DRIVER, encoding="utf-8")
    (directory / "avshs/avshs.c").write_text(DRIVER, encoding="utf-8")
    (directory / "kstrace/trace.c").write_text(TRACER, encoding="utf-8")
    for folder in ("kshsctl", "kshsrec"):
        (directory / folder / "main.c").write_text(AGENT, encoding="utf-8")
    shared = next(component.also for component in COMPONENTS if component.folder == "kshsrec")
    for name in shared:
        if name.startswith("kshsctl/"):
            (directory / name).write_text("typedef int nothing;\n", encoding="utf-8")
    return directory


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the built tree is no unit test: it compiles."""
    for item in items:
        if "built" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.component)


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> signing.Identity:
    """A signing identity of the test session."""
    return signing.identity(tmp_path_factory.mktemp("data") / "kshs" / "signing")


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for all tests that do not look at it: objects are compiled once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def home(shared_cache: Path, signer: signing.Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's caches and keys."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared_cache))
    monkeypatch.setenv("XDG_DATA_HOME", str(signer.root.parents[2]))


@pytest.fixture
def fresh_cache(home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; answers the project's directory in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kshs" / "drivers"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The small source tree."""
    return write_tree(tmp_path / "tree")


@pytest.fixture(scope="session")
def built(
    tmp_path_factory: pytest.TempPathFactory, shared_cache: Path, signer: signing.Identity
) -> build_module.Build:
    """One build of the small tree; tests that change it copy it first."""
    base = tmp_path_factory.mktemp("built")
    # Left before a test begins: those that follow in this process have the user's cache again.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(shared_cache))
        patch.setenv("XDG_DATA_HOME", str(signer.root.parents[2]))
        return build_module.build(base / "out", source=write_tree(base / "tree"))


@pytest.fixture
def package(built: build_module.Build, tmp_path: Path) -> Path:
    """A package directory that a test may spoil."""
    return Path(shutil.copytree(built.avshs.directory, tmp_path / "package"))
