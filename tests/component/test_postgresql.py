# SPDX-License-Identifier: Apache-2.0
"""The store in real PostgreSQL servers, each in a cluster of this test's own: all of Debian's that are there.

``KSHS_TEST_POSTGRESQL`` names directories with the programs of further ones, with colons between.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from harness.errors import UsageError
from harness.nights.night import choose, compare_runs
from harness.store.database import HEAD, Store
from harness.store.exporting import records
from harness.store.importing import Importer
from harness.store.models import Base
from harness.store.pruning import prune
from tests.harness.nights.folders import BEGAN, DECLINED, Case, Results
from tests.harness.store.test_import import RUN, at_once, check_three_of_four

pytestmark = pytest.mark.component

#: Debian 12 has 15, Debian 13 has 17.
PROGRAMS = [
    *sorted(path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")),
    *(Path(name) for name in os.environ.get("KSHS_TEST_POSTGRESQL", "").split(":") if name),
]


def as_user(*words: str | Path) -> None:
    """PostgreSQL does not run as root: then as the user that Debian's package has made."""
    front = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    done = subprocess.run([*front, *map(str, words)], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_a_server_to_be_tested_with() -> None:
    assert PROGRAMS, "the Debian package postgresql is missing: scripts/setup.sh test installs it"


@pytest.fixture(scope="module", params=PROGRAMS, ids=lambda programs: programs.parent.name)
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a server that listens on a socket in its own directory, and nowhere else."""
    programs: Path = request.param
    folder = Path(tempfile.mkdtemp(prefix="kshs-pg-"))
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        data = folder / "data"
        as_user(programs / "initdb", "-D", data, "-U", "kshs", "-A", "trust", "--no-sync", "-E", "UTF8")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        as_user(programs / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", options, "start")
        try:
            yield f"postgresql://kshs@/{{name}}?host={folder}"
        finally:
            as_user(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def where(server: str, request: pytest.FixtureRequest) -> str:
    """A database of this test's own."""
    name = f"t{zlib.crc32(request.node.name.encode())}"
    url = server.format(name="postgres").replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.format(name=name)


def test_two_at_once_land_and_one_that_is_killed_leaves_nothing(where: str, tmp_path: Path) -> None:
    assert at_once(where, tmp_path, die=2) == [0, 0, -signal.SIGKILL, 0]
    with Store(where) as store:
        check_three_of_four(store)
        Importer(store).take(RUN.but(night=2).write(tmp_path))


def test_all_that_a_file_can_do(where: str, tmp_path: Path) -> None:
    """Import twice, compare, export, prune; texts with NUL, numbers of 64 bits."""
    cases = [Case("a", requests=[{"answer": DECLINED, "information": 0}]), Case("b", "failed", reason="\0")]
    first = Results(cases=cases)
    with Store(where, make=True) as store, Store(str(tmp_path / "s.db"), make=True) as file:
        for opened in (store, file):
            importer = Importer(opened)
            importer.take(first.write(tmp_path))
            assert importer.take(first.write(tmp_path)).known
            changed = [Case("a", requests=[{"answer": DECLINED}]), Case("b", "failed", reason="\0")]
            importer.take(Results(night=1, ks="b" * 64, cases=changed).write(tmp_path))
        said = []
        for opened in (store, file):
            with opened.reading() as connection:
                night = compare_runs(connection, choose(connection, "night00"), choose(connection, "last"))
                said.append((night.findings, night.counts, list(records(connection, 1))))
        assert said[0] == said[1]
        assert [change.field for change in said[0][0][0].changes] == ["information"]
        with store.writing() as connection:
            gone = prune(connection, BEGAN.replace(tzinfo=None, hour=23)).gone
        assert gone == ("night00",)


def test_the_migrations_end_with_the_models_and_keep_a_copy(where: str, tmp_path: Path) -> None:
    with Store(where, make=True) as store:
        Importer(store).take(RUN.write(tmp_path))
        with store.reading() as connection:
            assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        with store.engine.begin() as connection:
            connection.execute(text("DROP TABLE accepted, acceptance, varying, package_file, selftest"))
            for column in ("folder", "results", "rows", "image_made", "image_expires", "memory_mib"):
                connection.execute(text(f"ALTER TABLE run DROP COLUMN {column}"))
            connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    with Store(where) as store:
        assert store.moved is not None and f"became {HEAD}; as it was: schema kshs_before_" in store.moved
        schema = store.moved.rpartition(" ")[2]
        with store.reading() as connection:
            kept = connection.execute(text(f"SELECT name FROM {schema}.run")).scalars().all()
        assert kept == ["night00"]
        assert Importer(store).take(RUN.write(tmp_path)).known
        with store.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UsageError, match="its schema 9999 is later than this kshs's"):
        Store(where)
