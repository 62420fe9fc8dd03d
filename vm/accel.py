# SPDX-License-Identifier: Apache-2.0
"""KVM or TCG, decided by what a trial guest does.

``/dev/kvm`` can lie: on some hosts it opens and creates virtual machines although the processor offers no
virtualisation, and guests hang without a word.  libvirt's capabilities list KVM there, too.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vm.commands import find, run
from vm.config import VmConfig
from vm.errors import CommandFailed, VmError
from vm.files import digest_of, private_directory, read_json, write_json

SOURCE = Path(__file__).with_name("probe.S")
TRIAL_SECONDS = 2.0
"""KVM needs a few hundredths of a second for the trial, TCG a tenth."""
REACHED_THE_END = 67
"""QEMU's exit code when the trial guest came through."""
_STAGES = {0x11: "real mode", 0x22: "protected mode", 0x33: "long mode", 0x44: "the end"}
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Accelerator:
    """What guests run on, and why."""

    kind: Literal["kvm", "tcg"]
    reason: str


@dataclass(frozen=True)
class Trial:
    """How far the trial guest came."""

    passed: bool
    reached: str
    seconds: float
    complaint: str


def probe(config: VmConfig | None = None) -> Accelerator:
    """The accelerator to use; the trial's result is kept until the host boots again.

    Raises:
        VmError: the configuration demands KVM and it does not work here.
    """
    settings = config or VmConfig()
    if settings.accelerator == "tcg":
        return Accelerator("tcg", "the configuration says so")
    found = _detect(settings)
    if settings.accelerator == "kvm" and found.kind != "kvm":
        raise VmError(f"KVM is demanded and does not work: {found.reason}", hint="set accelerator = 'auto'")
    return found


def _detect(
    config: VmConfig, device: Path = Path("/dev/kvm"), cpuinfo: Path = Path("/proc/cpuinfo")
) -> Accelerator:
    if not device.exists():
        return Accelerator("tcg", f"there is no {device}")
    if not os.access(device, os.R_OK | os.W_OK):
        return Accelerator("tcg", f"{device} may not be opened by this user")
    flags = next((line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), "").split()
    if not {"vmx", "svm"} & set(flags):
        return Accelerator("tcg", f"{device} opens, but the processor shows neither vmx nor svm")
    emulator = find(config.qemu)
    if emulator is None:
        return Accelerator("tcg", f"{config.qemu} is not installed, so KVM cannot be tried")
    return _tried(config, emulator)


def _tried(config: VmConfig, emulator: str) -> Accelerator:
    """The trial's verdict, from the file of this boot or made now."""
    cache = private_directory(config.cache_dir) / "accelerator.json"
    key = {"boot": _BOOT_ID.read_text().strip(), "probe": digest_of(SOURCE.read_text()), "qemu": emulator}
    known = read_json(cache)
    if known is None or known.get("key") != key:
        rom = assemble(config)
        control = trial(rom, "tcg", emulator, seconds=10 * TRIAL_SECONDS)
        if not control.passed:
            # Without a control that passes, a failure under KVM would say nothing.
            return Accelerator("tcg", f"the trial guest does not even run under TCG: {control.complaint}")
        outcome = trial(rom, "kvm", emulator)
        known = {"key": key, "passed": outcome.passed, "reached": outcome.reached, "seconds": outcome.seconds}
        write_json(cache, known)
    if known["passed"]:
        return Accelerator("kvm", f"a trial guest ran to its end in {known['seconds']:.2f} s")
    return Accelerator("tcg", f"a trial guest under KVM got no further than {known['reached']}")


def assemble(config: VmConfig) -> Path:
    """The trial guest's ROM, assembled from probe.S where it is not there yet.

    Raises:
        VmError: the assembler is missing or failed.
    """
    directory = private_directory(config.cache_dir)
    rom = directory / f"probe-{digest_of(SOURCE.read_text())[:16]}.rom"
    if rom.exists():
        return rom
    with tempfile.TemporaryDirectory(dir=directory) as name:
        scratch = Path(name)
        compiled, linked = str(scratch / "probe.o"), str(scratch / "probe.rom")
        flat = ["--image-base=0", "-Ttext=0", "-e", "0", "--oformat=binary"]
        steps = (
            ["clang", "--target=x86_64-elf", "-c", str(SOURCE), "-o", compiled],
            ["ld.lld", *flat, compiled, "-o", linked],
        )
        for step in steps:
            run(step, what="assembling the accelerator's trial guest")
        size = (scratch / "probe.rom").stat().st_size
        if size != 0x10000:
            raise VmError(f"the trial guest is {size} bytes long, not 65536", str(SOURCE))
        (scratch / "probe.rom").rename(rom)
    return rom


def trial(rom: Path, accelerator: str, emulator: str, seconds: float = TRIAL_SECONDS) -> Trial:
    """Runs the trial guest once."""
    begun = time.monotonic()
    with tempfile.NamedTemporaryFile() as console:
        argv = [emulator, "-nodefaults", "-no-user-config", "-display", "none", "-accel", accelerator]
        argv += ["-machine", "pc", "-m", "16", "-bios", str(rom)]
        argv += [
            "-chardev",
            f"file,id=d,path={console.name}",
            "-device",
            "isa-debugcon,iobase=0xe9,chardev=d",
        ]
        argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
        code: int | None = 0
        complaint = ""
        try:
            run(argv, what="trial guest", timeout=seconds)
        except CommandFailed as error:
            code, complaint = error.exit_code, error.message
        stages = Path(console.name).read_bytes()
    reached = _STAGES.get(stages[-1], "nowhere") if stages else "nowhere"
    return Trial(code == REACHED_THE_END, reached, round(time.monotonic() - begun, 3), complaint)
