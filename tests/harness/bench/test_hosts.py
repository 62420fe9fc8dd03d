# SPDX-License-Identifier: Apache-2.0
"""What is measured of two workers is the same selection on both sides."""

from __future__ import annotations

import tomllib

import pytest

from harness.bench.hosts import _SETTINGS, suite_of
from harness.config import Config
from harness.errors import HarnessError


def test_the_selection_of_the_runs_is_that_of_the_night() -> None:
    suite = suite_of(["--rule", "H4", "--id", "length.*", "--rule", "H5"])
    text = _SETTINGS.format(folder="/x", name="one", vm='cache_dir = "/tmp"', suite=suite)
    night = Config.model_validate(tomllib.loads(text)).nights["bench"]
    assert night.repeats == 2 and night.suites is not None
    assert (night.suites["bench"].rule, night.suites["bench"].id) == (["H4", "H5"], ["length.*"])
    for words in (["--out", "x"], ["--rule"], ["x"]):
        with pytest.raises(HarnessError):
            suite_of(words)
