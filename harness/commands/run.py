# SPDX-License-Identifier: Apache-2.0
"""``kshs run``: a thin front of pytest in this process."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest

from harness import config as settings
from harness.errors import HarnessError, UsageError
from harness.guests.package import find_target
from harness.language.scenario_file import CATALOGUE
from harness.results.folder import RESULTS, claim, release

DONE, DRIVER, USAGE, INFRASTRUCTURE = 0, 1, 2, 3


@dataclass(frozen=True)
class Selection:
    """What the command line of ``kshs run`` says."""

    paths: tuple[Path, ...] = ()
    keyword: str | None = None
    guest: str | None = None
    target: str | None = None
    workers: int = 0
    drivers: Path | None = None
    out: Path | None = None
    config: Path | None = None
    pytest_args: tuple[str, ...] = ()

    def command(self) -> str:
        """As it could be typed again."""
        words = ["kshs", "run", *map(str, self.paths)]
        for option, value in (
            ("-k", self.keyword),
            ("--guest", self.guest),
            ("--target", self.target),
            ("-n", self.workers or None),
            ("--drivers", self.drivers),
            ("--out", self.out),
            ("--config", self.config),
        ):
            if value is not None:
                words += [option, str(value)]
        return shlex.join([*words, *(["--", *self.pytest_args] if self.pytest_args else [])])


class Tally:
    """Counts outcomes as a plugin of the session, also those of tests in Python."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0
        self.errors = 0
        self.skipped = 0
        self.uncollected = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one item; xdist's controller gets those of its workers."""
        if report.failed and report.when == "call":
            self.failed += 1
        elif report.failed:
            self.errors += 1
        elif report.skipped:
            self.skipped += 1
        elif report.when == "call":
            self.passed += 1

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that could not be read."""
        if report.failed:
            self.uncollected += 1


def run(selection: Selection) -> int:
    """Runs it; the exit code of ``kshs run``.

    Raises:
        UsageError: settings, target or paths are wrong.
        HarnessError: the results cannot be written, and no driver has failed.
    """
    config = settings.load(selection.config)
    find_target(selection.target or config.run.target, config)
    words = arguments(selection, config)
    directory = (selection.out or config.run.out).absolute()
    claim(directory, ("junit.xml", *RESULTS))
    tally = Tally()
    try:
        code = pytest.main(words, plugins=[tally])
    except BrokenPipeError:
        raise
    except OSError as error:  # junit.xml is pytest's to write
        lost = HarnessError(f"not all results could be written: {error}", str(directory), "is the disk full?")
        if not tally.failed:
            raise lost from None
        print(f"kshs: {lost}", file=sys.stderr)
        return DRIVER
    finally:
        release(directory)
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise UsageError("nothing was selected", hint="look at -k and the paths; docs/pytest.md")
    return exit_code(int(code), tally)


def arguments(selection: Selection, config: settings.Config) -> list[str]:
    """What pytest is called with."""
    paths = list(selection.paths) or list(config.run.scenarios or [CATALOGUE])
    for path in paths:
        # A path may be a pytest node id: file.toml::scenario
        if not Path(str(path).split("::")[0]).exists():
            raise UsageError("there is no such file or directory", where=str(path))
    directory = (selection.out or config.run.out).absolute()
    chosen = ["-p", "harness.plugin.hooks"] if not installed() else []
    chosen += [
        f"--rootdir={Path.cwd()}",
        "--tb=short",
        f"--junitxml={directory / 'junit.xml'}",
        "-o",
        "junit_family=xunit1",
        f"--kshs-out={directory}",
        f"--kshs-command={selection.command()}",
        f"--kshs-target={selection.target or config.run.target}",
        f"--kshs-guest={selection.guest or config.run.guest}",
    ]
    if selection.config is not None:
        chosen.append(f"--kshs-config={selection.config}")
    if selection.drivers is not None:
        chosen.append(f"--kshs-drivers={selection.drivers.absolute()}")
    if selection.keyword is not None:
        chosen += ["-k", selection.keyword]
    if selection.workers:
        chosen += ["-n", str(selection.workers)]
    if "CI" in os.environ:
        chosen += ["--color=no"]
    return [*chosen, *selection.pytest_args, *map(str, paths)]


def installed() -> bool:
    """Whether pytest finds our plugin by itself."""
    return any(entry.name == "kshs" for entry in metadata.entry_points(group="pytest11"))


def exit_code(code: int, tally: Tally) -> int:
    """Ours from pytest's and from what has run.

    A driver that failed outranks an infrastructure that did: what is known stays known.  Nothing that
    did not run is passed over: without a single pass the run has shown nothing.
    """
    if tally.uncollected or code in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
        return USAGE
    if tally.failed:
        return DRIVER
    if tally.errors or code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return INFRASTRUCTURE
    return DONE if tally.passed else INFRASTRUCTURE
