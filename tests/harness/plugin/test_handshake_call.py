# SPDX-License-Identifier: Apache-2.0
"""Calls of the fixture `handshake` that cannot be carried out, and what is said of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from harness.planning.expectations import MisspeltName
from harness.planning.planned import NotApplicable
from harness.plugin.handshake_call import CallError, place_of, scenario_of
from tests.harness.fake_guest import TARGET

HERE = "test_x.py:7"


def call(*args: object, **fields: Any) -> Any:
    return scenario_of("test_x[One]", args, fields, TARGET, HERE)


def test_a_right_call_is_a_scenario_of_one_handshake() -> None:
    made = call("a = source -> sink", route="irp", argument1=7)
    assert made.id == "python.test-x-one"
    assert made.open == ["a = source -> sink"]
    assert [(s.do, s.on, s.route, s.argument1, s.expect) for s in made.steps] == [
        ("handshake", "a", "irp", 7, "record")
    ]
    assert call().open == call(on="source").open == ["source"]


@pytest.mark.parametrize(
    ("args", "fields", "said"),
    [
        (("source",), {"routte": "irp"}, "routte: unknown key 'routte' (did you mean 'route'?)"),
        ((), {"route": "ipr"}, "route: 'ipr' is not one of: call, irp, sync, event, port, apc"),
        ((), {"in_length": "sizee"}, "in_length: 'sizee' is no length"),
        ((), {"repeat": 0}, "repeat: input should be greater than or equal to 1"),
        ((), {"start": "x"}, "start: a test in Python waits for every answer (leave it out)"),
        ((), {"do": "sleep"}, "do: the step is a handshake already (leave it out)"),
        ((), {"expect": "success"}, "expect: a test in Python judges the answer itself (like assert"),
        ((5,), {}, "on: 5 is nothing that can be opened (write"),
        (("Source!",), {}, "on: 'Source!' is nothing that can be opened"),
        (("source", "irp"), {}, "only what is to be opened comes without a name"),
        (("source",), {"on": "sink"}, "only what is to be opened comes without a name"),
        ((), {"route": "sync", "mode": "kernel"}, "mode: route sync always sends in user mode (leave"),
        (("sorce",), {}, "on: target sim has no pin sorce (did you mean 'source'?)"),
        (("source -> sinc",), {}, "on: target sim has no pin sinc (did you mean 'sink'?)"),
        ((), {"protocol": "acepted"}, "protocol: target sim has no protocol 'acepted' (did you mean 'acc"),
    ],
)
def test_a_mistake_is_told_in_one_line(args: tuple[object, ...], fields: dict[str, Any], said: str) -> None:
    with pytest.raises(CallError) as error:
        call(*args, **fields)
    text = str(error.value)
    assert text.startswith(f"{HERE}: handshake: {said}")
    assert "\n" not in text and "pydantic" not in text
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None


def test_all_mistakes_are_told_and_each_once() -> None:
    with pytest.raises(CallError) as error:
        call("x" * 41, routte=1, repeat=0)
    text = str(error.value)
    assert text.count("on: ") == text.count("routte: ") == text.count("repeat: ") == 1


def test_what_the_target_lacks_is_no_mistake() -> None:
    for args, fields in ((("clock",), {}), ((), {"protocol": "midi"})):
        with pytest.raises(NotApplicable) as why:
            call(*args, **fields)
        assert not isinstance(why.value, MisspeltName)


def test_the_place_is_the_callers_line() -> None:
    frame = sys._getframe()
    assert place_of(frame, Path(__file__).parent) == f"{Path(__file__).name}:{frame.f_lineno}"
    assert place_of(frame, Path("/nowhere")).startswith(f"{__file__}:")
