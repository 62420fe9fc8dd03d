# SPDX-License-Identifier: Apache-2.0
"""PE images, opened so that nothing has to be closed.

``pefile`` maps a file that it is given by name, and its ``close`` and its context manager collect all garbage
of the process, which takes a second where a long test session has much on its heap
(findings/pefile-close-collects.sh).  An image that is read from memory needs neither.
"""

from __future__ import annotations

from pathlib import Path

import pefile

from drivers.errors import BuildError


def opened(path: Path) -> pefile.PE:
    """The image in a file, its headers alone read so far.

    Raises:
        BuildError: it is none, or cannot be read.
    """
    try:
        return pefile.PE(data=path.read_bytes(), fast_load=True)
    except (OSError, pefile.PEFormatError) as error:
        raise BuildError(f"is no PE image: {error}", str(path)) from error
