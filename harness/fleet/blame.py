# SPDX-License-Identifier: Apache-2.0
"""Whose fault it is that a lease came to nothing: the host's, or that of what it was given.

A host on which infrastructure fails three times is quarantined.  But what fails wherever it goes is no fault
of the hosts: while a cell has worked nowhere, and others could carry it, all of its failures on a host are
one, and what was held against hosts for a shard that fails everywhere is taken back.  A driver that fails,
crashes or hangs is nobody's fault here: that is a result.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: Failures of a host's infrastructure after which it is quarantined.
STRIKES = 3
#: How often a shard is tried before it is given up.
TRIES = 3


@dataclass(frozen=True)
class Strike:
    """One failure of a host under a shard; `incident` is the same for all that one event has cost.

    `held`: whether it speaks against the host: a guest that was lost under a scenario does not.
    """

    host: str
    shard: str
    cell: str
    reason: str
    incident: str
    held: bool = True


@dataclass
class Blame:
    """What is held against the hosts of a night."""

    strikes: list[Strike] = field(default_factory=list)
    worked_cells: set[str] = field(default_factory=set)

    def failed(
        self, host: str, shard: str, cell: str, reason: str, incident: str, *, held: bool = True
    ) -> None:
        """Something of ours has failed under a shard on a host."""
        self.strikes.append(Strike(host, shard, cell, reason, incident, held))

    def worked(self, cell: str) -> None:
        """A shard of the cell has worked somewhere: what fails of it elsewhere speaks against that host."""
        self.worked_cells.add(cell)

    def hosts_of(self, shard: str) -> frozenset[str]:
        """The hosts on which a shard has failed."""
        return frozenset(strike.host for strike in self.strikes if strike.shard == shard)

    def acquit(self, shard: str) -> None:
        """The shard itself is what fails: takes back what was held against several hosts for it."""
        if len(self.hosts_of(shard)) > 1:
            self.strikes = [strike for strike in self.strikes if strike.shard != shard]

    def forgive(self, host: str) -> None:
        """Somebody has lifted a host's quarantine: what came before does not count any more."""
        self.strikes = [strike for strike in self.strikes if strike.host != host]

    def sentence(self, host: str, *, others: bool) -> str | None:
        """Why a host is to be quarantined; None where it is not.  ``others``: whether there are other
        hosts.
        """
        held: dict[tuple[str, str], Strike] = {}
        for strike in self.strikes:
            if strike.host == host and strike.held:
                unproven = others and strike.cell not in self.worked_cells
                held.setdefault((strike.cell, "") if unproven else ("", strike.incident), strike)
        if len(held) < STRIKES:
            return None
        reasons = list(dict.fromkeys(strike.reason for strike in held.values()))
        return f"infrastructure failed {len(held)} times: {'; '.join(reasons[-STRIKES:])}"
