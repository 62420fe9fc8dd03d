# SPDX-License-Identifier: Apache-2.0
"""What the harness did, in a file beside the results: leases, connections, the hypervisor's events, errors.

For those who want to know afterwards why something of ours failed (docs/results.md, "kshs.log").  Each
process of a session writes a file of its own.  Nothing in it is secret, and a guest's words do no harm there.
"""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import time
from pathlib import Path

import pytest

from harness.guest_text import lines

#: Bytes that one process may write; then one last line says that the log is full.
LIMIT = 8 << 20
#: The log of a run for which no guest could be prepared, so that it has no results to lie beside.
NOT_RUN = "kshs-not-run.log"
#: Characters of one entry, a traceback with it.
_MAX_ENTRY = 20_000
#: Our loggers with everything that they say, those of libraries with their warnings.
_OURS = ("harness", "vm", "drivers")
_THEIRS = ("paramiko",)
_FULL = "the log is full, what follows is left out"

_KEYS = re.compile(r"-----BEGIN [^-]*PRIVATE KEY-----.*?(?:-----END [^-]*PRIVATE KEY-----|\Z)", re.DOTALL)
_SECRETS = re.compile(
    r"(?i)\b(password|passwd|passphrase|secret|token|private[_-]?key|productkey)\b"
    r"([\"']?\s*[=:>]\s*|\s+)(\"[^\"\n]*\"|'[^'\n]*'|[^\s,;<]+)"
)
_REMOVED = "[removed]"


def redacted(text: str) -> str:
    """A text without private keys, and without what follows a word like ``password``."""
    text = _KEYS.sub(_REMOVED, text)
    return _SECRETS.sub(lambda found: f"{found[1]}{found[2]}{_REMOVED}", text)


class _Formatter(logging.Formatter):
    """UTC, level, thread, where it comes from; harmless in a terminal, and without secrets."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(threadName)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """The date alone: the milliseconds are in the format."""
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))

    def format(self, record: logging.LogRecord) -> str:
        """One entry; further lines of it are indented."""
        text = lines(redacted(super().format(record)), _MAX_ENTRY)
        return text.replace("\n", "\n    ")


class _Bounded(logging.FileHandler):
    """Writes no more than `LIMIT` bytes, and never raises for what cannot be written."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self._left = LIMIT

    def emit(self, record: logging.LogRecord) -> None:
        if self._left <= 0:
            return
        self._left -= len(self.format(record)) + 1
        if self._left <= 0:
            record = logging.makeLogRecord(
                {"name": __name__, "levelname": "WARNING", "levelno": logging.WARNING, "msg": _FULL}
            )
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """A full disk ends no run for the log's sake."""


class RunLog:
    """The log of one process, from its making until `close`.

    Args:
        path: of the file; what is there is replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)
        self._handler = _Bounded(path)
        self._handler.setFormatter(_Formatter())
        self._before: dict[str, int] = {}
        for name in (*_OURS, *_THEIRS):
            logger = logging.getLogger(name)
            self._before[name] = logger.level
            logger.addHandler(self._handler)
            logger.setLevel(logging.DEBUG if name in _OURS else logging.WARNING)

    def close(self) -> None:
        """Loggers are as they were; never raises."""
        for name, level in self._before.items():
            logger = logging.getLogger(name)
            logger.removeHandler(self._handler)
            logger.setLevel(level)
        with contextlib.suppress(Exception):
            self._handler.close()


def keep_apart(config: pytest.Config) -> None:
    """Keeps what we log out of what pytest shows of a failed test: that is for the test's own logging."""
    capturing = config.pluginmanager.get_plugin("logging-plugin")
    handler = getattr(capturing, "report_handler", None)
    if isinstance(handler, logging.Handler):
        handler.addFilter(lambda record: record.name.partition(".")[0] not in _OURS)


def name_of(worker: str) -> str:
    """The file's name of one process: kshs.log, or kshs-gw0.log of a worker."""
    return "kshs.log" if worker == "main" else f"kshs-{worker}.log"


def keep(folder: Path, out: Path) -> None:
    """Puts the logs of a session's processes beside its results, in the place of an earlier run's.

    Raises:
        OSError: they cannot be written there.
    """
    fresh = sorted(folder.glob("kshs*.log"))
    for old in out.glob("kshs*.log"):
        if old.name not in {path.name for path in fresh}:
            old.unlink(missing_ok=True)
    for path in fresh:
        _put(path, out / path.name)


def keep_apart_from_results(folder: Path, out: Path) -> Path | None:
    """Puts the log of a session that could prepare no guest beside what an earlier run has left there.

    That one's results and its log stay.  Nothing ran, so there is the log of the controlling process alone.

    Returns:
        Where it is; None where there is no log.

    Raises:
        OSError: it cannot be written there.
    """
    path = folder / name_of("main")
    if not path.is_file():
        return None
    out.mkdir(parents=True, exist_ok=True)
    _put(path, out / NOT_RUN)
    return out / NOT_RUN


def _put(path: Path, place: Path) -> None:
    temporary = place.with_name(f".{place.name}.new")
    shutil.copyfile(path, temporary)
    temporary.replace(place)
