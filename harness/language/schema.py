# SPDX-License-Identifier: Apache-2.0
"""The JSON Schemas of scenario files, target files and kshs.toml, for editors.

``python -m harness.language.schema`` writes them into `schemas/`, and the tables of keys into
docs/configuration.md; a test keeps them current.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.language.expansion import MAX_EXPANSION
from harness.language.model.scenario import Scenario
from harness.language.model.target import Target
from harness.language.model.values import ID_PATTERN
from harness.language.settings_schema import PAGE, config_schema, page

DIRECTORY = Path(__file__).resolve().parents[2] / "schemas"

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PLACEHOLDER = {"$ref": "#/$defs/Placeholder"}


def scenario_schema() -> dict[str, Any]:
    """Of a scenario file, before its cases and matrices are worked out."""
    scenario = Scenario.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = scenario.pop("$defs", {})
    for definition in definitions.values():
        _allow_placeholders(definition)
    _allow_placeholders(scenario)
    element = {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "string", "pattern": ID_PATTERN}},
    }
    scenario["properties"] |= {
        "cases": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_EXPANSION,
            "items": element,
            "description": "one scenario each; {name} in the scenario stands for the value of that name",
        },
        "matrix": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "array",
                "minItems": 1,
                "items": {"anyOf": [{"type": ["string", "integer", "boolean"]}, element]},
            },
            "description": "lists whose product is taken, one scenario for each combination",
        },
    }
    definitions["Scenario"] = scenario
    definitions["Placeholder"] = {
        "type": "string",
        "pattern": r"\{[a-z_][a-z0-9_]*\}",
        "description": "the value of that name of the case, alone or in a text",
    }
    return {
        "$schema": _DIALECT,
        "title": "kshs scenario file",
        "type": "object",
        "additionalProperties": False,
        "required": ["schema", "scenario"],
        "properties": {
            "schema": {"const": 1},
            "about": {"type": "string", "description": "what the file is about"},
            "scenario": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Scenario"}},
        },
        "$defs": definitions,
    }


def target_schema() -> dict[str, Any]:
    """Of a target file."""
    return {"$schema": _DIALECT, **Target.model_json_schema(by_alias=True), "title": "kshs target file"}


def _allow_placeholders(schema: dict[str, Any]) -> None:
    """Lets a placeholder stand in place of every value that is not a text anyway or says the step's kind."""
    for name, item in schema.get("properties", {}).items():
        if name == "do":
            continue
        if item.get("type") == "array" and isinstance(item.get("items"), dict):
            item["items"] = _or_placeholder(item["items"])
        schema["properties"][name] = _or_placeholder(item)


def _or_placeholder(item: dict[str, Any]) -> dict[str, Any]:
    if item.get("type") == "string" and not {"pattern", "enum", "const"} & item.keys():
        return item
    outer: dict[str, Any] = {key: item[key] for key in ("title", "description", "default") if key in item}
    inner = {key: value for key, value in item.items() if key not in outer}
    if set(inner) == {"anyOf"}:
        return {**outer, "anyOf": [*inner["anyOf"], _PLACEHOLDER]}
    return {**outer, "anyOf": [inner, _PLACEHOLDER]}


def texts() -> dict[str, str]:
    """The files of `schemas/` by name, as they should be."""
    return {
        f"{name}.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in (
            ("scenario", scenario_schema()),
            ("target", target_schema()),
            ("kshs", config_schema()),
        )
    }


def write(directory: Path = DIRECTORY) -> None:
    """Writes all of them, and the tables of the page."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (directory / name).write_text(text, "utf-8")
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    write()
