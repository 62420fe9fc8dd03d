# SPDX-License-Identifier: Apache-2.0
"""known-issues.toml and quarantine.toml: what a team knows to fail, and what it has put aside for a while."""

from __future__ import annotations

from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from harness import ntstatus
from harness.language.strict import Strict
from harness.language.toml_file import TomlFile
from harness.language.toml_problems import nearest, validation_problems
from harness.nights.field_words import value_words
from harness.store.lists import Listed, ListedStep
from harness.store.models import NUMBERS
from harness.store.queries import Conditions
from harness.store.values import Value

#: What they are called in a user's repository.
KNOWN_ISSUES = "known-issues.toml"
QUARANTINE = "quarantine.toml"


#: Fields of status blocks; what a callback saw is below `_SEEN`.
_FIELDS = ("outcome", "protocol", *NUMBERS)
_SEEN = "seen."


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text


def _date(given: object) -> object:
    """Pydantic takes numbers for seconds since 1970."""
    if isinstance(given, int | float):
        raise ValueError("is no date, as in 2026-02-01")
    return given


#: A text that says something, and a day.
Said = Annotated[str, AfterValidator(_said)]
Day = Annotated[date, BeforeValidator(_date)]


class Entry(Strict):
    """What issues and quarantines have in common; patterns are as in shells."""

    scenario: Said = Field(description="pattern of scenario ids, or of file::id")
    guest: str = Field("*", description="pattern of the guest's recipe, or of its kernel as reports name it")
    target: str = Field("*", description="pattern of the target's name")
    owner: Said = Field(description="who looks after it")
    expires: Day = Field(description="the last day on which it counts")

    def covers(self, key: str) -> bool:
        """Whether it is about a scenario."""
        return fnmatchcase(key, self.scenario) or fnmatchcase(key.rpartition("::")[2], self.scenario)

    def applies(self, conditions: Conditions) -> bool:
        """Whether it is about such runs."""
        guest = any(fnmatchcase(name or "", self.guest) for name in (conditions.recipe, conditions.kernel))
        return guest and fnmatchcase(conditions.target, self.target)


class Issue(Entry):
    """A failure, or a value of a field, that is known."""

    id: Said = Field(max_length=200, description="its name in your tracker")
    link: Said = Field(description="where it is tracked")
    opened: Day = Field(description="a pass after this day means that it was fixed")
    signature: str | None = Field(
        None, description="pattern of the signature, or of the reason, of a failure"
    )
    field: str | None = Field(None, description="a field of a status block, as comparisons name it")
    value: StrictInt | StrictStr | None = Field(
        None, description="what that field holds: a number, or a status by name"
    )
    flaky: bool = Field(False, description="it fails now and then: a pass says nothing")

    @model_validator(mode="after")
    def _says_what(self) -> Issue:
        """One that names no failure would hide all of them."""
        if self.signature is None and self.field is None:
            raise ValueError("say signature, or field and value: else it would hide every failure there")
        if (self.field is None) != (self.value is None):
            raise ValueError("field and value go together")
        if self.field is not None and self.field not in _FIELDS and not self.field.startswith(_SEEN):
            known = nearest(self.field, _FIELDS) or f"known: {', '.join(_FIELDS)}, {_SEEN}..."
            raise ValueError(f"no status block has a field {self.field}; {known}")
        if self.expires < self.opened:
            raise ValueError(f"it expires on {self.expires}, before it is opened on {self.opened}")
        return self

    def is_signature(self, *texts: str | None) -> bool:
        """Whether a failure is this one, by its signature or by the words for it."""
        if self.signature is None:
            return False
        return any(text is not None and fnmatchcase(text, self.signature) for text in texts)

    def is_value(self, name: str, value: Value) -> bool:
        """Whether a field holds what this is about."""
        if self.field is None or name != self.field:
            return False
        if not isinstance(self.value, str):
            return self.value == value
        names = {value_words(name, value), str(value)}
        if isinstance(value, int):
            status = ntstatus.name(value & 0xFFFFFFFF)
            names |= {status, status.partition(" ")[0], hex(value)}
        return self.value.casefold() in {one.casefold() for one in names}

    def is_in(self, listed: Listed) -> bool:
        """Whether a step holds it."""
        return any(self._is_in_step(step) for step in listed)

    def _is_in_step(self, step: ListedStep) -> bool:
        return any(self.is_value(name, value) for name, value in step.fields.items())


class Quarantine(Entry):
    """A scenario whose failures do not count for a while; it runs all the same."""

    reason: Said


class KnownFile(Strict):
    """The content of either file; what is expected in one may stand in the other."""

    schema_: Literal[1] = Field(alias="schema")
    issue: list[Issue] = Field(default_factory=list)
    quarantine: list[Quarantine] = Field(default_factory=list)


def load(path: Path) -> KnownFile:
    """Reads such a file.

    Raises:
        TomlFileError: what is wrong with it, each with its line.
    """
    file = TomlFile(path)
    try:
        found = KnownFile.model_validate(file.data)
    except ValidationError as error:
        problems = validation_problems(error, KnownFile, file.data)
        raise file.fail([file.complaint(key, message, hint) for key, message, hint in problems]) from None
    names: set[str] = set()
    for number, issue in enumerate(found.issue):
        if issue.id in names:
            raise file.fail([file.complaint(("issue", number, "id"), f"{issue.id} is there twice")])
        names.add(issue.id)
    return found
