# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vm.windows.milestones import (
    Failure,
    Kind,
    Milestone,
    MilestoneError,
    Reader,
    describe_exit_code,
    parse,
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"KSHS 1 start 1", Milestone(Kind.START, number=1)),
        (b"KSHS 1 begin openssh", Milestone(Kind.BEGIN, "openssh")),
        (b"KSHS 1 done a-2", Milestone(Kind.DONE, "a-2")),
        (b"KSHS 1 reboot testsigning", Milestone(Kind.REBOOT, "testsigning")),
        (b"KSHS 1 failed openssh 1603", Milestone(Kind.FAILED, "openssh", 1603)),
        (b"KSHS 1 failed x 4294967295", Milestone(Kind.FAILED, "x", 4294967295)),
        (b"KSHS 1 log-begin openssh", Milestone(Kind.LOG_BEGIN, "openssh")),
        (b"KSHS 1 log-end openssh", Milestone(Kind.LOG_END, "openssh")),
        (b"KSHS 1 log  two blanks", Milestone(Kind.LOG, text=" two blanks")),
        (b"KSHS 1 log", Milestone(Kind.LOG)),
        (rb"KSHS 1 log C:\\kshs\x09\xc3\xbc", Milestone(Kind.LOG, text="C:\\kshs\tü")),
        (rb"KSHS 1 log \x81ber", Milestone(Kind.LOG, text="über")),  # code page 437, no UTF-8
        (rb"KSHS 1 log cut \...", Milestone(Kind.LOG, text="cut ...")),
        (b"KSHS 1 sealed", Milestone(Kind.SEALED)),
    ],
)
def test_every_kind_of_line(line: bytes, expected: Milestone) -> None:
    assert parse(line) == expected


@pytest.mark.parametrize(
    "line",
    [b"", b"BdsDxe: loading Boot0001", b"\x1b[2J\x1b[01;01H", b" KSHS 1 sealed", b"KSHSx", b"kshs 1 sealed"],
)
def test_noise_is_no_milestone(line: bytes) -> None:
    assert parse(line) is None


@pytest.mark.parametrize(
    "line",
    [
        b"KSHS ",
        b"KSHS 2 sealed",
        b"KSHS 1 ",
        b"KSHS 1 sealed now",
        b"KSHS 1 sealed ",
        b"KSHS 1 exploded",
        b"KSHS 1 begin",
        b"KSHS 1 begin ",
        b"KSHS 1 begin Openssh",
        b"KSHS 1 begin 2nd",
        b"KSHS 1 begin open ssh",
        b"KSHS 1 begin " + b"a" * 33,
        b"KSHS 1 failed openssh",
        b"KSHS 1 failed openssh -1",
        b"KSHS 1 failed openssh 01",
        b"KSHS 1 failed openssh 0",
        b"KSHS 1 failed openssh 4294967296",
        b"KSHS 1 start 0",
        b"KSHS 1 start",
        b"KSHS 1 log \xff",
        b"KSHS 1 log tab\there",
        rb"KSHS 1 log a\b",
        rb"KSHS 1 log \xZZ",
        rb"KSHS 1 log \xAB",
        rb"KSHS 1 log \... cut",
        b"KSHS 1 log " + b"x" * 230,
    ],
)
def test_what_claims_to_be_one_and_is_not_is_an_error(line: bytes) -> None:
    with pytest.raises(MilestoneError, match="KSHS"):
        parse(line)


STREAM = (
    b"\x1b[2JBdsDxe: starting\r\n\r\nKSHS 1 start 1\r\nno line end\r\nKSHS 1 begin openssh\r\n"
    b"\r\nKSHS 1 failed openssh 1603\r\n\r\nKSHS 1 log-begin openssh\r\n\r\nKSHS 1 log first\r\n"
    b"\r\nKSHS 1 log second\r\n\r\nKSHS 1 log-end openssh\r\n\r\nKSHS 1 st"
)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_pieces_of_any_size(size: int) -> None:
    reader = Reader()
    found = []
    for at in range(0, len(STREAM), size):
        found += reader.feed(STREAM[at : at + size])
    kinds = [milestone.kind for milestone in found]
    assert kinds == [
        Kind.START,
        Kind.BEGIN,
        Kind.FAILED,
        Kind.LOG_BEGIN,
        Kind.LOG,
        Kind.LOG,
        Kind.LOG_END,
    ]
    assert reader.failure == Failure("openssh", 1603, ("first", "second"))
    assert reader.feed(b"art 2\r\n") == [Milestone(Kind.START, number=2)]


def test_a_log_is_only_between_its_marks() -> None:
    with pytest.raises(MilestoneError, match="outside"):
        Reader().feed(b"KSHS 1 log x\r\n")
    with pytest.raises(MilestoneError, match="not begun"):
        Reader().feed(b"KSHS 1 log-end openssh\r\n")
    reader = Reader()
    reader.feed(b"KSHS 1 log-begin openssh\r\nKSHS 1 start 2\r\n")
    with pytest.raises(MilestoneError, match="outside"):
        reader.feed(b"KSHS 1 log x\r\n")


def test_endless_noise_takes_no_memory() -> None:
    reader = Reader()
    for _ in range(100):
        assert reader.feed(b"x" * 10_000) == []
    assert len(reader._rest) <= 65_536
    assert reader.feed(b"\r\nKSHS 1 sealed\r\n") == [Milestone(Kind.SEALED)]


def test_an_endless_log_takes_no_memory() -> None:
    reader = Reader()
    reader.feed(b"KSHS 1 failed agent 5\r\nKSHS 1 log-begin agent\r\n")
    for number in range(1000):
        reader.feed(b"KSHS 1 log %d\r\n" % number)
    assert reader.failure is not None
    assert len(reader.failure.tail) == 100 and reader.failure.tail[-1] == "999"


@given(st.binary(max_size=300))
def test_any_bytes_parse_or_are_refused(data: bytes) -> None:
    for line in (data, b"KSHS 1 " + data, b"KSHS 1 log " + data):
        try:
            milestone = parse(line)
        except MilestoneError:
            continue
        assert milestone is None or line.startswith(b"KSHS 1 ")


def test_exit_codes_as_people_know_them() -> None:
    assert describe_exit_code(1603) == "1603"
    assert describe_exit_code(0x800F080C) == "0x800f080c"
    assert "openssh" in str(Failure("openssh", 1603))
