# SPDX-License-Identifier: Apache-2.0
"""Stop codes: their names, what their parameters mean, and which of them tell one crash from another.

`stop_codes.json` was written from Microsoft's public "Bug check code reference" and the page of each code, in
words of our own; that parameter 3 of 0xBE is a trap frame was seen in dumps (docs/dumps.md).  A code of
which nothing is documented has no name, and its parameters no meaning.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from harness import ntstatus

_EXCEPTION_CODE = "exception code"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One of the four: its value (None: not written), what it is, and what this value of it means."""

    value: int | None
    meaning: str | None = None
    words: str | None = None


@dataclass(frozen=True, slots=True)
class StopCode:
    """A stop code with its parameters explained.

    ``rule`` is what Driver Verifier found (0xC4, 0xC9, 0x1C4), by its name or in words.  ``matters`` are the
    words of
    the parameters that tell one crash of this code from another: kinds, accesses and codes, never addresses.
    """

    code: int
    name: str | None
    parameters: tuple[Parameter, ...]
    rule: str | None
    matters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Places:
    """Which parameters lead to the fault, numbered from 1: an instruction, a CONTEXT, a KTRAP_FRAME.

    ``no_fault``: the instruction is only an address inside the driver that is to blame.
    """

    pc: int | None = None
    context: int | None = None
    trap_frame: int | None = None
    no_fault: bool = False


def name(code: int) -> str | None:
    """The name of a stop code, without its bit 0x10000000."""
    found: str | None = _table()["names"].get(f"0x{code:X}")
    return found


def titled(code: int) -> str:
    """``DRIVER_IRQL_NOT_LESS_OR_EQUAL (0xD1)``, or the number alone."""
    known = name(code)
    return f"{known} (0x{code:X})" if known else f"0x{code:X}"


def places(code: int) -> Places:
    """Where the parameters of a stop code lead."""
    detail = _detail(code)
    return Places(
        detail.get("pc"), detail.get("context"), detail.get("trap_frame"), bool(detail.get("no_fault"))
    )


def explain(code: int, parameters: Sequence[int | None]) -> StopCode:
    """A stop code with what its parameters mean.

    Args:
        code: without its bit 0x10000000.
        parameters: up to four; None where one was not written.
    """
    detail = _detail(code)
    given = [*parameters[:4], *[None] * (4 - len(parameters[:4]))]
    meanings: list[str | None] = list(detail.get("parameters") or [None] * 4)
    case = _case(detail, given[0])
    if case is not None:
        meanings = [meanings[0], *case[1:]]
    rule = _rule(detail, given[0])
    explained = tuple(
        Parameter(
            value, meaning, rule if index == 0 and rule else _words(detail, index, value, case, meaning)
        )
        for index, (value, meaning) in enumerate(zip(given, meanings, strict=True))
    )
    verified = code in _VERIFIER and given[0] is not None
    return StopCode(
        code=code,
        name=name(code),
        parameters=explained,
        rule=(rule or (case[0] if case else None)) if verified else None,
        matters=tuple(_matter(explained[number - 1]) for number in detail.get("signature", ())),
    )


#: Where parameter 1 says what Driver Verifier found.
_VERIFIER = frozenset({0xC4, 0xC9, 0x1C4})


def _words(
    detail: Mapping[str, Any], index: int, value: int | None, case: Sequence[str] | None, meaning: str | None
) -> str | None:
    if value is None:
        return "not written"
    if index == 0 and case is not None:
        return case[0]
    if meaning == _EXCEPTION_CODE:
        return ntstatus.name(value & 0xFFFFFFFF)
    return _value(detail, index, value)


def _value(detail: Mapping[str, Any], index: int, value: int) -> str | None:
    values: Mapping[str, str] = detail.get("values", {}).get(str(index + 1), {})
    return next((words for number, words in values.items() if int(number, 0) == value), None)


def _case(detail: Mapping[str, Any], value: int | None) -> Sequence[str] | None:
    """What a value of parameter 1 means, and the other three with it."""
    found: Sequence[str] | None = detail.get("cases", {}).get(f"0x{value:X}") if value is not None else None
    return found


def _rule(detail: Mapping[str, Any], value: int | None) -> str | None:
    """The name of a rule of DDI compliance."""
    if "rules_of" in detail:
        detail = _table()["details"][detail["rules_of"]]
    found = detail.get("rules", {}).get(f"0x{value:X}") if value is not None else None
    return f"rule {found}" if found else None


def _matter(parameter: Parameter) -> str:
    """A parameter as a part of a signature: statuses without their sign, accesses by their word."""
    if parameter.value is None:
        return "-"
    if parameter.meaning == _EXCEPTION_CODE:
        return f"{parameter.value & 0xFFFFFFFF:#x}"
    if parameter.meaning == "kind of access" and parameter.words:
        return parameter.words
    return f"{parameter.value:#x}"


def _detail(code: int) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _table()["details"].get(f"0x{code:X}", {})
    return found


@functools.cache
def _table() -> Mapping[str, Any]:
    text = resources.files(__package__ or "harness.evidence").joinpath("stop_codes.json").read_text("utf-8")
    table: Mapping[str, Any] = json.loads(text)
    return table
