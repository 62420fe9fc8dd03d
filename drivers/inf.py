# SPDX-License-Identifier: Apache-2.0
"""A reader for driver INF files, as far as checking a package needs them.

Follows the public "General Syntax Rules for INF Files": sections and entries without regard to case, several
sections of one name are one, comments from ``;``, continued lines, quoted values, ``%token%`` from [Strings].
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from drivers.errors import PackageError

_TOKEN = re.compile(r"%([^%\n]*)%")
_MAX_BYTES = 4 << 20


@dataclass(frozen=True)
class Line:
    """One entry: ``key = values`` or, where ``key`` is None, values alone; ``number`` counts from 1."""

    number: int
    key: str | None
    values: tuple[str, ...]

    def first(self) -> str:
        """The first value, "" if there is none."""
        return self.values[0] if self.values else ""


@dataclass
class Inf:
    """A parsed INF.  ``sections`` maps lower-case names to their entries, tokens replaced."""

    name: str
    sections: dict[str, list[Line]] = field(default_factory=dict)

    def section(self, name: str) -> list[Line]:
        """The entries of a section, none if it does not exist."""
        return self.sections.get(name.lower(), [])

    def value(self, section: str, key: str) -> str | None:
        """The first value of the first entry of that name."""
        for line in self.section(section):
            if line.key is not None and line.key.lower() == key.lower():
                return line.first()
        return None

    def catalogue(self) -> str | None:
        """The file name of the catalogue for 64-bit systems."""
        for key in ("CatalogFile.NTamd64", "CatalogFile.NT", "CatalogFile"):
            name = self.value("Version", key)
            if name:
                return name
        return None

    def driver_version(self) -> str | None:
        """The version behind the date of DriverVer, which Windows keeps with a device that it binds."""
        for line in self.section("Version"):
            if line.key is not None and line.key.lower() == "driverver" and len(line.values) > 1:
                return line.values[1]
        return None

    def models(self) -> Iterator[tuple[str, list[str]]]:
        """Install section and hardware ids of every model for 64-bit systems."""
        for manufacturer in self.section("Manufacturer"):
            base, *decorations = manufacturer.values or (manufacturer.key or "",)
            suitable = [name for name in decorations if _for_amd64(name)]
            if not decorations:
                suitable = [""]
            for decoration in suitable:
                for line in self.section(f"{base}.{decoration}" if decoration else base):
                    if line.key is not None and line.values:
                        yield line.values[0], [value for value in line.values[1:] if value]

    def hardware_ids(self) -> list[str]:
        """Every hardware and compatible id, in the INF's spelling and order, each once."""
        found: dict[str, str] = {}
        for _, ids in self.models():
            for hardware_id in ids:
                found.setdefault(hardware_id.lower(), hardware_id)
        return list(found.values())

    def services(self, hardware_id: str) -> list[str]:
        """The services that an installation for this device adds, in the INF's spelling, each once.

        None where it adds none itself: those of other INFs come with Include and Needs.
        """
        found: dict[str, str] = {}
        wanted = hardware_id.lower()
        for install in dict.fromkeys(
            section for section, ids in self.models() if wanted in map(str.lower, ids)
        ):
            for line in self.section(f"{self._install_sections(install)[0]}.Services"):
                if line.key is not None and line.key.lower() == "addservice" and line.first():
                    found.setdefault(line.first().lower(), line.first())
        return list(found.values())

    def files(self) -> list[str]:
        """The files that an installation copies, as paths with ``/`` relative to the INF, each once."""
        found: dict[str, str] = {}
        for install in dict.fromkeys(section for section, _ in self.models()):
            for section in self._install_sections(install):
                for name in self._copied(section):
                    path = self._source(name)
                    found.setdefault(path.lower(), path)
        return list(found.values())

    def _install_sections(self, install: str) -> list[str]:
        decorated = (f"{install}.NTamd64", f"{install}.NT", install)
        chosen = next((name for name in decorated if name.lower() in self.sections), None)
        if chosen is None:
            raise PackageError(f"install section [{install}] does not exist", self.name)
        return [chosen, f"{chosen}.CoInstallers"]

    def _copied(self, section: str) -> Iterator[str]:
        for line in self.section(section):
            if line.key is None or line.key.lower() != "copyfiles":
                continue
            for value in line.values:
                if value.startswith("@"):
                    yield value[1:]
                    continue
                if value.lower() not in self.sections:
                    raise PackageError(f"line {line.number}: section [{value}] does not exist", self.name)
                for entry in self.section(value):
                    target, *rest = entry.values
                    yield rest[0] if rest and rest[0] else target

    def _source(self, name: str) -> str:
        """Where a file lies: [SourceDisksFiles] may give a subdirectory, and so may the disk."""
        for decoration in (".amd64", ""):
            for line in self.section(f"SourceDisksFiles{decoration}"):
                if line.key is not None and line.key.lower() == name.lower():
                    folder = line.values[1] if len(line.values) > 1 else ""
                    parts = [*self._disk_folder(line.first()), *folder.split("\\"), name]
                    path = "/".join(part for part in parts if part not in ("", "."))
                    if ".." in parts or "/" in name or "\\" in name or ":" in path:
                        raise PackageError(
                            f"line {line.number}: {name!r} lies outside the package", self.name
                        )
                    return path
        raise PackageError(f"{name} is copied but not listed in [SourceDisksFiles]", self.name)

    def _disk_folder(self, disk: str) -> list[str]:
        for decoration in (".amd64", ""):
            for line in self.section(f"SourceDisksNames{decoration}"):
                if line.key == disk:
                    return line.values[3].split("\\") if len(line.values) > 3 else []
        return []


def _for_amd64(decoration: str) -> bool:
    name = decoration.lower()
    return name == "nt" or name.startswith(("ntamd64", "nt."))


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
    """Parse the bytes of an INF: UTF-16 or UTF-8 with a byte order mark, UTF-8, or else Windows-1252."""
    raw = _sections(_decode(data, name), name)
    strings = _strings(raw)
    parsed = Inf(name)
    for section, lines in raw.items():
        if section == "strings" or section.startswith("strings."):
            continue
        target = parsed.sections.setdefault(section, [])
        for number, text in lines:
            target.append(_entry(number, text, strings))
    signature = (parsed.value("Version", "Signature") or "").lower()
    if signature not in ("$windows nt$", "$chicago$", "$windows 95$"):
        raise PackageError("is no INF: [Version] has no valid Signature", name)
    return parsed


def _decode(data: bytes, name: str) -> str:
    try:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.encoding.startswith("utf-16"):
            raise PackageError("has a UTF-16 byte order mark but is no UTF-16", name) from error
        return data.decode("cp1252", errors="replace")


def _sections(text: str, name: str) -> dict[str, list[tuple[int, str]]]:
    """Entries as text, comments gone and continued lines joined, by lower-case section."""
    sections: dict[str, list[tuple[int, str]]] = {}
    current: list[tuple[int, str]] | None = None
    joined, start = "", 0
    for number, line in enumerate([*re.split(r"\r\n|\r|\n", text), ""], 1):
        start = start if joined else number
        content = _without_comment(line).strip()
        joined += content
        if joined.endswith("\\") and not _in_quotes(joined):
            joined = joined[:-1]
            continue
        content, joined = joined.strip(), ""
        if not content:
            continue
        if content.startswith("["):
            if not content.endswith("]"):
                raise PackageError(f"line {start}: section name does not end with ]", name)
            current = sections.setdefault(content[1:-1].strip().lower(), [])
        elif current is None:
            raise PackageError(f"line {start}: text before the first section", name)
        else:
            current.append((start, content))
    return sections


def _without_comment(line: str) -> str:
    quoted = False
    for index, character in enumerate(line):
        if character == '"':
            quoted = not quoted
        elif character == ";" and not quoted:
            return line[:index]
    return line


def _in_quotes(text: str) -> bool:
    return text.count('"') % 2 == 1


def _strings(raw: dict[str, list[tuple[int, str]]]) -> dict[str, str]:
    """Tokens of [Strings]; those of a language, English first, fill what it leaves open."""
    names = ["strings", "strings.0409", *sorted(name for name in raw if name.startswith("strings."))]
    strings: dict[str, str] = {}
    for name in names:
        for number, text in raw.get(name, []):
            line = _entry(number, text, {})
            if line.key is not None:
                strings.setdefault(line.key.lower(), line.first())
    return strings


def _entry(number: int, text: str, strings: dict[str, str]) -> Line:
    key, rest = _split_key(text)
    values = tuple(_replace(value, strings) for value in _split_values(rest))
    return Line(number, None if key is None else _replace(key, strings), values)


def _split_key(text: str) -> tuple[str | None, str]:
    quoted = False
    for index, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == "=" and not quoted:
            return text[:index].strip().strip('"'), text[index + 1 :]
    return None, text


def _split_values(text: str) -> list[str]:
    """Values between commas, without the quotes around them; ``""`` inside quotes is one quote."""
    values: list[str] = []
    current: list[str] = []
    quoted = was_quoted = False
    index = 0
    while index < len(text):
        character = text[index]
        if character == '"':
            if quoted and text[index + 1 : index + 2] == '"':
                current.append('"')
                index += 1
            else:
                quoted = not quoted
                was_quoted = True
        elif character == "," and not quoted:
            values.append("".join(current).strip() if not was_quoted else "".join(current))
            current, was_quoted = [], False
        elif not (character.isspace() and not quoted and (not current or was_quoted)):
            current.append(character)
        index += 1
    last = "".join(current)
    values.append(last if was_quoted else last.strip())
    return [] if values == [""] and not was_quoted else values


def _replace(text: str, strings: dict[str, str]) -> str:
    def token(match: re.Match[str]) -> str:
        if not match[1]:
            return "%"
        return strings.get(match[1].lower(), match[0])

    return _TOKEN.sub(token, text)
