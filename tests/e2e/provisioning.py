# SPDX-License-Identifier: Apache-2.0
"""`kshs provision` as a user calls it, for the tests that install from the setup double."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.language import scenario_file
from tests.e2e import command
from tests.e2e.setup_double import build
from tests.settings import vm_settings

GUEST = """
[guests.{name}]
edition = "{edition}"
image_index = 2
minimum_build = {build}
cpus = 1
memory_mib = 2048
disk_gib = 32
firmware = "{firmware}"
tpm = {tpm}
evaluation_days = 180
settle_seconds = [1, 120]
"""
LIMITS = {"installing": 10.0, "first boot": 8.0, "provisioning": 15.0, "settled": 8.0}
"""Minutes for what goes well: more than five times what it takes on two idle cores without KVM."""
TIMEOUT = 2400.0
_LARGE = 32 << 20
"""Bytes; disks, media, memory: what need not outlive a test."""


@dataclass(frozen=True)
class Bench:
    """A cache, a configuration and a medium of a test's own."""

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

    def arguments(self, *more: str, **limits: float) -> list[str]:
        allowed = {**LIMITS, **{key.replace("_", " "): value for key, value in limits.items()}}
        given = [word for state, minutes in allowed.items() for word in ("--limit", f"{state}={minutes}")]
        vouched = ["--iso", str(self.iso), "--sha256", _sha256(self.iso)]
        return command.command_line("provision", self.name, *vouched, *given, *more)

    @contextlib.contextmanager
    def start(self, *more: str, **limits: float) -> Iterator[subprocess.Popen[str]]:
        """A running `kshs provision`; it is ended when it takes longer than anything may."""
        text = f'[vm]\ncache_dir = "{self.folder / "cache"}"\n'
        # As Windows 11 has it; the double asks nothing of its TPM, and its machine has to live with one.
        tpm = str(self.firmware == "uefi").lower()
        text += GUEST.format(
            name=self.name, edition=build.EDITION, build=build.BUILD, firmware=self.firmware, tpm=tpm
        )
        (self.folder / "kshs.toml").write_text(text)
        process = subprocess.Popen(
            # A shell starts what runs in its background with Ctrl-C ignored, and that is passed on.
            ["env", "--default-signal=INT", *self.arguments(*more, **limits)],
            cwd=self.folder,
            env=command.environment(CI="1"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        watchdog = threading.Timer(TIMEOUT, process.kill)
        watchdog.start()
        try:
            with process:
                yield process
        except BaseException:
            process.kill()
            raise
        finally:
            watchdog.cancel()

    def provision(self, *more: str, **limits: float) -> tuple[int, str]:
        with self.start(*more, **limits) as process:
            assert process.stdout is not None
            output = process.stdout.read()
        return process.returncode, output

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.work / "state.json").read_text())
        return found

    def clear(self) -> None:
        """Removes what is large; evidence and logs stay."""
        for path in self.folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_size >= _LARGE:
                path.unlink()


@functools.cache
def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def benches(folder: Path) -> Iterator[Callable[..., Bench]]:
    """Makes benches in `folder` by firmware and faults, and clears them at the end."""
    double = build.ensure(vm_settings())
    made: list[Bench] = []

    def make(firmware: str, *faults: str) -> Bench:
        iso = double.with_faults(faults, folder / "double.iso") if faults else double.iso
        made.append(Bench(folder, firmware, iso))
        return made[-1]

    try:
        yield make
    finally:
        for each in made:
            each.clear()


def check_sealed(made: Bench) -> None:
    """The sealed image is complete, stands alone, and says what it is made of."""
    manifest = json.loads((made.sealed / "manifest.json").read_text())
    assert manifest["medium"]["sha256"] and manifest["image"]["index"] == 2
    assert manifest["image"]["edition"] == build.EDITION
    assert manifest["family"] == "wine", "the family is what answered"
    assert (manifest["firmware"] is not None) == (made.firmware == "uefi")
    assert (made.sealed / "tpm").is_dir() == (made.firmware == "uefi")
    assert manifest["evaluation_days"] == 180
    assert manifest["info"]["agent"]["pointer_size"] == 8
    assert (made.sealed / "disk.qcow2").stat().st_mode & 0o777 == 0o400
    disk = str(made.sealed / "disk.qcow2")
    chain = subprocess.run(["qemu-img", "info", "--output=json", disk], capture_output=True, check=True)
    assert "backing-filename" not in json.loads(chain.stdout), "a sealed disk stands alone"
    assert not made.work.exists()


def contract_run(made: Bench) -> None:
    """A run of some scenarios of the contract, in leases from the sealed guest."""
    settings = ("--guest", made.name, "--config", made.folder / "kshs.toml")
    some = ("-k", "H4 and irp", scenario_file.CATALOGUE / "lengths.toml")
    ran = command.run(made.folder / "run", *settings, *some)
    assert ran.exit_code == 0, ran.output
    verdicts = ran.verdicts()
    assert verdicts["passed"] >= 5, ran.output
    assert set(verdicts) <= {"passed", "skipped"}, ran.output
    assert list((made.folder / "cache/templates").glob(f"{made.name}-*/manifest.json"))


SHOWN = {"reason.txt", "com1.log", "debugcon.log", "screenshot.png"}


def check_failed(made: Bench, output: str, state: str, message: str) -> Path:
    """It ended in `state` for the reason `message` (regular expressions); the folder of the evidence."""
    import re

    last = output.strip().splitlines()[-1]
    assert re.search(message, last), output
    failure = made.state()["failure"]
    assert re.fullmatch(state, failure["state"]), failure
    folder = Path(failure["evidence"])
    assert {path.name for path in folder.iterdir()} >= SHOWN
    assert (folder / "screenshot.png").read_bytes().startswith(b"\x89PNG")
    assert str(folder) in last and "--resume" in last
    assert not made.sealed.exists()
    return folder
