# SPDX-License-Identifier: Apache-2.0
"""Who may speak with whom; and that nothing of it is needed where there is no scheduler."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.fleet import certificates, engine
from harness.fleet.certificates import files_of, make
from tests.harness.commands.in_process import called
from tests.harness.plugin.test_plugin import ROOT

WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("dask", "distributed"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import harness.cli
harness.cli.application()
from harness.commands import run_command, nightly_command, worker_command, hosts_command, scheduler_command
loaded = [name for name in sys.modules if name.startswith("harness.fleet")]
assert loaded == [], loaded
sys.argv = ["kshs", "version"]
harness.cli.main()
"""


def test_without_a_scheduler_nothing_of_it_is_imported_or_needed() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_with_one_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed.security", None)
    done = called(tmp_path, "worker", "--scheduler", "tls://127.0.0.1:8786")
    assert done.returncode == 2
    assert done.stderr == (
        "kshs: dask.distributed is not installed, which carries work to other hosts"
        ' (pip install "kshs[hosts]")\n'
    )


@pytest.mark.parametrize("command", ["worker", "hosts", "nightly x", "run", "scheduler"])
def test_nothing_is_spoken_without_encryption(tmp_path: Path, command: str) -> None:
    (tmp_path / "kshs.toml").write_text("[nights.x]\n[store]\nurl = 'n.db'\n")
    option = "--listen" if command == "scheduler" else "--scheduler"
    done = called(tmp_path, *command.split(), option, "tcp://127.0.0.1:8786")
    assert done.returncode == 2 and "say tls://HOST:PORT" in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8786", "inproc://x", "tls://", "tls://a", "tls://a:b", "tls://u@a:1"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="say tls://HOST:PORT"):
        engine.address(url)


def test_without_keys_nobody_joins(tmp_path: Path) -> None:
    done = called(tmp_path, "worker", "--scheduler", "tls://127.0.0.1:8786")
    assert done.returncode == 2 and "kshs hosts keys DIR NAME... makes some" in done.stderr
    (tmp_path / "kshs.toml").write_text("[hosts]\nkeys = 'keys'\nthis = 'lab'\n")
    done = called(tmp_path, "worker", "--scheduler", "tls://127.0.0.1:8786")
    assert done.returncode == 2 and "ca.pem: there is no such file" in done.stderr


def connect(server: Any, client: Any) -> None:
    """A handshake in memory."""
    ends = [ssl.MemoryBIO() for _ in range(4)]
    one = server.wrap_bio(ends[0], ends[1], server_side=True)
    other = client.wrap_bio(ends[2], ends[3])
    done: set[Any] = set()
    for _ in range(10):
        for end in (other, one):
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                pass
        ends[0].write(ends[3].read())
        ends[2].write(ends[1].read())
    # With TLS 1.3 a client hears that it was refused behind its own handshake.
    with contextlib.suppress(ssl.SSLWantReadError):
        other.read(1)
    assert done == {one, other}


def test_both_sides_show_a_certificate_of_the_one_authority(tmp_path: Path) -> None:
    make(tmp_path / "ours", ["a", "b"])
    make(tmp_path / "theirs", ["a"])
    a = engine.security(tmp_path / "ours", "a", 60.0)
    b = engine.security(tmp_path / "ours", "b", 60.0)
    stranger = engine.security(tmp_path / "theirs", "a", 60.0)
    server = a.get_listen_args("scheduler")["ssl_context"]
    connect(server, b.get_connection_args("worker")["ssl_context"])
    with pytest.raises(ssl.SSLError):
        connect(server, stranger.get_connection_args("worker")["ssl_context"])
    with pytest.raises(ssl.SSLError):
        connect(
            stranger.get_listen_args("scheduler")["ssl_context"],
            b.get_connection_args("client")["ssl_context"],
        )
    nobody = ssl.create_default_context(cafile=str(tmp_path / "ours" / "ca.pem"))
    nobody.check_hostname = False
    with pytest.raises(ssl.SSLError):
        connect(server, nobody)
    for role in ("scheduler", "worker", "client"):
        assert a.get_connection_args(role)["require_encryption"] is True


def test_keys_are_private_and_are_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    done = called(tmp_path, "hosts", "keys", "keys", "a", "b")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in folder.iterdir()} == {
        "ca.pem", "ca-key.pem", "a.pem", "a-key.pem", "b.pem", "b-key.pem",
    }  # fmt: skip
    assert all(path.stat().st_mode & 0o77 == 0 for path in folder.glob("*-key.pem"))
    assert folder.stat().st_mode & 0o77 == 0
    before = (folder / "ca.pem").read_bytes()
    assert called(tmp_path, "hosts", "keys", "keys", "c").returncode == 0
    assert (folder / "ca.pem").read_bytes() == before and files_of(folder, "c")
    assert "is there already" in called(tmp_path, "hosts", "keys", "keys", "a").stderr
    assert "is no name of a host" in called(tmp_path, "hosts", "keys", "keys", "../x").stderr
    (folder / "ca-key.pem").unlink()
    assert "the authority's key cannot be read" in called(tmp_path, "hosts", "keys", "keys", "d").stderr
    (folder / "a-key.pem").write_bytes((folder / "b-key.pem").read_bytes())
    with pytest.raises(UsageError, match="no keys of a host"):
        files_of(folder, "a")


def test_what_no_host_would_take_is_said_before_anything_is_spoken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "keys"
    make(folder, ["a"])
    key = folder / "a-key.pem"
    key.chmod(0o640)
    with pytest.raises(UsageError, match=r"others may read this key \(chmod 600 .*a-key.pem\)"):
        files_of(folder, "a")
    key.chmod(0o600)
    assert files_of(folder, "a")
    make(tmp_path / "theirs", ["a"])
    mine = (folder / "ca.pem").read_bytes()
    (folder / "ca.pem").write_bytes((tmp_path / "theirs" / "ca.pem").read_bytes())
    with pytest.raises(UsageError, match=r"a.pem: is of another authority"):
        files_of(folder, "a")
    (folder / "ca.pem").write_bytes((tmp_path / "theirs" / "ca.pem").read_bytes() + mine)
    assert files_of(folder, "a"), "both are trusted while one takes the other's place"
    for years in (-4, 4):

        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None, years: int = years) -> datetime:
                return datetime.now(tz) + timedelta(days=365 * years)

        with monkeypatch.context() as other:
            other.setattr(certificates, "datetime", Clock)
            with pytest.raises(UsageError, match=r"is valid from \d{4}-\d\d-\d\d to .* and not now"):
                files_of(folder, "a")


def test_a_worker_with_such_keys_says_it_and_ends(tmp_path: Path) -> None:
    make(tmp_path / "keys", ["lab"])
    (tmp_path / "keys" / "lab-key.pem").chmod(0o644)
    (tmp_path / "kshs.toml").write_text("[hosts]\nkeys = 'keys'\nthis = 'lab'\n")
    done = called(tmp_path, "worker", "--scheduler", "tls://127.0.0.1:8786")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "others may read this key (chmod 600" in done.stderr


def test_why_a_scheduler_cannot_be_reached_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    from distributed import Scheduler

    async def out_of_time(url: str, **_: Any) -> None:
        """As dask's, where its patience ends within a try after others that were refused."""
        raise OSError(f"Timed out trying to connect to {url} after 5.0 s") from TimeoutError()

    for name in ("ours", "theirs"):
        make(tmp_path / name, ["a"])
    shown = engine.security(tmp_path / "ours", "a", 20.0)
    stranger = engine.security(tmp_path / "theirs", "a", 20.0)

    async def work() -> None:
        scheduler = Scheduler(
            host="127.0.0.1", port=0, protocol="tls://", security=shown, dashboard=False,
            dashboard_address=engine.NO_HTTP,
        )  # fmt: skip
        async with scheduler:
            await engine.reach(scheduler.address, shown, 20.0)
            with pytest.raises(OSError, match=r"both must be of one authority: .*certificate verify failed"):
                await engine.reach(scheduler.address, stranger, 20.0)
            gone = scheduler.address
        with pytest.raises(OSError, match=r"refused|Connect call failed") as refused:
            await engine.reach(gone, shown, 5.0)
        assert "object at" not in str(refused.value)
        with monkeypatch.context() as patched:
            patched.setattr("distributed.comm.core.connect", out_of_time)
            with pytest.raises(OSError, match=r"refused|Connect call failed"):
                await engine.reach(gone, shown, 5.0)
        with pytest.raises(UsageError, match="there is no way to it"):
            await engine.reach("tls://nowhere.invalid:8786", shown, 2.0)

    asyncio.run(work())


def test_a_worker_whose_hypervisor_is_another_hosts_says_it_and_ends(tmp_path: Path) -> None:
    make(tmp_path / "keys", ["lab"])
    settings = "[hosts]\nkeys = 'keys'\nthis = 'lab'\n[vm]\nuri = 'qemu+ssh://elsewhere/system'\n"
    (tmp_path / "kshs.toml").write_text(settings + f"cache_dir = '{tmp_path}/cache'\naccelerator = 'tcg'\n")
    done = called(tmp_path, "worker", "--scheduler", "tls://127.0.0.1:8786")
    assert done.returncode == 2 and "leases do not work over it" in done.stderr
    assert "run kshs worker on elsewhere" in done.stderr
