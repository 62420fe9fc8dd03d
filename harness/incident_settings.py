# SPDX-License-Identifier: Apache-2.0
"""Table [incidents] of kshs.toml (`harness.config`)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class IncidentsConfig(BaseModel):
    """What is kept of crashes, hangs and lost guests, beside the results of the run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep_days: int = Field(
        default=30, ge=1, le=3650, description="Days after which incidents of earlier runs are removed."
    )
    keep: int = Field(
        default=200,
        ge=1,
        le=100000,
        description="Incidents in one directory of results; those of earlier runs go first.",
    )
    budget_mib: int = Field(
        default=2048, ge=1, le=1 << 20, description="Size of all incidents in one directory of results, MiB."
    )
    file_kib: int = Field(
        default=256, ge=4, le=65536, description="Of each log and console the last so many KiB."
    )
    memory_dump: bool = Field(
        default=True,
        description="Whether the hypervisor writes a Windows guest's memory, where it fits in the budget.",
    )
