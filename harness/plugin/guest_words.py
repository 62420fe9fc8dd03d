# SPDX-License-Identifier: Apache-2.0
"""What a guest says of itself, in the words of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.guest_info import GuestInfo
from harness.guests import verifier


def describe_guest(said: Mapping[str, Any]) -> dict[str, Any]:
    """The guest's `info` in the words of a report; what the guest cannot say is None.

    `kernel` is one line for headings, `kernel_build` the number that Microsoft writes behind the dot.
    """
    info = GuestInfo.of(said)
    kernel, ks, wine = info.kernel, info.ks, info.wine.version
    build = f"{_known(kernel.build)}" + (f".{kernel.ubr}" if kernel.ubr else "")
    number = f"{_known(kernel.major)}.{_known(kernel.minor)}.{build}"
    name = f"Wine {wine} as NT {number}" if wine else f"{kernel.name or 'Windows'} {number}"
    whose = "reference (refks)" if ks.ours else "the system's own"
    described: dict[str, Any] = {
        "kernel": name,
        "kernel_build": build,
        "family": info.family,
        "architecture": kernel.arch,
        "wine": wine,
        "ks.sys": f"{whose} {ks.version or ''}".strip() if ks.present else "none",
        "ks.sys sha256": ks.sha256,
        "client ABI": info.client.abi,
        "agent ABI": info.agent.abi,
        "test signing": info.test_signing,
        "secure boot": info.secure_boot,
        "HVCI": info.hvci,
        "verifier": verifier.summary(said.get("verifier")),
    }
    for driver in info.drivers:
        described[f"driver {driver.service}"] = f"{driver.version}, {driver.state}, sha256 {driver.sha256}"
    return described


def _known(number: int | None) -> str:
    return "?" if number is None else str(number)
