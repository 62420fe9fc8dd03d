# SPDX-License-Identifier: Apache-2.0
"""What the gate costs: ``python -m harness.bench.gate RESULTS PACKAGE``, with a real run and its package.

The run is taken in as a thousand nights, each of another package; the last two are of the package itself, the
two before of one that counts as released, and these four have as many scenarios as the catalogue.  Then the
gate judges, signs, and a statement is verified with package and bundle.  Seconds are the processor's where a
key says ``cpu``.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

import drivers.package
from harness.errors import UsageError
from harness.gate import bundle, keys, policy, stating
from harness.gate.deciding import decide
from harness.gate.facts import Asked
from harness.gate.statement import signed
from harness.gate.verdict import GateVerdict
from harness.gate.verifying import verify
from harness.results import seal
from harness.store.database import Store
from harness.store.importing import Importer
from harness.store.reading import RESULTS

NIGHTS = 1000
#: Scenarios of the nights that are judged, and of those before.
LAST, OLDER = 900, 100
#: Nights that are judged, one half of the candidate and one of the released package.
_JUDGED = 4
_POLICY = """
schema = 1
name = "bench"
target.name = {target}
released.digest = "{released}"
flakes.suite = 0.5
selftest.required = false
evidence.image_days = 3660
signer = [{{ name = "bench", key = "bench.pub", may = ["release"] }}]
require = [{{ name = "bench", guest = {guest}, repeats = 2, suite.id = {ids} }}]
"""
_ID = re.compile(rb'("kind":"scenario".*?"id":"|"kind":"step".*?"scenario":")([^"]*)')
_T = TypeVar("_T")


@dataclass
class Clock:
    """Seconds that things took, by name."""

    figures: dict[str, float]

    def timed(self, name: str, act: Callable[[], _T]) -> _T:
        """Does something and keeps how long it took."""
        began, cpu = time.perf_counter(), time.process_time()
        made = act()
        self.figures[f"{name}_s"] = time.perf_counter() - began
        self.figures[f"{name}_cpu_s"] = time.process_time() - cpu
        return made


def measure(results: Path, package: Path, folder: Path, nights: int = NIGHTS) -> dict[str, float]:
    """The figures.

    Raises:
        UsageError: there are no results of a run, or no package.
    """
    clock = Clock({"nights": nights})
    with Store(str(folder / "store.db"), make=True) as store:
        loaded = _fill(store, results, package, folder, nights)
        asked = Asked(loaded, package, datetime.now(UTC))

        def judged() -> GateVerdict:
            with store.reading() as connection:
                return decide(connection, asked)

        said = clock.timed("judge", judged)
    clock.figures["scenarios"] = sum(said.counts.values()) / max(1, sum(one.counted for one in said.runs))
    clock.figures["yes"] = float(said.yes)
    if said.yes:
        _verify(said, package, folder, clock)
    return clock.figures


def _verify(said: GateVerdict, package: Path, folder: Path, clock: Clock) -> None:
    statement = stating.statement_of(said, "bench")
    path = folder / bundle.STATEMENT
    path.write_bytes(signed(statement, keys.signer(str(folder / "bench.key"))))
    (folder / bundle.SOURCES).write_text(bundle.sources_text(said.evidence))
    file = folder / "bundle.zip"
    clock.timed("bundle", lambda: bundle.make(folder, file, statement))
    trusted = keys.of_policy(said.policy)
    now = datetime.now(UTC)
    clock.timed("verify", lambda: verify(path, trusted, now))
    found = clock.timed(
        "verify_all",
        lambda: verify(path, trusted, now, package=package, bundle_file=file, policy=said.policy),
    )
    clock.figures["verified"] = float(found.good)


class _Nights:
    """Nights made of one run's results: the same answers each time, under as many names as are wanted."""

    def __init__(self, results: Path) -> None:
        lines = results.read_bytes().splitlines(keepends=True)
        self.head: dict[str, Any] = json.loads(lines[0]) if lines else {}
        if self.head.get("kind") != "run":
            raise UsageError("its first line is no record of a run", where=str(results))
        said = [json.loads(line) for line in lines if line.startswith(b'{"kind":"environment"')]
        self._environment: dict[str, Any] = said[0] if said else {"kind": "environment", "host": {}}
        self._environment["host"]["image_made"] = "2026-01-01T00:00:00+00:00"
        self._lines = [
            line for line in lines[1:] if line.startswith((b'{"kind":"scenario"', b'{"kind":"step"'))
        ]
        heads = (json.loads(line) for line in self._lines if line.startswith(b'{"kind":"scenario"'))
        self.ids = [str(record["id"]) for record in heads]
        self._bodies: dict[int, bytes] = {}

    def write(self, folder: Path, hours: int, package: Mapping[str, str] | str, scenarios: int) -> None:
        """One night, so many hours ago, of a package that is given by its files or by its digest alone."""
        began = datetime.now(UTC) - timedelta(hours=hours)
        target = dict(self.head["target"])
        if isinstance(package, str):
            target = {**target, "files": None, "digest": package}
        else:
            target |= {"files": dict(package), "digest": drivers.package.digest_files(package)}
        head = {**self.head, "id": folder.name, "started": f"{began:%Y-%m-%dT%H:%M:%SZ}", "target": target}
        head["problem"] = None
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / RESULTS).open("wb") as file:
            file.write(json.dumps(head, separators=(",", ":")).encode() + b"\n")
            file.write(json.dumps(self._environment, separators=(",", ":")).encode() + b"\n")
            file.write(self._body(scenarios))
        seal.write(folder, folder.name)

    def _body(self, scenarios: int) -> bytes:
        """The lines of so many scenarios: each night has the same."""
        if scenarios not in self._bodies:
            lines: list[bytes] = []
            for copy in range(-(-scenarios // len(self.ids))):
                more = b"\\g<1>\\g<2>" + (b".%d" % copy if copy else b"")
                lines += (_ID.sub(more, line, count=1) for line in self._lines)
            self._bodies[scenarios] = b"".join(lines)
        return self._bodies[scenarios]


def _fill(store: Store, results: Path, package: Path, folder: Path, nights: int) -> policy.LoadedPolicy:
    """Nights into the store, and the policy by which the last two are judged."""
    made = _Nights(results)
    found = drivers.package.load(package)
    released = {"released.sys": "0" * 64}
    importer = Importer(store)
    for number in range(nights):
        left = nights - number
        which: Mapping[str, str] | str = f"{number:064x}"
        if left <= _JUDGED:
            which = found.digests if left <= _JUDGED // 2 else released
        place = folder / f"night{number:06d}"
        made.write(place, left, which, LAST if left <= _JUDGED else OLDER)
        importer.take(place)
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "bench.key").write_bytes(secret)
    (folder / "bench.pub").write_bytes(public)
    words = {"target": made.head["target"]["name"], "guest": made.head["guest"], "ids": made.ids}
    said = {name: json.dumps(value) for name, value in words.items()}
    text = _POLICY.format(released=drivers.package.digest_files(released), **said)
    (folder / policy.POLICY).write_text(text)
    return policy.load(folder / policy.POLICY)


def main(arguments: list[str]) -> int:
    """Prints the figures as JSON."""
    if not 2 <= len(arguments) <= 3:
        print("usage: python -m harness.bench.gate RESULTS PACKAGE [NIGHTS]", file=sys.stderr)
        return 2
    nights = int(arguments[2]) if len(arguments) > 2 else NIGHTS
    with tempfile.TemporaryDirectory(prefix="kshs-gate-") as folder:
        figures = measure(Path(arguments[0]) / RESULTS, Path(arguments[1]), Path(folder), nights)
    print(json.dumps({name: round(figure, 3) for name, figure in figures.items()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
