# SPDX-License-Identifier: Apache-2.0
"""``--scheduler`` of ``kshs nightly`` and ``kshs run``: cells on other hosts, and what is said of them
here.
"""

from __future__ import annotations

import asyncio
import secrets
import shlex
import signal
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import version
from harness.commands.exit_codes import DONE, DRIVER, INFRASTRUCTURE, USAGE
from harness.commands.fleet_items import Collected, collect, timed
from harness.commands.nightly import Cell, Done, Nightly
from harness.commands.options import say
from harness.config import Config
from harness.errors import HarnessError, UsageError
from harness.fleet.cells import SentCell
from harness.fleet.coordinator import Coordinator
from harness.fleet.engine import PATIENCE, address, reach, security
from harness.fleet.host_state import code_digest, host_name
from harness.fleet.merging import Merged
from harness.fleet.staging import Asked, Staging
from harness.progress import Progress
from harness.results.folder import claim, release
from harness.results.tally import counts
from harness.verdict import Verdict, worst
from vm.files import remove_tree
from vm.words import counted

if TYPE_CHECKING:
    from harness.commands.fleet_ahead import Ahead
    from harness.commands.run import Selection

_STAGE, _LEASES = ".staged", ".leases"
Ended = Callable[[SentCell, Merged, float], None]


def night_on_hosts(
    work: Nightly,
    cells: Sequence[Cell],
    config: Config,
    *,
    ahead: Ahead,
    given: Path | None,
    url: str,
    folder: Path,
    deadline: float | None,
    seconds: Mapping[str, float],
) -> list[Done]:
    """The cells of a night that have not ended yet, on the hosts of a scheduler; what became of all.

    ``ahead`` knows what they hold, ``given`` are the settings that the command line named, and ``seconds``
    says how long scenarios took, by their keys in the store.

    Raises:
        UsageError: the address or the keys are wrong.
        HarnessError: no scheduler answers.
    """
    by_name = {cell.name: cell for cell in cells}

    def ended(sent: SentCell, merged: Merged, took: float) -> None:
        done = Done(sent.name, code_of(merged), round(took, 3), merged.problem)
        work.take(cells, by_name[sent.name], done)

    _reach(url, config)
    with Progress() as progress:
        for name in (_STAGE, _LEASES):  # of a night that was killed
            remove_tree(folder / name)
        staging = Staging(folder / _STAGE, config, progress.say)
        sent = []
        for cell in cells:
            if cell.name in work.done:
                continue
            try:
                collected = timed(ahead.of(cell), seconds)
                sent.append(_staged(cell, collected, folder / cell.name, config, given, staging))
            except UsageError as error:
                work.take(cells, cell, Done(cell.name, USAGE, 0.0, str(error)))
        _run(url, config, folder, sent, ended, progress, deadline)
    for cell in cells:
        if cell.name not in work.done:
            work.done[cell.name] = Done(cell.name, said="it was not begun")
    work.save(cells)
    return [work.done[cell.name] for cell in cells]


def run_on_hosts(selection: Selection, config: Config, url: str, seconds: Mapping[str, float]) -> int:
    """``kshs run -n N --scheduler URL``: one selection, at most N leases at a time.

    Raises:
        UsageError: nothing is selected, or it cannot be sent.
        HarnessError: no scheduler answers, or the results cannot be written.
    """
    out = (selection.out or config.run.out).absolute()
    _reach(url, config)
    claim(out)
    found: list[Merged] = []
    partial: list[Merged] = []
    try:
        with Progress() as progress:
            for name in (_STAGE, _LEASES):
                remove_tree(out / name)
            staging = Staging(out / _STAGE, config, progress.say)
            collected = timed(collect(selection, config), seconds)
            guest = selection.guest or config.run.guest
            head = _head(collected.options, guest, collected.target, collected.selection, selection.command())
            asked = Asked(
                "run",
                out,
                guest,
                selection.target or config.run.target,
                collected.items,
                selection.paths or tuple(config.run.scenarios or ()),
                collected.ours,
                selection.drivers,
                head,
                selection.workers or None,
                alone=bool(config.devices_of(guest)),
            )
            sent = staging.stage(asked)
            _run(
                url,
                config,
                out,
                [sent],
                lambda cell, merged, took: found.append(merged),
                progress,
                None,
                partial,
            )
    except KeyboardInterrupt:
        for merged in partial:
            _show(merged, out)
        raise
    finally:
        for name in (_STAGE, _LEASES):
            remove_tree(out / name)
        release(out)
    if not found:
        raise HarnessError("the run came to no end", where=str(out))
    (merged,) = found
    _show(merged, out)
    return code_of(merged)


def _show(merged: Merged, out: Path) -> None:
    """What came of a run, as pytest says it of one on this host."""
    tally = counts(merged.records) + counts(merged.records, "test")
    said = ", ".join(f"{count} {verdict}" for verdict, count in tally.items() if count)
    run = next(r for r in merged.records if r["kind"] == "run")
    say(f"{counted(sum(tally.values()), 'item')} on {', '.join(run['hosts']) or 'no host'}: {said}")
    for record in merged.records:
        if record["kind"] in ("scenario", "test") and record["verdict"] not in ("passed", "skipped"):
            say(f"{str(record['verdict']).upper()} {record['id']} - {record.get('reason')}")
    if merged.problem:
        say(f"kshs: {merged.problem}")
    say(f"report: {out / 'report.html'}")


def code_of(merged: Merged) -> int:
    """As ``kshs run`` ends: the worst of what is known counts."""
    verdicts = {Verdict(name) for name, count in merged.verdicts.items() if count}
    if worst(verdicts).is_driver_fault:
        return DRIVER
    sound = merged.problem is None and Verdict.ERROR not in verdicts
    return DONE if sound and Verdict.PASSED in verdicts else INFRASTRUCTURE


def _staged(
    cell: Cell, collected: Collected, folder: Path, config: Config, given: Path | None, staging: Staging
) -> SentCell:
    command = shlex.join(["kshs", *cell.arguments(given, folder)])
    head = _head(collected.options, cell.guest, collected.target, collected.selection, command)
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(cell.selection.paths) or tuple(config.run.scenarios or ())
    return staging.stage(
        Asked(
            cell.name,
            folder,
            cell.guest,
            cell.target,
            collected.items,
            paths,
            collected.ours,
            None,
            head,
            alone=cell.alone,
        )
    )


def _head(
    options: Mapping[str, str], guest: str, target: Mapping[str, Any], selection: str | None, command: str
) -> dict[str, Any]:
    return {
        "id": secrets.token_hex(6),
        "started": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "version": version(),
        "command": command,
        "options": dict(options),
        "guest": guest,
        "selection": selection,
        "target": dict(target),
        "sessions": 1,
        "journal_seconds": 0.0,
    }


def _reach(url: str, config: Config) -> None:
    """Before anything is made ready, which may take minutes.

    Raises:
        UsageError: the address or the keys are wrong.
        HarnessError: no scheduler answers.
    """
    hosts = config.hosts
    where = address(url)
    shown = security(hosts.keys, host_name(config), hosts.silence_s)
    try:
        asyncio.run(reach(where, shown, min(hosts.silence_s, PATIENCE)))
    except (OSError, TimeoutError, ValueError) as error:
        raise HarnessError(f"no scheduler answers there: {error}", url) from None


def _run(
    url: str,
    config: Config,
    folder: Path,
    cells: Sequence[SentCell],
    ended: Ended,
    progress: Progress,
    deadline: float | None,
    partial: list[Merged] | None = None,
) -> None:
    """All cells to their ends; Ctrl-C gives up what is at work, and keeps what has ended.

    ``partial``: takes what has come of cells that were interrupted; without it they are run again as a whole.
    """
    from harness.fleet.dask_links import DaskLinks

    hosts = config.hosts
    links = DaskLinks(url, hosts.keys, host_name(config), hosts.silence_s)

    async def work() -> None:
        async with links:
            coordinator = Coordinator(
                links,
                folder,
                secrets.token_hex(6),
                code_digest(),
                hosts.silence_s,
                progress.say,
                progress.tell,
                ended,
                hosts.shard_s,
                f"--scheduler {url}",
            )
            task = asyncio.current_task()
            assert task is not None
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
            try:
                await coordinator.run(cells, deadline)
            except asyncio.CancelledError:
                if partial is not None:
                    partial.extend(coordinator.salvage("interrupted"))
                raise

    try:
        asyncio.run(work())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        for name in (_STAGE, _LEASES):
            remove_tree(folder / name)
