# SPDX-License-Identifier: Apache-2.0
"""Command lines for cmd.exe, run by Wine's cmd as sshd would have them run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.component import wine
from tests.component.standins import build_program
from vm.windows.cmdline import join

pytestmark = pytest.mark.component

FOLDERS = ("kshs", "a b", "a&b (1) ^x!")
WORDS: Sequence[Sequence[str]] = (
    ["install-device", r"C:\kshs\target\Fabrikam Relay.inf", r"Root\Fabrikam&ver", "FabRelay"],
    ["", "x", ""],
    ["a|b", ">x", "<y", "a^b", "^", " ^ ", "(a)", "!x!", "a,b", "a;b", "a=b", "@x"],
    ['a"b', 'a"b&c d', '"', '""', '" & ver & "', "b&c", 'x"', "y|z"],
    ["\\", "a b\\", 'a\\\\"b\\', "\\\\", " \\"],
    ["100%", "%PATH%", "%PATH:~0,3%", "%%PATH%%", "%PATH", "a %OS% b", '%"OS"%', 'a"%OS%'],
    ["%PATH%"],
    ["\t", "é日本", "'a b'", "`x`", "$y", "*", "?"],
    ['x%y"z ^&|<>()!'],
)


class Sshd:
    """Runs command lines with the server's own ``cmd /c "LINE"``."""

    def __init__(self, prefix: Path) -> None:
        self._prefix = prefix

    def run(self, lines: Sequence[str]) -> list[tuple[list[str], int]]:
        """What each line's program printed, and its exit code."""
        done = subprocess.run(
            [*wine.program("wine"), "C:\\kshs\\words.exe", "as-sshd"],
            env=wine.environment(self._prefix) | {"WINEDEBUG": "-all"},
            input="".join(f"{line}\n" for line in lines).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=wine.VERB_TIMEOUT,
            check=True,
        )
        answers: list[tuple[list[str], int]] = []
        printed: list[str] = []
        for line in done.stdout.decode().splitlines():
            if line.startswith("= "):
                answers.append((printed, int(line.removeprefix("= "))))
                printed = []
            else:
                printed.append(line.rstrip("\r"))
        return answers


@pytest.fixture(scope="module")
def sshd(bare_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    program = build_program(tmp_path_factory.mktemp("words"), "words")
    with wine.copy_of(bare_template) as prefix:
        for folder in FOLDERS:
            (prefix / "drive_c" / folder).mkdir(exist_ok=True)
            shutil.copyfile(program, prefix / "drive_c" / folder / "words.exe")
        yield Sshd(prefix)


def test_every_word_reaches_the_program(sshd: Sshd) -> None:
    answers = sshd.run([join(["C:\\kshs\\words.exe", "show", *words]) for words in WORDS])
    assert answers == [(list(words), len(words)) for words in WORDS]


def test_the_program_may_lie_anywhere(sshd: Sshd) -> None:
    words = ["a b", "c&d", 'e"f']
    answers = sshd.run([join([f"C:\\{folder}\\words.exe", "show", *words]) for folder in FOLDERS])
    assert answers == [(words, len(words))] * len(FOLDERS)


def test_without_quotes_a_word_would_be_a_command(sshd: Sshd) -> None:
    """That the test can fail: the line as it was written once."""
    ((printed, _),) = sshd.run(['C:\\kshs\\words.exe show "C:\\a b" Root\\Fabrikam&echo second command'])
    assert "second command" in printed
