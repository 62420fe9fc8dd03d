# SPDX-License-Identifier: Apache-2.0
"""Who is there in a night, what each can carry now, and who is quarantined."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable

from harness.errors import HarnessError
from harness.fleet import calls
from harness.fleet.blame import Blame
from harness.fleet.hosts import HostFacts
from harness.fleet.links import Links, LostError
from harness.fleet.policy import Load
from harness.fleet.shards import Needs


class Roster:
    """The hosts of a night.

    Args:
        links: to them.
        blame: what is held against them.
        code: digest of our own kshs: hosts with another one get no lease.
        silence: seconds after which a host that does not answer is lost.
        tell: told what has happened, a line each.
        lift: the words behind ``kshs hosts lift NAME``.
    """

    def __init__(
        self,
        links: Links,
        blame: Blame,
        code: str | None,
        silence: float,
        tell: Callable[[str], None],
        lift: str = "",
    ) -> None:
        self._links = links
        self._blame = blame
        self._code = code
        self._silence = silence
        self._tell = tell
        self._lift = lift
        self.facts: dict[str, HostFacts] = {}
        self._heard: dict[str, float] = {}
        self._sentenced: dict[str, str] = {}
        #: Hosts that know of their quarantine: one that is silent hears of it when it is back.
        self._know: set[str] = set()

    async def look(self) -> None:
        """Who is there, and whether somebody has lifted a quarantine or come back."""
        try:
            there = await self._links.hosts()
        except LostError:
            return
        now = time.monotonic()
        for name, facts in there.items():
            before = self.facts.get(name)
            if before is None:
                self._tell(f"host {name}: {facts.closed(self._code) or 'is there'}")
            elif before.session != facts.session:
                self._tell(f"host {name}: is back")
            elif (why := facts.closed(self._code)) != before.closed(self._code) and (
                name not in self._sentenced  # else what follows says it
            ):
                self._tell(f"host {name}: {why or 'takes leases again'}")
            self.facts[name] = facts
            self._heard[name] = now
            if name in self._sentenced:
                await self._follow_up(name, before, facts)

    async def _follow_up(self, name: str, before: HostFacts | None, facts: HostFacts) -> None:
        """Of a host that was quarantined in this night."""
        if facts.quarantined:
            self._know.add(name)
        elif name not in self._know:
            await self._inform(name, self._sentenced[name])
        elif before is not None and before.quarantined:
            self._tell(f"host {name}: the quarantine was lifted")
            self._blame.forgive(name)
            del self._sentenced[name]
            self._know.discard(name)

    async def _inform(self, name: str, sentence: str | None) -> None:
        with contextlib.suppress(LostError, HarnessError):
            await self._links.call(name, calls.quarantine, sentence)

    def is_heard(self, name: str) -> bool:
        """Whether a host has said something a moment ago."""
        return time.monotonic() - self._heard[name] < max(3.0, self._silence / 4)

    def loads(self, running: Iterable[tuple[Needs, str]], ours: Callable[[str], bool]) -> list[Load]:
        """The hosts as the policy sees them, with what runs on them.

        Args:
            running: what this night has at work, and where.
            ours: whether a lease is this night's; what others have at work takes room as well.
        """
        found = {}
        for name, facts in self.facts.items():
            load = found[name] = facts.load(self._code)
            if not self.is_heard(name):
                load.closed = "silent"
            elif name in self._sentenced:
                load.closed = f"quarantined: {self._sentenced[name]}"
            for taken in facts.at_work:
                if not ours(taken.lease):
                    load.cores_taken += taken.cores
                    load.memory_taken += taken.memory_mib
                    load.guests.append(taken.guest)
        for needs, host in running:
            if host in found:
                found[host].take(needs)
        return list(found.values())

    async def sentence(self) -> None:
        """Quarantines hosts of which too much has failed, there too; or takes that back."""
        for host in list(self.facts):
            sentence = self._blame.sentence(host, others=len(self.facts) > 1)
            if sentence is not None and host not in self._sentenced:
                self._sentenced[host] = sentence
                self._know.discard(host)
                lift = f"kshs hosts lift {host} {self._lift}".rstrip()
                self._tell(f"host {host}: quarantined: {sentence}; lift it with: {lift}")
            elif sentence is None and host in self._sentenced:
                del self._sentenced[host]
                self._tell(f"host {host}: the quarantine is lifted: what failed there fails elsewhere, too")
            else:
                continue
            await self._inform(host, sentence)
