# SPDX-License-Identifier: Apache-2.0
"""``kshs scheduler``: where hosts meet."""

from __future__ import annotations

from typing import Annotated

import typer

from harness import config as settings
from harness.commands.options import ConfigOption, say


def scheduler(
    listen: Annotated[
        str, typer.Option("--listen", metavar="URL", help="Where it listens.")
    ] = "tls://0.0.0.0:8786",
    config: ConfigOption = None,
) -> None:
    """Runs the scheduler at which hosts meet, until it is ended.

    It keeps nothing: results are with whoever runs a night (docs/hosts.md).
    """
    from harness.fleet.engine import address, security
    from harness.fleet.host_state import host_name

    loaded = settings.load(config)
    address(listen)
    security(loaded.hosts.keys, host_name(loaded), loaded.hosts.silence_s)
    from harness.fleet.scheduler import serve

    serve(listen, loaded, say)
