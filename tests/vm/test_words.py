# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from vm.words import counted


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 scenarios"), (1, "1 scenario"), (2, "2 scenarios"), (766, "766 scenarios")]
)
def test_a_count_has_its_noun(number: int, words: str) -> None:
    assert counted(number, "scenario") == words
