# SPDX-License-Identifier: Apache-2.0
"""Rules that an answer file must keep, written from the documented schema.

Source: "Unattended Windows Setup Reference" and "How Configuration Passes Work" (Windows hardware
documentation).  Windows SIM validates against a catalogue that comes with Windows; this is what can be
checked without one.  It checks the file as a whole, whoever made it: a user's own file too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml import etree

from vm.windows.answer_file import NAMESPACE, WCM

PASSES = (
    "windowsPE",
    "offlineServicing",
    "generalize",
    "specialize",
    "auditSystem",
    "auditUser",
    "oobeSystem",
)
"""The passes in the order in which Setup runs them."""

COMPONENT_PASSES: dict[str, frozenset[str]] = {
    "Microsoft-Windows-International-Core-WinPE": frozenset({"windowsPE"}),
    "Microsoft-Windows-Setup": frozenset({"windowsPE"}),
    "Microsoft-Windows-PnpCustomizationsWinPE": frozenset({"windowsPE"}),
    "Microsoft-Windows-Deployment": frozenset({"generalize", "specialize", "auditUser", "oobeSystem"}),
    "Microsoft-Windows-Security-SPP-UX": frozenset({"specialize", "oobeSystem"}),
    "Microsoft-Windows-Shell-Setup": frozenset(
        {"generalize", "specialize", "auditSystem", "auditUser", "oobeSystem", "offlineServicing"}
    ),
    "Microsoft-Windows-SystemRestore-Main": frozenset({"specialize"}),
    "Microsoft-Windows-International-Core": frozenset({"specialize", "oobeSystem"}),
}
"""The components that we use, and the passes in which the reference allows each."""

_SHELL_SETUP_PASSES = {
    "ComputerName": "specialize",
    "AutoLogon": "oobeSystem specialize auditSystem",
    "FirstLogonCommands": "oobeSystem",
    "OOBE": "oobeSystem",
    "UserAccounts": "oobeSystem auditSystem",
}
_NAME = re.compile(r"^[^\\/:*?\"<>|.\s]{1,15}$")


@dataclass(frozen=True)
class Breach:
    """A rule that the file breaks: which, where (an XPath-like place), and what is wrong there."""

    rule: str
    place: str
    message: str


def check(xml: bytes) -> list[Breach]:
    """All breaches; an empty list means that the file keeps every rule that is known here."""
    try:
        root = etree.fromstring(xml, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        return [Breach("well-formed", f"line {error.lineno}", str(error))]
    if root.tag != f"{{{NAMESPACE}}}unattend":
        return [Breach("root", root.tag, f"the root must be unattend of {NAMESPACE}")]
    breaches: list[Breach] = []
    _passes(root, breaches)
    for settings in root.findall(_q("settings")):
        for component in settings.findall(_q("component")):
            _component(settings.get("pass") or "", component, breaches)
    _orders(root, breaches)
    _partitions(root, breaches)
    _accounts(root, breaches)
    return breaches


def _q(path: str) -> str:
    return "/".join(
        f"{{{NAMESPACE}}}{part}" if part not in (".", "..", "*") else part for part in path.split("/")
    )


def _passes(root: etree._Element, breaches: list[Breach]) -> None:
    seen = [node.get("pass") or "" for node in root.findall(_q("settings"))]
    for name in seen:
        if name not in PASSES:
            breaches.append(
                Breach("pass name", f"settings[@pass={name!r}]", f"no such pass; there are {PASSES}")
            )
    if len(set(seen)) != len(seen):
        breaches.append(Breach("one settings a pass", "settings", f"a pass is given twice: {seen}"))
    known = [PASSES.index(name) for name in seen if name in PASSES]
    if known != sorted(known):
        breaches.append(
            Breach("pass order", "settings", f"passes stand in another order than they run: {seen}")
        )


def _component(pass_name: str, node: etree._Element, breaches: list[Breach]) -> None:
    name = node.get("name") or ""
    place = f"{pass_name}/{name}"
    for attribute, value in (
        ("processorArchitecture", "amd64"),
        ("publicKeyToken", "31bf3856ad364e35"),
        ("language", "neutral"),
        ("versionScope", "nonSxS"),
    ):
        if node.get(attribute) != value:
            breaches.append(
                Breach("component identity", place, f"{attribute} is {node.get(attribute)!r}, not {value!r}")
            )
    allowed = COMPONENT_PASSES.get(name)
    if allowed is None:
        breaches.append(Breach("component name", place, "not a component that is known here"))
    elif pass_name not in allowed:
        breaches.append(Breach("component pass", place, f"allowed in {sorted(allowed)} only"))
    if name == "Microsoft-Windows-Shell-Setup":
        for tag, passes in _SHELL_SETUP_PASSES.items():
            if node.find(_q(tag)) is not None and pass_name not in passes.split():
                breaches.append(Breach("setting pass", f"{place}/{tag}", f"allowed in {passes} only"))


def _orders(root: etree._Element, breaches: list[Breach]) -> None:
    for tag in ("RunSynchronousCommand", "SynchronousCommand", "CreatePartition", "ModifyPartition"):
        for parent in {node.getparent() for node in root.iter(_q(tag))}:
            if parent is None:
                continue
            children = parent.findall(_q(tag))
            orders = [child.findtext(_q("Order")) for child in children]
            if orders != [str(number) for number in range(1, len(orders) + 1)]:
                breaches.append(
                    Breach("order", f"{_local(parent)}/{tag}", f"Order must be 1, 2, 3 ...: {orders}")
                )
            for child in children:
                if child.get(f"{{{WCM}}}action") != "add":
                    breaches.append(
                        Breach("list item", f"{_local(parent)}/{tag}", 'wcm:action="add" is missing')
                    )
    for tag, limit in (("Path", 259), ("CommandLine", 1024)):
        for node in root.iter(_q(tag)):
            if len(node.text or "") > limit:
                breaches.append(Breach("length", tag, f"{len(node.text or '')} characters, at most {limit}"))


def _partitions(root: etree._Element, breaches: list[Breach]) -> None:
    for disk in root.iter(_q("Disk")):
        created = disk.findall(_q("CreatePartitions/CreatePartition"))
        kinds = {child.findtext(_q("Order")): child.findtext(_q("Type")) for child in created}
        for child in created:
            sized, extended = child.find(_q("Size")) is not None, child.findtext(_q("Extend")) == "true"
            if sized == extended:
                breaches.append(
                    Breach("partition size", "CreatePartition", "exactly one of Size and Extend=true")
                )
        if any(child.findtext(_q("Extend")) == "true" for child in created[:-1]):
            breaches.append(Breach("partition size", "CreatePartition", "only the last partition can extend"))
        for change in disk.findall(_q("ModifyPartitions/ModifyPartition")):
            kind = kinds.get(change.findtext(_q("PartitionID")))
            if kind is None:
                breaches.append(
                    Breach("partition", "ModifyPartition", "changes a partition that is not created")
                )
            if kind == "MSR":
                breaches.append(
                    Breach("partition", "ModifyPartition", "an MSR partition must not be modified")
                )
            if kind == "EFI" and change.findtext(_q("Format")) != "FAT32":
                breaches.append(Breach("partition", "ModifyPartition", "an EFI system partition is FAT32"))
    for target in root.iter(_q("InstallTo")):
        partition = target.findtext(_q("PartitionID"))
        formats = {
            node.findtext(_q("PartitionID")): node.findtext(_q("Format"))
            for node in root.iter(_q("ModifyPartition"))
        }
        if formats.get(partition) != "NTFS":
            breaches.append(Breach("install to", "InstallTo", f"partition {partition} is not formatted NTFS"))


def _accounts(root: etree._Element, breaches: list[Breach]) -> None:
    accounts = {
        node.findtext(_q("Name")): node.findtext(_q("Password/Value"))
        for node in root.iter(_q("LocalAccount"))
    }
    for logon in root.iter(_q("AutoLogon")):
        user = logon.findtext(_q("Username"))
        if user not in accounts:
            breaches.append(
                Breach("autologon", "AutoLogon/Username", f"{user!r} is no local account of the file")
            )
        elif logon.findtext(_q("Password/Value")) != accounts[user]:
            breaches.append(Breach("autologon", "AutoLogon/Password", "differs from the account's"))
        if not (logon.findtext(_q("LogonCount")) or "").isdigit():
            breaches.append(
                Breach("autologon", "AutoLogon/LogonCount", "must be given: without it logon never ends")
            )
    for node in root.iter(_q("ComputerName")):
        if not _NAME.match(node.text or ""):
            breaches.append(Breach("computer name", "ComputerName", f"{node.text!r} is no NetBIOS name"))
    if root.find(f".//{_q('UserData')}") is not None and root.find(f".//{_q('UserData/ProductKey')}") is None:
        breaches.append(Breach("product key", "UserData", "ProductKey is missing: Setup would ask for one"))


def _local(node: etree._Element) -> str:
    return etree.QName(node).localname
