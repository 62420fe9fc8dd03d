# SPDX-License-Identifier: Apache-2.0
"""Mistakes of the user in pytest's own kind, said once and by whoever talks to the user."""

from __future__ import annotations

import pytest

from harness.errors import UsageError


def refuse(config: pytest.Config, error: UsageError) -> pytest.UsageError:
    """The error to raise, so that pytest ends with its code for wrong usage.

    It is empty, and pytest prints nothing of it, where a front like ``kshs run`` says it in its own way.
    """
    said = config.hook.pytest_kshs_refused(message=str(error))
    return pytest.UsageError() if said else pytest.UsageError(str(error))
