# SPDX-License-Identifier: Apache-2.0
"""A pin that does not open as its target file says is told with the field that does not fit."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from drivers import abi
from harness.agent.encode import Encoder
from harness.language import target
from harness.language.model import Scenario, Target
from harness.onboarding.discovery import session_with
from harness.planning.plan import plan
from harness.running.formats import resolve
from tests.harness.fake_guest import FakeProvider
from tests.harness.onboarding.fake_driver import PLAIN, FakeDriver, FakePin
from tests.harness.running.test_doubtful_target import TEXT

SCENARIO = Scenario.model_validate(
    {
        "id": "x",
        "title": "a title",
        "rule": "H6",
        "open": ["source"],
        "steps": [{"do": "handshake", "on": "source"}],
    }
)
DRIVER: dict[str, Any] = {"categories": {uuid.UUID("6994AD05-93EF-11D0-A3CC-00A0C9223196"): 0}}


def resolved(driver: FakeDriver, of: Target) -> Target:
    with session_with(FakeProvider(bend=driver), abi.load()) as (_, session):
        return resolve(of, session, Encoder(abi.load()))


@pytest.fixture
def bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text(TEXT, "utf-8")
    return target.load(Path("bad.toml"))


def test_the_reason_has_the_place_what_was_sent_and_what_the_pin_offers(bridge: Target) -> None:
    found = resolved(FakeDriver([FakePin(), FakePin(flow=1)], **DRIVER), bridge)
    with pytest.raises(Exception, match="pin source does not open") as refused:
        plan(SCENARIO, found)
    said = str(refused.value)
    assert said.startswith(
        "bad.toml:11: format: pin source does not open: STATUS_NO_MATCH (0xC0000272) for a format of 64 bytes"
    )
    assert f"format.major: asked for {bridge.pin[0].format or bridge.format.major}" in said  # type: ignore[union-attr]
    assert f"the pin's ranges have {PLAIN.major}; the pin: flow out" in said
    assert "the pin: range" in said


def test_a_pin_that_opens_is_left_alone(bridge: Target) -> None:
    wanted = [bridge.format_of(pin) for pin in bridge.pin]
    pins = [FakePin(ranges=[wanted[0]]), FakePin(flow=1, ranges=[wanted[1]])]
    found = resolved(FakeDriver(pins, **DRIVER), bridge)
    assert all(found.why_unopened(pin) is None for pin in found.pin)
    assert plan(SCENARIO, found).steps


def test_a_pin_that_refuses_what_it_offers_is_left_to_the_verdict(bridge: Target) -> None:
    """Another status than STATUS_NO_MATCH, with nothing wrong in the request: a failed open."""

    class Shut(FakePin):
        def opens(self, connect: bytes) -> int:
            return 0xC0000001

    wanted = [bridge.format_of(pin) for pin in bridge.pin]
    pins = [Shut(ranges=[wanted[0]]), Shut(flow=1, ranges=[wanted[1]])]
    found = resolved(FakeDriver(list(pins), **DRIVER), bridge)
    assert all(found.why_unopened(pin) is None for pin in found.pin)
