# SPDX-License-Identifier: Apache-2.0
"""A store that somebody has altered: what it says is held against its own digests, and against results."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text

import drivers.package
from harness.results import seal
from harness.store.importing import OTHER_RESULTS, Importer
from harness.store.provenance import rows_digest
from tests.harness.gate.changes import (
    CANDIDATE,
    COMPARISON,
    EVIDENCE,
    FAILURES,
    IMAGES,
    No,
    changed,
    failing,
    is_no,
    policy,
    selftest,
    tamper,
    wrong_case,
)
from tests.harness.gate.scene import NOW, WRONG, Scene


def forged(*statements: str) -> Callable[[Scene], None]:
    """Somebody who knows that runs have a digest of their rows."""

    def act(scene: Scene) -> None:
        for statement in statements:
            tamper(statement)(scene)
        with scene.store.writing() as connection:
            for (number,) in connection.execute(text("SELECT id FROM run")).all():
                rows = rows_digest(connection, number)
                connection.execute(
                    text("UPDATE run SET rows = :rows WHERE id = :id"), {"rows": rows, "id": number}
                )

    return act


def again(scene: Scene, old: bytes, new: bytes) -> None:
    """Both runs are altered, sealed anew, and imported once more."""
    for name in ("new1", "new2"):
        path = scene.results(name) / "results.jsonl"
        data, number = re.subn(old, new, path.read_bytes())
        assert number
        path.write_bytes(data)
        seal.write(path.parent, name)
        taken = Importer(scene.store).take(path.parent)
        assert taken.known and taken.refused in (None, f"{OTHER_RESULTS}: left as it was")


def another_package(scene: Scene) -> None:
    digest = drivers.package.load(scene.candidate).digest
    tamper(f"UPDATE target SET package = '{digest}' WHERE package = '{'9' * 64}'")(scene)


CASES = [
    No(
        "the kernel build of a guest",
        {EVIDENCE},
        "not what was imported: guest",
        before=policy('"7601"', '"26100"'),
        after=tamper("UPDATE guest SET kernel_build = '26100'"),
    ),
    No(
        "what Driver Verifier was set to",
        {EVIDENCE},
        "not what was imported: guest",
        before=policy("repeats = 2", 'repeats = 2\nverifier = "on*"'),
        after=tamper("UPDATE guest SET verifier = 'on'"),
    ),
    No(
        "whose ks.sys it was",
        {EVIDENCE},
        "not what was imported: guest",
        before=policy("repeats = 2", "repeats = 2\nreal_ks = true"),
        after=tamper("UPDATE guest SET ks_ours = 0"),
    ),
    No(
        "the digest of an image",
        {EVIDENCE},
        "not what was imported: guest",
        before=selftest(host={"image": "e" * 64, "build": "d" * 64}),
        after=tamper(f"UPDATE guest SET image = '{'e' * 64}'"),
    ),
    No(
        "which package was tested",
        {EVIDENCE, CANDIDATE},
        "not what was imported: target",
        before=changed("new1", "new2", package="9" * 64, files={}),
        after=another_package,
    ),
    No(
        "when an image was made",
        {EVIDENCE},
        "says otherwise than .* when its image was made",
        before=changed("new1", "new2", image_days=200),
        after=tamper("UPDATE run SET image_made = started"),
    ),
    No(
        "when an image expires",
        {EVIDENCE},
        "says otherwise than .* when its image expires",
        before=changed("new1", "new2", image_expires=NOW - timedelta(days=1)),
        after=tamper("UPDATE run SET image_expires = NULL"),
    ),
    No(
        "the build of kshs",
        {EVIDENCE},
        "says otherwise than .* the build of kshs",
        before=selftest(host={"image": "f" * 64, "build": "e" * 64}),
        after=tamper(f"UPDATE run SET build = '{'e' * 64}'"),
    ),
    No(
        "the version of kshs",
        {EVIDENCE},
        "says otherwise than .* the version of kshs",
        before=selftest(version="0.0.9"),
        after=tamper("UPDATE run SET version = '0.0.9'"),
    ),
    No(
        "when a run was begun, with its digest",
        {EVIDENCE},
        "says otherwise than .* its time",
        before=changed("new1", "new2", hours=24 * 31),
        after=forged("UPDATE run SET started = datetime(started, '+30 days') WHERE name LIKE 'new%'"),
    ),
    No(
        "that a run was interrupted, with its digest",
        {EVIDENCE},
        "says otherwise than .* run: problem",
        before=changed("new1", problem="interrupted"),
        after=forged("UPDATE run SET problem = NULL WHERE name = 'new1'"),
    ),
    No(
        "a value that came back",
        {EVIDENCE},
        "not what was imported: answers",
        before=failing(two={"requests": ({"information": 64},)}),
        after=tamper("UPDATE status_block SET information = 32"),
    ),
    No(
        "a step that was sent",
        {EVIDENCE},
        "not what was imported: answers",
        after=tamper("UPDATE step SET mode = 'user'"),
    ),
    No(
        "the order of steps",
        {EVIDENCE},
        "not what was imported: answers",
        after=tamper("UPDATE answer SET position = position + 1"),
    ),
    No(
        "an attempt that failed before a pass, with the digest",
        {EVIDENCE},
        r"says otherwise than .*relay\.two",
        before=failing(two={"verdict": "passed", "attempts": ("failed", "passed")}),
        after=forged("DELETE FROM attempt WHERE NOT stands"),
    ),
    No(
        "what the self-test found",
        {EVIDENCE},
        "says otherwise than .*selftest.json",
        before=wrong_case,
        after=tamper("UPDATE selftest SET wrong = 0"),
    ),
    No(
        "which cases of the self-test were asked for",
        {EVIDENCE},
        "says otherwise than .*selftest.json",
        before=selftest(selected="some"),
        after=tamper("UPDATE selftest SET selected = 'all'"),
    ),
    No(
        "when the self-test was",
        {EVIDENCE},
        "says otherwise than .*selftest.json",
        before=selftest(started=f"{NOW - timedelta(days=3):%Y-%m-%dT%H:%M:%SZ}"),
        after=tamper("UPDATE selftest SET started = datetime(started, '+65 hours')"),
    ),
    No(
        "results altered, sealed anew and imported once more",
        {EVIDENCE, FAILURES, COMPARISON},
        "is not what was imported",
        before=failing(two=WRONG),
        after=lambda s: again(s, b'"failed"', b'"passed"'),
    ),
    No(
        "the date of the image altered in results that were sealed anew and imported once more",
        {EVIDENCE, IMAGES},
        "is not what was imported",
        before=changed("new1", "new2", image_days=200),
        after=lambda s: again(s, rb'"image_made": ?"[^"]*"', f'"image_made":"{NOW:%Y-%m-%d}"'.encode()),
    ),
]


@pytest.mark.parametrize("case", [pytest.param(one, id=one.name) for one in CASES])
def test_it_is_a_no(scene: Scene, case: No) -> None:
    is_no(scene, case)
