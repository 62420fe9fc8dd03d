# SPDX-License-Identifier: Apache-2.0
"""The settings' table [gate]."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

#: How a key begins that lies on a PKCS#11 token.
TOKEN = "hsm:"  # noqa: S105 - no password


class GateConfig(BaseModel):
    """How statements and waivers are signed (docs/gate.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str | None = Field(
        default=None, min_length=1, description="Private key: a PEM file, or `hsm:ID?label=TOKEN` (PKCS#11)."
    )
    pkcs11: Path | None = Field(default=None, description="Library of the PKCS#11 token.")
    pin: Path | None = Field(default=None, description="File with its PIN; else the variable KSHS_PIN.")

    def beside(self, anchor: Callable[[Any], Any]) -> GateConfig:
        """The same with its paths made whole by a function; a key on a token is no path."""
        update = {"pkcs11": anchor(self.pkcs11), "pin": anchor(self.pin)}
        if self.key is not None and not self.key.startswith(TOKEN):
            update["key"] = str(anchor(self.key))
        return self.model_copy(update=update)
