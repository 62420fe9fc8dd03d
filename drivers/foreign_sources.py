# SPDX-License-Identifier: Apache-2.0
"""Sources from Windows: names of headers in whatever case, words of Microsoft's compiler, INX files.

A file system of Windows finds ``Camera.h`` for ``#include "camera.H"`` and takes a backslash for a slash;
ours does neither, so each such name gets a header of that very spelling which includes the real one.  What
the compiler alone would refuse it reads changed (``-ivfsoverlay``); the files stay as they are.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PureWindowsPath

from drivers import inf, wpp
from drivers.errors import BuildError
from drivers.files import find
from drivers.toolchain import Adapted

_SPELLED = "spelled"
SPELLED = f"{_SPELLED}/1/2/3"
"""The folder, below the working directory, of headers that are found only by another spelling; so deep that
names which lead upwards stay below ours."""

OVERLAY = "overlay.yaml"
"""The file, in the working directory, that names what is read instead of some of the sources."""

_HEADERS = (".h", ".hpp", ".hxx", ".inl", ".inc", ".ver")
_SOURCES = (".c", ".cpp", ".cc", ".cxx", ".rc", ".S")
#: What says how a driver is built by other tools (besides ``sources``, which has no ending).
_PROJECTS = (".vcxproj", ".props", ".targets", ".wprp")
_INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"\r\n]+)[>"]', re.MULTILINE)
_TOO_LARGE = 16 << 20
_MOST_FILES = 20_000
_GUID = re.compile(
    r'DEFINE_GUIDSTRUCT\s*\(\s*"([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})"'
    r"\s*,\s*([A-Za-z_]\w*)\s*\)"
)
_NUMBER = (
    rb"(?:U?LONG(?:LONG|64|32|_PTR)?|U?INT(?:64|32|_PTR)?|DWORD(?:64|32|LONG|_PTR)?|SIZE_T|int|unsigned)"
)
_WORD = re.compile(r"[A-Za-z_]\w*")
#: What Microsoft's compiler takes in C++ and clang does not: how it looks, what is read instead, and what is
#: said.  The cast to what is initialised changes nothing where the operand is a number, and chooses where it
#: is an object that converts to several kinds of numbers.
_LENIENT = (
    (
        re.compile(rb"^([ \t]*(?:static[ \t]+)?const)([ \t]+[A-Za-z_]\w*[ \t]*=)", re.MULTILINE),
        rb"\1 int\2",
        "a constant without a type is an int, as Microsoft's compiler has it",
    ),
    (
        re.compile(
            rb"^([ \t]*(?:const[ \t]+)?(" + _NUMBER + rb")[ \t]+[A-Za-z_]\w*[ \t]*=[^;?\"\r\n]*\?[ \t]*)"
            rb"(\*[ \t]*[A-Za-z_]\w*[ \t]*:[ \t]*0[ \t]*;)",
            re.MULTILINE,
        ),
        rb"\1(\2)\3",
        "what stands beside 0 in a conditional expression is converted to what it initialises",
    ),
)
#: There __FUNCTION__ is a literal, to which others can be joined, in C as in C++.
_JOINED = re.compile(rb'(?:"|##)[ \t]*__FUNCTION__|__FUNCTION__[ \t]*(?:"|##)')
#: In which code page a resource script says that it is.
_CODE_PAGE = re.compile(rb"^[ \t]*#[ \t]*pragma[ \t]+code_page[^\r\n]*", re.MULTILINE)
#: What stampinf puts into an INX ("Stampinf Command Options"); the other variables are of frameworks.
_ARCHITECTURE = re.compile(r"\$ARCH\$", re.IGNORECASE)


def spell(work: Path, folders: Sequence[str], systems: Sequence[Path]) -> list[str]:
    """Makes every header that a source names in another spelling findable; answers these names.

    Headers of the tracing preprocessor are made, in which nothing is traced (`drivers.wpp`).  ``folders`` are
    the driver's own, by their names in ``work``; ``systems`` are where the compiler looks besides.
    """
    made: dict[str, Path] = {}
    traced: dict[str, None] = {}
    roots = [work / folder for folder in folders]
    for source in _texts(roots):
        for name in _named(source):
            if name in made or any((root / name).is_file() for root in (source.parent, *roots, *systems)):
                continue
            found = _found(name, (source.parent, *roots, *systems))
            if found is not None:
                made[name] = found
            elif name.lower().endswith(wpp.ENDING):
                traced[name] = None
    for name, found in made.items():
        for path in _places(work, name):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"#include {_from(path, found, work, systems)}\n", encoding="utf-8")
    if traced:
        _trace(work, roots, traced)
    return sorted([*made, *traced])


def _trace(work: Path, roots: Sequence[Path], names: Iterable[str]) -> None:
    """Headers of the tracing preprocessor, with what sources and project files configure."""
    projects = (
        path for path in sorted(roots[0].iterdir()) if path.suffix.lower() in _PROJECTS or not path.suffix
    )
    texts = (path.read_bytes()[:_TOO_LARGE] for path in (*_texts(roots), *projects) if path.is_file())
    header = wpp.header(wpp.functions(texts))
    for name in names:
        for path in _places(work, name):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(header, encoding="utf-8")


def guids(work: Path, folders: Sequence[str], headers: Sequence[Path] = ()) -> str:
    """C that defines the GUIDs of the driver's own DEFINE_GUIDSTRUCT, weakly; "" where it has none.

    So are those of ``headers`` that it names: Microsoft's compiler takes them from the declaration
    (__uuidof), mingw-w64's ks.h declares them alone, and its library lacks some.
    """
    found: dict[str, str] = {}
    words: set[str] = set()
    for source in _texts([work / folder for folder in folders]):
        read = _utf_8(source, source.read_bytes()[:_TOO_LARGE]).decode("latin-1")
        words.update(_WORD.findall(read))
        for text, name in _GUID.findall(read):
            found.setdefault(name, text)
    for header in headers:
        for text, name in _GUID.findall(header.read_text("latin-1")) if header.is_file() else ():
            if name in words:
                found.setdefault(name, text)
    if not found:
        return ""
    lines = ["typedef struct { unsigned a; unsigned short b, c; unsigned char d[8]; } guid;"]
    for name, text in sorted(found.items()):
        first, second, third, fourth, fifth = text.split("-")
        tail = ", ".join(f"0x{(fourth + fifth)[at : at + 2]}" for at in range(0, 16, 2))
        value = f"{{ 0x{first}, 0x{second}, 0x{third}, {{ {tail} }} }}"
        lines.append(f"extern const guid {name};")
        lines.append(f"__attribute__((weak)) const guid {name} = {value};")
    return "\n".join([*lines, ""])


def adapt(work: Path, folders: Sequence[str]) -> Adapted:
    """Copies of the sources that the compiler would not take as they are, and the flags to have them read."""
    said: list[str] = []
    changed: list[dict[str, str]] = []
    joins = False
    for source in _texts([work / folder for folder in folders]):
        data = source.read_bytes()[:_TOO_LARGE]
        read, sentences = _lenient(source, _utf_8(source, data))
        joins = joins or _JOINED.search(read) is not None
        if read == data:
            continue
        said += [f"{source.name}: {sentence}" for sentence in sentences]
        copy = work / "adapted" / f"{len(changed)}{source.suffix}"
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(read)
        changed.append({"type": "file", "name": str(source), "external-contents": str(copy)})
    flags: tuple[str, ...] = ()
    if changed:
        text = json.dumps({"version": 0, "use-external-names": False, "roots": changed})
        (work / OVERLAY).write_text(text, encoding="utf-8")
        flags = ("-ivfsoverlay", OVERLAY)
    if joins:
        said.append('__FUNCTION__ is joined to other texts, and is "" therefore')
        flags += ('-D__FUNCTION__=""',)
    return Adapted(flags, tuple(said))


def _utf_8(source: Path, data: bytes) -> bytes:
    """A text as UTF-8: of Unicode with a mark in front, and a resource of any encoding."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _CODE_PAGE.sub(b"", data.decode("utf-16", "replace").encode("utf-8"))
    if source.suffix.lower() == ".rc":
        return _CODE_PAGE.sub(b"", inf.syntax.decode(data).encode("utf-8"))
    return data


def _lenient(source: Path, data: bytes) -> tuple[bytes, list[str]]:
    """C++ with what Microsoft's compiler takes and clang does not written out; sentences about it."""
    said: list[str] = []
    if source.suffix.lower() in (".c", ".rc", ".s"):
        return data, said
    for pattern, instead, what in _LENIENT:
        data, times = pattern.subn(instead, data)
        if times:
            said.append(what)
    return data, said


def _places(work: Path, name: str) -> Iterator[Path]:
    """Where a header is looked for by a name: a backslash is a part of it in C, and a slash in C++."""
    for spelling in {name, name.replace("\\", "/")}:
        path = Path(os.path.normpath(work / SPELLED / spelling))
        if path.is_relative_to(work / _SPELLED):
            yield path


def _texts(roots: Sequence[Path]) -> Iterator[Path]:
    """Sources of the folders themselves, and the headers below them."""
    for root in roots:
        for path in sorted(itertools.islice(root.rglob("*"), _MOST_FILES)):
            kinds = (*_HEADERS, *(map(str.lower, _SOURCES) if path.parent == root else ()))
            if path.suffix.lower() in kinds and path.is_file():
                yield path


def _named(source: Path) -> list[str]:
    """The names behind #include in a file."""
    data = _utf_8(source, source.read_bytes()[:_TOO_LARGE])
    return [name.decode("utf-8", errors="replace").strip() for name in _INCLUDE.findall(data)]


def _found(name: str, roots: Sequence[Path]) -> Path | None:
    parts = PureWindowsPath(name).parts
    if not parts or PureWindowsPath(name).is_absolute() or "\0" in name:
        return None
    for root in roots:
        up, rest = root, list(parts)
        while rest and rest[0] in (".", ".."):
            up = up / rest.pop(0)
        path = find(up, "/".join(rest)) if rest and ".." not in rest else None
        if path is not None and path.is_file():
            return path
    return None


def _from(path: Path, found: Path, work: Path, systems: Sequence[Path]) -> str:
    """How a header of ours includes the real one: by its name, or relative to itself below ``work``."""
    for system in systems:
        if found.is_relative_to(system):
            # By name, so that one of ours can go on to the compiler's own (#include_next).
            return f"<{found.relative_to(system).as_posix()}>"
    depth = len(path.parent.relative_to(work).parts)
    return f'"{"../" * depth}{found.relative_to(work).as_posix()}"'


def stamped(folder: Path, into: Path) -> list[Path]:
    """The INFs of a folder; an INX without an INF beside it is stamped for x64 and put ``into`` a folder.

    So is an INF that is written as an INX.

    Raises:
        BuildError: a file cannot be read.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: (path.suffix.lower() != ".inf", path.name)):
        if path.suffix.lower() not in (".inf", ".inx") or not path.is_file():
            continue
        if path.suffix.lower() == ".inx" and path.stem.lower() not in found:
            found[path.stem.lower()] = _stamp(path, into / f"{path.stem}.inf")
        elif path.suffix.lower() == ".inf":
            plain = _ARCHITECTURE.search(_text(path)) is None
            found[path.stem.lower()] = path if plain else _stamp(path, into / path.name)
    return list(found.values())


def _text(source: Path) -> str:
    try:
        return inf.syntax.decode(source.read_bytes())
    except OSError as error:
        raise BuildError(f"cannot be read: {error.strerror}", str(source)) from error


def _stamp(source: Path, target: Path) -> Path:
    text = _ARCHITECTURE.sub("amd64", _text(source))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"\xff\xfe" + text.encode("utf-16-le", "replace"))
    return target
