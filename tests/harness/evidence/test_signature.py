# SPDX-License-Identifier: Apache-2.0
"""Pairs of crashes that must have one key, and pairs that must not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.evidence import signature as module
from harness.evidence.signature import (
    VERSION,
    Crash,
    CrashFrame,
    signature,
    signature_of,
    with_signature,
)

PIN = CrashFrame("avshs.sys", 0x1504, "AvshsPinHandshake", 0x1330)
NT = CrashFrame("ntoskrnl.exe", 0x3F5C00)
STOP = Crash(stop_code=0xD1, parameters=(0x10, 2, 1, 0xFFFFF80100001504), frames=(PIN,), request="handshake")
WINE = Crash(exception=0xC0000005, access="write", frames=(PIN,), request="handshake")
PLAIN = CrashFrame("avshs.sys", 0x1504)
BY_IMAGE = CrashFrame("avshs.sys", 0x1504, None, 0x1330)


def stop(code: int, *parameters: int | None, frames: tuple[CrashFrame, ...] = (PIN,)) -> Crash:
    return Crash(stop_code=code, parameters=parameters, frames=frames, request="handshake")


SAME = {
    "another address and IRQL": (STOP, replace(STOP, parameters=(0x7777, 0xFF, 1, 0xFFFFF80700001504))),
    "another place in the function": (STOP, replace(STOP, frames=(replace(PIN, offset=0x1400),))),
    "another build of the same function": (STOP, replace(STOP, frames=(replace(PIN, offset=2, start=1),))),
    "name of the file in capitals": (STOP, replace(STOP, frames=(replace(PIN, module="AVSHS.SYS"),))),
    "with its path": (STOP, replace(STOP, frames=(replace(PIN, module=r"\??\C:\x\avshs.sys"),))),
    "another way there": (STOP, replace(STOP, frames=(PIN, CrashFrame("other.sys", 5)))),
    "the status with its sign": (stop(0x7E, 0xC0000005, 1), stop(0x7E, 0xFFFFFFFFC0000005, 2)),
    "execute as 2 and as 8": (stop(0xD1, 0, 2, 2, 0), stop(0xD1, 0, 2, 8, 0)),
    "write as of old and new builds": (stop(0x50, 1, 1, 3, 0), stop(0x50, 9, 2, 3, 2)),
    "parts that a compiler made": (
        STOP,
        replace(STOP, frames=(replace(PIN, function="AvshsPinHandshake.cold.3"),)),
    ),
    "without symbols, near by": (
        replace(STOP, frames=(PLAIN,)),
        replace(STOP, frames=(replace(PLAIN, offset=0x15F0),)),
    ),
    "without symbols, in one function of the image": (
        replace(STOP, frames=(BY_IMAGE,)),
        replace(STOP, frames=(replace(BY_IMAGE, offset=0x1700),)),
    ),
    "the kernel of another build": (
        stop(0x9F, 3, 1, 2, 3, frames=(NT, PIN)),
        stop(0x9F, 3, 7, 8, 9, frames=(CrashFrame("ntkrnlmp.exe", 0x41), PIN)),
    ),
    "deeper in the kernel, from one driver": (
        stop(0xA, 1, 2, 0, 4, frames=(NT, PIN)),
        stop(0xA, 1, 2, 0, 4, frames=(NT, CrashFrame("ks.sys", 7), replace(PIN, offset=0x1600))),
    ),
    "the driver's own frames are gone, by another route of our client": (
        stop(0xA, 1, 2, 0, 4, frames=(NT, CrashFrame("ksclient.sys", 1, "ksc_request_send", 1))),
        stop(0xA, 1, 2, 0, 4, frames=(NT, CrashFrame("ks.sys", 7), CrashFrame("ksclient.sys", 0x11300))),
    ),
    "an exception with bits above": (WINE, replace(WINE, exception=0xFFFFFFFFC0000005)),
}
DIFFERENT = {
    "another code": (STOP, replace(STOP, stop_code=0xA)),
    "read and write": (STOP, replace(STOP, parameters=(0x10, 2, 0, 4))),
    "another function": (STOP, replace(STOP, frames=(replace(PIN, function="AvshsPinClose"),))),
    "another driver": (STOP, replace(STOP, frames=(replace(PIN, module="other.sys"),))),
    "another kind of request": (STOP, replace(STOP, request="close")),
    "no request": (STOP, replace(STOP, request=None)),
    "another rule of Verifier": (stop(0xC4, 0x81005, 0, 0, 0), stop(0xC4, 0x81006, 0, 0, 0)),
    "another violation": (stop(0xC9, 0x7, 0, 0, 0), stop(0xC9, 0x6, 0, 0, 0)),
    "another exception": (stop(0x7E, 0xC0000005, 1), stop(0x7E, 0xC0000094, 1)),
    "another corruption": (stop(0x139, 3, 0, 0, 0), stop(0x139, 2, 0, 0, 0)),
    "a kernel that was called by another driver": (
        stop(0xA, 1, 2, 0, 4, frames=(NT, PIN)),
        stop(0xA, 1, 2, 0, 4, frames=(NT, replace(PIN, module="other.sys"))),
    ),
    "without symbols, far away": (
        replace(STOP, frames=(PLAIN,)),
        replace(STOP, frames=(replace(PLAIN, offset=0x2504),)),
    ),
    "a stop and an exception": (STOP, WINE),
    "another access on Wine": (WINE, replace(WINE, access="read")),
    "a call to nowhere from another function": (
        replace(WINE, frames=(CrashFrame(module.NOWHERE, 0), PIN)),
        replace(WINE, frames=(CrashFrame(module.NOWHERE, 0), replace(PIN, function="AvshsPinClose"))),
    ),
    "a call to nowhere and a fault": (WINE, replace(WINE, frames=(CrashFrame(module.NOWHERE, 0), PIN))),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME.keys())
def test_the_same_crash_has_one_key(pair: tuple[Crash, Crash]) -> None:
    assert signature(pair[0]) == signature(pair[1])


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_another_crash_has_another_key(pair: tuple[Crash, Crash]) -> None:
    first, second = map(signature, pair)
    assert first.text != second.text
    assert first.digest != second.digest


def test_a_key_is_text_and_the_same_tomorrow() -> None:
    found = signature(STOP)
    assert found.text == "stop 0xd1|write|avshs.sys!AvshsPinHandshake|in handshake"
    assert (found.version, found.digest) == (2, "ff085d4c254b")
    assert signature(stop(0xC4, 0x81005, 0, 0, 0)).text == (
        "stop 0xc4|0x81005|rule KsCallbackReturn|avshs.sys!AvshsPinHandshake|in handshake"
    )
    assert signature(Crash()).text == "unknown"


def test_the_evidence_goes_through_json() -> None:
    for crash in (STOP, WINE, stop(0x7E, None, 2, frames=(NT, BY_IMAGE)), Crash()):
        said = json.loads(json.dumps(crash.as_dict()))
        assert Crash.of(said) == crash


@pytest.mark.parametrize(
    "said",
    [
        None,
        5,
        "x",
        [],
        {"frames": 5},
        {"frames": [{"module": "x"}]},
        {"stop_code": "zz"},
        {"parameters": [{}]},
    ],
)
def test_what_is_no_evidence_gives_no_key(said: object) -> None:
    assert Crash.of(said) is None
    assert signature_of(None, said) is None


def test_an_older_version_is_keyed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"id": "x", "crash": STOP.as_dict(), "signature": signature(STOP).as_dict()}
    assert with_signature(record)["signature"] == record["signature"]
    monkeypatch.setattr(module, "VERSION", VERSION + 1)
    renewed = with_signature(record)["signature"]
    assert renewed["version"] == VERSION + 1
    assert renewed["digest"] != record["signature"]["digest"]
    # Without evidence it stays what it was.
    bare = {"id": "x", "crash": None, "signature": record["signature"]}
    assert with_signature(bare) == bare
    assert with_signature({"id": "x"}) == {"id": "x"}
