# SPDX-License-Identifier: Apache-2.0
"""What repeats from run to run is kept once: rows that are named by a digest of what they hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, insert, select

#: Values in one statement: SQLite allows 32,766 from 3.32 on, older ones 999.
CHUNK = 500
_T = TypeVar("_T")


def digest_of(*content: Any) -> bytes:
    """The digest that names a content."""
    text = json.dumps(content, separators=(",", ":"), sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def digest_of_bytes(content: Iterable[bytes]) -> bytes:
    """The same of pieces that are bytes already."""
    return hashlib.blake2b(b"".join(content), digest_size=16).digest()


def chunks(values: Sequence[_T], size: int = CHUNK) -> Iterator[Sequence[_T]]:
    """In pieces that fit into one statement."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def among(connection: Connection, query: Any, column: Any, values: Collection[Any]) -> Iterator[Any]:
    """Rows of a query whose column has one of some values, a part of these at a time, in their order."""
    for some in chunks(sorted(values)):
        yield from connection.execute(query.where(column.in_(some))).all()


def known(connection: Connection, table: Any, digests: Iterable[bytes]) -> dict[bytes, int]:
    """The ids of those that are there."""
    tabled = table_of(table)
    rows = among(connection, select(tabled.c.digest, tabled.c.id), tabled.c.digest, [*digests])
    return {bytes(digest): number for digest, number in rows}


def intern(connection: Connection, table: Any, rows: Mapping[bytes, Mapping[str, Any]]) -> dict[bytes, int]:
    """The ids of rows by their digests; those that are not there are added.

    Args:
        connection: that alone may write.
        table: a model with `id` and `digest`.
        rows: the other columns.
    """
    found = known(connection, table, rows)
    missing = [digest for digest in rows if digest not in found]
    if missing:
        connection.execute(
            insert(table_of(table)), [{"digest": digest, **tidy(rows[digest])} for digest in missing]
        )
        found |= known(connection, table, missing)
    return found


def table_of(model: Any) -> Table:
    """The table of a model."""
    table: Table = model.__table__
    return table


def tidy(row: Mapping[str, Any]) -> dict[str, Any]:
    """Texts as databases take them: without NUL, and without halves of surrogate pairs."""
    return {name: tidy_text(value) if isinstance(value, str) else value for name, value in row.items()}


def tidy_text(value: str) -> str:
    """The same of one text."""
    if value.isascii() and "\0" not in value:
        return value
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")


def cut(value: str, most: int) -> str:
    """A tidy text that names something: what is too long for its column ends with a digest of all of it."""
    value = tidy_text(value)
    if len(value) <= most:
        return value
    named = digest_of(value).hex()
    return f"{value[: most - len(named) - 1]}-{named}"
