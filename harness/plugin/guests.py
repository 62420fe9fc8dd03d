# SPDX-License-Identifier: Apache-2.0
"""Guests for one process of a session: the provider, the runner, and the latch when there are none."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from drivers.errors import BuildError
from harness.agent.missing_calls import ask as ask_missing_calls
from harness.errors import AbiMismatchError, DeployError, HarnessError, UsageError
from harness.evidence.incidents import Incidents
from harness.guest_text import one_line
from harness.guests import DriverFiles, GuestProvider, KnowsFiles, KnowsPackage, MeasuresMemory
from harness.guests.package import find_target
from harness.guests.provider import VmProvider
from harness.guests.source import find_guest
from harness.plugin.guest_words import describe_guest
from harness.plugin.options import Options
from harness.plugin.session_folder import SessionFolder
from harness.results import missing_calls
from harness.results.parts import INFRASTRUCTURE as INFRASTRUCTURE_KIND
from harness.results.parts import MEMORY
from harness.results.record import ScenarioResult
from harness.results.run_files import name_of as file_name
from harness.running.limits import Limits
from harness.running.runner import Runner
from vm.errors import InputError, VmError
from vm.files import write_whole
from vm.words import counted

if TYPE_CHECKING:
    from harness.coverage.recorder import Recorder

#: Failures of our own: pytest errors, never failures.
INFRASTRUCTURE = (HarnessError, VmError, BuildError)

#: Of these what another try would find as well.
_FINAL = (UsageError, InputError, DeployError, AbiMismatchError, BuildError)
#: How the parts begin in which processes write down what was executed.
COVERAGE_PARTS = "coverage"
#: Seconds between two tries to get a guest.
PAUSES = (1.0, 5.0)

_LOG = logging.getLogger(__name__)


class LatchedError(HarnessError):
    """The guest could not be provided once; said again, in the same words, without another try."""


class Guests:
    """Gives the runner with a guest at hand; what cannot be provided once is not tried again.

    Args:
        config: of pytest.
        options: of the plugin.
        folder: of the session.
        run: its id.
        worker: names this process.
    """

    def __init__(
        self, config: pytest.Config, options: Options, folder: SessionFolder, run: str, worker: str
    ) -> None:
        self._config = config
        self._options = options
        self._folder = folder
        self._run = run
        self._worker = worker
        self._provider: GuestProvider | None = None
        self._runner: Runner | None = None
        self._environment_written = False
        self._lost = 0
        self._prepared = False
        self.recorder: Recorder | None = None
        """Of what is executed; None where it is not counted, or nothing was sent yet."""

    @property
    def provider(self) -> GuestProvider:
        """From the hook `pytest_kshs_provider`, else real guests."""
        if self._provider is None:
            given: GuestProvider | None = self._config.hook.pytest_kshs_provider(config=self._config)
            settings = self._options.settings
            self._provider = given or VmProvider(
                settings.vm,
                find_target(self._options.target_name, settings),
                self._options.guest_name,
                source=self._options.drivers(),
                ready=settings.run.build,
                way=settings.leases_of(self._options.guest_name),
                devices=settings.devices_of(self._options.guest_name),
                counted=self._options.coverage,
            )
        return self._provider

    def check_guest(self) -> None:
        """That there is a guest of this name; another provider than ours knows its own names.

        Raises:
            UsageError: there is none.
        """
        if isinstance(self.provider, VmProvider):
            find_guest(self._options.settings.vm, self._options.guest_name)

    def prepare(self, say: Callable[[str], None]) -> None:
        """Makes guests possible: builds, image, template.  A failure is latched for all processes.

        Raises:
            UsageError: the target cannot run on such guests; there is no use in trying any scenario.
        """
        if self._prepared or self._folder.latched is not None:
            return
        try:
            self._folder.make()  # what is logged from here on is kept, too
            self.provider.prepare(say)
            self._prepared = True
        except UsageError:
            raise
        except InputError as error:
            raise UsageError(str(error)) from None
        except Exception as error:
            self.latch(error)

    def runner(self) -> Runner:
        """The runner with a guest at hand.

        Raises:
            LatchedError: a guest cannot be provided; the first failure, in its own words.
        """
        latched = self._folder.latched
        if latched is not None:
            raise LatchedError(latched)
        try:
            if self._runner is None:
                from drivers import abi
                from harness.contract.capabilities import missing

                limits = Limits.of(self._options.settings.limits)
                if self._options.coverage:
                    # Libraries that a run without coverage does without.
                    from harness.coverage.recorder import Recorder

                    path = self._folder.make() / file_name(COVERAGE_PARTS, self._worker, self._folder.session)
                    self.recorder = Recorder(path, self.provider, abi.load(), self._options.coverage_of)
                self._runner = Runner(
                    self.provider,
                    abi.load(),
                    self._folder.journal,
                    fits=missing,
                    limits=limits,
                    incidents=self._incidents(),
                    watch=self.recorder,
                )
            self._make_ready(self._runner)
        except Exception as error:  # whatever a provider raises: no guest is no guest
            self.latch(error)
            raise LatchedError(self._folder.latched or str(error)) from None
        self._write_environment(self._runner.info)
        return self._runner

    def _incidents(self) -> Incidents | None:
        """Beside the results; none where nothing is kept."""
        if self._options.out is None:
            return None
        settings = self._options.settings.incidents
        return Incidents(self._options.out, self._run, self._worker, settings, self._known, self._files)

    def _files(self) -> DriverFiles:
        return self.provider.driver_files() if isinstance(self.provider, KnowsFiles) else DriverFiles()

    def _known(self) -> Mapping[str, Any]:
        info = self._runner.known_info if self._runner is not None else None
        return {
            "guest": self._options.guest_name,
            "target": self._options.target_name,
            "info": info,
            "host": dict(self.provider.host()),
            "target_digest": self.provider.target_digest(),
        }

    def _make_ready(self, runner: Runner) -> None:
        """A guest, asked for a bounded number of times; what would come out the same is asked for once."""
        tries = self._options.settings.limits.lease_tries
        for number in range(1, tries + 1):
            try:
                runner.ready()
            except _FINAL:
                raise
            except INFRASTRUCTURE as error:
                _LOG.warning("no guest, try %d of %d", number, tries, exc_info=error)
                said = {"what": "lease", "try": number, "of": tries, "reason": one_line(str(error), 1000)}
                self._folder.write({"kind": INFRASTRUCTURE_KIND, "at": round(time.time(), 3), **said})
                if number == tries:
                    raise
                time.sleep(PAUSES[min(number, len(PAUSES)) - 1])
            else:
                return

    def note(self, result: ScenarioResult) -> None:
        """What became of a scenario after all of its tries: some in a row that were lost are no accident."""
        self._lost = self._lost + 1 if result.again else 0
        limits = self._options.settings.limits
        if self._lost >= limits.in_a_row:
            many, tries = counted(self._lost, "scenario"), counted(limits.tries, "time")
            why = f"{many} in a row ended on our side, each tried {tries}; the last one: {result.reason}"
            self.latch(HarnessError(f"the guest, the image or the host is broken: {why}", hint="kshs doctor"))

    def latch(self, error: Exception) -> None:
        """No guest can be had from now on, here and in the other workers: nobody tries again."""
        _LOG.error("no guest can be had", exc_info=error)
        expected = isinstance(error, INFRASTRUCTURE)
        text = str(error) if expected else f"unexpected {type(error).__name__}: {error}"
        self._folder.latch(" ".join(text.split()) + self._keep(error))

    def _keep(self, error: Exception) -> str:
        """Writes what an error brought along into the run's folder; says where."""
        out = self._options.out
        if out is None or not isinstance(error, DeployError):
            return ""
        kept = []
        for name, text in error.artefacts.items():
            with contextlib.suppress(OSError):
                out.mkdir(parents=True, exist_ok=True)
                write_whole(out / name, text)
                kept.append(str(out / name))
        return f"; all of it: {', '.join(kept)}" if kept else ""

    # ---- what is known of them ---------------------------------------------

    def _write_environment(self, info: Mapping[str, Any]) -> None:
        if self._environment_written:
            return
        self._environment_written = True
        self._folder.write(
            {
                "kind": "environment",
                "guest": describe_guest(info),
                "info": info,
                "host": dict(self.provider.host()),
                "target_digest": self.provider.target_digest(),
                **self._package_files(),
            }
        )

    def _package_files(self) -> dict[str, Any]:
        known = self.provider
        return {"target_files": dict(known.package_files())} if isinstance(known, KnowsPackage) else {}

    def missing_calls(self) -> list[str]:
        """What the last guest's class driver was asked for in vain, where there is such a guest.

        Raises:
            AgentError, StepHungError: the guest does not answer.
        """
        if self._runner is None or self._runner.lease is None:
            return []
        return ask_missing_calls(self._runner.ready())

    def write_missing_calls(self) -> None:
        """Leaves them in this process's part of the results."""
        names = self.missing_calls()
        if names:
            self._folder.write({"kind": missing_calls.KIND, "names": names})

    def write_memory(self) -> None:
        """Leaves what guests took of the host's memory in this process's part of the results."""
        provider = self._provider
        used = provider.memory_used() if isinstance(provider, MeasuresMemory) else None
        if used is not None and used.own:
            self._folder.write({"kind": MEMORY, "own_kib": used.own, "shared_kib": used.shared})

    def junit_properties(self) -> Iterator[tuple[str, str]]:
        """What every scenario's JUnit entry carries besides its own."""
        info = self._runner.known_info if self._runner is not None else None
        if info is not None:
            guest = describe_guest(info)
            yield "guest", f"{self._options.guest_name}: {guest['kernel']}"
            yield "kernel_build", str(guest["kernel_build"])
        yield "target", self.provider.target().name
        with contextlib.suppress(*INFRASTRUCTURE):
            yield "target_digest", self.provider.target_digest()

    def target_record(self) -> dict[str, Any]:
        """The target in the record of the run."""
        try:
            model = self.provider.target()
        except INFRASTRUCTURE:
            return {"name": self._options.target_name, "title": None}
        return {
            "name": model.name,
            "title": model.title,
            "hardware_id": model.hardware_id,
            "service": model.service,
        }

    def close(self) -> None:
        """Gives everything back; never raises."""
        if self._runner is not None:
            with contextlib.suppress(Exception):
                self._runner.close()
        elif self._provider is not None:
            with contextlib.suppress(Exception):
                self._provider.close()
        if self.recorder is not None:
            self.recorder.close()
        self._runner = None
        self._provider = None
