# SPDX-License-Identifier: Apache-2.0
"""How commands end; the numbers are part of what users rely on (README)."""

from __future__ import annotations

#: ``run``: everything that ran has passed.
DONE = 0
#: A driver failed, crashed or hung.
DRIVER = 1
#: Bad usage or configuration, or nothing was selected.
USAGE = 2
#: Our own infrastructure failed: nothing is known about the driver.
INFRASTRUCTURE = 3
