# SPDX-License-Identifier: Apache-2.0
"""`kshs provision` from an ISO to a contract run on UEFI, with a double in the place of Windows Setup.

The double (setup_double/) boots on the same machine as Windows would, reads the same answer file and CD, and
runs the same scripts, in Wine's cmd.  Everything on the host is the real thing.  BIOS has a file of its own
(test_setup_double_bios.py), so that two workers share the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.provisioning import Bench, benches, check_failed, check_sealed, contract_run

pytestmark = pytest.mark.e2e


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    with benches(tmp_path) as make:
        yield make


def test_from_iso_to_contract_run(bench: Callable[..., Bench]) -> None:
    made = bench("uefi")
    code, output = made.provision()
    assert code == 0, output
    for state in ("media checked", "installing", "first boot", "provisioning", "settled"):
        assert f"{made.name}: {state}" in output, output
    check_sealed(made)
    contract_run(made)


def test_a_failed_step_is_tried_again_and_a_silent_guest_is_told(bench: Callable[..., Bench]) -> None:
    """Two faults of one guest: the second shows only when the first is overcome, by --resume."""
    made = bench("uefi", "first-logon-failure", "no-network")
    code, output = made.provision()
    assert code == 3, output
    evidence = check_failed(
        made, output, "provisioning", r"step testsigning failed with exit code 5: Access is denied"
    )
    # sshd is up by then, so the guest's own log can be had.
    assert "Access is denied" in (evidence / "provision.log").read_text(errors="replace")

    code, output = made.provision("--resume", settled=1.5)
    assert code == 3, output
    assert "installing" not in output, "what was done was done again"
    check_failed(made, output, "settled", r"no SSH server .* network does not answer")


def test_a_setup_that_hangs(bench: Callable[..., Bench]) -> None:
    made = bench("uefi", "hang-in-setup")
    code, output = made.provision(installing=1.5)
    assert code == 3, output
    evidence = check_failed(made, output, "installing", r"took longer than 90 s")
    assert "Copying Windows files (0%)" in (evidence / "com1.log").read_text(errors="replace")
