# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests in Python (docs/pytest.md)."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from harness.language.scenario_file import with_request_time
from harness.planning.planned import NotApplicable
from harness.plugin.handshake_call import place_of, scenario_of
from harness.plugin.report_words import REQUEST
from harness.plugin.state import STATE

if TYPE_CHECKING:
    from harness.agent.session import AgentSession
    from harness.agent.status_block import StatusBlock
    from harness.guests import Guest
    from harness.language.model import Target
    from harness.running.runner import Runner


class HandshakeFixture(Protocol):
    """Sends one handshake to a pin that is opened for it, and gives its status block."""

    def __call__(self, on: str = "source", **fields: Any) -> StatusBlock:
        """Sends it.

        Args:
            on: as in a scenario's ``open``: a pin of the target, "filter", "source -> sink".
            fields: of a scenario's handshake step: route, mode, protocol, argument1, argument2, input,
                in_length, out_length, in_buffer, out_buffer, control, repeat, threads, timeout_ms.

        Raises:
            CallError: the call is wrong: an error of the test, no failure of the driver.
        """


@pytest.fixture
def kshs_runner(request: pytest.FixtureRequest) -> Runner:
    """The runner of this process, with a guest at hand; the lease is shared with other tests."""
    return request.config.stash[STATE].runner()


@pytest.fixture
def guest(kshs_runner: Runner) -> Guest:
    """The guest in use: a clean one after anything that spoiled the last."""
    return kshs_runner.guest


@pytest.fixture
def agent(kshs_runner: Runner) -> Iterator[AgentSession]:
    """The session with the guest's agent, for steps of one's own; a test that ends it costs the lease."""
    session = kshs_runner.ready()
    yield session
    kshs_runner.release()


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Target:
    """The driver under test; needs no guest."""
    return request.config.stash[STATE].provider.target()


@pytest.fixture
def handshake(request: pytest.FixtureRequest) -> HandshakeFixture:
    """Sends one handshake and gives a `StatusBlock`; crashes and hangs fail the test, a wrong call errs."""
    state = request.config.stash[STATE]
    number = itertools.count(1)
    # Asked for once a test: it would give a fresh guest for a lost one, and the test not know it.
    runners: list[Runner] = []

    def send(*args: object, **fields: Any) -> StatusBlock:
        # A skip is then shown at the line of the test that called, not at one of this file.
        __tracebackhide__ = True
        where = place_of(sys._getframe(1), request.config.rootpath)
        title = f"{REQUEST}{next(number)} on {args[0] if args else fields.get('on', 'source')}"
        came = "no answer"
        try:
            # What is wrong with the call is told before a guest is made for it.
            scenario = with_request_time(
                scenario_of(request.node.name, args, fields, state.provider.target(), where),
                state.options.settings.limits.request_ms,
            )
            if not runners:
                runners.append(state.runner())
            block = runners[0].answer(scenario)[-1][1]
            came = _lines(block.as_dict())
        except NotApplicable as why:
            pytest.skip(str(why))
        except Exception as error:
            came = str(error)
            raise
        finally:
            sent = {key: value for key, value in fields.items() if key != "on"}
            request.node.add_report_section("call", title, f"{_lines(sent)}\n{came}".strip())
        return block

    return send


def _lines(fields: Mapping[str, Any]) -> str:
    return "\n".join(f"{key}: {value}" for key, value in fields.items() if value not in (None, "", []))


#: Fixtures behind which there is a guest.
_OF_A_GUEST = frozenset({"kshs_runner", "guest", "agent", "handshake"})


def uses_guest(item: pytest.Item) -> bool:
    """Whether a test in Python asks for a guest."""
    return not _OF_A_GUEST.isdisjoint(getattr(item, "fixturenames", ()))
