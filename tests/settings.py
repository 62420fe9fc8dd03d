# SPDX-License-Identifier: Apache-2.0
"""The settings with which tests start guests: those of kshs.toml, as the product has them."""

from __future__ import annotations

from harness.config import load
from vm.config import VmConfig


def vm_settings() -> VmConfig:
    """Table [vm]; a test that has settings of its own builds a `VmConfig`."""
    return load().vm
