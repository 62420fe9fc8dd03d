from __future__ import annotations

import json
from typing import Any

import pytest

from harness.guests import crash_lines, crash_sentence

RECORD: dict[str, Any] = {
    "kind": "exception",
    "pid": 120,
    "process": "winedevice.exe",
    "code": "0xc0000005",
    "access": "write",
    "target": "0x0",
    "fault": {"address": "0x35412d7", "module": "avshs.sys", "offset": "0x12d7"},
    "driver": "avshs.sys",
}


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (RECORD, "exception 0xc0000005 at avshs.sys+0x12d7, write of 0x0 in winedevice.exe"),
        (
            {**RECORD, "fault": {"address": "0x170000010", "module": "ntdll.dll", "offset": "0x10"}},
            "exception 0xc0000005 at ntdll.dll+0x10, called by avshs.sys, write of 0x0 in winedevice.exe",
        ),
        (
            {"code": 0xC0000094, "address": 4096, "module": None, "offset": None},
            "exception 0xC0000094 at 0x1000",
        ),
        (
            {"kind": "bugcheck", "code": "0xde", "process": "winedevice.exe"},
            "bugcheck 0xde in winedevice.exe",
        ),
        ({}, "exception None"),
    ],
)
def test_crash_records_in_words(record: dict[str, Any], says: str) -> None:
    assert crash_sentence(record) == says


def test_torn_and_foreign_lines_are_kept_as_they_are() -> None:
    text = json.dumps(RECORD) + '\n{"kind": "exc\n\nerr:ntoskrnl:KeBugCheckEx 000000DE\n[1]\n'
    assert crash_lines(text)[1:] == ['{"kind": "exc', "err:ntoskrnl:KeBugCheckEx 000000DE", "[1]"]
    assert all(len(line) <= 500 for line in crash_lines("x" * 10_000))
