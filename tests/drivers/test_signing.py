# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import multiprocessing
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from drivers import signing
from drivers.build import Build
from drivers.errors import SigningError, ToolMissing
from tests.drivers.second_opinion import verify


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.fixture
def store(signer: signing.Identity, tmp_path: Path) -> Path:
    """A copy of the identity that a test may spoil."""
    return Path(shutil.copytree(signer.root.parent, tmp_path / "signing"))


def test_private_files_are_private(signer: signing.Identity) -> None:
    assert stat.S_IMODE(signer.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(signer.root.parent.stat().st_mode) == 0o700
    keys = [path for path in signer.root.parent.iterdir() if b"PRIVATE KEY" in path.read_bytes()]
    assert keys == [signer.key]  # the root's was dropped


def test_certificates_are_what_windows_asks_for(signer: signing.Identity) -> None:
    root, leaf = certificate(signer.root), certificate(signer.leaf)
    leaf.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CODE_SIGNING]
    assert leaf.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    authority = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    subject = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert authority.key_identifier == subject.digest
    assert leaf.not_valid_before_utc.timestamp() < signer.signing_time
    assert signer.signing_time < leaf.not_valid_after_utc.timestamp()
    assert signer.fingerprint == leaf.fingerprint(hashes.SHA256()).hex()


def test_it_is_made_once(signer: signing.Identity) -> None:
    assert signing.identity(signer.root.parent) == signer


def _make(store: Path) -> str:
    return signing.identity(store).fingerprint


def test_many_processes_make_one_identity(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert len(set(pool.map(_make, [tmp_path / "store"] * 3))) == 1


@pytest.mark.parametrize("name", ["signing.key", "."])
def test_an_open_store_is_refused_with_the_command_that_mends_it(store: Path, name: str) -> None:
    (store / name).chmod(0o755 if name == "." else 0o644)
    with pytest.raises(SigningError, match=r"is open to other users; run: chmod (600|700) "):
        signing.identity(store)


def test_an_incomplete_store_is_refused(store: Path) -> None:
    (store / "signing.key").unlink()
    with pytest.raises(SigningError, match=r"signing.key: is missing; remove .* and build again"):
        signing.identity(store)


def test_an_expired_identity_is_refused(store: Path) -> None:
    about = json.loads((store / "identity.json").read_text())
    (store / "identity.json").write_text(json.dumps({**about, "not_after": 1}))
    with pytest.raises(SigningError, match="has expired"):
        signing.identity(store)


@pytest.mark.parametrize("text", ["", "[]", '{"not_after": "x"}', "{}"])
def test_a_broken_store_is_refused(store: Path, text: str) -> None:
    (store / "identity.json").write_text(text)
    with pytest.raises(SigningError, match=r"identity.json: cannot be read"):
        signing.identity(store)


@pytest.mark.component
def test_signing_the_same_gives_the_same(built: Build, signer: signing.Identity, tmp_path: Path) -> None:
    image = built.directory / "kshsctl.exe"
    for name in ("one.exe", "two.exe"):
        signing.sign(image, tmp_path / name, signer, "test")
    assert (tmp_path / "one.exe").read_bytes() == (tmp_path / "two.exe").read_bytes()
    verify(tmp_path / "one.exe", signer.root)


@pytest.mark.component
def test_a_changed_byte_is_noticed(built: Build, signer: signing.Identity, tmp_path: Path) -> None:
    verify(built.client, signer.root)
    data = bytearray(built.client.read_bytes())
    data[0x500] ^= 1
    (tmp_path / "client.sys").write_bytes(data)
    with pytest.raises(SigningError, match="has no valid signature"):
        verify(tmp_path / "client.sys", signer.root)


@pytest.mark.component
def test_another_root_is_not_trusted(built: Build, tmp_path: Path) -> None:
    other = signing.identity(tmp_path / "other")
    with pytest.raises(SigningError):
        verify(built.client, other.root)


@pytest.mark.component
def test_an_unsigned_file_has_no_valid_signature(built: Build, signer: signing.Identity) -> None:
    with pytest.raises(SigningError, match="has no valid signature"):
        verify(built.agent, signer.root)


def test_what_cannot_be_signed_is_told(signer: signing.Identity, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"nothing")
    with pytest.raises(SigningError, match=r"^x: osslsigncode cannot sign it: "):
        signing.sign(tmp_path / "x", tmp_path / "y", signer, "test")
    assert not (tmp_path / "y").exists()


@pytest.mark.component
def test_no_secret_on_a_command_line_or_in_a_message(
    built: Build, signer: signing.Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    run = subprocess.run

    def record(command: Any, **options: Any) -> Any:
        seen.extend(map(str, command))
        done = run(command, **options)
        seen.append(str(done.stdout))
        return done

    monkeypatch.setattr(subprocess, "run", record)
    signing.sign(built.agent, tmp_path / "x.exe", signer, "test")
    assert str(signer.key) in seen
    secret = signer.key.read_text().splitlines()[1:-1]
    assert not [line for line in secret for text in seen if line in text]


@pytest.mark.component
def test_a_missing_osslsigncode_is_named(
    built: Build, signer: signing.Identity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="apt-get install -y osslsigncode"):
        signing.sign(built.agent, tmp_path / "x.exe", signer, "test")


def test_the_first_certificate_of_a_file_as_der(signer: signing.Identity, tmp_path: Path) -> None:
    assert signing.der(signer.chain) == signing.der(signer.leaf)
    read = x509.load_der_x509_certificate(signing.der(signer.root))
    assert read.fingerprint(hashes.SHA256()) == certificate(signer.root).fingerprint(hashes.SHA256())
    (tmp_path / "no.pem").write_text("no certificate")
    with pytest.raises(SigningError, match="holds no PEM certificate"):
        signing.der(tmp_path / "no.pem")
