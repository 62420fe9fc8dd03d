# SPDX-License-Identifier: Apache-2.0
"""What cmd.exe and a C runtime make of a command line, by their documented rules: a model for tests.

Of cmd: "cmd" (Windows Server documentation, the rule of ``/c`` and quotes), and the phases in which it reads
a line that is not in a batch file: variables first, then quotes, escapes and operators.
"""

from __future__ import annotations

from collections.abc import Mapping

VARIABLES: Mapping[str, str] = {"PATH": "EXPANDED", "A": "EXPANDED", "OS": "EXPANDED"}
_DELIMITERS = " \t,;=/"


class SplitError(AssertionError):
    """cmd takes the line for something other than one call of a program."""


def as_sshd(line: str) -> list[str]:
    """The words that a program gets when sshd is asked to run `line`."""
    name, rest = _read(_expand(_strip(f'"{line}"')))
    return [name.strip('"'), *words(rest)]


def _strip(command: str) -> str:
    """What ``cmd /c COMMAND`` works on; no file is called like a whole command line here."""
    assert command[0] == command[-1] == '"'
    return command[1:-1]


def _expand(line: str) -> str:
    out, at = "", 0
    while at < len(line):
        end = line.find("%", at + 1) if line[at] == "%" else -1
        name = line[at + 1 : end].partition(":")[0] if end > 0 else ""
        if name.upper() in VARIABLES:
            out, at = out + VARIABLES[name.upper()], end + 1
        else:
            out, at = out + line[at], at + 1
    return out


def _read(line: str) -> tuple[str, str]:
    """Without escapes: the program's name, and what is behind it."""
    out, quoted, at, end = "", False, 0, None
    if line[:1] in ("@", ":"):
        raise SplitError("the line begins with a character of cmd's")
    while at < len(line):
        character = line[at]
        if character == '"':
            quoted = not quoted
        elif not quoted:
            if character == "^":
                at += 1
                if at == len(line):
                    raise SplitError("the line ends with an escape")
                character = line[at]
            elif character in "&|<>()\r\n":
                raise SplitError(f"{character!r} means something to cmd in {line!r}")
            elif character in _DELIMITERS and end is None:
                end = len(out)
        out, at = out + character, at + 1
    return (out, "") if end is None else (out[:end], out[end:])


def words(rest: str) -> list[str]:
    """The arguments, as "Parsing C command-line arguments" has it."""
    found: list[str] = []
    at = 0
    while True:
        while at < len(rest) and rest[at] in " \t":
            at += 1
        if at == len(rest):
            return found
        word, at = _word(rest, at)
        found.append(word)


def _word(rest: str, at: int) -> tuple[str, int]:
    word, quoted = "", False
    while at < len(rest) and (quoted or rest[at] not in " \t"):
        slashes = len(rest[at:]) - len(rest[at:].lstrip("\\"))
        at += slashes
        if rest[at : at + 1] != '"':
            word += "\\" * slashes
            if slashes == 0:
                word, at = word + rest[at], at + 1
            continue
        word += "\\" * (slashes // 2)
        if slashes % 2:
            word += '"'
        elif quoted and rest[at + 1 : at + 2] == '"':
            word, at = word + '"', at + 1
        else:
            quoted = not quoted
        at += 1
    return word, at
