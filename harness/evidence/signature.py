# SPDX-License-Identifier: Apache-2.0
"""The key of a crash: equal for the same crash in any scenario and run, another for another crash.

What it is made of, in this order (docs/dumps.md has the reasons):

1. the stop code, or the exception;
2. the parameters that tell one crash of that code from another (kinds, accesses; never an address), or the
access; 3. what Driver Verifier found;
4. the frame that faulted and, where that lies in the kernel or a class driver, the nearest driver on the
stack;
   each ``module!function``, or else ``module+offset`` rounded down to the begin of the function, or to 256
   bytes
   (``~``) where that is not known either; the kernel without symbols is ``nt`` alone, since its offsets are
   others with every build;
5. the kind of the request in flight (handshake, open, ...), not its route, mode or lengths.

The version stands in front.  It is raised whenever the same evidence would give another key; records that
carry an older one are keyed anew from the evidence beside it (`signature_of`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

from harness.evidence import stop_codes
from harness.evidence.names import masked, module_key
from harness.guest_text import one_line

VERSION = 2

#: Bytes to which offsets are rounded where no function is known.
GRANULE = 0x100
#: The module of a fault that lies in none: a call through a wild pointer.
NOWHERE = "no module"
#: Modules that fault for others: they were called wrongly, or are how the machine is stopped.
_SUPPORT = frozenset(
    {
        NOWHERE,
        "nt",
        "hal.dll",
        "ks.sys",
        "portcls.sys",
        "verifierext.sys",
        "wdf01000.sys",
        "wdmsup.sys",
        "fltmgr.sys",
    }
    | {"ndis.sys", "storport.sys", "classpnp.sys", "hidclass.sys", "usbport.sys", "win32k.sys"}
    | {"win32kbase.sys", "win32kfull.sys", "dxgkrnl.sys", "watchdog.sys"}
    # Our own client: it is on every stack, with another function by each route.
    | {"ksclient.sys"}
    # Where drivers live in a process.
    | {"ntdll.dll", "kernelbase.dll", "kernel32.dll", "msvcrt.dll", "ucrtbase.dll", "winedevice.exe"}
)
_MAX_PART = 200
_DIGEST = 12
_MAX_PARAMETERS = 4


@dataclass(frozen=True, slots=True)
class CrashFrame:
    """A place in a driver: ``function`` and ``start`` (RVA of the function) where they are known."""

    module: str
    offset: int
    function: str | None = None
    start: int | None = None

    def key(self) -> str:
        """The frame as a part of a signature."""
        module = module_key(self.module)
        if self.function:
            return f"{module}!{masked(self.function)}"
        if module in ("nt", NOWHERE):
            return module
        if self.start is not None:
            return f"{module}+{self.start:#x}"
        return f"{module}+{self.offset - self.offset % GRANULE:#x}~"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        start = None if self.start is None else f"{self.start:#x}"
        return {
            "module": self.module,
            "offset": f"{self.offset:#x}",
            "function": self.function,
            "start": start,
        }

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """From `as_dict`; raises ValueError, KeyError, TypeError where it is none."""
        start, function = said.get("start"), said.get("function")
        return cls(
            module=one_line(str(said["module"]), _MAX_PART),
            offset=int(str(said["offset"]), 16),
            function=None if function is None else one_line(str(function), _MAX_PART),
            start=None if start is None else int(str(start), 16),
        )


@dataclass(frozen=True, slots=True)
class Crash:
    """The evidence that a signature is made from, kept beside it so that it can be made anew.

    One of ``stop_code`` (without its bit 0x10000000) and ``exception`` is known, as a rule.  ``access`` is
    of an access
    violation: read, write or execute.  ``frames``: the fault first, then the stack.  ``request``: the kind of
    the step in flight.
    """

    stop_code: int | None = None
    parameters: tuple[int | None, ...] = ()
    exception: int | None = None
    access: str | None = None
    frames: tuple[CrashFrame, ...] = ()
    request: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "stop_code": None if self.stop_code is None else f"{self.stop_code:#x}",
            "parameters": [None if value is None else f"{value:#x}" for value in self.parameters],
            "exception": None if self.exception is None else f"{self.exception:#x}",
            "access": self.access,
            "frames": [frame.as_dict() for frame in self.frames],
            "request": self.request,
        }

    @classmethod
    def of(cls, said: Any) -> Self | None:
        """From `as_dict`; None where it is nothing of the kind."""
        try:
            access, request = said.get("access"), said.get("request")
            return cls(
                stop_code=_number(said.get("stop_code")),
                parameters=tuple(map(_number, said.get("parameters") or ()))[:_MAX_PARAMETERS],
                exception=_number(said.get("exception")),
                access=None if access is None else one_line(str(access), _MAX_PART),
                frames=tuple(CrashFrame.of(frame) for frame in said.get("frames") or ()),
                request=None if request is None else one_line(str(request), _MAX_PART),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Signature:
    """A key: its version, the text that people can read, a short digest of both."""

    version: int
    text: str
    digest: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"version": self.version, "text": self.text, "digest": self.digest}


def signature(crash: Crash) -> Signature:
    """The key of a crash, by this version."""
    text = "|".join([*_what(crash), *(frame.key() for frame in _frames(crash.frames)), *_request(crash)])
    digest = hashlib.sha256(f"{VERSION}|{text}".encode()).hexdigest()[:_DIGEST]
    return Signature(VERSION, text, digest)


def signature_of(kept: Mapping[str, Any] | None, crash: Any) -> Signature | None:
    """The key of a record: the one that it has, or where that is of an older version, one from its evidence.

    Args:
        kept: what `Signature.as_dict` gave when the record was written; None: it has none.
        crash: what `Crash.as_dict` gave; whatever else it is, no key is made from it.
    """
    if kept is not None and kept.get("version") == VERSION:
        return Signature(VERSION, str(kept.get("text")), str(kept.get("digest")))
    found = Crash.of(crash)
    return None if found is None else signature(found)


def with_signature(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """A scenario's record with a key of this version, where its evidence gives one; else as it is."""
    kept = record.get("signature")
    found = signature_of(kept if isinstance(kept, Mapping) else None, record.get("crash"))
    return record if found is None else {**record, "signature": found.as_dict()}


def _what(crash: Crash) -> list[str]:
    if crash.stop_code is not None:
        stop = stop_codes.explain(crash.stop_code, crash.parameters)
        matters = stop.matters if crash.parameters else ()
        return [f"stop {crash.stop_code:#x}", *matters, *filter(None, (stop.rule,))]
    code = "unknown" if crash.exception is None else f"exception {crash.exception & 0xFFFFFFFF:#x}"
    return [code, crash.access] if crash.access else [code]


def _frames(frames: Sequence[CrashFrame]) -> list[CrashFrame]:
    """The fault; where it is in what serves drivers, the nearest driver too.  Further frames vary by path."""
    first = list(frames[:1])
    if not first or module_key(first[0].module) not in _SUPPORT:
        return first
    drivers = (frame for frame in frames[1:] if module_key(frame.module) not in _SUPPORT)
    return [*first, *islice(drivers, 1)]


def _request(crash: Crash) -> list[str]:
    return [f"in {crash.request}"] if crash.request else []


def _number(value: Any) -> int | None:
    return None if value is None else int(str(value), 16)
