# SPDX-License-Identifier: Apache-2.0
"""The last part of making a Windows guest: it is asked who it is, and becomes an image."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vm.commands import run
from vm.errors import GuestLost, GuestTimeout, VmError
from vm.files import private_directory, remove_tree, write_json
from vm.hypervisor import Hypervisor
from vm.shell import Shell
from vm.ssh import connect
from vm.template import overlay
from vm.windows import domain, plan, sealed, tpm
from vm.windows.machine import Hardware, Machine
from vm.windows.media import digest
from vm.windows.profile import Firmware
from vm.windows.sealed import WindowsImage
from vm.windows.state import now
from vm.words import printable

AGENT = r"C:\kshs\kshsctl.exe"
_FIRMWARE_NAMES = ("code", "variables")


class NoAnswerError(VmError):
    """The finished guest does not answer over SSH as it must."""


@dataclass(frozen=True)
class Answer:
    """What the guest said of itself."""

    family: str
    info: Mapping[str, Any]


@contextlib.contextmanager
def trial(hv: Hypervisor, what: plan.Plan, layout: plan.Layout, folder: Path) -> Iterator[Machine]:
    """The finished guest, running on throw-away copies and without any CD, as its leases will."""
    private_directory(folder)
    overlay(folder / "disk.qcow2", layout.disk, "qcow2")
    if what.profile.firmware is Firmware.UEFI:
        shutil.copyfile(layout.variables, folder / "uefi-vars.fd")
    if what.profile.tpm:
        tpm.copy(layout.tpm, folder / "tpm")
    hardware = Hardware(what.profile, folder / "disk.qcow2", folder / "uefi-vars.fd")
    with Machine(hv, hardware, folder) as machine:
        machine.resume()
        yield machine


def ask(machine: Machine, keys: Path, seconds: float) -> Answer:
    """Connects with the pinned key and has the agent say what the guest is.

    Raises:
        NoAnswerError: it cannot be reached, shows another key, its agent fails, or test signing is off.
    """
    try:
        transport = connect(sealed.endpoint(keys, machine.port), seconds, booting=True)
    except GuestTimeout:
        raise NoAnswerError(f"no SSH server within {seconds:.0f} s: {_silence(machine.port)}") from None
    except GuestLost as error:
        raise NoAnswerError(f"SSH is refused: {error.message}") from None
    try:
        family = sealed.family_of(transport)
        shell = Shell(transport, family, "the guest")
        done = shell.run(shell.wine([AGENT, "info"]), timeout=max(60.0, seconds / 2))
        info = _object(done.stdout)
        if done.exit_code != 0 or info is None:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            fails = f"fails with exit code {done.exit_code}" if done.exit_code else "gives no JSON object"
            raise NoAnswerError(f"the agent {fails}" + (f": {printable(said[-1])}" if said else ""))
        if info.get("test_signing") is False:
            raise NoAnswerError("test signing is off, so no test-signed driver would load")
        return Answer(family.name, info)
    except NoAnswerError:
        raise
    except VmError as error:
        raise NoAnswerError(f"the guest answers and then fails: {error}") from None
    finally:
        transport.close()


def _silence(port: int) -> str:
    """What a silent guest's forwarded port shows.

    QEMU takes every connection itself.  When the guest's system refuses it, QEMU closes it at once; when
    nobody there answers at all, it stays open.
    """
    begun = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=3) as link:
            link.settimeout(3)
            if link.recv(1):
                return "it answers by now"
    except TimeoutError:
        return "the guest's network does not answer"
    except OSError:
        pass
    took = time.monotonic() - begun
    return "the guest's network answers, but nothing listens on port 22" if took < 3 else "it stays silent"


def _object(raw: bytes) -> Mapping[str, Any] | None:
    text = raw.decode("utf-8", errors="replace")
    start = text.find("{")
    try:
        value = json.loads(text[start:]) if start >= 0 else None
    except (ValueError, RecursionError):  # the guest may nest it as deep as it likes
        return None
    return value if isinstance(value, dict) else None


def seal(
    hv: Hypervisor, what: plan.Plan, layout: plan.Layout, home: Path, answer: Answer, installed: str
) -> WindowsImage:
    """Writes the image beside the work, complete, and then puts it in its place.

    Raises:
        VmError: a file cannot be written.
    """
    part = home.with_name(f"{home.name}.part")
    remove_tree(part)
    private_directory(part)
    # One file without a backing file, and without what Setup wrote and deleted again.
    run(
        ["qemu-img", "convert", "-O", "qcow2", str(layout.disk), str(part / "disk.qcow2")],
        what="writing the sealed disk",
    )
    (part / "disk.qcow2").chmod(0o400)
    firmware = None
    if what.profile.firmware is Firmware.UEFI:
        shutil.copyfile(layout.variables, part / "uefi-vars.fd")
        pair = domain.firmware_pair()
        firmware = {name: digest(getattr(pair, name)) for name in _FIRMWARE_NAMES}
    if what.profile.tpm:
        tpm.copy(layout.tpm, part / "tpm")
    for name in ("client_key", "client_key.pub", "host_key.pub", "password"):
        shutil.copy2(layout.folder / name, part / name)
    openssh = what.request.openssh
    image = what.image
    manifest = {
        "digest": what.digest,
        "name": what.profile.name,
        "recipe": what.profile.name,
        "family": answer.family,
        "profile": what.profile.model_dump(mode="json", exclude={"devices"}),
        "made": now(),
        "installed": installed,
        "evaluation_days": what.profile.evaluation_days,
        "medium": {
            "path": str(what.medium.path.absolute()),
            "size": what.medium.size,
            "sha256": what.medium.sha256,
        },
        "image": {
            "index": image.index,
            "name": image.name,
            "edition": image.edition,
            "build": image.build,
            "revision": image.revision,
        },
        "inputs": what.inputs,
        "openssh": {"file": openssh.name, "sha256": digest(openssh)} if openssh else None,
        "qemu": hv.qemu_version,
        "accelerator": hv.accelerator.kind,
        "firmware": firmware,
        "tpm": {"swtpm": tpm.version(), "sha256": digest(part / "tpm" / tpm.STATE_FILE)}
        if what.profile.tpm
        else None,
        "disk_sha256": digest(part / "disk.qcow2"),
        "info": dict(answer.info),
        "bytes_on_disk": {p.name: p.stat().st_blocks * 512 for p in sorted(part.rglob("*")) if p.is_file()},
    }
    write_json(part / "manifest.json", manifest)
    remove_tree(home)
    part.rename(home)
    found = sealed.find(hv.config, what.profile.name)
    if found is None:
        raise VmError("the image that was just sealed cannot be read", str(home))
    return found
