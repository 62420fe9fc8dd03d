# SPDX-License-Identifier: Apache-2.0
"""Hypervisors of other hosts are refused in words, and doctor says what is missing."""

from __future__ import annotations

import socket

import pytest

from vm import doctor
from vm.config import VmConfig
from vm.errors import InputError
from vm.hypervisor import Hypervisor
from vm.remote import MISSING, lacking, other_host


@pytest.mark.parametrize(
    "uri",
    [
        "qemu:///embed",
        "qemu:///system",
        "qemu+unix:///system?socket=/run/x",
        "qemu+ssh://root@localhost/system",
        f"qemu+tls://{socket.gethostname()}/system",
    ],
)
def test_this_host_by_any_transport(uri: str) -> None:
    assert other_host(uri) is None and lacking(uri) is None
    assert doctor.remote(VmConfig(uri=uri)).ok


@pytest.mark.parametrize("uri", ["qemu+ssh://root@lab7/system", "qemu+tls://lab7:16514/system"])
def test_another_host_is_refused_before_anything_is_asked_of_it(uri: str) -> None:
    assert other_host(uri) == "lab7"
    with pytest.raises(InputError, match=r"leases do not work over it: .*run kshs worker on lab7"):
        Hypervisor(VmConfig(uri=uri)).__enter__()
    check = doctor.remote(VmConfig(uri=uri))
    assert not check.ok and all(words in check.detail for words in MISSING)
    assert check.fix == "ssh lab7 kshs worker --scheduler URL"
