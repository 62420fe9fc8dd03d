# SPDX-License-Identifier: Apache-2.0
"""A sequence made into another one that is like it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from harness.fuzzing.draft import Draft, Step

#: Steps of a sequence beyond which nothing is added.
MOST = 16

_NUMBERS = ("repeat", "threads", "delay_ms", "events", "argument1", "in_length", "out_length")
_LEAST = {"repeat": 1, "threads": 1, "delay_ms": 1, "events": 200}


class Mutator:
    """Changes sequences.

    Args:
        source: of randomness.
        step: draws a fresh step.
    """

    def __init__(self, source: random.Random, step: Callable[[], Step]) -> None:
        self._random = source
        self._step = step

    def mutate(self, draft: Draft, others: Sequence[Draft]) -> Draft:
        """One to four changes; `others` give parts of theirs."""
        steps = [*draft]
        for _ in range(self._random.choice((1, 1, 1, 2, 2, 3, 4))):
            change = self._random.choice(
                (self._insert, self._insert, self._key, self._key, self._number, self._drop, self._swap)
            )
            change(steps)
        if others and self._random.random() < 0.15:
            other = self._random.choice(others)
            cut = self._random.randrange(len(other) + 1)
            steps[self._random.randrange(len(steps) + 1) :] = other[cut:]
        return tuple(steps[:MOST]) or draft

    def _insert(self, steps: list[Step]) -> None:
        steps.insert(self._random.randrange(len(steps) + 1), self._step())

    def _drop(self, steps: list[Step]) -> None:
        if len(steps) > 1:
            del steps[self._random.randrange(len(steps))]

    def _swap(self, steps: list[Step]) -> None:
        if len(steps) > 1:
            place = self._random.randrange(len(steps) - 1)
            steps[place : place + 2] = steps[place + 1], steps[place]
        else:
            steps.append(self._random.choice(steps))

    def _key(self, steps: list[Step]) -> None:
        """Keys of a step from another one: a fresh one, or one of the sequence."""
        if not steps:
            return
        place = self._random.randrange(len(steps))
        giver = self._step() if self._random.random() < 0.7 else self._random.choice(steps)
        keys = [key for key in giver if key not in ("do", "steps")]
        if keys:
            key = self._random.choice(keys)
            steps[place] = {**steps[place], key: giver[key]}

    def _number(self, steps: list[Step]) -> None:
        if not steps:
            return
        place = self._random.randrange(len(steps))
        changed: dict[str, Any] = dict(steps[place])
        keys = [key for key in _NUMBERS if isinstance(changed.get(key), int)]
        if not keys:
            self._drop_key(changed)
        else:
            key = self._random.choice(keys)
            value = changed[key]
            made = self._random.choice((value + 1, value - 1, value * 2, value // 2, value * 10))
            most = (1 << 64) - 1 if key == "argument1" else 0xFFFFFFFF if "length" in key else 100_000
            changed[key] = max(_LEAST.get(key, 0), min(made, most))
        steps[place] = changed

    def _drop_key(self, changed: dict[str, Any]) -> None:
        keys = [key for key in changed if key not in ("do", "on", "to", "kind", "request", "steps")]
        if keys:
            del changed[self._random.choice(keys)]
