# SPDX-License-Identifier: Apache-2.0
"""Which runs make one night."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from harness.store.marks import RunMark

_HALF_A_DAY = timedelta(hours=12)


def night_of(at: datetime) -> str:
    """The night of a time (UTC), called by the day on which it ends: from noon to noon, as 2026-01-05."""
    try:
        return (at + _HALF_A_DAY).date().isoformat()
    except OverflowError:  # the last day that there is
        return at.date().isoformat()


def nights_of(marks: Iterable[RunMark]) -> dict[str, list[RunMark]]:
    """Runs by their night; both in the order of time."""
    found: dict[str, list[RunMark]] = {}
    for mark in marks:
        found.setdefault(night_of(mark.at), []).append(mark)
    return dict(sorted(found.items()))


def in_words(night: str) -> str:
    """A night's name for people: Monday 5 January 2026."""
    day = date.fromisoformat(night)
    return f"{day:%A} {day.day} {day:%B} {day:%Y}"
