# SPDX-License-Identifier: Apache-2.0
"""A guest's TPM 2.0: swtpm, one process beside each QEMU, its state a folder beside the guest's disk.

swtpm is started here and not by libvirt, because the state must be the guest's own wherever the guest is: in
the making, in the sealed image, in a template, in each lease.  It has one client; when QEMU ends, however it
ends, swtpm ends too (``--terminate``), and one that never had a client is found by its slot (`vm.slots`).
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from vm import slots
from vm.commands import require, run
from vm.errors import VmError
from vm.files import private_directory, remove_tree

STATE_FILE = "tpm2-00.permall"
"""What swtpm keeps over a power cycle: seeds, keys, NV indexes."""
_START_SECONDS = 20.0


def manufacture(state: Path) -> None:
    """A new TPM with its endorsement keys, and the SHA-256 bank alone, as libvirt makes one.

    It has no certificate: nobody could check one that a local authority signed.

    Raises:
        VmError: swtpm's tools are not installed, or failed.
    """
    remove_tree(state)
    private_directory(state)
    # swtpm_setup starts swtpm by its name; without it, what it says is no help.
    require("swtpm")
    run(
        [
            "swtpm_setup",
            "--tpm2",
            "--tpmstate",
            f"dir://{state}",
            "--createek",
            "--pcr-banks",
            "sha256",
            "--lock-nvram",
            "--not-overwrite",
        ],
        what="making the guest's TPM",
        timeout=120,
    )
    if not (state / STATE_FILE).is_file():
        raise VmError("swtpm_setup made no TPM", str(state), "run swtpm_setup --tpm2 --createek by hand")


def copy(source: Path, target: Path) -> None:
    """A TPM of the same state, for a guest on a copy of the disk.

    Raises:
        VmError: there is no TPM at `source`.
    """
    if not (source / STATE_FILE).is_file():
        raise VmError("the state of the guest's TPM is missing", str(source / STATE_FILE))
    remove_tree(target)
    private_directory(target)
    shutil.copyfile(source / STATE_FILE, target / STATE_FILE)


def version() -> str:
    """As swtpm says it.

    Raises:
        VmError: it is not installed.
    """
    text = run(["swtpm", "--version"], what="asking swtpm for its version").decode(errors="replace")
    match = re.search(r"version ([0-9.]+)", text)
    return match[1] if match else "unknown"


class Tpm:
    """One running TPM, which waits for its QEMU at `socket`.

    Args:
        state: its folder; swtpm writes there.
        sockets: a folder of the slot, whose path is short and tells whose process this is.

    Raises:
        VmError: swtpm is not installed, or does not start.
    """

    def __init__(self, state: Path, sockets: Path) -> None:
        self.socket = sockets / "tpm.sock"
        link = sockets / "tpm"
        if "," in str(sockets):
            raise VmError("swtpm takes no comma in a path", str(sockets), "choose another runtime_dir")
        if not state.is_dir():
            raise VmError("the state of the guest's TPM is missing", str(state))
        for path in (link, self.socket):
            path.unlink(missing_ok=True)
        link.symlink_to(state.absolute())
        run(
            [
                "swtpm",
                "socket",
                "--tpm2",
                "--tpmstate",
                f"dir={link},mode=0600",
                "--ctrl",
                f"type=unixio,path={self.socket},mode=0600",
                "--terminate",
                "--daemon",
            ],
            what="starting the guest's TPM",
            log=sockets / "tpm.log",
            timeout=_START_SECONDS,
        )

    def end(self) -> None:
        """Ends it, if it has not ended with its QEMU.

        Raises:
            VmError: it does not end.
        """
        slots.end_helpers(self.socket)
