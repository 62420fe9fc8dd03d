# SPDX-License-Identifier: Apache-2.0
"""Imports everything, then forks once for each program that it is asked to be (see `tests.warm`)."""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import shutil
import signal
import socket
import sys
import tempfile
import threading
import traceback
import types
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

from tests.warm import READY

#: Packages that are imported as a whole.  Not harness.cli: it is run as a program, and would exist twice.
_PACKAGES = ("drivers", "vm", "harness")
_NOT = ("harness.cli",)
_MORE = ("execnet", "hypothesis", "xdist.remote", "xdist.workermanage", "tests.harness.fake_guest")


def warm() -> None:
    """Imports what programs of ours import, pytest's plugins with them."""
    for package in _PACKAGES:
        found = importlib.import_module(package)
        for module in pkgutil.walk_packages(found.__path__, f"{package}."):
            if module.name not in _NOT and not module.name.endswith(".__main__"):
                importlib.import_module(module.name)
    for entry in metadata.entry_points(group="pytest11"):
        entry.load()
    for name in _MORE:
        importlib.import_module(name)
    from harness.results.report import environment_of

    for template in ("report.html.j2", "scenario.html.j2"):
        environment_of({}).get_template(template)
    import _pytest.assertion.rewrite as rewrite

    # It would warn of each plugin that came too early for it; none of them has asserts that anybody sees.
    rewrite.AssertionRewritingHook._warn_already_imported = lambda hook, name: None  # type: ignore[method-assign]


def serve(address: Path, program: str) -> None:
    """Until standard input ends, that is as long as whoever started this lives."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(address))
        listener.listen(64)
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that keep a connection
        gc.freeze()
        while True:
            ready, _, _ = select.select([listener, 0], [], [])
            if 0 in ready:
                shutil.rmtree(address.parent, ignore_errors=True)
                return
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _keep(connection, program)
                return
            connection.close()


def _keep(connection: socket.socket, program: str) -> None:
    """One connection: a fork becomes the program, and its end is told; it ends with the other side, too."""
    streams, told = _received(connection)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        connection.close()
        _become(told, streams, program)
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(child)
    ready, _, _ = select.select([ended, connection], [], [])
    if ended not in ready:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    try:
        connection.sendall(code.to_bytes(4, "little", signed=True))
    finally:
        os._exit(0)


def _received(connection: socket.socket) -> tuple[list[int], dict[str, Any]]:
    head, streams, _, _ = socket.recv_fds(connection, 4, 3)
    size = int.from_bytes(head, "little")
    data = b""
    while len(data) < size:
        data += connection.recv(size - len(data))
    return list(streams), json.loads(data)


def _become(told: dict[str, Any], streams: list[int], program: str) -> NoReturn:
    """This process is the program from here on."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(told["cwd"])
    before = os.environ.get("PYTHONPATH", "")
    os.environ.clear()
    os.environ.update(told["env"])
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    words = list(told["argv"])
    while words[0].startswith("-") and words[0] not in ("-c", "-m"):
        unbuffered |= "u" in words.pop(0)
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BufferedReader(io.FileIO(0)), "utf-8", "strict")
    for name, number, errors in (("stdout", 1, "strict"), ("stderr", 2, "backslashreplace")):
        raw = io.FileIO(number, "wb", closefd=False)
        made = io.TextIOWrapper(
            io.BufferedWriter(raw),
            "utf-8",
            errors,
            line_buffering=number == 2 or raw.isatty(),
            write_through=unbuffered,
        )
        setattr(sys, name, made)
        setattr(sys, f"__{name}__", made)
    tempfile.tempdir = None
    kind, what, *arguments = words
    own = [entry for entry in sys.path[1:] if entry not in before.split(os.pathsep)]
    named = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = ["" if kind == "-c" else told["cwd"], *named, *own]
    sys.executable = program
    sys.argv = [kind, *arguments]
    _end(_run(kind, what))


def _run(kind: str, what: str) -> int:
    """Runs a module or a text; the exit code."""
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        if kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(compile(what, "<string>", "exec"), main.__dict__)
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _end(code: int) -> NoReturn:
    """As Python ends, but without taking apart all that was imported, which costs more than most programs."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = 120
    os._exit(code & 0xFF)


if __name__ == "__main__":
    warm()
    serve(Path(sys.argv[1]), sys.argv[2])
