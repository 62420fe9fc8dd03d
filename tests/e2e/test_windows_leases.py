# SPDX-License-Identifier: Apache-2.0
"""Leases of sealed images on Windows' machine: with a TPM each, and in each of the ways.

What boots is no Windows (windows_shaped.py); the machine, the TPM and the ways are the real ones.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import windows_shaped
from tests.e2e.command import command_line, environment
from tests.settings import vm_settings
from vm import lease as plain
from vm import reaper
from vm.config import VmConfig
from vm.domain import Domain
from vm.files import remove_tree
from vm.hypervisor import Hypervisor
from vm.shell import Shell
from vm.template import Layer
from vm.windows import lease, ways
from vm.windows.profile import Way, WindowsProfile

pytestmark = pytest.mark.e2e

MARK = "/root/prepared"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
#: TPM2_PCR_Extend of PCR 16 (which anybody may extend and reset) with 32 bytes of 0x5a, without a password.
EXTEND = bytes.fromhex(
    "8002" "00000041" "00000182" "00000010" "00000009" "40000009" "0000" "00" "0000" "00000001" "000b"
) + bytes([0x5A] * 32)  # fmt: skip
#: Holds a lease until it is killed.
HOLDER = """
import sys, time
from pathlib import Path
from vm.config import VmConfig
from vm.hypervisor import Hypervisor
from vm.windows import lease, sealed
config = VmConfig(cache_dir=Path(sys.argv[1]), runtime_dir=Path(sys.argv[2]))
image = sealed.find(config, sys.argv[3])
with Hypervisor(config) as hv, lease.acquire(hv, lease.ensure(hv, image)) as leased:
    print("leased", leased.id, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VmConfig]:
    runtime = Path(tempfile.mkdtemp(prefix="kshs-w"))  # short: socket paths are limited
    yield VmConfig(cache_dir=tmp_path_factory.mktemp("cache"), runtime_dir=runtime)
    remove_tree(runtime)


@pytest.fixture
def hypervisor(config: VmConfig) -> Iterator[Hypervisor]:
    with Hypervisor(config) as hv:
        yield hv


def guest(config: VmConfig, name: str, **settings: Any) -> Any:
    profile = WindowsProfile.model_validate({"name": name, "cpus": 1, "memory_mib": 2048, **settings})
    return windows_shaped.seal(config, vm_settings(), profile)


class Told:
    """What a person was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, text: str, fraction: float | None = None) -> None:
        self.lines.append(text)


def layer() -> Layer:
    def prepare(shell: Shell) -> None:
        shell.run(f"echo prepared >{MARK}; cp {BOOT_ID} /root/boot-id", check=True)

    return Layer("mark", prepare)


def processes(config: VmConfig) -> list[str]:
    """All that run below the runtime directory; what has ended has no command line any more."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"{config.runtime_dir}/" in line:
            found.append(line.split(" ", 1)[0].rpartition("/")[2])
    return sorted(found)


def read_pcr(leased: plain.Lease) -> str:
    return leased.shell.run("cat /sys/class/tpm/tpm0/pcr-sha256/16", check=True).text


def extend_pcr(leased: plain.Lease) -> str:
    """The TPM's answer in hex; a TPM reads a command whole and answers on the same descriptor."""
    octal = "".join(f"\\{byte:03o}" for byte in EXTEND)
    script = f"exec 3<>/dev/tpm0; printf '{octal}' >&3; dd bs=4096 count=1 <&3 2>/dev/null | od -An -tx1"
    return leased.shell.run(script, check=True).text.replace(" ", "")


def is_prepared(leased: plain.Lease) -> None:
    """It has what the template was given, and nothing of another lease."""
    assert leased.shell.run(f"cat {MARK}", check=True).text == "prepared"
    is_clean(leased)


def is_clean(leased: plain.Lease) -> None:
    """It has nothing of another lease, and leaves something for the next not to have."""
    assert leased.shell.run("test -e /root/left-here").exit_code == 1
    leased.shell.run("echo x >/root/left-here && sync", check=True)


def same_start(leased: plain.Lease) -> bool:
    """Whether it goes on where the template was, and has not been started anew."""
    return leased.shell.run(f"cmp -s {BOOT_ID} /root/boot-id").exit_code == 0


def test_each_lease_has_a_tpm_of_its_own(hypervisor: Hypervisor, config: VmConfig) -> None:
    image = guest(config, "with-tpm", tpm=True)
    before = {path.name: path.read_bytes() for path in image.tpm.iterdir()}
    template = lease.ensure(hypervisor, image)
    assert template.way is Way.FORK, "QEMU carries the TPM's state over to its forks"
    template.in_use.close()
    with lease.acquire(hypervisor, template) as one, lease.acquire(hypervisor, template) as other:
        assert processes(config).count("swtpm") == 2
        for leased in (one, other):
            version = leased.shell.run("cat /sys/class/tpm/tpm0/tpm_version_major", check=True)
            assert version.text == "2"
            assert read_pcr(leased) == "0" * 64
            is_clean(leased)
        answer = extend_pcr(one)
        assert answer[12:20] == "00000000", f"the TPM refuses: {answer}"
        assert read_pcr(one) != "0" * 64
        assert read_pcr(other) == "0" * 64
    assert processes(config) == []
    assert not list((hypervisor.slot / "leases").iterdir())
    with lease.acquire(hypervisor, template) as later:
        assert read_pcr(later) == "0" * 64
        is_clean(later)
    assert {path.name: path.read_bytes() for path in image.tpm.iterdir()} == before, "it is sealed"


def test_a_killed_run_leaves_no_tpm(config: VmConfig) -> None:
    """On the template of the test before, or on one of its own."""
    if not (config.cache_dir / "windows/with-tpm").exists():
        guest(config, "with-tpm", tpm=True)
    run = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(config.cache_dir), str(config.runtime_dir), "with-tpm"],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    try:
        assert run.stdout.readline().startswith("leased")
        assert {"swtpm", "qemu-system-x86_64"} <= set(processes(config))
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
        run.stdout.close()
    assert "swtpm" in processes(config), "it serves a guest that nobody holds any more"
    gone = reaper.reap(config)
    assert any(line.startswith("guest kshs-") for line in gone), gone
    assert processes(config) == []


def test_a_shell_opens_in_a_sealed_guest(config: VmConfig, tmp_path: Path) -> None:
    if not (config.cache_dir / "windows/with-tpm").exists():
        guest(config, "with-tpm", tpm=True)
    settings = f'[vm]\ncache_dir = "{config.cache_dir}"\nruntime_dir = "{config.runtime_dir}"\n'
    (tmp_path / "kshs.toml").write_text(settings)
    done = subprocess.run(
        command_line("shell", "--guest", "with-tpm", "--bare", "--linux"),
        cwd=tmp_path,
        env=environment(),
        input="cat /sys/class/tpm/tpm0/tpm_version_major; whoami; exit 7\n",
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 7, done.stdout + done.stderr
    assert "it goes when this shell ends" in done.stdout
    assert "\n2\n" in done.stdout
    assert processes(config) == []


def test_a_way_that_does_not_work_is_left_for_the_next(
    hypervisor: Hypervisor, config: VmConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fork's state is torn, so QEMU itself refuses it: what follows is a real guest by a real way."""
    whole = Domain.save_devices

    def torn(domain: Domain, state: Path, timeout: float = 60) -> None:
        whole(domain, state, timeout)
        state.write_bytes(state.read_bytes()[: state.stat().st_size // 2])

    monkeypatch.setattr(Domain, "save_devices", torn)
    image, told = guest(config, "unforkable"), Told()
    template = lease.ensure(hypervisor, image, layer(), told)
    assert template.way is Way.SAVED
    (line,) = [line for line in told.lines if "do not work here" in line]
    assert line.startswith("warning: guest unforkable: leases by 'fork' do not work here (")
    assert line.endswith("; taking 'saved'")
    assert set(ways.failed(hypervisor, image)) == {Way.FORK}
    evidence = ways.evidence_of(image, Way.FORK)
    assert f"; see {evidence})" in line
    assert (evidence / "com1.log").exists()
    assert not ways.evidence_of(image, Way.SAVED).exists()
    with lease.acquire(hypervisor, template) as one, lease.acquire(hypervisor, template) as other:
        assert same_start(one) and same_start(other)
        is_prepared(one)
        is_prepared(other)
    monkeypatch.undo()
    again = Told()
    assert lease.ensure(hypervisor, image, layer(), again).path == template.path
    assert again.lines == [], "what is on record is neither tried nor told again"
    assert not list(config.templates_dir.glob("*.build"))


def test_guests_start_from_the_disk_where_that_is_asked_for(hypervisor: Hypervisor, config: VmConfig) -> None:
    image = guest(config, "from-disk", leases="boot", tpm=True)
    template = lease.ensure(hypervisor, image, layer())
    assert template.way is Way.BOOT
    assert not template.state.exists() and not template.ram.exists()
    with lease.acquire(hypervisor, template) as leased:
        assert not same_start(leased)
        assert leased.shell.run("cat /sys/class/tpm/tpm0/tpm_version_major", check=True).text == "2"
        is_prepared(leased)
    assert processes(config) == []
