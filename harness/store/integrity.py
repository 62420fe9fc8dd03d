# SPDX-License-Identifier: Apache-2.0
"""Whether rows that runs share are still what was imported: each is named by a digest of what it holds.

A run's own rows have a digest of their own (`harness.store.provenance.rows_digest`), which goes no further
than the names of guests, scenarios, answers and signatures: what these hold is looked at here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, select

from harness.store.interning import chunks, digest_of, digest_of_bytes, table_of
from harness.store.models import (
    NUMBERS,
    Answer,
    Answers,
    Attempt,
    Guest,
    Run,
    Scenario,
    Signature,
    StatusBlock,
    Step,
    Target,
)
from harness.store.values import unsigned

#: In the place of a block where nothing came back.
NOTHING = b"\0" * 16
_Row = Mapping[str, Any]


def altered(connection: Connection, run_ids: Collection[int]) -> dict[int, list[str]]:
    """By runs the kinds of things that the store keeps otherwise than when it took them; none where none is.

    Args:
        connection: to read by.
        run_ids: of the runs that are asked about.
    """
    runs = _used(connection, select(Run.id, Run.guest_id, Run.target_id).where(Run.id.in_(list(run_ids))))
    query = select(Attempt.run_id, Attempt.scenario_id, Attempt.answers_id, Attempt.signature_id).distinct()
    attempts = _used(connection, query.where(Attempt.run_id.in_(list(run_ids))))
    kinds: list[tuple[str, Mapping[int, set[int]], Callable[[Connection, set[int]], set[int]]]] = [
        ("guest", runs[0], lambda c, ids: _other(c, Guest, ids, _whole)),
        ("target", runs[1], lambda c, ids: _other(c, Target, ids, _whole)),
        ("scenarios", attempts[0], lambda c, ids: _other(c, Scenario, ids, _scenario)),
        ("answers", attempts[1], _other_answers),
        ("signatures of failures", attempts[2], lambda c, ids: _other(c, Signature, ids, _signature)),
    ]
    found: dict[int, list[str]] = {}
    for what, used, look in kinds:
        odd = look(connection, set().union(*used.values()))
        for run, ids in used.items():
            if ids & odd:
                found.setdefault(run, []).append(what)
    return found


def _used(connection: Connection, query: Any) -> list[dict[int, set[int]]]:
    """Of a query whose first column is a run: for each further one the ids that runs have in it."""
    rows = connection.execute(query).all()
    width = len(rows[0]) - 1 if rows else 3
    found: list[dict[int, set[int]]] = [{} for _ in range(width)]
    for run, *ids in rows:
        for place, number in enumerate(ids):
            if number is not None:
                found[place].setdefault(run, set()).add(number)
    return found


def _rows(connection: Connection, model: Any, ids: Iterable[int]) -> Iterator[_Row]:
    table = table_of(model)
    for some in chunks(sorted(ids)):
        for row in connection.execute(select(table).where(table.c.id.in_(some))).mappings():
            yield {str(name): value for name, value in row.items()}


def _other(connection: Connection, model: Any, ids: set[int], made: Callable[[_Row], bytes]) -> set[int]:
    """Those whose digest is not that of what they hold; one that is gone is another, too."""
    same = {row["id"] for row in _rows(connection, model, ids) if bytes(row["digest"]) == made(row)}
    return ids - same


def _whole(row: _Row) -> bytes:
    return digest_of({name: value for name, value in row.items() if name not in ("id", "digest")})


def _scenario(row: _Row) -> bytes:
    return digest_of(row["key"], row["content"], row["kind"])


def _signature(row: _Row) -> bytes:
    return digest_of(row["version"], row["text"])


def _step(row: _Row) -> bytes:
    try:
        request = tuple(json.loads(row["request"]).items())
    except (ValueError, AttributeError, RecursionError):
        return b""
    return digest_of((row["do"], row["name"], row["route"], row["mode"], request))


def _block(row: _Row) -> bytes:
    try:
        seen = None if row["seen"] is None else tuple(json.loads(row["seen"]).items())
    except (ValueError, AttributeError, RecursionError):
        return b""
    return digest_of((row["outcome"], *(unsigned(row[name]) for name in NUMBERS), row["protocol"], seen))


def _other_answers(connection: Connection, ids: set[int]) -> set[int]:
    """Lists that are not what they are called: their order, a step, what came back, or a verdict."""
    digests = {row["id"]: bytes(row["digest"]) for row in _rows(connection, Answers, ids)}
    rows: list[Any] = []
    columns = (
        Answer.answers_id,
        Answer.position,
        Answer.step_id,
        Answer.status_block_id,
        Answer.verdict,
        Answer.reason,
    )
    for some in chunks(sorted(ids)):
        rows += connection.execute(select(*columns).where(Answer.answers_id.in_(some))).all()
    steps = _sound(connection, Step, {row[2] for row in rows}, _step)
    blocks = _sound(connection, StatusBlock, {row[3] for row in rows if row[3] is not None}, _block)
    same = set()
    for number, listed in groupby(sorted(rows, key=lambda row: row[:2]), key=lambda row: row[0]):
        pieces = []
        for place, (_, position, step, block, verdict, reason) in enumerate(listed):
            asked, came = steps.get(step), NOTHING if block is None else blocks.get(block)
            if asked is None or came is None or place != position:
                break
            pieces += [asked, came] if verdict == "passed" else [asked, came, digest_of(verdict, reason)]
        else:
            if digest_of_bytes(pieces) == digests.get(number):
                same.add(number)
    return ids - same


def _sound(
    connection: Connection, model: Any, ids: set[int], made: Callable[[_Row], bytes]
) -> dict[int, bytes]:
    """The digests of those rows that are what they are called."""
    found = ((row, bytes(row["digest"])) for row in _rows(connection, model, ids))
    return {row["id"]: digest for row, digest in found if digest == made(row)}
