# SPDX-License-Identifier: Apache-2.0
"""A no for whatever the verdict rests on: package, runs, evidence, self-tests, images, clocks."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest

from tests.harness.gate.changes import (
    CANDIDATE,
    CLOCK,
    COMPARISON,
    COVERAGE,
    EVIDENCE,
    FAILURES,
    FLAKES,
    IMAGES,
    NOTHING,
    SELFTEST,
    No,
    changed,
    drop,
    edit,
    edited,
    failing,
    fewer,
    forge,
    forge_store,
    is_no,
    linked,
    no_selftest,
    other_content,
    piped,
    policy,
    rebuilt,
    selftest,
    set_now,
    tamper,
    touched,
    wrong_case,
)
from tests.harness.gate.scene import NOW, WRONG, Scene

CASES = [
    # ---- the package
    No(
        "a file of the package altered",
        {CANDIDATE, *NOTHING, EVIDENCE, FAILURES},
        "vouches for",
        after=lambda s: edit(s.candidate / "relay.sys", b"new", b"nEw"),
    ),
    No(
        "a file of the package missing",
        {CANDIDATE, *NOTHING, EVIDENCE, FAILURES},
        "missing",
        after=lambda s: (s.candidate / "relay.sys").unlink(),
    ),
    No(
        "the catalogue not signed by anybody",
        {CANDIDATE, *NOTHING, EVIDENCE, FAILURES},
        "no package",
        after=lambda s: (s.candidate / "relay.cat").write_bytes(b"nothing"),
    ),
    No(
        "rebuilt with the same version",
        {CANDIDATE, *NOTHING, EVIDENCE, FAILURES},
        "version 2.0: a package that is built anew is another one",
        after=rebuilt,
    ),
    No(
        "the wrong candidate",
        {CANDIDATE, *NOTHING, EVIDENCE, FAILURES},
        "no run in the store tested",
        before=drop("new1", "new2", "old1", "old2"),
    ),
    No(
        "a file lies in it that no guest got",
        {CANDIDATE},
        r"extra\.dll lies in it",
        after=lambda s: (s.candidate / "extra.dll").write_bytes(b"x"),
    ),
    No(
        "a file of the package is a link",
        {CANDIDATE},
        r"relay\.sys is a link",
        before=policy('"*.pdb"', '"*.pdb", "real.sys"'),
        after=linked,
    ),
    No(
        "the files that were deployed are not on record",
        {CANDIDATE},
        "no run says which files",
        before=changed("new1", "new2", files={}),
    ),
    No(
        "the record of its files is altered",
        {CANDIDATE},
        r"not those that were tested: relay\.sys",
        after=tamper("UPDATE package_file SET sha256 = printf('%064d', 0) WHERE name = 'relay.sys'"),
    ),
    # ---- what was run
    No("a repeat is missing", {COVERAGE}, "1 of 2 whole runs", before=drop("new1")),
    No("no run of a kernel build", NOTHING, "0 of 2 whole runs", before=policy('"7601"', '"26100"')),
    No(
        "one of two kernel builds",
        {COVERAGE, COMPARISON, FLAKES},
        "on build 26100: 0 of 2",
        before=policy('["7601"]', '["7601", "26100"]'),
    ),
    No(
        "another target than the policy wants",
        NOTHING,
        "run new2 is not of it: it is of target relay, not relais",
        before=policy('[target]\nname = "relay"', '[target]\nname = "relais"'),
    ),
    No(
        "another guest than the policy wants",
        NOTHING,
        "run new1 is not of it: it is on guest wine, not server2025",
        before=policy('guest = "wine"', 'guest = "server2025"'),
    ),
    No(
        "a leg without Driver Verifier",
        NOTHING,
        "0 of 2",
        before=policy("repeats = 2", 'repeats = 2\nverifier = "on*"'),
    ),
    No(
        "another accelerator",
        NOTHING,
        "0 of 2",
        before=policy("repeats = 2", 'repeats = 2\naccelerator = "kvm"'),
    ),
    No(
        "the reference ks.sys where a real one is wanted",
        NOTHING,
        "0 of 2",
        before=policy("repeats = 2", "repeats = 2\nreal_ks = true"),
    ),
    No(
        "a partial run: a scenario was not run", {COVERAGE}, r"relay\.three was not run", before=fewer("new1")
    ),
    No(
        "a partial run: interrupted",
        {COVERAGE},
        "interrupted",
        before=changed("new2", problem="the run was interrupted"),
    ),
    No("a scenario has another content since", NOTHING, "another content", after=other_content),
    No(
        "a scenario was added since",
        NOTHING,
        "was not run",
        after=lambda s: edit(s.suite, b'id = "relay.three"', b'id = "relay.four"'),
    ),
    No("an error of ours", {COVERAGE}, "error of ours", before=failing("new2", two={"verdict": "error"})),
    No(
        "nothing but skips",
        NOTHING,
        "0 of its scenarios passed",
        before=failing(
            *("old1", "old2", "new1", "new2"), **{n: {"verdict": "skipped"} for n in ("one", "two", "three")}
        ),
    ),
    No("stale runs", NOTHING, "older than the 30 days", before=changed("new1", "new2", hours=24 * 31)),
    No(
        "runs on another kernel since",
        {COVERAGE},
        "since then: kernel changed",
        before=changed("new1", kernel="Wine 10.0 as NT 6.1.7601"),
    ),
    # ---- evidence
    No(
        "the results are gone",
        {EVIDENCE},
        "is missing",
        after=lambda s: (s.results("new1") / "results.jsonl").unlink(),
    ),
    No(
        "the results are a pipe, which nobody writes into",
        {EVIDENCE},
        r"results\.jsonl is no file",
        after=lambda s: piped(s.results("new1") / "results.jsonl"),
    ),
    No(
        "the seal is a pipe",
        {EVIDENCE},
        r"seal\.json is no file",
        after=lambda s: piped(s.results("new1") / "seal.json"),
    ),
    No(
        "the whole folder is gone",
        {EVIDENCE},
        "there is no seal.json",
        after=lambda s: shutil.rmtree(s.results("new2")),
    ),
    No(
        "results altered after they were imported",
        {EVIDENCE},
        "not what the run wrote",
        after=lambda s: edit(s.results("new1") / "results.jsonl", b'"passed"', b'"failed"'),
    ),
    No("results altered before they were imported", {EVIDENCE}, "not what the run wrote", before=edited),
    No(
        "results and seal altered after they were imported",
        {EVIDENCE},
        "not what was imported",
        after=lambda s: forge(s, "new1"),
    ),
    No("a run that is not sealed", {EVIDENCE}, "no seal.json", before=changed("new1", sealed=False)),
    No(
        "a seal that is none",
        {EVIDENCE},
        "is no seal",
        after=lambda s: (s.results("new1") / "seal.json").write_text("{}"),
    ),
    No(
        "a seal of another run",
        {EVIDENCE},
        "is of run new2",
        after=lambda s: shutil.copy(s.results("new2") / "seal.json", s.results("new1") / "seal.json"),
    ),
    No(
        "a piece of evidence is gone",
        {EVIDENCE},
        r"incident\.json is missing",
        before=changed("new1", incident=True),
        after=lambda s: next((s.results("new1") / "incidents").rglob("*.json")).unlink(),
    ),
    No(
        "a verdict altered in the store",
        {EVIDENCE},
        "rows in the store are not what was imported",
        before=lambda s: s.fail("new1", two=WRONG),
        after=tamper("UPDATE attempt SET verdict = 'passed'"),
    ),
    No(
        "a verdict and the digest altered in the store",
        {EVIDENCE},
        "the store says otherwise",
        before=lambda s: s.fail("new1", two=WRONG),
        after=forge_store,
    ),
    No(
        "imported by an earlier kshs",
        {EVIDENCE},
        "an earlier kshs imported it",
        after=tamper("UPDATE run SET rows = NULL, results = NULL, folder = NULL WHERE name = 'new1'"),
    ),
    No(
        "a run that was killed, and left nothing but what its processes had written",
        {EVIDENCE},
        r"had left no results\.jsonl when it was imported",
        after=tamper("UPDATE run SET results = NULL WHERE name = 'new1'"),
    ),
    No(
        "the evidence of the released package is gone",
        {EVIDENCE},
        "run old1",
        after=lambda s: shutil.rmtree(s.results("old1")),
    ),
    No(
        "the evidence of the self-test is gone",
        {EVIDENCE},
        "selftest.json",
        after=lambda s: (s.folder / "out" / "selftest" / "selftest.json").unlink(),
    ),
    # ---- the self-test
    No("no self-test", {SELFTEST}, "there is no self-test", before=no_selftest),
    No("a self-test that failed", {SELFTEST}, "1 case that did not", before=wrong_case),
    No(
        "a self-test of another night",
        {SELFTEST},
        "there is no self-test",
        before=selftest(started=f"{NOW - timedelta(days=3):%Y-%m-%dT%H:%M:%SZ}"),
    ),
    No(
        "a self-test of another build",
        {SELFTEST},
        "there is no self-test",
        before=selftest(host={"image": "f" * 64, "build": "e" * 64}),
    ),
    No(
        "a self-test on another image",
        {SELFTEST},
        "there is no self-test",
        before=selftest(host={"image": "e" * 64, "build": "d" * 64}),
    ),
    No("a self-test of another kshs", {SELFTEST}, "there is no self-test", before=selftest(version="0.0.9")),
    No("a self-test of some cases", {SELFTEST}, "there is no self-test", before=selftest(selected="some")),
    No(
        "a short self-test where all cases are wanted",
        {SELFTEST},
        "there is no self-test",
        before=selftest(selected="short"),
    ),
    No("a self-test without cases", {SELFTEST}, "did not", before=selftest(cases=[])),
    # ---- images
    No(
        "an image that is too old",
        {IMAGES},
        "was 100 days old",
        before=changed("new1", "new2", image_days=100),
    ),
    No(
        "an image that had expired",
        {IMAGES},
        "had expired on",
        before=changed("new1", "new2", image_expires=NOW - timedelta(days=1)),
    ),
    No(
        "an image of no date",
        {IMAGES},
        "nothing says when it was made",
        before=changed("new2", image_days=None),
    ),
    No(
        "an image that was made after the run",
        {IMAGES},
        "a clock was wrong",
        before=changed("new2", image_days=-0.1),
    ),
    # ---- clocks
    No(
        "the clock set back",
        {CLOCK},
        "the store has something of",
        after=set_now(days=-1, hours=18, minutes=30),
    ),
    No("the clock set back behind a file", {CLOCK}, r"relay\.sys was changed at", after=touched),
    No(
        "a run that was begun after it was imported",
        {CLOCK},
        "begun after it was imported",
        after=tamper("UPDATE run SET imported = datetime(started, '-1 day') WHERE name = 'new1'"),
    ),
]


@pytest.mark.parametrize("case", [pytest.param(one, id=one.name) for one in CASES])
def test_it_is_a_no(scene: Scene, case: No) -> None:
    is_no(scene, case)
