# SPDX-License-Identifier: Apache-2.0
"""Words on cmd's command line: whatever they are, the program gets them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.vm.windows import cmd_model
from vm.errors import VmError
from vm.windows import cmdline
from vm.windows.family import Windows

WORD = st.lists(
    st.sampled_from([*"ab %^&|<>()!\"\\\t,;=/@:'~é", "PATH", "%PATH%", "%PATH:~0,3%", "%%", "\\\\", "OS"]),
    max_size=7,
).map("".join)
PROGRAM = st.sampled_from(
    [
        r"C:\kshs\kshsctl.exe",
        r"C:\a b\x.exe",
        r"C:\a&b^(1)\x!.exe",
        "C:/x.exe",
        "ver",
        "@x",
        "a=b",
        r"C:\a;b\x,y.exe",
    ]
)


@given(PROGRAM, st.lists(WORD, max_size=4))
@example("x", ["%%PATH:~0,3%"])
@example("x", ["a b", "%PATH%", 'c"d%', "%PATH:a=b%"])
@example("x", ['a"', "b&c", '"', "d|e"])
@example("x", ["", "a b\\", "\\", 'c\\\\"d'])
@example(
    r"C:\kshs\kshsctl.exe", ["install-device", r"C:\x\Fabrikam Relay.inf", r"Root\Fabrikam&ver", "FabRelay"]
)
def test_every_word_arrives_as_it_is(program: str, arguments: list[str]) -> None:
    line = cmdline.join([program, *arguments])
    assert cmd_model.as_sshd(line) == [program, *arguments], line
    # Wine's cmd looks for variables a second time, when the escapes are gone.
    assert "EXPANDED" not in cmd_model._expand("".join(cmd_model._read(line)))


@given(st.lists(WORD, max_size=3))
@example(["%PATH:~0,3%", 'a"b', "%"])
def test_a_line_in_a_line_arrives_as_it_is(arguments: list[str]) -> None:
    inner = cmdline.join([r"C:\a b\x.exe", *arguments])
    (start, title, *_) = cmd_model.as_sshd(f'start "kshs" {cmdline.escape(inner)}')
    assert (start, title) == ("start", "kshs")
    escaped = cmd_model._read(cmd_model._expand(f"start {cmdline.escape(inner)}"))[1]
    assert escaped == f" {inner}", "the second cmd reads the same line"


def test_what_needs_no_quotes_gets_none() -> None:
    assert cmdline.join([r"C:\kshs\kshsctl.exe", "info"]) == r"C:\kshs\kshsctl.exe info"
    assert cmdline.join(["cmd", "/c", "ver"]) == "cmd /c ver"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "without a name"),
        ([""], "without a name"),
        (["x", "a\nb"], r"cannot be given the word 'a\\nb'; put it into a file"),
        (["x", "a\0"], "cannot be given the word"),
        (["x", "a\r"], "cannot be given the word"),
        (["a%b%"], "cannot start a program called 'a%b%'"),
        (['a"b'], "cannot start a program called"),
        (["x", "y" * 8190], "no line of 8192 characters, only 8191"),
    ],
)
def test_what_cmd_cannot_hold_is_refused(argv: list[str], message: str) -> None:
    with pytest.raises(VmError, match=message):
        cmdline.join(argv)


def test_a_program_in_the_background_gets_its_words_too() -> None:
    windows = Windows()
    command = windows.command_line([r"C:\a b\x.exe", "c d", "e&f", '"%OS%"'])
    line = windows.background(command, r"C:\l o g.txt")
    (*before, rest) = cmd_model._read(cmd_model._expand(line))[1].partition("/c ")
    assert "".join(before) == ' "kshs" /b cmd /d /c '
    assert rest == f'"{command} >>"C:\\l o g.txt" 2>&1"'


def test_the_model_sees_what_the_line_of_old_did() -> None:
    line = r'C:\kshs\kshsctl.exe install-device "C:\a b.inf" Root\Fabrikam&ver'
    with pytest.raises(cmd_model.SplitError):
        cmd_model.as_sshd(line)
    assert cmd_model.as_sshd("x %PATH%") == ["x", "EXPANDED"]
    assert cmd_model.as_sshd("x ^%PATH:~0,3^%") == ["x", "EXPANDED"]
