# SPDX-License-Identifier: Apache-2.0
"""``kshs guests``: what kshs keeps on this machine, where, and how much room it takes."""

from __future__ import annotations

from harness import config as settings
from harness.commands.options import ConfigOption, console


def guests(config: ConfigOption = None) -> None:
    """Lists guests, and what kshs keeps on this machine and where.

    Images, Windows guests, templates, live leases; then every place on disk, its size and what removes it.
    """
    from harness.commands.inventory import inventory, places

    vm_config = settings.load(config).vm
    say = console().print
    for title, rows in inventory(vm_config).items():
        say(f"{title}:" if rows else f"{title}: none")
        for row in rows:
            say(f"  {row}")
    say("on disk:")
    for place in places(vm_config):
        say(f"  {place}")
