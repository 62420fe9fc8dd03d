# SPDX-License-Identifier: Apache-2.0
"""Statements: what they hold, every byte of them, who has signed them, packages and bundles beside them."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from pydantic import ValidationError

from harness.gate import envelope, keys, stating
from harness.gate.statement import Statement, StatementError, opened, signed, unsigned
from harness.gate.verifying import Verified, verify
from tests.harness.gate.scene import LATER, NOW, Scene


@pytest.fixture
def stated(scene: Scene) -> Path:
    """A yes that is signed."""
    scene.fail("old1", "old2", "new1", "new2", three={"verdict": "skipped", "reason": "Wine has no pins"})
    scene.take()
    return scene.state()


def check(scene: Scene, path: Path, **more: Any) -> Verified:
    return verify(path, scene.trusted(), LATER, **more)


def test_it_holds_what_an_auditor_asks_for(scene: Scene, stated: Path) -> None:
    payload = json.loads(base64.b64decode(json.loads(stated.read_bytes())["payload"]))
    assert payload["_type"] == "https://in-toto.io/Statement/v1"
    assert {one["name"] for one in payload["subject"]} >= {"relay.sys", "relay.inf", "relay.cat"}
    said = payload["predicate"]
    assert said["candidate"]["catalogue"] == "relay.cat"
    assert said["counts"] == {"passed": 4, "failed": 0, "crashed": 0, "hung": 0, "skipped": 2, "error": 0}
    assert said["skipped"] == [{"scenario": "basic.toml::relay.three", "reason": "Wine has no pins"}]
    assert said["never_accepted"] == ["basic.toml::relay.one", "basic.toml::relay.two"]
    run = next(one for one in said["runs"] if one["name"] == "new1")
    assert (run["kernel_build"], run["ks_sha256"], run["image"]) == ("7601", "a" * 64, "f" * 64)
    names = {one["name"] for one in said["evidence"]}
    assert {"gate.toml", "runs/new1/results.jsonl", "runs/new1/seal.json", "runs/old2/results.jsonl"} <= names
    assert check(scene, stated).good


def test_no_byte_of_it_may_be_another(scene: Scene, stated: Path) -> None:
    """Each byte altered; of the long payload each of its kinds is tried often enough at every 13th."""
    data = stated.read_bytes()
    begin, end = data.index(b'"payload": "') + 12, data.index(b'",\n "payloadType"')
    places = [place for place in range(len(data)) if not begin + 64 < place < end - 64 or place % 13 == 0]
    trusted = scene.trusted()
    for place in places:
        for bits in (0x01, 0x20, 0x80):
            altered = bytearray(data)
            altered[place] ^= bits
            try:
                found = envelope.load(bytes(altered), "application/vnd.in-toto+json", trusted)
            except envelope.EnvelopeError:
                continue
            assert not found.by, (place, bits)


@pytest.mark.parametrize(
    "respelt",
    [
        lambda data: data + b"\n",
        lambda data: data.replace(b"\n ", b"\n  "),
        lambda data: json.dumps(json.loads(data)).encode(),
        lambda data: data[:-40],
        lambda data: b"",
        lambda data: b"[]",
        lambda data: b'{"payload": 1, "payloadType": 2, "signatures": 3}',
        lambda data: data.replace(b'"signatures": [', b'"signatures": [], "more": ['),
    ],
)
def test_an_envelope_has_one_spelling(scene: Scene, stated: Path, respelt: Callable[[bytes], bytes]) -> None:
    stated.write_bytes(respelt(stated.read_bytes()))
    assert not check(scene, stated).good


def test_only_who_may_sign_releases_counts(scene: Scene, stated: Path) -> None:
    for by, words in (("eve", "a key that is not known here"), ("bo", "bo may not sign releases")):
        scene.state(stated, by=by)
        found = check(scene, stated)
        assert not found.good and words in found.wrong[0]
    scene.state(stated)
    scene.edit('may = ["waive", "release"]', 'may = ["waive", "release"]\nrevoked = 2030-01-01')
    found = check(scene, stated)
    assert not found.good and "ana counts no more since 2030-01-01" in found.wrong[0]


def test_a_signature_under_another_name_does_not_count(scene: Scene, stated: Path) -> None:
    """The signature of somebody else, under the id of a key that is trusted."""
    scene.state(scene.folder / "eve.json", by="eve")
    value, other = (json.loads(path.read_bytes()) for path in (stated, scene.folder / "eve.json"))
    value["signatures"][0]["sig"] = other["signatures"][0]["sig"]
    stated.write_bytes((json.dumps(value, indent=1, sort_keys=True) + "\n").encode())
    found = check(scene, stated)
    assert not found.good and "signature by ana is wrong" in found.wrong[0]


def test_it_is_not_of_tomorrow(scene: Scene, stated: Path) -> None:
    found = verify(stated, scene.trusted(), NOW - timedelta(days=1))
    assert not found.good and "still to come" in found.wrong[0]


def test_a_no_is_never_stated(scene: Scene) -> None:
    scene.runs.pop("new1")
    scene.take()
    with pytest.raises(ValueError, match="only a yes"):
        stating.statement_of(scene.judge(), "0.1.0")


CONTRADICTIONS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a rule is missing": lambda s: s["predicate"]["rules"].pop(),
    "a rule does not hold": lambda s: s["predicate"]["rules"][3].update(ok=False),
    "a rule twice": lambda s: s["predicate"]["rules"].append(s["predicate"]["rules"][0]),
    "no run": lambda s: s["predicate"]["runs"].clear(),
    "no run counts": lambda s: [run.update(counted=False) for run in s["predicate"]["runs"]],
    "counts of nothing": lambda s: s["predicate"]["counts"].update(passed=5),
    "a verdict has no count": lambda s: s["predicate"]["counts"].pop("hung"),
    "an error": lambda s: s["predicate"]["runs"][0]["counts"].update(error=1),
    "a run of another package": lambda s: s["predicate"]["runs"][0].update(package="0" * 64),
    "a file of another digest": lambda s: s["subject"][0]["digest"].update(sha256="0" * 64),
    "a file more": lambda s: s["subject"].append({"name": "x", "digest": {"sha256": "0" * 64}}),
    "no files": lambda s: s["subject"].clear(),
    "the catalogue is no file of it": lambda s: s["predicate"]["candidate"].update(catalogue="other.cat"),
    "the verdict is no": lambda s: s["predicate"].update(verdict="no"),
    "results are no evidence": lambda s: s["predicate"]["evidence"].clear(),
    "the policy is no evidence": lambda s: s["predicate"]["policy"].update(sha256="0" * 64),
    "a file elsewhere": lambda s: s["subject"].append({"name": "../x", "digest": {"sha256": "0" * 64}}),
    "evidence elsewhere": lambda s: s["predicate"]["evidence"].append({"name": "../x", "sha256": "0" * 64}),
    "another type": lambda s: s.update(predicateType="https://in-toto.io/attestation/test-result/v0.1"),
    "a key that is not known": lambda s: s["predicate"].update(more=1),
    "of a later kshs": lambda s: s["predicate"].update(schema=2),
}


@pytest.mark.parametrize("contradiction", CONTRADICTIONS)
def test_what_contradicts_itself_is_no_statement_whoever_signs_it(
    scene: Scene, stated: Path, contradiction: str
) -> None:
    value = json.loads(base64.b64decode(json.loads(stated.read_bytes())["payload"]))
    Statement.model_validate(json.loads(json.dumps(value)), strict=False)
    CONTRADICTIONS[contradiction](value)
    key = keys.signer(str(scene.folder / "ana.key"))
    stated.write_bytes(envelope.seal(json.dumps(value).encode(), "application/vnd.in-toto+json", key))
    found = check(scene, stated)
    assert not found.good and "no statement of this kshs" in found.wrong[0]


def test_a_name_that_stands_twice_is_refused(scene: Scene, stated: Path) -> None:
    payload = base64.b64decode(json.loads(stated.read_bytes())["payload"])
    twice = payload.replace(b'"verdict": "yes"', b'"verdict": "yes", "verdict": "yes"')
    key = keys.signer(str(scene.folder / "ana.key"))
    stated.write_bytes(envelope.seal(twice, "application/vnd.in-toto+json", key))
    with pytest.raises(StatementError, match="stands twice"):
        opened(stated, scene.trusted())


# ---- packages ---------------------------------------------------------------------------------------------

PACKAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte": (
        lambda p: (p / "relay.sys").write_bytes((p / "relay.sys").read_bytes() + b"x"),
        "relay.sys is not",
    ),
    "a file less": (lambda p: (p / "relay.inf").unlink(), "relay.inf is missing"),
    "a file more": (lambda p: (p / "more.sys").write_bytes(b"x"), "more.sys was not released"),
    "a file in a folder": (
        lambda p: ((p / "x").mkdir(), (p / "x/y.sys").write_bytes(b"")),
        "x/y.sys was not",
    ),
    "the released one": (
        lambda p: shutil.copy(p.parent / "released/relay.sys", p / "relay.sys"),
        "relay.sys",
    ),
    "a pipe": (
        lambda p: ((p / "relay.sys").unlink(), os.mkfifo(p / "relay.sys")),
        "relay.sys is not",
    ),
    "a link": (
        lambda p: (
            (p / "relay.sys").rename(p.parent / "away"),
            (p / "relay.sys").symlink_to(p.parent / "away"),
        ),
        "relay.sys is not",
    ),
}


@pytest.mark.parametrize("change", PACKAGES)
def test_a_package_is_what_was_released_or_is_not(scene: Scene, stated: Path, change: str) -> None:
    (scene.candidate / "relay.pdb").write_bytes(b"let through by the policy")
    assert check(scene, stated, package=scene.candidate).good
    act, words = PACKAGES[change]
    act(scene.candidate)
    found = check(scene, stated, package=scene.candidate)
    assert not found.good and any(words in line for line in found.wrong), found.wrong


# ---- keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_ecdsa_keys_sign_as_well(scene: Scene, curve: ec.EllipticCurve) -> None:
    made = ec.generate_private_key(curve)
    secret = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (scene.folder / "ana.key").write_bytes(secret)
    (scene.folder / "ana.pub").write_bytes(public)
    scene.take()
    assert check(scene, scene.state()).good


def test_the_time_of_a_statement_has_a_zone(scene: Scene, stated: Path) -> None:
    statement = unsigned(stated)
    assert statement.predicate.created.tzinfo == UTC or statement.predicate.created.utcoffset() == timedelta(
        0
    )
    with pytest.raises(ValidationError):
        Statement.model_validate({**statement.model_dump(by_alias=True, mode="json"), "_type": "x"})
    assert signed(statement, keys.signer(str(scene.folder / "ana.key"))) == stated.read_bytes()
