# SPDX-License-Identifier: Apache-2.0
"""`kshs provision` from an ISO to a contract run on BIOS, and the faults that firmware has no part in.

See test_setup_double_uefi.py.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.provisioning import TIMEOUT, Bench, benches, check_failed, check_sealed, contract_run

pytestmark = pytest.mark.e2e

_COPYING = 16 << 20  # bytes on the disk; partitions and loader alone are less


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    with benches(tmp_path) as make:
        yield make


def _wait_until_setup_copies(made: Bench, process: subprocess.Popen[str]) -> None:
    disk = made.work / "disk.qcow2"
    deadline = time.monotonic() + TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        if disk.exists() and disk.stat().st_blocks * 512 > _COPYING:
            return
        time.sleep(0.05)
    raise AssertionError("Setup never copied anything")


def test_interrupted_and_resumed_to_a_contract_run(bench: Callable[..., Bench]) -> None:
    """Ctrl-C in the middle of Setup, which Windows does not survive unless the machine is saved whole."""
    made = bench("bios")
    with made.start() as process:
        assert process.stdout is not None
        _wait_until_setup_copies(made, process)
        process.send_signal(signal.SIGINT)
        output = process.stdout.read()
    assert process.returncode == 3, output
    assert f"{made.name}: installing" in output, output
    assert "interrupted" in output
    assert "--resume" in output
    state = made.state()
    assert state["saved"] and state["state"] == "installing", state

    code, output = made.provision("--resume")
    assert code == 0, output
    assert "media checked" not in output, "it began afresh"
    check_sealed(made)
    contract_run(made)


def test_an_edition_that_setup_does_not_find(bench: Callable[..., Bench]) -> None:
    made = bench("bios", "wrong-edition")
    code, output = made.provision(installing=1.5)
    assert code == 3, output
    evidence = check_failed(made, output, "installing", r"took longer than 90 s")
    assert "Windows cannot find image 2" in (evidence / "com1.log").read_text(errors="replace")


FAULTS = {
    "reboot-loop": ("first boot", r"restarts over and over \(7 times"),
    "disk-full": ("provisioning|first boot", r"step first failed with exit code \d+"),
    "sshd-missing": ("provisioning", r"step openssh failed with exit code 1060"),
}
"""State and reason of the end, as regular expressions."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_as_it_should(bench: Callable[..., Bench], fault: str) -> None:
    made = bench("bios", fault)
    code, output = made.provision()
    assert code == 3, output
    evidence = check_failed(made, output, *FAULTS[fault])
    if fault == "sshd-missing":
        assert "This system has no service sshd" in (evidence / "com1.log").read_text(errors="replace")
