# SPDX-License-Identifier: Apache-2.0
"""A scenario: named, ordered steps with expectations."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from harness.language.model.steps import Step
from harness.language.model.values import Id, Rule, Strict

ScenarioRule = Literal[
    "H1", "H2", "H3", "H4", "H5", "H6", "H7", "H8", "H9", "H10", "arguments", "characteristic"
]

#: What `open` accepts: "filter", "source", "second = source", "source -> sink".
OPEN_PATTERN = r"^\s*(?:([a-z][a-z0-9_]*)\s*=\s*)?([a-z][a-z0-9_]*)(?:\s*->\s*([a-z][a-z0-9_]*))?\s*$"


class Scenario(Strict):
    """One scenario after its cases and its matrix are worked out."""

    id: Id = Field(description="stable name; results are compared by it across runs")
    title: str = Field(min_length=3, max_length=200)
    rule: ScenarioRule = Field(description="the rule of docs/contract.md that it serves")
    also: list[ScenarioRule] = Field(default_factory=list, description="further rules that it touches")
    why: str | None = Field(None, max_length=2000, description="what it is good for, for people")
    tags: list[Id] = Field(default_factory=list)
    needs: list[Id] = Field(
        default_factory=list, description="capabilities of the guest beyond those that the steps imply"
    )
    open: list[Annotated[str, StringConstraints(pattern=OPEN_PATTERN)]] = Field(
        default_factory=list,
        description='objects to open first: "filter", a pin of the target by name, "second = source",'
        ' "source -> sink" (connected)',
    )
    arguments: Literal["exact", "marks"] = Field(
        "exact",
        description="marks: the numbers of its handshakes only tell one from another, and where a protocol"
        " takes pointers, these are handed over in their place; exact: then the scenario is skipped",
    )
    bare: bool = Field(
        False,
        description="on a target without the behaviour property set, the steps that tell a callback what to"
        " do and wait for it are left out, and the others are worth asking all the same",
    )
    timeout_ms: int = Field(
        10_000,
        ge=1,
        le=600_000,
        description="for each step that names none; limits.request_ms of kshs.toml by default",
    )
    limit_s: float | None = Field(
        None,
        gt=0,
        le=86_400,
        description="seconds for all of its steps; limits.scenario_s of kshs.toml by default",
    )
    steps: list[Step] = Field(min_length=1, max_length=200)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rule and those it also touches, without repetition."""
        return tuple(dict.fromkeys(Rule(rule) for rule in (self.rule, *self.also)))

    @property
    def content(self) -> str:
        """The digest of what it sends, on what, and what it expects; words for people do not count.

        What is as it is by default does not count either, so that a further key of the language changes the
        digest of those scenarios alone that use it.
        """
        words: dict[str, bool | dict[str, dict[str, bool]]] = {
            **dict.fromkeys(("id", "title", "why", "tags"), True),
            "steps": {"__all__": {"note": True}},
        }
        said = self.model_dump(exclude=words, exclude_defaults=True)
        text = json.dumps(said, sort_keys=True, default=_plain)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def _plain(value: object) -> str:
    """Bytes, which need not be text, and whatever else JSON does not have."""
    return value.hex() if isinstance(value, bytes) else str(value)
