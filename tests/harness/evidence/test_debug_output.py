# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from harness.evidence.debug_output import MAX_LINES, bugchecks, printed, told
from harness.results.record import StepResult
from harness.verdict import Verdict

MS = 1_000_000
HEAD = "vDbgPrintExWithPrefix 00000000:00000001: "


def line(ms: int, text: str) -> str:
    return f"{ms // 1000:3}.{ms % 1000:03}:01dc:warn:debugstr:{HEAD}{text}"


def step(index: int, begin_ms: int | None, end_ms: int = 0, name: str = "") -> StepResult:
    block = None
    if begin_ms is not None:
        block = {"begin_ns": begin_ms * MS, "duration_ns": (end_ms - begin_ms) * MS}
    verdict = Verdict.PASSED if block else Verdict.CRASHED
    return StepResult(index, name or f"step {index}", "handshake", verdict, status_block=block)


STEPS = [
    step(0, 1000, 1010),
    step(1, 1020, 1100, "a handshake"),
    step(2, 1100, 1101),
    step(3, None, name="lost"),
]


def test_a_line_with_the_clock_of_records_is_of_one_step() -> None:
    log = line(1016, f"[{1050 * MS}] avshs: inside")
    assert told(printed(log), STEPS) == ('step 2, "a handshake": avshs: inside',)


def test_a_line_with_the_coarse_clock_may_be_of_several() -> None:
    assert told(printed(line(1090, "relay: words")), STEPS) == ("in one of the steps 2 to 3: relay: words",)
    assert told(printed(line(1050, "relay: words")), STEPS) == ('step 2, "a handshake": relay: words',)


def test_what_comes_behind_the_last_record_is_of_the_step_in_flight() -> None:
    log = "\n".join(
        [line(1300, f"[{1300 * MS}] last words"), "and more of them", "wine: Unhandled page fault"]
    )
    assert told(printed(log), STEPS) == ('step 4, "lost": last words', 'step 4, "lost": and more of them')
    assert told(printed(log), STEPS[:3])[0] == "behind the last step: last words"


def test_words_of_a_step_that_never_came_back_are_its_though_the_agent_got_to_it_later() -> None:
    for outcome in ("hung", "lost"):
        lost = step(3, 1130, 3000, "in flight")
        assert lost.status_block is not None
        lost.status_block["outcome"] = outcome
        log = line(1105, f"[{1105 * MS}] last words")
        assert told(printed(log), [*STEPS[:3], lost]) == ('step 4, "in flight": last words',)


def test_what_was_said_before_the_scenario_is_not_told() -> None:
    log = "\n".join([line(500, "of another scenario"), line(1050, "of this one")])
    assert told(printed(log), STEPS) == ('step 2, "a handshake": of this one',)
    assert told(printed(log), []) == ()


def test_the_guest_cannot_flood_or_colour_the_report() -> None:
    log = "\n".join(line(1050, f"\x1b[31m{number} " + "x" * 5000) for number in range(500))
    lines = told(printed(log), STEPS)
    assert len(lines) == MAX_LINES + 1 and lines[0] == f"({500 - MAX_LINES} lines before these)"
    assert all(len(one) < 500 and "\x1b" not in one for one in lines)
    assert "499 " in lines[-1]
    assert printed("9" * 5000 + ".123:01dc:warn:debugstr:" + HEAD) == []


def test_bugchecks_are_told_with_their_parameters() -> None:
    log = " 37.790:01dc:err:ntoskrnl:KeBugCheckEx e2 0 11 22 0\nerr:ntoskrnl:KeBugCheckEx nonsense\n"
    assert bugchecks(log) == ["KeBugCheckEx(e2, 0, 11, 22, 0)"]
    said = line(1000, "avshs: as after err:ntoskrnl:KeBugCheckEx e2 0 11 22 0")
    assert bugchecks(f"{said}\n 37.790:01dc:err:ntoskrnl:KeBugCheckEx 50 1 2 3 4") == [
        "KeBugCheckEx(50, 1, 2, 3, 4)"
    ]
