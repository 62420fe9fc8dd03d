# SPDX-License-Identifier: Apache-2.0
"""The leases of a cell made into one folder of results, as ``kshs run`` on one host leaves it.

All that was tried of a scenario is in it, in the order in which leases were granted.  What a lease that was
given up had begun is there as an attempt that was lost: it decides nothing, but what it said against a driver
stands.
"""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.evidence.incident_folder import INCIDENTS
from harness.fleet.cells import CellItem, SentCell
from harness.fleet.junit import write_junit
from harness.fleet.ledger import Held
from harness.results import parts as part_files
from harness.results import report, seal
from harness.results.parts import Gathered, Line, gather_lines, join, line_of, lines
from harness.results.record import result_of_begun
from harness.verdict import Verdict
from vm.words import counted

NOT_RUN = "not run: "


@dataclass
class CameBack:
    """What came of one lease: its folder, where it ended and counts; else why it was given up.

    `events` are what was heard of it until then, `late` what its host said when it was back.  `trusted`:
    whether it ran what it was given.
    """

    held: Held
    out: Path | None = None
    why: str | None = None
    events: list[Mapping[str, Any]] = field(default_factory=list)
    late: list[Mapping[str, Any]] = field(default_factory=list)
    trusted: bool = True


class Keys:
    """Finds the items of a cell by what a record on another host calls them."""

    def __init__(self, cell: SentCell) -> None:
        self._by_name: dict[str, list[CellItem]] = {}
        for item in cell.items:
            self._by_name.setdefault(item.item.name, []).append(item)

    def find(self, name: str, file: str) -> CellItem | None:
        """The item of that id in that file; None: no such item was sent."""
        fitting = [(_overlap(one.item.file, file), one) for one in self._by_name.get(name, ())]
        length, best = max(fitting, key=lambda pair: pair[0], default=(0, None))
        return best if length else None

    def key(self, name: str, file: str) -> str | None:
        """Its node id here."""
        item = self.find(name, file)
        return item.key if item is not None else None

    def of_test(self, nodeid: str) -> CellItem | None:
        """The same for the node id of a test in Python."""
        file, _, name = nodeid.partition("::")
        return self.find(name, file)


def _overlap(one: str, other: str) -> int:
    """How much of two paths is the same from their ends on, where one of them ends with the other."""
    same = one == other or one.endswith(f"/{other}") or other.endswith(f"/{one}")
    return min(len(one), len(other)) if same else 0


@dataclass(frozen=True)
class Merged:
    """The records of a cell's run, and the verdicts of all of its items."""

    records: Sequence[Mapping[str, Any]]
    verdicts: Counter[str]
    problem: str | None


def merge(cell: SentCell, leases: Sequence[CameBack], seconds: float, why_not: str | None) -> Merged:
    """Writes results.jsonl and its seal, report.html, junit.xml; what hosts left of incidents lies beside.

    ``why_not``: why items have not been run, where some have not.

    Raises:
        OSError, HarnessError: they cannot be written.
    """
    keys = Keys(cell)
    sessions, tests = [], dict[str, dict[str, Any]]()
    held: list[set[str]] = []
    for lease in sorted(leases, key=lambda one: one.held.number):
        if lease.out is not None:
            gathered = gather_lines([_rewritten(lease, lease.out, keys)])
            held.append({entry.key for entry in gathered.entries})
            _take_tests(gathered.tests, tests)
            _take_incidents(lease.out, cell.folder)
        else:
            gathered = _given_up(lease, keys)
        sessions.append(gathered)
    whole = join(sessions)
    there = {entry.key for entry in whole.entries}
    ended = {key for session in held for key in session} | {
        entry.key for entry in whole.entries if Verdict(entry.scenario[0]["verdict"]).is_driver_fault
    }
    missing = [item for item in cell.items if item.key not in ended and item.key not in tests]
    for item in missing:
        if item.key in there:
            continue  # what was tried of it says why
        reason = f"{NOT_RUN}{why_not or 'no lease has run it'}"
        if item.scenario:
            result = result_of_begun(item.begun, Verdict.ERROR, reason, None)
            whole.add(result, order=int(item.begun["order"]), worker="")
        else:
            tests[item.key] = {
                "kind": "test",
                "id": item.key,
                "verdict": Verdict.ERROR.value,
                "reason": reason,
            }
    problem = f"{counted(len(missing), 'item')} not run: {why_not or 'no lease ended'}" if missing else None
    hosts = Counter(lease.held.host for lease in leases)
    environment: Mapping[str, Any] = next(iter(whole.environments.values()), {})
    head = {
        **cell.head,
        "seconds": round(seconds, 3),
        "problem": problem,
        "host": environment.get("host") or {},
        "target": {**cell.head["target"], **_package(environment)},
        "handed_out_again": sorted(whole.again),
        "hosts": dict(sorted(hosts.items())),
        "leases": len(leases),
    }
    ordered = [tests[item.key] for item in cell.items if item.key in tests]
    records = part_files.write(head, whole, cell.folder / "results.jsonl", ordered)
    seal.write(cell.folder, str(cell.head["id"]), cell.folder / INCIDENTS)
    report.write(records, cell.folder / "report.html")
    found = [(one.held.host, one.out / "junit.xml") for one in leases if one.out is not None]
    write_junit(cell.folder / "junit.xml", records, found, keys.key)
    verdicts = Counter(str(r["verdict"]) for r in records if r["kind"] in ("scenario", "test"))
    return Merged(records, verdicts, problem)


def _package(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What hosts deployed, as a run on one host says it."""
    files = environment.get("target_files")
    return {"digest": environment.get("target_digest"), **({"files": files} if files else {})}


def _rewritten(lease: CameBack, out: Path, keys: Keys) -> Iterator[Line]:
    """A lease's results with our names of files, our order, and its host."""
    order: int | None = None
    for record, line in lines(out / "results.jsonl"):
        if record["kind"] == "scenario":
            item = keys.find(str(record["id"]), str(record.get("file", "")))
            order = int(item.begun["order"]) if item is not None else None
            if item is not None:
                _place(record, item, lease.held.host)
                line = line_of(record)
        elif record["kind"] == "step":
            if order is not None and record.get("order") != order:
                record["order"] = order
                line = line_of(record)
        elif record["kind"] == "test":
            found = keys.of_test(str(record["id"]))
            order = 0 if found is not None else None
            if found is not None and found.key != record["id"]:
                record["id"] = found.key
                line = line_of(record)
        if record["kind"] in ("scenario", "step", "test") and order is None:
            continue  # nobody asked for it
        yield record, line


def _place(record: dict[str, Any], item: CellItem, host: str) -> None:
    record |= {"file": item.begun["file"], "order": item.begun["order"]}
    record["worker"] = f"{host}/{record.get('worker', '')}"
    for attempt in record.get("attempts") or ():
        attempt["worker"] = f"{host}/{attempt.get('worker', '')}"


def _take_tests(found: Mapping[str, dict[str, Any]], into: dict[str, dict[str, Any]]) -> None:
    """What stands of tests in Python after one more lease."""
    for key, record in found.items():
        before = into.get(key)
        if before is not None and Verdict(before["verdict"]).is_driver_fault:
            continue
        into[key] = record


def _take_incidents(out: Path, folder: Path) -> None:
    if (out / INCIDENTS).is_dir():
        with contextlib.suppress(shutil.Error):
            shutil.copytree(out / INCIDENTS, folder / INCIDENTS, dirs_exist_ok=True)


def _given_up(lease: CameBack, keys: Keys) -> Gathered:
    """What a lease that was given up is known to have begun: attempts that were lost."""
    gathered = Gathered()
    heard, late = _last(lease.events, keys), _last(lease.late, keys)
    for item in {
        **{key: one[0] for key, one in late.items()},
        **{k: one[0] for k, one in heard.items()},
    }.values():
        verdict, reason = _said(lease, heard.get(item.key), late.get(item.key))
        result = result_of_begun(item.begun, verdict, reason, None)
        gathered.add(result, order=int(item.begun["order"]), worker=lease.held.host, lost=True)
    return gathered


_Event = tuple[CellItem, Mapping[str, Any] | None]


def _last(events: Sequence[Mapping[str, Any]], keys: Keys) -> dict[str, _Event]:
    """By node id: each item that has begun, with the record of its end, where that was heard of."""
    found: dict[str, _Event] = {}
    for event in events:
        item = keys.find(str(event.get("id")), str(event.get("file", "")))
        if item is not None:
            ended = event if event.get("kind") == "scenario" else None
            found[item.key] = (item, ended)
    return found


def _said(lease: CameBack, heard: _Event | None, late: _Event | None) -> tuple[Verdict, str]:
    """What stands of an attempt that was lost: a driver's fault that was heard of in time, else nothing."""
    why = lease.why or "nobody waited for it"
    ended = heard[1] if heard is not None else None
    verdict = _verdict(ended)
    if ended is not None and verdict.is_driver_fault and lease.trusted:
        return verdict, f"{ended.get('reason')} (then the lease was given up: {why})"
    if ended is not None:
        return Verdict.ERROR, f"given up: {why}; it had {verdict.value} there, which does not count"
    if late is not None and late[1] is not None:
        after = _verdict(late[1]).value
        return (
            Verdict.ERROR,
            f"given up: {why}; later it was heard that it {after} there, which does not count",
        )
    return Verdict.ERROR, f"given up: {why}, while this scenario was in flight"


def _verdict(event: Mapping[str, Any] | None) -> Verdict:
    try:
        return Verdict(str((event or {}).get("verdict")))
    except ValueError:
        return Verdict.ERROR
