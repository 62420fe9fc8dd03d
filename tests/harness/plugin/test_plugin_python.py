# SPDX-License-Identifier: Apache-2.0
"""Tests in Python beside scenarios, and what is told of names that are misspelt."""

from __future__ import annotations

import glob

import pytest

from tests.harness.plugin import test_plugin
from tests.harness.plugin.test_plugin import Run

pytest_plugins = ["pytester"]

#: Fixtures of the tests beside these.
run = test_plugin.run

TESTS = """
from harness import ntstatus
from harness.guests import Guest
import pytest

def test_accepts(handshake, target):
    block = handshake("source", argument1=7, route="irp")
    assert block.answer == 0 and block.information == 32
    assert block.handshake.argument1 == 7
    assert target.name == "sim"

def test_short(handshake):
    assert ntstatus.name(handshake(in_length="size-1").answer).startswith("STATUS_INVALID_BUFFER_SIZE")

def test_no_pin(handshake):
    handshake("clock")

def test_typo(handshake):
    handshake(lenght=3)

def test_slip(handshake):
    handshake("sorce")

def test_wrong(handshake):
    assert handshake("sink", mode="user").answer == 0

def test_agent(agent, guest):
    from harness.agent.encode import Encoder
    from drivers.abi import load
    assert agent.run(Encoder(load()).step("NOP")).outcome == 0
    assert guest.id.startswith("fake-")
"""


def test_fixtures_for_python_tests(pytester: pytest.Pytester, run: Run) -> None:
    result = run("-v", scenarios=None, test_python=TESTS)
    result.assert_outcomes(passed=3, skipped=1, failed=1, errors=2)
    result.stdout.fnmatch_lines(
        [
            "*test_accepts PASSED*",
            "*test_short PASSED*",
            "*test_no_pin SKIPPED*no pin clock*",
            "*test_typo ERROR*",
            "*test_slip ERROR*",
            "*test_wrong FAILED*",
            "*test_agent PASSED*",
        ]
    )
    lines = TESTS.strip().splitlines()
    typo, slip, lack = (
        1 + next(i for i, line in enumerate(lines) if word in line) for word in ("lenght", "sorce", "clock")
    )
    known = "did you mean 'in_length'?"
    result.stdout.fnmatch_lines(
        [
            f"test_python.py:{typo}: handshake: lenght: unknown key 'lenght' ({known})",
            f"test_python.py:{slip}: handshake: on: target sim has no pin sorce (did you mean 'source'?)",
        ]
    )
    said = result.stdout.str()
    assert "pydantic" not in said and "Traceback" not in said and "During handling" not in said
    result = run("-rs", "-k", "no_pin", scenarios=None, test_python=TESTS)
    result.stdout.fnmatch_lines([f"SKIPPED * test_python.py:{lack}: *no pin clock*"])


SLIPS = """
schema = 1

[[scenario]]
id = "own.pin"
title = "a pin that is misspelt"
rule = "H4"
open = ["sorce"]
steps = [{ do = "handshake", on = "sorce" }]

[[scenario]]
id = "own.protocol"
title = "a protocol that is misspelt, and a need that is not met"
rule = "H4"
needs = ["bugcheck"]
open = ["source"]
steps = [{ do = "handshake", on = "source", protocol = "acepted" }]

[[scenario]]
id = "own.lack"
title = "a pin that this target has not"
rule = "H4"
open = ["clock"]
steps = [{ do = "handshake", on = "clock" }]

[[scenario]]
id = "own.good"
title = "comes after all of them"
rule = "H6"
open = ["source"]
timeout_ms = 300
steps = [{ do = "handshake", on = "source" }]
"""


def test_a_misspelt_name_in_a_scenario_of_ones_own_is_told_at_collection(
    pytester: pytest.Pytester, run: Run
) -> None:
    """Before any guest is made: with a name that is wrong nobody knows what would have been shown."""
    result = run("--kshs-out=out", scenarios=SLIPS, options='fail="a guest was made"')
    result.assert_outcomes(errors=1)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    pin = "scenarios/basic.toml:8: own.pin, open[0]: target sim has no pin sorce (did you mean 'source'?)"
    protocol = (
        "scenarios/basic.toml:17: own.protocol, steps[0].protocol: target sim has no protocol 'acepted'"
    )
    result.stdout.fnmatch_lines([glob.escape(pin), f"{glob.escape(protocol)}*"])
    assert "Traceback" not in result.stdout.str() and "preparing nothing" not in result.stdout.str()
    assert not (pytester.path / "out").exists()


def test_in_the_catalogue_a_name_that_is_nearly_another_is_skipped(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.planning.misspelt.CATALOGUE", pytester.path / "scenarios")
    run("--kshs-out=out", scenarios=SLIPS).assert_outcomes(passed=1, skipped=3)


LOST = """
import time
import pytest
from harness.plugin.state import STATE

@pytest.fixture
def kill(request):
    state = request.config.stash[STATE]

    def kill():
        state.provider.guests[-1].agent.die(137)
        runner = state.guests._runner
        until = time.monotonic() + 60
        while runner._lease.failure is None and time.monotonic() < until:
            time.sleep(0.01)
        assert runner._lease.failure is not None

    return kill

def test_lost(handshake, kill):
    assert handshake("source").answer == 0
    kill()
    handshake("source")
    assert False, "it went on with another guest, and did not know it"

def test_next(handshake, request):
    assert handshake("source").answer == 0
    first, second = request.config.stash[STATE].provider.guests
    assert first.closed and not second.closed

def test_lost_before(handshake, kill):
    kill()
    assert handshake("source").answer == 0, "of a guest that nothing was asked of yet another one will do"
"""


def test_an_agent_that_is_lost_between_two_requests_is_told_and_not_replaced(run: Run) -> None:
    result = run("-v", scenarios=None, test_lost=LOST)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*test_lost ERROR*", "*test_next PASSED*", "*test_lost_before PASSED*"])
    result.stdout.fnmatch_lines(["*the agent was lost between two requests: *exit code 137*"])
