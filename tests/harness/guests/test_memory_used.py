# SPDX-License-Identifier: Apache-2.0
"""What guests take of the host: summed while they run beside each other, and shared pages once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from harness.guests.memory_used import MemoryUsed, Resident, resident


def process(proc: Path, pid: int, anon: int, file: int, shmem: int = 0) -> None:
    (proc / str(pid)).mkdir(parents=True, exist_ok=True)
    (proc / str(pid) / "status").write_text(
        f"Name:\tqemu\nVmRSS:\t{anon + file + shmem} kB\nRssAnon:\t{anon} kB\n"
        f"RssFile:\t{file} kB\nRssShmem:\t{shmem} kB\n"
    )


def test_guests_that_run_at_the_same_time_add_up(tmp_path: Path) -> None:
    used = MemoryUsed(tmp_path)
    assert used.kib == Resident(), "no guest was seen: this process alone says nothing"
    process(tmp_path, 1, 1000, 300)
    process(tmp_path, 2, 50, 280)
    used.began(1)
    used.began(2)
    used.began(None)
    used.ends(1)
    first = used.kib
    own = first.own - 1050
    assert own > 1000, "with this process"
    assert first.shared == 300, "forks of one template have its pages once"
    process(tmp_path, 2, 900, 300, 7)
    used.ends(2)
    assert used.kib.own - 1050 >= own, "it was less than before, when both ran"
    process(tmp_path, 3, 2000, 10)
    used.began(3)
    assert used.kib.own >= 2000 + own, "a guest that still runs counts"
    used.ends(4)


def test_a_process_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    assert resident(1, tmp_path) == Resident()


def test_the_kernel_says_it_so() -> None:
    own = resident(os.getpid())
    assert own.own > 1000 and own.shared > 100


def test_the_memory_of_the_process_that_started_it_is_not_its_own() -> None:
    held = b"x" * (300 << 20)
    asked = "from harness.guests import memory_used; print(memory_used._own_peak() >> 10)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert int(done.stdout) < len(held) >> 20
