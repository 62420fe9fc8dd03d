# SPDX-License-Identifier: Apache-2.0
"""Leases that were given up, and whose hosts are here again: what they did is put on record."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence

from harness.errors import HarnessError
from harness.fleet import calls
from harness.fleet.ledger import Ledger
from harness.fleet.links import Links, LostError
from harness.fleet.merging import CameBack
from harness.fleet.roster import Roster
from vm.words import counted

#: Seconds between two questions to a host for what it had at work when it was given up.
_ASK_EACH = 2.0


class Reconciler:
    """Of one night.

    Args:
        links: to the hosts.
        roster: of them.
        ledger: of the night.
        night: its id.
    """

    def __init__(self, links: Links, roster: Roster, ledger: Ledger, night: str) -> None:
        self._links = links
        self._roster = roster
        self._ledger = ledger
        self._night = night
        self._asked: dict[str, float] = {}
        self._known: set[str] = set()

    def open(self, leases: Iterable[CameBack]) -> list[CameBack]:
        """Those that were given up, and of which their hosts have not said yet what they had begun."""
        return [one for one in leases if one.why is not None and one.held.id not in self._known]

    async def ask(self, lost: Sequence[CameBack], *, at_once: bool = False) -> None:
        """Asks the hosts of such leases that are heard of; ``at_once``: whenever they were asked last."""
        now = time.monotonic()
        for host in {one.held.host for one in lost} & set(self._roster.facts):
            if not self._roster.is_heard(host):
                continue  # it would be waited for
            if not at_once and now - self._asked.get(host, 0.0) < _ASK_EACH:
                continue
            self._asked[host] = now
            try:
                left: Mapping[str, list[Mapping[str, object]]] = await self._links.call(
                    host, calls.leftovers, self._night
                )
            except (LostError, HarnessError):
                continue
            at_work = {taken.lease for taken in self._roster.facts[host].at_work}
            for one in lost:
                if one.held.host != host:
                    continue
                events = left.get(one.held.id)
                if events is None:  # it is not at its end, or never came there
                    if one.held.id not in at_work:
                        self._known.add(one.held.id)
                    continue
                one.late = list(events)
                self._known.add(one.held.id)
                self._ledger.late(one.held.id, f"{counted(len(events), 'event')} of it")
                with contextlib.suppress(LostError, HarnessError):
                    await self._links.call(host, calls.drop, one.held.id)
