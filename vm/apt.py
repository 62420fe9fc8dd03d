# SPDX-License-Identifier: Apache-2.0
"""Where the image's packages come from: the host's own mirrors, keys and proxies."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vm import debian
from vm.commands import run
from vm.errors import CommandFailed, VmError

_ONE_LINE = re.compile(
    r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>[^#]+)"
)
_PROXY_SETTING = re.compile(r'^(Acquire::https?(?:::[^ ]+)? "[^"]+");$', re.MULTILINE)
_KEPT_FIELDS = {"signed-by": "Signed-By", "trusted": "Trusted"}


@dataclass(frozen=True)
class _Source:
    """One entry of sources.list(5), component ``main`` alone; ``more``: fields about signatures."""

    uris: str
    suites: tuple[str, ...]
    more: dict[str, str] = field(default_factory=dict)

    def stanza(self) -> str:
        lines = [f"Types: deb\nURIs: {self.uris}\nSuites: {' '.join(self.suites)}\nComponents: main\n"]
        return "".join([*lines, *(f"{name}: {value}\n" for name, value in self.more.items())])

    def of(self, suite: str) -> _Source | None:
        """The entry with the suites that belong to the release ``suite``; None where it has none of them."""
        wanted = {suite, f"{suite}-updates", f"{suite}-security"}
        suites = tuple(name for name in self.suites if name.removesuffix("/updates") in wanted)
        return replace(self, suites=suites) if suites else None

    def instead(self, others: Sequence[str], suite: str) -> _Source | None:
        """An entry of another release, made one of ``suite``: every mirror of Debian has all living ones."""
        found: list[str] = []
        for name in self.suites:
            base, dash, rest = name.removesuffix("/updates").partition("-")
            if base in others and (not dash or rest in ("updates", "security")):
                found.append(f"{suite}{dash}{rest}")
        return replace(self, suites=tuple(dict.fromkeys(found))) if found else None


def sources(suite: str, override: Path | None = None, etc: Path = Path("/etc/apt")) -> str:
    """deb822 sources (sources.list(5)) for ``suite``, its updates and its security fixes.

    They are the host's entries for that Debian release, so mirrors, pinned keys and snapshots that the
    host was set up with hold for the image, too.  Where the host has none for it, its entries for another
    Debian release are taken with the suite's name in their place; where it is no Debian and has none of it,
    Debian's own mirror.  Entries of anything but component ``main`` are left out.

    Raises:
        VmError: there is none.
    """
    entries = _read(override, etc)
    found = [own for entry in entries if (own := entry.of(suite)) is not None]
    if not _complete(found, suite) and override is None:
        others = debian.names(suite)
        found = [other for entry in entries if (other := entry.instead(others, suite)) is not None]
        if not _complete(found, suite) and not found and not debian.is_debian():
            found = _debians_own(suite)
    if not _complete(found, suite):
        raise VmError(
            f"no apt source for Debian {suite} main",
            str(override or etc),
            "name a sources file as apt_sources in kshs.toml",
        )
    return "\n".join(dict.fromkeys(entry.stanza() for entry in found))


def settings() -> list[str]:
    """The host's settings of apt's network access (proxies, certificates), as lines of apt.conf(5)."""
    dump = run(["apt-config", "dump"], what="reading apt's settings").decode(errors="replace")
    return [f"{match};" for match in _PROXY_SETTING.findall(dump)]


def require_keys(stanzas: str) -> None:
    """Looks for the keyrings that these sources name: without one, apt speaks of a missing public key.

    Raises:
        VmError: one is not there.
    """
    for path in re.findall(r"^Signed-By: (/.*)$", stanzas, re.MULTILINE):
        for name in path.split():
            if not Path(name).is_file():
                ours = Path(name).name.startswith("debian-archive-")
                mend = "run: apt-get install -y debian-archive-keyring" if ours else "install that keyring"
                raise VmError("an apt source names this keyring, which is not there", name, mend)


def reach(stanzas: str) -> None:
    """Fetches and verifies the release files that these sources name; nothing of the host's apt changes.

    Raises:
        VmError: a mirror cannot be reached, has no such suite, or its signature is not accepted.
    """
    require_keys(stanzas)
    with tempfile.TemporaryDirectory(prefix="kshs-apt-") as name:
        place = Path(name)
        (place / "kshs.sources").write_text(stanzas, encoding="utf-8")
        for folder in ("state/lists/partial", "cache/archives/partial", "parts"):
            (place / folder).mkdir(parents=True)
        (place / "status").touch()
        options = {
            "Dir::State": place / "state",
            "Dir::State::Status": place / "status",
            "Dir::Cache": place / "cache",
            "Dir::Etc::SourceList": place / "kshs.sources",
            "Dir::Etc::SourceParts": place / "parts",
            "APT::Update::Error-Mode": "any",
            "APT::Sandbox::User": "",
            "Acquire::Retries": 1,
            "Acquire::IndexTargets::deb::Packages::DefaultEnabled": "false",
            "Acquire::IndexTargets::deb::Translations::DefaultEnabled": "false",
        }
        command = ["apt-get", "-q", *(f"-o{key}={value}" for key, value in options.items()), "update"]
        try:
            run(command, what="asking the package mirror", timeout=120)
        except CommandFailed as error:
            hint = "mend it in /etc/apt, or name a sources file as apt_sources in kshs.toml"
            raise VmError(error.message, hint=error.hint or hint) from None


def _complete(found: Sequence[_Source], suite: str) -> bool:
    return any(suite in entry.suites for entry in found)


def _debians_own(suite: str) -> list[_Source]:
    key = {"Signed-By": str(debian.KEYRING)}
    suites = {"": (suite, f"{suite}-updates"), "-security": (f"{suite}-security",)}
    return [_Source(uri, suites[suffix], key) for suffix, uri in debian.MIRRORS.items()]


def _read(override: Path | None, etc: Path) -> list[_Source]:
    """All entries with component ``main``, in the order in which apt reads them."""
    if override is not None:
        try:
            files = [(override, override.read_text(encoding="utf-8-sig", errors="replace"))]
        except OSError as error:
            raise VmError(f"cannot be read: {error.strerror}", str(override), "check apt_sources") from None
    else:
        candidates = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
        files = [(path, _text(path)) for path in candidates if path.suffix in (".list", ".sources")]
    found: list[_Source] = []
    for _, text in files:
        deb822 = re.search(r"^Types:", text, re.MULTILINE | re.IGNORECASE)
        found += _from_deb822(text) if deb822 else _from_lines(text)
    return found


def _text(path: Path) -> str:
    """A file of the host's apt; one that this user may not read is none."""
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return ""


def _from_lines(text: str) -> list[_Source]:
    found = []
    for line in text.splitlines():
        match = _ONE_LINE.match(line.strip())
        if match is None or "main" not in match["components"].split():
            continue
        options = dict(option.split("=", 1) for option in (match["options"] or "").split() if "=" in option)
        found.append(_Source(match["uri"], (match["suite"],), _signatures(options)))
    return found


def _from_deb822(text: str) -> list[_Source]:
    found = []
    for paragraph in re.split(r"\n\s*\n", re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE)):
        fields = _fields(paragraph)
        if (
            "deb" in fields.get("types", "").split()
            and fields.get("enabled", "yes").lower() not in ("no", "false", "0")
            and "main" in fields.get("components", "").split()
            and "uris" in fields
        ):
            suites = tuple(fields.get("suites", "").split())
            found.append(_Source(fields["uris"], suites, _signatures(fields)))
    return found


def _fields(paragraph: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    last = None
    for line in paragraph.splitlines():
        if line[:1] in (" ", "\t") and last is not None:
            fields[last] += f"\n{line}"
        elif ":" in line:
            last, value = line.split(":", 1)
            last = last.strip().lower()
            fields[last] = value.strip()
    return fields


def _signatures(given: dict[str, str]) -> dict[str, str]:
    return {title: given[name] for name, title in _KEPT_FIELDS.items() if name in given}
