# SPDX-License-Identifier: Apache-2.0
"""The syntax of INF files: bytes to text, text to sections, sections to entries.

Follows the public "General Syntax Rules for INF Files": sections and entries without regard to case, several
sections of one name are one, comments from ``;``, continued lines, quoted values, ``%token%`` from [Strings].
Everything is linear in the size of the file, whatever is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from drivers.errors import PackageError

_TOKEN = re.compile(r"%([^%\n]*)%")
_LINE_ENDS = re.compile(r"\r\n|\r|\n")
#: Text up to a comment, and up to the = behind a key; what is in quotes is neither.
_BEFORE_COMMENT = re.compile(r'(?:[^";]+|"[^"]*"?)*')
_BEFORE_EQUALS = re.compile(r'(?:[^"=]+|"[^"]*"?)*')
_FIRST_SECTION = re.compile(r"^[ \t]*\[", re.MULTILINE)
_PIECE = re.compile(r'"(?P<quoted>[^"]*(?:""[^"]*)*)(?:"|$)|(?P<comma>,)|(?P<plain>[^",]+)')

#: A string of an INF has at most so many characters ("INF Strings Section").
_LONGEST_STRING = 4096
#: So much may tokens add to one INF: no real one comes near, and a hostile one does not fill the memory.
_MOST_ADDED = 32 << 20


@dataclass(frozen=True)
class Line:
    """One entry: ``key = values`` or, where ``key`` is None, values alone; ``number`` counts from 1."""

    number: int
    key: str | None
    values: tuple[str, ...]

    def first(self) -> str:
        """The first value, "" if there is none."""
        return self.values[0] if self.values else ""

    def named(self, key: str) -> bool:
        """Whether this is an entry of that name, which is given in lower case."""
        return self.key is not None and self.key.lower() == key


@dataclass
class RawSection:
    """A section as it is written: entries as text, with the number of the line in which each begins."""

    name: str
    entries: list[tuple[int, str]] = field(default_factory=list)


class Strings:
    """The tokens of [Strings]; those of a language, English first, fill what it leaves open."""

    def __init__(self, sections: Mapping[str, RawSection], name: str) -> None:
        self._name = name
        self._added = 0
        self._values: dict[str, str] = {}
        languages = sorted(section for section in sections if section.startswith("strings."))
        for section in dict.fromkeys(("strings", "strings.0409", *languages)):
            for number, text in sections[section].entries if section in sections else ():
                line = entry(number, text)
                if line.key is not None:
                    value = line.first()[:_LONGEST_STRING].replace("%%", "%")
                    self._values.setdefault(line.key.lower(), value)

    def replace(self, line: Line) -> Line:
        """An entry with its tokens replaced; one that [Strings] does not have stays as it is.

        Raises:
            PackageError: the tokens of this INF grow beyond all measure.
        """
        if "%" not in (line.key or "") and not any("%" in value for value in line.values):
            return line
        before = len(line.key or "") + sum(map(len, line.values))
        key = None if line.key is None else _TOKEN.sub(self._token, line.key)
        values = tuple(_TOKEN.sub(self._token, value) for value in line.values)
        self._added += max(0, len(key or "") + sum(map(len, values)) - before)
        if self._added > _MOST_ADDED:
            raise PackageError(f"line {line.number}: its strings make it too large for an INF", self._name)
        return Line(line.number, key, values)

    def _token(self, match: re.Match[str]) -> str:
        return self._values.get(match[1].lower(), match[0]) if match[1] else "%"


def decode(data: bytes) -> str:
    """The text of an INF: UTF-16 or UTF-8, with a byte order mark or without, or else Windows-1252.

    What cannot be decoded is replaced: one odd character in a description is no reason to refuse a driver.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", errors="replace")
    elif encoding := _unmarked_utf16(data[:4096]):
        text = data.decode(encoding, errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252", errors="replace")
    # Editors of DOS end a text with Ctrl-Z.
    return text.rstrip("\0\x1a")


def _unmarked_utf16(data: bytes) -> str | None:
    """UTF-16 without a mark is known by its zero bytes, of which an INF has one in nearly each character."""
    pairs = len(data) // 2
    if pairs < 2:
        return None
    first, second = data[0 : 2 * pairs : 2].count(0), data[1 : 2 * pairs : 2].count(0)
    if 2 * second > pairs and 8 * first < pairs:
        return "utf-16-le"
    if 2 * first > pairs and 8 * second < pairs:
        return "utf-16-be"
    return None


def oddities(data: bytes, text: str) -> tuple[str, ...]:
    """What of an INF's bytes and text Windows reads and not everybody does, in words."""
    found = []
    if not data.startswith((b"\xff\xfe", b"\xfe\xff")) and _unmarked_utf16(data[:4096]):
        found.append("its text is UTF-16 without a byte order mark")
    section = _FIRST_SECTION.search(text)
    above = _LINE_ENDS.split(text[: section.start()]) if section else []
    if any("/*" in line and not line.lstrip().startswith(";") for line in above):
        found.append("it has a comment in /* */")
    return tuple(found)


def sections(text: str, name: str) -> dict[str, RawSection]:
    """The sections by their names in lower case, comments gone and continued lines joined.

    Raises:
        PackageError: text stands before the first section, or a section's name does not end.
    """
    found: dict[str, RawSection] = {}
    current: RawSection | None = None
    for number, content in _joined(_without_block_comment(_LINE_ENDS.split(text), name)):
        if content.startswith("["):
            title, bracket, _ = content[1:].partition("]")
            if not bracket:
                raise PackageError(f"line {number}: section name does not end with ]", name)
            current = found.setdefault(title.strip().lower(), RawSection(title.strip()))
        elif current is None:
            raise PackageError(f"line {number}: text before the first section", name)
        else:
            current.entries.append((number, content))
    return found


def _without_block_comment(lines: list[str], name: str) -> Iterable[tuple[int, str]]:
    """Without the ``/* ... */`` that some of Microsoft's own INFs have above the first section."""
    start = 0
    above = True
    for number, line in enumerate(lines, 1):
        rest = line
        while above:
            if not start and rest.lstrip().startswith("/*"):
                start, rest = number, rest.lstrip()[2:]
            if not start:
                above = not rest.strip() or rest.lstrip().startswith(";")
                break
            _, ended, rest = rest.partition("*/")
            if not ended:
                break
            start = 0
        if not start:
            yield number, rest
    if start:
        raise PackageError(f"line {start}: the comment that begins there does not end with */", name)


def _joined(lines: Iterable[tuple[int, str]]) -> Iterable[tuple[int, str]]:
    """Entries: lines without comments, those that end with a backslash outside of quotes joined."""
    pieces: list[str] = []
    start = 0
    for number, line in lines:
        content = _without_comment(line).strip()
        start = start if pieces else number
        if content.endswith("\\") and content.count('"') % 2 == 0:
            pieces.append(content[:-1])
            continue
        pieces.append(content)
        content = "".join(pieces).strip()
        pieces = []
        if content:
            yield start, content
    content = "".join(pieces).strip()
    if content:
        yield start, content


def _without_comment(line: str) -> str:
    if ";" not in line:
        return line
    match = _BEFORE_COMMENT.match(line)
    return match[0] if match else ""


def entry(number: int, text: str) -> Line:
    """An entry of its text; tokens stay as they are."""
    key, rest = _split_key(text)
    return Line(number, key, tuple(_split_values(rest)))


def left_side(text: str) -> str:
    """What stands before the = of an entry as it is written, or all of it."""
    match = _BEFORE_EQUALS.match(text)
    return match[0] if match else ""


def _split_key(text: str) -> tuple[str | None, str]:
    end = len(left_side(text))
    if end >= len(text):
        return None, text
    key = text[:end].strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1].replace('""', '"')
    return key.strip('"'), text[end + 1 :]


def _split_values(text: str) -> list[str]:
    """Values between commas, without the quotes around them; ``""`` inside quotes is one quote."""
    if '"' not in text:
        plain = [value.strip() for value in text.split(",")]
        return [] if plain == [""] else plain
    values: list[str] = []
    pieces: list[str] = []
    quoted = False
    for match in _PIECE.finditer(text):
        if match["quoted"] is not None:
            pieces.append(match["quoted"].replace('""', '"'))
            quoted = True
        elif match["comma"] is not None:
            values.append(_value(pieces, quoted))
            pieces, quoted = [], False
        else:
            # Blanks between a value and its quotes belong to neither.
            piece = "".join(match["plain"].split()) if quoted else match["plain"]
            pieces += [piece] if piece.strip() else []
    values.append(_value(pieces, quoted))
    return values


def _value(pieces: list[str], quoted: bool) -> str:
    text = "".join(pieces)
    return text if quoted else text.strip()
