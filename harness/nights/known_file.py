# SPDX-License-Identifier: Apache-2.0
"""known-issues.toml and quarantine.toml: what a team knows to fail, and what it has put aside for a while."""

from __future__ import annotations

from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from harness import ntstatus
from harness.language.model.values import Strict
from harness.language.toml_file import TomlFile
from harness.language.toml_problems import validation_problems
from harness.store.lists import Listed, ListedStep
from harness.store.queries import Conditions
from harness.store.values import Value

#: What they are called in a user's repository.
KNOWN_ISSUES = "known-issues.toml"
QUARANTINE = "quarantine.toml"


class Entry(Strict):
    """What issues and quarantines have in common; patterns are as in shells."""

    scenario: str = Field(min_length=1, description="pattern of scenario ids, or of file::id")
    guest: str = Field("*", description="pattern of the guest's recipe, or of its kernel as reports name it")
    target: str = Field("*", description="pattern of the target's name")
    owner: str = Field(min_length=1, description="who looks after it")
    expires: date = Field(description="the last day on which it counts")

    def covers(self, key: str) -> bool:
        """Whether it is about a scenario."""
        return fnmatchcase(key, self.scenario) or fnmatchcase(key.rpartition("::")[2], self.scenario)

    def applies(self, conditions: Conditions) -> bool:
        """Whether it is about such runs."""
        guest = any(fnmatchcase(name or "", self.guest) for name in (conditions.recipe, conditions.kernel))
        return guest and fnmatchcase(conditions.target, self.target)


class Issue(Entry):
    """A failure, or a value of a field, that is known."""

    id: str = Field(min_length=1, max_length=200, description="its name in your tracker")
    link: str = Field(min_length=1, description="where it is tracked")
    opened: date = Field(description="a pass after this day means that it was fixed")
    signature: str | None = Field(
        None, description="pattern of the signature, or of the reason, of a failure"
    )
    field: str | None = Field(None, description="a field of a status block, as comparisons name it")
    value: int | str | None = Field(None, description="what that field holds: a number, or a status by name")
    flaky: bool = Field(False, description="it fails now and then: a pass says nothing")

    @model_validator(mode="after")
    def _says_what(self) -> Issue:
        """One that names no failure would hide all of them."""
        if self.signature is None and self.field is None:
            raise ValueError("say signature, or field and value: else it would hide every failure there")
        if (self.field is None) != (self.value is None):
            raise ValueError("field and value go together")
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
        if isinstance(self.value, str) and isinstance(value, int):
            shown = ntstatus.name(value & 0xFFFFFFFF)
            return self.value in (shown, shown.partition(" ")[0], str(value), hex(value))
        return self.value == value

    def is_in(self, listed: Listed) -> bool:
        """Whether a step holds it."""
        return any(self._is_in_step(step) for step in listed)

    def _is_in_step(self, step: ListedStep) -> bool:
        return any(self.is_value(name, value) for name, value in step.fields.items())


class Quarantine(Entry):
    """A scenario whose failures do not count for a while; it runs all the same."""

    reason: str = Field(min_length=1)


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
