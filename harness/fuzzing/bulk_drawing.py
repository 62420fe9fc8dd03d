# SPDX-License-Identifier: Apache-2.0
"""Sequences for bulks: one to four steps on pins that stand open, drawn as quickly as they are sent.

hypothesis draws what is tangled (`harness.fuzzing.strategies`), at some milliseconds a sequence.  These are
plain tables from a source of randomness, so that the same seed gives the same ones.  As there, nothing here
knows what a driver might do wrong: values come from the structure of the request (its size, the places of its
members, powers of two and what stands beside them), and from the target file.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Collection, Mapping
from typing import Any

from harness.contract.handshake_data import handshake_size
from harness.fuzzing.draft import Draft, Step
from harness.fuzzing.pool import KERNEL_ROUTES, Place
from harness.fuzzing.strategies import ARGUMENTS, BUFFERS, CONTROLS, STATES
from harness.language.model import Target

#: How often a request is repeated; most are sent once.  What is sent hundreds of times takes the time of many
#: sequences, and is drawn seldom.
_REPEATS = (*(2, 3, 10, 17, 64, 65, 100) * 3, 256, 257, 1_000)
_OFTEN = (1_024, 4_097)
#: Beyond every counter of 16 bits: seldom, since it takes seconds.
_VERY_OFTEN = 70_000
#: Steps of a sequence, most of them one.
_STEPS = (1, 1, 1, 2, 2, 3, 4)
_MOST_LENGTH = 0xFFFFFFFF
_GUID_BYTES = 16
_ROWS = (64, 256, 1_024)


class BulkDrawing:
    """Draws sequences.

    Args:
        target: the driver under test.
        places: the objects of the pool.
        names: of those that stand open.
        source: of randomness.
        pointer_size: of the kernel, in bytes.
    """

    def __init__(
        self,
        target: Target,
        places: Mapping[str, Place],
        names: Collection[str],
        source: random.Random,
        pointer_size: int = 8,
    ) -> None:
        self._random = source
        chosen = {name: places[name] for name in sorted(names)}
        pins = [name for name, place in chosen.items() if place.pin is not None]
        self._all = list(chosen)
        self._lone = [n for n in pins if chosen[n].sink is None and chosen[n].source is None] or self._all
        self._pins = pins or self._all
        self._sources = [name for name in pins if chosen[name].sink is not None] if target.behaviour else []
        self._words = ["accepted", "accepted", "unknown", "null", *target.protocols]
        self._guids = list(target.protocols.values()) or [uuid.UUID(int=1)]
        self._lengths = _lengths(handshake_size(pointer_size))

    def draw(self) -> Draft:
        """The next sequence."""
        return tuple(self.step() for _ in range(self._random.choice(_STEPS)))

    def step(self) -> Step:
        """One step of one."""
        kind = self._random.randrange(100)
        if kind < 4:
            return {
                "do": "state",
                "on": self._random.choice(self._pins),
                "to": self._random.choice(STATES),
            }
        if kind < 8 and self._sources:
            return {
                "do": "pin_handshake",
                "on": self._random.choice(self._sources),
                "protocol": self._random.choice(self._words),
            }
        return self._handshake()

    def _handshake(self) -> Step:
        choose, number = self._random.choice, self._random.randrange
        step: dict[str, Any] = {
            "do": "handshake",
            "on": choose(self._lone if number(100) < 92 else self._all),
            "route": choose(KERNEL_ROUTES),
        }
        if number(1_000) < 9:
            return step | self._row()
        protocol = choose(self._words) if number(100) < 70 else str(self._near())
        if protocol != "accepted":
            step["protocol"] = protocol
        if number(100) < 35:
            step |= {"argument1": self._argument(), "argument2": self._argument()}
        if number(100) < 45:
            step |= self._wrong_lengths()
        if number(100) < 30:
            step["mode"] = "user"
        shape = number(100)
        if shape < 5:
            step[choose(("in_buffer", "out_buffer"))] = choose(BUFFERS)
        elif shape < 8:
            step["repeat"] = choose(_REPEATS)
        elif shape == 8:
            # Of another control nothing is known but what is planned for this very step: few are drawn.
            return {key: step[key] for key in ("do", "on", "route")} | {"control": choose(CONTROLS)}
        elif shape == 9 and number(20) == 0:
            step["repeat"] = _VERY_OFTEN if number(16) == 0 else choose(_OFTEN)
        return step

    def _row(self) -> dict[str, Any]:
        """The same request with each length in turn, or with each bit of its protocol the other way."""
        row: dict[str, Any] = {"mode": "user"} if self._random.random() < 0.3 else {}
        which = self._random.randrange(4)
        if which == 0:
            return row | {"vary": "protocol", "repeat": 8 * _GUID_BYTES}
        row["repeat"] = self._random.choice(_ROWS)
        if which != 1:
            row |= {"in_length": 0, "in_stride": self._random.choice((1, 1, 4, 8))}
        if which != 2:
            row |= {"out_length": 0, "out_stride": self._random.choice((1, 1, 4, 8))}
        return row

    def _wrong_lengths(self) -> dict[str, int]:
        """One of both, both alike, or both."""
        which = self._random.randrange(8)
        said = self._length()
        if which < 3:
            return {"in_length": said}
        if which < 6:
            return {"out_length": said}
        return {"in_length": said, "out_length": said if which == 6 else self._length()}

    def _length(self) -> int:
        kind = self._random.randrange(10)
        if kind < 5:
            return self._random.choice(self._lengths)
        return self._random.randrange(257 if kind < 8 else 4_097)

    def _argument(self) -> int:
        kind = self._random.randrange(4)
        if kind < 2:
            return self._random.choice(ARGUMENTS)
        return self._random.randrange(1 << 16 if kind == 2 else 1 << 64)

    def _near(self) -> uuid.UUID:
        """A protocol of the target's with one bit, one byte or a part the other way, or one of nobody's."""
        data = bytearray(self._random.choice(self._guids).bytes_le)
        kind, place = self._random.randrange(8), self._random.randrange(_GUID_BYTES)
        if kind < 5:
            data[place] ^= 1 << self._random.randrange(8)
        elif kind < 7:
            data[place] = self._random.randrange(256)
        else:
            data[place:] = self._random.randbytes(_GUID_BYTES - place)
        return uuid.UUID(bytes_le=bytes(data))


def _lengths(size: int) -> list[int]:
    """Lengths at which something may turn: around multiples and parts of the structure, and powers of two."""
    turns = {0, 1, size // 2, _GUID_BYTES, _GUID_BYTES + size // 4}
    turns |= {size * times for times in range(1, 9)} | {1 << bit for bit in range(32)}
    turns |= {10**digits for digits in range(1, 7)}
    around = {turn + offset for turn in turns for offset in (-1, 0, 1, -8, 8)}
    around |= {(1 << bit) + size for bit in (8, 16, 24, 31)} | {_MOST_LENGTH, _MOST_LENGTH - size + 1}
    return sorted(value for value in around if 0 <= value <= _MOST_LENGTH and value != size)
