# SPDX-License-Identifier: Apache-2.0
"""Bundles: all that an auditor needs, held against the statement; and statements against what they hold."""

from __future__ import annotations

import base64
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.capsule.archive import MOST_MEMBERS
from harness.gate import bundle, envelope, keys
from harness.gate.bundle import sources_text
from harness.gate.statement import unsigned
from harness.gate.verifying import Verified, verify
from harness.results import seal
from tests.harness.gate.scene import LATER, NOW, WRONG, Scene, digest


@pytest.fixture
def stated(scene: Scene) -> Path:
    """A yes that is signed."""
    scene.take()
    return scene.state()


def check(scene: Scene, path: Path, **more: Any) -> Verified:
    return verify(path, scene.trusted(), LATER, **more)


def bundled(scene: Scene, stated: Path) -> Path:
    out = scene.folder / "gate"
    out.mkdir()
    shutil.copy(stated, out / bundle.STATEMENT)
    (out / bundle.SOURCES).write_text(sources_text(scene.judge().evidence))
    file = scene.folder / "bundle.zip"
    bundle.make(out, file, unsigned(stated))
    return file


def rezip(file: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    with zipfile.ZipFile(file) as opened_zip:
        members = {name: opened_zip.read(name) for name in opened_zip.namelist()}
    change(members)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name, data)


BUNDLES: dict[str, tuple[Callable[[dict[str, bytes]], object], str]] = {
    "results altered": (
        lambda m: m.update({"runs/new1/results.jsonl": m["runs/new1/results.jsonl"] + b"\n"}),
        "runs/new1/results.jsonl is not what the statement says",
    ),
    "results missing": (lambda m: m.pop("runs/new1/results.jsonl"), "runs/new1/results.jsonl is missing"),
    "the policy missing": (lambda m: m.pop("gate.toml"), "gate.toml is missing"),
    "another policy": (lambda m: m.update({"gate.toml": b"schema = 1"}), "gate.toml is not what"),
    "another statement": (lambda m: m.update({"statement.json": b"{}"}), "is another one"),
    "a file more": (lambda m: m.update({"runs/new9/results.jsonl": b""}), "the statement does not name"),
}


@pytest.mark.parametrize("change", BUNDLES)
def test_a_bundle_holds_the_evidence_or_does_not(scene: Scene, stated: Path, change: str) -> None:
    file = bundled(scene, stated)
    shutil.rmtree(scene.folder / "out")
    (scene.folder / "store.db").unlink()
    assert check(scene, stated, bundle_file=file, package=scene.candidate).good
    act, words = BUNDLES[change]
    rezip(file, act)
    found = check(scene, stated, bundle_file=file)
    assert not found.good and any(words in line for line in found.wrong), found.wrong


SAID = {
    "kernel": "Windows 11",
    "guest": "server2025",
    "ks_sha256": "0" * 64,
    "image": "0" * 64,
    "started": "2020-01-01T00:00:00Z",
    "image_made": None,
    "kshs": "9.9",
}


@pytest.mark.parametrize("name", SAID)
def test_a_statement_says_of_runs_what_their_results_say(scene: Scene, stated: Path, name: str) -> None:
    """Whoever has signed it: an auditor who has the bundle sees it."""
    file = bundled(scene, stated)
    altered(scene, stated, lambda s: s["predicate"]["runs"][0].update({name: SAID[name]}))
    rezip(file, lambda m: m.update({"statement.json": stated.read_bytes()}))
    assert check(scene, stated).good
    found = check(scene, stated, bundle_file=file)
    assert not found.good and any(f"otherwise than the statement: {name}" in one for one in found.wrong)


def altered(scene: Scene, stated: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The statement with something else in it, and signed."""
    value = json.loads(base64.b64decode(json.loads(stated.read_bytes())["payload"]))
    change(value)
    key = keys.signer(str(scene.folder / "ana.key"))
    stated.write_bytes(envelope.seal(json.dumps(value).encode(), "application/vnd.in-toto+json", key))


WAIVED: dict[str, tuple[dict[str, Any], str]] = {
    "another expiry": ({"expires": "2999-01-01"}, "is for something else"),
    "another owner": ({"owner": "bo"}, "is for something else"),
    "another reason": ({"why": "why not"}, "is for something else"),
    "a second signer who has not signed": ({"second": "bo"}, "not signed by bo as the second signer"),
}


@pytest.fixture
def waived(scene: Scene) -> Path:
    """A yes with a waiver in it."""
    scene.edit('package = "released"\nrun = "released"', "first = true")
    scene.fail(two=WRONG)
    scene.take()
    scene.waive()
    return scene.state()


@pytest.mark.parametrize("change", WAIVED)
def test_what_a_statement_says_of_a_waiver_is_what_its_owner_has_signed(
    scene: Scene, waived: Path, change: str
) -> None:
    file = bundled(scene, waived)
    assert check(scene, waived, bundle_file=file, signers=scene.trusted()).good
    values, words = WAIVED[change]
    altered(scene, waived, lambda s: [one.update(values) for one in s["predicate"]["waivers"]])
    rezip(file, lambda m: m.update({"statement.json": waived.read_bytes()}))
    found = check(scene, waived, bundle_file=file, signers=scene.trusted())
    assert not found.good and any(words in line for line in found.wrong), found.wrong


def test_a_waiver_of_another_driver_or_another_time_is_seen(scene: Scene, waived: Path) -> None:
    file = bundled(scene, waived)
    for create, words in (("2020-01-01T00:00:00Z", "not in force"), ("2999-01-01T00:00:00Z", "not in force")):
        altered(scene, waived, lambda s, when=create: s["predicate"].update(created=when))
        rezip(file, lambda m: m.update({"statement.json": waived.read_bytes()}))
        found = check(scene, waived, bundle_file=file)
        assert any(words in line for line in found.wrong), found.wrong
    path = scene.waive(change=lambda waiver: waiver.model_copy(update={"package": "9" * 64}))
    digests = {"sha256": digest(path)}

    def change(said: dict[str, Any]) -> None:
        said["predicate"]["created"] = f"{NOW:%Y-%m-%dT%H:%M:%SZ}"
        for one in [*said["predicate"]["waivers"], *said["predicate"]["evidence"]]:
            if one.get("id") == "one" or one.get("name", "").startswith("waivers/"):
                one.update(digests)

    altered(scene, waived, change)
    rezip(
        file,
        lambda m: m.update(
            {"statement.json": waived.read_bytes(), f"waivers/{path.name}": path.read_bytes()}
        ),
    )
    found = check(scene, waived, bundle_file=file)
    assert list(found.wrong) == [f"{file}: waiver one is for another driver"]


def test_that_nobody_has_looked_at_who_signed_waivers_is_said(scene: Scene, waived: Path) -> None:
    file = bundled(scene, waived)
    found = check(scene, waived, bundle_file=file)
    assert found.good and "who has signed 1 waiver: --policy" in found.not_checked
    found = check(scene, waived, bundle_file=file, signers=scene.trusted())
    assert found.good and not any("waiver" in line for line in found.not_checked)


@pytest.mark.parametrize("data", [b"", b"PK", b"\0" * 5000], ids=["empty", "cut", "zeros"])
def test_a_bundle_that_cannot_be_read_holds_nothing(scene: Scene, stated: Path, data: bytes) -> None:
    file = bundled(scene, stated)
    whole = file.read_bytes()
    for wrong in (data, whole[:-30], whole[:2000] + b"\xff" * 20 + whole[2020:]):
        file.write_bytes(wrong)
        found = check(scene, stated, bundle_file=file)
        assert not found.good and str(file) in found.wrong[0]


def test_a_bundle_never_takes_the_place_of_what_it_is_made_of(scene: Scene, stated: Path) -> None:
    bundled(scene, stated)
    out = scene.folder / "gate"
    for path in (out / bundle.STATEMENT, out / bundle.SOURCES, scene.results("new1") / "results.jsonl"):
        before = path.read_bytes()
        with pytest.raises(bundle.BundleError, match="is a piece of the evidence itself"):
            bundle.make(out, path, unsigned(stated))
        assert path.read_bytes() == before
    file = scene.folder / "bundle.zip"
    before = file.read_bytes()
    (scene.results("new1") / "results.jsonl").write_bytes(b"")
    with pytest.raises(bundle.BundleError):
        bundle.make(out, file, unsigned(stated))
    assert file.read_bytes() == before
    assert [path.name for path in scene.folder.iterdir() if path.name.startswith(".")] == []


def test_a_bundle_may_hold_more_than_a_capsule(scene: Scene) -> None:
    def many(folder: Path) -> None:
        kept = folder / "incidents" / "new1" / "one"
        kept.mkdir(parents=True)
        for number in range(MOST_MEMBERS):
            (kept / f"{number}.log").write_text(f"{number}")
        seal.write(folder, "new1", kept.parent)

    scene.behind["new1"] = many
    scene.take()
    stated = scene.state()
    assert check(scene, stated, bundle_file=bundled(scene, stated)).good


def test_a_bundle_of_altered_evidence_is_not_made(scene: Scene, stated: Path) -> None:
    path = scene.results("new1") / "results.jsonl"
    evidence = scene.judge().evidence
    out = scene.folder / "gate"
    out.mkdir()
    shutil.copy(stated, out / bundle.STATEMENT)
    (out / bundle.SOURCES).write_text(sources_text(evidence))
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(bundle.BundleError, match="not what the statement says"):
        bundle.make(out, scene.folder / "bundle.zip", unsigned(stated))
