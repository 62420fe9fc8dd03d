# SPDX-License-Identifier: Apache-2.0
"""Guests as the runner sees them: something that has an agent, and evidence when it dies."""

from harness.guests.interface import (
    ChecksGuests,
    CountsBlocks,
    DriverFiles,
    Evidence,
    EvidenceSink,
    Guest,
    GuestProvider,
    KnowsCalls,
    KnowsDeployment,
    KnowsFiles,
    KnowsPackage,
    LeasesAhead,
    LeavesEvidence,
    MeasuresMemory,
    Say,
    SayProgress,
    TakesStacks,
    TellsWhatDriversSay,
)

__all__ = [
    "ChecksGuests",
    "CountsBlocks",
    "DriverFiles",
    "Evidence",
    "EvidenceSink",
    "Guest",
    "GuestProvider",
    "KnowsCalls",
    "KnowsDeployment",
    "KnowsFiles",
    "KnowsPackage",
    "LeasesAhead",
    "LeavesEvidence",
    "MeasuresMemory",
    "Say",
    "SayProgress",
    "TakesStacks",
    "TellsWhatDriversSay",
]
