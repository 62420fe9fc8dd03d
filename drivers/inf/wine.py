# SPDX-License-Identifier: Apache-2.0
"""The copy of an INF that Wine's setupapi understands as Windows understands the original.

Measured on Wine 8.0: of the models it takes exactly ``NTamd64`` or undecorated ones; Include and Needs are
ignored; files are looked for by the undecorated [SourceDisksFiles] and the folder of the disk alone; text
above the first section is refused.  The setupapi.dll of 8.0 and 10.0 knows neither AddComponent nor extension
INFs.  Where an INF relies on more, the driver is installed from a copy that says the same in Wine's words,
and the record of the deployment says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from drivers.errors import PackageError
from drivers.inf import decorations, syntax
from drivers.inf.borrowed import Borrowed
from drivers.inf.components import components, extensions
from drivers.inf.decorations import System
from drivers.inf.files import Copied, copied_files
from drivers.inf.model import Inf
from drivers.inf.syntax import RawSection

#: What Wine takes without a copy.
_PLAIN = "ntamd64"
_MODELS = "Kshs.Models."
#: The load order group of the client and of Wine's own PnP drivers (drivers/kshsctl/kshsctl.h).
_GROUP = "wineplugplay"
#: The sections beside an install section that may need others ("INF DDInstall Section").
_PARTS = (
    "",
    ".services",
    ".hw",
    ".interfaces",
    ".coinstallers",
    ".components",
    ".software",
    ".filters",
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


@dataclass
class _Sources:
    """The INFs of a package on the way into one text."""

    main: Inf
    lent: dict[str, Borrowed] = field(default_factory=dict)

    def entries(self, places: Iterable[tuple[Inf, str]]) -> list[str]:
        """What stands in sections of whichever INF, in the words of the copy."""
        found = []
        for inf, name in places:
            if inf is not self.main:
                found += self._of(inf).entries(name)
            elif name in inf.raw:
                found += _entries(inf.raw[name], without=("include", "needs", "layoutfile"))
        return found

    def _of(self, inf: Inf) -> Borrowed:
        key = inf.name.lower()
        if key not in self.lent:
            self.lent[key] = Borrowed(inf, f"Kshs.{len(self.lent) + 1}.")
        return self.lent[key]


def for_wine(inf: Inf, hardware_id: str, system: System, infs: Sequence[Inf] = ()) -> WineCopy:
    """The INF for an installation of one device on a Wine that says it is ``system``.

    ``infs`` are all those of the package, among them the extensions of the device.

    Raises:
        PackageError: the INF has no installation of that device.
    """
    installs = inf.installs(hardware_id, system)
    if not installs:
        raise PackageError(f"installs nothing for {hardware_id} on {system}", inf.name)
    added = [other for other in extensions(infs, hardware_id, system) if other is not inf]
    copied = copied_files(inf, hardware_id, system)
    for other in added:
        copied += copied_files(other, hardware_id, system)
    reasons = [*inf.odd, *_decorated(inf, system)]
    gathered = _gathered(inf, installs, [(other, hardware_id, system) for other in added])
    needing = [name for name, places in gathered.items() if any(owner is inf for owner, _ in places[1:])]
    if needing:
        reasons.append(f"Needs of [{'], ['.join(needing)}] is followed")
    elsewhere = {
        owner.name: None for places in gathered.values() for owner, _ in places[1:] if owner is not inf
    }
    reasons += [f"what {name} adds is in it" for name in elsewhere]
    if grouped := _grouped(inf, installs):
        names = "], [".join(grouped)
        reasons.append(f"LoadOrderGroup of [{names}] is left out: Wine gives each group a process")
    if not _found_by_wine(inf, copied):
        reasons.append("the folders of its files are said as Wine reads them")
    notes = []
    left = inf.needs_of_the_system(f"{name}{part}" for name in installs for part in _PARTS)
    if left:
        notes.append(f"Wine ignores Include and Needs: {', '.join(left)} of the system's INFs is not applied")
    notes += _effects([inf, *added], infs or [inf], hardware_id, system)
    if not reasons:
        return WineCopy(None, tuple(notes))
    notes.insert(
        0, f"on Wine the driver is installed from a rewritten copy of {inf.name}: {'; '.join(reasons)}"
    )
    return WineCopy(_write(inf, system, gathered, copied, grouped), tuple(notes))


def _effects(taken: Iterable[Inf], infs: Sequence[Inf], hardware_id: str, system: System) -> list[str]:
    """What of the installation happens otherwise on Wine or not at all, and what of it runs code."""
    said = []
    for component in components(infs, hardware_id, system):
        id_ = component.hardware_id
        if component.inf is None:
            said.append(f"no INF of the package installs {id_}, the software component {component.name}")
            continue
        said.append(
            f"Wine does not know AddComponent: {component.name} ({id_} of {component.inf.name}) is installed"
            " as a root-enumerated device, beside the driver's and not below it"
        )
        if component.software:
            said.append(f"Wine does not know AddSoftware: {', '.join(component.software)} is not run")
    for one in taken:
        filters = [
            entry.line.first()
            for entry in one.entries(f"{name}.filters" for name in one.installs(hardware_id, system))
            if entry.line.named("addfilter") and entry.line.first()
        ]
        if filters:
            said.append(f"Wine does not know AddFilter: {', '.join(filters)} is not put over the device")
        if registered := one.registered(hardware_id):
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


def _gathered(
    inf: Inf, installs: Iterable[str], added: Iterable[tuple[Inf, str, System]]
) -> dict[str, list[tuple[Inf, str]]]:
    """The sections of an installation, each with all that is to stand in it, its own entries first."""
    found: dict[str, list[tuple[Inf, str]]] = {}
    more = [(other, section) for other, id_, system in added for section in other.installs(id_, system)]
    for name in installs:
        for part in _PARTS:
            places = list(inf.gathered([f"{name}{part}"]))
            for other, section in more:
                places += [place for place in other.gathered([f"{section}{part}"]) if other.has(place[1])]
            if len(places) > 1 or inf.has(f"{name}{part}"):
                found[f"{name}{part}"] = places
    return found


def _grouped(inf: Inf, installs: Iterable[str]) -> list[str]:
    """The sections of services that name another load order group than the client's.

    Wine 8.0 and 10.0 start drivers of one group in one process, and the client reaches a driver in its own
    alone: so the service has the client's group before the INF is installed, which must not change it.
    """
    found: dict[str, None] = {}
    for entry in inf.entries(f"{name}.services" for name in installs):
        if entry.line.named("addservice") and len(entry.line.values) > 2 and entry.inf is inf:
            section = entry.line.values[2]
            groups = [line.first().lower() for line in inf.section(section) if line.named("loadordergroup")]
            if any(group != _GROUP for group in groups):
                found.setdefault(section)
    return list(found)


def _found_by_wine(inf: Inf, copied: Iterable[Copied]) -> bool:
    listed = {(line.key or line.first()).lower() for line in inf.section("SourceDisksFiles")}
    return all("/" not in entry.path and (entry.systems or entry.path.lower() in listed) for entry in copied)


def _write(
    inf: Inf,
    system: System,
    gathered: dict[str, list[tuple[Inf, str]]],
    copied: list[Copied],
    grouped: Iterable[str],
) -> bytes:
    gone = {
        "manufacturer",
        *(f"sourcedisks{kind}{end}" for kind in ("names", "files") for end in ("", ".amd64")),
    }
    for _, base, decorated in inf.manufacturers():
        gone |= {base.lower(), *(f"{base}.{text}".lower() for text in decorated)}
    lines = [f"; A copy of {inf.name} for Wine, made by kshs."]
    sources = _Sources(inf)
    # What is gathered first says which INFs lend something.
    own = {name: sources.entries(places) for name, places in gathered.items()}
    for name in grouped:
        own[name.lower()] = _entries(inf.raw[name.lower()], without=("loadordergroup",))
    lent = list(sources.lent.values())
    if lent:
        own.setdefault("strings", sources.entries([(inf, "strings")]))
        own["strings"] += [line for one in lent for line in one.strings()]
        own.setdefault("destinationdirs", sources.entries([(inf, "destinationdirs")]))
        own["destinationdirs"] += [line for one in lent for line in one.destinations()]
    for name in dict.fromkeys([*inf.raw, *own]):
        if name not in gone:
            title = inf.raw[name].name if name in inf.raw else name
            lines += ["", f"[{title}]", *(own[name] if name in own else sources.entries([(inf, name)]))]
    lines += [line for one in lent for line in one.sections()]
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
    files: dict[str, None] = {}
    for entry in copied:
        if entry.systems:
            continue
        folder, _, name = entry.path.rpartition("/")
        disk = folders.setdefault(folder, len(folders) + 1)
        files.setdefault(f"{_quoted(name)} = {disk}")
    names = [
        f'{disk} = "kshs",,,' + (_quoted("\\" + folder.replace("/", "\\")) if folder else "")
        for folder, disk in folders.items()
    ]
    return ["", "[SourceDisksNames]", *names, "", "[SourceDisksFiles]", *files]


def _quoted(text: str) -> str:
    """As a value that is taken as it is."""
    text = text.replace("%", "%%")
    return text if text.isascii() and text.replace(".", "").replace("_", "").isalnum() else f'"{text}"'
