# SPDX-License-Identifier: Apache-2.0
"""The database of a store: opened, made, and brought to this program's schema.

SQLite by default, one file; PostgreSQL for a team.  Writers follow one another: each takes the lock of the
whole store for one transaction, so that two imports at once both land, and one that is killed leaves nothing.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from alembic.config import Config

#: The schema that this program knows: the last of ``harness/store/migrations/versions``.
HEAD = "0004"
#: Seconds that a writer waits for another one.
PATIENCE = 600
_VERSION = "alembic_version"
#: Of PostgreSQL's advisory locks that of a store: any number that nobody else uses.
_LOCK = 0x6B736873
_HINT = "check --store, or store.url in kshs.toml"
#: What SQLite says where nothing can be written, and what helps; of the transaction nothing is kept.
_NOT_WRITTEN = (
    ("readonly database", "give yourself the right to write it and its folder"),
    ("disk is full", "make room and try again: nothing of it was kept"),
    ("disk I/O error", "check the disk and try again: nothing of it was kept"),
)


class Store:
    """A store, opened.

    Args:
        where: a path, or a URL as SQLAlchemy has them (``sqlite:///FILE``, ``postgresql://HOST/NAME``).
        make: whether it is made where there is none.

    Raises:
        UsageError: it cannot be opened, is none, or is a later kshs's.
    """

    def __init__(self, where: str, *, make: bool = False) -> None:
        self.url = _url(where)
        self.shown = self.url.render_as_string(hide_password=True)
        path = self.path
        if path is not None:
            self.shown = str(path)
            _check_place(path, make=make)
        self.engine = _engine(self.url)
        self.moved: str | None = None
        """What was done to an older store, for people; None where nothing was."""
        with self._told():
            self._bring_up()

    @property
    def path(self) -> Path | None:
        """The file, where the store is one."""
        if self.url.get_backend_name() != "sqlite":
            return None
        return Path(self.url.database or "")

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the store."""
        with self._told(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection that alone may write; all that it does is kept at the end, or nothing."""
        with (
            self._told(),
            self.engine.connect().execution_options(kshs_writes=True) as connection,
            connection.begin(),
        ):
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
            yield connection

    def shrink(self) -> None:
        """Gives the room of what was removed back to the disk."""
        with self._told(), self.engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                raw = connection.connection.driver_connection
                assert raw is not None
                raw.execute("VACUUM")  # not within a transaction

    def close(self) -> None:
        """Gives its connections back."""
        self.engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What a database says, in one line."""
        try:
            yield
        except OperationalError as error:
            words = " ".join(str(error.orig).split())
            if "not a database" in words:
                raise UsageError("this is no store", where=self.shown, hint=_HINT) from None
            if self.path is not None and "unable to open" in words:
                raise UsageError(f"cannot be opened: {words}", where=self.shown, hint=_HINT) from None
            why = next((why for said, why in _NOT_WRITTEN if said in words), None)
            if why is not None:
                raise HarnessError(f"the store cannot be written: {words}", self.shown, why) from None
            raise HarnessError(f"the store does not answer: {words}", self.shown, _HINT) from None
        except DBAPIError as error:
            words = " ".join(str(error.orig).split())
            if "not a database" in words:
                raise UsageError("this is no store", where=self.shown, hint=_HINT) from None
            raise HarnessError(f"the store refuses: {words}", self.shown) from error

    def _bring_up(self) -> None:
        with self.engine.connect() as connection:
            if _revision(connection) == HEAD:
                return
        with self.writing() as connection:
            revision = _revision(connection)
            if revision == HEAD:  # somebody else has just done it
                return
            if revision is None and inspect(connection).get_table_names():
                raise UsageError("this database is no store", where=self.shown, hint=_HINT)
            if revision is not None:
                self._check_known(revision)
                self.moved = (
                    f"{self.shown}: schema {revision} became {HEAD}; as it was: {self._copy(connection)}"
                )
            _upgrade(connection)

    def _check_known(self, revision: str) -> None:
        from alembic.script import ScriptDirectory

        known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
        if revision not in known:
            raise UsageError(
                f"its schema {revision} is later than this kshs's {HEAD}",
                where=self.shown,
                hint="update kshs",
            )

    def _copy(self, connection: Connection) -> str:
        """Copies a store before it is changed; where to."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        path = self.path
        if path is None:
            schema = f"kshs_before_{stamp.lower()}"
            connection.execute(text(f"CREATE SCHEMA {schema}"))
            for table in inspect(connection).get_table_names():
                connection.execute(text(f'CREATE TABLE {schema}."{table}" AS TABLE "{table}"'))
            return f"schema {schema}"
        copy = path.with_name(f"{path.name}.before-{HEAD}-{stamp}")
        # A connection of its own: the one that writes has the lock, under which others may still read.
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(copy)) as to,
        ):
            source.backup(to)
        return str(copy)


def _url(where: str) -> URL:
    if "://" not in where:
        return URL.create("sqlite", database=str(Path(where).expanduser().absolute()))
    try:
        url = make_url(where)
        kind = url.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise UsageError("is no URL of a database", where=where, hint=_HINT) from None
    if kind == "sqlite":
        if not url.database or url.database == ":memory:":
            raise UsageError("names no file", where=where, hint="sqlite:///FILE")
        return URL.create("sqlite", database=str(Path(url.database).absolute()))
    if kind in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    raise UsageError(f"{kind} is no database of a store", where=where, hint="give a path or postgresql://...")


def _check_place(path: Path, *, make: bool) -> None:
    try:
        if path.is_dir():
            raise UsageError("this is a directory, where a file is wanted", where=str(path), hint=_HINT)
        if not make and not path.is_file():
            raise UsageError("there is no store", where=str(path), hint="kshs store import DIR makes one")
        if make:
            path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        said = "cannot be made" if make else "cannot be opened"
        raise UsageError(f"{said}: {error.strerror}", where=str(path), hint=_HINT) from None


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        try:
            return create_engine(url)
        except ModuleNotFoundError:
            raise UsageError(
                "PostgreSQL needs psycopg", where=str(url.host), hint='pip install "kshs[postgresql]"'
            ) from None
    engine = create_engine(url, connect_args={"timeout": PATIENCE})
    event.listen(engine, "connect", _connected)
    event.listen(engine, "begin", _begun)
    return engine


def _connected(connection: Any, _record: object) -> None:
    # Python's sqlite3 begins transactions by itself, and DDL outside of them, unless it is told not to.
    connection.isolation_level = None
    for pragma in ("foreign_keys = ON", "cache_size = -65536", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


def _begun(connection: Connection) -> None:
    writes = connection.get_execution_options().get("kshs_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _revision(connection: Connection) -> str | None:
    if _VERSION not in inspect(connection).get_table_names():
        return None
    found = connection.execute(text(f"SELECT version_num FROM {_VERSION}")).scalar()  # noqa: S608 - a constant
    return None if found is None else str(found)


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config


def _upgrade(connection: Connection) -> None:
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
