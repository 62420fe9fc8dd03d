# SPDX-License-Identifier: Apache-2.0
"""`kshs provision` from an ISO to a contract run, with a double in the place of Windows Setup.

The double (setup_double/) boots on the same machine as Windows would, reads the same answer file and CD, and
runs the same scripts, in Wine's cmd.  Everything on the host is the real thing.
"""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import command
from tests.e2e.setup_double import build
from vm.config import VmConfig

pytestmark = pytest.mark.e2e

GUEST = """
[guests.{name}]
edition = "{edition}"
image_index = 2
minimum_build = {build}
cpus = 1
memory_mib = 2048
disk_gib = 32
firmware = "{firmware}"
evaluation_days = {days}
settle_seconds = [1, 120]
"""
LIMITS = {"installing": 10.0, "first boot": 8.0, "provisioning": 15.0, "settled": 8.0}
"""Minutes for what goes well, on a host without KVM that others use too."""
TIMEOUT = 2400.0


@pytest.fixture(scope="module")
def double() -> build.Double:
    return build.ensure(VmConfig())


@dataclass(frozen=True)
class Bench:
    """A cache and a configuration of a test's own."""

    folder: Path
    firmware: str
    iso: Path

    @property
    def name(self) -> str:
        return f"double-{self.firmware}"

    @property
    def work(self) -> Path:
        return self.folder / "cache/windows" / f"{self.name}.work"

    @property
    def sealed(self) -> Path:
        return self.folder / "cache/windows" / self.name

    def configure(self, days: int = 180) -> Path:
        text = f'[vm]\ncache_dir = "{self.folder / "cache"}"\n'
        text += GUEST.format(
            name=self.name, edition=build.EDITION, build=build.BUILD, firmware=self.firmware, days=days
        )
        path = self.folder / "kshs.toml"
        path.write_text(text)
        return path

    def arguments(self, *more: str, **limits: float) -> list[str]:
        allowed = {**LIMITS, **{key.replace("_", " "): value for key, value in limits.items()}}
        sha256 = hashlib.sha256()
        with self.iso.open("rb") as stream:
            while block := stream.read(1 << 22):
                sha256.update(block)
        given = [word for state, minutes in allowed.items() for word in ("--limit", f"{state}={minutes}")]
        vouched = ["--iso", str(self.iso), "--sha256", sha256.hexdigest()]
        return command.command_line("provision", self.name, *vouched, *given, *more)

    def start(self, *more: str, **limits: float) -> subprocess.Popen[str]:
        self.configure()
        return subprocess.Popen(
            self.arguments(*more, **limits),
            cwd=self.folder,
            env=command.environment(CI="1"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def provision(self, *more: str, **limits: float) -> tuple[int, str]:
        process = self.start(*more, **limits)
        output, _ = process.communicate(timeout=TIMEOUT)
        return process.returncode, output

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.work / "state.json").read_text())
        return found


def bench(tmp_path: Path, double: build.Double, firmware: str, fault: str = "none") -> Bench:
    iso = double.iso if fault == "none" else double.with_fault(fault, tmp_path / "double.iso")
    return Bench(tmp_path, firmware, iso)


def check_sealed(made: Bench) -> None:
    manifest = json.loads((made.sealed / "manifest.json").read_text())
    assert manifest["medium"]["sha256"] and manifest["image"]["index"] == 2
    assert manifest["image"]["edition"] == build.EDITION
    assert manifest["family"] == "wine", "the family is what answered"
    assert (manifest["firmware"] is not None) == (made.firmware == "uefi")
    assert manifest["evaluation_days"] == 180
    assert manifest["info"]["agent"]["pointer_size"] == 8
    assert (made.sealed / "disk.qcow2").stat().st_mode & 0o777 == 0o400
    disk = str(made.sealed / "disk.qcow2")
    chain = subprocess.run(["qemu-img", "info", "--output=json", disk], capture_output=True, check=True)
    assert "backing-filename" not in json.loads(chain.stdout), "a sealed disk stands alone"
    assert not made.work.exists()


def contract_run(made: Bench) -> None:
    """The leases come from the sealed guest, on the machine that Windows has."""
    ran = command.run(
        made.folder / "run", "--guest", made.name, "--config", made.folder / "kshs.toml", "-k", "H4"
    )
    assert ran.exit_code == 0, ran.output
    verdicts = ran.verdicts()
    assert verdicts["passed"] >= 5, ran.output
    assert set(verdicts) <= {"passed", "skipped"}, ran.output
    assert list((made.folder / "cache/templates").glob(f"{made.name}-*/manifest.json"))


def test_uefi_from_iso_to_contract_run(tmp_path: Path, double: build.Double) -> None:
    made = bench(tmp_path, double, "uefi")
    code, output = made.provision()
    assert code == 0, output
    for state in ("media checked", "installing", "first boot", "provisioning", "settled"):
        assert f"{made.name}: {state}" in output, output
    check_sealed(made)
    contract_run(made)


def test_bios_interrupted_and_resumed(tmp_path: Path, double: build.Double) -> None:
    """Ctrl-C in the middle of Setup, which Windows does not survive unless the machine is saved whole."""
    made = bench(tmp_path, double, "bios")
    process = made.start()
    watchdog = threading.Timer(TIMEOUT, process.kill)
    watchdog.start()
    assert process.stdout is not None
    for line in process.stdout:
        if f"{made.name}: installing" in line:
            break
    time.sleep(8)
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait() == 3, rest
    watchdog.cancel()
    assert "interrupted" in rest
    assert "--resume" in rest
    state = made.state()
    assert state["saved"] and state["state"] == "installing", state
    code, output = made.provision("--resume")
    assert code == 0, output
    assert "media checked" not in output, "it began afresh"
    check_sealed(made)
    contract_run(made)


SHOWN = {"reason.txt", "com1.log", "debugcon.log", "screenshot.png"}


@pytest.mark.parametrize(
    ("fault", "firmware", "state", "message", "limits"),
    [
        ("hang-in-setup", "uefi", "installing", r"took longer than", {"installing": 1.5}),
        ("wrong-edition", "bios", "installing", r"took longer than", {"installing": 1.5}),
        ("reboot-loop", "bios", "first boot", r"restarts over and over \(7 times", {}),
        ("disk-full", "bios", "provisioning|first boot", r"step first failed with exit code \d+", {}),
        ("sshd-missing", "bios", "provisioning", r"step openssh failed with exit code 1060", {}),
        ("no-network", "uefi", "settled", r"no SSH server .* network does not answer", {"settled": 2.5}),
    ],
)
def test_a_fault_ends_as_it_should(
    tmp_path: Path,
    double: build.Double,
    fault: str,
    firmware: str,
    state: str,
    message: str,
    limits: dict[str, float],
) -> None:
    made = bench(tmp_path, double, firmware, fault)
    code, output = made.provision(**limits)
    assert code == 3, output
    last = output.strip().splitlines()[-1]
    assert re.search(message, last), output
    failure = made.state()["failure"]
    assert re.fullmatch(state, failure["state"]), failure
    folder = Path(failure["evidence"])
    assert {path.name for path in folder.iterdir()} >= SHOWN
    assert (folder / "screenshot.png").read_bytes().startswith(b"\x89PNG")
    assert str(folder) in last and "--resume" in last
    assert not made.sealed.exists()
    if fault == "sshd-missing":
        assert "This system has no service sshd" in (folder / "com1.log").read_text(errors="replace")


def test_a_failed_step_is_tried_again(tmp_path: Path, double: build.Double) -> None:
    made = bench(tmp_path, double, "bios", "first-logon-failure")
    code, output = made.provision()
    assert code == 3, output
    assert re.search(r"step testsigning failed with exit code 5: Access is denied", output), output
    failure = made.state()["failure"]
    assert failure["state"] == "provisioning"
    # sshd is up by then, so the guest's own log can be had.
    assert "Access is denied" in (Path(failure["evidence"]) / "provision.log").read_text(errors="replace")
    code, output = made.provision("--resume")
    assert code == 0, output
    assert "installing" not in output, "what was done was done again"
    check_sealed(made)
