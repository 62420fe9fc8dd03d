# SPDX-License-Identifier: Apache-2.0
"""What a binary imports, against what a guest family really offers.

A driver whose import is missing does not load, and one whose import is only pretended fails at a time when
nobody thinks of imports any more: therefore the build refuses both, and says which.

Wine: the exports of the PE modules of the guest's Wine, whatever the host has, as snapshots of each known
version hold them (``data/wine-*.json``), without those that are stubs, and without those that
``data/guests.toml`` names as wrong.  A stub is recognised by the
code that winebuild makes for it (tools/winebuild/spec32.c, ``output_stubs``): the export loads the names of
its module and of itself and calls ``__wine_spec_unimplemented_stub``.

Windows: no export list of a kernel may be redistributed; an import must be in mingw-w64's import library of
that module, or in ``data/guests.toml`` with the public page that documents it.
"""

from __future__ import annotations

import json
import re
import struct
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pefile

from drivers import kernel_calls, pe_image
from drivers.errors import BuildError, ImportRefused, ToolMissing
from drivers.files import write_atomically
from drivers.wdmsup_exports import KERNEL_MODULES

DATA = Path(__file__).parent / "data"
_SNAPSHOTS = "wine-*.json"
_WINE_DIRECTORIES = (
    Path("/usr/lib/x86_64-linux-gnu/wine/x86_64-windows"),
    Path("/usr/lib/wine/x86_64-windows"),
    Path("/opt/wine-stable/lib64/wine/x86_64-windows"),
    Path("/opt/wine-stable/lib/wine/x86_64-windows"),
)
# The modules that a snapshot holds: those that drivers and agent may import from.
MODULES = (
    "advapi32.dll",
    "cfgmgr32.dll",
    "crypt32.dll",
    "hal.dll",
    "kernel32.dll",
    "kernelbase.dll",
    "msvcrt.dll",
    "newdev.dll",
    "ntdll.dll",
    "ntoskrnl.exe",
    "ole32.dll",
    "setupapi.dll",
    "user32.dll",
    "version.dll",
)
_MINGW_LIBRARIES = {"ntoskrnl.exe": "libntoskrnl.a", "hal.dll": "libhal.a", "ks.sys": "libks.a"}
# sub rsp,28h; lea rcx,[rip+module]; lea rdx,[rip+name]; call
_STUB = re.compile(rb"\x48\x83\xec\x28\x48\x8d\x0d(....)\x48\x8d\x15(....)\xe8", re.DOTALL)
_STUB_LENGTH = 19
_STUB_REASON = "Wine has only a stub there, which ends the process"


@dataclass(frozen=True)
class Exports:
    """What one module offers: names that work, and names that do not with the reason.

    ``wrong`` are functions that may be used, and what is not right about each (`drivers.kernel_calls`).
    """

    functions: frozenset[str]
    refused: Mapping[str, str] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Offered:
    """What a guest family offers to imports: ``modules`` by lower-case file name; ``origin`` for people.

    ``careful`` says by importer which refused functions it may use, because it copes with what they do there.
    """

    family: str
    origin: str
    modules: Mapping[str, Exports]
    careful: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def with_module(self, name: str, exports: Exports) -> Offered:
        """The same family with one module more, or in place of another."""
        return replace(self, modules={**self.modules, name.lower(): exports})


@dataclass(frozen=True)
class Missing:
    """One import that a guest family does not satisfy."""

    importer: str
    module: str
    function: str
    reason: str

    def __str__(self) -> str:
        return f"{self.importer} imports {self.function} from {self.module}: {self.reason}"


def imports(pe: Path) -> list[tuple[str, str]]:
    """Module (lower case) and function of every import, delayed ones too; ordinals as ``#7``."""
    found = []
    image = pe_image.opened(pe)
    image.parse_data_directories(
        [
            pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_IMPORT"],
            pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT"],
        ]
    )
    for kind in ("DIRECTORY_ENTRY_IMPORT", "DIRECTORY_ENTRY_DELAY_IMPORT"):
        for module in getattr(image, kind, []):
            for function in module.imports:
                name = function.name.decode("ascii", "replace") if function.name else f"#{function.ordinal}"
                found.append((module.dll.decode("ascii", "replace").lower(), name))
    return found


def missing(pe: Path, offered: Offered, importer: str | None = None) -> list[Missing]:
    """Every import of ``pe`` that is missing, a stub or known as wrong in a guest family.

    ``importer`` is by what name the file is known as careful, where that is not its own.
    """
    careful = offered.careful.get(importer or pe.name, {})
    found = []
    for module, function in imports(pe):
        exports = offered.modules.get(module)
        if exports is None:
            found.append(Missing(pe.name, module, function, f"{offered.origin} has no such module"))
        elif function in exports.refused:
            # Whoever calls a stub is ended: no care helps against that.
            if function in careful and exports.refused[function] != _STUB_REASON:
                continue
            found.append(Missing(pe.name, module, function, exports.refused[function]))
        elif function not in exports.functions:
            found.append(Missing(pe.name, module, function, f"{offered.origin} does not have it"))
    return found


def check(pe: Path, families: Sequence[Offered], importer: str | None = None) -> None:
    """Raise `ImportRefused` where none of the families offers everything to ``pe``: it can load nowhere.

    For a guest that is known only by its kind; `require` is for one that is known.
    """
    refused = [(found, family) for family in families if (found := missing(pe, family, importer))]
    if refused and len(refused) == len(families):
        require(pe, min(refused, key=lambda pair: len(pair[0]))[1], importer=importer)


def require(pe: Path, *families: Offered, importer: str | None = None) -> None:
    """Raise `ImportRefused` with everything that any of the families does not offer to ``pe``."""
    found = [entry for family in families for entry in missing(pe, family, importer)]
    if found:
        more = (
            f" (and {len(found) - 1} more: {', '.join(entry.function for entry in found[1:9])})"
            if found[1:]
            else ""
        )
        hint = (
            "avoid the function, or look it up at run time with MmGetSystemRoutineAddress or GetProcAddress"
        )
        raise ImportRefused(f"{found[0]}{more}", hint=hint)


def exports_of(pe: Path) -> Exports:
    """The named exports of a module; Wine's stubs are refused, forwarded names are taken as they are."""
    functions, refused = set(), {}
    for name, _, stub in _read_exports(pe):
        if stub:
            refused[name] = _STUB_REASON
        else:
            functions.add(name)
    return Exports(frozenset(functions), refused)


def _read_exports(pe: Path) -> Iterator[tuple[str, str | None, bool]]:
    """Name, forwarder and whether it is a stub, of every named export."""
    image = pe_image.opened(pe)
    image.parse_data_directories([pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_EXPORT"]])
    table = getattr(image, "DIRECTORY_ENTRY_EXPORT", None)
    memory = image.get_memory_mapped_image() if table else b""
    for symbol in table.symbols if table else ():
        if not symbol.name:
            continue
        name = symbol.name.decode("ascii", "replace")
        if symbol.forwarder:
            yield name, symbol.forwarder.decode("ascii", "replace"), False
        else:
            yield name, None, _is_stub(memory, symbol.address, symbol.name)


def _is_stub(memory: bytes, address: int, name: bytes) -> bool:
    """Whether the code of an export is what winebuild makes for a function that Wine does not have."""
    match = _STUB.match(memory[address : address + _STUB_LENGTH])
    if not match:
        return False
    (offset,) = struct.unpack("<i", match[2])
    text = address + 18 + offset  # relative to the end of the second lea
    return memory[text : text + len(name) + 1] == name + b"\0"


def wine_versions() -> list[str]:
    """The versions of Wine that are known, the oldest first, as ``8.0``."""
    names = (path.stem.removeprefix("wine-") for path in DATA.glob(_SNAPSHOTS))
    return sorted(names, key=version_key)


@lru_cache(maxsize=8)
def wine(version: str) -> Offered:
    """What a guest's Wine offers; of a version that is not known, the nearest older one's exports count.

    ``version`` is as the guest or its image says it: ``8.0``, ``10.0``, ``wine-10.0 (Debian ...)``.
    """
    known = wine_versions()
    wanted = version_key(version)
    chosen = max((name for name in known if version_key(name) <= wanted), key=version_key, default=known[0])
    content = json.loads((DATA / f"wine-{chosen}.json").read_text(encoding="utf-8"))
    wrong = _data()["wine"]["refused"]
    asked = kernel_calls.known(version).reasons()
    modules = {}
    for name, entry in content["modules"].items():
        refused = dict.fromkeys(entry["stubs"], _STUB_REASON)
        refused |= {function: f"on Wine it {reason}" for function, reason in wrong.get(name, {}).items()}
        functions = frozenset(entry["functions"]) - refused.keys()
        not_right = {call: reason for call, reason in asked.items() if call in functions}
        modules[name] = Exports(functions, refused, not_right if name in KERNEL_MODULES else {})
    return Offered("wine", content["version"], modules, _data()["wine"]["careful"])


def every_wine() -> list[Offered]:
    """What each known Wine offers, the oldest first."""
    return [wine(version) for version in wine_versions()]


def is_stub(reason: str) -> bool:
    """Whether a function is refused because Wine has only a stub there."""
    return reason == _STUB_REASON


def version_key(version: str) -> tuple[int, ...]:
    """A version of Wine as what can be compared: ``wine-10.0 (Debian ...)`` is (10, 0)."""
    match = re.search(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()


def read_wine(directory: Path) -> dict[str, Any]:
    """Version, functions and stubs of an installed Wine's modules, in the form of the snapshot."""
    raw = {name: list(_read_exports(directory / name)) for name in MODULES if (directory / name).is_file()}
    if "ntoskrnl.exe" not in raw:
        raise BuildError("holds no modules of Wine", str(directory))
    stubs = {name: {entry[0] for entry in entries if entry[2]} for name, entries in raw.items()}
    for name, entries in raw.items():
        for function, forwarder, _ in entries:
            module, _, target = (forwarder or "").rpartition(".")
            if target in stubs.get(f"{module.lower()}.dll", ()):
                stubs[name].add(function)
    return {
        "version": _wine_version(directory),
        "modules": {
            name: {
                "functions": sorted(entry[0] for entry in entries if entry[0] not in stubs[name]),
                "stubs": sorted(stubs[name]),
            }
            for name, entries in raw.items()
        },
    }


def _wine_version(directory: Path) -> str:
    """As Wine says it about itself, for example ``wine-8.0``; from its ntdll.so."""
    library = directory.parent / "x86_64-unix" / "ntdll.so"
    if library.is_file():
        match = re.search(rb"wine-(\d+\.\d+(?:\.\d+|-rc\d+)?)[ \0]", library.read_bytes())
        if match:
            return f"Wine {match[1].decode()}"
    return "Wine"


@lru_cache(maxsize=1)
def windows(libraries: Path) -> Offered:
    """What kernels of the Windows family offer to drivers, by mingw-w64's import libraries."""
    also = _data()["windows"]["documented"]
    modules = {}
    for module, library in _MINGW_LIBRARIES.items():
        names = import_library_names(libraries / library) | set(also.get(module, {}))
        modules[module] = Exports(frozenset(names))
    return Offered("windows", "Windows, by mingw-w64's import libraries,", modules)


@lru_cache(maxsize=1)
def agent() -> Offered:
    """What the agent may import statically: functions that NT 5.2 had (``data/guests.toml``)."""
    listed = _data()["agent"]["static"]
    modules = {name: Exports(frozenset(functions)) for name, functions in listed.items()}
    return Offered("nt", "the list of what NT 5.2 has (drivers/data/guests.toml)", modules)


@lru_cache(maxsize=1)
def kernel() -> Offered:
    """What the drivers may import: functions that kernels of NT 5.2 had (``data/guests.toml``)."""
    listed = _data()["driver"]["static"]
    modules = {name: Exports(frozenset(functions)) for name, functions in listed.items()}
    return Offered("nt", "the list of what NT 5.2 has (drivers/data/guests.toml)", modules)


def import_library_names(library: Path) -> set[str]:
    """The functions and data of an import library, from the archive's symbol table."""
    try:
        data = library.read_bytes()
    except OSError as error:
        raise ToolMissing(f"mingw-w64's {library.name}", "mingw-w64-x86-64-dev") from error
    if data[:8] != b"!<arch>\n" or data[8:10] != b"/ ":
        raise BuildError("is no archive with a symbol table", str(library))
    size = int(data[56:66])
    (count,) = struct.unpack_from(">I", data, 68)
    names = data[72 + 4 * count : 68 + size].split(b"\0")
    prefix = b"__imp_"
    return {name[len(prefix) :].decode("ascii") for name in names if name.startswith(prefix)}


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    with (DATA / "guests.toml").open("rb") as file:
        return tomllib.load(file)


def write_snapshot(directory: Path | None = None) -> Path:
    """Write the snapshot of the installed Wine, or of one whose 64-bit PE modules lie in ``directory``.

    ``python -m drivers.imports [DIRECTORY]`` does it; an unpacked package of Debian will do.
    """
    chosen = directory or next(
        (path for path in _WINE_DIRECTORIES if (path / "ntoskrnl.exe").is_file()), None
    )
    if chosen is None:
        raise ToolMissing("Wine", "libwine")
    content = read_wine(chosen)
    path = DATA / f"wine-{content['version'].removeprefix('Wine ')}.json"
    write_atomically(path, json.dumps(content, separators=(",", ":"), sort_keys=True).encode() + b"\n")
    return path


if __name__ == "__main__":
    print(write_snapshot(*map(Path, sys.argv[1:2])))
