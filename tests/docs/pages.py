# SPDX-License-Identifier: Apache-2.0
"""The blocks of code and the commands in the documents."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"^( *)```(\S*)\s*$")
_MARKER = re.compile(r"^ *<!-- not run: (.+) -->\s*$")
_INLINE = re.compile(r"`(kshs [^`\n]*)`")

#: Backticks that begin like a command and are none.
_NO_COMMANDS = ("kshs reference ks.sys",)


@dataclass(frozen=True)
class Block:
    """A fenced block; `reason` says why it is not run, where the line before it does."""

    page: Path
    line: int
    language: str
    text: str
    reason: str | None

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One command line, as words."""

    page: Path
    line: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}: {shlex.join(self.words)}"


def blocks() -> list[Block]:
    """All fenced blocks of all pages."""
    return [block for page in PAGES for block in _blocks(page)]


def _blocks(page: Path) -> Iterator[Block]:
    begun: tuple[int, str, str] | None = None
    inside: list[str] = []
    reason = before = None
    for number, line in enumerate(page.read_text("utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if begun is None and fence:
            marker = _MARKER.match(before or "")
            begun, inside, reason = (number, fence[1], fence[2]), [], marker and marker[1]
        elif begun is not None and fence and not fence[2]:
            yield Block(page, begun[0], begun[2], "\n".join(inside) + "\n", reason)
            begun = None
        elif begun is not None:
            inside.append(line.removeprefix(begun[1]))
        before = line
    assert begun is None, f"{page}:{begun}: this block has no end"


def commands() -> list[Command]:
    """All command lines: of sh and console blocks, and of kshs in running text."""
    found = [
        Command(block.page, block.line + offset, words)
        for block in blocks()
        if block.language in ("sh", "console") and block.reason is None
        for offset, line in enumerate(block.text.splitlines(), start=1)
        for words in _commands_of(line, block.language)
    ]
    for page in PAGES:
        for number, line in enumerate(page.read_text("utf-8").splitlines(), start=1):
            found += [
                Command(page, number, tuple(_usage(text)))
                for text in _INLINE.findall(line)
                if text not in _NO_COMMANDS
            ]
    return found


def _commands_of(line: str, language: str) -> Iterator[tuple[str, ...]]:
    if language == "console":
        if not line.startswith("$ "):
            return  # what was printed
        line = line[2:]
    words: list[str] = []
    for word in [*shlex.split(line, comments=True), "&&"]:
        if word not in ("&&", "|"):
            words.append(word)
        elif words:
            yield tuple(words[1:] if words[0] == "sudo" else words)
            words = []


def _usage(text: str) -> list[str]:
    """``kshs run [-n N] [--target NAME\\|FILE]`` as somebody would type it."""
    words = re.sub(r"[\[\]]", "", text.replace(r"\|", "|")).replace("PATHS", "").split()
    return ["2" if word == "N" else word.partition("|")[0] for word in words]
