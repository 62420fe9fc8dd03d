# SPDX-License-Identifier: Apache-2.0
"""A test without the mark `component` or `e2e` starts no compiler, no Wine, no guest, and asks no network."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np  # noqa: F401 - once and for good: who forgets modules again (pytester) could not load it twice
import pytest

from tests import scheduling
from tests.seeded import leaving_out

# Tests time nothing: a busy machine is no failure.
hypothesis.settings.register_profile("kshs", deadline=None)
hypothesis.settings.load_profile("kshs")

#: Programs by the beginning of their names.
REFUSED = (
    "apt-get",
    "clang",
    "debootstrap",
    "dpkg-deb",
    "lld",
    "ld.lld",
    "llvm-",
    "mmdebstrap",
    "qemu-system",
    "wine",
    "x86_64-w64-",
)
#: Ends the Wine of a fixture that component tests have shared, wherever its turn comes; adds lines to the
#: text of a crash where it is there, and nothing else depends on it.
ALLOWED = ("wineserver", "llvm-symbolizer")
_DIRECTORIES = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")


_CALLED = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    leaving_out.add_option(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(leaving_out.Hooks(config), "kshs-tests-leaving-out")
    config.pluginmanager.register(scheduling.Hooks(), "kshs-tests-scheduling")


def _is_refused(name: str) -> bool:
    return name.startswith(REFUSED) and not name.startswith(ALLOWED)


def _is_unit(item: pytest.Item) -> bool:
    # Not the tests that some of ours write elsewhere and run.
    here = item.path.is_relative_to(Path(__file__).parent)
    return here and not any(item.get_closest_marker(mark) for mark in ("component", "e2e"))


def _stubs(config: pytest.Config) -> Path:
    """A directory in which each of these programs notes that it was called, and fails."""
    if _CALLED not in config.stash:
        directory = Path(tempfile.mkdtemp(prefix="kshs-refused-"))
        config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))
        text = f'#!/bin/sh\nprintf "%s\\n" "${{0##*/}} $*" >>"{directory}/.called"\nexit 97\n'
        for folder in map(Path, _DIRECTORIES):
            for program in folder.iterdir() if folder.is_dir() else ():
                if _is_refused(program.name):
                    (directory / program.name).write_text(text)
                    (directory / program.name).chmod(0o755)
        config.stash[_CALLED] = directory / ".called"
    return config.stash[_CALLED].parent


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Around fixtures of every scope, too."""
    if not _is_unit(item):
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        _guard(patch, _stubs(item.config))
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """What another process started, by its name, is told of the test that started that process."""
    yield
    called = item.config.stash.get(_CALLED, None)
    if called is not None and called.exists():
        first = called.read_text().splitlines()[0]
        called.unlink()
        if _is_unit(item):
            pytest.fail(f"a unit test starts, by another process: {first}")


def _guard(patch: pytest.MonkeyPatch, stubs: Path) -> None:
    begin, connect = subprocess.Popen.__init__, socket.socket.connect

    def started(self: Any, args: Any, *more: Any, **options: Any) -> None:
        program = Path(os.fspath(args if isinstance(args, str | os.PathLike) else next(iter(args))))
        installed = str(program.parent) == "." or program.is_relative_to("/usr")
        if _is_refused(program.name) and installed:
            pytest.fail(f"a unit test starts {program.name}: mark it component or e2e, or give it a fake")
        begin(self, args, *more, **options)

    def connected(self: socket.socket, address: Any) -> None:
        inet = self.family in (socket.AF_INET, socket.AF_INET6)
        if inet and address[0] not in ("127.0.0.1", "::1", "localhost"):
            pytest.fail(f"a unit test asks the network for {address[0]}")
        connect(self, address)

    patch.setenv("PATH", f"{stubs}{os.pathsep}{os.environ['PATH']}")
    patch.setattr(subprocess.Popen, "__init__", started)
    patch.setattr(socket.socket, "connect", connected)
