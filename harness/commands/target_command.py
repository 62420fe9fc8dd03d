# SPDX-License-Identifier: Apache-2.0
"""``kshs target`` on the command line; `harness.commands.target_init` and `target_check` do it."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness import config as settings
from harness.commands.options import ConfigOption, GuestOption, console
from harness.errors import UsageError
from harness.progress import Progress

if TYPE_CHECKING:
    from harness.commands.target_init import Guests

target_app = typer.Typer(
    name="target",
    add_completion=False,
    rich_markup_mode=None,
    help="Writes target files and checks them.",
)


@target_app.command("init")
def init(
    package: Annotated[Path, typer.Argument(metavar="PACKAGE", help="Directory with INF, SYS and CAT.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The target file.", show_default="NAME.toml, as the INF"),
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            metavar="NAME=GUID[:PINS]",
            help="A protocol, and the pins that accept it (all with a callback): clock=GUID:source,sink.",
        ),
    ] = None,
    protocols: Annotated[
        Path | None,
        typer.Option(
            "--protocols",
            metavar="FILE",
            help="[protocols] as it shall stand in the target file, for arguments that are pointers.",
        ),
    ] = None,
    pin: Annotated[
        list[str] | None,
        typer.Option("--pin", metavar="ID=NAME", help="What scenarios call a pin: 2=monitor."),
    ] = None,
    no_callback: Annotated[
        list[str] | None,
        typer.Option("--no-callback", metavar="PIN", help="A pin that registers no handshake callback."),
    ] = None,
    allow_import: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-import",
            metavar="MODULE!NAME",
            help="An import that a Wine guest may lack, because the driver never calls it there.",
        ),
    ] = None,
    root_enumerated: Annotated[
        bool | None,
        typer.Option(
            "--root-enumerated/--reported",
            help="Create the device without its hardware; or expect it in the guest.",
            show_default="as the hardware id's form says",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Of the target.", show_default="the INF's")
    ] = None,
    hardware_id: Annotated[
        str | None,
        typer.Option("--hardware-id", metavar="ID", help="Of the device, where the INF has several."),
    ] = None,
    service: Annotated[
        str | None, typer.Option("--service", metavar="NAME", help="Its service, where the INF has several.")
    ] = None,
    category: Annotated[
        str | None,
        typer.Option("--category", metavar="GUID", help="Of the filter, where the device has several."),
    ] = None,
    instance: Annotated[
        int | None,
        typer.Option(
            "--instance", metavar="N", min=0, help="Its number in the category, where it has several."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    guest: GuestOption = None,
    config: ConfigOption = None,
) -> None:
    """Writes a target file for a driver package.

    The driver is installed in a guest and asked for its filters, pins and formats.
    """
    from harness.commands import target_init
    from harness.onboarding import protocol_tables, wishes

    wished = wishes.read(protocol or (), pin or (), no_callback or (), allow_import or (), root_enumerated)
    if protocols is not None:
        tables = protocol_tables.read(protocols)
        wished = wished.with_tables(tables.protocols, tables.entries, tables.text)
    request = target_init.Request(
        package=package,
        out=out,
        name=name,
        hardware_id=hardware_id,
        service=service,
        category=_category(category),
        instance=instance,
        wishes=wished,
        force=force,
    )
    loaded = settings.load(config)
    with Progress() as progress:
        written = target_init.author(request, _guests(loaded, guest), progress.say)
    for line in target_init.told(written):
        console().print(line)


@target_app.command("check")
def check(
    target: Annotated[str, typer.Argument(metavar="NAME|FILE", help="The target, as run takes it.")],
    guest: Annotated[
        str | None,
        typer.Option("--guest", metavar="NAME", help="Ask the driver, too, in a guest of this recipe."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Says how much of the catalogue a target file opens.

    And what would open more.  Without --guest nothing is built or started.
    """
    from harness.commands import target_check
    from harness.guests.package import find_target

    loaded = settings.load(config)
    found = find_target(target, loaded)
    if guest is None:
        checked = target_check.check(found)
    else:
        with Progress() as progress:
            checked = target_check.check(found, _guests(loaded, guest), guest, progress.say)
    for line in target_check.heading(checked):
        console().print(line)
    for table in target_check.tables(checked):
        console().print()
        console().print(table)


def _category(text: str | None) -> uuid.UUID | None:
    if text is None:
        return None
    try:
        return uuid.UUID(text)
    except ValueError:
        raise UsageError(f"{text!r} is no GUID", "--category") from None


def _guests(config: settings.Config, guest: str | None) -> Guests:
    """Real guests of a name; that there are such is seen before anything is built."""
    from harness.guests.package import LoadedTarget
    from harness.guests.provider import VmProvider
    from harness.guests.source import find_guest

    recipe = guest or config.run.guest
    find_guest(config.vm, recipe)

    def guests(target: LoadedTarget) -> VmProvider:
        return VmProvider(
            config.vm,
            target,
            recipe,
            source=config.run.drivers,
            way=config.leases_of(recipe),
            devices=config.devices_of(recipe),
        )

    return guests
