# SPDX-License-Identifier: Apache-2.0
"""``kshs target init``: a target file from a package, and from what its driver says of itself in a guest."""

from __future__ import annotations

import os
import re
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from drivers import abi as abi_files
from harness.agent.encode import Encoder
from harness.commands.inputs import check_output
from harness.errors import HarnessError, UsageError
from harness.guests import GuestProvider, Say
from harness.guests.package import LoadedTarget
from harness.language import target as target_files
from harness.language.toml_file import is_toml
from harness.onboarding import discovery, draft, package_facts, target_text
from harness.onboarding.draft import Draft
from harness.onboarding.known_guids import shown
from harness.onboarding.package_facts import PackageDevice
from harness.onboarding.wishes import Wishes
from vm.files import write_whole
from vm.words import counted

if TYPE_CHECKING:
    from drivers.build import Build
    from drivers.package import Package

#: Gives guests with a target deployed.
Guests = Callable[[LoadedTarget], GuestProvider]

_MODE = 0o644
_MAX_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line says; None for what is to be found out."""

    package: Path
    out: Path | None = None
    name: str | None = None
    hardware_id: str | None = None
    service: str | None = None
    category: uuid.UUID | None = None
    instance: int | None = None
    wishes: Wishes = field(default_factory=Wishes)
    force: bool = False


@dataclass(frozen=True)
class _Unwritten(LoadedTarget):
    """A target of which there is no file yet: what is wrong with it is in its INF, not in a line of one."""

    inf: Path = Path()

    def package(self, build: Build) -> Package:
        """Its driver package, checked.

        Raises:
            UsageError: there is none, or its parts do not fit together.
        """
        import drivers.package
        from drivers.errors import PackageError

        directory = self.file.parent / self.target.package
        try:
            return drivers.package.load(directory.resolve(), self.target.hardware_id)
        except PackageError as error:
            raise UsageError(error.message, error.where or str(directory), error.hint) from error

    def refusal(self, key: str, message: str, hint: str) -> UsageError:
        """The error to raise for what the package says."""
        return UsageError(message, str(self.inf), hint)

    @property
    def root_enumerated(self) -> str:
        """How the user says it before there is a file."""
        return "--root-enumerated"


@dataclass(frozen=True, slots=True)
class Written:
    """A target file that was written, what was chosen for it, and what it still wants: lines with words."""

    file: Path
    draft: Draft
    chosen: tuple[str, ...]
    to_fill_in: tuple[tuple[int, str], ...]


def author(request: Request, guests: Guests, say: Say) -> Written:
    """Writes the file.

    Raises:
        UsageError: the package, the options or what the driver says of itself do not make a target file.
        HarnessError, VmError, BuildError: no guest can be had, or the driver was lost in it.
    """
    device = package_facts.read(request.package, request.hardware_id, request.service)
    file = request.out or Path(f"{device.inf.stem}.toml")
    if not is_toml(file):
        raise UsageError("a target file ends in .toml", str(file), "check --out")
    if file.exists() and not request.force:
        raise _is_there(file)
    check_output(file, "--out")
    begun = draft.before_asking(
        request.name or _name(device.inf.stem),
        _relative(device.directory, file),
        device,
        request.wishes,
    )
    unknown = target_files.unknown_import(request.wishes.imports, device.drivers)
    if unknown is not None:
        raise UsageError(unknown[1], "--allow-import", unknown[2])
    provider = guests(_Unwritten(begun.target(), file, device.inf))
    try:
        provider.prepare(say)
        filled, chosen = _ask(begun, provider, request, say)
    finally:
        provider.close()
    text = target_text.text_of(filled)
    _write(file, text, filled, replace=request.force)
    return Written(
        file, filled, (*_chosen_device(device, request), *chosen), tuple(target_text.to_fill_in(text))
    )


def told(written: Written) -> list[str]:
    """What a person is told of a file that was written, a line each."""
    found = written.draft
    pins = ", ".join(pin.name for pin in found.pins)
    lines = [
        f"{written.file}: {counted(len(found.pins), 'pin')} ({pins}) of {found.device.hardware_id},"
        f" found in {shown(found.category)}" + (f", number {found.instance} there" if found.instance else "")
    ]
    lines += [f"chosen: {text}" for text in written.chosen]
    lines += [f"{written.file}:{number}: fill in {text}" for number, text in written.to_fill_in]
    lines.append(f"next: kshs target check {written.file}; kshs run --target {written.file}")
    return lines


def _ask(begun: Draft, provider: GuestProvider, request: Request, say: Say) -> tuple[Draft, tuple[str, ...]]:
    abi = abi_files.load()
    encoder = Encoder(abi)
    say("leasing a guest")
    with discovery.session_with(provider, abi) as (_, session):
        say("asking the driver for its filters and pins")
        device = begun.device
        filters = discovery.find_filters(session, encoder, device.hardware_id, device.categories)
        found, category, instance = discovery.choose(filters, request.category, request.instance)
        say("opening its pins")
        filled = draft.fill_in(begun, found, (category, instance), request.wishes, session, encoder)
    chosen = []
    if len(filters) > 1:
        chosen.append(
            f"the filter with {counted(len(found.connectable), 'pin')} of {len(filters)} filters; --category"
            " and --instance name another"
        )
    return filled, tuple(chosen)


def _chosen_device(device: PackageDevice, request: Request) -> tuple[str, ...]:
    chosen = []
    others = [one for one in device.hardware_ids if one != device.hardware_id]
    if others and request.hardware_id is None:
        more = f" and {len(others) - _MAX_SHOWN} more" if len(others) > _MAX_SHOWN else ""
        shown = ", ".join(others[:_MAX_SHOWN])
        chosen.append(f"the device {device.hardware_id}; --hardware-id names another: {shown}{more}")
    services = [one for one in device.services if one.lower() != device.service.lower()]
    if services and request.service is None:
        chosen.append(f"the service {device.service}; --service names another: {', '.join(services)}")
    return tuple(chosen)


def _name(stem: str) -> str:
    """A target's name from the INF's."""
    text = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("._-")[:60]
    return text or "target"


def _relative(package: Path, file: Path) -> str:
    """The package as a target file says it: relative to the file."""
    return Path(os.path.relpath(package.resolve(), file.absolute().parent.resolve())).as_posix()


def _is_there(file: Path) -> UsageError:
    return UsageError("there is such a file already", str(file), "another --out, or --force to replace it")


def _write(file: Path, text: str, filled: Draft, *, replace: bool) -> None:
    """The file, once it is sure that it says what it is meant to say.

    Raises:
        UsageError: somebody has made one while the driver was asked, and it is not to be replaced.
        HarnessError: it does not, or it cannot be written.
    """
    meant = filled.target()
    try:
        with tempfile.TemporaryDirectory(prefix="kshs-target-") as scratch:
            trial = Path(scratch) / file.name
            trial.write_text(text, "utf-8")
            read = target_files.load(trial)
    except UsageError as error:
        raise HarnessError(f"what was made is no target file: {error}", str(file)) from None
    formats = {pin.facts.id: pin.format for pin in filled.pins if pin.format is not None}
    for pin in read.pin:
        wanted = formats.get(pin.id)
        if wanted is not None and read.format_of(pin).pack() != wanted.pack():
            raise HarnessError(f"the format of pin {pin.name} is not what it opened with", str(file))
    plain = {"format", "title"}
    if _without_formats(read.model_dump(exclude=plain)) != _without_formats(meant.model_dump(exclude=plain)):
        raise HarnessError("what was made says something else than was found", str(file))
    try:
        write_whole(file, text, _MODE, replace=replace)
    except FileExistsError:
        raise _is_there(file) from None
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", str(file), "check --out") from None


def _without_formats(target: dict[str, object]) -> dict[str, object]:
    """With interface and medium, which a file leaves out where they are the target's."""
    pins = target["pin"]
    assert isinstance(pins, list)
    kept = [
        {
            **{key: value for key, value in pin.items() if key != "format"},
            "interface": pin["interface"] or target["interface"],
            "medium": pin["medium"] or target["medium"],
        }
        for pin in pins
    ]
    return {**target, "pin": kept}
