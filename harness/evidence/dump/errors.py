# SPDX-License-Identifier: Apache-2.0
"""The one error of everything that reads a dump."""

from __future__ import annotations

from harness.errors import UsageError


class DumpError(UsageError):
    """A file is no dump that can be read here, or not a whole one; one line says which."""
