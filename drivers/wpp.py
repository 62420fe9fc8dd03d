# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the headers that the tracing preprocessor makes (WPP, ``tracewpp``): nothing is traced.

A source includes ``NAME.tmh``, which exists only once the preprocessor has read the source.  What such a
header has are macros: DoTraceMessage, those that a ``begin_wpp config`` comment or an option ``-func:``
of the project names (``FUNC TraceEvents(LEVEL, FLAGS, MSG, ...);``), and WPP_INIT_TRACING and its kin ("WPP
Software Tracing", "Customizing function declarations and macros", Windows driver documentation).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

ENDING = ".tmh"
#: Those that need no configuration.
_ALWAYS = ("DoTraceMessage", "WPP_INIT_TRACING", "WPP_CLEANUP", "WPP_SYSTEMCONTROL", "WPP_SYSTEMCONTROL2")
_CONFIGURED = (
    re.compile(rb"^[ \t/*#]*FUNC[ \t]+([A-Za-z_]\w*)[ \t]*(?:\{[^}\r\n]*\})?[ \t]*\(", re.MULTILINE),
    re.compile(rb"-func:([A-Za-z_]\w*)\s*(?:\{[^}\r\n]*\})?\s*\("),
)


def functions(texts: Iterable[bytes]) -> list[str]:
    """The macros that sources and project files configure, and those that are always there."""
    found = dict.fromkeys(_ALWAYS)
    for text in texts:
        for pattern in _CONFIGURED:
            found.update(dict.fromkeys(name.decode("ascii") for name in pattern.findall(text)))
    return list(found)


def header(names: Iterable[str]) -> str:
    """A header in which every macro is nothing, whatever its arguments are."""
    lines = ["#pragma once"]
    for name in names:
        lines += [f"#ifndef {name}", f"#define {name}(...) ((void)0)", "#endif"]
    return "\n".join([*lines, ""])
