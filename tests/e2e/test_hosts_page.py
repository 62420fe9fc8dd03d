# SPDX-License-Identifier: Apache-2.0
"""The session of docs/hosts.md, with simulated guests: its commands say what the page says."""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import blocks
from tests.docs.test_nights import agrees, steps
from tests.e2e.command import command_line, environment
from tests.e2e.hosts import until
from tests.harness.plugin.project import Project

pytestmark = pytest.mark.e2e

PAGE = [block for block in blocks() if block.page.name == "hosts.md"]
SESSION = [block for block in PAGE if block.language == "console"]
SETTINGS = """
[hosts]
keys = "{keys}"
this = "{name}"
memory_mib = 4000
cores = 2
[store]
url = "nights.db"
[vm]
cache_dir = "{folder}/cache"
accelerator = "tcg"
[nights.lab]
suites.all = {{ paths = ["scenarios"] }}
"""


class Session:
    """The hosts of the page, on this machine's loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "boss").mkdir()
        self.project = Project(folder / "boss")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"tls://127.0.0.1:{free.getsockname()[1]}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def call(self, command: str) -> list[str]:
        words = shlex.split(command.replace("tls://boss:8786", self.url))[1:]
        done = subprocess.run(
            command_line(*words), cwd=self.project.path, env=environment(), capture_output=True, text=True,
            timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return (done.stdout + done.stderr).splitlines()

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def start(self) -> None:
        """What the page starts by hand."""
        for name, words in (
            ("boss", ["scheduler", "--listen", self.url]),
            ("lab1", ["worker", "--scheduler", self.url]),
            ("lab2", ["worker", "--scheduler", self.url]),
        ):
            folder = self.folder / name
            folder.mkdir(exist_ok=True)
            text = SETTINGS.format(keys=self.project.path / "keys", name=name, folder=folder)
            (folder / "kshs.toml").write_text(text)
            with self.log(name).open("wb") as log:
                self.processes[name] = subprocess.Popen(
                    command_line(*words), cwd=folder, env=environment(PYTHONUNBUFFERED="1"),
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                )  # fmt: skip
            word = "scheduler at" if name == "boss" else "joined"
            until(lambda name=name, word=word: word in self.log(name).read_text())


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path)
    yield made
    for process in made.processes.values():
        process.send_signal(signal.SIGTERM)
    for process in made.processes.values():
        process.wait(60)


def test_the_session_of_the_page(session: Session) -> None:
    assert len(SESSION) == 2
    for number, block in enumerate(SESSION):
        if number == 1:
            session.start()
        for command, shown in steps(block):
            lines = session.call(command)
            assert agrees(shown, lines), f"$ {command}\n" + "\n".join(lines)
    # Of the two that were there one is drained; the other works until it is ended.
    assert session.processes["lab2"].wait(60) == 0
    assert session.log("lab2").read_text().splitlines()[-1] == "drained"
    assert session.processes["lab1"].poll() is None
    assert not list((session.folder / "lab1" / "cache" / "host" / "spool").iterdir())
    assert (session.project.path / "out" / "hosts" / "report.html").is_file()
