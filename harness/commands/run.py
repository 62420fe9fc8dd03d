# SPDX-License-Identifier: Apache-2.0
"""``kshs run``: a thin front of pytest in this process."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from harness import config as settings
from harness.commands.exit_codes import DONE, DRIVER, INFRASTRUCTURE, USAGE
from harness.commands.front import call_pytest
from harness.errors import HarnessError, UsageError
from harness.guests.package import find_target
from harness.language.scenario_file import CATALOGUE
from harness.plugin.call import NAME as CALL
from harness.plugin.call import Call
from harness.plugin.observation import NAME as OBSERVER
from harness.plugin.observation import Observer
from harness.progress import Progress
from harness.results.folder import JUNIT, claim, release
from harness.verdict import Verdict, worst
from vm.errors import VmError

_GOOD = (Verdict.PASSED, Verdict.SKIPPED)


@dataclass(frozen=True)
class Selection:
    """What the command line of ``kshs run`` says."""

    paths: tuple[Path, ...] = ()
    keyword: str | None = None
    rules: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    guest: str | None = None
    target: str | None = None
    workers: int = 0
    drivers: Path | None = None
    out: Path | None = None
    config: Path | None = None
    coverage: bool = False
    coverage_of: tuple[str, ...] = ()
    sources: tuple[Path, ...] = ()
    symbols: tuple[Path, ...] = ()
    record: bool = False
    pytest_args: tuple[str, ...] = ()

    def options(self) -> dict[str, Any]:
        """As plain JSON, for another session of the run; where results go is told by the place of these."""
        plain: dict[str, Any] = _SELECTION.dump_python(self, mode="json", exclude={"out"})
        return plain

    @property
    def filters(self) -> list[tuple[str, str]]:
        """Options of the selection with their values."""
        kinds = (("rule", self.rules), ("route", self.routes), ("tag", self.tags), ("id", self.ids))
        return [(name, value) for name, values in kinds for value in values]

    @property
    def counted(self) -> list[tuple[str, str]]:
        """Options of the coverage with their values."""
        kinds = (("coverage-of", self.coverage_of), ("sources", self.sources), ("symbols", self.symbols))
        return [(name, str(value)) for name, values in kinds for value in values]

    def command(self) -> str:
        """As it could be typed again."""
        words = ["kshs", "run", *map(str, self.paths)]
        for name, word in self.filters:
            words += [f"--{name}", word]
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
        words += ["--coverage"] if self.coverage else []
        words += ["--record"] if self.record else []
        for name, value in self.counted:
            words += [f"--{name}", value]
        return shlex.join([*words, *(["--", *self.pytest_args] if self.pytest_args else [])])


_SELECTION = TypeAdapter(Selection)


def of_options(options: Mapping[str, Any], out: Path) -> Selection:
    """What `Selection.options` gave, with the place of the results.

    Raises:
        ValueError: it is damaged.
    """
    return replace(_SELECTION.validate_python(dict(options)), out=out)


def run(selection: Selection) -> int:
    """Runs it; the exit code of ``kshs run``.

    Raises:
        UsageError: settings, target or paths are wrong.
        HarnessError: the results cannot be written, and no driver has failed.
    """
    return run_called(selection, Call(selection.options()))


def run_called(selection: Selection, call: Call) -> int:
    """The same, for a run as it was called, or for another session of it."""
    config = settings.load(selection.config)
    find_target(selection.target or config.run.target, config)
    if selection.record:
        from harness.commands.run_recording import check

        check(config, selection.guest or config.run.guest)
    words = arguments(selection, config)
    directory = (selection.out or config.run.out).absolute()
    claim(directory)
    observer = Observer()
    try:
        code = call_pytest(words, [_Named(observer, call)])
        if selection.record and observer.ran and not observer.interrupted:
            _record(selection, config, directory)
    except BrokenPipeError:
        raise
    except OSError as error:  # junit.xml is pytest's to write
        lost = HarnessError(f"not all results could be written: {error}", str(directory), "is the disk full?")
        if not worst(observer.verdicts).is_driver_fault:
            raise lost from None
        print(f"kshs: {lost}", file=sys.stderr)
        return DRIVER
    finally:
        release(directory)
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise UsageError(
            "nothing was selected", hint="look at -k and the paths; kshs list shows what there is"
        )
    doubt = disagreement(code, observer)
    if doubt is not None:
        print(f"kshs: {doubt}", file=sys.stderr)
    return exit_code(code, observer)


def _record(selection: Selection, config: settings.Config, directory: Path) -> None:
    """Records what failed; whatever comes of that, the run keeps its exit code."""
    from harness.commands.run_recording import Wanted, record_failures, told

    wanted = Wanted(
        config,
        selection.guest or config.run.guest,
        selection.target or config.run.target,
        selection.drivers.absolute() if selection.drivers is not None else None,
    )
    try:
        with Progress() as progress:
            records = record_failures(directory, wanted, progress.say)
    except (HarnessError, VmError) as error:
        print(f"kshs: nothing was recorded: {error}", file=sys.stderr)
        return
    for line in told(records, directory):
        print(line)


class _Named:
    """Brings the observer and the call into the session, before the plugin looks for them there."""

    def __init__(self, observer: Observer, call: Call) -> None:
        self._observer = observer
        self._call = call

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """The session begins."""
        config.pluginmanager.register(self._observer, OBSERVER)
        config.pluginmanager.register(self._call, CALL)


def arguments(selection: Selection, config: settings.Config) -> list[str]:
    """What pytest is called with."""
    directory = (selection.out or config.run.out).absolute()
    chosen = [
        "--tb=short",
        f"--junitxml={directory / JUNIT}",
        "-o",
        "junit_family=xunit1",
        f"--kshs-out={directory}",
        f"--kshs-command={selection.command()}",
        f"--kshs-target={selection.target or config.run.target}",
        f"--kshs-guest={selection.guest or config.run.guest}",
    ]
    if selection.drivers is not None:
        chosen.append(f"--kshs-drivers={selection.drivers.absolute()}")
    if selection.coverage:
        chosen.append("--kshs-coverage")
    elif selection.counted:
        name = selection.counted[0][0]
        raise UsageError(
            f"--{name} says something about --coverage, which is not given", hint="add --coverage"
        )
    chosen += [f"--kshs-{name}={value}" for name, value in selection.counted]
    if selection.workers:
        chosen += ["-n", str(selection.workers)]
    if "CI" in os.environ:
        chosen += ["--color=no"]
    return [*chosen, *selection.pytest_args, *collection_arguments(selection, config)]


def collection_arguments(selection: Selection, config: settings.Config) -> list[str]:
    """What of it says what is selected.

    Raises:
        UsageError: a path is not there.
    """
    paths = list(selection.paths) or list(config.run.scenarios or [CATALOGUE])
    for path in paths:
        # A path may be a pytest node id: file.toml::scenario
        if not Path(str(path).split("::")[0]).exists():
            raise UsageError("there is no such file or directory", where=str(path))
    chosen = ["-p", "harness.plugin"] if not installed() else []
    chosen.append(f"--rootdir={Path.cwd()}")
    if selection.config is not None:
        chosen.append(f"--kshs-config={selection.config}")
    chosen += [f"--kshs-{name}={value}" for name, value in selection.filters]
    if selection.keyword is not None:
        chosen += ["-k", selection.keyword]
    return [*chosen, *map(str, paths)]


def installed() -> bool:
    """Whether pytest finds our plugin by itself."""
    return any(entry.name == "kshs" for entry in metadata.entry_points(group="pytest11"))


def exit_code(code: int, observer: Observer) -> int:
    """Ours from pytest's, from what it reported, and from what was read back from the results.

    The worst of them counts.  A driver that failed outranks an infrastructure that did, and a file that could
    not be read: what is known stays known.  Nothing that did not run is passed over: without a single pass
    the run has shown nothing.
    """
    verdicts = {*observer.verdicts, *_recorded(observer)}
    if worst(verdicts).is_driver_fault:
        return DRIVER
    if observer.uncollected or code in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
        return USAGE
    if not observer.ran:  # it was only to show what there is
        return DONE if code == pytest.ExitCode.OK else INFRASTRUCTURE
    sound = code == pytest.ExitCode.OK and observer.problem is None and Verdict.ERROR not in verdicts
    return DONE if sound and Verdict.PASSED in verdicts else INFRASTRUCTURE


def disagreement(code: int, observer: Observer) -> str | None:
    """Where pytest's exit code is not what its reports and the results say; None where all three agree."""
    if not observer.ran or code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return None
    bad = [verdict for verdict in (*observer.verdicts, *_recorded(observer)) if verdict not in _GOOD]
    if code == pytest.ExitCode.OK and bad:
        what = f"one of the verdicts is {worst(bad).value}"
        return f"pytest ended with 0, but {what}: the worse of the two counts"
    if code == pytest.ExitCode.TESTS_FAILED and not bad:
        return "pytest ended with 1, but nothing is on record that failed: nothing is known of the driver"
    return None


def _recorded(observer: Observer) -> set[Verdict]:
    kept = observer.recorded
    return {verdict for verdict in Verdict if kept is not None and kept[verdict.value]}
