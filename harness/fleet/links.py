# SPDX-License-Identifier: Apache-2.0
"""What a night needs of an engine: who is there, questions to hosts, and leases begun on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from harness.fleet.hosts import HostFacts
from harness.fleet.shards import Needs


class LostError(OSError):
    """A host did not answer, or is not there: nothing is known of what was asked."""


class Links(Protocol):
    """The hosts of a scheduler."""

    async def hosts(self) -> Mapping[str, HostFacts]:
        """The hosts that are there now, by name.

        Raises:
            LostError: the scheduler does not answer.
        """

    async def call(self, host: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function of `harness.fleet.calls` gives on a host.

        Raises:
            LostError: it does not answer in time.
        """

    async def begin(self, host: str, order: Mapping[str, Any], needs: Needs) -> None:
        """Hands a lease over; what becomes of it is asked of the host.

        Raises:
            LostError: the host is not there.
        """

    async def forget(self, lease: str) -> None:
        """Nobody waits for a lease any more."""
