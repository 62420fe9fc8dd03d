# SPDX-License-Identifier: Apache-2.0
"""Asks the installed Wine about calls of the kernel, by a driver full of probes (calls/).

``python -m tests.component.kernel_calls`` writes drivers/data/calls-VERSION.json.  Of another Wine than the
host's that is done with ``wine`` and ``wineserver`` of that one first in PATH (docs/wdmsup.md).
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import drivers.build
from drivers import folder, import_rewrite, imports
from drivers.files import write_atomically
from drivers.kernel_calls import DATA, MISSING, STUB, UNASKED, Answer
from drivers.package import Package
from drivers.wdmsup_exports import KERNEL_MODULES
from tests.component.wine import WineGuest, copy_of, template, version

CALLS = Path(__file__).with_name("calls")
HARDWARE_ID = "Root\\KshsCalls"
SERVICE = "KshsCalls"

#: Seconds without a word of the driver after which a probe in it has wedged more than the driver can tell: a
#: probe has 8 s, and what follows 5 s.
QUIET = 40.0
_POLL = 0.02
_PROBE = re.compile(r"\bP\((\w+)\)|\bCASE\((\w+),\s*\"([^\"]+)\"")


def names() -> list[str]:
    """Every probe of the driver, in the order in which they run in each of its files."""
    found = []
    for source in sorted(CALLS.glob("*.c")):
        for call, other, case in _PROBE.findall(source.read_text(encoding="utf-8")):
            found.append(call or f"{other}: {case}")
    return found


def package(out: Path) -> Package:
    """The driver, as a team would build it."""
    return folder.package(CALLS, out)


def wine_number() -> str:
    """The installed Wine's version, as ``8.0``."""
    return ".".join(map(str, imports.version_key(version())[:2]))


def as_deployed(built: Package) -> bytes:
    """The driver with what the support library supplies to it on the installed Wine."""
    return import_rewrite.rewrite(built.sys[0], imports.wine(wine_number())).data


class Asking:
    """One prefix in which a driver is asked, with as many sessions as it takes.

    Args:
        prefix: whose session ends with every probe that leaves the process unfit for the next one.
        build: with the agent and the support library.
        inf: of the driver.
        driver: its bytes.
    """

    def __init__(self, prefix: Path, build: drivers.build.Build, inf: Path, driver: bytes) -> None:
        self._guest = WineGuest(prefix, build.agent, one_cpu=False)
        self._inf = self._guest.put(inf)
        self._said = self._guest.folder / "calls.said"
        self._todo = self._guest.folder / "calls.todo"
        self._crashes = self._guest.folder / "crashes.jsonl"
        (self._guest.drivers / build.wdmsup.name).write_bytes(build.wdmsup.read_bytes())
        (self._guest.folder / "calls.sys").write_bytes(driver)
        self._answers: dict[str, Answer] = {}

    def ask(self, wanted: Sequence[str]) -> dict[str, Answer]:
        """The answers of probes.

        Raises:
            AssertionError: the driver asked for one that it does not have, or does not run at all.
        """
        left = list(wanted)
        while left:
            self._session(left)
            after = [name for name in left if name not in self._answers]
            assert len(after) < len(left), f"the driver says nothing of {after[0]}: {self._guest.words()}"
            left = after
        return {name: self._answers[name] for name in wanted}

    def _session(self, left: Sequence[str]) -> None:
        """From one start of the driver to its end, or to that of its process."""
        self._todo.write_text("\n".join(left), encoding="ascii")
        self._said.unlink(missing_ok=True)
        self._crashes.unlink(missing_ok=True)
        try:
            self._guest.hold()
            self._guest.must("install-crash-recorder")
            self._guest.kshsctl("install-device", self._inf, HARDWARE_ID, SERVICE)
            self._listen()
        finally:
            self._guest.stop()

    def _listen(self) -> None:
        """Until the driver ends, or is quiet for too long."""
        heard, at = -1, time.monotonic()
        while time.monotonic() - at < QUIET:
            lines = self._lines()
            if len(lines) != heard:
                heard, at = len(lines), time.monotonic()
            asked = self._take(lines)
            if lines and lines[-1][0] == "#":
                return
            if asked is not None and self._crashes.exists() and self._crashes.read_bytes().endswith(b"\n"):
                record = json.loads(self._crashes.read_text(encoding="utf-8").splitlines()[0])
                self._answers[asked] = Answer(asked, "ends", f"exception {record.get('code')}")
                return
            time.sleep(_POLL)
        if asked is not None:
            self._answers[asked] = Answer(asked, "wedges", "every driver")

    def _lines(self) -> list[list[str]]:
        """What was said so far, in whole lines."""
        text = self._said.read_text(encoding="ascii") if self._said.exists() else ""
        return [line.split("\t") for line in text.split("\n")[:-1]]

    def _take(self, lines: Sequence[Sequence[str]]) -> str | None:
        """Keeps the answers; what was asked and not answered."""
        asked = None
        for name, kind, what in lines:
            if name == "#":
                continue
            if kind == "asked":
                asked = name
                continue
            asked = None
            if kind == "throws":
                what = f"exception {what}"
            self._answers[name] = _with_exports(Answer(name, kind, what))
        return asked


def _with_exports(answer: Answer) -> Answer:
    """What throws Wine's exception for a stub may be no export at all, or not the call but another."""
    if answer.kind != STUB:
        return answer
    offered = imports.wine(wine_number())
    own = [exports for module, exports in offered.modules.items() if module in KERNEL_MODULES]
    if any(answer.call in exports.refused for exports in own):
        return answer
    if any(answer.call in exports.functions for exports in own):
        return Answer(answer.probe, UNASKED)
    return Answer(answer.probe, MISSING)


def ask(
    build: drivers.build.Build, built: Package, driver: bytes, wanted: Sequence[str], made: Path | None = None
) -> dict[str, Answer]:
    """Asks in a fresh copy of a prefix."""
    with copy_of(made or template()) as prefix:
        return Asking(prefix, build, built.inf, driver).ask(wanted)


def write() -> Path:
    """Asks for everything, and writes the table of the installed Wine."""
    build = drivers.build.build()
    with tempfile.TemporaryDirectory(prefix="kshs-calls-") as out:
        built = package(Path(out))
        raw = ask(build, built, built.sys[0].read_bytes(), names())
        path = DATA / f"calls-{wine_number()}.json"
        # What the library supplies depends on what Wine was seen to do.
        _put(path, raw, raw)
        imports.wine.cache_clear()
        from drivers.kernel_calls import known

        known.cache_clear()
        deployed = ask(build, built, as_deployed(built), names())
    return _put(path, raw, deployed)


def _put(path: Path, raw: dict[str, Answer], deployed: dict[str, Answer]) -> Path:
    said = subprocess.run(
        ["wine", "--version"], capture_output=True, text=True, timeout=60, check=True
    ).stdout.strip()
    content = {
        "version": f"Wine {wine_number()}",
        "asked": f"{said}, {platform.machine()}",
        "wine": {name: raw[name].text for name in sorted(raw)},
        "deployed": {name: deployed[name].text for name in sorted(deployed)},
    }
    write_atomically(path, json.dumps(content, indent=1).encode() + b"\n")
    return path


if __name__ == "__main__":
    print(write())
