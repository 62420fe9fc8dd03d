# SPDX-License-Identifier: Apache-2.0
"""What goes on, for people: one line that changes on a terminal, plain lines in a log."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.status import Status

from harness import guest_text
from vm.progress import WARNING

#: A step of many of one kind, like ``compiled 3 of 97: dispatch.c``.
_COUNTED = re.compile(r"^(?P<what>\D*)(?P<number>\d+) of (?P<all>\d+)\b")
#: Seconds between two lines of one kind in a log.
_SPARSE = 10.0

_LOG = logging.getLogger(__name__)


class Progress:
    """A context manager whose `say` tells what begins now.

    On a terminal one line with a spinner, gone at the end; elsewhere a line a step, with seconds since
    the beginning.  What a guest or another host has said in it is made visible.  A step that takes no time is
    not told twice; of many that are counted a log has the last and one each ten seconds.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stdout, highlight=False)
        self._status: Status | None = None
        self._began = time.monotonic()
        self._last: str | None = None
        self._counted: tuple[str, float] = ("", 0.0)

    def __enter__(self) -> Progress:
        self._began = time.monotonic()
        if self._console.is_terminal and "CI" not in os.environ:
            self._status = self._console.status("")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def say(self, text: str) -> None:
        """This begins now; a text that begins with `vm.progress.WARNING` is for keeping."""
        text = guest_text.lines(text)
        if text == self._last:
            return
        self._last = text
        _LOG.info("%s", text)
        if self._status is not None and text.startswith(WARNING):
            self._console.print(f"kshs: {text}", markup=False, soft_wrap=True)
        elif self._status is not None:
            self._status.start()
            self._status.update(_plain(text))
        elif not self._passed_over(text):
            seconds = time.monotonic() - self._began
            self._console.print(f"kshs: {seconds:5.1f} s  {text}", markup=False, soft_wrap=True)
            self._console.file.flush()

    def tell(self, text: str) -> None:
        """This has happened: a line that stays."""
        text = guest_text.lines(text)
        _LOG.info("%s", text)
        self._console.print(f"kshs: {text}", markup=False, soft_wrap=True)
        self._console.file.flush()

    def _passed_over(self, text: str) -> bool:
        """Whether a log can do without: one more of a kind of which it had a line a moment ago."""
        found = _COUNTED.match(text)
        if found is None or text.startswith(WARNING):
            return False
        now = time.monotonic()
        kind, told = self._counted
        if kind == found["what"] and found["number"] != found["all"] and now - told < _SPARSE:
            return True
        self._counted = (found["what"], now)
        return False


def _plain(text: str) -> str:
    """Without rich's markup: text may come from anywhere."""
    return text.replace("[", r"\[")
