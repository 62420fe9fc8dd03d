# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of gate.toml, for editors: ``python -m harness.gate.schema`` writes it into `schemas/`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.gate.policy import Policy
from harness.language.schema import DIRECTORY

NAME = "gate.schema.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def gate_schema() -> dict[str, Any]:
    """Of gate.toml."""
    return {"$schema": _DIALECT, **Policy.model_json_schema(by_alias=True), "title": "kshs gate policy"}


def text() -> str:
    """The file as it should be."""
    return json.dumps(gate_schema(), indent=2, ensure_ascii=False) + "\n"


def write(directory: Path = DIRECTORY) -> None:
    """Writes it."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / NAME).write_text(text(), "utf-8")


if __name__ == "__main__":
    write()
