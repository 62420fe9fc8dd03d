# SPDX-License-Identifier: Apache-2.0
"""Driver packages as a team archives them: the sample target's real sources with a change, built and signed.

A change is asked for by Argument1 of a request, so that each shows in a scenario of its own.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from drivers.build import build
from drivers.components import ROOT

SOURCE = "avshs/behaviour.c"
_PLACE = """    if (IsProtocol(In, &ProtocolA) ||"""
#: By name: what stands before the sound answer.
CHANGES = {
    # A failure that everybody sees.
    "refuses": "    if ((ULONG_PTR)In->Argument1 == 0xD1)\n        return STATUS_NOT_SUPPORTED;\n",
    # One time in five, by the clock.
    "flakes": (
        "    if ((ULONG_PTR)In->Argument1 == 0xD2) {\n"
        # Not the system's time: how an inlined read of the kernel's shared data is compiled decides whether
        # Wine carries it out.
        "        LARGE_INTEGER now = KeQueryPerformanceCounter(NULL);\n"
        "        if (now.QuadPart / 10000 % 5 == 0)\n"
        "            return STATUS_NOT_SUPPORTED;\n"
        "    }\n"
    ),
    # A wrong answer.
    "miscounts": (
        "    if ((ULONG_PTR)In->Argument1 == 0xD3 && IsProtocol(In, &ProtocolA))\n"
        "        return Transform(In, Out, KSHS_DEFAULT_VALUE + 1, KSHS_DEFAULT_VALUE2);\n"
    ),
    # Something of which the contract says nothing: the status of the all-zero protocol.
    "differs": (
        "    if ((ULONG_PTR)In->Argument1 == 0xD4 && !IsProtocol(In, &ProtocolA))\n"
        "        return STATUS_NO_MATCH;\n"
    ),
}
TARGET = """
schema = 1
name = "relay"
title = "A relay under development"
package = "{package}"
hardware_id = 'Root\\KshsAvshs'
service = "avshs"
category = "6B2F7A11-52D3-4C0E-9E1B-0B9C1B7D5A01"
behaviour = true

[format]
major = "6B2F7A14-52D3-4C0E-9E1B-0B9C1B7D5A01"
sub = "6B2F7A15-52D3-4C0E-9E1B-0B9C1B7D5A01"

[protocols]
a = "6B2F7A12-52D3-4C0E-9E1B-0B9C1B7D5A01"
b = "6B2F7A13-52D3-4C0E-9E1B-0B9C1B7D5A01"

[[pin]]
id = 0
name = "source"
flow = "out"
accepts = ["a"]
answer = {{ add = 1, xor = "0xFFFFFFFFFFFFFFFF" }}
max_instances = 32
"""
SCENARIOS = """
schema = 1

[[scenario]]
id = "relay.refuses"
title = "A request that one build refuses"
rule = "H9"
open = ["source"]
steps = [{ do = "handshake", on = "source", argument1 = 0xD1 }]

[[scenario]]
id = "relay.flakes"
title = "A request that one build refuses one time in five"
rule = "H9"
open = ["source"]
steps = [{ do = "handshake", on = "source", argument1 = 0xD2 }]

[[scenario]]
id = "relay.miscounts"
title = "A request that one build answers wrongly"
rule = "H6"
open = ["source"]
steps = [{ do = "handshake", on = "source", argument1 = 0xD3 }]

[[scenario]]
id = "relay.differs"
title = "The all-zero protocol: what a pin answers"
rule = "characteristic"
open = ["source"]
steps = [{ do = "handshake", on = "source", protocol = "null", argument1 = 0xD4 }]
"""
#: Left out in a night of which it is asked what is gone.
GOES = """
[[scenario]]
id = "relay.goes"
title = "Two requests in a row"
rule = "H6"
open = ["source"]
steps = [{ do = "handshake", on = "source", repeat = 2 }]
"""


def archive(place: Path, changes: Iterable[str], stamp: int = 0) -> Path:
    """Builds a package with some changes into a folder; `stamp` makes another binary that does the same."""
    with tempfile.TemporaryDirectory(prefix="kshs-archive-") as folder:
        tree = Path(folder) / "sources"  # not "drivers": it would be imported from the working directory
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
        source = tree / SOURCE
        text = source.read_text("utf-8")
        assert text.count(_PLACE) == 1
        text = text.replace(_PLACE, "".join(CHANGES[name] for name in changes) + _PLACE)
        if stamp:
            text += f"\nvolatile const ULONG AvshsStamp = {stamp};\n"
        source.write_text(text, "utf-8")
        shutil.copytree(build(source=tree).avshs.directory, place)
    return place
