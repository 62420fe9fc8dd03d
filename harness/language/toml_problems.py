# SPDX-License-Identifier: Apache-2.0
"""Pydantic's validation errors in words for those who wrote the file."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.language.toml_positions import Key


def validation_problems(
    error: ValidationError, model: type[BaseModel], data: Any
) -> list[tuple[Key, str, str | None]]:
    """Pydantic's complaints as (key, message, hint), with keys that the file really has."""
    problems: dict[Key, tuple[str, str | None]] = {}
    for detail in error.errors(include_url=False):
        key = _real_key(detail["loc"], data)
        problems.setdefault(key, _explain(detail, model))
    return [(key, message, hint) for key, (message, hint) in problems.items()]


def _real_key(loc: tuple[str | int, ...], data: Any) -> Key:
    """Without the parts that pydantic adds for unions and tags."""
    key: list[str | int] = []
    for position, part in enumerate(loc):
        inside = (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        )
        if inside:
            data = data[part]
            key.append(part)
        elif position == len(loc) - 1 and isinstance(data, dict) and not str(part).startswith("<"):
            key.append(part)
    return tuple(key)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """``did you mean ...?`` for the known word that is most like this one, in upper or lower case."""
    by_folded = {name.casefold(): name for name in known}
    found = get_close_matches(word.casefold(), list(by_folded), n=1, cutoff=0.6)
    return f"did you mean {by_folded[found[0]]!r}?" if found else None


def _explain(detail: ErrorDetails, model: type[BaseModel]) -> tuple[str, str | None]:
    kind, given = detail["type"], detail["input"]
    context = detail.get("ctx", {})
    if kind == "extra_forbidden":
        word = str(detail["loc"][-1])
        known = sorted(_keys_at(model, detail["loc"][:-1]))
        return f"unknown key {word!r}", nearest(word, known) or (
            f"known: {', '.join(known)}" if known else None
        )
    if kind == "missing":
        return f"the key {str(detail['loc'][-1])!r} is missing", "add it"
    if kind in {"literal_error", "enum"}:
        words = re.findall(r"'([^']*)'|\b(\d+)\b", str(context.get("expected", "")))
        known = [first or second for first, second in words]
        return f"{given!r} is not one of: {', '.join(known)}", nearest(str(given), known)
    if kind == "union_tag_invalid":
        known = re.findall(r"'([^']*)'", str(context.get("expected_tags", "")))
        what = "step" if "do" in str(context.get("discriminator")) else "argument"
        return f"{context.get('tag')!r} is no kind of {what}", nearest(str(context.get("tag")), known) or (
            f"there are: {', '.join(known)}"
        )
    if kind == "union_tag_not_found":
        if "kind" in str(context.get("discriminator")):
            return "an argument says with `kind` what it is", 'like {kind = "interface"}'
        return "a step says with `do` what it does", 'like {do = "handshake", on = "source"}'
    message = detail["msg"].removeprefix("Value error, ")
    if kind == "string_pattern_mismatch":
        return f"{given!r} is not of the form that is needed here: {context.get('pattern')}", None
    if kind.endswith(("_type", "_parsing")):
        return f"{message[:1].lower()}{message[1:]}, not {given!r}", None
    return f"{message[:1].lower()}{message[1:]}" if kind != "value_error" else message, None


def _keys_at(model: type[BaseModel], loc: Sequence[str | int]) -> set[str]:
    """The keys that a table at this place may have, found by following the models' types."""
    kinds: list[Any] = [model]
    for part in loc:
        kinds = [found for kind in kinds for found in _step_into(kind, part)]
    keys: set[str] = set()
    for kind in kinds:
        for alternative in _alternatives(kind):
            if isinstance(alternative, type) and issubclass(alternative, BaseModel):
                keys |= {field.alias or name for name, field in alternative.model_fields.items()}
    return keys


def _alternatives(kind: Any) -> list[Any]:
    origin = get_origin(kind)
    if origin is Annotated:
        return _alternatives(get_args(kind)[0])
    if origin in {Union, types.UnionType}:
        return [found for argument in get_args(kind) for found in _alternatives(argument)]
    return [kind]


def _step_into(kind: Any, part: str | int) -> list[Any]:
    found: list[Any] = []
    for alternative in _alternatives(kind):
        origin = get_origin(alternative)
        if isinstance(alternative, type) and issubclass(alternative, BaseModel):
            fields = {field.alias or name: field for name, field in alternative.model_fields.items()}
            tag = alternative.model_fields.get("do", alternative.model_fields.get("kind"))
            if tag is not None and get_origin(tag.annotation) is Literal and part in get_args(tag.annotation):
                found.append(alternative)  # pydantic names the alternative of a union by its tag
            elif part in fields:
                found.append(fields[str(part)].annotation)
            elif str(part).startswith("<"):
                found.append(alternative)
        elif origin is list and isinstance(part, int):
            found.append(get_args(alternative)[0])
        elif origin is dict:
            found.append(get_args(alternative)[1])
    return found
