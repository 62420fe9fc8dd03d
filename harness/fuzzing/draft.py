# SPDX-License-Identifier: Apache-2.0
"""A sequence as it was drawn: steps of the language as tables, which need not fit together yet.

`on` is a name of the pool (`harness.fuzzing.pool`).  What a step needs, `harness.fuzzing.composing` puts
before it; what cannot be is left out.  So a sequence stays one whatever is taken from it or put into it.
Beside the kinds of the language there are two that stand for several steps:

- ``inside``: a callback that blocks with a request in it, `steps` meanwhile, and then is let go;
- ``leak``: counts what drivers hold, before, after and after again what is repeated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Step = Mapping[str, Any]
Draft = tuple[Step, ...]


def dumped(draft: Draft) -> str:
    """In one line, the same for equal sequences."""
    return json.dumps(draft, sort_keys=True, separators=(",", ":"))


def loaded(text: str) -> Draft:
    """The sequence of such a line.

    Raises:
        ValueError: it is none.
    """
    return checked(json.loads(text))


def checked(value: Any) -> Draft:
    """What was read as JSON, as a sequence.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, list) or not all(_is_step(step) for step in value):
        raise ValueError("this is no sequence of steps")
    return tuple(value)


def _is_step(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("do"), str)


def digest(draft: Draft) -> str:
    """By which a sequence is called."""
    return hashlib.sha256(dumped(draft).encode()).hexdigest()[:12]


def inner(draft: Sequence[Step]) -> Iterator[Step]:
    """All steps, those inside of others too."""
    for step in draft:
        yield step
        yield from inner(step.get("steps") or ())
