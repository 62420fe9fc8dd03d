# SPDX-License-Identifier: Apache-2.0
"""What grows with its events leaks; what fills up, wavers or cannot be read does not."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.abi import load as load_abi
from harness.agent.encode import Counters, Encoder
from harness.agent.frames import Record
from harness.language import target
from harness.language.model import Scenario
from harness.language.model.check import check
from harness.planning.plan import plan
from harness.planning.planned import Answer, PlannedStep
from harness.running.leaks import Judged, Ledger
from harness.running.step_result import Before, judge_step
from harness.verdict import Verdict

ABI = load_abi()
C = ABI.constants
AVSHS, _ = target.find("avshs")
HANDSHAKE = {"do": "handshake", "on": "source"}
PROCESS = {"pool_blocks": 100, "pool_bytes": 5000, "handles": 40}
OBJECT = {"file_references": 3, "device_references": 2, "base_references": 2}


def scenario(*steps: dict[str, Any]) -> Scenario:
    values = {"id": "x", "title": "abc", "rule": "H6", "open": ["source"], "steps": list(steps)}
    return Scenario.model_validate(values)


def count_step(events: int, on: str | None = "source") -> PlannedStep:
    first = {"do": "counters", "on": on}
    made = plan(scenario(first, first | {"events": events}), AVSHS)
    return made.steps[-1]


def judged(
    *values: dict[str, int],
    events: int = 5000,
    on: str | None = "source",
    tags: tuple[dict[int, int], ...] | None = None,
) -> Judged:
    ledger = Ledger()
    for number, value in enumerate(values):
        counters = Counters(value, tags[number] if tags is not None else None)
        result = ledger.judge(count_step(events if number else 0, on), counters)
    return result


def grown(name: str, *growths: int) -> list[dict[str, int]]:
    values = PROCESS | OBJECT
    made = [values]
    for growth in growths:
        values = values | {name: values[name] + growth}
        made.append(values)
    return made


def wrong(result: Judged) -> list[str]:
    return [item.field for item in result.comparisons if not item.ok]


@pytest.mark.parametrize(
    ("name", "limit"),  # one in fifty of 5,000
    [
        ("pool_blocks", 100),
        ("pool_bytes", 65536),
        ("handles", 100),
        ("file_references", 100),
        ("device_references", 100),
        ("base_references", 100),
    ],
)
def test_what_grows_in_both_intervals_leaks(name: str, limit: int) -> None:
    assert wrong(judged(*grown(name, limit, limit))) == [name]
    assert wrong(judged(*grown(name, limit - 1, limit))) == []
    assert wrong(judged(*grown(name, limit, limit - 1))) == []
    assert wrong(judged(*grown(name, 50 * limit, 0))) == [], "a cache has filled up"
    assert wrong(judged(*grown(name, -limit, 50 * limit))) == []


def test_a_leak_is_told_with_its_numbers_and_its_rule() -> None:
    result = judged(*grown("pool_bytes", 5000 * 4096, 5000 * 4096))
    item = next(item for item in result.comparisons if not item.ok)
    assert item.got == "+20480000 in 5000, +20480000 in 5000"
    assert (item.expected, item.rule) == ("not grown in both 5000 and 5000 events", "IO")
    assert item.got_value == 2 * 5000 * 4096


def test_few_events_need_more_than_the_client_keeps() -> None:
    assert wrong(judged(*grown("handles", 8, 8), events=12)) == ["handles"]
    assert wrong(judged(*grown("handles", 7, 12), events=12)) == []


def test_counts_before_the_third_are_recorded() -> None:
    result = judged(*grown("handles", 9000))
    assert not wrong(result)
    assert all(item.characteristic for item in result.comparisons)
    assert {item.field: item.got_value for item in result.comparisons}["handles"] == 9040


def test_a_count_without_events_begins_anew() -> None:
    ledger = Ledger()
    values = PROCESS | OBJECT
    for number, events in enumerate((0, 5000, 0, 5000)):
        result = ledger.judge(count_step(events), Counters(values | {"handles": 40 + 5000 * number}, None))
    assert not wrong(result)


def test_what_cannot_be_read_is_not_measured() -> None:
    whole, torn = PROCESS | OBJECT, PROCESS | {"file_references": 3}
    result = judged(whole, torn, whole)
    assert result.unmeasured == ("device_references", "base_references")
    told = {item.field: item.got for item in result.comparisons}
    assert told["device_references"] == "not measured"
    assert told["file_references"] == "+0 in 5000, +0 in 5000"


def test_the_class_driver_s_own_counts_are_judged_where_it_has_some() -> None:
    values = (
        PROCESS
        | OBJECT
        | dict.fromkeys(
            (
                "class_object_inside",
                "class_object_references",
                "class_device_inside",
                "class_device_references",
            ),
            1,
        )
    )
    result = judged(values, values | {"class_device_inside": 5001}, values | {"class_device_inside": 10001})
    assert (wrong(result), result.unmeasured) == (["class_device_inside"], ())
    without = judged(*grown("handles", 0, 0))
    assert not without.unmeasured
    assert {item.field: item.got for item in without.comparisons}["class_device_inside"] == "not measured"


def test_without_an_object_only_the_process_is_judged() -> None:
    result = judged(*grown("handles", 5000, 5000), on=None)
    assert (wrong(result), result.unmeasured) == (["handles"], ())
    assert not any(item.field == "file_references" for item in result.comparisons)


# ---- counters that the whole system shares ----------------------------------------------------------------


def tagged(*leaks: int) -> tuple[dict[int, int], ...]:
    mine, other = int.from_bytes(b"Avhs", "little"), int.from_bytes(b"Ntf\x01", "little")
    blocks, made = 10, []
    for leak in (0, *leaks):
        blocks += leak
        made.append({mine: blocks, other: 700})
    return tuple(made)


def test_a_tag_leaks_by_itself() -> None:
    same = grown("handles", 0, 0)
    result = judged(*same, tags=tagged(5000, 5000))
    assert wrong(result) == ["pool_blocks of tag Avhs"]
    assert wrong(judged(*same, tags=tagged(5000, 2499))) == []
    sound = judged(*same, tags=tagged(300, 300))
    assert not wrong(sound)
    assert [item.got for item in sound.comparisons if item.field == "pool tags"] == ["none of 2 does"]


def test_the_system_s_own_growth_is_no_leak() -> None:
    result = judged(*grown("pool_bytes", 1 << 20, 1 << 20), tags=tagged(0, 0))
    assert not wrong(result)
    assert wrong(judged(*grown("handles", 2000, 2000), tags=tagged(0, 0))) == []
    assert wrong(judged(*grown("handles", 2500, 2500), tags=tagged(0, 0))) == ["handles"]


def test_few_events_are_not_told_from_the_rest_of_the_system() -> None:
    result = judged(*grown("handles", 12, 12), events=12, tags=tagged(12, 12))
    assert not wrong(result)
    assert result.unmeasured == ("pool_blocks", "pool_bytes", "handles")
    kept = judged(*grown("file_references", 12, 12), events=12, tags=tagged(0, 0))
    assert wrong(kept) == ["file_references"], "references are nobody else's"


# ---- from records to verdicts ------------------------------------------------------------------------------


def record(counted: tuple[str, ...], **values: int) -> Record:
    cs = ABI.cs
    head = cs.kshs_counters(counted=sum(C[f"KSHS_COUNTED_{name}"] for name in counted), uses=1, **values)
    use = cs.kshs_pool_use(tag=0, blocks=7, bytes=700)
    blank = dict.fromkeys(
        (name for name in Record.__dataclass_fields__ if name not in {"data", "seq", "op"}), 0
    )
    return Record(seq=1, op=C["KSHS_OP_COUNTERS"], data=bytes(head) + bytes(use), **blank)


def test_a_guest_that_cannot_count_skips_with_the_names() -> None:
    before, first = Before(), count_step(0)
    for step in (first, count_step(5000), count_step(5000)):
        result, block = judge_step(0, step, record(("POOL", "HANDLES"), handles=3), before)
    assert result.verdict is Verdict.SKIPPED
    assert result.reason == (
        "not measured on this guest: file_references, device_references, base_references"
    )
    assert block is not None
    assert block.seen == {"pool_blocks": 7, "pool_bytes": 700, "handles": 3}


def test_a_leak_fails_although_something_else_was_not_measured() -> None:
    before = Before()
    for number, step in enumerate((count_step(0), count_step(5000), count_step(5000))):
        held = record(("POOL", "HANDLES", "FILE"), handles=3, file_references=1 + 5000 * number)
        result, _ = judge_step(0, step, held, before)
    assert result.verdict is Verdict.FAILED
    assert result.reason == (
        "IO: file_references is +5000 in 5000, +5000 in 5000, expected not grown in both 5000 and 5000 events"
    )


def test_counters_that_are_cut_short_are_the_harness_s_fault() -> None:
    whole = record(("POOL",))
    fields = {name: getattr(whole, name) for name in Record.__dataclass_fields__}
    result, _ = judge_step(0, count_step(0), Record(**fields | {"data": whole.data[:-1]}))
    assert result.verdict is Verdict.ERROR


def test_the_counters_of_the_reference_class_driver_are_read() -> None:
    held = ABI.cs.kshs_held(object_inside=1, object_references=2, device_inside=3, device_references=4)
    head = ABI.cs.kshs_counters(counted=C["KSHS_COUNTED_CLASS"], held=held)
    counters = Encoder(ABI).read_counters(bytes(head))
    assert counters is not None
    assert counters.values == {
        "class_object_inside": 1,
        "class_object_references": 2,
        "class_device_inside": 3,
        "class_device_references": 4,
    }


def test_the_step_asks_for_its_object_and_has_room_for_every_tag() -> None:
    made = plan(scenario({"do": "counters"}, {"do": "counters", "on": "source"}), AVSHS)
    without, with_pin = (ABI.cs.kshs_step(item.payload) for item in made.steps[-2:])
    opened = next(item for item in made.steps if item.what.startswith("open pin source"))
    assert without.slot == C["KSHS_NO_SLOT"]
    assert with_pin.slot == ABI.cs.kshs_step(opened.payload).slot
    assert with_pin.op == C["KSHS_OP_COUNTERS"]
    assert with_pin.out_length == C["KSHS_MAX_DATA"]
    assert made.steps[-1].answer is Answer.COUNTERS


def test_nothing_grows_from_no_count() -> None:
    problem = check(scenario(HANDSHAKE, {"do": "counters", "events": 5}))[0]
    assert problem.path == ("steps", 1, "events")
    assert not check(scenario({"do": "counters"}, HANDSHAKE, {"do": "counters", "events": 5}))
