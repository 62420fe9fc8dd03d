# SPDX-License-Identifier: Apache-2.0
"""What being watched costs: measured in turns, and held against its goal."""

from __future__ import annotations

import os
import subprocess
import time
from typing import cast

import pytest

from harness.bench import traced_instructions
from harness.bench.guest import Bench
from harness.bench.tracing import IN_GUEST, compared, in_turns, loops, processor_ns


def test_each_comes_first_in_turn() -> None:
    order: list[str] = []

    def loop(name: str, rate: float) -> float:
        order.append(name)
        return rate

    plain, watched = in_turns(lambda: loop("plain", 100.0), lambda: loop("watched", 97.0), 3)
    assert order == ["plain", "watched", "watched", "plain", "plain", "watched"]
    assert (plain, watched) == ([100.0] * 3, [97.0] * 3)


@pytest.mark.parametrize(
    ("watched", "met", "got"),
    [
        ([103.0, 110.0, 81.6], True, "3.0%"),
        ([110.0, 110.0, 88.0], False, "10.0%"),
        ([96.0] * 3, True, "-4.0%"),
    ],
)
def test_the_median_of_the_rounds_counts(watched: list[float], met: bool, got: str) -> None:
    """A round that was slow for both, the third here, says as much as any other."""
    loop = ([100.0, 100.0, 80.0], watched)
    said = compared({IN_GUEST: loop, "single": ([1.0], [1.5])})
    assert (said["goal"]["met"], said["goal"]["got"]) == (met, f"agent {got}; single 50.0%")
    assert said["single"]["cost"] == 0.5


def test_processor_time_is_that_of_the_process_alone() -> None:
    before = processor_ns(os.getpid())
    began = time.thread_time_ns()
    while time.thread_time_ns() - began < 20_000_000:
        pass
    after = processor_ns(os.getpid())
    assert after - before >= 15_000_000
    waiting = subprocess.Popen(["sleep", "30"])
    try:
        time.sleep(0.2)
        assert processor_ns(waiting.pid) < 150_000_000
    finally:
        waiting.kill()
        waiting.wait()


def test_what_comes_before_and_after_a_loop_is_not_counted() -> None:
    class Burner:
        """Each request burns a millisecond, and each loop 30 besides."""

        def agent_loop(self, count: int) -> None:
            end = time.thread_time_ns() + (30 + count) * 1_000_000
            while time.thread_time_ns() < end:
                pass

        single = agent_loop

        def pipelined(self, count: int, *, repeat: int) -> None:
            self.agent_loop(count * repeat)

    cost = loops(cast(Bench, Burner()), os.getpid(), 50)[IN_GUEST]()
    assert 700 < cost < 1500


@pytest.mark.parametrize(("agent", "code"), [(102.0, 0), (106.0, 1)])
def test_instructions(
    agent: float, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Medians of guests are compared, and what the client's loop has more is a share of the agent's."""
    plain = [
        {IN_GUEST: 100.0, "client": 20.0},
        {IN_GUEST: 90.0, "client": 20.0},
        {IN_GUEST: 300.0, "client": 9.0},
    ]
    watched = [{IN_GUEST: agent, "client": 22.0}] * 3
    monkeypatch.setattr(traced_instructions, "turns", lambda folder, say: (plain, watched))
    assert traced_instructions.main() == code
    said = capsys.readouterr().out
    assert f"kstrace costs {agent - 100:.1f}% of the agent's own loop" in said
    assert "steps from a file: 100 and" in said and "20 and 22, +10.0%" in said
    assert "has more is 2.0% of a request of the agent's" in said
