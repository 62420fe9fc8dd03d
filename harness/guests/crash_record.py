# SPDX-License-Identifier: Apache-2.0
"""Crash records of a guest (docs/agent.md) in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from harness.guest_info import CrashRecord, Place
from harness.guest_text import GuestJsonError, load_object, one_line

#: How a sentence begins that says that a driver called what is not there: Wine's lack, and no driver's fault.
LACKING_CALL = "a call of a function that this Wine does not have"
#: EXCEPTION_WINE_STUB of Wine's winternl.h: raised by what stands in the place of such functions.
_WINE_STUB = 0x80000100
#: Characters of one sentence, and lines of one guest's evidence.
_MAX_SENTENCE = 500
_MAX_LINES = 200
#: The kind of a record that says no more than that a process is no more.
_ENDED = "ended"
#: Wine's process for drivers (its services start one a driver, or one for several).
_DRIVER_HOST = "winedevice.exe"


class Crashes(NamedTuple):
    """What a guest has on record: crashes of drivers, and those of other processes, our agent's say.

    `ended` are sentences of `other` that say of a process of drivers that it ended, and nothing of why.
    `records` are the records behind sentences of `driver`; what was no record has none.
    """

    driver: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    records: Mapping[str, CrashRecord] = MappingProxyType({})
    ended: tuple[str, ...] = ()


def crashes_in(text: str) -> Crashes:
    """One sentence a crash, from the recorder's JSON lines or a bugcheck's line of Wine.

    A record of `kshsctl crash` becomes a sentence (`crash_sentence`); of a line that
    is no such thing the text itself is kept: evidence is not thrown away because it is torn or odd.
    """
    records: list[object] = []
    for line in text.split("\n"):
        if not line.strip():
            continue
        if len(records) == _MAX_LINES:
            records.append("more crash records follow, which were not read")
            break
        try:
            records.append(load_object(line))
        except GuestJsonError:
            records.append(one_line(line, _MAX_SENTENCE))
    return sorted_crashes(records)


def sorted_crashes(records: Iterable[object]) -> Crashes:
    """Records of crashes, or texts in the place of some that cannot be read, by whose crashes they are."""
    driver: list[str] = []
    other: list[str] = []
    ended: list[str] = []
    known: dict[str, CrashRecord] = {}
    for record in records:
        if not isinstance(record, dict):
            driver.append(str(record))
        elif is_of_drivers(record):
            driver.append(crash_sentence(record))
            known.setdefault(driver[-1], CrashRecord.of(record))
        else:
            other.append(crash_sentence(record))
            if CrashRecord.of(record).kind == _ENDED:
                ended.append(other[-1])
    return Crashes(tuple(driver), tuple(other), known, tuple(ended))


def is_of_drivers(said: Any) -> bool:
    """Whether a crash record is of the process in which drivers live; or it names no process at all.

    The recorder is started for every process of the guest, our own among them.  That the process of drivers
    ended is no crash of theirs yet: its Linux may have killed it.
    """
    record = CrashRecord.of(said)
    return record.kind != _ENDED and (not record.process or record.process.lower() == _DRIVER_HOST)


def crash_sentence(said: Any) -> str:
    """A crash record of `kshsctl` (docs/agent.md) in words: code, module and offset, access, process."""
    record = CrashRecord.of(said)
    code = _hexadecimal(record.code)
    process = f" in {record.process}" if record.process else ""
    if record.kind == _ENDED:
        return f"{record.process or 'a process'} ended with exit code {code}"[:_MAX_SENTENCE]
    if record.kind == "bugcheck":
        return f"bugcheck {code}{process}"[:_MAX_SENTENCE]
    place: Place = record.fault or record
    if place.module:
        where = f" at {place.module}+{_hexadecimal(place.offset)}"
    else:
        where = f" at {_hexadecimal(place.address)}" if place.address is not None else ""
    # The fault may lie in a library that a driver called wrongly: the record names the nearest driver.
    if record.driver and record.driver != place.module:
        where += f", {'perhaps ' if record.unwound is False else ''}called by {record.driver}"
    if record.access:
        where += f", {record.access} of {_hexadecimal(record.target)}"
    what = f"{LACKING_CALL}: exception {code}" if record.code == _WINE_STUB else f"exception {code}"
    return f"{what}{where}{process}"[:_MAX_SENTENCE]


def _hexadecimal(number: int | None) -> str:
    return "unknown" if number is None else f"0x{number:x}"
