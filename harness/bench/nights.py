# SPDX-License-Identifier: Apache-2.0
"""What the store of nights costs: ``python -m harness.bench.nights DIR``, with the results of a real run.

Seconds are the processor's where a key says ``cpu``: what else runs on the machine does not count there.
The run is taken in as many nights as make a million status blocks: each night another package, and in a
share of the scenarios an answer that never came before.  Then two runs of 10,000 scenarios are compared.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.nights.night import choose, compare_runs
from harness.store.database import Store
from harness.store.importing import Importer
from harness.store.reading import RESULTS

BLOCKS = 1_000_000
SCENARIOS = 10_000
#: Of so many scenarios one has an answer of its own each night.
ONE_IN = 20
_INFORMATION = re.compile(rb'("numbers":\{.*?"information":)(\d+|null)')
_ID = re.compile(rb'("kind":"scenario".*?"id":"|"kind":"step".*?"scenario":")([^"]*)')


class Nights:
    """Nights made of one run's results.

    Raises:
        UsageError: they hold no record of a run.
    """

    def __init__(self, results: Path) -> None:
        lines = results.read_bytes().splitlines(keepends=True)
        head: dict[str, Any] = json.loads(lines[0]) if lines else {}
        if head.get("kind") != "run":
            raise UsageError("its first line is no record of a run", where=str(results))
        self._head = head
        self._lines = lines[1:]

    def write(self, folder: Path, number: int, *, copies: int = 1) -> None:
        """One night; with copies of the scenarios under other names where more are wanted."""
        began = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
        target = {**self._head["target"], "digest": f"{number:064x}"}
        head = {**self._head, "id": f"night{number:06d}", "started": f"{began:%Y-%m-%dT%H:%M:%SZ}"}
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / RESULTS).open("wb") as file:
            file.write(json.dumps({**head, "target": target}, separators=(",", ":")).encode() + b"\n")
            for copy in range(copies):
                file.writelines(self._varied(number, copy))

    def _varied(self, number: int, copy: int) -> Iterator[bytes]:
        turn = 0
        for line in self._lines:
            if line.startswith(b'{"kind":"environment"'):
                if copy:
                    continue
            elif copy:
                line = _ID.sub(rb"\g<1>\g<2>.%d" % copy, line, count=1)
            if line.startswith(b'{"kind":"scenario"'):
                turn += 1
            elif turn % ONE_IN == number % ONE_IN:
                line = _INFORMATION.sub(rb"\g<1>%d" % (1000 + number), line, count=1)
            yield line


def measure(
    results: Path, folder: Path, blocks: int = BLOCKS, scenarios: int = SCENARIOS
) -> dict[str, float]:
    """The figures: status blocks a second, bytes a status block, seconds of a comparison."""
    nights = Nights(results)
    spent, cpu, taken, number = 0.0, 0.0, 0, 0
    path = folder / "store.db"
    with Store(str(path), make=True) as store:
        importer = Importer(store)
        while taken < blocks:
            nights.write(folder / "night", number)
            began, began_cpu = time.perf_counter(), time.process_time()
            taken += importer.take(folder / "night").blocks
            spent += time.perf_counter() - began
            cpu += time.process_time() - began_cpu
            number += 1
    size = path.stat().st_size
    return {
        "blocks": taken,
        "nights": number,
        "blocks_per_s": taken / spent,
        "blocks_per_cpu_s": taken / cpu,
        "bytes_per_block": size / taken,
        **_comparison(nights, folder, scenarios),
    }


def _comparison(nights: Nights, folder: Path, scenarios: int) -> dict[str, float]:
    with Store(str(folder / "wide.db"), make=True) as store:
        importer = Importer(store)
        nights.write(folder / "wide", 0)
        copies = -(-scenarios // importer.take(folder / "wide").scenarios)
        for number in (1, 2):
            nights.write(folder / "wide", number, copies=copies)
            wide = importer.take(folder / "wide").scenarios
        began, cpu = time.perf_counter(), time.process_time()
        with store.reading() as connection:
            sides = [choose(connection, f"night{number:06d}") for number in (1, 2)]
            compare_runs(connection, sides[0], sides[1])
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        return {"scenarios": wide, "compare_s": seconds, "compare_cpu_s": cpu}


def main(arguments: list[str]) -> int:
    """Prints the figures as JSON."""
    if not 1 <= len(arguments) <= 2:
        print("usage: python -m harness.bench.nights DIR [BLOCKS]", file=sys.stderr)
        return 2
    blocks = int(arguments[1]) if len(arguments) > 1 else BLOCKS
    with tempfile.TemporaryDirectory(prefix="kshs-nights-") as folder:
        figures = measure(Path(arguments[0]) / RESULTS, Path(folder), blocks)
    print(json.dumps({name: round(figure, 3) for name, figure in figures.items()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
