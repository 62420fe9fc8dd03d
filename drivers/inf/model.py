# SPDX-License-Identifier: Apache-2.0
"""An INF: its sections, its models for 64-bit systems, their install sections and services."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from drivers.errors import PackageError
from drivers.inf import decorations, syntax
from drivers.inf.decorations import System
from drivers.inf.syntax import Line, RawSection, Strings

_MAX_BYTES = 4 << 20
#: Of the sections with these endings, the first that exists is the one ("INF DDInstall Section").
_PLATFORMS = (".ntamd64", ".nt", "")
#: What belongs to an installation beside the install section itself, by the endings of their names.
PARTS = ("", ".coinstallers")
#: Classes whose INFs add to a device that another INF installs (system-defined device setup classes).
_EXTENSION = "{e2f84ce7-8efa-411c-aa69-97454ca4cb57}"
_ADDING_CLASSES = (
    _EXTENSION,
    "{5c4c3332-344d-483c-8739-259e934c9cc8}",  # SoftwareComponent
    "{5989fce8-9cd0-467d-8a6a-5419e31529d4}",  # AudioProcessingObject
)


@dataclass(frozen=True)
class Model:
    """One device of a models section: where it is installed, by which ids, for which systems."""

    line: int
    install: str
    ids: tuple[str, ...]
    decoration: str


@dataclass(frozen=True)
class Entry:
    """An entry with the INF that it stands in: Needs and Include lead from one to another."""

    inf: Inf
    line: Line


@dataclass(eq=False)
class Inf:
    """A parsed INF.  ``raw`` has the sections by their names in lower case, tokens not replaced.

    ``beside`` are the other INFs of the package by their names in lower case: what Include, LayoutFile and
    CopyINF may mean.  ``odd`` says in words what Windows reads and not everybody does.
    """

    name: str
    raw: dict[str, RawSection] = field(default_factory=dict)
    beside: Mapping[str, Inf] = field(default_factory=dict, repr=False)
    odd: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._strings = Strings(self.raw, self.name)
        self._parsed: dict[str, list[Line]] = {}
        self._models: dict[System | None, list[Model]] = {}

    def section(self, name: str) -> list[Line]:
        """The entries of a section, none if it does not exist."""
        lower = name.lower()
        if lower not in self._parsed:
            entries = self.raw[lower].entries if lower in self.raw else ()
            self._parsed[lower] = [
                self._strings.replace(syntax.entry(number, text)) for number, text in entries
            ]
        return self._parsed[lower]

    def has(self, name: str) -> bool:
        """Whether there is such a section."""
        return name.lower() in self.raw

    def value(self, section: str, key: str) -> str | None:
        """The first value of the first entry of that name."""
        wanted = key.lower()
        return next((line.first() for line in self.section(section) if line.named(wanted)), None)

    def catalogue(self) -> str | None:
        """The file name of the catalogue for 64-bit systems."""
        for key in ("CatalogFile.NTamd64", "CatalogFile.NT", "CatalogFile"):
            name = self.value("Version", key)
            if name:
                return name.removeprefix(".\\")
        return None

    def driver_version(self) -> str | None:
        """The version behind the date of DriverVer, which Windows keeps with a device that it binds."""
        for line in self.section("Version"):
            if line.named("driverver") and len(line.values) > 1:
                return line.values[1]
        return None

    def is_extension(self) -> bool:
        """Whether it only adds to a device that another INF installs."""
        return (self.value("Version", "ClassGuid") or "").lower() == _EXTENSION

    def adds_to_others(self) -> bool:
        """Whether it is an extension or component INF, which installs no device of its own."""
        return (self.value("Version", "ClassGuid") or "").lower() in _ADDING_CLASSES

    def manufacturers(self) -> Iterator[tuple[Line, str, list[str]]]:
        """Every entry of [Manufacturer] with the base name of its models sections and their decorations."""
        for line in self.section("Manufacturer"):
            base, *decorated = line.values or (line.key or "",)
            yield line, base, [text for text in decorated if text]

    def models(self, system: System | None = None) -> list[Model]:
        """The models that a system installs; without one, those for any 64-bit system.

        A model without an install section is none: the device is listed as unsupported.
        """
        if system not in self._models:
            self._models[system] = list(self._read_models(system))
        return self._models[system]

    def _read_models(self, system: System | None) -> Iterator[Model]:
        for _, base, decorated in self.manufacturers():
            for decoration in decorations.chosen(decorated, system):
                for line in self.section(f"{base}.{decoration}" if decoration else base):
                    if line.key is not None and line.first():
                        ids = tuple(value for value in line.values[1:] if value)
                        yield Model(line.number, line.first(), ids, decoration)

    def architectures(self) -> list[str]:
        """The decorations of [Manufacturer] that are for other processors, each once."""
        texts = [text for _, _, decorated in self.manufacturers() for text in decorated]
        known = {text: decorations.parse(text) for text in texts}
        return [text for text, parsed in known.items() if parsed is not None and not parsed.for_amd64]

    def hardware_ids(self, system: System | None = None) -> list[str]:
        """Every hardware and compatible id, in the INF's spelling and order, each once."""
        found: dict[str, str] = {}
        for model in self.models(system):
            for hardware_id in model.ids:
                found.setdefault(hardware_id.lower(), hardware_id)
        return list(found.values())

    def installs(self, hardware_id: str | None = None, system: System | None = None) -> list[str]:
        """The install sections, as they are named in the INF, of one device or of all, each once.

        A model whose section is missing harms nobody but itself.

        Raises:
            PackageError: none of the models has its section.
        """
        found: dict[str, None] = {}
        gone: list[Model] = []
        wanted = None if hardware_id is None else hardware_id.lower()
        for model in self.models(system):
            if wanted is None or wanted in map(str.lower, model.ids):
                actual = self.install_section(model.install)
                if actual is None:
                    gone.append(model)
                else:
                    found.setdefault(actual)
        if gone and not found:
            raise PackageError(
                f"line {gone[0].line}: install section [{gone[0].install}] does not exist", self.name
            )
        return list(found)

    def install_section(self, name: str) -> str | None:
        """The section that a 64-bit system takes for an install section's name, None where there is none."""
        lower = name.lower()
        return next((lower + ending for ending in _PLATFORMS if lower + ending in self.raw), None)

    def entries(self, names: Iterable[str]) -> Iterator[Entry]:
        """The entries of sections and of all that these need; see `gathered`."""
        for inf, name in self.gathered(names):
            yield from (Entry(inf, line) for line in inf.section(name))

    def gathered(self, names: Iterable[str]) -> Iterator[tuple[Inf, str]]:
        """Sections and all that these need, in this INF or in those that they include, each once.

        ``Needs`` names sections of the INF itself or of one that ``Include`` names.  Those of the system's
        own INFs are not here: what they add is the system's.
        """
        todo = deque((self, name.lower()) for name in names)
        seen = set(todo)
        while todo:
            inf, name = todo.popleft()
            yield inf, name
            includes = (text for line in inf.section(name) if line.named("include") for text in line.values)
            included = dict.fromkeys([inf, *filter(None, map(self._included, includes))])
            for line in inf.section(name):
                for needed in line.values if line.named("needs") else ():
                    place = _place(needed, included)
                    if place is not None and place not in seen:
                        seen.add(place)
                        todo.append(place)

    def _included(self, name: str) -> Inf | None:
        return self.beside.get(name.lower())

    def needs_of_the_system(self, names: Iterable[str]) -> list[str]:
        """What sections need that is neither in this INF nor in one beside it, each once."""
        found: dict[str, None] = {}
        for inf, line in ((entry.inf, entry.line) for entry in self.entries(names)):
            for needed in line.values if line.named("needs") else ():
                if needed and _place(needed, [inf, *self.beside.values()]) is None:
                    found.setdefault(needed)
        return list(found)

    def services(self, hardware_id: str, system: System | None = None) -> list[str]:
        """The services that an installation for this device adds, in the INF's spelling, each once.

        None where it adds none itself: those of the system's INFs come with Include and Needs.
        """
        found: dict[str, str] = {}
        for entry in self.entries(f"{name}.services" for name in self.installs(hardware_id, system)):
            if entry.line.named("addservice") and entry.line.first():
                found.setdefault(entry.line.first().lower(), entry.line.first())
        return list(found.values())

    def files(self, hardware_id: str | None = None, system: System | None = None) -> list[str]:
        """The files that an installation copies, as paths with ``/`` relative to the INF, each once.

        Those that may be the system's own are not among them; `drivers.inf.copied_files` has these too.
        """
        from drivers.inf.files import copied_files

        return [copied.path for copied in copied_files(self, hardware_id, system) if not copied.systems]

    def registered(self, hardware_id: str) -> list[str]:
        """The files that an installation registers (RegisterDlls), in the INF's spelling."""
        sections = {
            (entry.inf, name.lower())
            for entry in self.entries(self.installs(hardware_id))
            for name in (entry.line.values if entry.line.named("registerdlls") else ())
        }
        lines = (line for inf, name in sections for line in inf.section(name))
        return [line.values[2] for line in lines if len(line.values) > 2]

    @cached_property
    def is_windows(self) -> bool:
        """Whether [Version] has a signature that Windows takes."""
        signature = (self.value("Version", "Signature") or "").lower()
        return signature in ("$windows nt$", "$chicago$", "$windows 95$")


def _place(name: str, infs: Iterable[Inf]) -> tuple[Inf, str] | None:
    for inf in infs:
        actual = inf.install_section(name)
        if actual is not None:
            return inf, actual
    return None


def load(path: Path) -> Inf:
    """Parse the INF at ``path``; `PackageError` says what is wrong with it and in which line."""
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= _MAX_BYTES else b""
    except OSError as error:
        raise PackageError(f"cannot be read: {error.strerror}", str(path)) from error
    if size > _MAX_BYTES:
        raise PackageError(f"{size} bytes are too many for an INF", path.name)
    return parse(data, path.name)


def parse(data: bytes, name: str) -> Inf:
    """Parse the bytes of an INF; see `drivers.inf.syntax.decode` for what they may be.

    Raises:
        PackageError: they are no INF.
    """
    text = syntax.decode(data)
    parsed = Inf(name, syntax.sections(text, name), odd=syntax.oddities(data, text))
    if not parsed.is_windows:
        raise PackageError("is no INF: [Version] has no valid Signature", name)
    return parsed
