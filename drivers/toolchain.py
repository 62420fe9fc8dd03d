# SPDX-License-Identifier: Apache-2.0
"""The compiler, linker and resource compiler that make Windows binaries on Linux.

clang and lld with mingw-w64's headers and import libraries; no mingw gcc, because gcc has no ``__try``.
Two builds of the same source give the same bytes wherever they run: no times (the stamp of an image is a
digest), no absolute paths of ours in objects, images or PDBs, no environment in the command line that the
PDB records.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from drivers.errors import BuildError, CompileError, ToolMissing
from drivers.files import write_atomically

TARGET = "x86_64-w64-mingw32"

_INCLUDE_DIRECTORIES = (Path(f"/usr/{TARGET}/include"), Path("/usr/share/mingw-w64/include"))
#: Headers in front of mingw-w64's for drivers that are not ours, and what their C++ needs beside them.
COMPAT = Path(__file__).parent / "compat"
_LIBRARY_DIRECTORY = Path(f"/usr/{TARGET}/lib")
_LLVM_VERSIONS = range(25, 12, -1)

# The oldest system that the agent starts on is NT 5.2; what is newer is looked up at run time.  (The kernel's
# headers of mingw-w64 do not compile with that version.)
_NT_VERSION = ("-D_WIN32_WINNT=0x0502", "-DWINVER=0x0502", "-DNTDDI_VERSION=0x05020000")

# Below which clang looks for the directory called as the target: from version 15 on it would otherwise
# look beside itself, in LLVM's own prefix.
_TARGET_FLAGS = (f"--target={TARGET}", "--sysroot=/usr")

_COMMON_FLAGS = (
    *_TARGET_FLAGS,
    "-fms-extensions",
    "-std=c11",
    "-O2",
    "-g",
    "-gcodeview",
    # Every function needs unwind data or no handler above it is found; -ffreestanding would drop it.
    "-funwind-tables",
    "-fno-strict-aliasing",
    "-fno-delete-null-pointer-checks",
    "-fwrapv",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wdate-time",
    "-Wvla",
    "-Wstrict-prototypes",
    "-Wimplicit-fallthrough",
    # mingw-w64's intrin.h includes headers of clang's that warn, from clang 19 on, of being included.
    "-D_CLANG_DISABLE_CRT_DEPRECATION_WARNINGS",
)
_KERNEL_FLAGS = (
    "-ffreestanding",
    "-fno-builtin",
    "-mno-red-zone",
    "-mno-implicit-float",
    # A kernel stack has 24 KiB for everybody on it.
    "-Wframe-larger-than=2048",
)
_C_FLAGS = ("-std=c11", "-Wstrict-prototypes")
#: The subset that drivers use.
_CPLUSPLUS_FLAGS = (
    "-std=c++17",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-aligned-allocation",
    "-fno-sized-deallocation",
    # A driver's operator new may answer NULL: what it gives is looked at before it is constructed.
    "-fcheck-new",
    # Names in a template's base, pasted tokens that are none, and more that Microsoft's compiler takes; with
    # it clang no longer says that it is as good as a GCC, which mingw-w64's headers want to hear.
    "-fms-compatibility",
    "-Wno-invalid-token-paste",
    "-D__GNUC__=4",
    "-D__GNUC_MINOR__=2",
    "-D__GNUC_PATCHLEVEL__=1",
    "-D__GNUG__=4",
    "-D__GXX_ABI_VERSION=1002",
)
_LANGUAGES = {".c": "c", ".s": "assembler-with-cpp"}
_USER_FLAGS = ("-municode", *_NT_VERSION)

_LINK_FLAGS = (
    "-m",
    "i386pep",
    "--dynamicbase",
    "--nxcompat",
    "--high-entropy-va",
    # The stamp is a digest of the image: it tells builds apart, in dumps too, and is the same each time.
    "-Xlink=-Brepro",
    "--exclude-all-symbols",
    "--gc-sections",
    "--disable-auto-import",
    # Stands in for the working directory in the PDB.
    "-Xlink=-pdbsourcepath:/kshs",
    "-Xlink=-WX",
)
_KERNEL_LINK_FLAGS = ("--subsystem", "native", "--image-base", "0x140000000", "-Xlink=-driver")
_CRT_LIBRARIES = ("-lmingw32", "-lmingwex", "-lmsvcrt", "-lkernel32")


def find_program(name: str, package: str) -> Path:
    """The path of a program, also under the name with LLVM's version that Debian installs."""
    names = [name]
    if name.startswith(("llvm-", "clang", "ld.lld")):
        names += [f"{name}-{version}" for version in _LLVM_VERSIONS]
    for candidate in names:
        found = shutil.which(candidate)
        if found:
            return Path(found)
    raise ToolMissing(name, package)


@dataclass(frozen=True)
class Adapted:
    """What the compiler needs to read sources as Microsoft's tools read them."""

    flags: tuple[str, ...] = ()
    """For every source and resource."""
    said: tuple[str, ...] = ()
    """What was read changed, in sentences."""


@dataclass(frozen=True)
class Options:
    """What distinguishes one compilation from another of the same file."""

    kernel: bool
    includes: tuple[str, ...] = ()
    defines: tuple[str, ...] = ()
    foreign: bool = False
    """A team's own source: its warnings are no errors, and names that mingw-w64's headers lack are there."""
    cplusplus: bool = False
    adapted: Adapted = Adapted()
    """How sources are read that another compiler would take as they are."""

    def preprocessor_flags(self) -> list[str]:
        """The options for where headers are and what is defined."""
        return [*(f"-I{name}" for name in self.includes), *(f"-D{definition}" for definition in self.defines)]


@dataclass(frozen=True)
class Toolchain:
    """The tools that were found; ``identity`` changes with every version of any of them."""

    clang: Path
    linker: Path
    dlltool: Path
    resource_compiler: Path
    includes: Path
    libraries: Path
    identity: str

    def compile(
        self,
        work: Path,
        source: str,
        out: str,
        options: Options,
        warn: Callable[[str], None] | None = None,
    ) -> list[str]:
        """C, C++ or assembler to an object; answers the files of ours that went in.

        All names are relative to ``work``, so that neither object nor PDB knows where that is.  ``warn`` is
        told each warning of a source that compiles.
        """
        command = [str(self.clang), *self.compile_flags(options), "-MMD", "-MF", "-"]
        if options.foreign:
            # By the ending in whatever case: for clang a .C is C++.
            command += ["-x", "c++" if options.cplusplus else _LANGUAGES[Path(source).suffix.lower()]]
        command += ["-c", source, "-o", out]
        return _dependencies(_run(command, source, "does not compile", work, warn))

    def compile_flags(self, options: Options) -> list[str]:
        """The flags for one object, without the names of its files."""
        flags = [*_COMMON_FLAGS]
        if options.foreign:
            flags = [flag for flag in flags if flag != "-Werror"]
            # ks.h writes GUIDs as flat lists, and a descriptor is rarely written to its last field.
            flags += ["-Wno-missing-braces", "-Wno-missing-field-initializers", "-isystem", str(COMPAT)]
        if options.cplusplus:
            flags = [flag for flag in flags if flag not in _C_FLAGS]
            flags += _CPLUSPLUS_FLAGS
        flags += _KERNEL_FLAGS if options.kernel else _USER_FLAGS
        if options.kernel:
            flags += ["-isystem", str(self.includes / "ddk")]
        return [
            *flags,
            *options.adapted.flags,
            *options.preprocessor_flags(),
            "-fdebug-compilation-dir=.",
            "-fcoverage-compilation-dir=.",
        ]

    def resource(self, work: Path, source: str, out: str, options: Options) -> list[str]:
        """A resource script to a .res file; answers the files of ours that went in."""
        plain = f"{out}.rc"
        command = [str(self.clang), *_TARGET_FLAGS, "-E", "-xc", "-DRC_INVOKED", "-Werror"]
        command += ["-isystem", str(COMPAT)] if options.foreign else []
        command += [*options.adapted.flags, *options.preprocessor_flags()]
        command += ["-MMD", "-MF", "-", source, "-o", plain]
        dependencies = _dependencies(_run(command, source, "does not compile", work))
        _run(
            [str(self.resource_compiler), "-no-preprocess", "-C", "65001", "-fo", out, plain],
            source,
            "does not compile",
            work,
        )
        return dependencies

    def import_library(self, definition: Path, out: Path, module: str) -> None:
        """An import library for the exports of a .def file, whose module is called ``module``."""
        command = [
            str(self.dlltool),
            "-m",
            "i386:x86-64",
            "-D",
            module,
            "-d",
            str(definition),
            "-l",
            str(out),
        ]
        _run(command, definition.name, "no import library", definition.parent)

    def link_driver(
        self,
        out: str,
        objects: Sequence[str],
        libraries: Sequence[str],
        cwd: Path,
        entry: str = "DriverEntry",
    ) -> None:
        """Objects, resources, .def and .a files (named relative to ``cwd``) to ``cwd/out`` and its PDB."""
        self._link(out, [*_KERNEL_LINK_FLAGS, "--entry", entry, *objects], libraries, cwd)

    def link_program(
        self,
        out: str,
        objects: Sequence[str],
        libraries: Sequence[str],
        cwd: Path,
        *,
        windowed: bool = False,
    ) -> None:
        """A program with ``wmain`` and mingw's startup code; it gets a console unless it is ``windowed``."""
        start = str(self.libraries / "crt2u.o")
        flags = ("--subsystem", f"{'windows' if windowed else 'console'}:5.2")
        self._link(out, [*flags, start, *objects], [*_CRT_LIBRARIES, *libraries, *_CRT_LIBRARIES], cwd)

    def _link(self, out: str, inputs: list[str], libraries: Sequence[str], cwd: Path) -> None:
        pdb = f"{Path(out).stem}.pdb"
        command = [str(self.linker), *_LINK_FLAGS, f"--pdb={pdb}", f"-Xlink=-pdbaltpath:{pdb}", "-o", out]
        command += [*inputs, f"-L{self.libraries}", *libraries]
        _run(command, out, "does not link", cwd)


def find(cache: Path | None = None) -> Toolchain:
    """The installed toolchain; `ToolMissing` names what is not there and how to install it.

    ``cache`` is a file that remembers the tools' version texts, by path, size and time of change.
    """
    clang = find_program("clang", "clang")
    linker = find_program("ld.lld", "lld")
    dlltool = find_program("llvm-dlltool", "llvm")
    resource_compiler = find_program("llvm-rc", "llvm")
    package = "mingw-w64-x86-64-dev"
    includes = next((path for path in _INCLUDE_DIRECTORIES if (path / "ddk" / "ntddk.h").is_file()), None)
    if includes is None:
        raise ToolMissing("the mingw-w64 headers (ddk/ntddk.h)", package)
    for library in ("libntoskrnl.a", "crt2u.o", "libmsvcrt.a"):
        if not (_LIBRARY_DIRECTORY / library).is_file():
            raise ToolMissing(f"mingw-w64's {library}", package)
    markers = (includes / "_mingw_mac.h", includes / "ddk" / "wdm.h", _LIBRARY_DIRECTORY / "libntoskrnl.a")
    identity = _identity((clang, linker, dlltool, resource_compiler), markers, cache)
    return Toolchain(clang, linker, dlltool, resource_compiler, includes, _LIBRARY_DIRECTORY, identity)


def _identity(programs: Sequence[Path], markers: Sequence[Path], cache: Path | None) -> str:
    """A digest over the versions of the tools and the contents of files that stand for the headers."""
    stamps = []
    for path in (*programs, *markers):
        real = path.resolve()
        status = real.stat()
        stamps.append([str(path), str(real), status.st_size, status.st_mtime_ns])
    if cache is not None:
        try:
            known = json.loads(cache.read_text(encoding="utf-8"))
            if known["stamps"] == stamps and isinstance(known["identity"], str):
                return known["identity"]
        except (OSError, ValueError, KeyError, TypeError):
            pass
    digest = hashlib.sha256()
    for path in programs:
        digest.update(path.name.encode() + b"\0" + _version(path).encode() + b"\0")
    for path in markers:
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    identity = digest.hexdigest()
    if cache is not None:
        write_atomically(cache, json.dumps({"stamps": stamps, "identity": identity}).encode())
    return identity


def _version(program: Path) -> str:
    if program.name.startswith(("llvm-dlltool", "llvm-rc")):
        # These print no version of their own: they are as old as the file that they are.
        return hashlib.sha256(program.read_bytes()).hexdigest()
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False)
    # Without the line InstalledDir, which says where and not what.
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith("InstalledDir"))


def _dependencies(rule: str) -> list[str]:
    """The prerequisites of the one make rule that clang printed."""
    return rule.replace("\\\n", " ").partition(": ")[2].split()


def _run(
    command: Sequence[str],
    where: str,
    message: str,
    cwd: Path,
    warn: Callable[[str], None] | None = None,
) -> str:
    """What one tool printed; its environment is fixed, nothing of the caller's locale or flags gets in."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=600,
            check=False,
        )
    except OSError as error:
        raise BuildError(f"cannot run: {error.strerror}", command[0]) from error
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{Path(command[0]).name} did not end within 10 minutes", where) from error
    if done.returncode != 0:
        raise CompileError(message, where, done.stderr or done.stdout)
    for line in done.stderr.splitlines() if warn else ():
        if ": warning: " in line and warn is not None:
            warn(line)
    return done.stdout
