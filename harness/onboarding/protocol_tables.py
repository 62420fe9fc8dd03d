# SPDX-License-Identifier: Apache-2.0
"""The ``[protocols]`` of a target file that is to be written, from a file of the driver's authors.

What a protocol's arguments point at is more than a command line holds, and no driver can be asked for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from harness.language.model.arguments import ProtocolEntry, check_protocol, protocol_of
from harness.language.model.values import Name, Strict
from harness.language.toml_file import TomlFile
from harness.language.toml_problems import validation_problems
from harness.onboarding.wishes import Protocol, name_in_use


class _File(Strict):
    """A file with nothing else in it."""

    protocols: dict[Name, ProtocolEntry] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class ProtocolTables:
    """The protocols of such a file: its text as it is, comments and all, and what it says."""

    text: str
    entries: Mapping[str, Any]
    protocols: Mapping[str, Protocol]


def read(path: Path) -> ProtocolTables:
    """From a TOML file whose only keys are ``protocols``; every pin with a callback accepts them.

    Raises:
        TomlFileError: what is wrong with the file, with its lines.
    """
    file = TomlFile(path)
    try:
        found = _File.model_validate(file.data)
    except ValidationError as error:
        problems = validation_problems(error, _File, file.data)
        raise file.fail([file.complaint(*problem) for problem in problems]) from None
    complaints = [
        file.complaint(problem.path, problem.message, problem.hint)
        for name, entry in found.protocols.items()
        for problem in check_protocol(name, protocol_of(entry))
    ]
    complaints += [
        file.complaint(("protocols", name), why, "give it another name")
        for name in found.protocols
        if (why := name_in_use(name)) is not None
    ]
    if complaints:
        raise file.fail(complaints)
    known = {name: Protocol(protocol_of(entry).guid) for name, entry in found.protocols.items()}
    return ProtocolTables(_body(file.text), file.data["protocols"], known)


def _body(text: str) -> str:
    """Without the comments that a file begins with, its licence say, up to their empty line."""
    head, separator, body = text.strip().partition("\n\n")
    comments = all(line.startswith("#") for line in head.splitlines())
    return body.strip() if separator and comments else text.strip()
