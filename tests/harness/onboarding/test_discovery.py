# SPDX-License-Identifier: Apache-2.0
"""A driver is asked what it is; what it says wrongly, or not at all, is told in one line."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from drivers import abi
from harness.agent.device_interfaces import DeviceInterface, filters
from harness.agent.encode import Encoder
from harness.errors import HarnessError, UsageError
from harness.guests import Evidence
from harness.onboarding.discovery import FoundFilter, choose, find_filters, session_with
from tests.harness.fake_guest import FakeProvider
from tests.harness.onboarding.fake_driver import AUDIO, CAPTURE, FakeDriver, FakePin

OTHER = uuid.UUID(int=7)


def found(driver: FakeDriver, *, preferred: tuple[uuid.UUID, ...] = ()) -> list[FoundFilter]:
    with session_with(FakeProvider(bend=driver), abi.load()) as (_, session):
        return find_filters(session, Encoder(abi.load()), r"Root\X", preferred)


def test_a_filter_is_found_by_the_category_in_which_it_is_the_first() -> None:
    (one,) = found(FakeDriver(categories={AUDIO: 2, CAPTURE: 0}))
    assert list(one.places.items()) == [(CAPTURE, 0), (AUDIO, 2)]
    assert [pin.flow for pin in one.pins] == ["out"]
    assert choose([one]) == (one, CAPTURE, 0)
    assert choose([one], AUDIO) == choose([one], AUDIO, 2) == choose([one], instance=2) == (one, AUDIO, 2)
    with pytest.raises(
        UsageError, match=r"--instance: the device has no filter 1 there \(there: .* 0, .* 2\)"
    ):
        choose([one], AUDIO, 1)
    with pytest.raises(UsageError, match=r"--category: the device has no filter in .* \(there: "):
        choose([one], OTHER)


def test_of_several_the_inf_s_own_comes_first() -> None:
    (one,) = found(FakeDriver(categories={CAPTURE: 0, AUDIO: 0}), preferred=(AUDIO,))
    assert one.categories == (AUDIO, CAPTURE)


def test_a_filter_that_stands_behind_others_is_taken_where_none_stands_first() -> None:
    (behind,) = found(FakeDriver(categories={CAPTURE: 1}))
    (first,) = found(FakeDriver(categories={CAPTURE: 0}))
    assert choose([behind]) == (behind, CAPTURE, 1)
    assert choose([behind, first]) == (first, CAPTURE, 0)
    assert choose([behind, first], instance=1) == (behind, CAPTURE, 1)


def test_of_several_filters_the_one_with_most_pins_that_open() -> None:
    (pins,) = found(FakeDriver())
    bridges = FakeDriver(pins=[FakePin(communication=4), FakePin(possible=0)], categories={AUDIO: 0})
    (other,) = found(bridges)
    assert choose([other, pins])[0] is pins
    with pytest.raises(UsageError) as refused:
        choose([other])
    assert "0: its communication is bridge: it cannot be connected; 1: it can have no instance" in str(
        refused.value
    )


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([], r"the device Root\\X has registered no device interface: no filter"),
        (
            [{"category": f"{{{AUDIO}}}", "index": 0, "path": rf"\\?\A#{{{AUDIO}}}\x", "active": False}],
            "no device interface, and has not enabled that in KSCATEGORY_AUDIO",
        ),
    ],
)
def test_a_device_without_interfaces_is_refused(said: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        found(FakeDriver(said=said))


@pytest.mark.parametrize(
    "entry",
    [
        None,
        7,
        {},
        {"category": "x", "index": 0, "path": r"\\?\A#{0}"},
        {"category": str(AUDIO), "index": -1, "path": rf"\\?\A#{{{AUDIO}}}"},
        {"category": str(AUDIO), "index": True, "path": rf"\\?\A#{{{AUDIO}}}"},
        {"category": str(AUDIO), "index": 0, "path": "nothing"},
    ],
)
def test_what_is_no_interface_is_left_out(entry: Any) -> None:
    with pytest.raises(UsageError, match="has registered no device interface"):
        found(FakeDriver(said=[entry]))


def test_a_guest_that_cannot_list_them_is_ours() -> None:
    with pytest.raises(HarnessError, match="cannot list its device interfaces"):
        found(FakeDriver(said="no"))


def test_a_driver_that_is_lost_over_a_question_is_said_with_the_guest_s_evidence() -> None:
    provider = FakeProvider(
        bend=FakeDriver(lost=lambda number: number == 3),
        evidence=Evidence(driver=("exception 0xc0000005 at theirs.sys+0x10",)),
    )
    with (
        pytest.raises(HarnessError, match="the driver was lost while it was asked: exception 0xc0000005 at"),
        session_with(provider, abi.load()) as (_, session),
    ):
        find_filters(session, Encoder(abi.load()), r"Root\X")
    assert provider.guests[0].closed


def test_two_filters_of_a_device_are_told_apart_by_their_reference() -> None:
    items = [
        DeviceInterface(CAPTURE, 0, r"\\?\ROOT#A#0000", "wave", True),
        DeviceInterface(AUDIO, 0, r"\\?\root#a#0000", "WAVE", True),
        DeviceInterface(AUDIO, 1, r"\\?\ROOT#A#0000", "topology", True),
        DeviceInterface(OTHER, 0, r"\\?\ROOT#A#0000", "old", False),
    ]
    assert [(one.reference, len(one.interfaces)) for one in filters(items)] == [("wave", 2), ("topology", 1)]
