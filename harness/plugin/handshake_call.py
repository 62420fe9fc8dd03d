# SPDX-License-Identifier: Apache-2.0
"""A call of the fixture `handshake` made into a scenario; its mistakes in the words of scenario files.

Such a mistake says nothing about a driver, so it is an error and no failure.  It is told in one line
with the place of the call, as `harness.language.scenario_file` tells one of a file with the place of the key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from pydantic import ValidationError

from harness.errors import UsageError
from harness.language.model import Scenario, Target
from harness.language.model.check import check, shorthand
from harness.language.model.scenario import OPEN_PATTERN
from harness.language.toml_file import key_text
from harness.language.toml_positions import Key
from harness.language.toml_problems import validation_problems
from harness.planning.expectations import MisspeltName
from harness.planning.misspelt import place
from harness.planning.plan import plan

#: Keys of a scenario's step that have no meaning in such a call, and what to do instead.
_NOT_HERE = {
    "do": ("the step is a handshake already", "leave it out"),
    "start": ("a test in Python waits for every answer", "leave it out"),
    "expect": ("a test in Python judges the answer itself", "like assert handshake(...).answer == 0"),
    **dict.fromkeys(
        ("in_stride", "out_stride", "vary"),
        ("a test in Python gets the answers of one request", "call handshake in a loop"),
    ),
}

_Problem = tuple[Key, str, str | None]


class CallError(UsageError):
    """A call of `handshake` that cannot be carried out.

    Args:
        where: file and line of the call.
        problems: key, message and hint of everything that is wrong with it.
    """

    def __init__(self, where: str, problems: Iterable[_Problem]) -> None:
        told: dict[str, str] = {}
        for key, message, hint in problems:
            name = _argument(key)
            text = f"{name}: {message}" if name else message
            # One mistake in `on` is one in the scenario's `open` and in its step.
            told.setdefault(name, f"{text} ({hint})" if hint else text)
        super().__init__(" ".join(f"handshake: {'; '.join(told.values())}".split()), where)


def place_of(frame: FrameType | None, root: Path) -> str:
    """File and line that a frame is at; below `root` as a relative path.

    Args:
        frame: of the caller of the fixture.
        root: of the test session.
    """
    if frame is None:
        return "a test in Python"
    path = Path(frame.f_code.co_filename)
    return f"{path.relative_to(root) if path.is_relative_to(root) else path}:{frame.f_lineno}"


def scenario_of(
    test: str, args: Sequence[object], fields: Mapping[str, Any], target: Target, where: str
) -> Scenario:
    """The scenario that a call stands for; it is certain that a plan of it can be made.

    Args:
        test: name of the test.
        args: what was given without a name: at most what is to be opened.
        fields: what was given by name.
        target: the driver under test.
        where: file and line of the call.

    Raises:
        CallError: something is wrong with the call.
        NotApplicable: the target has not what the call names, nor anything of a similar name.
    """
    step, on = _step(args, fields, where)
    name = re.sub(r"[^a-z0-9]+", "-", test.lower()).strip("-") or "test"
    table = {
        "id": f"python.{name}"[:120].rstrip("-."),
        "title": f"handshake of {test}"[:200],
        "rule": "characteristic",
        "open": [on],
        "steps": [step],
    }
    try:
        scenario = Scenario.model_validate(table)
    except ValidationError as error:
        raise CallError(where, validation_problems(error, Scenario, table)) from None
    problems = check(scenario)
    if problems:
        raise CallError(where, ((p.path, p.message, p.hint) for p in problems))
    try:
        plan(scenario, target)
    except MisspeltName as error:
        raise CallError(where, [(place(scenario, error.word), error.message, error.hint)]) from None
    except UsageError as error:
        raise CallError(where, [((), error.message, error.hint)]) from None
    except ValueError as error:
        raise CallError(where, [((), str(error), None)]) from None
    return scenario


def _step(args: Sequence[object], fields: Mapping[str, Any], where: str) -> tuple[dict[str, Any], str]:
    """The handshake step and the entry of `open`."""
    more = dict(fields)
    problems: list[_Problem] = []
    if len(args) > 1 or (args and "on" in more):
        problems.append(((), "only what is to be opened comes without a name", 'like "source", route="irp"'))
    named = more.pop("on", "source")
    on = args[0] if args else named
    if not isinstance(on, str) or not re.match(OPEN_PATTERN, on):
        hint = 'write "filter", a pin by its name or like "pin0", or "source -> sink"'
        problems.append((("on",), f"{on!r} is nothing that can be opened", hint))
    problems += [((key,), *_NOT_HERE[key]) for key in more if key in _NOT_HERE]
    if problems or not isinstance(on, str):
        raise CallError(where, problems)
    return {"do": "handshake", "on": shorthand(on).name, "expect": "record", **more}, on


def _argument(key: Key) -> str:
    """The argument of the call that a key of its scenario comes from."""
    if key[:1] == ("open",):
        return "on"
    return key_text(key[2:] if key[:1] == ("steps",) else key)
