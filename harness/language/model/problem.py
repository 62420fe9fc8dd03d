# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a file beyond the shape of its parts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong: where (the keys that lead there), what, and what to do."""

    path: tuple[str | int, ...]
    message: str
    hint: str | None = None
