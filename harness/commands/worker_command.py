# SPDX-License-Identifier: Apache-2.0
"""``kshs worker``: this host lends itself to nights."""

from __future__ import annotations

from typing import Annotated

import typer

from harness import config as settings
from harness.commands.fleet_option import OnHostsOption
from harness.commands.options import ConfigOption, say
from harness.errors import UsageError

worker_app = typer.Typer(
    name="worker", invoke_without_command=True, rich_markup_mode=None, help="Lends this host to a scheduler."
)


@worker_app.callback()
def worker(
    context: typer.Context,
    scheduler: OnHostsOption = None,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen", metavar="ADDRESS", help="Where the scheduler reaches it; else asked of the net."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Lends this host to a scheduler, until it is drained or ended."""
    if context.invoked_subcommand is not None:
        return
    if scheduler is None:
        raise UsageError("--scheduler URL is missing", hint="kshs worker --scheduler tls://HOST:PORT")
    from harness.fleet.engine import address, security
    from harness.fleet.host_state import host_name

    loaded = settings.load(config)
    address(scheduler)
    security(loaded.hosts.keys, host_name(loaded), loaded.hosts.silence_s)
    from harness.fleet.worker import serve

    serve(scheduler, loaded, say, listen)


@worker_app.command("drain")
def drain(
    back: Annotated[bool, typer.Option("--back", help="Takes it back: new leases are taken again.")] = False,
    scheduler: OnHostsOption = None,
    host: Annotated[
        str | None, typer.Option("--host", metavar="NAME", help="Of another host.", show_default="this one")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Takes no new lease; the worker ends once its leases have."""
    loaded = settings.load(config)
    if (scheduler is None) != (host is None):
        raise UsageError("go together: another host is asked by its scheduler", where="--scheduler, --host")
    if scheduler is not None and host is not None:
        from harness.commands.hosts_command import ask
        from harness.fleet import calls

        ask(scheduler, loaded, host, calls.drain, not back)
        say(f"host {host}: {'takes leases again' if back else 'draining'}")
        return
    from harness.fleet.host_state import HostState, host_name

    state = HostState.of(loaded)
    if not state.is_held():
        raise UsageError("no worker is at work on this host", where=str(state.folder))
    state.drain(not back)
    say(f"host {host_name(loaded)}: {'takes leases again' if back else 'draining'}")
