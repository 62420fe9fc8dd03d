# SPDX-License-Identifier: Apache-2.0
"""What a scenario left behind is kept as far as it is exact, and nothing of it that differs by nature."""

from __future__ import annotations

from typing import Any

from harness.store.values import block_of, check, fields_of, row_of

BEFORE = {
    "handles": 85,
    "pool_bytes": 2000,
    "device_references": 2,
    "class_object_inside": 1,
    "class_device_inside": 1,
}


def block(kept: int = 0, **after: int) -> dict[str, Any]:
    return {
        "op": "release_all",
        "outcome": "done",
        "numbers": {"answer": 0},
        "seen": {
            "looked": 3,
            "unseen": 0,
            "kept": kept,
            "first": 0xFFFFFFFF,
            "references": kept,
            "before": BEFORE,
            "after": {**BEFORE, **after},
        },
    }


def test_it_is_kept_and_compared() -> None:
    sound, leaking = block_of(block()), block_of(block(1, class_object_inside=2))
    check(sound)
    check(leaking)
    fields = {name: value for name, value in fields_of(row_of(leaking)).items() if name.startswith("seen.")}
    assert fields == {
        "seen.kept": 1,
        "seen.references": 1,
        "seen.class_object_inside_grown": 1,
        "seen.class_device_inside_grown": 0,
    }
    assert sound != leaking


def test_what_others_do_meanwhile_is_no_news() -> None:
    assert block_of(block()) == block_of(block(handles=90, pool_bytes=1, device_references=4))
