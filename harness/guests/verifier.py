# SPDX-License-Identifier: Apache-2.0
"""Driver Verifier as a leg: what a guest was asked for, what it has, and the target's own driver under it.

A guest whose profile has the leg was set up with rule classes and drivers by ``verifier /rc``, which a
restart made true (docs/windows.md, "Driver Verifier").  Classes need that restart, a further driver does not
("Using Volatile Settings", Windows driver documentation, devtest).  So the target's drivers are added before
they are loaded for the first time, to the settings (for a guest that starts from its disk) and to what is in
force now; what `verifier /query` then lists is what counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import DeployError
from harness.guest_info import GuestInfo, VerifierFacts, VerifierPart
from harness.guests.kshsctl import TIMEOUT, text_of

if TYPE_CHECKING:
    from vm.image import Image
    from vm.shell import Shell

_STEP = "verifier"
#: verifier.exe ends with 0 (done), 1 (error) or 2 (done, in force after a restart).
_DONE = (0, 2)


@dataclass(frozen=True)
class Verifier:
    """What a guest with the leg was asked for: rule classes by number, drivers by lower-case file name.

    ``guest`` is its name, for what a user can do.
    """

    classes: tuple[int, ...]
    drivers: tuple[str, ...]
    guest: str

    @property
    def flags(self) -> int:
        """The flags of the classes up to 32: class N is flag ``1 << (N - 1)`` (the reference of verifier)."""
        return sum(1 << (number - 1) for number in self.classes if number <= 32)

    @property
    def digest(self) -> str:
        """Names it in the layer's digest."""
        return f"{self.classes} {self.drivers}"

    @property
    def anew(self) -> str:
        """What helps a guest that is not as it was asked for."""
        return f"make the guest anew: kshs provision {self.guest} --iso FILE --rebuild"

    def on_the_list(self, name: str) -> str:
        """What helps a driver that Verifier does not take or does not see."""
        return (
            f'name it in the guest\'s profile, [guests.{self.guest}] verifier_drivers = ["{name}"], and'
            f" {self.anew}; or use a guest without the verifier leg"
        )


def wanted(image: Image) -> Verifier | None:
    """What the guests of a sealed image were asked for; None without the leg."""
    settings = image.verifier
    return None if settings is None else Verifier(settings.classes, settings.drivers, image.name)


def check_settings(info: Mapping[str, Any], asked: Verifier) -> None:
    """What `verifier /querysettings` says must be what the guest was asked for.

    Raises:
        DeployError: it is not, or the guest does not say it; names the difference.
    """
    flags, drivers = _said(info, "settings", asked)
    _compare_flags("set", flags, asked)
    missing = [name for name in asked.drivers if name not in drivers]
    if missing:
        raise DeployError(
            f"Driver Verifier is not set for {', '.join(missing)} but for {_list(drivers)}",
            step=_STEP,
            hint=asked.anew,
        )


def enrol(shell: Shell, info: Mapping[str, Any], asked: Verifier, drivers: Iterable[str]) -> None:
    """Puts drivers under Verifier that are not loaded yet and were not among those of the profile.

    Raises:
        DeployError: verifier.exe refused.
    """
    _, known = _said(info, "settings", asked)
    fresh = sorted({name.lower() for name in drivers} - known.keys())
    if not fresh:
        return
    classes = [str(number) for number in asked.classes]
    for arguments in (
        ["/rc", *classes, "/driver", *sorted({*known, *fresh})],
        # As the guest's set-up did: a driver that crashes while the system starts does so once.
        ["/bootmode", "resetonbootfail"],
        ["/volatile", "/adddriver", *fresh],
    ):
        done = shell.run(shell.wine(["verifier", *arguments]), timeout=TIMEOUT)
        if done.exit_code not in _DONE:
            raise DeployError(
                f"verifier {' '.join(arguments)} was refused",
                step=_STEP,
                exit_code=done.exit_code,
                log=text_of(done.stderr) or text_of(done.stdout),
                hint=asked.on_the_list(fresh[0]),
            )


def check_active(info: Mapping[str, Any], asked: Verifier, drivers: Sequence[str]) -> None:
    """What is in force now must have the asked-for classes, and each of these drivers loaded under it.

    Raises:
        DeployError: Verifier does not watch them: a run would show less than its leg promises.
    """
    flags, watched = _said(info, "active", asked)
    _compare_flags("in force", flags, asked)
    for name in (name.lower() for name in drivers):
        if name not in watched:
            raise DeployError(
                f"Driver Verifier does not watch {name}, only {_list(watched)}",
                step=_STEP,
                hint=asked.on_the_list(name),
            )
        if watched[name] == 0:
            raise DeployError(
                f"Driver Verifier has {name} on its list and has not seen it loaded",
                step=_STEP,
                hint=asked.on_the_list(name),
            )


def summary(said: Any) -> str | None:
    """The guest's `verifier` in one line for a report; None where it does not say."""
    if not isinstance(said, (Mapping, VerifierFacts)):
        return None
    verifier = VerifierFacts.of(said)
    for part, word in ((verifier.active, "in force"), (verifier.settings, "set")):
        if part is not None:
            return f"{word}: flags {_hex(part.flags)}, {_list(_drivers(part))}"
    if verifier.flags or verifier.drivers:
        names = ", ".join(verifier.drivers) or "no driver"
        return f"set in the registry: flags {_hex(verifier.flags)}, {names}"
    return "off"


def _said(info: Mapping[str, Any], key: str, asked: Verifier) -> tuple[int, dict[str, int | None]]:
    """Flags, and drivers with how often each was loaded, of a part of the guest's `verifier`."""
    verifier = GuestInfo.of(info).verifier or VerifierFacts()
    part = verifier.settings if key == "settings" else verifier.active
    if part is None:
        where = "/querysettings" if key == "settings" else "/query"
        raise DeployError(
            f"this guest was made with the verifier leg (classes {_numbers(asked.classes)}),"
            f" and Driver Verifier is off there, or verifier {where} does not say",
            step=_STEP,
            hint=asked.anew,
        )
    return part.flags or 0, _drivers(part)


def _drivers(part: VerifierPart) -> dict[str, int | None]:
    return {(driver.name or "").lower(): driver.loads for driver in part.drivers}


def _compare_flags(state: str, flags: int, asked: Verifier) -> None:
    missing = [number for number in asked.classes if number <= 32 and not flags & 1 << (number - 1)]
    if missing:
        raise DeployError(
            f"rule classes {_numbers(missing)} of Driver Verifier were asked for and are not {state}"
            f" (flags {_hex(flags)}, asked for {_hex(asked.flags)})",
            step=_STEP,
            hint=asked.anew,
        )


def _list(drivers: Mapping[str, Any]) -> str:
    return ", ".join(sorted(drivers)) or "no driver"


def _numbers(values: Iterable[int]) -> str:
    return " ".join(map(str, values))


def _hex(value: Any) -> str:
    return f"{value:#x}" if isinstance(value, int) else str(value)
