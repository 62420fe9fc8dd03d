# SPDX-License-Identifier: Apache-2.0
"""The answer file (``Autounattend.xml``) that makes Windows Setup ask nothing.

Source of every setting: "Unattended Windows Setup Reference" (Windows hardware documentation); the order
of components and passes is that of the reference.  `vm.windows.answer_rules` checks what is made here
against rules written from the same pages.

Only one first-logon command is given: since Windows 10 the reference says of SynchronousCommand that all
of them are started at the same time, so the order must be kept by a script of ours.
"""

from __future__ import annotations

from collections.abc import Iterable

from lxml import etree

from vm.windows.profile import Firmware, WindowsProfile

NAMESPACE = "urn:schemas-microsoft-com:unattend"
WCM = "http://schemas.microsoft.com/WMIConfig/2002/State"
_PUBLIC_KEY_TOKEN = "31bf3856ad364e35"  # noqa: S105 - the token of Microsoft's component identity
ACCOUNT = "kshs"
FIRST_LOGON = r'cmd.exe /d /c "for %d in (D E F G H) do if exist %d:\kshs\first.cmd %d:\kshs\first.cmd %d:"'
"""Finds the provisioning CD, whose letter depends on the other drives, and starts its script."""

_OOBE_KEY = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\OOBE"
_LAB_CONFIG = ("BypassTPMCheck", "BypassSecureBootCheck", "BypassRAMCheck", "BypassCPUCheck")


def build(
    profile: WindowsProfile, *, image_index: int, server: bool, password: str, logons: int = 3
) -> bytes:
    """The answer file, UTF-8, for `profile` with the image chosen from the medium.

    Args:
        profile: the guest.
        image_index: ``/IMAGE/INDEX`` in the WIM, as read on the host.
        server: whether that image is Windows Server, which lacks components that a client has.
        password: of the local administrator; random, and known to the host alone.
        logons: how often Windows logs on by itself; provisioning needs one, and one for each reboot in it.
    """
    namespaces: dict[str | None, str] = {None: NAMESPACE, "wcm": WCM}
    root = etree.Element(_q("unattend"), nsmap=namespaces)  # type: ignore[arg-type]  # None: the default namespace
    _windows_pe(root, profile, image_index)
    _specialize(root, profile, server=server)
    _oobe(root, profile, password, logons)
    etree.indent(root, space="  ")
    return etree.tostring(root, xml_declaration=True, encoding="utf-8")


def _q(tag: str) -> str:
    return f"{{{NAMESPACE}}}{tag}"


def _settings(root: etree._Element, name: str) -> etree._Element:
    return etree.SubElement(root, _q("settings"), {"pass": name})


def _component(settings: etree._Element, name: str) -> etree._Element:
    return etree.SubElement(
        settings,
        _q("component"),
        {
            "name": name,
            "processorArchitecture": "amd64",
            "publicKeyToken": _PUBLIC_KEY_TOKEN,
            "language": "neutral",
            "versionScope": "nonSxS",
        },
    )


def _add(
    parent: etree._Element, tag: str, text: str | None = None, *, action: bool = False
) -> etree._Element:
    child = etree.SubElement(parent, _q(tag), {f"{{{WCM}}}action": "add"} if action else {})
    child.text = text
    return child


def _fields(parent: etree._Element, fields: Iterable[tuple[str, str]]) -> None:
    for tag, text in fields:
        _add(parent, tag, text)


def _locale(component: etree._Element, profile: WindowsProfile) -> None:
    _fields(
        component,
        (
            ("InputLocale", profile.keyboard),
            ("SystemLocale", profile.locale),
            ("UILanguage", profile.locale),
            ("UserLocale", profile.locale),
        ),
    )


def _windows_pe(root: etree._Element, profile: WindowsProfile, image_index: int) -> None:
    settings = _settings(root, "windowsPE")
    core = _component(settings, "Microsoft-Windows-International-Core-WinPE")
    _add(_add(core, "SetupUILanguage"), "UILanguage", profile.locale)
    _locale(core, profile)
    setup = _component(settings, "Microsoft-Windows-Setup")
    _disk(setup, profile)
    image = _add(_add(setup, "ImageInstall"), "OSImage")
    metadata = _add(_add(image, "InstallFrom"), "MetaData", action=True)
    _fields(metadata, (("Key", "/IMAGE/INDEX"), ("Value", str(image_index))))
    _fields(_add(image, "InstallTo"), (("DiskID", "0"), ("PartitionID", str(windows_partition(profile)))))
    user = _add(setup, "UserData")
    _fields(user, (("AcceptEula", "true"), ("FullName", ACCOUNT), ("Organization", ACCOUNT)))
    key = _add(user, "ProductKey")
    # Without the node Setup asks for a key; an evaluation medium has none, so the node stays empty.
    _fields(key, (("Key", profile.product_key or ""), ("WillShowUI", "OnError")))
    _fields(_add(setup, "DynamicUpdate"), (("Enable", "false"), ("WillShowUI", "Never")))
    if profile.bypass_requirements:
        run = _add(setup, "RunSynchronous")
        for order, name in enumerate(_LAB_CONFIG, start=1):
            command = _add(run, "RunSynchronousCommand", action=True)
            _fields(
                command,
                (
                    ("Order", str(order)),
                    ("Path", rf"reg add HKLM\SYSTEM\Setup\LabConfig /v {name} /t REG_DWORD /d 1 /f"),
                ),
            )
    if profile.disk_bus == "virtio":
        pnp = _component(settings, "Microsoft-Windows-PnpCustomizationsWinPE")
        paths = _add(pnp, "DriverPaths")
        for number, letter in enumerate("DEFGH", start=1):
            entry = _add(paths, "PathAndCredentials", action=True)
            entry.set(f"{{{WCM}}}keyValue", str(number))
            _add(entry, "Path", rf"{letter}:\drivers")


def windows_partition(profile: WindowsProfile) -> int:
    """The number of the partition that Windows is installed to, by the layout of `_disk`."""
    return 3 if profile.firmware is Firmware.UEFI else 2


def _disk(setup: etree._Element, profile: WindowsProfile) -> None:
    configuration = _add(setup, "DiskConfiguration")
    _add(configuration, "WillShowUI", "OnError")
    disk = _add(configuration, "Disk", action=True)
    _fields(disk, (("DiskID", "0"), ("WillWipeDisk", "true")))
    create = _add(disk, "CreatePartitions")
    modify = _add(disk, "ModifyPartitions")
    # (type, MiB or None for the rest, format, label, extra settings)
    layout: tuple[tuple[str, int | None, str | None, str | None, tuple[tuple[str, str], ...]], ...]
    if profile.firmware is Firmware.UEFI:
        layout = (
            ("EFI", 260, "FAT32", "System", ()),
            ("MSR", 128, None, None, ()),
            ("Primary", None, "NTFS", "Windows", (("Letter", "C"),)),
        )
    else:
        layout = (
            ("Primary", 350, "NTFS", "System", (("Active", "true"),)),
            ("Primary", None, "NTFS", "Windows", (("Letter", "C"),)),
        )
    changes = 0
    for number, (kind, size, file_system, label, extra) in enumerate(layout, start=1):
        made = _add(create, "CreatePartition", action=True)
        length = ("Extend", "true") if size is None else ("Size", str(size))
        _fields(made, (("Order", str(number)), ("Type", kind), length))
        if file_system is None or label is None:
            continue  # an MSR partition takes no file system: ModifyPartition must not name it
        changes += 1
        changed = _add(modify, "ModifyPartition", action=True)
        _fields(
            changed,
            (
                ("Order", str(changes)),
                ("PartitionID", str(number)),
                ("Format", file_system),
                ("Label", label),
                *extra,
            ),
        )


def _specialize(root: etree._Element, profile: WindowsProfile, *, server: bool) -> None:
    settings = _settings(root, "specialize")
    deployment = _component(settings, "Microsoft-Windows-Deployment")
    command = _add(_add(deployment, "RunSynchronous"), "RunSynchronousCommand", action=True)
    _fields(
        command,
        (
            ("Order", "1"),
            (
                "Path",
                rf"reg add {_OOBE_KEY} /v BypassNRO /t REG_DWORD /d 1 /f",
            ),
        ),
    )
    security = _component(settings, "Microsoft-Windows-Security-SPP-UX")
    _add(security, "SkipAutoActivation", "true")
    shell = _component(settings, "Microsoft-Windows-Shell-Setup")
    _fields(shell, (("ComputerName", computer_name(profile)), ("TimeZone", "UTC")))
    if not server:
        restore = _component(settings, "Microsoft-Windows-SystemRestore-Main")
        _add(restore, "DisableSR", "1")


def computer_name(profile: WindowsProfile) -> str:
    """A NetBIOS name: at most 15 characters."""
    return f"KSHS-{profile.name.upper()}"[:15].rstrip("-")


def _oobe(root: etree._Element, profile: WindowsProfile, password: str, logons: int) -> None:
    settings = _settings(root, "oobeSystem")
    _locale(_component(settings, "Microsoft-Windows-International-Core"), profile)
    shell = _component(settings, "Microsoft-Windows-Shell-Setup")

    def secret(parent: etree._Element) -> None:
        _fields(_add(parent, "Password"), (("Value", password), ("PlainText", "true")))

    logon = _add(shell, "AutoLogon")
    secret(logon)
    _fields(logon, (("Enabled", "true"), ("LogonCount", str(logons)), ("Username", ACCOUNT)))
    command = _add(_add(shell, "FirstLogonCommands"), "SynchronousCommand", action=True)
    _fields(
        command,
        (
            ("Order", "1"),
            ("CommandLine", FIRST_LOGON),
            ("Description", "kshs provisioning"),
            ("RequiresUserInput", "false"),
        ),
    )
    _fields(
        _add(shell, "OOBE"),
        (
            ("HideEULAPage", "true"),
            ("HideLocalAccountScreen", "true"),
            ("HideOEMRegistrationScreen", "true"),
            ("HideOnlineAccountScreens", "true"),
            ("HideWirelessSetupInOOBE", "true"),
            ("ProtectYourPC", "3"),
        ),
    )
    account = _add(_add(_add(shell, "UserAccounts"), "LocalAccounts"), "LocalAccount", action=True)
    secret(account)
    _fields(account, (("DisplayName", ACCOUNT), ("Group", "Administrators"), ("Name", ACCOUNT)))
