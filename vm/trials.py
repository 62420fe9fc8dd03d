# SPDX-License-Identifier: Apache-2.0
"""Trials of what guests need of this host, each of a second or so: what works is tried, not looked up.

Each answers a line for people and raises `VmError` where it does not work.
"""

from __future__ import annotations

import re

from vm import accel, apt, replay_qemu
from vm.commands import qemu_version, require
from vm.config import VmConfig
from vm.errors import VmError
from vm.hypervisor import Hypervisor


def mirror(config: VmConfig) -> str:
    """The mirror has the release, and its signature is accepted."""
    stanzas = apt.sources(config.suite, config.apt_sources)
    apt.reach(stanzas)
    mirrors = re.findall(r"^URIs: (.+)$", stanzas, re.MULTILINE)
    return f"{config.suite} from {', '.join(dict.fromkeys(mirrors))}"


def accelerator(config: VmConfig) -> str:
    """QEMU runs a guest of 64 KiB to its end, under the accelerator that guests will have."""
    found = accel.probe(config)
    done = accel.trial(accel.assemble(config), found.kind, require(config.qemu), 10 * accel.TRIAL_SECONDS)
    if not done.passed:
        raise VmError(
            f"a trial guest under {found.kind} got no further than {done.reached}: {done.complaint}"
        )
    return f"{found.kind}: {found.reason}; a trial guest ran in {done.seconds:.2f} s"


def hypervisor(config: VmConfig) -> str:
    """The connection can be opened, and its driver answers."""
    with Hypervisor(config) as opened:
        return f"{config.uri} answers, QEMU {opened.qemu_version}"


def replay(config: VmConfig) -> str:
    """Which QEMU records and replays; an old one is no fault: another is unpacked beside it."""
    own = replay_qemu.of_host(config)
    if own is not None:
        return f"QEMU {own.version} records and replays"
    need = f"QEMU {replay_qemu.LEAST[0]} or later is needed, and the host's is older"
    found = replay_qemu.unpacked(config)
    if found is not None:
        return f"{need}: QEMU {found.version}, unpacked from Debian 13, records and replays"
    return f"{need}: that of Debian 13 will be unpacked at the first use, which takes a minute and 150 MB"


def plugin(config: VmConfig) -> str:
    """Builds the plugin of QEMU that counts what guests execute, and counts a guest of 64 KiB with it."""
    from vm.plugin import build

    emulator = require(config.qemu)
    version = qemu_version(emulator)
    found = build.ensure(config, emulator, version)
    return f"QEMU {version} takes it by version {found.api} of its interface; for guests under TCG"
