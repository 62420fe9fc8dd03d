# SPDX-License-Identifier: Apache-2.0
"""Plays scenarios on leases, apart from pytest: the same runner, the same verdicts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.agent.journal import Journal
from harness.capsule.seen import Seen, of_result
from harness.errors import HarnessError
from harness.running.runner import Runner
from harness.verdict import Verdict

if TYPE_CHECKING:
    from harness.guests import GuestProvider
    from harness.language.model.scenario import Scenario

Say = Callable[[str], None]
#: How often what our own infrastructure broke is tried again.
_TRIES = 3


class NotPlayableError(Exception):
    """The guest cannot show this scenario, or the target has not what it needs: why, in one sentence."""


class Player:
    """A runner with guests; a context.

    Args:
        provider: of guests; it is closed at the end.
        say: is told what takes long.
        lent: the provider is somebody else's to close.
    """

    def __init__(self, provider: GuestProvider, say: Say, *, lent: bool = False) -> None:
        self._provider = provider
        self._say = say
        self._lent = lent
        self._folder = tempfile.TemporaryDirectory(prefix="kshs-play-")
        self._runner: Runner | None = None
        self.before: Callable[[], None] | None = None
        """Called when the guest is ready, right before each attempt."""

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._runner is not None and self._lent:
                self._runner.discard()
            elif self._runner is not None:
                self._runner.close()
            elif not self._lent:
                self._provider.close()
        finally:
            self._folder.cleanup()

    @property
    def info(self) -> Any:
        """What the guest says of itself."""
        return self._ready().info

    def play(self, scenario: Scenario, *, fresh: bool) -> Seen:
        """One scenario, on a fresh lease or on the one at hand; only a driver's verdicts come back.

        Raises:
            NotPlayableError: it was skipped.
            HarnessError: our own infrastructure failed several times in a row.
        """
        reasons: list[str] = []
        while len(reasons) < _TRIES:
            runner = self._ready()
            runner.forget_hangs()
            if fresh:
                runner.discard()
            if self.before is not None:
                runner.ready()
                self.before()
            result = runner.run(scenario, file="capsule")
            if result.verdict is Verdict.SKIPPED:
                raise NotPlayableError(result.reason or "the guest cannot show it")
            if result.verdict is not Verdict.ERROR:
                return of_result(result)
            reasons.append(result.reason or "no reason given")
            self._say(f"tried again: {reasons[-1]}")
            runner.discard()
        raise HarnessError(
            f"{_TRIES} tries ended with an error of the harness; the last: {reasons[-1]}", scenario.id
        )

    def leave(self) -> None:
        """Gives the present guest back; the next scenario gets a fresh one."""
        if self._runner is not None:
            self._runner.discard()

    def _ready(self) -> Runner:
        if self._runner is None:
            from drivers import abi
            from harness.contract.capabilities import missing

            self._provider.prepare(self._say)
            journal = Journal(Path(self._folder.name) / "journal.jsonl")
            self._runner = Runner(self._provider, abi.load(), journal, fits=missing)
        return self._runner
