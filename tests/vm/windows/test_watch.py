# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

from vm.windows.watch import Serial, Story


def test_a_line_cut_by_saving_the_machine_is_whole_again(tmp_path: Path) -> None:
    first, second = tmp_path / "1.log", tmp_path / "2.log"
    first.write_bytes(b"\x1b[2JBdsDxe: loading\r\n\r\nKSHS 1 start 1\r\n\r\nKSHS 1 beg")
    serial = Serial([first, second])
    assert [str(found) for found in serial.new()] == ["start 1"]
    second.write_bytes(b"in agent\r\n\r\nKSHS 1 do")
    again = Serial([first, second])
    assert [str(found) for found in again.new()] == ["start 1", "begin agent"]
    with second.open("ab") as more:
        more.write(b"ne agent\r\n")
    assert [str(found) for found in again.new()] == ["done agent"]
    assert again.new() == []


def test_a_start_that_wrote_nothing_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "2.log").write_bytes(b"KSHS 1 sealed\r\n")
    serial = Serial([tmp_path / "1.log", tmp_path / "2.log"])
    assert [str(found) for found in serial.new()] == ["sealed"]


def test_what_milestones_mean(tmp_path: Path) -> None:
    log = tmp_path / "com1.log"
    log.write_bytes(
        b"KSHS 1 start 1\r\nKSHS 1 begin agent\r\nKSHS 1 done agent\r\nKSHS 1 begin openssh\r\n"
        b"KSHS 1 failed openssh 1060\r\nKSHS 1 log-begin openssh\r\nKSHS 1 log no service\r\n"
    )
    serial, story = Serial([log]), Story(["agent", "openssh"])
    for milestone in serial.new():
        story.take(milestone)
    assert story.started and story.failed and not story.failure_told and not story.sealed
    assert (story.step, story.fraction) == ("openssh", 0.5)
    with log.open("ab") as more:
        more.write(b"KSHS 1 log-end openssh\r\nKSHS 1 start 2\r\n")
    failure_told = []
    for milestone in serial.new():
        story.take(milestone)
        failure_told.append(story.failure_told)
    assert failure_told == [True, False]
    assert serial.failure is not None
    assert serial.failure.tail == ("no service",)
    assert not story.failed, "a new start tries the step again"
