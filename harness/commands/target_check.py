# SPDX-License-Identifier: Apache-2.0
"""``kshs target check``: a target file against its package, the catalogue and, where wanted, its driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from drivers import abi as abi_files
from harness.agent.encode import Encoder
from harness.agent.frames import info_of
from harness.commands.target_init import Guests
from harness.guests import Say
from harness.guests.package import LoadedTarget
from harness.language import target as target_files
from harness.language.model import Scenario
from harness.language.scenario_file import CATALOGUE, load_all
from harness.language.toml_file import TomlFile
from harness.onboarding import agreement
from harness.onboarding.discovery import session_with
from harness.onboarding.outlook import TYPICAL, Opening, Outlook, outlook
from vm.words import counted

#: Seconds for INFO: it computes digests of drivers.
_INFO_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Checked:
    """A target with what becomes of the catalogue, by what the guests are called.

    `spare` are pins of the driver that the file leaves out.
    """

    target: LoadedTarget
    scenarios: int
    outlooks: Mapping[str, Outlook]
    spare: tuple[str, ...] = ()


def check(
    loaded: LoadedTarget, guests: Guests | None = None, guest: str = "", say: Say | None = None
) -> Checked:
    """Looks at everything.

    Args:
        loaded: the target, already compared with its package.
        guests: gives guests with it deployed, where the driver shall be asked, too.
        guest: what they are called.
        say: told of each step.

    Raises:
        TargetError: the driver says something else than the file.
        HarnessError, VmError, BuildError: no guest can be had, or the driver was lost in it.
    """
    scenarios = [located.scenario for located in load_all([CATALOGUE])]
    if guests is None:
        return Checked(loaded, len(scenarios), _outlooks(loaded, scenarios, TYPICAL))
    tell = say or (lambda text: None)
    provider = guests(loaded)
    try:
        provider.prepare(tell)
        encoder = Encoder(abi_files.load())
        tell("leasing a guest")
        with session_with(provider, abi_files.load()) as (_, session):
            tell("asking the driver for its filters and pins")
            info = info_of(session.run(encoder.step("INFO"), what="info", timeout=_INFO_TIMEOUT))
            wrong = agreement.disagreements(loaded.target, session, encoder)
            spare = () if wrong else tuple(agreement.not_in_the_file(loaded.target, session, encoder))
    finally:
        provider.close()
    if wrong:
        text = TomlFile(loaded.file, target_files.TargetError)
        raise text.fail([text.complaint(problem.path, problem.message, problem.hint) for problem in wrong])
    return Checked(loaded, len(scenarios), _outlooks(loaded, scenarios, {guest: info}), spare)


def _outlooks(
    loaded: LoadedTarget, scenarios: list[Scenario], infos: Mapping[str, Mapping[str, Any]]
) -> dict[str, Outlook]:
    return {name: outlook(loaded.target, scenarios, info) for name, info in infos.items()}


def heading(checked: Checked) -> list[str]:
    """What the target is, a line each."""
    target, file = checked.target.target, checked.target.file
    directory = target_files.package_directory(target, file)
    pins = ", ".join(pin.name for pin in target.pin)
    return [
        f"{file}: target {target.name}, {counted(len(target.pin), 'pin')} ({pins}),"
        f" {counted(len(target.protocols), 'protocol')}",
        f"package {directory or target.package}: {target.hardware_id}, service {target.service}",
        *checked.spare,
    ]


def tables(checked: Checked) -> list[Table]:
    """What runs, what is skipped and why, and what would open more."""
    return [_runs(checked), *_openings(checked)]


def _runs(checked: Checked) -> Table:
    table = _table(f"of {checked.scenarios} scenarios of the catalogue", checked)
    outlooks = list(checked.outlooks.values())
    table.add_row("run", *(str(len(one.runs)) for one in outlooks))
    skipped = [sum(map(len, one.skipped.values())) for one in outlooks]
    table.add_row("are skipped", *map(str, skipped))
    for reason in _reasons([one.skipped for one in outlooks]):
        table.add_row(f"  {reason}", *(_count(one.skipped.get(reason)) for one in outlooks))
    for reason in _reasons([one.wrong for one in outlooks]):
        table.add_row(f"error: {reason}", *(_count(one.wrong.get(reason)) for one in outlooks))
    return table


def _openings(checked: Checked) -> list[Table]:
    outlooks = list(checked.outlooks.values())
    by_key: list[dict[str, Opening]] = [{item.key: item for item in one.openings} for one in outlooks]
    keys = list(dict.fromkeys(key for found in by_key for key in found))
    found = []
    if keys:
        table = _table("would run besides, with", checked)
        for key in keys:
            table.add_row(key, *(_gain(items.get(key)) for items in by_key))
        found.append(table)
    judged = list(dict.fromkeys(key for one in outlooks for key, _ in one.judged))
    if judged:
        table = _table("would be judged by more than now, with", checked)
        for key in judged:
            table.add_row(key, *(str(dict(one.judged).get(key, 0)) for one in outlooks))
        found.append(table)
    return found


def _gain(item: Opening | None) -> str:
    if item is None:
        return "-"
    return f"+{item.then}" if item.then == item.alone else f"+{item.then} ({item.alone} alone)"


def _table(title: str, checked: Checked) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(title, overflow="fold")
    for name in checked.outlooks:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _reasons(groups: list[Mapping[str, tuple[str, ...]]]) -> list[str]:
    return list(dict.fromkeys(reason for group in groups for reason in group))


def _count(ids: tuple[str, ...] | None) -> str:
    return str(len(ids)) if ids else "-"
