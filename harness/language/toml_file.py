# SPDX-License-Identifier: Apache-2.0
"""TOML files that people write: read, validated, and every complaint with its line.

`tomllib` reads the values; tree-sitter reads the same text once more for the lines that they stand on.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.language.toml_positions import line_map
from harness.text_file import SAVE_AS, NotTextError, decode

_AT_LINE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$")
_MAX_BYTES = 4 * 1024 * 1024
#: Of tables and arrays in each other.
_MAX_DEPTH = 32
#: A dotted key nests without a bracket, and tomllib keeps each of its prefixes: one of 60,000 parts in a file
#: of 120 KB, takes more memory than machines have.
_LONG_KEY = re.compile(r"""(?<![\w"'.-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}""")


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong with a file; lines count from 1, keys are like ``scenario[2].steps[0].on``."""

    line: int
    key: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        text = f"{self.key}: {self.message}" if self.key else self.message
        return f"{text} ({self.hint})" if self.hint else text


class TomlFileError(UsageError):
    """A file that people wrote is wrong; `complaints` has everything, the attributes the first of them."""

    def __init__(self, file: Path, complaints: Sequence[Complaint]) -> None:
        self.file = file
        self.complaints = tuple(sorted(set(complaints), key=lambda c: (c.line, c.key, c.message)))
        first = self.complaints[0]
        self.line = first.line
        self.key = first.key
        super().__init__(first.message, f"{file}:{first.line}", first.hint)

    def __str__(self) -> str:
        return "\n".join(f"{self.file}:{complaint.line}: {complaint}" for complaint in self.complaints)


def key_text(key: Iterable[str | int]) -> str:
    """``("scenario", 2, "steps", 0)`` as people write it: ``scenario[2].steps[0]``; counts from 0."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def parsed(text: str) -> dict[str, Any]:
    """What a TOML text says; anybody may have written it.

    Raises:
        TOMLDecodeError: it is none.
        RecursionError: it is nested too deeply.
    """
    if _LONG_KEY.search(text) is not None:
        raise RecursionError
    table = tomllib.loads(text)
    if _is_deep(table):
        raise RecursionError
    return table


def _is_deep(value: Any) -> bool:
    """Whether it is nested beyond what files of ours are; without recursion: anybody may have written it."""
    level, depth = [value], 0
    while level and depth <= _MAX_DEPTH:
        depth += 1
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return bool(level)


def is_toml(path: Path) -> bool:
    """Whether a file is called as TOML files are, be it in the capitals of another system."""
    return path.suffix.lower() == ".toml"


class TomlFile:
    """The text of a TOML file, its values, and the lines of its keys.

    Raises:
        TomlFileError: it cannot be read, or is no TOML.
    """

    def __init__(self, path: Path, error: type[TomlFileError] = TomlFileError) -> None:
        self.path = path
        self._error = error
        try:
            raw = path.read_bytes()
        except OSError as problem:
            raise error(path, [Complaint(1, "", f"cannot be read: {problem.strerror}")]) from None
        if len(raw) > _MAX_BYTES:
            raise error(path, [Complaint(1, "", f"{len(raw)} bytes are too many", "split the file by topic")])
        try:
            text = decode(raw)
        except NotTextError as problem:
            raise error(path, [Complaint(problem.line, "", str(problem), SAVE_AS)]) from None
        try:
            self.data: dict[str, Any] = parsed(text)
        except tomllib.TOMLDecodeError as problem:
            found = _AT_LINE.search(str(problem))
            line = int(found[1]) if found and found[1] else text.count("\n") + 1
            message = _AT_LINE.sub("", str(problem))
            hint = "an inline table { } stands on one line" if "\n" in text and "inline" in message else None
            raise error(path, [Complaint(line, "", f"no valid TOML: {message}", hint)]) from None
        except RecursionError:
            raise error(path, [Complaint(1, "", "is nested too deeply")]) from None
        self.text = text
        self._lines = line_map(text.encode())

    def line(self, key: Sequence[str | int]) -> int:
        """The line of a key, or of the nearest enclosing one that the file has."""
        for end in range(len(key), 0, -1):
            found = self._lines.get(tuple(key[:end]))
            if found is not None:
                return found
        return 1

    def place(self, key: Sequence[str | int]) -> str:
        """Where a key stands, for people: ``file:line: key``."""
        return f"{self.path}:{self.line(key)}: {key_text(key)}"

    def complaint(self, key: Sequence[str | int], message: str, hint: str | None = None) -> Complaint:
        """A complaint about a key of this file."""
        return Complaint(self.line(key), key_text(key), message, hint)

    def fail(self, complaints: Sequence[Complaint]) -> TomlFileError:
        """The error to raise for complaints about this file."""
        return self._error(self.path, complaints)
