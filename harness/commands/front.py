# SPDX-License-Identifier: Apache-2.0
"""pytest in this process; what it says of wrong usage begins as with all commands."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from harness.errors import UsageError

_PYTESTS = re.compile(r"^((?:\x1b\[[0-9;]*m)*)ERROR: ")


class Front:
    """Takes what the plugin refuses, so that it is said as all other mistakes are."""

    def __init__(self) -> None:
        self.refused: str | None = None

    def pytest_kshs_refused(self, message: str) -> bool:
        """The first is what is wrong."""
        self.refused = self.refused or message
        return True


class _Errors:
    """stderr, where pytest's own ``ERROR:`` becomes our prefix."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Each of pytest's errors comes in one piece."""
        return int(self._stream.write(_PYTESTS.sub(r"\1kshs: ", text)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def call_pytest(words: Sequence[str], plugins: Sequence[object] = ()) -> int:
    """Runs pytest; its exit code.

    Raises:
        UsageError: the plugin refused what was asked for.
    """
    front = Front()
    with _our_prefix():
        code = int(pytest.main(list(words), plugins=[*plugins, front]))
    if front.refused is not None:
        raise UsageError(front.refused)
    return code


@contextlib.contextmanager
def _our_prefix() -> Iterator[None]:
    before = sys.stderr
    sys.stderr = _Errors(before)
    try:
        yield
    finally:
        sys.stderr = before
