# SPDX-License-Identifier: Apache-2.0
"""gdb goes backwards in a real replay, to the instruction that wrote the wrong value.

The guest is Linux with one small program, so that it boots in seconds: what is tried is the machine that
records and replays, its state, and the stub between it and gdb.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import config as settings
from vm import guests
from vm.backwards import Backwards, Stand
from vm.files import private_directory
from vm.gdb_remote import Link
from vm.image import Image
from vm.recorded_machine import Life, Machine
from vm.recorder import STATE, recording, replaying
from vm.replay_qemu import ReplayQemu, ensure

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not int(os.environ.get("KSHS_TEST_REPLAYS", "0")), reason="make test-all replays recordings"
    ),
]

PROGRAM = """
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

volatile int status;

__attribute__((noinline)) void write_right(int i) { status = i; }
__attribute__((noinline)) void write_wrong(int i) { status = -i; }

int main(void)
{
    mkdir("/dev", 0755);
    mount("none", "/dev", "devtmpfs", 0, 0);
    dup2(open("/dev/ttyS0", O_RDWR), 1);
    for (int i = 1;; i++) {
        struct timespec pause = { 0, 20000000 };

        nanosleep(&pause, 0);
        if (i % 10 == 7)
            write_wrong(i);
        else
            write_right(i);
        printf("round %d status %d\\n", i, status);
        fflush(stdout);
    }
}
"""

GDB = """
set pagination off
set confirm off
set remotetimeout 36000
set architecture i386:x86-64
file {program}
target remote {socket}
break write_wrong
reverse-continue
delete
stepi 2
watch *(int *)&status
reverse-continue
printf "before: status %d at ", status
info symbol $pc
delete
reverse-stepi
stepi
stepi 2
printf "after: status %d\\n", status
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    yield World(tmp_path)


class World:
    """A guest that counts, and what it takes to record and replay it."""

    def __init__(self, place: Path) -> None:
        config = settings.load(None).vm
        self.place = place
        self.qemu: ReplayQemu = ensure(config)
        self.program = place / "init"
        source = place / "init.c"
        source.write_text(PROGRAM)
        subprocess.run(["gcc", "-g", "-O1", "-static", "-o", self.program, source], check=True, timeout=120)
        packed = subprocess.run(
            ["busybox", "cpio", "-o", "-H", "newc"],
            cwd=place,
            input=b"init\n",
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        made = guests.find(config, "wine").image()
        self.image = Image(made.digest, private_directory(place / "image"), made.manifest)
        self.image.initrd.write_bytes(packed)
        self.image.kernel.symlink_to(made.kernel)
        self.disk = place / "state.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.disk, "16M"], check=True, timeout=60)
        self._numbers = itertools.count()

    def machine(self, icount: str, disk: Path | None = None, **more: object) -> Machine:
        """One that counts, in a folder of its own."""
        place = private_directory(self.place / f"m{next(self._numbers)}")
        mine = place / "disk.qcow2"
        if disk is None:
            shutil.copyfile(self.disk, mine)
        life = Life(icount, disk or mine, place, **more)  # type: ignore[arg-type]
        stub = ["-gdb", f"unix:{place / 'gdb.sock'},server=on,wait=off"]
        return Machine(self.qemu, self.image, 128, place.name, place, life, stub)

    def make_state(self) -> None:
        """As `vm.recorder` makes one."""
        log = self.place / "boot.log"
        with self.machine(recording(log), self.disk) as machine:
            machine.await_line("round 3 ", 600)
            machine.command("stop")
            machine.human(f"savevm {STATE}", timeout=300)
            machine.quit()
        icount = f"{recording(log)},rrsnapshot={STATE}"
        with self.machine(icount, self.disk, state=STATE, paused=True) as machine:
            machine.quit()

    def record(self) -> int:
        """Until it has counted a while; how many instructions there are."""
        with self.machine(recording(self.place / "log"), state=STATE) as machine:
            machine.await_line("round 40 ", 600)
            instructions = machine.instructions
            machine.command("stop")
            machine.quit()
        return instructions

    def begin(self) -> Stand:
        """A replay at its first instruction."""
        machine = self.machine(replaying(self.place / "log"), paused=True)
        return Stand(machine, Link.to(machine.life.evidence / "gdb.sock", machine.name))


def test_from_the_wrong_value_back_to_the_instruction_that_wrote_it(world: World) -> None:
    world.make_state()
    last = world.record() - 1
    place = world.place / "gdb.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        listening.listen(1)

        def serve() -> None:
            stream, _ = listening.accept()
            with stream:
                Backwards(Link(stream, "gdb"), world.begin, last).serve()

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        script = world.place / "script.gdb"
        script.write_text(GDB.format(program=world.program, socket=place))
        done = subprocess.run(
            ["gdb", "-batch", "-nx", "-x", script], capture_output=True, text=True, timeout=1800, check=False
        )
        server.join(60)
    said = done.stdout + done.stderr
    assert "Error" not in said, said
    # In front of the write stands what the round before has left.
    found = re.search(r"Old value = -(\d*7)\s+New value = (\d+)", said)
    assert found is not None and int(found[2]) == int(found[1]) - 1, said
    assert re.search(rf"before: status {found[2]} at write_wrong", said), said
    assert f"after: status -{found[1]}" in said, said
