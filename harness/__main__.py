# SPDX-License-Identifier: Apache-2.0
"""``python -m harness`` is `kshs`."""

from harness.cli import main

if __name__ == "__main__":
    main()
