# SPDX-License-Identifier: Apache-2.0
"""How long work tells what it is doing."""

from __future__ import annotations

from typing import Protocol

WARNING = "warning: "
"""How the text of a step begins that people must still see when the work is done."""


class Progress(Protocol):
    """Told of every step of work that may take longer than a second."""

    def step(self, text: str, fraction: float | None = None) -> None:
        """What begins now, and which part (0 to 1) of the whole is done, where that is known."""


class Silent:
    """Progress that nobody watches."""

    def step(self, text: str, fraction: float | None = None) -> None:
        """Says nothing."""
