# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness.contract import capabilities
from harness.language import scenario_file
from harness.language.model import Scenario
from harness.language.needs import unknown_needs

WINE: dict[str, Any] = {
    "agent": {"abi": 1, "pointer_size": 8},
    "family": "wine",
    "wine": {"version": "8.0"},
    "ks": {"present": True, "ours": True},
    "client": {"loaded": True, "abi": 1},
    "verifier": {"flags": 0, "drivers": []},
}
WINDOWS = WINE | {
    "family": "windows",
    "wine": None,
    "ks": {"present": True, "ours": False},
    "verifier": {"flags": 0x209BB, "drivers": ["avshs.sys"]},
}
OTHER_NT = WINE | {"family": "nt", "wine": None, "ks": {"present": True, "ours": False}}


def scenario(step: dict[str, Any], **values: Any) -> Scenario:
    table = {"id": "x", "title": "abc", "rule": "H5", "open": ["source"], "steps": [step]} | values
    return Scenario.model_validate(table)


def test_windows_shows_everything_but_32_bit_and_the_senders_own_mistakes() -> None:
    assert set(capabilities.absent(WINDOWS)) == {
        "pointer-32",
        "bad-kernel-pointers",
        "any-completion-status",
        "reference-ks",
    }


def test_wine_lacks_what_was_measured_and_says_why() -> None:
    lacking = capabilities.absent(WINE)
    assert {
        "native-pin-open",
        "raw-user-buffers",
        "create-status",
        "bugcheck",
        "microsoft-ks",
        "user-connected-pins",
    } <= lacking.keys()
    assert "c0000034" in lacking["native-pin-open"]
    assert {"ks-handshake", "reference-ks"} <= capabilities.present(WINE)


@pytest.mark.parametrize(
    ("verifier", "why"),
    [
        ({"flags": 0x10000, "drivers": ["a.sys"], "active": {"flags": 0x10000, "drivers": []}}, None),
        ({"flags": 0, "drivers": ["a.sys"], "active": {"flags": 0x10000, "drivers": []}}, None),
        ({"flags": 0x10000, "drivers": ["a.sys"], "active": {"flags": 0, "drivers": []}}, "not in force"),
        ({"flags": 0x10000, "drivers": ["a.sys"], "active": None}, "not in force"),
        ({"flags": 0, "drivers": [], "active": None}, "not switched on"),
    ],
)
def test_verifier_must_be_in_force(verifier: dict[str, Any], why: str | None) -> None:
    absent = capabilities.absent(WINDOWS | {"verifier": verifier}).get("driver-verifier")
    assert absent is None if why is None else why in (absent or "")


@pytest.mark.parametrize(
    ("verifier", "allowed"),
    [
        (None, True),
        ({"flags": 0x209BB, "drivers": []}, True),
        ({"flags": 0x309BB, "drivers": []}, False),
        ({"flags": 0x309BB, "drivers": [], "active": {"flags": 0, "drivers": []}}, True),
        ({"flags": 0, "drivers": [], "active": {"flags": 0x309BB, "drivers": []}}, False),
        ({"flags": 0x309BB, "drivers": [], "active": None}, True),
    ],
)
def test_slow_callbacks_are_not_asked_for_where_verifier_stops_them(
    verifier: dict[str, Any] | None, allowed: bool
) -> None:
    info = WINDOWS | {"verifier": verifier}
    slow = {"do": "behaviour", "pin": "source", "kind": "slow", "delay_ms": 1000}
    reason = capabilities.missing(scenario(slow), info)
    assert reason is None if allowed else "KsTimedPinCallbacks" in (reason or "")
    for quick in (slow | {"delay_ms": 100}, {"do": "behaviour", "pin": "source", "kind": "echo"}):
        assert capabilities.missing(scenario(quick), info) is None


@pytest.mark.parametrize(
    ("info", "allowed"),
    [
        (WINE, True),
        (OTHER_NT, False),
        (OTHER_NT | {"ks": {"present": True, "ours": True}}, True),
        (WINDOWS, False),
        (WINDOWS | {"verifier": None}, False),
        (WINDOWS | {"verifier": {"flags": 0, "drivers": []}}, True),
        (WINDOWS | {"verifier": {"flags": 0x10, "drivers": [], "active": {"flags": 0}}}, True),
        (WINDOWS | {"verifier": {"flags": 0, "drivers": [], "active": {"flags": 0x10}}}, False),
        (WINDOWS | {"verifier": {"flags": 0, "drivers": [], "active": None}}, False),
    ],
)
def test_a_status_that_ends_no_irp_is_not_asked_for_where_it_may_stop_the_kernel(
    info: dict[str, Any], allowed: bool
) -> None:
    told = {"do": "behaviour", "pin": "source", "kind": "status", "status": "0xFFFFFFFF"}
    for step in (told, told | {"kind": "decline", "status": "0x103"}, {**told, "kind": "pending"}):
        reason = capabilities.missing(scenario(step), info)
        assert reason is None if allowed else "any-completion-status" in (reason or "")
    assert capabilities.missing(scenario(told | {"status": "0xC0000001"}), info) is None


def test_the_catalogues_scenarios_with_such_a_status_need_the_capability() -> None:
    needing = {
        item.scenario.id
        for item in scenario_file.load_all([scenario_file.CATALOGUE])
        if "any-completion-status" in capabilities.implied(item.scenario)
    }
    assert needing == {
        *(f"returned.{kind}.ones" for kind in ("without-output", "with-output", "connected")),
        *(f"returned.pending.{kind}" for kind in ("without-output", "with-output")),
        *(f"returned.pending-connected.{kind}" for kind in ("without-output", "with-output")),
    }


def test_another_kernels_own_ks_is_not_asked_for_handshakes() -> None:
    assert "not known to handle handshakes" in capabilities.absent(OTHER_NT)["ks-handshake"]
    step = {"do": "handshake", "on": "source"}
    assert "ks-handshake" in (capabilities.missing(scenario(step), OTHER_NT) or "")
    assert capabilities.missing(scenario(step), WINE) is None


@pytest.mark.parametrize("info", [{}, {"ks": None, "client": None, "agent": None, "verifier": None}])
def test_a_guest_that_says_nothing_lacks_what_it_does_not_say(info: dict[str, Any]) -> None:
    assert {"client", "ks-handshake", "pointer-64"} <= capabilities.absent(info).keys()


@pytest.mark.parametrize(
    ("step", "implied"),
    [
        ({"do": "handshake", "on": "source"}, {"client", "ks-handshake"}),
        ({"do": "handshake", "on": "source", "route": "sync"}, {"ks-handshake"}),
        (
            {"do": "handshake", "on": "source", "route": "sync", "in_buffer": "null"},
            {"ks-handshake", "raw-user-buffers"},
        ),
        (
            {"do": "handshake", "on": "source", "in_buffer": "null"},
            {"client", "ks-handshake", "bad-kernel-pointers"},
        ),
        (
            {"do": "handshake", "on": "source", "route": "irp", "out_buffer": "readonly"},
            {"client", "ks-handshake", "bad-kernel-pointers"},
        ),
        ({"do": "handshake", "on": "source", "in_buffer": "readonly"}, {"client", "ks-handshake"}),
        (
            {"do": "handshake", "on": "source", "in_buffer": "null", "in_length": 0},
            {"client", "ks-handshake"},
        ),
        (
            {"do": "handshake", "on": "source", "in_buffer": "null", "mode": "user"},
            {"client", "ks-handshake"},
        ),
        ({"do": "open_pin", "name": "p", "pin": "sink", "way": "native"}, {"client", "native-pin-open"}),
        ({"do": "device", "action": "restart"}, {"client", "pnp-restart"}),
        ({"do": "seen", "pin": "source"}, {"client"}),
        ({"do": "behaviour", "pin": "source", "kind": "block"}, {"client", "slow-callbacks"}),
        ({"do": "behaviour", "pin": "source", "kind": "block", "delay_ms": 30}, {"client"}),
        ({"do": "behaviour", "pin": "source", "kind": "hang"}, {"client", "slow-callbacks"}),
    ],
)
def test_steps_imply_needs(step: dict[str, Any], implied: set[str]) -> None:
    assert capabilities.implied(scenario(step)) == implied


def test_pins_that_are_connected_in_user_mode_need_a_guest_that_can() -> None:
    steps = [{"do": "handshake", "on": "source", "route": "sync"}]
    made = scenario(steps[0], open=["source -> sink"])
    assert "user-connected-pins" in capabilities.implied(made)
    by_the_client = scenario(
        {"do": "handshake", "on": "source"},
        open=["source -> sink", "mine = source"],
        steps=[{"do": "handshake", "on": "source"}, steps[0] | {"on": "mine"}],
    )
    assert "user-connected-pins" not in capabilities.implied(by_the_client)


def test_reasons_name_every_need() -> None:
    reason = (
        capabilities.missing(scenario({"do": "sleep", "ms": 1}, needs=["bugcheck", "nonsense"]), WINE) or ""
    )
    assert "needs bugcheck: Wine" in reason
    assert "'nonsense'" in reason
    assert unknown_needs(scenario({"do": "sleep", "ms": 1}, needs=["bug-check"])) == [
        (0, "bug-check", "bugcheck")
    ]


def test_most_of_the_catalogue_runs_on_wine() -> None:
    located = scenario_file.load_all([scenario_file.CATALOGUE])
    shown = [item for item in located if capabilities.missing(item.scenario, WINE) is None]
    assert len(shown) > 0.9 * len(located)


def test_every_capability_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "scenarios.md").read_text("utf-8")
    documented = set(
        re.findall(r"^\| `([a-z0-9-]+)` \|", text.split("## Capabilities")[1].split("\n## ")[0], re.MULTILINE)
    )
    assert documented == set(capabilities.CAPABILITIES)
