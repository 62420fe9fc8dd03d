# SPDX-License-Identifier: Apache-2.0
"""Where the image's packages come from: the host's own mirrors, keys and proxies."""

from __future__ import annotations

import re
from pathlib import Path

from vm.commands import run
from vm.errors import VmError

_ONE_LINE = re.compile(
    r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>[^#]+)"
)
_PROXY_SETTING = re.compile(r'^(Acquire::https?(?:::[^ ]+)? "[^"]+");$', re.MULTILINE)


def sources(suite: str, override: Path | None = None, etc: Path = Path("/etc/apt")) -> str:
    """deb822 sources (sources.list(5)) for ``suite``, its updates and its security fixes.

    They are the host's entries for that Debian release, so mirrors, pinned keys and snapshots that the
    host was set up with hold for the image, too.  Entries of other releases and of anything but
    component ``main`` are left out.

    Raises:
        VmError: there is none.
    """
    if override is not None:
        try:
            text = override.read_text()
        except OSError as error:
            raise VmError(f"cannot be read: {error.strerror}", str(override), "check apt_sources") from None
        files = [(override, text)]
    else:
        candidates = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
        files = [
            (path, path.read_text(errors="replace"))
            for path in candidates
            if path.is_file() and path.suffix in (".list", ".sources")
        ]
    stanzas: list[str] = []
    for path, text in files:
        parse = _from_deb822 if re.search(r"^Types:", text, re.MULTILINE) else _from_lines
        stanzas += [stanza for stanza in parse(text, suite, path) if stanza not in stanzas]
    if not any(
        re.search(rf"^Suites:.*\b{re.escape(suite)}(\s|$)", stanza, re.MULTILINE) for stanza in stanzas
    ):
        raise VmError(
            f"no apt source for Debian {suite} main",
            str(override or etc),
            "name a sources file as apt_sources in kshs.toml",
        )
    return "\n".join(stanzas)


def settings() -> list[str]:
    """The host's settings of apt's network access (proxies, certificates), as lines of apt.conf(5)."""
    dump = run(["apt-config", "dump"], what="reading apt's settings").decode(errors="replace")
    return [f"{match};" for match in _PROXY_SETTING.findall(dump)]


def _wanted(suites: list[str], suite: str) -> list[str]:
    names = {suite, f"{suite}-updates", f"{suite}-security"}
    return [name for name in suites if name.removesuffix("/updates") in names]


def _from_lines(text: str, suite: str, path: Path) -> list[str]:
    stanzas = []
    for line in text.splitlines():
        match = _ONE_LINE.match(line.strip())
        if match is None:
            continue
        suites = _wanted([match["suite"]], suite)
        if not suites or "main" not in match["components"].split():
            continue
        options = dict(option.split("=", 1) for option in (match["options"] or "").split() if "=" in option)
        stanza = f"Types: deb\nURIs: {match['uri']}\nSuites: {suites[0]}\nComponents: main\n"
        for option, field in (("signed-by", "Signed-By"), ("trusted", "Trusted")):
            if option in options:
                stanza += f"{field}: {options[option]}\n"
        stanzas.append(stanza)
    return stanzas


def _from_deb822(text: str, suite: str, path: Path) -> list[str]:
    stanzas = []
    for paragraph in re.split(r"\n\s*\n", re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE)):
        fields: dict[str, str] = {}
        last = None
        for line in paragraph.splitlines():
            if line[:1] in (" ", "\t") and last is not None:
                fields[last] += f"\n{line}"
            elif ":" in line:
                last, value = line.split(":", 1)
                last = last.strip().lower()
                fields[last] = value.strip()
        suites = _wanted(fields.get("suites", "").split(), suite)
        if (
            "deb" not in fields.get("types", "").split()
            or fields.get("enabled", "yes").lower() == "no"
            or not suites
            or "main" not in fields.get("components", "").split()
        ):
            continue
        stanza = f"Types: deb\nURIs: {fields['uris']}\nSuites: {' '.join(suites)}\nComponents: main\n"
        for name, field in (("signed-by", "Signed-By"), ("trusted", "Trusted")):
            if name in fields:
                stanza += f"{field}: {fields[name]}\n"
        stanzas.append(stanza)
    return stanzas
