# SPDX-License-Identifier: Apache-2.0
"""Windows kernel memory dumps, read without a debugger (docs/dumps.md)."""

from __future__ import annotations

from harness.evidence.dump.errors import DumpError
from harness.evidence.dump.facts import Dump
from harness.evidence.dump.reading import read

__all__ = ["Dump", "DumpError", "read"]
