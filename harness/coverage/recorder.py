# SPDX-License-Identifier: Apache-2.0
"""Writes down, in one process of a run, which blocks each scenario has executed.

A part has four kinds of lines: a module, as it was met in a guest; blocks, numbered as they are met; what
ran, with its blocks as a number in which bit n stands for block n; and notes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.agent import modules as module_question
from harness.agent.encode import Encoder
from harness.coverage.images import CodeImage
from harness.coverage.map import CoverageMap, Executed
from harness.errors import HarnessError
from harness.guest_info import GuestInfo
from harness.guests import CountsBlocks, KnowsDeployment, KnowsFiles
from vm.errors import VmError
from vm.files import private_directory

if TYPE_CHECKING:
    from drivers.abi import Abi
    from harness.agent.modules import DriverProcess
    from harness.agent.session import AgentSession
    from harness.guests import Guest, GuestProvider

#: What is not a scenario's: what ran while drivers were deployed, and while a guest was made ready.
DEPLOYING, PREPARING = "deploying", "preparing"
#: The class driver's file.
KS = "ks.sys"
#: Kinds of lines.
MODULE, BLOCKS, RAN, NOTE = "module", "blocks", "ran", "note"

_LOG = logging.getLogger(__name__)


class Recorder:
    """What is executed in the guests of one process, by whom.

    Args:
        path: of the part, which is made when there is something to write.
        provider: of the guests.
        abi: of this harness.
        also: names of modules that are counted besides the target's drivers and ks.sys.
    """

    def __init__(self, path: Path, provider: GuestProvider, abi: Abi, also: Iterable[str] = ()) -> None:
        self._path = path
        self._provider = provider
        self._encoder = Encoder(abi)
        self._also = tuple(name.lower() for name in also)
        self._images: dict[str, CodeImage] = {}
        self._names: tuple[str, ...] = ()
        self._processes: tuple[DriverProcess, ...] | None = None
        self._maps: list[CoverageMap] = []
        self._numbers: dict[Executed, int] = {}
        self._file: int | None = None
        self._missing: set[str] = set()

    # ---- what a lease tells ------------------------------------------------

    def leased(self, guest: Guest, session: AgentSession, info: Mapping[str, Any]) -> None:
        """A guest was taken, and nothing of anybody's was sent to it yet.

        Raises:
            HarnessError: what it executes cannot be counted.
            AgentError, StepHungError: its agent does not answer.
        """
        if not isinstance(guest, CountsBlocks) or guest.counters is None:
            raise HarnessError("what this guest executes is not counted: its provider does not offer it")
        processes = self._processes if guest.addresses_stay else None
        if processes is None:
            processes = self._processes = module_question.ask(session, self._encoder)
            self._look_for_images(guest, processes, info)
        counted = CoverageMap.begin(
            guest.counters, session, self._encoder, self._names, self._images, processes
        )
        self._maps.append(counted)
        self._deployed(counted, guest.addresses_stay)

    def settled(self) -> None:
        """A guest that was taken has been made ready: what it has executed until now is no scenario's."""
        self._take(self._maps[-1:], PREPARING, {"phase": PREPARING})

    # ---- what the session tells ---------------------------------------------

    def begin(self) -> None:
        """A scenario is about to be sent."""
        self._take(self._maps, PREPARING, {"phase": PREPARING})
        del self._maps[:-1]

    def end(self, *, file: str, name: str, scenario: bool) -> None:
        """It has ended; the guest that it was sent to may be gone.

        Args:
            file: of it.
            name: its id, or that of a test in Python.
            scenario: whether it is one.
        """
        self._take(self._maps, name, {"file": file, "id": name, "scenario": scenario})

    def close(self) -> None:
        """Closes the part; never raises."""
        self._maps.clear()
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    # ---- writing -------------------------------------------------------------

    def _take(self, maps: Sequence[CoverageMap], what: str, said: Mapping[str, Any]) -> None:
        executed = [block for one in maps for block in one.executed()]
        for one in maps:
            one.zero()
            if one.lost:
                _LOG.warning("%s: %d translations were not counted for want of room", what, one.lost)
                self._write({"kind": NOTE, "lost": one.lost})
        if executed or "id" in said:
            self._write_ran(executed, said)

    def _write_ran(self, executed: Iterable[Executed], said: Mapping[str, Any]) -> None:
        fresh = []
        bits = 0
        for block in executed:
            number = self._numbers.get(block)
            if number is None:
                number = self._numbers[block] = len(self._numbers)
                fresh.append([block.module, block.offset, block.size])
            bits |= 1 << number
        if fresh:
            self._write({"kind": BLOCKS, "blocks": fresh})
        self._write({"kind": RAN, **said, "blocks": f"{bits:x}"})

    def _write(self, record: Mapping[str, Any]) -> None:
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o600)
        os.write(self._file, (json.dumps(record) + "\n").encode())

    # ---- modules -------------------------------------------------------------

    def _look_for_images(
        self, guest: CountsBlocks, processes: Iterable[DriverProcess], info: Mapping[str, Any]
    ) -> None:
        """The images of all modules that count: those that were deployed, else the guest's own files."""
        files = self._provider.driver_files() if isinstance(self._provider, KnowsFiles) else None
        deployed = {name.lower(): path for name, path in files.images.items()} if files is not None else {}
        if not GuestInfo.of(info).ks.ours:
            deployed.pop(KS, None)  # ours was built, and lies unused
        targets = sorted(files.targets) if files is not None else []
        self._names = tuple(dict.fromkeys([*targets, KS, *self._also]))
        loaded = {module.key: module for process in processes for module in process.modules}
        for name in self._names:
            if name in self._images or name in self._missing:
                continue
            try:
                if name not in loaded:
                    raise HarnessError(f"the guest does not say that it has loaded {name}")
                path = deployed.get(name) or self._fetched(guest, name, loaded[name].path or "")
                self._images[name] = CodeImage(path)
            except (HarnessError, VmError, OSError) as error:
                self._missing.add(name)
                _LOG.warning("%s is not counted: %s", name, error)
                self._write({"kind": NOTE, "module": name, "why": str(error)})
                continue
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            self._write({"kind": MODULE, "name": name, "image": str(path), "sha256": digest})

    def _fetched(self, guest: CountsBlocks, name: str, path: str) -> Path:
        """A copy of the guest's file, beside the part: its end is the run's."""
        directory = private_directory(self._path.parent / "images")
        into = directory / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}-{os.getpid()}.sys"
        guest.fetch(_plain(path), into)
        return into

    def _deployed(self, counted: CoverageMap, addresses_stay: bool) -> None:
        """What ran while the drivers were deployed, in the guest of which this one is a fork; once."""
        if DEPLOYING in self._missing or not isinstance(self._provider, KnowsDeployment):
            return
        self._missing.add(DEPLOYING)
        counters = self._provider.deployment_counters()
        if counters is None:
            return
        if not addresses_stay:
            self._write(
                {"kind": NOTE, "why": "guests boot one by one: what loads the drivers is not counted"}
            )
            return
        before = CoverageMap(counters, counted.names, self._images, counted.loaded)
        self._write_ran(before.executed(), {"phase": DEPLOYING})


def _plain(path: str) -> str:
    r"""A path as the guest's files are asked for: kernels say ``\SystemRoot`` and ``\??\``."""
    for prefix, instead in (("\\systemroot\\", "C:\\Windows\\"), ("\\??\\", "")):
        if path.lower().startswith(prefix):
            return instead + path[len(prefix) :]
    return path
