# SPDX-License-Identifier: Apache-2.0
"""Every scenario can be written down as JSON, by which a run knows it again; its bytes may have any value."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.language import scenario_file

CATALOGUE = sorted((Path(scenario_file.__file__).parents[1] / "catalogue").glob("*.toml"))


@pytest.mark.parametrize("path", CATALOGUE, ids=lambda path: path.stem)
def test_the_catalogue_as_json(path: Path) -> None:
    for scenario in scenario_file.load(path):
        assert scenario.model_dump(mode="json")["id"] == scenario.id
