# SPDX-License-Identifier: Apache-2.0
"""What Wine is known to do wrong is weighed: no driver is blamed for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from drivers.kernel_calls import Doubt
from harness.guests import Evidence, KnowsCalls
from harness.running.doubts import failed, weigh, with_doubts
from harness.running.ended import Ended
from harness.verdict import Verdict
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import OPS, C, FakeProvider, Simulation
from tests.harness.running.conftest import MakeRunner
from tests.harness.running.scenarios import STEP, scenario


def doubt(call: str, kind: str, sentence: str) -> Doubt:
    return Doubt("relay.sys", call, "imports", kind, (f"{call} {sentence}",), "Wine 8.0")


WEDGES = doubt("KeWedge", "wedges", "never returns")
WRONG = doubt("KeWrong", "wrong", "answers TRUE")
THROWS = doubt("KeThrow", "throws", "ends the process of all drivers")
MISSING = doubt("KeMissing", "missing", "is not there")

UNKNOWN = "nothing is known about the driver, which a Windows guest can tell"
INSIDE = "exception 0xc0000005 at ntoskrnl.exe+0x1234, called by relay.sys in winedevice.exe"
IN_DRIVER = "exception 0xc0000005 at relay.sys+0x1234 in winedevice.exe"


def crashed(crash: str) -> Ended:
    return Ended(Verdict.CRASHED, f"handshake: {crash}", (crash,), crash=crash)


HUNG = Ended(Verdict.HUNG, "handshake: no answer within 5 s")


def test_a_hang_of_a_driver_that_uses_what_wedges_is_not_held_against_it() -> None:
    ended = weigh(HUNG, [MISSING, WEDGES])
    assert (ended.verdict, ended.wedged) == (Verdict.ERROR, True)
    assert ended.reason == (
        "handshake: no answer within 5 s, but relay.sys imports KeWedge: on Wine 8.0 KeWedge never returns:"
        f" {UNKNOWN}"
    )


@pytest.mark.parametrize("ended", [HUNG, crashed(IN_DRIVER), crashed(INSIDE)])
def test_nothing_is_held_against_a_driver_that_got_a_wrong_answer(ended: Ended) -> None:
    got = weigh(ended, [THROWS, WRONG])
    assert (got.verdict, got.wedged) == (Verdict.ERROR, ended.verdict is Verdict.HUNG)
    assert got.reason == (
        f"{ended.reason}, but relay.sys imports KeWrong: on Wine 8.0 KeWrong answers TRUE: {UNKNOWN}"
    )


@pytest.mark.parametrize("doubts", [[THROWS], [MISSING]])
def test_any_other_hang_stays_the_drivers_and_says_what_is_known(doubts: Sequence[Doubt]) -> None:
    ended = weigh(HUNG, doubts)
    assert (ended.verdict, ended.wedged) == (Verdict.HUNG, False)
    assert ended.reason == f"handshake: no answer within 5 s; it may be Wine's doing: {doubts[0]}"
    assert ended.evidence == (str(doubts[0]),)


@pytest.mark.parametrize(
    "crash",
    [
        "exception 0x80000100 at ntoskrnl.exe+0x1234, called by relay.sys in winedevice.exe",
        "exception 0x80000100 at 0x7ffe1234",
    ],
)
def test_a_function_that_wine_lacks_is_not_the_drivers_crash(crash: str) -> None:
    ended = weigh(crashed(crash), [WRONG, MISSING])
    assert ended.verdict is Verdict.ERROR
    assert ended.reason.endswith(
        f"but a function was called that Wine does not have, perhaps KeMissing (relay.sys): {UNKNOWN}"
    )
    assert weigh(crashed(crash), []).verdict is Verdict.ERROR


def test_a_privileged_instruction_is_not_the_drivers_crash() -> None:
    ended = weigh(crashed("exception 0xc0000096 at relay.sys+0x10 in winedevice.exe"), [])
    assert ended.verdict is Verdict.ERROR
    assert "a privileged instruction was met, which no driver on Wine may use" in ended.reason


def test_a_read_of_the_kernels_shared_data_that_wine_does_not_carry_out_is_not_the_drivers_crash() -> None:
    crash = "exception 0xc0000005 at relay.sys+0x10, read of {} in winedevice.exe"
    ended = weigh(crashed(crash.format("0xfffff78000000014")), [])
    assert ended.verdict is Verdict.ERROR
    assert "this way to read the kernel's shared data" in ended.reason
    for other in ("0xfffff78000001000", "0x14", "0xfffff780000000140"):
        assert weigh(crashed(crash.format(other)), []).verdict is Verdict.CRASHED


def test_a_crash_inside_of_wine_is_not_the_drivers_where_a_call_is_known_to_end_there() -> None:
    assert weigh(crashed(INSIDE), [THROWS]).verdict is Verdict.ERROR
    assert weigh(crashed(INSIDE), [MISSING, WEDGES]).verdict is Verdict.CRASHED
    assert weigh(crashed(INSIDE), []) == crashed(INSIDE)


def test_a_crash_in_the_driver_is_the_drivers_where_no_answer_is_wrong() -> None:
    ended = weigh(crashed(IN_DRIVER), [THROWS, WEDGES])
    assert ended.verdict is Verdict.CRASHED
    assert ended.reason.endswith(f"; it may be Wine's doing: {THROWS}, and {WEDGES}")


def test_an_error_of_the_harness_stays_one() -> None:
    ended = Ended(Verdict.ERROR, "the agent was lost")
    assert weigh(ended, [WEDGES, WRONG]) == ended


def test_a_reason_spells_out_two_and_names_the_rest() -> None:
    assert with_doubts("H5: wrong", [WRONG, THROWS, WEDGES, MISSING]) == (
        f"H5: wrong; it may be Wine's doing: {WRONG}, and {THROWS} (and KeWedge, KeMissing)"
    )
    assert with_doubts("H5: wrong", []) == "H5: wrong"
    assert failed("H5: wrong", [THROWS]) == (Verdict.FAILED, with_doubts("H5: wrong", [THROWS]))


# ---- in a run ------------------------------------------------------------------------------------------


@dataclass
class Knowing(FakeProvider):
    """A provider whose driver uses calls that its guests get wrong."""

    known: Sequence[Doubt] = ()

    def doubts(self) -> Sequence[Doubt]:
        return self.known


def hangs(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
    hung = Answer(record={"outcome": C["KSHS_OUTCOME_HUNG"], "detail": 0x102})
    return hung if OPS[int(step.op)] == "REQUEST" else None


def answers_wrongly(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
    return simulation.request(step, data, status=0) if OPS[int(step.op)] == "REQUEST" else None


def test_a_wedge_is_an_error_each_time_and_then_not_tried_again(make_runner: MakeRunner) -> None:
    provider = Knowing(bend=hangs, known=[WEDGES])
    assert isinstance(provider, KnowsCalls)
    runner = make_runner(provider)
    results = [runner.run(scenario(STEP, name=f"t.s{n}"), file="t.toml") for n in range(5)]
    assert [one.verdict for one in results] == [Verdict.ERROR] * 3 + [Verdict.SKIPPED] * 2
    assert "relay.sys imports KeWedge: on Wine 8.0 KeWedge never returns" in str(results[0].reason)
    assert {step.verdict for one in results for step in one.steps} & {Verdict.HUNG, Verdict.CRASHED} == set()


def test_a_failure_says_what_of_it_may_be_wines_doing(make_runner: MakeRunner) -> None:
    short = scenario({**STEP, "in_length": "size-1"})
    plain = make_runner(FakeProvider(bend=answers_wrongly)).run(short, file="t.toml")
    known = make_runner(Knowing(bend=answers_wrongly, known=[THROWS])).run(short, file="t.toml")
    assert plain.verdict is known.verdict is Verdict.FAILED
    assert known.reason == f"{plain.reason}; it may be Wine's doing: {THROWS}"
    assert [step.reason for step in known.steps] == [step.reason for step in plain.steps]
    misled = make_runner(Knowing(bend=answers_wrongly, known=[WRONG])).run(short, file="t.toml")
    assert misled.verdict is Verdict.ERROR
    assert misled.reason == f"{plain.reason}, but {WRONG}: {UNKNOWN}"


def test_a_lost_kernel_side_with_a_stubs_exception_is_an_error(make_runner: MakeRunner) -> None:
    stub = "exception 0x80000100 at ntoskrnl.exe+0x10, called by relay.sys in winedevice.exe"
    provider = Knowing(
        bend=lambda s, step, data: Answer(silent=True) if OPS[int(step.op)] == "REQUEST" else None,
        evidence=Evidence(driver=(stub,)),
    )
    result = make_runner(provider).run(scenario(STEP), file="t.toml")
    assert result.verdict is Verdict.ERROR
    assert "a function was called that Wine does not have" in str(result.reason)
