# SPDX-License-Identifier: Apache-2.0
"""What a deployment to a Windows guest checks before, reads back afterwards, and keeps when it fails.

Windows decides by itself whether a driver may load: by test signing, Secure Boot and memory integrity.
A guest in which that is not as it must be is refused before anything is installed, with the reason; and
when Windows refuses all the same, its own words are kept.  None of this ever speaks about a driver's
answers: it is all `DeployError`, but for a target that cannot load on such a guest, a `UsageError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import ntstatus
from harness.errors import DeployError, UsageError
from harness.guest_info import DeviceFacts, GuestInfo
from harness.guests import package_files, setupapi_log
from harness.guests.kshsctl import Kshsctl, VerbError
from vm.errors import VmError

if TYPE_CHECKING:
    from drivers.package import Package
    from harness.guests.setupapi_log import Mark

#: The artefact's name.
LOG_NAME = "setupapi.dev.log"

_PAGE = "Windows driver documentation, driversecurity/implement-hvci-compatible-code"

#: Names by "Device Manager error messages", reasons by the page of each code (Windows driver documentation).
_PROBLEMS: Mapping[int, tuple[str, str]] = {
    1: ("CM_PROB_NOT_CONFIGURED", "no driver was installed for it"),
    10: ("CM_PROB_FAILED_START", "its driver refused to start the device"),
    14: ("CM_PROB_NEED_RESTART", "the device works after a restart only"),
    18: ("CM_PROB_REINSTALL", "its driver has to be installed again"),
    19: ("CM_PROB_REGISTRY", "its configuration in the registry is incomplete or damaged"),
    21: ("CM_PROB_WILL_BE_REMOVED", "the device is being removed"),
    22: ("CM_PROB_DISABLED", "the device is disabled"),
    24: ("CM_PROB_DEVICE_NOT_THERE", "the device is not present, or its driver says so"),
    28: ("CM_PROB_FAILED_INSTALL", "its driver is not installed"),
    31: ("CM_PROB_FAILED_ADD", "its driver's AddDevice failed, or a driver that it needs is not there"),
    32: ("CM_PROB_DISABLED_SERVICE", "its service is disabled"),
    37: ("CM_PROB_FAILED_DRIVER_ENTRY", "its driver's DriverEntry returned an error"),
    38: ("CM_PROB_DRIVER_FAILED_PRIOR_UNLOAD", "an earlier instance of its driver is still in memory"),
    39: (
        "CM_PROB_DRIVER_FAILED_LOAD",
        "the driver could not be loaded: it imports what this system does not have, is damaged,"
        " or memory integrity (HVCI) objects to it",
    ),
    40: ("CM_PROB_DRIVER_SERVICE_KEY_INVALID", "its service's registry key is wrong"),
    41: ("CM_PROB_LEGACY_SERVICE_NO_DEVICES", "its driver was loaded and found no device"),
    43: ("CM_PROB_FAILED_POST_START", "its driver reported a failure after the start"),
    48: ("CM_PROB_DRIVER_BLOCKED", "Windows has its driver on the list of those that may not be started"),
    50: ("CM_PROB_SETPROPERTIES_FAILED", "Windows cannot apply the device's properties"),
    51: ("CM_PROB_WAITING_ON_DEPENDENCY", "it waits for another device"),
    52: (
        "CM_PROB_UNSIGNED_DRIVER",
        "Windows does not accept the driver's signature: test signing is not in force,"
        " or the file is not the one that was signed",
    ),
}


def check_policy(info: Mapping[str, Any], drivers: Sequence[Path]) -> None:
    """Refuses a guest whose code integrity would keep these drivers from loading.

    ``info`` is the kernel's word (SystemCodeIntegrityInformation, SystemSecureBootInformation), not
    the boot configuration's.  What the guest cannot say is no reason to refuse.

    Raises:
        DeployError: Secure Boot is on, or test signing off: our client and, as a rule, the target are
            signed by a test certificate alone.
        UsageError: memory integrity is on, and a file breaks one of the rules of `drivers.hvci`.
    """
    policy = GuestInfo.of(info)
    if policy.secure_boot:
        raise DeployError(
            "Secure Boot is on, with which Windows loads no test-signed driver",
            step="check-policy",
            hint="switch it off in the guest's firmware; guests of kshs provision are made without it",
        )
    if policy.test_signing is False:
        raise DeployError(
            "test signing is off, so Windows loads neither our client nor a test-signed target",
            step="check-policy",
            hint="in the guest: bcdedit /set testsigning on, and restart it",
        )
    if policy.hvci:
        _check_hvci(drivers)


def _check_hvci(drivers: Sequence[Path]) -> None:
    from drivers import hvci

    for driver in drivers:
        found = hvci.problems(driver)
        if found:
            raise UsageError(
                f"this driver cannot load with memory integrity (HVCI) on: {'; '.join(found)} ({_PAGE})",
                str(driver),
                "build it with DRIVER_ALIGNMENT=0x1000 and no writable code, or use a guest without HVCI",
            )


def check_certificates(answer: Mapping[str, Any]) -> None:
    """Every certificate must be in TrustedPublisher, and a root among them in Root.

    ``answer`` is that of `install-cert`, which reads each store back before it names it.

    Raises:
        DeployError: one is not.
    """
    entries = answer.get("certificates")
    named = entries if isinstance(entries, list) else []
    stores = [entry.get("stores") if isinstance(entry, Mapping) else None for entry in named]
    found_in = [set(found) if isinstance(found, list) else set() for found in stores]
    if not found_in or not all("TrustedPublisher" in found for found in found_in):
        raise DeployError("a certificate is not in TrustedPublisher", step="install-cert")
    if not any("Root" in found for found in found_in):
        raise DeployError(
            "none of the package's certificates is a root, so Windows would not trust its signature",
            step="install-cert",
            hint="put the self-signed root certificate (*.cer) beside the INF",
        )


def stage(guest: Kshsctl, package: Package, tell: Callable[[str], None]) -> None:
    """Puts extension and component INFs into the driver store, where Windows looks for them by itself.

    It applies extensions while the device is installed, and installs components below it afterwards ("Using
    an Extension INF File", "Using a Component INF File").

    Raises:
        DeployError: Windows does not take one.
    """
    for name in package_files.added(package):
        tell(f"putting {name} into the driver store")
        guest.call("stage-inf", f"{package_files.FOLDER}\\{name}")


def read_back(guest: Kshsctl, package: Package, hardware_id: str, service: str) -> None:
    """What Windows bound to the device must be the package: service, INF, version, and no problem.

    The bytes of the service's file are compared by `harness.guests.deploy.verify`.

    Raises:
        DeployError: names what the guest has and what it should be.
    """
    from drivers import inf

    device = DeviceFacts.of(guest.call("device", hardware_id))
    problem = problem_text(device)
    if problem is not None:
        raise DeployError(f"the device of {hardware_id} does not work: {problem}", step="device")
    if not device.started:
        raise DeployError(f"the device of {hardware_id} is not started", step="device")
    bound = device.service or ""
    if bound.lower() != service.lower():
        raise DeployError(
            f"Windows bound the service {bound or 'none'} to {hardware_id}, the target's is {service}"
            f" ({device.inf or 'no INF'})",
            step="device",
            hint="another driver of this guest claims the hardware id, or the target file's service is wrong",
        )
    wanted = inf.load(package.inf).driver_version()
    if wanted is not None and _version(device.version) != _version(wanted):
        raise DeployError(
            f"Windows bound version {device.version or 'unknown'} ({device.inf or 'no INF'}),"
            f" {package.inf.name} is version {wanted}",
            step="device",
        )
    if not device.inf:
        raise DeployError("Windows does not say which INF it bound", step="device")


def problem_text(said: DeviceFacts | Mapping[str, Any]) -> str | None:
    """A device's problem code in words; None where it has none, or the guest cannot say."""
    device = DeviceFacts.of(said)
    code = device.problem
    if not code:
        return None
    name, reason = _PROBLEMS.get(code, ("", "see Device Manager error messages"))
    why = f", {ntstatus.name(device.problem_status)}" if device.problem_status else ""
    return f"problem code {code}{f' {name}' if name else ''}{why}: {reason}"


def explain(error: DeployError) -> DeployError:
    """The failure of `install-device` with the device's problem code in words, where it said one."""
    if not isinstance(error, VerbError):
        return error
    problem = problem_text(error.answer)
    if problem is None:
        return error
    return VerbError(
        f"{error.message}; {problem}",
        answer=error.answer,
        step=error.step,
        exit_code=error.exit_code,
        log=error.log,
        hint=error.hint,
    )


def keep_log(guest: Kshsctl, begin: Mark, error: DeployError, hardware_id: str, inf_name: str) -> None:
    """Adds SetupAPI's own words to a failure: the last ones to its text, all of them as an artefact.

    Kept are the sections that name the hardware id, the INF, or the device's instance where it is known.
    Never raises: a log that cannot be had is said, and hides nothing.
    """
    names = [hardware_id, inf_name]
    try:
        if instance := _instance(guest, error, hardware_id):
            names.append(instance)
        text = setupapi_log.about(setupapi_log.since(guest, begin), names)
    except (DeployError, VmError) as why:
        error.log = f"{error.log}\n(the setupapi log could not be read: {why.message})".strip()
        return
    if not text.strip():
        error.log = f"{error.log}\n(the setupapi log says nothing about it)".strip()
        return
    error.artefacts[LOG_NAME] = text
    error.log = "\n".join(setupapi_log.last_words(text))


def _instance(guest: Kshsctl, error: DeployError, hardware_id: str) -> str:
    """The device's instance id: the failed installation's, or that of the device which is there."""
    if isinstance(error, VerbError) and (instance := DeviceFacts.of(error.answer).instance):
        return instance
    try:
        return DeviceFacts.of(guest.call("device", hardware_id)).instance or ""
    except DeployError:
        return ""


def _version(text: object) -> tuple[int, ...] | str:
    """Four numbers; what is no version stays as it is."""
    parts = str(text).split(".")
    if not all(part.strip().isdecimal() for part in parts) or len(parts) > 4:
        return str(text)
    numbers = [int(part) for part in parts]
    return tuple(numbers + [0] * (4 - len(numbers)))
