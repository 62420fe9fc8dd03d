# SPDX-License-Identifier: Apache-2.0
"""What is on the provisioning CD: everything that a Windows guest needs to set itself up without a network.

The layout, the steps and what they do: docs/windows.md, "Inside the guest".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vm.errors import InputError, VmError
from vm.windows import answer_file, cd
from vm.windows.profile import Leg, WindowsProfile

SCRIPTS = Path(__file__).parent / "guest"
"""The scripts of the guest, with CR LF line ends as cmd wants them."""

BOUNDARY = "--"
MAXIMUM_STARTS = 8
"""``provision.cmd`` takes more starts than these for a restart loop."""
LOGONS = MAXIMUM_STARTS + 1
"""For `vm.windows.answer_file.build`: how often Windows must log on by itself, at most."""

VERIFIER_CLASSES = (1, 2, 4, 5, 6, 8, 9, 12, 17, 18, 34)
"""Rule classes of Driver Verifier for drivers of kernel streaming; 17 is the one made for them ("Rules for
AVStream drivers", Windows driver documentation)."""
VERIFIER_DRIVERS = ("avshs.sys", "ksclient.sys")
"""Our own drivers; a driver need not be installed to be on Verifier's list."""

_CONFIGURATION = (
    "agent",
    "certificates",
    "sshkeys",
    "openssh",
    "firewall",
    "time",
    "power",
    "updates",
    "defender",
    "crash",
    "testsigning",
)
_OPENSSH_KINDS = {
    ".msi": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",  # an OLE compound file
    ".zip": b"PK\x03\x04",
    ".cab": b"MSCF",
}
# A dump of all memory wants this much page file beyond it ("Varieties of Kernel-Mode Dump Files").
_DUMP_MARGIN_MIB = 257
_KERNEL_DUMP = 2

_SSHD_CONFIG = """\
# Keys only, and only those of the provisioning CD; the same for every member of Administrators.
HostKey __PROGRAMDATA__/ssh/ssh_host_ed25519_key
AuthorizedKeysFile __PROGRAMDATA__/ssh/administrators_authorized_keys
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp sftp-server.exe
"""


@dataclass(frozen=True)
class Secrets:
    """What differs from image to image: the account's password and the keys.

    ``host_key`` is a private key in OpenSSH's format (Ed25519), ``host_public_key`` and ``authorized_key``
    are lines as in authorized_keys.
    """

    password: str
    host_key: bytes
    host_public_key: str
    authorized_key: str


@dataclass(frozen=True)
class Payload:
    """The CD's files for `vm.windows.cd.write`, the steps, and what identifies all of it.

    ``digest`` (SHA-256, hex) does not depend on the secrets, so the same inputs give the same digest.
    """

    files: Mapping[str, bytes | Path]
    steps: tuple[str, ...]
    digest: str


def steps(profile: WindowsProfile) -> tuple[str, ...]:
    """The lines of steps.txt: names of steps in order, and the boundaries at which the guest restarts."""
    legs = [step for leg, step in ((Leg.HVCI, "hvci"), (Leg.VERIFIER, "verifier")) if leg in profile.legs]
    return (*_CONFIGURATION, *legs, BOUNDARY, "checked", "settle", BOUNDARY, "finish")


def step_names(profile: WindowsProfile) -> tuple[str, ...]:
    """The steps without the boundaries: as many ``done`` milestones come until ``sealed``."""
    return tuple(step for step in steps(profile) if step != BOUNDARY)


def verifier_drivers(profile: WindowsProfile) -> tuple[str, ...]:
    """What Driver Verifier watches in this guest from its first start on, lower case, each once."""
    names = (*VERIFIER_DRIVERS, *profile.verifier_drivers)
    return tuple(dict.fromkeys(name.lower() for name in names))


def build(
    profile: WindowsProfile,
    *,
    image_index: int,
    server: bool,
    secrets: Secrets,
    agent: Path,
    certificates: Sequence[Path] = (),
    openssh: Path | None = None,
    drivers: Path | None = None,
    settle_seconds: tuple[int, int] = (60, 900),
) -> Payload:
    """Put the CD's files together.

    Args:
        profile: the guest.
        image_index: of the image in the medium's WIM.
        server: whether that image is Windows Server.
        secrets: password and keys.
        agent: ``kshsctl.exe``.
        certificates: that drivers will be signed with, DER.
        openssh: an OpenSSH package (MSI, zip, or the capability's CAB) for systems that have none.
        drivers: a folder of drivers (INF and all) that Setup shall offer itself, such as virtio-win's.
        settle_seconds: how long the system has to be at rest before it is sealed, and how long to wait
            for that at most.

    Raises:
        InputError: a file that is missing or not what it should be.
    """
    files = _files(profile, secrets, agent, certificates, openssh, settle_seconds)
    driver_files = _tree(drivers, "drivers") if drivers is not None else {}
    anonymous = {name: source for name, source in files.items() if not name.startswith("kshs/ssh/")}
    anonymous["kshs/ssh/sshd_config"] = files["kshs/ssh/sshd_config"]

    def with_answers(password: str, content: Mapping[str, bytes | Path]) -> dict[str, bytes | Path]:
        answers = answer_file.build(
            profile, image_index=image_index, server=server, password=password, logons=LOGONS
        )
        return {cd.ANSWER_FILE: answers, **content, **driver_files}

    digest = cd.content_digest(with_answers("", anonymous))
    files["kshs/files.sha256"] = _sums(files)
    return Payload(with_answers(secrets.password, files), steps(profile), digest)


def _files(
    profile: WindowsProfile,
    secrets: Secrets,
    agent: Path,
    certificates: Sequence[Path],
    openssh: Path | None,
    settle_seconds: tuple[int, int],
) -> dict[str, bytes | Path]:
    lines = steps(profile)
    files: dict[str, bytes | Path] = {
        "kshs/first.cmd": _script("first"),
        "kshs/provision.cmd": _script("provision"),
        "kshs/steps.txt": _crlf("".join(f"{line}\n" for line in lines)),
        "kshs/settings.cmd": _crlf(_settings(profile, settle_seconds)),
        "kshs/kshsctl.exe": _file(agent, "the agent"),
        "kshs/ssh/ssh_host_ed25519_key": secrets.host_key,
        "kshs/ssh/ssh_host_ed25519_key.pub": secrets.host_public_key.strip().encode() + b"\n",
        "kshs/ssh/administrators_authorized_keys": secrets.authorized_key.strip().encode() + b"\n",
        "kshs/ssh/sshd_config": _crlf(_SSHD_CONFIG),
    }
    for name in step_names(profile):
        files[f"kshs/steps/{name}.cmd"] = _script(f"steps/{name}")
    for number, certificate in enumerate(certificates, start=1):
        files[f"kshs/certs/{number:02d}-{certificate.stem}.cer"] = _file(certificate, "a certificate")
    if openssh is not None:
        files[f"kshs/openssh/OpenSSH{_openssh_kind(openssh)}"] = openssh
    for name, path in profile.files.items():
        files[f"kshs/files/{name}"] = _file(path, f"file {name!r} of guest {profile.name}")
    return files


def _settings(profile: WindowsProfile, settle_seconds: tuple[int, int]) -> str:
    quiet, limit = settle_seconds
    if not 0 <= quiet <= limit <= 7200:
        raise InputError(f"settle_seconds ({quiet}, {limit}) must rise, up to 7200")
    policies = ["testsigning"] + (["hvci"] if Leg.HVCI in profile.legs else [])
    settings = {
        "DUMP": str(_KERNEL_DUMP),
        "PAGEFILE_MIB": str(profile.memory_mib + _DUMP_MARGIN_MIB),
        "POLICIES": " ".join(policies),
        "SETTLE_QUIET": str(quiet),
        "SETTLE_LIMIT": str(limit),
    }
    if Leg.VERIFIER in profile.legs:
        settings["VERIFIER_CLASSES"] = " ".join(map(str, VERIFIER_CLASSES))
        settings["VERIFIER_DRIVERS"] = " ".join(verifier_drivers(profile))
    return "".join(f'set "KSHS_{key}={value}"\n' for key, value in settings.items())


def _script(name: str) -> bytes:
    path = SCRIPTS / f"{name}.cmd"
    try:
        return path.read_bytes()
    except OSError as error:
        raise VmError(
            f"cannot be read: {error.strerror}", where=str(path), hint="install kshs again"
        ) from None


def _crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("ascii")


def _file(path: Path, what: str) -> Path:
    if not path.is_file():
        raise InputError(f"{what} is no file", where=str(path))
    return path


def _openssh_kind(path: Path) -> str:
    """The suffix under which the guest looks for it; the content decides, the name must agree."""
    _file(path, "the OpenSSH package")
    suffix = path.suffix.lower()
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", where=str(path), hint="check --openssh"
        ) from None
    if suffix not in _OPENSSH_KINDS or not head.startswith(_OPENSSH_KINDS[suffix]):
        raise InputError(
            "this is no OpenSSH package (.msi, .zip or .cab, with such content)",
            where=str(path),
            hint="give --openssh the MSI or zip of Win32-OpenSSH, or the CAB of the capability",
        )
    return suffix


def _tree(directory: Path, prefix: str) -> dict[str, bytes | Path]:
    if not directory.is_dir():
        raise InputError("the drivers are no folder", where=str(directory))
    files: dict[str, bytes | Path] = {
        f"{prefix}/{path.relative_to(directory).as_posix()}": path
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
    if not files:
        raise InputError("there are no drivers in this folder", where=str(directory))
    return files


def _sums(files: Mapping[str, bytes | Path]) -> bytes:
    """sha256sum's list of what is below ``kshs/``, relative to it."""
    lines = []
    for name in sorted(files):
        source = files[name]
        try:
            data = source if isinstance(source, bytes) else source.read_bytes()
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=str(source)) from None
        lines.append(f"{hashlib.sha256(data).hexdigest()}  {name.removeprefix('kshs/')}\n")
    return "".join(lines).encode()
