# SPDX-License-Identifier: Apache-2.0
"""The schema of gate.toml is current, is a schema, and takes what the gate takes; what may be left out."""

from __future__ import annotations

import json
import tomllib

import jsonschema
import pytest
from pydantic import ValidationError

from harness.gate.policy import Policy
from harness.gate.schema import NAME, text
from harness.language.schema import DIRECTORY
from tests.harness.gate.scene import POLICY


def test_the_schema_is_current_and_takes_a_policy() -> None:
    assert (DIRECTORY / NAME).read_text("utf-8") == text(), "python -m harness.gate.schema"
    schema = json.loads(text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(tomllib.loads(POLICY), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**tomllib.loads(POLICY), "more": 1}, schema)


def test_what_is_left_out_is_strict() -> None:
    least = {
        "schema": 1,
        "name": "least",
        "target": {"name": "relay"},
        "released": {"first": True},
        "require": [{"name": "one", "guest": "wine"}],
    }
    found = Policy.model_validate(least)
    assert not found.failures.known_issues and not found.failures.as_released
    assert found.selftest.required and found.selftest.cases == "all"
    assert found.flakes.suite <= 0.05 and found.evidence.run_days <= 30
    assert found.signer == [] and found.require[0].repeats == 1
    for key in ("target", "released", "require", "name", "schema"):
        with pytest.raises(ValidationError):
            Policy.model_validate({name: value for name, value in least.items() if name != key})
    with pytest.raises(ValidationError):
        Policy.model_validate({**least, "released": {}})
    with pytest.raises(ValidationError):
        Policy.model_validate({**least, "require": []})
