# SPDX-License-Identifier: Apache-2.0
"""Guests as the runner sees them: something that has an agent, and evidence when it dies."""

from harness.guests.interface import (
    ChecksGuests,
    DriverFiles,
    Evidence,
    EvidenceSink,
    Guest,
    GuestProvider,
    KnowsCalls,
    KnowsFiles,
    LeasesAhead,
    LeavesEvidence,
    MeasuresMemory,
    Say,
    SayProgress,
    TellsWhatDriversSay,
)

__all__ = [
    "ChecksGuests",
    "DriverFiles",
    "Evidence",
    "EvidenceSink",
    "Guest",
    "GuestProvider",
    "KnowsCalls",
    "KnowsFiles",
    "LeasesAhead",
    "LeavesEvidence",
    "MeasuresMemory",
    "Say",
    "SayProgress",
    "TellsWhatDriversSay",
]
