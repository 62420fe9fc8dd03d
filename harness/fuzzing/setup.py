# SPDX-License-Identifier: Apache-2.0
"""Puts a campaign together: from a provider of guests and a folder to the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.capsule.playing import Player
from harness.contract import capabilities
from harness.fuzzing.against import AgainstPlayer
from harness.fuzzing.campaign import SMALLER, Campaign
from harness.fuzzing.composing import Composer
from harness.fuzzing.corpus import Corpus
from harness.fuzzing.feedback import CoverageSource
from harness.fuzzing.finding import Investigator
from harness.fuzzing.fitting import Fitting
from harness.fuzzing.in_flight import InFlight
from harness.fuzzing.keeping import Capsule, Keeper, State
from harness.fuzzing.pool import pool
from harness.fuzzing.trips import Trips
from harness.guest_info import GuestInfo
from harness.guests import GuestProvider

if TYPE_CHECKING:
    from drivers.abi import Abi

Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What a campaign is asked for beyond its state.

    Args:
        timeout_ms: that a request may take before it hangs.
        finds: so many are enough.
        sequences: so many are enough.
        steered: whether what was kept is made into others.
        in_bulks: whether sequences on pins that stand open go in bulks, too.
        smaller: seconds at most for making a find smaller.
    """

    timeout_ms: int = 10_000
    finds: int | None = None
    sequences: int | None = None
    steered: bool = True
    in_bulks: bool = True
    smaller: float = SMALLER


@contextmanager
def campaign(
    provider: GuestProvider,
    abi: Abi,
    folder: Path,
    state: State,
    say: Say,
    asked: Asked,
    *,
    capsule: Callable[[Trips], Capsule] | None = None,
    coverage: CoverageSource | None = None,
    against: GuestProvider | None = None,
) -> Iterator[Campaign]:
    """A campaign that can be run; its leases end with the context, the provider does not.

    Args:
        provider: of guests; prepared.
        abi: of this harness.
        folder: of the campaign; there.
        state: of a new campaign, or of one to go on with.
        say: is told how it goes.
        asked: bounds.
        capsule: makes capsules of finds, from what the guest has said of itself.
        coverage: counts what drivers execute, where somebody does.
        against: gives guests with what kept sequences are held against; prepared.

    Raises:
        HarnessError, VmError, BuildError: no guest can be provided.
    """
    Keeper(folder).state(state)  # before anything else is there: who is killed now can go on, too
    trips = Trips(provider, abi, InFlight(folder), capabilities.missing, coverage)
    try:
        info = GuestInfo.of(trips.lease.info)
        target = trips.lease.target()
        sizes = trips.lease.sizes()
        fitting = Fitting(target, frozenset(capabilities.absent(info)), sizes.kernel)
        composer = Composer(target, pool(target), fitting, asked.timeout_ms)

        @contextmanager
        def investigators() -> Iterator[Investigator]:
            with Player(provider, say, lent=True) as player:
                yield Investigator(player, composer, say)

        keeper = Keeper(folder, capsule(trips) if capsule is not None else None)
        with ExitStack() as stack:
            differences = None
            if against is not None:
                here = stack.enter_context(Player(provider, say, lent=True))
                there = stack.enter_context(Player(against, say, lent=True))
                both = AgainstPlayer(here, there, str(state.against))
                differences = Investigator(both, composer, say)
            yield Campaign(
                trips,
                composer,
                investigators,
                Corpus(folder),
                keeper,
                state,
                say,
                asked.finds,
                asked.sequences,
                asked.steered,
                differences,
                asked.in_bulks,
                asked.smaller,
            )
    finally:
        trips.close()
