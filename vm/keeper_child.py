# SPDX-License-Identifier: Apache-2.0
"""Waits for the end of a process; whatever was inherited is held until then (`vm.keeper`)."""

from __future__ import annotations

import os
import select
import sys


def main() -> None:
    """The process is that whose id is the argument; closed standard output says that it is watched."""
    try:
        process = os.pidfd_open(int(sys.argv[1]))
    except ProcessLookupError:
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    select.select([process], [], [])


if __name__ == "__main__":
    main()
