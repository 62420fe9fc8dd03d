# SPDX-License-Identifier: Apache-2.0
"""What goes on, in a log and on a terminal."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from harness.progress import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def said(clock: list[float], seconds_each: float, *texts: str) -> list[str]:
    file = io.StringIO()
    with Progress(Console(file=file, width=200)) as progress:
        for text in texts:
            progress.say(text)
            clock[0] += seconds_each
    return [line.split(" s  ", 1)[1] for line in file.getvalue().splitlines()]


COMPILED = [f"compiled {n} of 97: {n}.c" for n in range(1, 98)]


def test_of_many_that_are_counted_a_log_has_the_first_and_the_last(clock: list[float]) -> None:
    told = said(clock, 0.05, "building", *COMPILED, "signed")
    assert told == ["building", COMPILED[0], COMPILED[-1], "signed"]


def test_slow_work_is_heard_of_every_ten_seconds(clock: list[float]) -> None:
    assert said(clock, 4.0, *COMPILED[:7]) == [COMPILED[0], COMPILED[3], COMPILED[6]]


def test_another_kind_of_work_and_warnings_are_all_told(clock: list[float]) -> None:
    texts = ["compiled 1 of 9", "unpacked 1 of 5", "warning: 2 of 5 are old", "warning: 3 of 5 are old"]
    assert said(clock, 0.1, *texts) == texts
