"""The schemas that editors use are current, are schemas, and accept what the harness accepts."""

from __future__ import annotations

import tomllib
from pathlib import Path

import jsonschema
import pytest

from harness.language import scenario_file, schema, target

FILES = sorted(scenario_file.CATALOGUE.glob("*.toml"))


@pytest.mark.parametrize("name", sorted(schema.texts()))
def test_the_checked_in_schema_is_current(name: str) -> None:
    assert (schema.DIRECTORY / name).read_text("utf-8") == schema.texts()[name], (
        "run: python -m harness.language.schema"
    )


@pytest.mark.parametrize("made", [schema.scenario_schema(), schema.target_schema()])
def test_it_is_a_schema(made: dict[str, object]) -> None:
    jsonschema.Draft202012Validator.check_schema(made)


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_the_catalogue_is_valid(file: Path) -> None:
    jsonschema.validate(tomllib.loads(file.read_text("utf-8")), schema.scenario_schema())


def test_the_builtin_targets_are_valid() -> None:
    for file in target.BUILTIN.glob("*.toml"):
        jsonschema.validate(tomllib.loads(file.read_text("utf-8")), schema.target_schema())


@pytest.mark.parametrize(
    "step",
    [
        {"do": "handshak", "on": "source"},
        {"do": "handshake", "on": "source", "rout": "irp"},
        {"do": "handshake", "on": "source", "in_length": "siz"},
        {"do": "handshake"},
    ],
)
def test_mistakes_are_seen_in_the_editor(step: dict[str, object]) -> None:
    file = {"schema": 1, "scenario": [{"id": "a", "title": "abc", "rule": "H4", "steps": [step]}]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(file, schema.scenario_schema())
