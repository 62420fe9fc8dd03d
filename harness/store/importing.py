# SPDX-License-Identifier: Apache-2.0
"""Results folders into the store; the same folder twice changes nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from harness.store.database import Store
from harness.store.integrity import NOTHING
from harness.store.interning import cut, digest_of, digest_of_bytes, intern, known, table_of, tidy, tidy_text
from harness.store.learning import learn
from harness.store.models import (
    Answer,
    Answers,
    Attempt,
    Guest,
    Incident,
    Run,
    Scenario,
    Signature,
    StatusBlock,
    Step,
    Target,
)
from harness.store.origins import differing, guest_row, run_row, seconds_of, target_row
from harness.store.provenance import columns, keep_package, rows_digest
from harness.store.reading import ReadRun, ReadScenario, ReadSignature, ReadStep, StepKey, read
from harness.store.values import Block, kept_block, row_of
from harness.verdict import Verdict
from vm.words import counted

#: Of a run whose results came again with other bytes.
OTHER_RESULTS = "these are other results than those that were imported"
#: Characters of a reason or an evidence that are kept.
_LONG = 8000


@dataclass(frozen=True)
class Imported:
    """What came of a folder: the run's id, and whether the store had it as it is."""

    run: str
    scenarios: int
    blocks: int
    known: bool
    notes: tuple[str, ...] = ()
    refused: str | None = None

    def __str__(self) -> str:
        if self.refused:
            return f"run {self.run}: {self.refused}"
        if self.known:
            return f"run {self.run} is in the store already"
        parts = f"{counted(self.scenarios, 'scenario')}, {self.blocks:,} status blocks"
        return "; ".join([f"run {self.run}: {parts}", *self.notes])


@dataclass(frozen=True, slots=True)
class _Row:
    """A scenario on its way: `answers` is the digest of its steps and what came back."""

    read: ReadScenario
    key: str
    scenario: bytes
    answers: bytes | None
    signature: bytes | None


class Importer:
    """Imports folders into one store.

    It remembers digests of what it has read, never ids: between two imports somebody may prune the store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._steps: dict[StepKey, bytes] = {}
        self._blocks: dict[Block, bytes] = {}

    def take(self, folder: Path) -> Imported:
        """One results folder, in one transaction.

        Raises:
            UsageError: it is none (`harness.store.reading.read`).
            HarnessError: the store cannot be written.
        """
        run = read(folder)
        if differing(run.environments, run.head):
            run.notes.append("its guests differ from each other: the first one stands for all")
        head = run_row(run.head, run.notes)
        proof = columns(folder, run)
        rows = self._rows(run)
        guest, target = (
            _named(tidy(guest_row(run.head, run.environments))),
            _named(tidy(target_row(run.head, run.environments))),
        )
        digest = _digest(rows, guest[0], target[0], head)
        with self._store.writing() as connection:
            wrong = keep_package(connection, run)
            if wrong is not None:
                run.notes.append(wrong)
                head["note"] = "; ".join(run.notes)
            before = connection.execute(
                select(Run.id, Run.digest, Run.problem, Run.note, Run.results).where(Run.name == head["name"])
            ).one_or_none()
            if before is not None and bytes(before.digest) == digest:
                if not _are_others(before, proof):  # an export says the same, and proves nothing
                    self._prove(connection, before.id, proof)
                return Imported(head["name"], len(rows), run.blocks, known=True)
            if before is not None:
                kept = connection.scalar(
                    select(func.count()).where(Attempt.run_id == before.id, Attempt.stands)
                )
                why = None
                if (kept or 0) > len(rows):
                    there = counted(kept or 0, "scenario")
                    why = f"the store has {there} of it, here are {len(rows)}: left as it was"
                elif _are_others(before, proof):
                    why = f"{OTHER_RESULTS}: left as it was"
                if why is not None:
                    return Imported(head["name"], len(rows), run.blocks, known=True, refused=why)
                forget_attempts(connection, [before.id])
            values = {
                **tidy(head),
                "digest": digest,
                "rows": None,
                "imported": datetime.now(UTC).replace(tzinfo=None),
                "guest_id": _one(connection, Guest, guest),
                "target_id": _one(connection, Target, target),
            }
            if before is None:
                made = connection.execute(insert(table_of(Run)).values(values))
                run_id = int(made.inserted_primary_key[0])  # type: ignore[index]
            else:
                run_id = int(before.id)
                connection.execute(update(Run).where(Run.id == run_id).values(values))
            self._write(connection, run_id, rows)
            self._prove(connection, run_id, proof)
            learn(connection, run_id)
        return Imported(head["name"], len(rows), run.blocks, known=False, notes=tuple(run.notes))

    def _prove(self, connection: Connection, run_id: int, proof: Mapping[str, Any]) -> None:
        """Keeps where a run's results lie, what they are, and a digest of the rows that came of them.

        That of rows which are there already stays: they may have been altered since.
        """
        connection.execute(update(Run).where(Run.id == run_id).values(tidy(proof)))
        unproven = Run.id == run_id, Run.rows.is_(None)
        connection.execute(update(Run).where(*unproven).values(rows=rows_digest(connection, run_id)))

    # ---- digests -----------------------------------------------------------

    def _rows(self, run: ReadRun) -> list[_Row]:
        places = Counter((Path(one.file).name, one.name) for one in run.scenarios)
        rows = []
        for one in run.scenarios:
            file = Path(one.file).name
            shown = one.file if places[file, one.name] > 1 else file
            key = cut(f"{shown}::{one.name}", 1000)
            answers = digest_of_bytes(map(self._piece, one.steps)) if one.steps else None
            signature = None
            if one.signature is not None:
                signature = _signature_digest(one.signature)
            content = one.content and tidy_text(one.content[:100])
            rows.append(_Row(one, key, digest_of(key, content, one.kind), answers, signature))
        return rows

    def _piece(self, step: ReadStep) -> bytes:
        """What of a step goes into the digest of its list."""
        key, block, verdict, reason = step
        asked = self._steps.get(key)
        if asked is None:
            asked = self._steps[key] = digest_of(_kept(key))
        came = NOTHING
        if block is not None:
            came = self._blocks.get(block, NOTHING)
            if came is NOTHING:
                came = self._blocks[block] = digest_of(kept_block(block))
        if verdict == "passed":
            return asked + came
        return asked + came + digest_of(verdict, _reason(reason))

    # ---- rows --------------------------------------------------------------

    def _write(self, connection: Connection, run_id: int, rows: list[_Row]) -> None:
        scenarios = intern(connection, Scenario, {row.scenario: _scenario(row) for row in rows})
        signatures = intern(
            connection, Signature, {row.signature: _signature(row) for row in rows if row.signature}
        )
        lists = {row.answers: row.read.steps for row in rows if row.answers}
        answers = self._answers(connection, lists)
        attempts = [
            attempt
            for position, row in enumerate(rows)
            for attempt in _attempts(row, run_id, position, scenarios, answers, signatures)
        ]
        if attempts:
            connection.execute(insert(table_of(Attempt)), [tidy(attempt) for attempt in attempts])
        _incidents(connection, run_id, {scenarios[row.scenario]: row.read for row in rows})

    def _answers(
        self, connection: Connection, lists: Mapping[bytes, tuple[ReadStep, ...]]
    ) -> dict[bytes, int]:
        """The ids of lists; only what is new of them, their steps and their blocks is written."""
        found = known(connection, Answers, lists)
        new = {digest: steps for digest, steps in lists.items() if digest not in found}
        if not new:
            return found
        keys = {self._steps[step[0]]: step[0] for steps in new.values() for step in steps}
        blocks = {self._blocks[step[1]]: step[1] for steps in new.values() for step in steps if step[1]}
        steps_by = intern(connection, Step, {digest: _step(key) for digest, key in keys.items()})
        blocks_by = intern(connection, StatusBlock, {d: row_of(block) for d, block in blocks.items()})
        made = intern(connection, Answers, {digest: {} for digest in new})
        connection.execute(
            insert(table_of(Answer)),
            [
                tidy(
                    {
                        "answers_id": made[digest],
                        "position": position,
                        "step_id": steps_by[self._steps[key]],
                        "status_block_id": None if block is None else blocks_by[self._blocks[block]],
                        "verdict": verdict,
                        "reason": _reason(reason),
                    }
                )
                for digest, steps in new.items()
                for position, (key, block, verdict, reason) in enumerate(steps)
            ],
        )
        return found | made


def _are_others(before: Any, proof: Mapping[str, Any]) -> bool:
    """Whether a run came before, whole, with other bytes: results do not change, but for somebody's hand.

    One that was interrupted, damaged, or had left no results when it was imported may come whole.
    """
    whole = before.problem is None and before.note is None and before.results is not None
    return whole and before.results != proof["results"]


def forget_attempts(connection: Connection, runs: list[int]) -> None:
    """Removes what runs have left beside their own rows."""
    attempts = select(Attempt.id).where(Attempt.run_id.in_(runs))
    connection.execute(delete(Incident).where(Incident.attempt_id.in_(attempts)))
    connection.execute(delete(Attempt).where(Attempt.run_id.in_(runs)))


def _digest(rows: list[_Row], guest: bytes, target: bytes, head: Mapping[str, Any]) -> bytes:
    """Of all that the store keeps of a run."""
    said = [
        (row.scenario.hex(), (row.answers or b"").hex(), row.read.verdict, row.read.reason, row.read.torn)
        for row in rows
    ]
    tries = [[one.get("verdict") for one in row.read.others] for row in rows if row.read.others]
    return digest_of(said, tries, guest.hex(), target.hex(), head["problem"])


def _named(row: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    return digest_of(row), row


def _one(connection: Connection, table: Any, named: tuple[bytes, dict[str, Any]]) -> int:
    digest, row = named
    return intern(connection, table, {digest: row})[digest]


def _scenario(row: _Row) -> dict[str, Any]:
    read = row.read
    return {
        "key": row.key,
        "name": read.name[:600],
        "file": read.file[:1000],
        "content": read.content and read.content[:100],
        "title": read.title and read.title[:_LONG],
        "rules": " ".join(read.rules)[:400],
        "kind": read.kind,
    }


def _signature(row: _Row) -> dict[str, Any]:
    made = row.read.signature
    assert made is not None
    return {"version": made.version[:50], "text": made.text[:_LONG], "words": made.words[:_LONG]}


def _signature_digest(made: ReadSignature) -> bytes:
    return digest_of(tidy_text(made.version[:50]), tidy_text(made.text[:_LONG]))


def _kept(key: StepKey) -> StepKey:
    """What was asked as it is kept: digests are of what the store holds, by which it can be checked."""
    do, name, route, mode, request = key
    where = route and tidy_text(route[:50]), mode and tidy_text(mode[:50])
    return tidy_text(do[:50]), tidy_text(name), *where, request


def _reason(reason: Any) -> str | None:
    return None if reason is None else tidy_text(str(reason)[:_LONG])


def _step(key: StepKey) -> dict[str, Any]:
    do, name, route, mode, request = _kept(key)
    shown = json.dumps(dict(request), separators=(",", ":"))
    return {"do": do, "name": name, "route": route, "mode": mode, "request": shown}


def _attempts(
    row: _Row,
    run_id: int,
    position: int,
    scenarios: Mapping[bytes, int],
    answers: Mapping[bytes, int],
    signatures: Mapping[bytes, int],
) -> list[dict[str, Any]]:
    """The attempts at one scenario: of several, the last one with the verdict that stands has the steps."""
    read = row.read
    tries: list[Mapping[str, Any]] = read.others or [{}]
    bearer = max((n for n, one in enumerate(tries) if one.get("verdict") == read.verdict), default=0)
    common = {"run_id": run_id, "scenario_id": scenarios[row.scenario], "position": position}
    made = []
    for number, one in enumerate(tries):
        stands = number == bearer
        reason = read.reason if stands else one.get("reason")
        verdict = read.verdict if stands else str(one.get("verdict"))
        made.append(
            {
                **common,
                "number": number,
                "stands": stands,
                "torn": read.torn and stands,
                "verdict": verdict if verdict in set(Verdict) else Verdict.ERROR.value,
                "reason": reason[:_LONG] if isinstance(reason, str) else None,
                "seconds": read.seconds if stands else seconds_of(one.get("seconds")),
                "lease": _words(read.lease if stands else one.get("lease"), 200),
                "worker": _words(read.worker if stands else one.get("worker"), 100),
                "answers_id": answers[row.answers] if stands and row.answers else None,
                "signature_id": signatures[row.signature] if stands and row.signature else None,
            }
        )
    return made


def _words(value: Any, most: int) -> str | None:
    return value[:most] or None if isinstance(value, str) else None


def _incidents(connection: Connection, run_id: int, reads: Mapping[int, ReadScenario]) -> None:
    """One for each attempt that crashed, hung, or left evidence."""
    told = {
        number: read
        for number, read in reads.items()
        if read.evidence or read.verdict in (Verdict.CRASHED, Verdict.HUNG)
    }
    if not told:
        return
    ids = connection.execute(
        select(Attempt.scenario_id, Attempt.id).where(Attempt.run_id == run_id, Attempt.stands)
    )
    connection.execute(
        insert(table_of(Incident)),
        [
            {
                "attempt_id": attempt,
                "kind": told[scenario].verdict,
                "evidence": json.dumps([line[:_LONG] for line in told[scenario].evidence]),
            }
            for scenario, attempt in ids
            if scenario in told
        ],
    )
