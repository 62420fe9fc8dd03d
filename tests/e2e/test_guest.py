# SPDX-License-Identifier: Apache-2.0
"""Guests as they are: an image, a template, leases, and what is left when a run is killed."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.settings import vm_settings
from vm import image, lease, reaper, slots, template
from vm.config import VmConfig
from vm.errors import CommandFailed, GuestLost, GuestTimeout, VmError
from vm.files import remove_tree, try_lock
from vm.hypervisor import Hypervisor
from vm.recipe_wine import PACKAGES
from vm.shell import Shell
from vm.ssh import connect

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def config() -> VmConfig:
    return vm_settings()


@pytest.fixture(scope="module")
def base(config: VmConfig) -> image.Image:
    return image.ensure(config)


@pytest.fixture(scope="module")
def hypervisor(config: VmConfig) -> Iterator[Hypervisor]:
    with Hypervisor(config) as hv:
        yield hv


@pytest.fixture(scope="module")
def warm(hypervisor: Hypervisor, base: image.Image) -> template.Template:
    return template.ensure(hypervisor, base)


@pytest.fixture(scope="module")
def guest(hypervisor: Hypervisor, warm: template.Template) -> Iterator[lease.Lease]:
    """One for the tests that do not harm it."""
    with lease.acquire(hypervisor, warm) as leased:
        yield leased


def test_an_image_says_what_went_into_it(config: VmConfig, base: image.Image) -> None:
    packages = base.manifest["packages"]
    assert set(PACKAGES) <= set(packages)
    assert base.manifest["kernel"].endswith("cloud-amd64")
    assert set(base.manifest["seconds"]) == {"rootfs", "prefix", "disk", "sealed"}
    assert base.client_key.stat().st_mode & 0o777 == 0o600
    assert base.disk.stat().st_mode & 0o077 == 0
    assert image.ensure(config) == base


def test_a_guest_runs_windows_programs(guest: lease.Lease) -> None:
    done = guest.shell.run(guest.shell.wine(["cmd", "/c", "echo", "a b"]), check=True)
    assert "a b" in done.text
    assert guest.shell.run(guest.shell.wine(["cmd", "/c", "exit", "7"])).exit_code == 7
    assert guest.family == "wine"


def test_a_guest_without_a_display_says_so(guest: lease.Lease, tmp_path: Path) -> None:
    assert guest.screenshot(tmp_path / "x.png") is False


def test_commands(guest: lease.Lease) -> None:
    shell = guest.shell
    done = shell.run(["sh", "-c", 'cat; echo "$1" >&2; exit 3', "sh", "it's"], input=b"in")
    assert (done.exit_code, done.stdout, done.stderr) == (3, b"in", b"it's\n")
    assert len(shell.run("head -c 9000000 /dev/zero", timeout=60).stdout) == 9_000_000
    with pytest.raises(CommandFailed, match=r"exit code 2.*no such") as failed:
        shell.run("echo no such thing >&2; exit 2", check=True)
    assert failed.value.exit_code == 2
    begun = time.monotonic()
    with pytest.raises(GuestTimeout):
        shell.run("sleep 60", timeout=0.5)
    assert time.monotonic() - begun < 5
    assert abs(int(shell.run("date +%s").text) - time.time()) < 5


def test_a_service_that_holds_stdout_does_not_hold_the_command(guest: lease.Lease) -> None:
    begun = time.monotonic()
    assert guest.shell.run("sleep 100 & echo started").text == "started"
    assert time.monotonic() - begun < 10


def test_files(guest: lease.Lease, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(300_000))
    guest.shell.put({r"C:\kshs\new folder\data.bin": source, "/tmp/data.bin": source})
    assert guest.shell.run("cmp '/root/.wine/drive_c/kshs/new folder/data.bin' /tmp/data.bin").exit_code == 0
    guest.shell.get(r"C:\kshs\new folder\data.bin", back)
    assert back.read_bytes() == source.read_bytes()
    with pytest.raises(VmError, match="more than 1000"):
        guest.shell.get("/tmp/data.bin", back, limit=1000)
    with pytest.raises(VmError, match="cannot be copied"):
        guest.shell.get("/tmp/there is none", back)
    with pytest.raises(VmError, match="source"):
        guest.shell.put({"/proc/nowhere/x": source})


def test_a_channel_answers_at_once(guest: lease.Lease) -> None:
    with guest.shell.channel("echo for people >&2; cat; exit 5") as channel:
        times = []
        for number in range(50):
            begun = time.monotonic()
            channel.write(b"%04d" % number)
            assert channel.read(100, timeout=10) == b"%04d" % number
            times.append(time.monotonic() - begun)
        assert sorted(times)[25] < 0.05
        with pytest.raises(TimeoutError):
            channel.read(1, timeout=0.1)
        assert channel.exit_code is None
        channel.close_stdin()
        assert channel.read(1, timeout=10) == b""
        assert channel.wait(10) == 5
        assert channel.stderr_tail() == "for people\n"
        with pytest.raises(OSError, match="written"):
            channel.write(b"x")


def test_another_host_key_is_refused(guest: lease.Lease, warm: template.Template, tmp_path: Path) -> None:
    other = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    endpoint = replace(guest.endpoint, host_key=other.with_suffix(".pub").read_text())
    with pytest.raises(GuestLost, match="another host key"):
        connect(endpoint, 20)


def test_leases_are_isolated(hypervisor: Hypervisor, warm: template.Template, tmp_path: Path) -> None:
    leased_before = set((hypervisor.slot / "leases").glob("*"))
    before = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (warm.disk, warm.state, warm.ram)]
    with (
        lease.acquire(hypervisor, warm, evidence=tmp_path / "evidence") as first,
        lease.acquire(hypervisor, warm) as second,
    ):
        first.shell.run("echo mine >/root/who; sync; rm -rf /usr/share", check=True)
        assert second.shell.run("cat /root/who").exit_code != 0
        assert second.shell.run("ls /usr/share").exit_code == 0
        assert first.id != second.id
    with lease.acquire(hypervisor, warm) as third:
        assert third.shell.run("ls /usr/share").exit_code == 0
        assert third.shell.run("cat /root/who").exit_code != 0
    assert (tmp_path / "evidence" / "serial.log").is_file()
    assert set((hypervisor.slot / "leases").glob("*")) == leased_before
    after = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (warm.disk, warm.state, warm.ram)]
    assert after == before


def test_guests_are_forked_side_by_side(hypervisor: Hypervisor, warm: template.Template) -> None:
    def one(number: int) -> str:
        with lease.acquire(hypervisor, warm) as leased:
            return leased.shell.run(["echo", str(number)], check=True).text

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(one, range(3))) == ["0", "1", "2"]


def test_a_layer_is_prepared_once(hypervisor: Hypervisor, base: image.Image) -> None:
    calls = []

    def prepare(shell: Shell) -> None:
        calls.append(shell)
        shell.run("echo prepared >/root/layer", check=True)
        shell.run(shell.family.background("cat", "/root/cat.log"), check=True)

    layer = template.Layer(uuid.uuid4().hex, prepare)
    made = template.ensure(hypervisor, base, layer)
    assert template.ensure(hypervisor, base, layer) == made
    assert len(calls) == 1
    with lease.acquire(hypervisor, made) as leased:
        assert leased.shell.run("cat /root/layer").text == "prepared"
        assert leased.shell.run("pidof cat").exit_code == 0
    with lease.acquire(hypervisor, template.ensure(hypervisor, base)) as plain:
        assert plain.shell.run("cat /root/layer").exit_code != 0
    # Else runs of this test would push templates that people use out of the cache.
    made.in_use.close()
    remove_tree(made.path)


def abandoned(templates: Path) -> list[Path]:
    """Half-made templates that nobody is making: another worker's run may be at one in the same cache."""
    found = []
    for build in templates.glob("wine-layer-*.build"):
        lock = try_lock(build.with_suffix(".lock"))
        if lock is not None:
            if build.exists():
                found.append(build)
            lock.release()
    return found


def test_a_layer_that_fails_leaves_nothing(hypervisor: Hypervisor, base: image.Image) -> None:
    def prepare(shell: Shell) -> None:
        shell.run("echo the driver was refused >&2; exit 1", check=True)

    running = list(slots.machines(hypervisor.slot))
    layer = template.Layer(uuid.uuid4().hex, prepare)
    with pytest.raises(VmError, match="the driver was refused"):
        template.ensure(hypervisor, base, layer)
    assert list(slots.machines(hypervisor.slot)) == running
    assert not abandoned(hypervisor.config.templates_dir)


def test_a_killed_machine_is_noticed(hypervisor: Hypervisor, warm: template.Template) -> None:
    with lease.acquire(hypervisor, warm) as leased:
        assert leased.events.describe() == "the guest is running"
        assert leased.pid is not None
        os.kill(leased.pid, signal.SIGKILL)
        begun = time.monotonic()
        with pytest.raises(GuestLost):
            leased.shell.run("true", timeout=30)
        assert time.monotonic() - begun < 5
        assert leased.events.wait(lambda events: events.stopped, 10)
        assert not leased.events.crashed
        assert "without being asked" in leased.events.describe()


def test_a_panic_is_noticed(hypervisor: Hypervisor, warm: template.Template) -> None:
    with lease.acquire(hypervisor, warm) as leased:
        with pytest.raises((GuestLost, GuestTimeout)):
            leased.shell.run("echo c >/proc/sysrq-trigger", timeout=2)
        assert leased.events.wait(lambda events: events.crashed, 10)
        assert "crashed" in leased.events.describe()
        assert "sysrq triggered crash" in (leased.evidence_dir / "serial.log").read_text(errors="replace")


def test_a_process_has_one_hypervisor(config: VmConfig, hypervisor: Hypervisor) -> None:
    with pytest.raises(VmError, match="one hypervisor"), Hypervisor(config):
        pass
    assert hypervisor.slot.is_dir()


def alive(pid: int) -> bool:
    """Whether the process runs; what is dead and waits for its parent has no command line any more."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except FileNotFoundError:
        return False


HOLDER = """
import sys, time
from tests.settings import vm_settings
from vm import image, lease, template
from vm.files import remove_tree, try_lock
from vm.hypervisor import Hypervisor

def hang(shell):
    print(hv.slot, flush=True)
    time.sleep(1000)

config = vm_settings()
with Hypervisor(config) as hv:
    layer = template.Layer("never finished " + sys.argv[2], hang) if sys.argv[1] == "template" else None
    made = template.ensure(hv, image.ensure(config), layer)
    with lease.acquire(hv, made) as leased:
        hang(leased.shell)
"""


def _abandoned_builds(config: VmConfig) -> list[Path]:
    """Half-made templates that nobody works on; another test, or another run, may be making one."""
    left = []
    for part in config.templates_dir.glob("*.build"):
        lock = try_lock(part.with_suffix(".lock"))
        if lock is not None:
            lock.release()
            left.append(part)
    return left


@pytest.mark.parametrize("phase", ["lease", "template"])
def test_a_killed_run_is_reaped(
    config: VmConfig, hypervisor: Hypervisor, warm: template.Template, phase: str
) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", HOLDER, phase, uuid.uuid4().hex], stdout=subprocess.PIPE, text=True
    )
    watchdog = threading.Timer(120, run.kill)
    watchdog.start()
    try:
        assert run.stdout is not None
        line = run.stdout.readline().strip()
        assert line, "the run that was to be killed ended by itself"
        slot = Path(line)
        pids = [pid for pid, _ in slots.machines(slot)]
        assert len(pids) == 1
        reaper.reap(config)
        assert [pid for pid, _ in slots.machines(slot)] == pids, "a live run's guest was touched"
    finally:
        watchdog.cancel()
        run.kill()
        run.wait()
    assert alive(pids[0])
    gone = reaper.reap(config)
    assert not alive(pids[0])
    assert any(str(pids[0]) in line for line in gone)
    assert {path.name for path in slot.iterdir()} <= set(slots.KEPT)
    assert not _abandoned_builds(config)
    with lease.acquire(hypervisor, warm) as again:
        assert again.shell.run("true").exit_code == 0
