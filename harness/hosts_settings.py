# SPDX-License-Identifier: Apache-2.0
"""Table [hosts] of kshs.toml."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class HostsConfig(BaseModel):
    """Who this host is among several, and whom it trusts (docs/hosts.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: Path | None = Field(
        default=None,
        description="Folder with ca.pem, NAME.pem and NAME-key.pem, made by `kshs hosts keys DIR NAME`.",
    )
    this: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$",
        description="What this host is called, and whose certificate it shows; default: its host name.",
    )
    silence_s: float = Field(
        default=60.0,
        ge=2.0,
        le=3600.0,
        description="Seconds without a word after which a host's leases are over, here and there.",
    )
    shard_s: float = Field(
        default=60.0,
        gt=0,
        description="Seconds of work that a lease has at least, where there are so many.",
    )
    memory_mib: int | None = Field(
        default=None, ge=512, description="What a worker lends of its memory; default: what is available."
    )
    cores: int | None = Field(
        default=None, ge=1, le=1024, description="What it lends of its cores; default: all that it may use."
    )
