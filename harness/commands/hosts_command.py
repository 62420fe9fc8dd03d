# SPDX-License-Identifier: Apache-2.0
"""``kshs hosts``: who is there, what they have, and who is quarantined."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from harness import config as settings
from harness.commands.fleet_option import OnHostsOption, SchedulerOption
from harness.commands.options import ConfigOption, console, say
from harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from harness.fleet.dask_links import DaskLinks
    from harness.fleet.hosts import HostFacts

hosts_app = typer.Typer(
    name="hosts", invoke_without_command=True, rich_markup_mode=None, help="Says which hosts there are."
)


@hosts_app.callback()
def hosts(
    context: typer.Context,
    scheduler: OnHostsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    config: ConfigOption = None,
) -> None:
    """Says which hosts have joined a scheduler, and what they have."""
    if context.invoked_subcommand is not None:
        return
    if scheduler is None:
        raise UsageError("--scheduler URL is missing", hint="kshs hosts --scheduler tls://HOST:PORT")
    loaded = settings.load(config)
    found = _found(scheduler, loaded)
    if as_json:
        print(json.dumps([facts.model_dump() for facts in found.values()], indent=2))
        return
    from harness.fleet.host_state import code_digest

    table = Table(box=None, pad_edge=False)
    for heading in ("host", "kind", "cores", "MiB", "GiB free", "images", "leases", "state"):
        table.add_column(heading, justify="left" if heading in ("host", "kind", "state") else "right")
    for name, facts in sorted(found.items()):
        numbers = (facts.cores, facts.memory_mib, facts.disk_mib // 1024, len(facts.images), facts.busy)
        state = facts.closed(code_digest()) or "takes leases"
        table.add_row(name, facts.accelerator, *(f"{number:,}" for number in numbers), state)
    console().print(table)
    for name, facts in sorted(found.items()):
        if facts.quarantined:
            say(f"lift it with: kshs hosts lift {name} --scheduler {scheduler}")


@hosts_app.command("lift")
def lift(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the host.")],
    scheduler: SchedulerOption,
    config: ConfigOption = None,
) -> None:
    """Lifts a host's quarantine: it takes leases again."""
    from harness.fleet import calls

    ask(scheduler, settings.load(config), name, calls.quarantine, None)
    say(f"host {name}: takes leases again")


@hosts_app.command("keys")
def keys(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where they go.")],
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Of hosts.")],
) -> None:
    """Makes certificates for hosts, and their authority."""
    from harness.fleet.certificates import make

    for path in make(folder, names):
        say(str(path))


def ask(url: str, config: settings.Config, name: str, function: Callable[..., Any], *arguments: Any) -> None:
    """Tells a host something.

    Raises:
        UsageError: there is no such host.
        HarnessError: it or the scheduler does not answer.
    """

    async def work() -> None:
        from harness.fleet.links import LostError

        async with _links(url, config) as links:
            known = await links.hosts()
            if name not in known:
                there = ", ".join(sorted(known)) or "none"
                raise UsageError(f"there is no host {name}", url, f"there are: {there}")
            try:
                await links.call(name, function, *arguments)
            except LostError as error:
                raise HarnessError(str(error), where=f"host {name}") from None

    asyncio.run(work())


def _found(url: str, config: settings.Config) -> Mapping[str, HostFacts]:
    async def work() -> Mapping[str, HostFacts]:
        from harness.fleet.links import LostError

        async with _links(url, config) as links:
            try:
                return await links.hosts()
            except LostError as error:
                raise HarnessError(str(error), where=url) from None

    return asyncio.run(work())


def _links(url: str, config: settings.Config) -> DaskLinks:
    from harness.fleet.engine import address, security
    from harness.fleet.host_state import host_name

    address(url)
    name = host_name(config)
    security(config.hosts.keys, name, config.hosts.silence_s)
    from harness.fleet.dask_links import DaskLinks

    return DaskLinks(url, config.hosts.keys, name, config.hosts.silence_s)
