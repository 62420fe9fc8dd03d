# SPDX-License-Identifier: Apache-2.0
"""What the pytest plugin holds while a session lasts: options, the runner, parts of results, the latch."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from drivers.errors import BuildError
from harness import config as settings
from harness.agent.journal import Journal, unfinished
from harness.agent.missing_calls import ask as ask_missing_calls
from harness.errors import DeployError, HarnessError, UsageError
from harness.guests import GuestProvider, verifier
from harness.guests.package import find_target
from harness.guests.provider import VmProvider
from harness.guests.source import find_guest
from harness.plugin.observation import WhatRan
from harness.plugin.python_tests import PythonTests
from harness.results import missing_calls, tally
from harness.results import parts as part_files
from harness.results.folder import PARTS, claim
from harness.results.parts import PartWriter
from harness.results.record import ScenarioResult
from harness.running.runner import Runner
from harness.verdict import Verdict
from vm.errors import VmError
from vm.files import write_whole

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

#: Failures of our own: pytest errors, never failures.
INFRASTRUCTURE = (HarnessError, VmError, BuildError)

STATE = pytest.StashKey["PluginState"]()

_BROKEN = "broken"
_INTERRUPTED = "the run was interrupted: not all that was selected has run"


class LatchedError(HarnessError):
    """The guest could not be provided once; said again, in the same words, without another try."""


class PluginState:
    """One in each process of a session: the controller's and each xdist worker's.

    Nothing is made before a scenario or one of our fixtures needs it: a project that merely has
    kshs installed pays nothing for it.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.pytest_config = config
        worker_input: Mapping[str, Any] | None = getattr(config, "workerinput", None)
        self.worker = worker_input["workerid"] if worker_input else "main"
        self.is_worker = worker_input is not None
        self.settings = self._settings()
        self.out: Path | None = self._out()
        self.started = datetime.now(UTC)
        self.clock = time.monotonic()
        self.run_id = worker_input["kshs_run"] if worker_input else uuid.uuid4().hex[:12]
        self._parts: Path | None = Path(worker_input["kshs_parts"]) if worker_input else None
        self._runner: Runner | None = None
        self._provider: GuestProvider | None = None
        self._writer: PartWriter | None = None
        self._journal: Journal | None = None
        self._latch: str | None = None
        self._environment_written = False
        self.selected = False
        self.prepared = False
        self.problem: str | None = None
        self.interrupted = False
        self.shortfall: str | None = None
        self.python_tests = PythonTests()
        self.what_ran = WhatRan()
        self.records: list[dict[str, Any]] | None = None

    # ---- options -----------------------------------------------------------

    def _option(self, name: str) -> Any:
        return self.pytest_config.getoption(name, default=None)

    def _settings(self) -> settings.Config:
        path = self._option("kshs_config")
        return settings.load(Path(path) if path else None)

    def _out(self) -> Path | None:
        out = self._option("kshs_out")
        return Path(out).absolute() if out else None

    def _drivers(self) -> Path | None:
        given = self._option("kshs_drivers")
        source = Path(given).absolute() if given else self.settings.run.drivers
        if source is not None and not (source / "abi" / "kshs_abi.h").is_file():
            raise UsageError(
                "holds no drivers: abi/kshs_abi.h is missing",
                where=str(source),
                hint="give a copy of the project's drivers/ folder",
            )
        return source

    @property
    def guest_name(self) -> str:
        """Recipe of the guest."""
        return self._option("kshs_guest") or self.settings.run.guest

    @property
    def target_name(self) -> str:
        """As the user said it."""
        return self._option("kshs_target") or self.settings.run.target

    # ---- the provider and the runner ---------------------------------------

    @property
    def provider(self) -> GuestProvider:
        """From the hook `pytest_kshs_provider`, else real guests."""
        if self._provider is None:
            hook = self.pytest_config.hook
            given: GuestProvider | None = hook.pytest_kshs_provider(config=self.pytest_config)
            self._provider = given or VmProvider(
                self.settings.vm,
                find_target(self.target_name, self.settings),
                self.guest_name,
                source=self._drivers(),
                way=self.settings.leases_of(self.guest_name),
            )
        return self._provider

    def check_guest(self) -> None:
        """That there is a guest of this name; another provider than ours knows its own names.

        Raises:
            UsageError: there is none.
        """
        if isinstance(self.provider, VmProvider):
            find_guest(self.settings.vm, self.guest_name)

    def prepare(self, say: Callable[[str], None]) -> None:
        """Makes guests possible: builds, image, template.  A failure is latched for all processes.

        Raises:
            UsageError: the target cannot run on such guests; there is no use in trying any scenario.
        """
        if self.prepared or self._latched():
            return
        try:
            self.provider.prepare(say)
            self.prepared = True
        except UsageError:
            raise
        except INFRASTRUCTURE as error:
            self.latch(error)

    def _keep(self, error: Exception) -> str:
        """Writes what an error brought along into the run's folder; says where."""
        if self.out is None or not isinstance(error, DeployError):
            return ""
        kept = []
        for name, text in error.artefacts.items():
            path = self.out / name
            with contextlib.suppress(OSError):
                self.out.mkdir(parents=True, exist_ok=True)
                write_whole(path, text)
                kept.append(str(path))
        return f"; all of it: {', '.join(kept)}" if kept else ""

    def runner(self) -> Runner:
        """The runner with a guest at hand.

        Raises:
            LatchedError: a guest cannot be provided; the first failure, in its own words.
        """
        latched = self._latched()
        if latched is not None:
            raise LatchedError(latched)
        try:
            if self._runner is None:
                from drivers import abi
                from harness.contract.capabilities import missing

                self._journal = Journal(self.parts / f"journal-{self.worker}.jsonl")
                self._runner = Runner(self.provider, abi.load(), self._journal, fits=missing)
            self._runner.ready()
        except INFRASTRUCTURE as error:
            self.latch(error)
            raise LatchedError(self._latch or str(error)) from None
        self._write_environment(self._runner.info)
        return self._runner

    def latch(self, error: Exception) -> None:
        """From now on every item gets this error at once, here and in the other workers."""
        self._latch = " ".join(str(error).split()) + self._keep(error)
        with contextlib.suppress(OSError):
            write_whole(self.parts / _BROKEN, self._latch)  # another worker may be reading

    def _latched(self) -> str | None:
        if self._latch is None:
            with contextlib.suppress(OSError):
                self._latch = (self.parts / _BROKEN).read_text(encoding="utf-8")
        return self._latch

    # ---- results -----------------------------------------------------------

    @property
    def parts(self) -> Path:
        """Where the processes of this session leave their parts of the results."""
        if self._parts is None:
            if self.out is not None:
                claim(self.out, ())
                self._parts = Path(tempfile.mkdtemp(prefix=PARTS, dir=self.out))
            else:
                self._parts = Path(tempfile.mkdtemp(prefix="kshs-parts-"))
        return self._parts

    @property
    def has_parts(self) -> bool:
        """Whether anything has been left there."""
        return self._parts is not None and any(self._parts.iterdir())

    def write(self, result: ScenarioResult, order: int) -> None:
        """One scenario's lines."""
        self._part().write_scenario(result, order=order, worker=self.worker)

    def _part(self) -> PartWriter:
        if self._writer is None:
            self._writer = PartWriter(self.parts / f"results-{self.worker}.jsonl")
        return self._writer

    def _write_environment(self, info: Mapping[str, Any]) -> None:
        if self._environment_written:
            return
        self._environment_written = True
        self._part().write(
            {
                "kind": "environment",
                "guest": describe_guest(info),
                "info": info,
                "host": dict(self.provider.host()),
                "target_digest": self.provider.target_digest(),
            }
        )

    def _write_missing_calls(self) -> None:
        """What the last guest's class driver was asked for in vain, where there is such a guest."""
        if self._runner is None or self._runner.lease is None:
            return
        names = ask_missing_calls(self._runner.ready())
        if names:
            self._part().write({"kind": missing_calls.KIND, "names": names})

    def junit_properties(self) -> Iterator[tuple[str, str]]:
        """What every scenario's JUnit entry carries besides its own."""
        info = self._runner.known_info if self._runner is not None else None
        if info is not None:
            guest = describe_guest(info)
            yield "guest", f"{self.guest_name}: {guest['kernel']}"
            yield "kernel_build", str(guest["kernel_build"])
        yield "target", self.provider.target().name
        with contextlib.suppress(*INFRASTRUCTURE):
            yield "target_digest", self.provider.target_digest()

    def close(self) -> None:
        """Gives everything back; never raises."""
        if self.is_worker:
            with contextlib.suppress(Exception):
                self._write_missing_calls()
        for thing in (self._runner, self._writer, self._journal):
            if thing is not None:
                with contextlib.suppress(Exception):
                    thing.close()
        if self._runner is None and self._provider is not None:
            with contextlib.suppress(Exception):
                self._provider.close()
        self._runner = self._writer = self._journal = None
        self._provider = None

    # ---- the end, in the controller ----------------------------------------

    def merge(self) -> list[dict[str, Any]] | None:
        """All parts as one list, written to ``results.jsonl`` where an output directory is given."""
        if not self.has_parts and not self.what_ran.unrecorded:
            self._remove_parts()
            return None
        parts = self.parts
        self._complete(parts)  # before anything more is sent: of a lost scenario it tells the last step
        with contextlib.suppress(Exception):
            self._write_missing_calls()
        into = (self.out or parts) / "results.jsonl"
        found = sorted(parts.glob("results-*.jsonl"))
        self.records = part_files.merge(self._run_record(), found, into, self.python_tests.records)
        self._remove_parts()
        return self.records

    def _remove_parts(self) -> None:
        # With xdist the directory is made for the workers, whether or not they will need it.
        if self._parts is not None:
            shutil.rmtree(self._parts, ignore_errors=True)
            self._parts = None

    def _complete(self, parts: Path) -> None:
        """Adds what has ended and left no lines, above all what a worker that died had in hand."""
        lost: dict[str, ScenarioResult] = {}
        for journal in sorted(parts.glob("journal-*.jsonl")):
            left = unfinished(journal)
            if left is not None:
                last = left.sent[-1].what if left.sent else "nothing was sent"
                reason = f"the run ended while this scenario was in flight; last sent: {last}"
                lost[left.scenario] = _lost(left.scenario, reason, lease=left.lease)
        for node, known in self.what_ran.unrecorded.items():
            file, _, name = node.partition("::")
            lost.setdefault(name, _lost(name, known.reason, file=file, verdict=known.verdict))
        if not lost:
            return
        written = {
            record["id"]
            for part in parts.glob("results-*.jsonl")
            for record in tally.of_kind(part_files.read(part, torn=True), "scenario")
        }
        # A part of its own: behind half a line that a dead worker left, it would be lost with it.
        writer = PartWriter(parts / "results-~lost.jsonl")
        for name, result in lost.items():
            if name not in written:
                writer.write_scenario(result, order=1 << 30, worker="")
        writer.close()

    def _run_record(self) -> dict[str, Any]:
        from harness import version

        parts = sorted(self.parts.glob("results-*.jsonl"))
        environment: Mapping[str, Any] = part_files.environment_of(parts) or {}
        target: dict[str, Any] = {"name": self.target_name, "title": None}
        with contextlib.suppress(*INFRASTRUCTURE):
            model = self.provider.target()
            target = {
                "name": model.name,
                "title": model.title,
                "hardware_id": model.hardware_id,
                "service": model.service,
            }
        target["digest"] = environment.get("target_digest")
        command = self._option("kshs_command") or " ".join(["pytest", *sys.argv[1:]])
        return {
            "id": self.run_id,
            "started": self.started.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "seconds": round(time.monotonic() - self.clock, 3),
            "version": version(),
            "command": command,
            "guest": self.guest_name,
            "selection": self._option("keyword") or None,
            "problem": self._latched()
            or self.problem
            or (_INTERRUPTED if self.interrupted else self.shortfall),
            "target": target,
            "host": environment.get("host") or {},
        }

    def terminal(self) -> TerminalReporter | None:
        """pytest's reporter, where there is one."""
        reporter: TerminalReporter | None = self.pytest_config.pluginmanager.get_plugin("terminalreporter")
        return reporter


def _lost(
    name: str, reason: str, *, verdict: Verdict = Verdict.ERROR, file: str = "", lease: str | None = None
) -> ScenarioResult:
    """A scenario of which no more is known than its id."""
    return ScenarioResult(
        id=name, title=name, rules=(), verdict=verdict, file=file, reason=reason or None, lease=lease
    )


def describe_guest(info: Mapping[str, Any]) -> dict[str, Any]:
    """The guest's `info` in the words of a report; what the guest cannot say is None.

    `kernel` is one line for headings, `kernel_build` the number that Microsoft writes behind the dot.
    """
    kernel = info.get("kernel") or {}
    wine = (info.get("wine") or {}).get("version")
    build = f"{kernel.get('build', '?')}" + (f".{kernel['ubr']}" if kernel.get("ubr") else "")
    number = f"{kernel.get('major', '?')}.{kernel.get('minor', '?')}.{build}"
    name = f"Wine {wine} as NT {number}" if wine else f"{kernel.get('name') or 'Windows'} {number}"
    ks = info.get("ks") or {}
    whose = "reference (refks)" if ks.get("ours") else "the system's own"
    described: dict[str, Any] = {
        "kernel": name,
        "kernel_build": build,
        "family": info.get("family"),
        "architecture": kernel.get("arch"),
        "wine": wine,
        "ks.sys": f"{whose} {ks.get('version') or ''}".strip() if ks.get("present") else "none",
        "ks.sys sha256": ks.get("sha256"),
        "client ABI": (info.get("client") or {}).get("abi"),
        "agent ABI": (info.get("agent") or {}).get("abi"),
        "test signing": info.get("test_signing"),
        "secure boot": info.get("secure_boot"),
        "HVCI": info.get("hvci"),
        "verifier": verifier.summary(info.get("verifier")),
    }
    for driver in info.get("drivers") or []:
        if isinstance(driver, Mapping):
            described[f"driver {driver.get('service')}"] = (
                f"{driver.get('version')}, {driver.get('state')}, sha256 {driver.get('sha256')}"
            )
    return described


def usage(error: UsageError) -> pytest.UsageError:
    """A mistake of the user as pytest's own kind."""
    return pytest.UsageError(str(error))
