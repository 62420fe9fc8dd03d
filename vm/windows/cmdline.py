# SPDX-License-Identifier: Apache-2.0
r"""Words on a command line of cmd.exe, so that the program gets them as they are.

Two programs read the line.  cmd splits it at ``& | < > ( )`` and takes ``^`` as its escape, but not between
quotes, where a backslash means nothing to it; ``%NAME%`` it replaces everywhere, and before all else.  Then
the program's C runtime splits what is left into words: at blanks, but not between quotes, where ``\"`` is a
quote ("Parsing C command-line arguments", Microsoft C documentation).

So a word with characters of cmd goes between quotes.  A word that has a quote itself cannot: what is inside
for the one would be outside for the other.  In it every character of cmd, the quotes among them, is escaped,
and cmd sees no quote at all.  For ``%`` cmd has no escape; but behind each a quote is opened, so what stands
between two of them begins with a quote, and no variable is called like that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from vm.errors import VmError

LIMIT = 8191
"""Characters of a line ("Command prompt line string limitation", Windows Server documentation)."""
_DELIMITERS = " \t,;=/"
_SPECIAL = '&|<>^()"!%'
_UNQUOTABLE = re.compile(r"[\0\r\n]")
_TO_QUOTE = re.compile(rf"[{re.escape(_DELIMITERS.replace('/', '') + _SPECIAL)}]")
_TO_QUOTE_IN_A_PROGRAM = re.compile(rf"[{re.escape(_DELIMITERS + _SPECIAL)}]|\A[@:]")


def join(argv: Sequence[str]) -> str:
    """The line that starts ``argv[0]`` with the other words as its arguments.

    Raises:
        VmError: cmd's command line cannot hold it: a line break or NUL in a word, a percent sign or a quote
            in the program's name, or more than 8191 characters.
    """
    if not argv or not argv[0]:
        raise VmError("cmd cannot start a program without a name")
    for word in argv:
        if _UNQUOTABLE.search(word):
            raise VmError(f"cmd cannot be given the word {word!r}", hint="put it into a file")
    line = " ".join([_program(argv[0]), *map(argument, argv[1:])])
    if len(line) > LIMIT:
        raise VmError(
            f"cmd takes no line of {len(line)} characters, only {LIMIT}", hint="put the words into a file"
        )
    return line


def escape(line: str) -> str:
    """A line of cmd as an argument of another: every character that means something to cmd is escaped."""
    return re.sub(r"%+[^%]?|[&|<>^()\"!]", lambda found: "".join(f"^{c}" for c in found[0]), line)


def _program(name: str) -> str:
    if '"' in name or "%" in name:
        raise VmError(f"cmd cannot start a program called {name!r}", hint="rename it")
    return f'"{name}"' if _TO_QUOTE_IN_A_PROGRAM.search(name) else name


def argument(word: str) -> str:
    """One word as an argument."""
    if word and not _TO_QUOTE.search(word):
        return word
    first, *others = word.split("%")
    quoted = "%".join([_quoted(first) if first or not others else "", *map(_quoted, others)])
    return escape(quoted) if '"' in word else quoted


def _quoted(text: str) -> str:
    """Between quotes for the C runtime: a backslash counts for itself but in front of a quote."""
    inside = re.sub(r'(\\*)"', r'\1\1\\"', text)
    return f'"{inside}{_trailing_backslashes(inside)}"'


def _trailing_backslashes(text: str) -> str:
    return "\\" * (len(text) - len(text.rstrip("\\")))
