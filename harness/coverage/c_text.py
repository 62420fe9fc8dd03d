# SPDX-License-Identifier: Apache-2.0
"""C and C++ as text, as far as it must be known what a change of it may concern.

No parser: where the text does not tell (branches of the preprocessor with a brace in one of them, say),
nothing lies in a function, and a change counts for more.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\n|[^\S\n]+|.""", re.DOTALL
)
_QUOTED = re.compile(r""""(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""")
_ENDS = re.compile(r"\r\n|\n|\r")
#: What follows the arguments of a function that begins.
_FUNCTION = re.compile(r"\)(?:\s*(?:const|noexcept|override|final))*$")
_TYPE = re.compile(r"\b(?:struct|union|enum|class)\b[\s\w]*\([^()]*(?:\([^()]*\))?\)$")
_TRANSPARENT = re.compile(r"\bnamespace\b[\w\s:]*$|\bextern\s*\"\"$")
_PROTOTYPE = re.compile(r"^[\w\s*]*\w[\s*]+\w+\s*\([^=]*\)$", re.DOTALL)
#: What decides which statements are executed.
_SHAPE = re.compile(
    r"\b(?:if|else|for|while|do|switch|case|default|try|catch|__try|__except|__finally)\b|[{};:]"
)
_SAME_PLACE = re.compile(r"^\s*(?:(?:else\s+)?if|while|for|switch)\b")


def text_lines(text: str) -> list[str]:
    """The lines of a source, as compilers count them: a form feed, say, ends none."""
    return _ENDS.split(text)


def code_lines(text: str) -> list[str]:
    """The lines of C without comments, with one space for any that separate; strings stay as they are."""
    out: list[str] = []
    for match in _TOKEN.finditer("\n".join(text_lines(text))):
        piece = match[0]
        if piece.startswith(("//", "/*")):
            piece = "\n" * piece.count("\n") or " "
        elif piece != "\n" and piece.isspace():
            piece = " "
        if not (piece == " " and (not out or out[-1] in (" ", "\n"))):
            out.append(piece)
    return [line.strip(" ") for line in "".join(out).split("\n")]


@dataclass(frozen=True)
class Region:
    """Old lines from `begin` to below `end`, from 1, and the new ones in their place.

    There are no old ones where something was only put in, and no new ones where it was only taken out.
    `preprocessor` says whether the preprocessor reads any of what was there or is there now.
    """

    begin: int
    end: int
    new_begin: int
    new_end: int
    preprocessor: bool


def changes(old: Sequence[str], new: Sequence[str]) -> Iterator[Region]:
    """What of old lines is other in new ones."""
    theirs, ours = _directives(old), _directives(new)
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for tag, begin, end, first, last in matcher.get_opcodes():
        if tag != "equal" and any([*old[begin:end], *new[first:last]]):
            directive = any([*theirs[begin:end], *ours[first:last]])
            yield Region(begin + 1, end + 1, first + 1, last + 1, directive)


@dataclass(frozen=True)
class Function:
    """A function's lines: where it begins, its outer braces; of a prototype the braces are at its end."""

    begin: int
    opened: int
    closed: int


class Shape:
    """Where functions are in the lines of `code_lines`."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self.functions = list(_functions(lines))

    def body(self, begin: int, end: int) -> Function | None:
        """The function inside of whose braces lines lie; where there are none, the place before `begin`."""
        first, last = (begin, end - 1) if begin < end else (begin - 1, begin)
        for one in self.functions:
            if one.opened == one.closed:
                continue
            after_open = first > one.opened or (first == one.opened and self._is_only(first, "{", begin, end))
            if after_open and (last < one.closed or (last == one.closed and begin >= end)):
                return one
        return None

    def is_of_functions(self, begin: int, end: int) -> bool:
        """Whether all of the lines that have anything are functions' or prototypes'."""
        return all(
            any(one.begin <= line <= one.closed for one in self.functions)
            for line in range(begin, end)
            if self._lines[line - 1]
        )

    def _is_only(self, line: int, text: str, begin: int, end: int) -> bool:
        return begin >= end or self._lines[line - 1] == text


def is_same_course(old: Sequence[str], new: Sequence[str], region: Region) -> bool:
    """Whether a change is one of statements that are executed when the old ones were, and no others are.

    So it is where whole statements were replaced by as many of the same kinds: then whoever did not come to
    the old ones does not come to the new ones.
    """
    before = [line for line in old[: region.begin - 1] if line]
    was = [line for line in old[region.begin - 1 : region.end - 1] if line]
    now = [line for line in new[region.new_begin - 1 : region.new_end - 1] if line]
    if not was or not now or not before:
        return False
    shape = [_SHAPE.findall(_QUOTED.sub("", " ".join(lines))) for lines in (was, now)]
    if shape[0] != shape[1] or {":", "case", "default", "else"} & {*shape[0]}:
        return False
    if not all(lines[-1].endswith((";", "{", "}")) or _is_head(lines[-1]) for lines in (was, now)):
        return False
    return before[-1].endswith((";", "{", "}")) or before[-1] in ("else", "do") or _is_head(before[-1])


def _is_head(line: str) -> bool:
    """Whether a line is all of the condition of a statement."""
    bare = _QUOTED.sub("", line)
    if not _SAME_PLACE.match(bare) or not bare.endswith(")"):
        return False
    depth = 0
    inner = bare[bare.index("(") :]
    for place, letter in enumerate(inner):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return place == len(inner) - 1
    return False


def _directives(lines: Sequence[str]) -> list[bool]:
    """Of each line, whether it belongs to a directive of the preprocessor, which may go on over lines."""
    found: list[bool] = []
    goes_on = False
    for line in lines:
        found.append(goes_on or line.startswith("#"))
        goes_on = found[-1] and line.endswith("\\")
    return found


def _functions(lines: Sequence[str]) -> Iterator[Function]:
    """In the order of the lines; none where braces do not match."""
    found: list[Function] = []
    opened: list[tuple[str, int, int]] = []  # kind of brace, where its head begins, where it stands
    head, begin, deep = "", 0, 0
    for number, (line, directive) in enumerate(zip(lines, _directives(lines), strict=True), 1):
        if directive:
            continue
        for letter in _QUOTED.sub('""', line) + "\n":
            if letter == "{":
                kind = "-" if deep else _kind(head.strip())
                deep += kind != "transparent"
                opened.append((kind, begin or number, number))
                head, begin = "", 0
            elif letter == "}":
                if not opened:
                    return
                kind, first, at = opened.pop()
                deep -= kind != "transparent"
                if kind == "function":
                    found.append(Function(first, at, number))
                head, begin = "", 0
            elif deep:
                continue
            elif letter == ";":
                if _PROTOTYPE.match(head.strip()):
                    found.append(Function(begin, number, number))
                head, begin = "", 0
            else:
                begin = begin or (number if not letter.isspace() else 0)
                head += letter
    if not opened:
        yield from found


def _kind(head: str) -> str:
    """Of what a brace is outside of all others, by what stands before it."""
    if _TRANSPARENT.search(head):
        return "transparent"
    bare = re.sub(r"\([^()]*\)", "()", head)
    is_function = _FUNCTION.search(head) and "=" not in bare and not _TYPE.search(head)
    return "function" if is_function else "-"
