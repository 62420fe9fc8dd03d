# SPDX-License-Identifier: Apache-2.0
"""What a suite of a night selects (docs/nights.md)."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class SuiteConfig(BaseModel):
    """One selection of scenarios for a night; the keys are the options of ``kshs run``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    paths: list[Path] = Field(default_factory=list, description="Files and directories; else run.scenarios.")
    rule: list[str] = Field(default_factory=list, description="Only scenarios of these rules.")
    route: list[str] = Field(default_factory=list, description="Only those that send by these routes.")
    tag: list[str] = Field(default_factory=list, description="Only those with these tags.")
    id: list[str] = Field(default_factory=list, description="Only those whose ids match these patterns.")
    k: str | None = Field(default=None, description="pytest's own expression.")
