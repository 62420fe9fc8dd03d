# SPDX-License-Identifier: Apache-2.0
"""Simulated guests of which it is counted what they execute: each kind of step runs a block of its own."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from harness.guests import DriverFiles
from tests.harness.coverage.code import BASE, CODE, TEXT, image
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import OPS, C, FakeGuest, FakeProvider, Simulation
from tests.vm.plugin.plugin_double import PluginDouble
from vm.plugin.block_map import USER_HALF, BlockMap

#: By the kind of a step, where its block begins in the code of the image, and its bytes.
BLOCKS = {"PROPERTY": (0, 2), "REQUEST": (16, 3)}


class CountedGuest(FakeGuest):
    """Says that sim.sys is loaded, and counts it as QEMU's plugin would."""

    def __init__(self, provider: CountedProvider, number: int) -> None:
        super().__init__(provider, number)
        path = provider.folder / f"counters-{number}"
        self.counters = BlockMap.create(path)
        self.addresses_stay = True
        self._plugin = PluginDouble(path)
        bend = self.simulation.bend

        def step(simulation: Simulation, what: Any, data: bytes) -> Answer | None:
            self._plugin.takes_ranges()
            op = OPS.get(int(what.op), "?")
            if op == "INFO" and int(what.value) == C["KSHS_INFO_MODULES"]:
                return Answer(record={}, data=json.dumps(provider.said).encode())
            if op in BLOCKS:
                begin, size = BLOCKS[op]
                self._plugin.runs(BASE + CODE + begin, TEXT[begin : begin + size])
            return bend(simulation, what, data) if bend is not None else None

        self.simulation.bend = step

    def fetch(self, path: str, into: Path) -> None:
        """The guest has one driver of its own."""
        shutil.copyfile(self.provider.image, into)  # type: ignore[attr-defined]


class CountedProvider(FakeProvider):
    """Guests with a driver that was deployed; their files are in the working directory."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.folder = Path(f"counted-{os.getpid()}").absolute()
        self.folder.mkdir(exist_ok=True)
        self.image = image(self.folder / "sim.sys")
        modules = [{"name": "Sim.sys", "base": hex(BASE), "size": 1, "path": "C:\\sim.sys"}]
        self.said: dict[str, Any] = {
            "processes": [{"pid": 4, "process": "winedevice.exe", "modules": modules}]
        }

    def acquire(self) -> CountedGuest:
        guest = CountedGuest(self, len(self.guests))
        self.guests.append(guest)
        return guest

    def driver_files(self) -> DriverFiles:
        return DriverFiles({"sim.sys": self.image}, (), frozenset({"sim.sys"}))

    def deployment_counters(self) -> BlockMap:
        path = self.folder / "deployed"
        counters = BlockMap.create(path, USER_HALF, 8)
        PluginDouble(path).runs(BASE + CODE + 2, TEXT[2:4])
        return counters
