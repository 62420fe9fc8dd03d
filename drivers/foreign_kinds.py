# SPDX-License-Identifier: Apache-2.0
"""Sources of drivers that are no AVStream minidrivers, or that need what nobody may pass on.

They are told before anything is compiled, where a compiler would complain of headers.  Each kind is known by
the names without which a driver would not be one: of the port class ("PcInitializeAdapterDriver",
"PCFILTER_DESCRIPTOR", portcls.h), of the old stream class ("StreamClassRegisterAdapter", strmini.h), of the
Windows Driver Frameworks ("WdfDriverCreate", wdfdriver.h).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from drivers.errors import BuildError

#: Comments, and texts in quotes, in which the name of a call says nothing.
_NO_CODE = re.compile(
    rb'//[^\r\n]*|/\*.*?\*/|"(?:\\.|[^"\\\r\n])*"',
    re.DOTALL,
)
_TOO_LARGE = 16 << 20
#: Names that a source declares itself: it does without the header of the kind, and only speaks of it.
_DECLARED = re.compile(rb"\bNTAPI\s+([A-Za-z_]\w*)\s*\(")


@dataclass(frozen=True)
class _Kind:
    names: tuple[str, ...]
    what: str
    hint: str


_NO_PINS = (
    "handshake callbacks are registered for pins of AVStream (KsPinRegisterHandshakeCallback), and a driver"
    " of this kind has none"
)
_KINDS = (
    _Kind(
        ("PcInitializeAdapterDriver", "PcAddAdapterDevice", "PCFILTER_DESCRIPTOR"),
        "is a port class driver: its filters and pins are those of portcls.sys, not of AVStream",
        _NO_PINS,
    ),
    _Kind(
        ("StreamClassRegisterAdapter", "StreamClassRegisterMinidriver", "HW_INITIALIZATION_DATA"),
        "is a minidriver of the stream class: its filters and pins are those of stream.sys, not of AVStream",
        _NO_PINS,
    ),
    _Kind(
        ("WdfDriverCreate", "WdfDeviceMiniportCreate"),
        "is a driver of the Windows Driver Frameworks (KMDF)",
        "wdf.h and the framework's library are Microsoft's and come with the WDK alone: build the package"
        " there, and run it on a Windows guest (--guest); guests on Wine have no framework (docs/wdmsup.md)",
    ),
)


def require_minidriver(sources: Iterable[Path]) -> None:
    """Refuses the sources of a driver of another kind.

    Raises:
        BuildError: which kind it is, and where it is seen.
    """
    for source in sources:
        code = _NO_CODE.sub(lambda found: b" " + b"\n" * found[0].count(b"\n"), _read(source))
        own = set(_DECLARED.findall(code))
        for kind in _KINDS:
            names = re.finditer(rb"\b(?:%s)\b" % "|".join(kind.names).encode("ascii"), code)
            found = next((name for name in names if name[0] not in own), None)
            if found is not None:
                line = code.count(b"\n", 0, found.start()) + 1
                raise BuildError(
                    f"{kind.what} (it says {found[0].decode('ascii')})", f"{source}:{line}", kind.hint
                )


def _read(source: Path) -> bytes:
    data = source.read_bytes()[:_TOO_LARGE]
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace").encode("utf-8")
    return data
