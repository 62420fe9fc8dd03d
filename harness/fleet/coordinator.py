# SPDX-License-Identifier: Apache-2.0
"""A night over hosts: shards are placed, leases followed, and what came of them is kept."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from harness.errors import HarnessError
from harness.fleet.blame import STRIKES, TRIES, Blame
from harness.fleet.cells import SentCell
from harness.fleet.following import Following, Outcome
from harness.fleet.ledger import Ledger
from harness.fleet.links import Links
from harness.fleet.merging import CameBack, Merged, merge
from harness.fleet.policy import Load, Waiting, at_once, carriers, place
from harness.fleet.reconciling import Reconciler
from harness.fleet.roster import Roster
from harness.fleet.sending import Sender
from harness.fleet.shards import Needs, Shard, split
from vm.words import counted

_TICK = 0.5
#: Shards of a cell that has worked nowhere, which failed everywhere: after so many its rest is left.
_BROKEN = 2
#: Seconds at the end of a cell and of a night, at most, for hosts that fell silent.
_LAST = 30.0


@dataclass
class _CellWork:
    """A cell on its way."""

    cell: SentCell
    began: float | None = None
    shards: int = 0
    ended: int = 0
    came_back: list[CameBack] = field(default_factory=list)
    why_not: str | None = None
    failed_everywhere: int = 0
    over: float | None = None


class Coordinator:
    """Runs cells on hosts.

    Args:
        links: to the hosts.
        folder: of the night, with its ledger.
        night: its id: twelve digits, hex.
        code: digest of our own kshs: hosts with another one get no lease.
        silence: seconds after which a host that does not answer is lost.
        say: told what goes on; the same line again and again.
        tell: told what has happened, a line each.
        ended: told of each cell that has ended, with its merged results; one after another, in threads.
        least: seconds of a shard.
        lift: the words behind ``kshs hosts lift NAME``.
    """

    def __init__(
        self,
        links: Links,
        folder: Path,
        night: str,
        code: str | None,
        silence: float,
        say: Callable[[str], None],
        tell: Callable[[str], None],
        ended: Callable[[SentCell, Merged, float], None],
        least: float = 60.0,
        lift: str = "",
    ) -> None:
        self._links = links
        self._least = least
        self._silence = silence
        self._say, self._tell, self._ended = say, tell, ended
        self.ledger = Ledger(folder)
        self.blame = Blame()
        self.roster = Roster(links, self.blame, code, silence, tell, lift)
        self.sender = Sender(links, silence, tell)
        self._following = Following(links, self.ledger, self.sender, folder, night, silence)
        self._night = night
        self._work: dict[str, _CellWork] = {}
        self._waiting = Waiting()
        self._running: dict[asyncio.Task[Outcome], tuple[Shard, str]] = {}
        self._finishing: list[asyncio.Task[None]] = []
        #: Cells are kept one after another: there is one store.
        self._keeping = asyncio.Lock()
        self._told_waiting: set[str] = set()
        self._reconciler = Reconciler(links, self.roster, self.ledger, night)
        self._grace = min(silence / 2, _LAST)

    async def run(self, cells: Sequence[SentCell], deadline: float | None = None) -> None:
        """All of them; no shard is begun behind the deadline (`time.monotonic`).

        Raises:
            HarnessError: results cannot be written.
        """
        self._work = {cell.name: _CellWork(cell) for cell in cells}
        listening = asyncio.create_task(self._following.listen())
        to_split = list(cells)
        idle = time.monotonic()
        try:
            while to_split or len(self._waiting) or self._running:
                await self.roster.look()
                await self._reconciler.ask(self._lost())
                loads = self._loads()
                to_split = [cell for cell in to_split if not self._split(cell, loads)]
                late = deadline is not None and time.monotonic() >= deadline
                if not late:
                    self._place(loads)
                if self._running:
                    idle = time.monotonic()
                elif late:
                    self._leave_all(to_split, lambda needs: "out of time before it was begun")
                    break
                elif any(carriers(shard.needs, loads) for shard in self._waiting):
                    idle = time.monotonic()  # other nights have the hosts now
                elif time.monotonic() - idle > self._silence:
                    self._leave_all(to_split, partial(self._why_idle, loads))
                    break
                self._show()
                self._tell_waiting(to_split, loads)
                await self._take(await self._wait())
                self._finish_ended()
                self._check_finished()
            await self._last_words()
        finally:
            # Before those who follow leases are ended: these forget them.
            given_up = await self._following.abandon()
            listening.cancel()
            for task in self._running:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
            await asyncio.gather(*self._running, return_exceptions=True)
            # What has ended has ended, and is on record when this returns, whatever ends the night.
            self._finish_ended(late=True)
            await asyncio.gather(*self._finishing, return_exceptions=True)
            taken = {one.held.id for work in self._work.values() for one in work.came_back}
            for back in (*self._following.ended.values(), *given_up):
                if back.held.id not in taken:
                    self._work[back.held.cell].came_back.append(back)
            self.ledger.close()
        for work in self._work.values():
            if work.ended < work.shards or work.came_back or work.why_not:
                self._finish(work)
        await asyncio.gather(*self._finishing)

    def salvage(self, why: str) -> list[Merged]:
        """Of a night that was interrupted: cells of which something has come get their results written.

        Nobody is told that these have ended: they have not.

        Raises:
            HarnessError: results cannot be written.
        """
        return [
            self._merged(work, time.monotonic() - work.began, why)
            for work in self._work.values()
            if work.ended >= 0 and work.began is not None and work.came_back
        ]

    # ---- shards --------------------------------------------------------------

    def _split(self, cell: SentCell, loads: list[Load]) -> bool:
        """Cuts a cell into shards once a host can carry it; whether it did."""
        needs = cell.needs
        if needs.accelerator is None:
            kinds = {kind: at_once(replace(needs, accelerator=kind), loads) for kind in ("kvm", "tcg")}
            best = max(kinds, key=lambda kind: kinds[kind])
            needs = replace(needs, accelerator=best)  # type: ignore[arg-type]
        several = at_once(needs, loads)
        if not several:
            return False
        items = [(item.key, item.seconds) for item in cell.items]
        others = self._seconds_beside(cell, needs, loads)
        shards = split(cell.name, needs, items, several, cell.most, self._least, others)
        self._work[cell.name].shards = len(shards)
        for shard in shards:
            self._waiting.add(shard)
        return True

    def _seconds_beside(self, cell: SentCell, needs: Needs, loads: list[Load]) -> float:
        """Of the other cells that could run on the hosts that can carry this one."""
        mine = {host.name for host in carriers(needs, loads)}
        others = (work.cell for work in self._work.values() if work.cell is not cell)
        return sum(
            item.seconds
            for other in others
            if any(host.name in mine for host in carriers(other.needs, loads))
            for item in other.items
        )

    def _place(self, loads: list[Load]) -> None:
        limits = {name: work.cell.most for name, work in self._work.items() if work.cell.most}
        for shard, load in place(self._waiting, loads):
            if shard.cell in limits:
                beside = sum(one.cell == shard.cell for one, _ in self._running.values())
                if beside >= (limits[shard.cell] or 0):
                    self._waiting.add(shard)
                    load.give_back(shard.needs)
                    continue
            work = self._work[shard.cell]
            work.began = work.began or time.monotonic()
            facts = self.roster.facts[load.name]
            task = asyncio.create_task(self._following.run(work.cell, shard, facts))
            self._running[task] = (shard, load.name)

    async def _wait(self) -> set[asyncio.Task[Outcome]]:
        if not self._running:
            await asyncio.sleep(_TICK)
            return set()
        done, _ = await asyncio.wait(self._running, timeout=_TICK, return_when=asyncio.FIRST_COMPLETED)
        return done

    async def _take(self, done: set[asyncio.Task[Outcome]]) -> None:
        for task in done:
            shard, host = self._running.pop(task)
            work, outcome = self._work[shard.cell], task.result()
            if outcome.came_back is not None:
                work.came_back.append(outcome.came_back)
            if outcome.worked:
                self.blame.worked(shard.cell)
            if outcome.failed is not None:
                reason = f"{outcome.failed}"
                self._tell(f"host {host}: {shard.id}: {reason}")
                if outcome.held or not outcome.silent:  # else nobody has renewed it from here
                    self.blame.failed(host, shard.id, shard.cell, reason, outcome.incident, held=outcome.held)
            if outcome.refused is not None:
                self._tell(f"{shard.id}: {outcome.refused}")
                work.why_not = work.why_not or outcome.refused
            self._again(work, shard, outcome)
            await self.roster.sentence()

    def _again(self, work: _CellWork, shard: Shard, outcome: Outcome) -> None:
        """What came to nothing is tried elsewhere, a bounded number of times."""
        if outcome.refused is not None:
            work.ended += 1 + len(self._waiting.drop_cell(shard.cell))
            return
        left = shard.keys if outcome.again is None else tuple(k for k in shard.keys if k in outcome.again)
        if not left:
            work.ended += 1
            return
        if outcome.crowded:
            self._waiting.add(shard)
            return
        # A host that fell silent says nothing of the shard: it is tried as often as there are hosts to lose.
        # But what silences whoever gets it, again and again, is not given to hosts for ever.
        tries = shard.tries + (not outcome.silent)
        silences = shard.silences + outcome.silent
        bounded = tries < TRIES and silences < STRIKES * max(1, len(self.roster.facts))
        if bounded and not self._everywhere(shard):
            seconds = shard.seconds * len(left) / len(shard.keys)
            avoid = self.blame.hosts_of(shard.id)
            again = replace(shard, keys=left, seconds=seconds, tries=tries, silences=silences, avoid=avoid)
            self._waiting.add(again)
            return
        self.blame.acquit(shard.id)
        work.ended += 1
        work.failed_everywhere += 1
        if work.failed_everywhere >= _BROKEN and shard.cell not in self.blame.worked_cells:
            work.why_not = outcome.failed
            work.ended += len(self._waiting.drop_cell(shard.cell))
        else:
            work.why_not = work.why_not or outcome.failed

    def _loads(self) -> list[Load]:
        running = [(shard.needs, host) for shard, host in self._running.values()]
        return self.roster.loads(running, self._following.is_ours)

    def _everywhere(self, shard: Shard) -> bool:
        """Whether it has failed on several hosts, and on all that can carry it."""
        tried = self.blame.hosts_of(shard.id)
        able = {load.name for load in carriers(shard.needs, self._loads())}
        return len(tried) > 1 and able <= tried

    def _finish_ended(self, *, late: bool = False) -> None:
        """Cells of which all shards have ended.

        One that has lost leases waits a moment for their hosts, unless it is `late`: they know what those had
        begun.
        """
        now = time.monotonic()
        for work in self._work.values():
            if not work.shards or work.ended < work.shards:
                continue
            work.over = work.over or now
            if late or now - work.over >= self._grace or not self._reconciler.open(work.came_back):
                self._finish(work)

    def _finish(self, work: _CellWork) -> None:
        """Its results, once; meanwhile other cells' leases are begun, renewed and fetched."""
        if work.ended < 0:
            return
        seconds = time.monotonic() - work.began if work.began is not None else 0.0
        work.ended = -1
        self._finishing.append(asyncio.create_task(self._keep(work, seconds)))

    async def _keep(self, work: _CellWork, seconds: float) -> None:
        """In threads: a store may take seconds, and hosts that hear nothing end their leases."""
        merged = await asyncio.to_thread(self._merged, work, seconds, work.why_not)
        async with self._keeping:
            await asyncio.to_thread(self._ended, work.cell, merged, seconds)

    def _check_finished(self) -> None:
        """A night whose results cannot be kept goes no further.

        Raises:
            HarnessError: results cannot be written.
        """
        for task in self._finishing:
            if task.done():
                task.result()

    @staticmethod
    def _merged(work: _CellWork, seconds: float, why_not: str | None) -> Merged:
        try:
            return merge(work.cell, list(work.came_back), seconds, why_not)
        except OSError as error:
            where = str(work.cell.folder)
            raise HarnessError(f"results cannot be written: {error.strerror}", where) from None

    def _leave_all(self, to_split: Sequence[SentCell], why: Callable[[Needs], str]) -> None:
        for cell in to_split:
            self._work[cell.name].why_not = why(cell.needs)
        for shard in list(self._waiting):
            work = self._work[shard.cell]
            work.why_not = work.why_not or why(shard.needs)
            self._waiting.drop_cell(shard.cell)

    def _why_idle(self, loads: Sequence[Load], needs: Needs) -> str:
        if not loads:
            return "no host has joined the scheduler"
        said = "; ".join(f"{load.name}: {load.lacks(needs)}" for load in loads)
        return f"no host can carry it ({said})"[:1000]

    def _tell_waiting(self, to_split: Sequence[SentCell], loads: Sequence[Load]) -> None:
        """Says once of each cell that no host can carry it as it is, while others go on."""
        unable = {cell.name: cell.needs for cell in to_split}
        unable |= {s.cell: s.needs for s in self._waiting if not carriers(s.needs, loads)}
        for name in unable.keys() - self._told_waiting if loads else ():
            self._told_waiting.add(name)
            self._tell(f"{name}: {self._why_idle(loads, unable[name])}; it waits for one")

    # ---- who comes back --------------------------------------------------------

    def _lost(self) -> list[CameBack]:
        return self._reconciler.open(one for work in self._work.values() for one in work.came_back)

    async def _last_words(self) -> None:
        """Who fell silent gets a moment to come back, so that nothing of the night is left there."""
        end = time.monotonic() + self._grace
        await self._reconciler.ask(self._lost(), at_once=True)
        while (lost := self._lost()) and time.monotonic() < end:
            hosts = ", ".join(sorted({one.held.host for one in lost}))
            self._say(f"a last look for what is left on {hosts}")
            await asyncio.sleep(_TICK)
            await self.roster.look()
            await self._reconciler.ask(self._lost(), at_once=True)

    def _show(self) -> None:
        """One line of where the night is."""
        by_host: dict[str, int] = {}
        for _, host in self._running.values():
            by_host[host] = by_host.get(host, 0) + 1
        at_work = ", ".join(f"{host} {count}" for host, count in sorted(by_host.items()))
        known = sum(len(work.cell.items) for work in self._work.values())
        self._say(
            f"{self._following.seen} of {known} items on {counted(len(by_host), 'host')}: {at_work or '-'}"
        )
