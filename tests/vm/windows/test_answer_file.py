# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools

import pytest
from lxml import etree

from vm.windows import answer_file, answer_rules
from vm.windows.profile import BUILTIN, Firmware, WindowsProfile

NS = {"u": answer_file.NAMESPACE}
PASSWORD = "pa<ss>&\"w'ord"

VARIANTS = [
    pytest.param(
        profile.model_copy(update={"firmware": firmware, "disk_bus": bus}), id=f"{name}-{firmware}-{bus}"
    )
    for (name, profile), firmware, bus in itertools.product(BUILTIN.items(), Firmware, ("sata", "virtio"))
]


def _build(profile: WindowsProfile, *, server: bool = False) -> bytes:
    return answer_file.build(profile, image_index=2, server=server, password=PASSWORD)


@pytest.mark.parametrize("profile", VARIANTS)
def test_every_variant_keeps_the_documented_rules(profile: WindowsProfile) -> None:
    assert answer_rules.check(_build(profile)) == []


@pytest.mark.parametrize("profile", VARIANTS)
def test_windows_is_installed_to_the_last_partition(profile: WindowsProfile) -> None:
    root = etree.fromstring(_build(profile))
    kinds = root.xpath("//u:CreatePartition/u:Type/text()", namespaces=NS)
    assert root.xpath("string(//u:InstallTo/u:PartitionID)", namespaces=NS) == str(len(kinds))
    assert kinds == (
        ["EFI", "MSR", "Primary"] if profile.firmware is Firmware.UEFI else ["Primary", "Primary"]
    )


def test_only_windows_11_bypasses_its_requirements() -> None:
    for name, profile in BUILTIN.items():
        assert (b"BypassTPMCheck" in _build(profile)) == name.startswith("win11")


@pytest.mark.parametrize("name", ["server2025", "win11", "lab", "serverless-client"])
def test_the_image_and_not_the_guests_name_decides_what_a_server_does_not_have(name: str) -> None:
    profile = WindowsProfile(name=name)
    for server in (True, False):
        answers = _build(profile, server=server)
        assert (b"Microsoft-Windows-SystemRestore-Main" in answers) is not server
        assert answer_rules.check(answers) == []


def test_password_survives_the_markup() -> None:
    root = etree.fromstring(_build(BUILTIN["win11"]))
    assert root.xpath("//u:Password/u:Value/text()", namespaces=NS) == [PASSWORD, PASSWORD]


def test_one_first_logon_command_because_several_would_start_at_once() -> None:
    root = etree.fromstring(_build(BUILTIN["server2025"]))
    commands = root.xpath("//u:FirstLogonCommands/u:SynchronousCommand/u:CommandLine/text()", namespaces=NS)
    assert commands == [answer_file.FIRST_LOGON]


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        (b'pass="specialize"', b'pass="specialise"', "pass name"),
        (b'pass="specialize"', b'pass="oobeSystem"', "one settings a pass"),
        (b'processorArchitecture="amd64"', b'processorArchitecture="x86"', "component identity"),
        (b"<LogonCount>3</LogonCount>", b"", "autologon"),
        (b"<Username>kshs</Username>", b"<Username>other</Username>", "autologon"),
        (b"<Type>MSR</Type><Size>128</Size>", b"<Type>MSR</Type>", "partition size"),
        (b"<Format>FAT32</Format>", b"<Format>NTFS</Format>", "partition"),
        (
            b"<PartitionID>3</PartitionID></InstallTo>",
            b"<PartitionID>2</PartitionID></InstallTo>",
            "install to",
        ),
        (b"</unattend>", b"", "well-formed"),
        (b"<ComputerName>KSHS-WIN11</ComputerName>", b"<ComputerName>a b</ComputerName>", "computer name"),
        (b"Microsoft-Windows-Security-SPP-UX", b"Microsoft-Windows-Security", "component name"),
    ],
)
def test_rules_find_what_is_broken(old: bytes, new: bytes, rule: str) -> None:
    good = _build(BUILTIN["win11"])
    parser = etree.XMLParser(remove_blank_text=True)
    compact = etree.tostring(etree.fromstring(good, parser), xml_declaration=True, encoding="utf-8")
    assert old in compact, "the test's own premise"
    assert rule in {breach.rule for breach in answer_rules.check(compact.replace(old, new, 1))}


def test_computer_names_fit_netbios() -> None:
    for name in ("server2025", "a-very-long-name-of-a-guest", "x"):
        assert len(answer_file.computer_name(WindowsProfile(name=name))) <= 15
