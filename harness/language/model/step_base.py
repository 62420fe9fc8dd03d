# SPDX-License-Identifier: Apache-2.0
"""What all kinds of steps have in common, and how they name a pin."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from harness.language.model.values import NAME_PATTERN, Strict


def _pin_ref(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("name a pin of the target, or give its id")
    if isinstance(value, str) and not re.fullmatch(NAME_PATTERN, value):
        raise ValueError(f"{value!r} is no name of a pin")
    if isinstance(value, int) and not 0 <= value <= 0xFFFFFFFE:
        raise ValueError(f"{value} is no pin id")
    return value


PinRef = Annotated[
    int | str,
    BeforeValidator(_pin_ref),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": NAME_PATTERN}]}
    ),
]
"""A pin of the target by its name there, or by its id."""


class StepBase(Strict):
    """What all kinds have in common."""

    note: str | None = Field(None, max_length=400, description="why this step is here, for people")
    timeout_ms: int | None = Field(
        None,
        ge=1,
        le=600_000,
        description="after which the step is hung, for each request of repeat; the scenario's by default",
    )
    limit_s: float | None = Field(
        None,
        gt=0,
        le=86_400,
        description="seconds for all of its requests; limits.step_s of kshs.toml by default",
    )
