# SPDX-License-Identifier: Apache-2.0
"""A cell as it is sent: its items, what it needs, and the trees that travel with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.fleet.content import Listing
from harness.fleet.lease_files import Item
from harness.fleet.shards import Needs


@dataclass(frozen=True)
class CellItem:
    """One item of a cell.

    `key` is its node id here, `begun` what is known of it before it runs
    (`harness.results.record.begun_record` without its kind), and `seconds` what it is expected to take.
    """

    key: str
    item: Item
    begun: Mapping[str, Any]
    seconds: float
    scenario: bool = True


@dataclass(frozen=True)
class Tree:
    """A tree on its way: where it lies here, and, of an image, what it is there (`Trees.expect`)."""

    path: Path
    listing: Listing
    image: Mapping[str, str] | None = None

    @property
    def digest(self) -> str:
        """By which it is asked for."""
        return self.listing.digest


@dataclass(frozen=True)
class SentCell:
    """All that is known of a cell before it begins.

    `order` are the members of `harness.fleet.lease_files.LeaseOrder` that all of its leases have; `expects`
    is what the record of a lease's host must say (``image``, ``build``, ``target_digest``), where that is
    known. `head` is the beginning of the run's record, and `folder` where its results go.
    """

    name: str
    folder: Path
    needs: Needs
    items: tuple[CellItem, ...]
    trees: tuple[Tree, ...]
    order: Mapping[str, Any]
    expects: Mapping[str, str]
    head: Mapping[str, Any]
    most: int | None = None
