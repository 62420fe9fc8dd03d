"""Guests for the runner that are Wine sessions on this host, with binaries built from any source tree."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import drivers.build
from harness import target
from harness.guests import Evidence, Say, crash_lines
from harness.model import Target
from harness.session import Channel
from tests.component.conftest import install
from tests.component.wine import WineGuest, copy_of, template


class LocalGuest:
    """A prefix of its own as a lease."""

    def __init__(self, build: drivers.build.Build, number: int) -> None:
        self.id = f"local-{number}"
        self._stack = ExitStack()
        prefix = self._stack.enter_context(copy_of(template()))
        self._wine = WineGuest(prefix, build.agent)
        self._stack.callback(self._end)
        try:
            install(self._wine, build)
        except BaseException:
            self._stack.close()
            raise

    def _end(self) -> None:
        # A driver that is wrong by profession may leave a process that only SIGKILL ends.
        with contextlib.suppress(AssertionError):
            self._wine.stop()

    def open_agent(self) -> Channel:
        return self._wine.channel()

    def evidence(self) -> Evidence:
        recorded = self._wine.folder / "crashes.jsonl"
        lines = recorded.read_text(encoding="utf-8", errors="replace") if recorded.exists() else ""
        bugchecks = [line for line in self._wine.words().splitlines() if "KeBugCheckEx" in line]
        return Evidence(driver=(*crash_lines(lines), *bugchecks))

    def close(self) -> None:
        self._stack.close()


class LocalProvider:
    """Gives such guests, with the sample target from `source`."""

    def __init__(self, source: Path | None = None) -> None:
        self._build = drivers.build.build(source=source)
        self._target, _ = target.find("avshs")
        self._count = 0

    def target(self) -> Target:
        return self._target

    def target_digest(self) -> str:
        return self._build.avshs.digest

    def prepare(self, say: Say) -> None:
        say("a local guest needs no preparation")

    def acquire(self) -> LocalGuest:
        self._count += 1
        return LocalGuest(self._build, self._count)

    def host(self) -> Mapping[str, Any]:
        return {"recipe": "local"}

    def close(self) -> None:
        pass
