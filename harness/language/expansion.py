# SPDX-License-Identifier: Apache-2.0
"""Cases and matrices: one scenario of a file made into many, each with a stable id.

``cases`` is a list of tables, each with its own `id` and values; ``matrix`` a table of lists whose
product is taken.  ``{name}`` in a text is replaced; a text that is nothing but ``"{name}"`` is
replaced by the value itself, whatever its type.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.language.model.values import ID_PATTERN
from harness.language.toml_positions import Key
from harness.language.toml_problems import nearest

_PLACEHOLDER = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_NAME = re.compile(r"^[a-z_][a-z0-9_]*$")
#: More than this from one table is a slip of the pen.
MAX_EXPANSION = 2000


@dataclass(frozen=True, slots=True)
class Oddity:
    """A complaint of the expansion: the key inside the scenario's table, what, and what to do."""

    key: Key
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Expanded:
    """One scenario's table with all values in their places.

    `origin` leads from a key whose whole value was put in to the key that the value came from.
    """

    table: dict[str, Any]
    origin: Mapping[Key, Key]
    case: str | None


@dataclass(frozen=True, slots=True)
class _Value:
    value: Any
    key: Key


@dataclass(slots=True)
class _Variant:
    """One case or one element of a matrix's list."""

    id: str
    values: dict[str, _Value] = field(default_factory=dict)


class _Notes(list[Oddity]):
    def note(self, key: Key, message: str, hint: str | None = None) -> None:
        self.append(Oddity(key, message, hint))


class ExpansionError(Exception):
    """What is wrong with a scenario's `cases` and `matrix`, or with a placeholder."""

    def __init__(self, oddities: list[Oddity]) -> None:
        super().__init__(oddities[0].message)
        self.oddities = oddities


def expand(table: Mapping[str, Any]) -> list[Expanded]:
    """All scenarios that one ``[[scenario]]`` stands for, in the order of its cases, then its matrix.

    Raises:
        ExpansionError: a case without id, a value that is missing or never used, an id that comes twice.
    """
    oddities = _Notes()
    axes = [*_cases(table, oddities), *_matrix(table, oddities)]
    body = {name: value for name, value in table.items() if name not in {"cases", "matrix"}}
    total = 1
    for axis in axes:
        total *= len(axis)
    if total > MAX_EXPANSION:
        oddities.note(("matrix",), f"makes {total} scenarios, more than {MAX_EXPANSION}", "split it")
    if oddities:
        raise ExpansionError(oddities)
    used: set[str] = set()
    result: list[Expanded] = []
    for combination in itertools.product(*axes):
        values: dict[str, _Value] = {}
        for variant in combination:
            values |= variant.values
        case = ".".join(variant.id for variant in combination if variant.id) or None
        result.append(_substitute(body, values, case, used, oddities))
    _check_use(axes, used, oddities)
    _check_ids(result, oddities)
    if oddities:
        raise ExpansionError(list(dict.fromkeys(oddities)))
    return result


def _cases(table: Mapping[str, Any], oddities: _Notes) -> Iterator[list[_Variant]]:
    if "cases" not in table:
        return
    cases = table["cases"]
    if not isinstance(cases, list) or not cases:
        oddities.note(("cases",), "must be a list of tables", 'like cases = [{id = "short", in_length = 31}]')
        return
    yield [_table_variant(case, ("cases", index), oddities) for index, case in enumerate(cases)]


def _matrix(table: Mapping[str, Any], oddities: _Notes) -> Iterator[list[_Variant]]:
    if "matrix" not in table:
        return
    matrix = table["matrix"]
    if not isinstance(matrix, dict) or not matrix:
        oddities.note(("matrix",), "must be a table of lists", 'like matrix.route = ["call", "irp"]')
        return
    for name, elements in matrix.items():
        key: Key = ("matrix", name)
        if not _NAME.match(name):
            oddities.note(key, f"{name!r} cannot be used as {{{name}}}", "use lower-case letters and _")
        elif not isinstance(elements, list) or not elements:
            oddities.note(key, "must be a list", f'like matrix.{name} = ["call", "irp"]')
        else:
            yield [_element(name, item, (*key, index), oddities) for index, item in enumerate(elements)]


def _element(name: str, item: Any, key: Key, oddities: _Notes) -> _Variant:
    if isinstance(item, dict):
        return _table_variant(item, key, oddities)
    word = str(item).lower() if not isinstance(item, list) else ""
    if not re.match(ID_PATTERN, word):
        oddities.note(key, f"{item!r} cannot be part of an id", 'write {id = "...", ' + name + " = ...}")
    return _Variant(word, {name: _Value(item, key)})


def _table_variant(item: Any, key: Key, oddities: _Notes) -> _Variant:
    if not isinstance(item, dict):
        oddities.note(key, "must be a table", 'like {id = "short", in_length = 31}')
        return _Variant("")
    word = item.get("id")
    if not isinstance(word, str) or not re.match(ID_PATTERN, word):
        oddities.note(key, "needs an id of lower-case words", 'like id = "one-short"')
        word = ""
    values: dict[str, _Value] = {}
    for name, value in item.items():
        if name == "id":
            continue
        if not _NAME.match(name):
            oddities.note((*key, name), f"{name!r} cannot be used as {{{name}}}", "use lower-case letters")
        values[name] = _Value(value, (*key, name))
    return _Variant(word, values)


def _substitute(
    body: Mapping[str, Any],
    values: Mapping[str, _Value],
    case: str | None,
    used: set[str],
    oddities: _Notes,
) -> Expanded:
    origin: dict[Key, Key] = {}

    def missing(name: str, key: Key) -> None:
        where = f"case {case!r} gives" if case else "there is no cases or matrix that gives"
        oddities.note(key, f"{where} no value for {{{name}}}", nearest(name, values))

    def text(value: str, key: Key) -> Any:
        whole = _PLACEHOLDER.fullmatch(value)
        if whole and whole[1] in values:
            used.add(whole[1])
            origin[key] = values[whole[1]].key
            return values[whole[1]].value

        def one(found: re.Match[str]) -> str:
            name = found[1]
            if name in values:
                used.add(name)
                return str(values[name].value)
            if name == "case" and case is not None:
                return case
            missing(name, key)
            return found[0]

        return _PLACEHOLDER.sub(one, value)

    def walk(value: Any, key: Key) -> Any:
        if isinstance(value, str):
            return text(value, key)
        if isinstance(value, dict):
            return {name: walk(item, (*key, name)) for name, item in value.items()}
        if isinstance(value, list):
            return [walk(item, (*key, index)) for index, item in enumerate(value)]
        return value

    table = walk(dict(body), ())
    if case is not None and isinstance(table.get("id"), str):
        table["id"] = f"{table['id']}.{case}"
    return Expanded(table, origin, case)


def _check_use(axes: list[list[_Variant]], used: set[str], oddities: _Notes) -> None:
    for axis in axes:
        values = {name: value for variant in reversed(axis) for name, value in variant.values.items()}
        for name, value in values.items():
            if name not in used:
                oddities.note(value.key, f"{name!r} is never used", f'write "{{{name}}}" where it belongs')


def _check_ids(result: list[Expanded], oddities: _Notes) -> None:
    seen: set[str] = set()
    for item in result:
        word = item.case or ""
        if word in seen:
            oddities.note(("id",), f"two cases have the id {word!r}", "give one of them another id")
        seen.add(word)
