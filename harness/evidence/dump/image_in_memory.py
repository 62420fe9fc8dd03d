# SPDX-License-Identifier: Apache-2.0
"""What the memory of a dump shows of the images of its drivers."""

from __future__ import annotations

from dataclasses import replace

from harness.evidence import image
from harness.evidence.dump.memory import Memory
from harness.evidence.dump.modules import Module


def identified(module: Module, memory: Memory, *, header_first: bool = False) -> Module:
    """A driver with what the header of its image adds, where that is in the dump.

    What the list of drivers says is kept; the header gives a build that the list does not know, and the PDB.
    ``header_first``: the list's offsets are not those of every build, so that the header counts.
    """

    def read(rva: int, size: int) -> bytes | None:
        return memory.read(module.base + rva, size)

    facts = image.facts(read)
    if facts is None:
        return module
    unknown = module.time_stamp is None or (header_first and facts.check_sum is not None)
    return replace(
        module,
        time_stamp=facts.time_stamp if unknown else module.time_stamp,
        check_sum=facts.check_sum if unknown else module.check_sum,
        debug=facts.debug,
    )
