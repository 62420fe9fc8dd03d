# SPDX-License-Identifier: Apache-2.0
"""How far the guest has come is told until its journal goes on with another session."""

from __future__ import annotations

from harness.agent.heard import Heard


def test_what_came_is_told_once_and_nothing_behind_the_last() -> None:
    told: list[tuple[int, int]] = []
    heard = Heard(lambda begun, answered: told.append((begun, answered)))
    heard.begun = 1
    heard.tell()
    heard.tell()
    heard.answered = 1
    heard.stop()
    assert told == [(1, 0), (1, 1)]
    heard.begun = heard.answered = 2
    heard.tell()
    heard.stop()
    assert told == [(1, 0), (1, 1)]


def test_a_disk_that_is_full_ends_nothing() -> None:
    def full(begun: int, answered: int) -> None:
        raise OSError("no space")

    heard = Heard(full)
    heard.begun = 1
    heard.tell()
    heard.stop()
