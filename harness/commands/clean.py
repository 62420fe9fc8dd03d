# SPDX-License-Identifier: Apache-2.0
"""``kshs clean``: what dead runs left; on request what can be made again, or one Windows guest."""

from __future__ import annotations

from typing import Annotated

import typer

from harness import config as settings
from harness.commands.options import ConfigOption, console


def clean(
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Templates, builds and the embedded image, too, which the next run makes anew, and the Wine"
            " prefixes of the project's tests; Windows guests stay.",
        ),
    ] = False,
    kept: Annotated[
        bool, typer.Option("--kept", help="Guests that kshs repro --keep left running, too.")
    ] = False,
    guest: Annotated[
        str | None,
        typer.Option(
            "--guest", metavar="NAME", help="This Windows guest, too: its sealed image, or what is half made."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Removes what dead runs left behind."""
    import vm.reaper
    from harness.commands.inventory import remove_builds, remove_prefixes
    from vm.windows import shelf
    from vm.words import counted

    vm_config = settings.load(config).vm
    gone = shelf.remove(vm_config, guest) if guest is not None else []
    if kept:
        gone += vm.reaper.end_kept(vm_config)
    if everything:
        from harness.fleet.trees import forget
        from harness.plugin import well_spelt

        gone += vm.reaper.clean(vm_config) + remove_builds() + remove_prefixes() + forget(vm_config)
        gone += well_spelt.forget(vm_config)
    else:
        gone += vm.reaper.reap(vm_config)
    say = console().print
    for line in gone:
        say(f"removed {line}")
    if not gone:
        say("nothing to remove")
    left = len(vm.reaper.kept_slots(vm_config))
    if left:
        say(f"kept {counted(left, 'guest')} for you to look at (kshs guests): kshs clean --kept")
    if everything:
        for item in shelf.kept(vm_config):
            say(f"kept Windows guest {item.name} ({item.state}): kshs clean --guest {item.name}")
