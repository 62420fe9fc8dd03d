# SPDX-License-Identifier: Apache-2.0
"""Who signed a catalogue, and whether that is trusted: offline, and by what was chosen."""

from __future__ import annotations

import datetime
import hashlib
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from asn1crypto import cms, core, tsp
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID

from drivers import catalogue, inf, package
from drivers.errors import PackageError
from tests.drivers import authority
from tests.drivers.authority import certificate, der, key, pem

#: What is signed here was built.
pytestmark = pytest.mark.component

Signed = Callable[[Sequence[x509.Certificate], rsa.RSAPrivateKey], Path]

ROOT = certificate("Contoso Root", key(0), authority=True)
SIGNER = certificate("Contoso Signer", key(1), ROOT, key(0))


@pytest.fixture
def signed(package: Path, tmp_path: Path) -> Signed:
    """Signs the package's catalogue anew and takes its certificates away."""
    information = inf.load(package / "avshs.inf")
    members = [package / "avshs.inf", package / "avshs.sys"]
    (tmp_path / "unsigned").write_bytes(catalogue.unsigned(members, information.hardware_ids(), 0))
    for path in package.glob("*.cer"):
        path.unlink()

    def sign(chain: Sequence[x509.Certificate], own: rsa.RSAPrivateKey) -> Path:
        authority.sign(tmp_path / "unsigned", package / "avshs.cat", chain, own)
        return package

    return sign


def names(directory: Path) -> list[str]:
    return [path.name for path in package.load(directory).certificates]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Something to connect to, which nobody must."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def test_nobody_is_asked(signed: Signed, listener: socket.socket) -> None:
    addresses = authority.online(listener.getsockname()[1])
    middle = certificate("Contoso Issuing", key(2), ROOT, key(0), authority=True, extensions=addresses)
    leaf = certificate("Contoso Signer", key(1), middle, key(2), extensions=addresses)
    directory = signed([leaf, middle], key(1))
    (directory / "root.cer").write_bytes(der(ROOT))
    assert names(directory) == ["root.cer"]
    (directory / "root.cer").write_bytes(der(SIGNER))
    with pytest.raises(PackageError, match="leads to no trusted root"):
        package.load(directory)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_a_signer_is_known_by_issuer_and_serial_number(signed: Signed) -> None:
    middle = certificate("Contoso Issuing", key(2), ROOT, key(0), authority=True, serial=7)
    leaf = certificate("Contoso Signer", key(1), middle, key(2), serial=7)
    directory = signed([leaf, middle, ROOT], key(1))
    (directory / "root.cer").write_bytes(der(ROOT))
    assert names(directory) == ["root.cer"]


def test_one_number_given_twice_by_one_issuer(signed: Signed) -> None:
    root = certificate("Contoso Root", key(0), authority=True, serial=1)
    leaf = certificate("Contoso Signer", key(1), root, key(0), serial=1)
    directory = signed([leaf, root], key(1))
    (directory / "root.cer").write_bytes(der(root))
    assert names(directory) == ["root.cer"]


def test_a_signer_that_is_its_own_root(signed: Signed) -> None:
    """What a WDK's build signs with: one self-signed certificate, no authority."""
    alone = certificate("WDKTestCert somebody", key(1))
    directory = signed([alone], key(1))
    (directory / "test.cer").write_bytes(der(alone))
    assert names(directory) == ["test.cer"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("both.cer", pem(SIGNER, ROOT)),
        ("both.pem", b"Bag Attributes\n" + pem(SIGNER) + b"\n\n" + pem(ROOT)),
        ("both.p7b", pkcs7.serialize_certificates([SIGNER, ROOT], Encoding.DER)),
        ("both.spc", pkcs7.serialize_certificates([SIGNER, ROOT], Encoding.PEM)),
        ("both.crt", der(SIGNER) + der(ROOT)),
        ("odd.cer", pem(SIGNER) + pem(SIGNER)[:200] + b"\n-----END CERTIFICATE-----\n" + pem(ROOT)),
        ("crlf.cer", pem(SIGNER, ROOT).replace(b"\n", b"\r\n")),
    ],
)
def test_several_certificates_in_one_file(signed: Signed, name: str, data: bytes) -> None:
    directory = signed([SIGNER], key(1))
    (directory / name).write_bytes(data)
    loaded = package.load(directory)
    assert {path.read_bytes() for path in loaded.certificates} == {der(SIGNER), der(ROOT)}
    assert all(loaded.files[path.name] == path for path in loaded.certificates)


def test_a_key_beside_a_certificate_stays_here(signed: Signed) -> None:
    directory = signed([SIGNER], key(1))
    (directory / "root.pem").write_bytes(authority.private(key(0)) + pem(ROOT))
    (single,) = package.load(directory).certificates
    assert single.read_bytes() == der(ROOT)


def test_certificates_of_others_change_nothing(signed: Signed) -> None:
    directory = signed([SIGNER], key(1))
    old = certificate("Contoso Root", key(3), authority=True, days=(-100, -10))
    (directory / "a.cer").write_bytes(der(old))
    (directory / "b.cer").write_bytes(b"nonsense")
    (directory / "c.cer").write_bytes(der(certificate("Fabrikam", key(2), authority=True)))
    (directory / "root.cer").write_bytes(der(ROOT))
    assert names(directory) == ["a.cer", "c.cer", "root.cer"]


@pytest.mark.parametrize(
    ("leaf", "told"),
    [
        (certificate("Contoso Signer", key(1), ROOT, key(0), days=(-100, -10)), "expired"),
        (
            certificate("Contoso Signer", key(1), ROOT, key(0), purpose=ExtendedKeyUsageOID.SERVER_AUTH),
            "not for code signing",
        ),
        (certificate("Contoso Signer", key(1), SIGNER, key(1)), "CN=Contoso Signer"),
    ],
)
def test_what_is_not_trusted_is_said(signed: Signed, leaf: x509.Certificate, told: str) -> None:
    directory = signed([leaf, SIGNER], key(1))
    (directory / "root.cer").write_bytes(der(ROOT))
    with pytest.raises(PackageError, match=rf"avshs.cat: .*{told}.*, judged by root.cer$"):
        package.load(directory)


def test_a_key_that_is_not_the_certificates(signed: Signed) -> None:
    """A signature by another key under the same name and number."""
    directory = signed([SIGNER], key(1))
    data = (directory / "avshs.cat").read_bytes()
    other = certificate("Contoso Signer", key(1), ROOT, key(0), serial=SIGNER.serial_number)
    assert len(der(other)) == len(der(SIGNER))
    swapped = bytearray(data)
    at = data.index(der(SIGNER))
    swapped[at : at + len(der(SIGNER))] = der(other)
    (directory / "avshs.cat").write_bytes(swapped)
    package.load(directory)  # a certificate that was issued anew for the same key
    swapped[-1] ^= 1
    (directory / "avshs.cat").write_bytes(swapped)
    with pytest.raises(PackageError, match="has a signature that does not fit its signer's key"):
        package.load(directory)


def changed(directory: Path, change: Callable[[cms.SignerInfo], None]) -> None:
    """Another SignerInfo in the catalogue; what is signed stays as it is."""
    outer = cms.ContentInfo.load((directory / "avshs.cat").read_bytes())
    change(outer["content"]["signer_infos"][0])
    (directory / "avshs.cat").write_bytes(outer.dump(force=True))


def test_a_signer_named_by_the_identifier_of_its_key(signed: Signed) -> None:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key(1).public_key())
    for extensions in ([identifier], []):
        leaf = certificate("Contoso Signer", key(1), ROOT, key(0), extensions=extensions)
        directory = signed([leaf, ROOT], key(1))
        (directory / "root.cer").write_bytes(der(ROOT))

        def by_key(signer: cms.SignerInfo) -> None:
            value = core.OctetString(identifier.digest)
            signer["sid"] = cms.SignerIdentifier(name="subject_key_identifier", value=value)
            signer["version"] = "v3"

        changed(directory, by_key)
        assert names(directory) == ["root.cer"]


@pytest.mark.parametrize(("days", "told"), [(-50, None), (-5, "expired")])
def test_a_time_stamp_says_when_the_signer_counts(signed: Signed, days: int, told: str | None) -> None:
    root = certificate("Contoso Root", key(0), authority=True, days=(-200, 400))
    leaf = certificate("Contoso Signer", key(1), root, key(0), days=(-100, -10))
    directory = signed([leaf, root], key(1))
    (directory / "root.cer").write_bytes(der(root))

    def stamp(signer: cms.SignerInfo) -> None:
        info = tsp.TSTInfo(
            {
                "version": "v1",
                "policy": "1.2.3",
                "message_imprint": {
                    "hash_algorithm": {"algorithm": "sha256"},
                    "hashed_message": hashlib.sha256(signer["signature"].native).digest(),
                },
                "serial_number": 1,
                "gen_time": authority.NOW.replace(microsecond=0) + datetime.timedelta(days=days),
            }
        )
        content = {"content_type": "tst_info", "content": core.ParsableOctetString(info.dump())}
        parts = {"digest_algorithms": [], "encap_content_info": content, "signer_infos": []}
        token = cms.ContentInfo({"content_type": "signed_data", "content": {"version": "v3", **parts}})
        signer["unsigned_attrs"] = [{"type": "microsoft_time_stamp_token", "values": [token]}]

    changed(directory, stamp)
    if told is None:
        assert names(directory) == ["root.cer"]
    else:
        with pytest.raises(PackageError, match=told):
            package.load(directory)
