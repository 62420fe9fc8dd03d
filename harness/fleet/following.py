# SPDX-License-Identifier: Apache-2.0
"""One lease from its beginning to its end: what it needs is brought, it is begun, renewed, and fetched.

A lease is renewed every second, and what is renewed is heard of.  Who hears nothing of it for the time of the
silence gives it up, here and on the host: the host ends what nobody renews, so that by then it is at work on
neither.  Should it be otherwise all the same (a net that carries one way), the ledger does not take what
comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.fleet import calls
from harness.fleet.cells import SentCell
from harness.fleet.hosts import HostFacts
from harness.fleet.judging import judge
from harness.fleet.lease_files import LeaseOrder
from harness.fleet.ledger import FencedError, Held, Ledger
from harness.fleet.links import Links, LostError
from harness.fleet.merging import CameBack, Keys
from harness.fleet.sending import LocalError, Sender, fetch
from harness.fleet.shards import Shard
from vm.files import remove_tree

_EACH = 1.0
#: Seconds beyond the silence: the host is then sure to have ended it.
_MARGIN = 2.0
#: Seconds that a host has to hear that a lease is over; it ends without that, too, and later.
_DROPPING = 5.0
_ENDED = "the night was ended"
LEASES = ".leases"


@dataclass(frozen=True)
class Outcome:
    """What became of a shard's lease.

    `worked`: whether its host did what it was asked to; `failed`, `refused`, `held` and `again` are those of
    `harness.fleet.judging.Ended`, with node ids of ours.  `silent`: the host fell silent.  `crowded`: it was
    never begun, since another night has taken what it needs; that is nobody's fault.
    """

    came_back: CameBack | None
    worked: bool = False
    failed: str | None = None
    refused: str | None = None
    again: frozenset[str] | None = frozenset()
    incident: str = ""
    silent: bool = False
    held: bool = True
    crowded: bool = False


@dataclass
class Lease:
    """A lease that is followed; `heard` and `answered` by `time.monotonic`: when something was heard of it,
    and when its host has said anything.

    `over` says why nothing can come of it any more, `others`: whether its host has leases of others at work;
    `news` is set once one of `over` and `result` is there.
    """

    held: Held
    host: str
    heard: float
    session: str
    answered: float = 0.0
    over: str | None = None
    others: bool = False
    events: list[Mapping[str, Any]] = field(default_factory=list)
    result: Mapping[str, Any] | None = None
    known: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Following:
    """All leases of a night.

    Args:
        links: to the hosts.
        ledger: of the night.
        sender: of trees.
        folder: of the night.
        night: its id.
        silence: seconds.
    """

    def __init__(
        self, links: Links, ledger: Ledger, sender: Sender, folder: Path, night: str, silence: float
    ) -> None:
        self._links = links
        self._ledger = ledger
        self._sender = sender
        self._folder = folder
        self._night = night
        self._silence = silence
        #: Seconds for which a host keeps its answer back, to tell the end of a lease at once.
        self._hold = min(_EACH, silence / 8)
        self._leases: dict[str, Lease] = {}
        self._ended = 0
        self._silences: dict[str, tuple[int, float]] = {}
        #: Leases that have ended, from the moment on at which that is on record.
        self.ended: dict[str, CameBack] = {}

    @property
    def seen(self) -> int:
        """Items that have ended, as far as is heard."""
        flying = sum(
            len({event.get("id") for event in lease.events if event.get("kind") == "scenario"})
            for key, lease in self._leases.items()
            if key not in self.ended  # its host is about to be told
        )
        return self._ended + flying

    def is_ours(self, lease: str) -> bool:
        """Whether a lease is one that is followed, or has ended as it should."""
        return lease in self._leases or self._ledger.has_ended(lease)

    async def run(self, cell: SentCell, shard: Shard, facts: HostFacts) -> Outcome:
        """A shard on a host; never raises what a host did."""
        host = facts.name
        try:
            await self._sender.bring(host, facts.session, cell.trees, facts.images)
        except LostError as error:
            return self._lost(None, host, f"the host was lost before the lease began: {error}")
        except LocalError as error:  # no host can do anything about it
            return Outcome(None, refused=str(error), again=None)
        except HarnessError as error:
            return Outcome(None, failed=str(error), again=None, incident=f"{host}-{shard.id}-{shard.tries}")
        held = self._ledger.grant(shard, host)
        lease = Lease(held, host, time.monotonic(), facts.session)
        self._leases[held.id] = lease
        try:
            return await self._follow(cell, shard, lease)
        finally:
            self._leases.pop(held.id, None)
            await self._links.forget(held.id)

    async def _follow(self, cell: SentCell, shard: Shard, lease: Lease) -> Outcome:
        sent = {item.key: item.item for item in cell.items}
        order = LeaseOrder(
            **cell.order,
            id=lease.held.id,
            night=self._night,
            shard=shard.id,
            silence_s=self._silence,
            items=tuple(sent[key] for key in shard.keys),
            cores=shard.needs.cores,
            memory_mib=shard.needs.memory_mib,
            alone=shard.needs.alone,
        )
        with contextlib.suppress(LostError):  # then nobody hears of it, and it is given up
            await self._links.begin(lease.host, order.model_dump(mode="json"), shard.needs)
        while lease.result is None:
            if lease.over is not None:
                return self._lost(lease, lease.host, lease.over)
            if time.monotonic() - lease.heard > self._silence + _MARGIN:
                if not lease.known and lease.answered > lease.heard + self._silence / 2:
                    return await self._not_begun(lease)
                at = time.strftime("%H:%M:%S")
                why = f"host {lease.host} fell silent, and at {at} nothing had been heard of it for"
                return self._lost(lease, lease.host, f"{why} {self._silence:g} s")
            with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(lease.news.wait(), _EACH / 4)
        if lease.result.get("cancelled"):
            # Its host has ended it and is there: who did not renew it, or told its worker to end, was not it.
            lost = self._lost(lease, lease.host, f"{str(lease.result['cancelled'])[:500]}")
            return replace(lost, held=False)
        out = self._folder / LEASES / f"{lease.held.number:05d}" / "out"
        try:
            await fetch(
                self._links, lease.host, lease.held.id, lease.result["files"], out, self._silence + _MARGIN
            )
        except LostError as error:
            return self._lost(lease, lease.host, f"host {lease.host} fell silent with its results: {error}")
        except LocalError as error:
            self._given_up(lease, str(error))
            raise
        except (HarnessError, KeyError, TypeError, ValueError) as error:
            return self._given_up(lease, f"its results could not be fetched: {error}")
        # Megabytes are read: meanwhile other leases have to be renewed.
        ended = await asyncio.to_thread(judge, lease.result, out, cell.expects)
        if not ended.taken:
            remove_tree(out.parent)
            why = ended.failed or ended.refused or "it came to nothing"
            outcome = self._given_up(lease, why, trusted=not ended.foreign)
            if ended.refused is not None:
                return Outcome(outcome.came_back, refused=ended.refused)
            return outcome
        keys = Keys(cell)
        again = _ours(keys, ended.again or ())
        lacking = set(shard.keys) - _ours(keys, ended.there)
        failed = ended.failed or (f"its results lack {len(lacking)} of its items" if lacking else None)
        again |= lacking
        try:
            self._ledger.end(lease.held.id, f"exit code {lease.result.get('code')}")
        except FencedError:
            return Outcome(None, failed="it was given up", again=None, incident=lease.held.id)
        back = self.ended[lease.held.id] = CameBack(lease.held, out=out)
        self._ended += len(shard.keys) - len(again)
        with contextlib.suppress(LostError, HarnessError):
            await self._links.call(lease.host, calls.drop, lease.held.id)
        # Where a part of it worked, the host does, and what failed is tried elsewhere.
        worked = failed is None or again != set(shard.keys)
        held = ended.held or bool(lacking)
        incident = lease.held.id
        return Outcome(
            back, worked=worked, failed=failed, again=frozenset(again), incident=incident, held=held
        )

    async def _not_begun(self, lease: Lease) -> Outcome:
        """Its host is there, and has never begun it: others were first, or the word of it was lost."""
        with contextlib.suppress(LostError, HarnessError):  # a word that comes late is not taken any more
            await self._links.call(lease.host, calls.drop, lease.held.id)
        took = "others have taken what it needs" if lease.others else "the word of it was lost"
        why = f"host {lease.host} has not begun it within {self._silence:g} s: {took}"
        back = self._given_up(lease, why)
        if lease.others:
            return Outcome(back.came_back, again=None, crowded=True)
        return Outcome(back.came_back, failed=why, again=None, incident=lease.held.id, held=False)

    def _lost(self, lease: Lease | None, host: str, why: str) -> Outcome:
        """The host is silent: one cut is one failure, whatever it has cost."""
        number, last = self._silences.get(host, (0, -1e9))
        number += time.monotonic() - last > 4 * self._silence
        self._silences[host] = number, time.monotonic()
        incident = f"silence {number} of {host}"
        if lease is None:
            return Outcome(None, failed=why, again=None, incident=incident, silent=True)
        outcome = self._given_up(lease, why)
        return Outcome(outcome.came_back, failed=why, again=None, incident=incident, silent=True)

    def _given_up(self, lease: Lease, why: str, *, trusted: bool = True) -> Outcome:
        self._ledger.give_up(lease.held.id, why)
        back = CameBack(lease.held, why=why, events=list(lease.events), trusted=trusted)
        return Outcome(back, failed=why, again=None, incident=lease.held.id)

    async def listen(self) -> None:
        """Renews all leases, host by host, for ever."""
        busy: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                for host in {lease.host for lease in self._leases.values()}:
                    if host not in busy or busy[host].done():
                        busy[host] = asyncio.create_task(self._renew(host))
                await asyncio.sleep(_EACH / 4)
        finally:
            for task in busy.values():
                task.cancel()

    async def _renew(self, host: str) -> None:
        """Once a second, as long as there is anything to renew there; the end of a lease is heard at once."""
        while leases := self._open(host):
            began = time.monotonic()
            seen = {key: len(one.events) for key, one in leases.items()}
            with contextlib.suppress(LostError, HarnessError):
                self._hear(leases, await self._links.call(host, calls.renew, seen, self._hold))
            ended = any(one.news.is_set() for one in leases.values())
            left = 0.0 if ended else _EACH - (time.monotonic() - began)
            await asyncio.sleep(max(_EACH / 10, left))

    def _open(self, host: str) -> dict[str, Lease]:
        mine = (one for one in self._leases.values() if one.host == host)
        return {one.held.id: one for one in mine if not one.news.is_set()}

    def _hear(self, leases: Mapping[str, Lease], told: Mapping[str, Any]) -> None:
        now = time.monotonic()
        begun = sum(bool((told.get(key) or {}).get("known")) for key in leases)
        for key, one in leases.items():
            said = told.get(key) or {}
            one.answered = now
            one.known = one.known or bool(said.get("known"))
            if said.get("known"):
                one.heard = now
                one.events += said.get("events") or ()
                one.result = said.get("result")
            else:
                # Unknown there: not begun yet, or of a life of its worker that is over.
                one.others = int(said.get("busy") or 0) > begun
                if said.get("session", one.session) != one.session:
                    one.over = f"the worker of host {one.host} has ended and was started anew"
            if one.result is not None or one.over is not None:
                one.news.set()

    async def abandon(self) -> list[CameBack]:
        """The night ends early: what is still at work is not waited for, and ends on its hosts, too; what was
        heard of it.
        """
        leases = [lease for lease in self._leases.values() if self._ledger.holds(lease.held.id)]
        found = []
        for lease in leases:
            with contextlib.suppress(HarnessError):  # then its end is not on record
                self._ledger.give_up(lease.held.id, _ENDED)
            found.append(CameBack(lease.held, why=_ENDED, events=list(lease.events)))
        await asyncio.gather(*map(self._drop, leases))
        return found

    async def _drop(self, lease: Lease) -> None:
        with contextlib.suppress(LostError, HarnessError, TimeoutError):
            await asyncio.wait_for(self._links.call(lease.host, calls.drop, lease.held.id), _DROPPING)


def _ours(keys: Keys, names: Collection[tuple[str, str]]) -> set[str]:
    """Node ids here of what a host names by ids and files; of tests in Python the id is the whole."""
    found = {keys.key(name, file) for name, file in names}
    tests = (keys.of_test(name) for name, _ in names)
    return {key for key in found if key is not None} | {item.key for item in tests if item is not None}
