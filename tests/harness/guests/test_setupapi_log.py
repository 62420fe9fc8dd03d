# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DeployError
from harness.guests import setupapi_log
from harness.guests.setupapi_log import MOST, Mark, about, decode, last_words, sections
from tests.harness.fake_windows import section

ONE = section(r"Device Install - ROOT\A", "     dvi: one", "!    inf: careful", "!!!  ndv: failed")
TWO = section(r"Device Install - ROOT\B", "     dvi: two", status="FAILURE(0xe0000203)")


class Guest:
    """A log, given away in pieces."""

    def __init__(self, log: bytes, piece: int = 1000) -> None:
        self.log, self.piece, self.calls = log, piece, 0

    def call(self, verb: str, *arguments: str) -> dict[str, Any]:
        assert verb == "setupapi-log"
        self.calls += 1
        answer: dict[str, Any] = {
            "length": len(self.log),
            "head": base64.b64encode(self.log[:4]).decode(),
        }
        if arguments:
            at = int(arguments[0])
            answer["data"] = base64.b64encode(self.log[at : at + self.piece]).decode()
        return answer


def since(guest: Any, begin: int) -> str:
    return setupapi_log.since(guest, Mark(begin))


def test_only_what_came_since_the_mark() -> None:
    guest = Guest(b"old\n" * 100)
    begin = setupapi_log.mark(guest)  # type: ignore[arg-type]
    assert since(guest, begin.length) == ""
    guest.log += b"new\n" * 1000
    assert since(guest, begin.length) == "new\n" * 1000


def test_at_most_so_much() -> None:
    guest = Guest(b"x" * (3 * MOST) + b"end", piece=1 << 16)
    assert since(guest, 5) == "x" * (MOST - 3) + "end"
    assert guest.calls == 1 + 16


def test_a_log_that_grows_while_it_is_read_ends_where_it_was() -> None:
    guest = Guest(b"a" * 1500)
    honest = guest.call

    def growing(verb: str, *arguments: str) -> dict[str, Any]:
        answer = honest(verb, *arguments)
        guest.log += b"b" * 700
        return answer

    guest.call = growing  # type: ignore[method-assign]
    assert since(guest, 0) == "a" * 1500


def test_a_log_that_shrinks_while_it_is_read_is_no_endless_loop() -> None:
    guest = Guest(b"a" * 1500)
    honest = guest.call

    def shrinking(verb: str, *arguments: str) -> dict[str, Any]:
        answer = honest(verb, *arguments)
        guest.log = guest.log[:1200]
        return answer

    guest.call = shrinking  # type: ignore[method-assign]
    assert since(guest, 0) == "a" * 1200


@pytest.mark.parametrize("answer", [{}, {"length": "7"}, {"length": -1}, {"length": True}])
def test_an_answer_that_is_none_is_said(answer: dict[str, Any]) -> None:
    guest: Any = Guest(b"")
    guest.call = lambda verb, *arguments: answer
    with pytest.raises(DeployError, match="setupapi-log: the log's length is no number"):
        since(guest, 0)
    assert setupapi_log.mark(guest) == Mark(0)


def test_a_piece_that_is_no_base64_is_said() -> None:
    guest: Any = Guest(b"")
    guest.call = lambda verb, *arguments: {"length": 5, "data": "%%%"}
    with pytest.raises(DeployError, match="is not base64"):
        since(guest, 0)


@pytest.mark.parametrize(
    ("data", "head", "text"),
    [
        (b"plain", b"[Dev", "plain"),
        ("Gerät".encode(), b"[Dev", "Gerät"),
        ("Gerät".encode("cp1252"), b"[Dev", "Gerät"),
        ("Gerät".encode("utf-8-sig"), b"\xef\xbb\xbf[", "Gerät"),
        ("Gerät".encode("utf-16-le"), b"\xff\xfe[\0", "Gerät"),
        ("Gerät".encode("utf-16-be"), b"\xfe\xff\0[", "Gerät"),
        ("Gerät".encode("utf-16"), b"\xff\xfe[\0", "Gerät"),
        (b"", b"", ""),
    ],
)
def test_every_encoding(data: bytes, head: bytes, text: str) -> None:
    assert decode(data, head) == text


def test_sections_are_told_apart_also_when_they_are_cut_off() -> None:
    log = (
        "     the end of one\r\n<<<  [Exit status: SUCCESS]\r\n\r\n" + ONE + "[Boot Session: 1]\r\n\r\n" + TWO
    )
    found = list(sections(log + ">>>  [Device Install - ROOT\\C]\r\n>>>  Section start"))
    assert [part[0] for part in found if part[0].strip()] == [
        "     the end of one",
        r">>>  [Device Install - ROOT\A]",
        "[Boot Session: 1]",
        r">>>  [Device Install - ROOT\B]",
        r">>>  [Device Install - ROOT\C]",
    ]


def test_only_sections_about_this_device_are_kept_and_all_where_there_is_none() -> None:
    assert about(ONE + TWO, [r"root\b"]).splitlines() == TWO.strip().splitlines()
    assert about(ONE + TWO, [r"root\none", ""]) == ONE + TWO


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ONE, ["!!! ndv: failed", "<<< [Exit status: SUCCESS]"]),
        (ONE.replace("!!!", "   "), ["! inf: careful", "<<< [Exit status: SUCCESS]"]),
        (TWO, ["<<< [Exit status: FAILURE(0xe0000203)]"]),
        ("one\ntwo\n\n", ["one", "two"]),
        ("", []),
        ("!!!  " + "x" * 900, ["!!! " + "x" * 296]),
        ("".join(f"!!!  {n}\n" for n in range(9)), [f"!!! {n}" for n in range(4, 9)]),
    ],
)
def test_the_last_words(text: str, said: list[str]) -> None:
    assert last_words(text) == said


@given(st.lists(st.sampled_from([">>>  [a]", ">>>  b", "<<<  [Exit status: x]", "!!! c", "d", ""])))
def test_no_line_is_lost(lines: list[str]) -> None:
    text = "\n".join(lines)
    kept = [line for part in sections(text) for line in part if line.strip()]
    assert kept == [line for line in text.splitlines() if line.strip()]


@given(st.binary(max_size=200), st.binary(max_size=4))
def test_whatever_is_in_the_log_can_be_read(data: bytes, head: bytes) -> None:
    assert len(last_words(about(decode(data, head), ["x"]))) <= 5
