# SPDX-License-Identifier: Apache-2.0
"""Guests as the runner sees them: something that has an agent, and evidence when it dies."""

from harness.guests.interface import (
    ChecksGuests,
    Evidence,
    EvidenceSink,
    Guest,
    GuestProvider,
    KnowsCalls,
    LeasesAhead,
    LeavesEvidence,
    Say,
    SayProgress,
)

__all__ = [
    "ChecksGuests",
    "Evidence",
    "EvidenceSink",
    "Guest",
    "GuestProvider",
    "KnowsCalls",
    "LeasesAhead",
    "LeavesEvidence",
    "Say",
    "SayProgress",
]
