# SPDX-License-Identifier: Apache-2.0
"""Capsules: made of a failure, checked, signed, unpacked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from harness.capsule import archive, manifest
from harness.capsule.archive import CapsuleError, write
from harness.capsule.making import make, options_of, scenario_of, target_text
from harness.capsule.manifest import Role
from harness.capsule.opened import Capsule
from harness.capsule.seen import of_records, of_run
from harness.errors import UsageError
from harness.language import scenario_file
from harness.language import target as targets
from tests.harness.capsule.made import (
    capsule,
    failure,
    loaded_target,
    package,
    plain_manifest,
    records,
    result,
    scenario,
)


def key(folder: Path, name: str = "field", kind: Any = None) -> tuple[Path, Path]:
    private = kind or ed25519.Ed25519PrivateKey.generate()
    secret, public = folder / f"{name}.key", folder / f"{name}.pub"
    pem = serialization.Encoding.PEM
    secret.write_bytes(
        private.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        private.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return secret, public


def test_a_failure_goes_through_a_capsule(tmp_path: Path) -> None:
    with Capsule(capsule(tmp_path)) as found:
        found.check()
        said = found.manifest
        assert (said.verdict, said.origin.run, said.kernel.build) == ("failed", "r1", "7601")
        assert said.target.digest == "c" * 64
        out = tmp_path / "out"
        written = {path.relative_to(out).as_posix() for path in found.unpack(out)}
        records_of = [json.loads(line) for line in (found.text(Role.RESULT) or "").splitlines()]
    assert written == {
        "scenario.toml",
        "target.toml",
        "package/relay.inf",
        "package/relay.sys",
        "package/relay.cat",
        "package/amd64/data.bin",
        "package/root.cer",
    }
    assert scenario_file.load(out / "scenario.toml") == [scenario()]
    unpacked = targets.load(out / "target.toml")
    assert unpacked.package == "package"
    original = targets.load(tmp_path / "target/relay.toml")
    assert unpacked.format == original.format
    assert of_records(records_of, "x").cause == failure().cause
    assert (out / "package/amd64/data.bin").read_bytes() == b"amd64\\data.bin" * 10


def test_nothing_of_the_machine_goes_along(tmp_path: Path) -> None:
    with Capsule(capsule(tmp_path)) as found:
        texts = [found.read(file).decode("latin-1") for file in found.manifest.files]
        texts.append(manifest.pack(found.manifest).decode())
    assert not any("somebody" in text or str(tmp_path) in text for text in texts)


def test_nothing_is_replaced(tmp_path: Path) -> None:
    with Capsule(capsule(tmp_path)) as found:
        (tmp_path / "out").mkdir()
        (tmp_path / "out/target.toml").write_text("mine")
        with pytest.raises(UsageError, match="nothing is replaced"):
            found.unpack(tmp_path / "out")
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["target.toml"]


def test_a_signed_capsule(tmp_path: Path) -> None:
    secret, public = key(tmp_path)
    _, other = key(tmp_path, "other")
    path = capsule(tmp_path, key=secret)
    with Capsule(path) as found:
        assert found.signed([other, public]).key == public
        assert found.signed([]).there
        with pytest.raises(CapsuleError, match="not signed by any of the keys"):
            found.signed([other])
    with Capsule(path) as found:
        members = {file.name: found.read(file) for file in found.manifest.files}
        raw = manifest.pack(found.manifest.model_copy(update={"reason": "another"}))
    with archive.Archive(path) as old:
        signature = old.read(manifest.SIGNATURE)
    write(tmp_path / "forged", {manifest.NAME: raw, **members, manifest.SIGNATURE: signature})
    with Capsule(tmp_path / "forged") as found, pytest.raises(CapsuleError, match="not signed by any"):
        found.signed([public])


def test_an_unsigned_one_where_keys_are_configured(tmp_path: Path) -> None:
    _, public = key(tmp_path)
    with Capsule(capsule(tmp_path)) as found, pytest.raises(CapsuleError, match="it is not signed"):
        found.signed([public])


def test_keys_of_another_kind(tmp_path: Path) -> None:
    secret, public = key(tmp_path, "ec", ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(UsageError, match="no ed25519 key"):
        capsule(tmp_path, key=secret)
    (tmp_path / "none").write_bytes(b"no key")
    good, _ = key(tmp_path)
    (tmp_path / "b").mkdir()
    with Capsule(capsule(tmp_path / "b", key=good)) as found:
        for path, said in (
            (public, "no ed25519 key"),
            (tmp_path / "none", "no public key"),
            (tmp_path, "cannot be read"),
        ):
            with pytest.raises(UsageError, match=said):
                found.signed([path])


def altered(change: Any) -> dict[str, bytes]:
    members = plain_manifest(**{"a.txt": b"one"})
    table = json.loads(members[manifest.NAME])
    change(table, members)
    members[manifest.NAME] = json.dumps(table).encode()
    return members


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t, m: t["files"].clear(), "a.txt is in the zip only"),
        (lambda t, m: m.pop("a.txt"), "a.txt is in the manifest only"),
        (lambda t, m: m.update({"a.txt": b"two!"}), "not as long as the manifest says"),
        (lambda t, m: m.update({"a.txt": b"two"}), "its SHA-256 differs"),
        (lambda t, m: t["files"].append(t["files"][0]), "which is twice"),
        (lambda t, m: t["files"][0].update(name="../a"), "which no file may be called"),
        (lambda t, m: t.update(schema=3), "made by a newer kshs"),
        (lambda t, m: t.update(schema="1x"), "schema"),
        (lambda t, m: t.update(more=1), "more"),
        (lambda t, m: t.update(verdict="wonderful"), "verdict"),
        (lambda t, m: t.update(kind="other"), "kind"),
        (lambda t, m: t["files"][0].update(role="link"), "role"),
        (lambda t, m: t["files"][0].update(size=-1), "size"),
        (lambda t, m: t.update(reason="x" * 20_001), "reason"),
    ],
)
def test_a_manifest_that_does_not_fit(change: Any, said: str, tmp_path: Path) -> None:
    write(tmp_path / "x", altered(change))
    with pytest.raises(CapsuleError, match=said), Capsule(tmp_path / "x") as found:
        found.check()


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"schema": 1, "schema": 1}',
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b"null",
    ],
)
def test_a_manifest_that_is_none(raw: bytes, tmp_path: Path) -> None:
    write(tmp_path / "x", {manifest.NAME: raw})
    with pytest.raises(CapsuleError, match=r"manifest\.json is"):
        Capsule(tmp_path / "x")


def test_a_file_of_the_package_outside_of_it(tmp_path: Path) -> None:
    def change(table: Any, members: Any) -> None:
        table["files"][0]["role"] = "package"

    write(tmp_path / "x", altered(change))
    with Capsule(tmp_path / "x") as found, pytest.raises(CapsuleError, match="does not lie in package/"):
        found.unpack(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_package_that_was_changed_since(tmp_path: Path) -> None:
    seen = of_records(records(result(scenario()), "d" * 64), "x")
    with pytest.raises(UsageError, match="is cccccccccccc now, and was dddddddddddd in the run"):
        make(seen, scenario(), loaded_target(tmp_path), package(tmp_path), tmp_path / "x")


def test_a_target_file_that_cannot_be_carried(tmp_path: Path) -> None:
    target = loaded_target(tmp_path)
    text = target.file.read_text().replace('package = "../relay package"\n', "")
    target.file.write_text('"package" = "../relay package"\n' + text)
    with pytest.raises(UsageError, match="cannot be put into a capsule"):
        target_text(target.file, target.target)


# ---- from a run ------------------------------------------------------------------------------


def run_folder(folder: Path, *results: Any, **run: Any) -> Path:
    first, environment, *_ = records(results[0], **run)
    lines = [first, environment]
    for order, each in enumerate(results):
        lines += [{**record, "order": order} for record in records(each)[2:]]
    folder.mkdir(exist_ok=True)
    (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_the_failure_of_a_run_is_found(tmp_path: Path) -> None:
    passed = result(scenario(id="relay.other"), fails=False)
    out = run_folder(tmp_path, passed, result(scenario()), options={"target": "relay.toml", "drivers": "src"})
    seen = of_run(out, "relay.twice")
    assert seen.cause == failure().cause
    assert seen.own_steps == ("handshake", "sleep", "handshake", "seen")
    options = options_of(seen)
    assert (options.target, options.drivers, options.config) == ("relay.toml", Path("src"), None)
    with pytest.raises(UsageError, match="has passed"):
        of_run(out, "relay.other")
    with pytest.raises(UsageError, match=r"no scenario 'x' was run.*failed in it: relay\.twice"):
        of_run(out, "x")


@pytest.mark.parametrize("text", ["no json\n", '{"kind": 1}\n', "{}\n", "[]\n"])
def test_what_are_no_records(text: str, tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text(text)
    with pytest.raises(UsageError, match=r"not the records of a run|no scenario"):
        of_run(tmp_path, "x")
    with pytest.raises(UsageError, match=r"there is no results\.jsonl"):
        of_run(tmp_path / "none", "x")


def test_the_scenario_of_a_failure(tmp_path: Path) -> None:
    from harness.capsule.scenario_text import render

    seen = failure()
    with pytest.raises(UsageError, match="is not there"):
        scenario_of(seen, tmp_path)
    (tmp_path / "scenarios").mkdir()
    file = tmp_path / "scenarios/relay.toml"
    file.write_text(render([scenario()]))
    assert scenario_of(seen, tmp_path) == scenario()
    file.write_text(render([scenario(steps=[*scenario().model_dump(exclude_unset=True)["steps"][1:]])]))
    with pytest.raises(UsageError, match="was changed since the run"):
        scenario_of(seen, tmp_path)
    file.write_text(render([scenario(id="relay.other")]))
    with pytest.raises(UsageError, match="in it any more"):
        scenario_of(seen, tmp_path)
