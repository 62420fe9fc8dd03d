# SPDX-License-Identifier: Apache-2.0
"""Sections of one INF as part of the text of another: an extension's in the copy for Wine.

Windows applies an extension INF to a device by itself ("Using an Extension INF File"); Wine's setupapi knows
one INF an installation.  Names of sections and strings get a prefix, so that nothing of the two is mixed up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from drivers.inf import syntax
from drivers.inf.model import Inf

#: Directives whose values are names of sections ("Summary of INF Directives").
_NAMING = {
    *("copyfiles", "delfiles", "renfiles", "addreg", "delreg", "bitreg", "updateinis", "ini2reg"),
    *("updateinifields", "registerdlls", "unregisterdlls", "logconfig", "addservice", "addinterface"),
    *("addeventprovider", "addproperty", "delproperty", "addpowersetting", "needs"),
}
_LISTING_FILES = ("copyfiles", "delfiles", "renfiles")
#: What belongs to an INF and not to an installation.
_NOT_TAKEN = re.compile(r"version|manufacturer|controlflags|destinationdirs|sourcedisks.*|strings(\..*)?")
_VALUE = re.compile(r'(?:"[^"]*"?|[^",])+')
_TOKEN = re.compile(r"%([^%\n]*)%")


class Borrowed:
    """An INF whose sections are lent; ``prefix`` begins the names of all of them."""

    def __init__(self, inf: Inf, prefix: str) -> None:
        self._inf = inf
        self._prefix = prefix
        models = {
            (f"{base}.{text}" if text else base).lower()
            for _, base, decorated in inf.manufacturers()
            for text in ("", *decorated)
        }
        self._sections = {
            name: section
            for name, section in inf.raw.items()
            if not _NOT_TAKEN.fullmatch(name) and name not in models
        }
        self._strings = {
            (line.key or "").lower(): text
            for name in ("strings", "strings.0409")
            for number, text in (inf.raw[name].entries if name in inf.raw else ())
            if (line := syntax.entry(number, text)).key is not None
        }
        self._single: dict[str, str] = {}

    def entries(self, name: str) -> list[str]:
        """A section's entries as they stand in the other INF; Include and Needs are not among them."""
        section = self._sections.get(name.lower())
        return [self._entry(text) for _, text in section.entries if _kept(text)] if section else []

    def sections(self) -> list[str]:
        """All its sections and strings, as lines."""
        lines = []
        for name, section in self._sections.items():
            lines += ["", f"[{self._prefix}{section.name}]", *self.entries(name)]
        for file, title in self._single.items():
            lines += ["", f"[{title}]", file]
        return lines

    def strings(self) -> list[str]:
        """Entries of [Strings]."""
        found = []
        for name, text in self._strings.items():
            value = text[len(syntax.left_side(text)) + 1 :].strip()
            found.append(f'"{self._prefix}{name}" = {value}')
        return found

    def destinations(self) -> list[str]:
        """Entries of [DestinationDirs]: each list of files has one, be it the INF's default."""
        given = {
            (line.key or "").lower(): text[len(syntax.left_side(text)) + 1 :].strip()
            for number, text in (self._inf.raw["destinationdirs"].entries if self._has_places() else ())
            if (line := syntax.entry(number, text)).key is not None
        }
        default = given.get("defaultdestdir", "11")
        lists = {
            name
            for section in self._sections.values()
            for number, text in section.entries
            if (line := syntax.entry(number, text)).key is not None and line.key.lower() in _LISTING_FILES
            for name in map(str.lower, line.values)
            if name in self._sections
        }
        found = [
            f"{self._prefix}{self._sections[name].name} = {self._replaced(given.get(name, default))}"
            for name in sorted(lists)
        ]
        return found + [f"{title} = {self._replaced(default)}" for title in self._single.values()]

    def _has_places(self) -> bool:
        return self._inf.has("destinationdirs")

    def _entry(self, text: str) -> str:
        left = syntax.left_side(text)
        if len(left) >= len(text) or left.strip().lower() not in _NAMING:
            return self._replaced(text)
        values = ",".join(self._named(value) for value in _values(text[len(left) + 1 :]))
        return f"{self._replaced(left)}= {values}"

    def _named(self, value: str) -> str:
        """A value of a directive: a section of ours, a single file, or something else."""
        plain = value.strip().strip('"')
        if plain.startswith("@"):
            return self._single.setdefault(plain[1:], f"{self._prefix}File.{len(self._single) + 1}")
        if plain.lower() in self._sections:
            return f"{self._prefix}{plain}"
        return self._replaced(value.strip())

    def _replaced(self, text: str) -> str:
        def token(match: re.Match[str]) -> str:
            known = match[1].lower() in self._strings
            return f"%{self._prefix}{match[1].lower()}%" if known else match[0]

        return _TOKEN.sub(token, text)


def _kept(text: str) -> bool:
    return syntax.left_side(text).strip().lower() not in ("include", "needs")


def _values(text: str) -> Iterable[str]:
    """The values between commas as they are written, empty ones too."""
    values, position = [], 0
    while position <= len(text):
        match = _VALUE.match(text, position)
        values.append(match[0] if match else "")
        position = (match.end() if match else position) + 1
    return values
