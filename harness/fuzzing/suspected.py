# SPDX-License-Identifier: Apache-2.0
"""Sequences that were odd in a bulk: played as scenarios, alone and then with those that came before them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from harness.fuzzing.composing import Composer
from harness.fuzzing.draft import Draft, digest
from harness.results.cause import Cause


@dataclass(frozen=True)
class Suspicion:
    """What was odd, and in which sequence, None where that is nobody's alone; `cause` names what came.

    `context` are the sequences before it, and itself at the end.
    """

    draft: Draft | None
    context: tuple[Draft, ...]
    reason: str
    cause: Cause | None = None


@dataclass
class Suspected:
    """Those that are to be played, or on their way.

    Args:
        composer: of scenarios.
    """

    composer: Composer
    _waiting: dict[tuple[str, ...], Suspicion] = field(default_factory=dict)

    @property
    def waits(self) -> bool:
        """Whether there are any."""
        return bool(self._waiting)

    def first(self, suspicion: Suspicion) -> tuple[Draft, ...] | None:
        """What is to be played of it; None where it comes to nothing."""
        alone = suspicion.context if suspicion.draft is None else (suspicion.draft,)
        return self._to_play(alone, suspicion)

    def further(self, suspicion: Suspicion) -> tuple[Draft, ...] | None:
        """What is to be played when it was not odd alone; None: there is nothing more to it."""
        if suspicion.draft is None or len(suspicion.context) < 2:
            return None
        return self._to_play(suspicion.context, replace(suspicion, draft=None))

    def landed(self, drafts: Sequence[Draft]) -> Suspicion | None:
        """The suspicion for which these were played, if it was for one."""
        return self._waiting.pop(_name(drafts), None)

    def _to_play(self, drafts: tuple[Draft, ...], suspicion: Suspicion) -> tuple[Draft, ...] | None:
        """As many of the last ones as one scenario holds."""
        while drafts:
            composed = self.composer.compose(drafts, "fuzz.bulk", "Of a bulk")
            if composed is None:
                return None
            if composed.sequences == len(drafts):
                self._waiting[_name(drafts)] = suspicion
                return drafts
            drafts = drafts[-(len(drafts) // 2) :]
        return None


def _name(drafts: Sequence[Draft]) -> tuple[str, ...]:
    return tuple(digest(draft) for draft in drafts)
