# SPDX-License-Identifier: Apache-2.0
"""Self-tests (``kshs selftest``) into the store; the same one twice changes nothing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from harness.errors import UsageError
from harness.store.database import Store
from harness.store.interning import table_of, tidy
from harness.store.models import SelfTest
from harness.store.origins import as_table, time_of
from vm.words import counted

SELFTEST = "selftest.json"
#: What may have been selected of its cases.
ALL, SHORT, SOME = "all", "short", "some"
_HINT = "give the --out of kshs selftest"
_MOST_BYTES = 1 << 26


@dataclass(frozen=True, slots=True)
class SelfTestInfo:
    """One self-test; see `harness.store.models.SelfTest`."""

    digest: str
    folder: str
    started: datetime | None
    imported: datetime
    version: str | None
    image: str | None
    build: str | None
    selected: str
    cases: int
    wrong: int


def take(store: Store, folder: Path) -> str:
    """Takes the self-test of a directory; what came of it, for people.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    path = folder / SELFTEST
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        said = json.loads(data) if len(data) <= _MOST_BYTES else None
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", str(path), _HINT) from None
    except (ValueError, RecursionError):
        said = None
    row = row_of(said) if isinstance(said, dict) else None
    if row is None:
        raise UsageError("this is no self-test", str(path), _HINT)
    row |= {
        "digest": digest_of_file(data),
        "folder": str(folder.absolute()),
        "imported": datetime.now(UTC).replace(tzinfo=None),
    }
    with store.writing() as connection:
        there = select(SelfTest.id).where(SelfTest.digest == row["digest"])
        if connection.execute(there).first() is not None:
            return "the self-test is in the store already"
        connection.execute(insert(table_of(SelfTest)).values(tidy(row)))
    return f"self-test: {counted(row['cases'], 'case')}, {row['wrong']} not as they must be"


def digest_of_file(data: bytes) -> str:
    """By which a self-test is known: SHA-256."""
    return hashlib.sha256(data).hexdigest()


def row_of(said: dict[str, Any]) -> dict[str, Any] | None:
    """The columns that the file itself says; None where it is none.

    Every case is counted by what it says itself: it is right with no problem and the verdict that it must
    have.  One of an earlier kshs does not say what was selected: some.
    """
    cases, host = said.get("cases"), as_table(said.get("host"))
    if not isinstance(cases, list) or not all(isinstance(case, dict) for case in cases):
        return None
    selected = said.get("selected")
    return {
        "started": time_of(said.get("started")),
        "version": _text(said.get("version")),
        "image": _text(host.get("image")),
        "build": _text(host.get("build")),
        "selected": selected if selected in (ALL, SHORT) else SOME,
        "cases": len({str(case.get("name")) for case in cases}),
        "wrong": sum(not _is_right(case) for case in cases) + (said.get("ok") is not True and not cases),
    }


def _is_right(case: dict[str, Any]) -> bool:
    expected = case.get("expected")
    right = isinstance(expected, list) and case.get("verdict") in expected
    return right and case.get("problems") == [] and case.get("ok") is True


def selftests(connection: Connection) -> list[SelfTestInfo]:
    """All of them, the oldest first."""
    columns = [getattr(SelfTest, name) for name in SelfTestInfo.__slots__]
    query = select(*columns).order_by(SelfTest.started, SelfTest.id)
    return [SelfTestInfo(*row) for row in connection.execute(query)]


def _text(value: Any) -> str | None:
    return value[:100] if isinstance(value, str) and value else None
