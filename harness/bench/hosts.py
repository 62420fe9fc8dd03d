# SPDX-License-Identifier: Apache-2.0
"""What two workers with a guest each do, against two bare runs side by side: ``python -m
harness.bench.hosts``.

Both run the same selection twice on this machine, in turns: once as two processes of ``kshs run``, once as a
night of two cells over a scheduler and two workers on loopback, each with a cache of its own.  Images, builds
and templates are made before anything is measured.  Arguments are those that select scenarios: ``--rule H4``.
Of a night it says what it took before its first lease and behind its last one, which no guest makes up for.
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError
from harness.fleet.certificates import make
from harness.fleet.ledger import read
from harness.language.toml_literal import literal

#: The least share of what two bare guests do.
GOAL = 0.9
_TURNS = 3
_SETTINGS = """
[hosts]
keys = "{folder}/keys"
this = "{name}"
cores = 1
memory_mib = 1400
[store]
url = "{folder}/nights.db"
[vm]
{vm}
[nights.bench]
repeats = 2
suites.bench = {suite}
"""
_KINDS = {"--rule": "rule", "--route": "route", "--tag": "tag", "--id": "id"}


def suite_of(words: Sequence[str]) -> str:
    """Options that select scenarios as a suite of a night.

    Raises:
        HarnessError: another option, or one without its value.
    """
    found: dict[str, list[str]] = {}
    rest = list(words)
    while rest:
        option = rest.pop(0)
        if option not in _KINDS or not rest:
            raise HarnessError("takes pairs of " + ", ".join(_KINDS), where=option)
        found.setdefault(_KINDS[option], []).append(rest.pop(0))
    return literal(found)


@dataclass(frozen=True)
class Night:
    """What a night took, in seconds: all of it, until its first lease was granted, and since its last one
    ended; and how many leases it had.
    """

    seconds: float
    before: float
    behind: float
    leases: int


def measure(words: Sequence[str], turns: int = _TURNS) -> list[tuple[float, Night]]:
    """Seconds of two bare runs, and the night over two workers, once a turn.

    Raises:
        HarnessError: one of them did not end as it should.
    """
    suite = suite_of(words)
    found = []
    with tempfile.TemporaryDirectory(prefix="kshs-b", dir="/tmp") as scratch:
        folder = Path(scratch)
        make(folder / "keys", ["boss", "one", "two"])
        url = f"tls://127.0.0.1:{_free_port()}"
        for name in ("boss", "one", "two"):
            (folder / name).mkdir()
            vm = (
                f'cache_dir = "{folder}/{name}/c"\nruntime_dir = "{folder}/{name}/r"'
                if name != "boss"
                else ""
            )
            text = _SETTINGS.format(folder=folder, name=name, vm=vm, suite=suite)
            (folder / name / "kshs.toml").write_text(text, encoding="utf-8")
        with _fleet(folder, url):
            _bare(folder, words, "warm")
            _night(folder, url, "warm")
            for turn in range(turns):
                found.append((_bare(folder, words, f"b{turn}"), _night(folder, url, f"n{turn}")))
    return found


@contextlib.contextmanager
def _fleet(folder: Path, url: str) -> Iterator[None]:
    """A scheduler and two workers."""
    begun = []
    try:
        for name, words in (
            ("boss", ["scheduler", "--listen", url]),
            ("one", ["worker", "--scheduler", url]),
            ("two", ["worker", "--scheduler", url]),
        ):
            with (folder / f"{name}.log").open("wb") as log:
                begun.append(subprocess.Popen(_kshs(words), cwd=folder / name, stdout=log, stderr=log))
        yield
    finally:
        for process in begun:
            process.terminate()
        for process in begun:
            process.wait()


def _bare(folder: Path, words: Sequence[str], name: str) -> float:
    began = time.monotonic()
    runs = [_start(folder, ["run", *words, "--out", str(folder / f"{name}-{n}")]) for n in range(2)]
    return _ended(runs, began)


def _night(folder: Path, url: str, name: str) -> Night:
    out, clock, began = folder / f"{name}-night", time.time(), time.monotonic()
    words = ["nightly", "bench", "--scheduler", url, "--out", str(out)]
    seconds = _ended([_start(folder, words)], began)
    rows = read(out)
    first = min(row["at"] for row in rows) - clock
    last = max(row["at"] for row in rows) - clock
    return Night(seconds, first, seconds - last, sum(row["event"] == "granted" for row in rows))


def _start(folder: Path, words: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(_kshs(words), cwd=folder / "boss", stdout=subprocess.DEVNULL)


def _ended(runs: Sequence[subprocess.Popen[bytes]], began: float) -> float:
    codes = [run.wait() for run in runs]
    if any(codes):
        raise HarnessError("what was to be measured has failed", hint="run it by itself")
    return time.monotonic() - began


def _kshs(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "harness.cli", *words]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def main() -> int:
    """0 where the goal is met."""
    try:
        turns = measure(sys.argv[1:])
    except HarnessError as error:
        print(f"kshs: {error}", file=sys.stderr)
        return 3
    for bare, night in turns:
        parts = f"{night.before:.1f} s before and {night.behind:.1f} s behind {night.leases} leases"
        print(
            f"two bare runs {bare:.1f} s, two workers {night.seconds:.1f} s ({parts}):"
            f" {bare / night.seconds:.2f}"
        )
    share = statistics.median(bare / night.seconds for bare, night in turns)
    met = "met" if share >= GOAL else "MISSED"
    print(
        f"two workers do {share:.2f} of two bare guests (goal {GOAL}: {met}); load {os.getloadavg()[0]:.1f}"
    )
    return 0 if share >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
