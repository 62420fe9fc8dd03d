# SPDX-License-Identifier: Apache-2.0
"""``python -m drivers [OUT]``: build what runs inside the guest and print where it is."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from drivers.build import build, paths
from drivers.errors import BuildError, CompileError


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 if everything is built, 1 with one line on stderr if not."""
    parser = argparse.ArgumentParser(
        prog="python -m drivers", description="Build what runs inside the guest."
    )
    parser.add_argument("out", nargs="?", type=Path, help="directory; default: the user's cache")
    parser.add_argument("--source", type=Path, help="another tree of C sources with the folders of drivers/")
    parser.add_argument(
        "--ks-module", default="ks.sys", metavar="NAME", help="name of the reference class driver"
    )
    chosen = parser.parse_args(arguments)
    try:
        made = build(
            chosen.out,
            source=chosen.source,
            ks_module=chosen.ks_module,
            progress=lambda text: print(text, file=sys.stderr),
        )
    except BuildError as error:
        if isinstance(error, CompileError):
            print(error.output.rstrip(), file=sys.stderr)
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, path in paths(made):
        print(f"{name:24} {path}")
    print(f"{'digest':24} {made.digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
