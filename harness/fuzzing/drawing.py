# SPDX-License-Identifier: Apache-2.0
"""Values of a hypothesis strategy from a source of randomness of our own, as quick as a fuzzer wants them.

hypothesis gives `fuzz_one_input` to fuzzers that bring their own bytes and decide themselves what to do next:
it makes of them what its own engine would draw, and keeps no tree of what was drawn before.
"""

from __future__ import annotations

import random
from typing import Any, Generic, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

T = TypeVar("T")

#: Bytes of one draw: as many as hypothesis takes.
_BYTES = 8_192
#: Draws that may come to nothing in a row: bytes that end too soon.
_TRIES = 100


class Drawing(Generic[T]):
    """Draws of one strategy.

    Args:
        strategy: of the values.
        source: of the bytes; the same source gives the same values.
    """

    def __init__(self, strategy: st.SearchStrategy[T], source: random.Random) -> None:
        self._source = source
        self._drawn: list[T] = []

        @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
        @given(strategy)
        def take(value: T) -> None:
            self._drawn.append(value)

        self._take: Any = take.hypothesis.fuzz_one_input  # type: ignore[attr-defined]

    def draw(self) -> T:
        """The next value.

        Raises:
            RuntimeError: the strategy needs more than there are bytes.
        """
        for _ in range(_TRIES):
            self._take(self._source.randbytes(_BYTES))
            if self._drawn:
                return self._drawn.pop()
        raise RuntimeError(f"nothing could be drawn of {_BYTES} bytes in {_TRIES} tries")
