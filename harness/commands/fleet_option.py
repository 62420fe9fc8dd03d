# SPDX-License-Identifier: Apache-2.0
"""The option ``--scheduler``."""

from __future__ import annotations

from typing import Annotated

import typer

SchedulerOption = Annotated[
    str,
    typer.Option("--scheduler", metavar="URL", help="Of the scheduler: tls://HOST:PORT (docs/hosts.md)."),
]
OnHostsOption = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="URL",
        help="Runs on the hosts of this scheduler (docs/hosts.md).",
        show_default="on this host",
    ),
]
