# SPDX-License-Identifier: Apache-2.0
"""The copy of an INF that Wine's setupapi understands as Windows understands the original.

Measured on Wine 8.0: of the models it takes exactly ``NTamd64`` or undecorated ones; Include and Needs are
ignored; files are looked for by the undecorated [SourceDisksFiles] and the folder of the disk alone; text
above the first section is refused.  The setupapi.dll of 8.0 and 10.0 does not know AddComponent.  Where an
INF relies on more, the driver is installed from a copy that says the same in Wine's words, and the record of
the deployment says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drivers.errors import PackageError
from drivers.inf import decorations, syntax
from drivers.inf.decorations import System
from drivers.inf.files import Copied, copied_files
from drivers.inf.model import Inf
from drivers.inf.syntax import RawSection

#: What Wine takes without a copy.
_PLAIN = "ntamd64"
_MODELS = "Kshs.Models."
#: The sections beside an install section that may need others ("INF DDInstall Section").
_PARTS = (
    "",
    ".services",
    ".hw",
    ".interfaces",
    ".coinstallers",
    ".components",
    ".software",
    ".wmi",
    ".events",
)


@dataclass(frozen=True)
class WineCopy:
    """What is installed on Wine: ``data`` is None where the INF can be taken as it is.

    ``notes`` say in sentences what was changed, and what of the INF has no effect on Wine all the same.
    """

    data: bytes | None
    notes: tuple[str, ...]


def for_wine(inf: Inf, hardware_id: str, system: System) -> WineCopy:
    """The INF for an installation of one device on a Wine that says it is ``system``.

    Raises:
        PackageError: the INF has no installation of that device.
    """
    installs = inf.installs(hardware_id, system)
    if not installs:
        raise PackageError(f"installs nothing for {hardware_id} on {system}", inf.name)
    copied = copied_files(inf, hardware_id, system)
    reasons = [*inf.odd, *_decorated(inf, system)]
    needing = _needing(inf, installs)
    if needing:
        reasons.append(f"Needs of [{'], ['.join(needing)}] is followed")
    if not _found_by_wine(inf, copied):
        reasons.append("the folders of its files are said as Wine reads them")
    notes = []
    left = inf.needs_of_the_system(f"{name}{part}" for name in installs for part in _PARTS)
    if left:
        notes.append(f"Wine ignores Include and Needs: {', '.join(left)} of the system's INFs is not applied")
    notes += _effects(inf, hardware_id)
    if not reasons:
        return WineCopy(None, tuple(notes))
    notes.insert(
        0, f"on Wine the driver is installed from a rewritten copy of {inf.name}: {'; '.join(reasons)}"
    )
    return WineCopy(_write(inf, system, needing, copied), tuple(notes))


def _effects(inf: Inf, hardware_id: str) -> list[str]:
    """What of the installation does not happen on Wine, and what of it runs code."""
    said = []
    if components := inf.components(hardware_id):
        said.append(f"Wine does not know AddComponent: {', '.join(components)} is not installed")
    if registered := inf.registered(hardware_id):
        said.append(f"RegisterDlls runs code of {', '.join(registered)} while the driver is installed")
    return said


def _decorated(inf: Inf, system: System) -> list[str]:
    """The decorations that Wine would not take, or not as Windows does."""
    found = {}
    for _, _, decorated in inf.manufacturers():
        ours = [text for text in decorated if (known := decorations.parse(text)) and known.for_amd64]
        if ours and [text.lower() for text in ours] != [_PLAIN]:
            for text in decorations.chosen(decorated, system):
                found[text] = f"the models of {text} are called NTamd64"
    return list(found.values())


def _needing(inf: Inf, installs: Iterable[str]) -> list[str]:
    """The sections of an installation that need others of the same INF."""
    names = [f"{name}{part}" for name in installs for part in _PARTS]
    return [name for name in names if len(_gathered(inf, name)) > 1]


def _gathered(inf: Inf, name: str) -> list[str]:
    """A section, and those of the same INF that it needs, in the order in which they are taken."""
    found: dict[str, None] = {name: None}
    todo = [name]
    while todo:
        for line in inf.section(todo.pop()):
            for needed in line.values if line.named("needs") else ():
                actual = inf.install_section(needed)
                if actual is not None and actual not in found:
                    found[actual] = None
                    todo.append(actual)
    return list(found)


def _found_by_wine(inf: Inf, copied: Iterable[Copied]) -> bool:
    listed = {(line.key or line.first()).lower() for line in inf.section("SourceDisksFiles")}
    return all("/" not in entry.path and (entry.systems or entry.path.lower() in listed) for entry in copied)


def _write(inf: Inf, system: System, needing: list[str], copied: list[Copied]) -> bytes:
    gone = {
        "manufacturer",
        *(f"sourcedisks{kind}{end}" for kind in ("names", "files") for end in ("", ".amd64")),
    }
    for _, base, decorated in inf.manufacturers():
        gone |= {base.lower(), *(f"{base}.{text}".lower() for text in decorated)}
    lines = [f"; A copy of {inf.name} for Wine, made by kshs."]
    for name, section in inf.raw.items():
        if name in gone:
            continue
        lines += ["", f"[{section.name}]"]
        for part in _gathered(inf, name) if name in needing else [name]:
            lines += _entries(inf.raw[part], without=("include", "needs", "layoutfile"))
    lines += _models(inf, system)
    lines += _disks(copied)
    return b"\xff\xfe" + "\r\n".join([*lines, ""]).encode("utf-16-le", "replace")


def _entries(section: RawSection, without: tuple[str, ...]) -> list[str]:
    kept = []
    for _, text in section.entries:
        if syntax.left_side(text).strip().lower() not in without:
            kept.append(text)
    return kept


def _models(inf: Inf, system: System) -> list[str]:
    """[Manufacturer] and the models sections that the system takes, under names of ours."""
    manufacturers, sections = [], []
    number = 0
    for raw, (_, base, decorated) in zip(
        inf.raw["manufacturer"].entries if inf.has("manufacturer") else (), inf.manufacturers(), strict=True
    ):
        for decoration in decorations.chosen(decorated, system):
            number += 1
            manufacturers.append(f"{syntax.left_side(raw[1]).strip()} = {_MODELS}{number},NTamd64")
            sections += ["", f"[{_MODELS}{number}.NTamd64]"]
            source = inf.raw.get((f"{base}.{decoration}" if decoration else base).lower())
            sections += _entries(source, without=()) if source is not None else []
    return ["", "[Manufacturer]", *manufacturers, *sections]


def _disks(copied: list[Copied]) -> list[str]:
    """One disk for each folder: Wine takes the folder of the disk, and not that of the file."""
    folders: dict[str, int] = {}
    files = []
    for entry in copied:
        if entry.systems:
            continue
        folder, _, name = entry.path.rpartition("/")
        disk = folders.setdefault(folder, len(folders) + 1)
        files.append(f"{_quoted(name)} = {disk}")
    names = [
        f'{disk} = "kshs",,,' + (_quoted("\\" + folder.replace("/", "\\")) if folder else "")
        for folder, disk in folders.items()
    ]
    return ["", "[SourceDisksNames]", *names, "", "[SourceDisksFiles]", *files]


def _quoted(text: str) -> str:
    """As a value that is taken as it is."""
    text = text.replace("%", "%%")
    return text if text.isascii() and text.replace(".", "").replace("_", "").isalnum() else f'"{text}"'
