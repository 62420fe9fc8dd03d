# SPDX-License-Identifier: Apache-2.0
"""The schemas that editors use are current, are schemas, and accept what the harness accepts."""

from __future__ import annotations

import tomllib
from pathlib import Path

import jsonschema
import pytest
from jsonschema.exceptions import best_match

from harness.config import Config
from harness.language import scenario_file, schema, settings_schema, target

FILES = sorted(scenario_file.CATALOGUE.glob("*.toml"))
#: Each is made once: it takes longer than to check a file by it.
TEXTS = schema.texts()
SCENARIOS, TARGETS, SETTINGS = schema.scenario_schema(), schema.target_schema(), schema.config_schema()


def check(document: object, made: dict[str, object]) -> None:
    """As jsonschema.validate does, but for the schema itself, which has a test of its own."""
    error = best_match(jsonschema.Draft202012Validator(made).iter_errors(document))
    if error is not None:
        raise error


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_the_checked_in_schema_is_current(name: str) -> None:
    assert (schema.DIRECTORY / name).read_text("utf-8") == TEXTS[name], (
        "run: python -m harness.language.schema"
    )


@pytest.mark.parametrize("made", [SCENARIOS, TARGETS, SETTINGS], ids=["scenarios", "targets", "settings"])
def test_it_is_a_schema(made: dict[str, object]) -> None:
    jsonschema.Draft202012Validator.check_schema(made)


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_the_catalogue_is_valid(file: Path) -> None:
    check(tomllib.loads(file.read_text("utf-8")), SCENARIOS)


def test_the_builtin_targets_are_valid() -> None:
    for file in target.BUILTIN.glob("*.toml"):
        check(tomllib.loads(file.read_text("utf-8")), TARGETS)


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
        check(file, SCENARIOS)


PAGE = settings_schema.PAGE.read_text("utf-8")


def test_the_page_of_settings_is_current() -> None:
    assert settings_schema.page(PAGE) == PAGE, "run: python -m harness.language.schema"


@pytest.mark.parametrize("table", sorted(settings_schema.TABLES))
def test_every_key_of_the_models_is_on_the_page(table: str) -> None:
    keys = set(settings_schema.TABLES[table].model_fields) - {"name"}
    section = PAGE.partition(f"<!-- keys of {table} -->")[2].partition("<!-- end -->")[0]
    assert keys == {line.split("`")[1] for line in section.splitlines() if line.startswith("| `")}


def test_every_table_of_the_file_is_on_the_page() -> None:
    named = {table.partition(".")[0] for table in settings_schema.TABLES} | {"targets"}
    assert named == set(Config.model_fields) - {"file"}
    assert all(f"\n## `[{table}" in PAGE for table in named)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("[run]\nguest = 'wine'\n[targets]\nmine = 'a.toml'\n[vm]\nmemory_mib = 512\n", True),
        ("[guests.lab]\nfirmware = 'bios'\nlegs = ['hvci']\nleases = 'boot'\n", True),
        ("[run]\ngest = 'wine'\n", False),
        ("[vm]\nmemory_mib = 1\n", False),
        ("[guests.lab]\nname = 'lab'\n", False),
        ("file = 'x'\n", False),
    ],
)
def test_settings_are_checked_in_the_editor(text: str, good: bool) -> None:
    checked = jsonschema.Draft202012Validator(SETTINGS)
    assert checked.is_valid(tomllib.loads(text)) is good
