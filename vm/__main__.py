# SPDX-License-Identifier: Apache-2.0
"""``python -m vm``: this room on its own, for its developers (``kshs`` is the front for everybody else)."""

from __future__ import annotations

import argparse
import sys
import time

from vm import doctor, image, lease, reaper, template
from vm.config import VmConfig, of_environment
from vm.errors import InputError, VmError
from vm.hypervisor import Hypervisor


class _Timed:
    """Progress as lines with seconds."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def step(self, text: str, fraction: float | None = None) -> None:
        print(f"{time.monotonic() - self._begun:6.1f} s  {text}", file=sys.stderr, flush=True)


def _doctor(config: VmConfig) -> int:
    found = doctor.checks(config)
    for check in found:
        print(f"{'ok ' if check.ok else 'BAD'} {check.name}: {check.detail}")
        if check.fix:
            print(f"    mend it with: {check.fix}")
    return 0 if all(check.ok for check in found) else 3


def _image(config: VmConfig) -> int:
    print(image.ensure(config, progress=_Timed()).path)
    return 0


def _run(config: VmConfig, command: str) -> int:
    progress = _Timed()
    base = image.ensure(config, progress=progress)
    with Hypervisor(config) as hypervisor:
        made = template.ensure(hypervisor, base, None, progress)
        progress.step("lease")
        with lease.acquire(hypervisor, made) as guest:
            progress.step(f"{guest.id} is up")
            done = guest.shell.run(command)
            progress.step("done")
    sys.stdout.buffer.write(done.stdout)
    sys.stderr.buffer.write(done.stderr)
    return done.exit_code


def main() -> int:
    """Runs one verb; exit code 2: wrong usage or settings, 3: our infrastructure failed."""
    parser = argparse.ArgumentParser(prog="python -m vm")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in ("doctor", "image", "reap", "clean"):
        verbs.add_parser(name)
    verbs.add_parser("run").add_argument("command", help="a command line of the guest's shell")
    arguments = parser.parse_args()
    try:
        config = of_environment()
        if arguments.verb == "doctor":
            return _doctor(config)
        if arguments.verb == "image":
            return _image(config)
        if arguments.verb == "run":
            return _run(config, arguments.command)
        for line in reaper.reap(config) if arguments.verb == "reap" else reaper.clean(config):
            print(line)
    except VmError as error:
        print(f"vm: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
