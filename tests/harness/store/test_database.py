# SPDX-License-Identifier: Apache-2.0
"""The schema of a store: made, migrated after a copy, refused where it is later; what is no store at all."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from harness.errors import HarnessError, UsageError
from harness.store import database
from harness.store.database import HEAD, Store
from harness.store.importing import Importer
from harness.store.models import Base
from tests.harness.nights.folders import Case, Results

RUN = Results(cases=[Case("a"), Case("b", "failed")])


def make_older(path: Path) -> None:
    """A store with the first schema and a run in it."""
    with Store(str(path), make=True) as store:
        Importer(store).take(RUN.write(path.parent))
    raw = sqlite3.connect(path)
    for table in ("accepted", "acceptance", "varying", "package_file", "selftest"):
        raw.execute(f"DROP TABLE {table}")
    for column in ("folder", "results", "rows", "image_made", "image_expires", "memory_mib"):
        raw.execute(f"ALTER TABLE run DROP COLUMN {column}")
    raw.execute("UPDATE alembic_version SET version_num = '0001'")
    raw.commit()
    raw.close()


def test_the_migrations_end_with_the_models(tmp_path: Path) -> None:
    script = ScriptDirectory.from_config(database._config())
    assert script.get_current_head() == HEAD
    with Store(str(tmp_path / "s.db"), make=True) as store, store.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_an_older_store_is_migrated_after_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    make_older(path)
    with Store(str(path)) as store:
        (copy,) = tmp_path.glob(f"s.db.before-{HEAD}-*")
        assert store.moved == f"{path}: schema 0001 became {HEAD}; as it was: {copy}"
        assert "accepted" in inspect(store.engine).get_table_names()
        assert Importer(store).take(RUN.write(tmp_path)).known
    raw = sqlite3.connect(copy)
    assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
    assert raw.execute("SELECT name FROM run").fetchall() == [("night00",)]
    raw.close()
    with Store(str(path)) as store:
        assert store.moved is None


def test_a_store_of_the_third_schema_keeps_what_it_has(tmp_path: Path) -> None:
    """Of its runs it is not known what they took of the host."""
    path = tmp_path / "s.db"
    with Store(str(path), make=True) as store:
        Importer(store).take(RUN.write(tmp_path))
    raw = sqlite3.connect(path)
    raw.execute("ALTER TABLE run DROP COLUMN memory_mib")
    raw.execute("UPDATE alembic_version SET version_num = '0003'")
    raw.commit()
    raw.close()
    with Store(str(path)) as store, store.reading() as connection:
        assert connection.exec_driver_sql("SELECT name, memory_mib FROM run").all() == [("night00", None)]
        assert connection.exec_driver_sql("SELECT count(*) FROM attempt").scalar() == 2


def test_a_migration_that_fails_leaves_the_store_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.db"
    make_older(path)

    def broken(config: object, revision: str) -> None:
        upgrade(config, revision)  # type: ignore[arg-type]
        raise OSError("the disk is full")

    upgrade = command.upgrade
    monkeypatch.setattr(command, "upgrade", broken)
    with pytest.raises(OSError, match="full"):
        Store(str(path))
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
    assert raw.execute("SELECT count(*) FROM sqlite_master WHERE name = 'accepted'").fetchall() == [(0,)]


def test_a_later_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    Store(str(path), make=True).close()
    raw = sqlite3.connect(path)
    raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.commit()
    raw.close()
    before = path.read_bytes()
    with pytest.raises(UsageError) as told:
        Store(str(path))
    assert str(told.value) == f"{path}: its schema 9999 is later than this kshs's {HEAD} (update kshs)"
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_what_is_no_store_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database\n" * 200)
    raw = sqlite3.connect(tmp_path / "other.db")
    raw.execute("CREATE TABLE mine (a INTEGER)")
    raw.commit()
    raw.close()
    for where, said in (
        (tmp_path / "none.db", r"there is no store \(kshs store import DIR makes one\)"),
        (tmp_path / "text", "this is no store"),
        (tmp_path / "other.db", "this database is no store"),
        (tmp_path, "this is a directory, where a file is wanted"),
        (tmp_path / ("n" * 300), "cannot be opened: File name too long"),
        ("mysql://host/name", "mysql is no database of a store"),
        ("nonsense://x", "nonsense is no database of a store"),
        ("a b://", "is no URL of a database"),
        ("sqlite://", "names no file"),
    ):
        with pytest.raises(UsageError, match=said):
            Store(str(where))
    with pytest.raises(UsageError, match="this is a directory"):
        Store(str(tmp_path), make=True)


@pytest.mark.parametrize(
    ("pragma", "said"),
    [
        (
            "max_page_count = 1",
            r"cannot be written: .*full \(make room and try again: nothing of it was kept\)",
        ),
        ("query_only = ON", r"cannot be written: .*readonly database \(give yourself the right to write"),
    ],
)
def test_a_store_that_cannot_be_written_says_so_and_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pragma: str, said: str
) -> None:
    path = tmp_path / "s.db"
    with Store(str(path), make=True) as store:
        Importer(store).take(RUN.write(tmp_path))
    connected = database._connected

    def hindered(connection: sqlite3.Connection, record: object) -> None:
        connected(connection, record)
        connection.execute(f"PRAGMA {pragma}")

    monkeypatch.setattr(database, "_connected", hindered)
    more = RUN.but(night=1, cases=[Case(f"more.{number}", requests=[{}] * 9) for number in range(400)])
    with Store(str(path)) as store:
        with pytest.raises(HarnessError, match=said) as told:
            Importer(store).take(more.write(tmp_path))
        assert not isinstance(told.value, UsageError), "it is no mistake of the command line: exit code 3"
        with store.reading() as connection:
            assert connection.exec_driver_sql("SELECT name FROM run").all() == [("night00",)]
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="does not answer") as told:
        Store("postgresql://kshs:secret@127.0.0.1:1/none")
    assert "secret" not in str(told.value)


def test_without_psycopg_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UsageError, match=r'PostgreSQL needs psycopg \(pip install "kshs\[postgresql\]"\)'):
        Store("postgresql://host/name")
