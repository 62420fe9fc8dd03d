# SPDX-License-Identifier: Apache-2.0
"""What target files say of the arguments of protocols, and what scenarios do with them."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from harness.language import scenario_file, target
from harness.language.model import Target
from harness.language.model.arguments import Interface, Pointer
from harness.language.scenario_file import ScenarioError
from harness.language.target import TargetError

HEAD = """schema = 1
name = "clock"
package = "package"
hardware_id = 'Root\\FabrikamClock'
service = "FabClock"
category = "2EB07EA0-7E70-11D0-A5D6-28DB04C10000"

"""
GUID = "8C1F6E20-51D4-4B8E-9D37-602AB815C701"
PIN = """
[[pin]]
id = 0
name = "source"
flow = "out"
accepts = ["clock"]
"""
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "clock" / "clock.toml"


def load(tmp_path: Path, protocols: str) -> Target:
    path = tmp_path / "clock.toml"
    path.write_text(HEAD + protocols + PIN, "utf-8")
    return target.load(path)


def problem(tmp_path: Path, line: str) -> str:
    """What is told of one line of [protocols.clock], which is line 10 of the file."""
    with pytest.raises(TargetError) as caught:
        load(tmp_path, f'[protocols.clock]\nguid = "{GUID}"\n{line}\n')
    return str(caught.value).splitlines()[0].partition("clock.toml:")[2]


def test_a_guid_alone_is_a_protocol_of_numbers(tmp_path: Path) -> None:
    found = load(tmp_path, f'[protocols]\nclock = "{GUID}"\n')
    assert found.protocols == {"clock": uuid.UUID(GUID)}
    named = found.protocol(uuid.UUID(GUID))
    assert named is not None and named[0] == "clock" and named[1].is_plain and named[1].followed is None
    assert found.protocol(uuid.UUID(int=7)) is None


def test_the_example_says_what_its_arguments_are() -> None:
    example = target.load(EXAMPLE)
    found = example.protocol(example.protocols["clock"])
    assert found is not None
    argument = found[1].argument1
    assert isinstance(argument, Interface)
    assert (argument.version, argument.returns, argument.holds, argument.until) == (
        256,
        (1234567,),
        1,
        "close",
    )
    assert (found[1].followed, found[1].is_plain) == (1, False)
    rate = example.protocol(example.protocols["rate"])
    assert rate is not None and isinstance(rate[1].argument1, Pointer)
    assert rate[1].argument1.content == bytes.fromhex("0c000000 44ac0000 01000000")


@pytest.mark.parametrize(
    ("said", "content"),
    [
        ('hex = "01 02"', "0102"),
        ('hex = "01 02", length = 4', "01020000"),
        ("length = 3", "000000"),
        ("fields = [{ u8 = 1 }, { u32 = 2 }]", "01000000 02000000"),
        ("fields = [{ u32 = 2 }, { u8 = 1 }]", "02000000 01000000"),
        ('fields = [{ u16 = 1 }, { u64 = "0xFFFFFFFFFFFFFFFF" }]', "0100000000000000 ffffffffffffffff"),
        (f'fields = [{{ u8 = 1 }}, {{ guid = "{GUID}" }}]', "01000000 206e1f8cd4518e4b9d37602ab815c701"),
        ('fields = [{ u8 = 1 }, { hex = "0203" }]', "010203"),
    ],
)
def test_the_bytes_of_a_block(said: str, content: str, tmp_path: Path) -> None:
    found = load(
        tmp_path, f'[protocols.clock]\nguid = "{GUID}"\nargument1 = {{ kind = "pointer", {said} }}\n'
    )
    _, protocol = found.protocol(uuid.UUID(GUID)) or (None, None)
    assert protocol is not None and isinstance(protocol.argument1, Pointer)
    assert protocol.argument1.content == bytes.fromhex(content)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('argument1 = { kind = "interfaces" }', "10: protocols.clock.argument1: 'interfaces' is no kind"),
        (
            "argument1 = { version = 1 }",
            "10: protocols.clock.argument1: an argument says with `kind` what it is",
        ),
        ('argument1 = { kind = "pointer" }', "a block needs hex, fields or length"),
        ('argument1 = { kind = "pointer", hex = "01", fields = [{ u8 = 1 }] }', "leave one"),
        ('argument1 = { kind = "pointer", hex = "0102", length = 1 }', "has 2 bytes, more than its length"),
        ('argument1 = { kind = "pointer", fields = [{ u8 = 1, u16 = 2 }] }', "a field has one key, its kind"),
        (
            'argument1 = { kind = "pointer", length = 4, writes = true, memory = "readonly" }',
            "cannot be given memory",
        ),
        (
            'argument1 = { kind = "interface", until = "call", holds = 1 }',
            'holds cannot be more than 0 with until = "call"',
        ),
        ('argument1 = { kind = "interface", functions = 9 }', "protocols.clock.argument1.functions"),
        (
            'argument1 = { kind = "interface", functions = [1,2,3,4,5,6,7,8,9] }',
            "at most 8 further functions",
        ),
        ('argument1 = { kind = "interface", hold = 1 }', "unknown key 'hold' (did you mean 'holds'?)"),
        ('answer1 = { kind = "number", value = 3 }', "what a driver answers is not chosen here"),
        ('argument3 = { kind = "null" }', "unknown key 'argument3'"),
    ],
)
def test_what_is_wrong_is_told_in_its_line(line: str, told: str, tmp_path: Path) -> None:
    assert told in problem(tmp_path, line)


def test_the_words_for_arguments_are_no_names_of_protocols(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="a protocol cannot be called 'interface'"):
        load(tmp_path, f'[protocols]\nclock = "{GUID}"\ninterface = "{GUID}"\n')


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ('{ do = "inspect", what = "mine" }', "nothing was made or taken under the name 'mine'"),
        (
            '{ do = "make", name = "mine" }, { do = "handshake", on = "source", hand = ["mien"] }',
            "steps[1].hand[0]: nothing was made or taken under the name 'mien' (did you mean 'mine'?)",
        ),
        (
            '{ do = "make", name = "mine" }, { do = "make", name = "mine" }',
            "steps[1].name: 'mine' is made or taken already",
        ),
        (
            '{ do = "handshake", on = "source", take = "theirs", threads = 2 }',
            "each of several threads brings an answer of its own",
        ),
        ('{ do = "handshake", on = "source", argument1 = "mine" }', "'mine' is not a number"),
    ],
)
def test_scenarios_name_what_is_there(steps: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "scenarios.toml"
    file.write_text(
        'schema = 1\n[[scenario]]\nid = "a.b"\ntitle = "abc"\nrule = "arguments"\nopen = ["source"]\n'
        f"steps = [{steps}]\n",
        "utf-8",
    )
    with pytest.raises(ScenarioError) as caught:
        scenario_file.load_all([file])
    assert told in str(caught.value)
