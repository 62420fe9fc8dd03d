# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import datetime
import hashlib
import re
import struct
import subprocess
from pathlib import Path

import pytest
from asn1crypto import core
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers import authenticode, catalogue, catalogue_signature, signing
from drivers.build import Build
from drivers.catalogue_format import AnySet, Attribute, Attributes, Entry, Outer, TrustList
from drivers.errors import PackageError, SigningError
from tests.drivers.second_opinion import verify

#: A compiler, and where drivers are loaded Wine, are needed.
pytestmark = pytest.mark.component

EXEMPT = 0x58  # CheckSum, from the PE signature


def members(built: Build) -> list[Path]:
    return [built.avshs.inf, *built.avshs.sys]


@pytest.mark.component
def test_images_are_accepted_by_osslsigncode(built: Build, signer: signing.Identity) -> None:
    for path in built.avshs.sys:
        verify(path, signer.root, built.avshs.cat)


@pytest.mark.component
@pytest.mark.parametrize("kind", ["changed", "foreign"])
def test_others_are_refused_by_osslsigncode(
    built: Build, signer: signing.Identity, tmp_path: Path, kind: str
) -> None:
    other = tmp_path / "avshs.sys"
    data = bytearray(built.avshs.sys[0].read_bytes())
    data[0x480] ^= 1
    other.write_bytes(data if kind == "changed" else built.client.read_bytes())
    with pytest.raises(SigningError, match=r"is not covered by avshs.cat"):
        verify(other, signer.root, built.avshs.cat)


@pytest.mark.component
def test_a_catalogue_of_another_signer_is_refused(built: Build, tmp_path: Path) -> None:
    other = signing.identity(tmp_path / "other")
    with pytest.raises(SigningError):
        verify(built.avshs.sys[0], other.root, built.avshs.cat)
    with pytest.raises(SigningError):
        verify(built.avshs.cat, other.root)


@pytest.mark.component
def test_the_signature_holds_by_a_second_reckoning(built: Build, signer: signing.Identity) -> None:
    assert catalogue_signature.check(built.avshs.cat.read_bytes(), "x").certificate == signing.der(
        signer.leaf
    )


@pytest.mark.component
def test_openssl_reads_it_too(built: Build, signer: signing.Identity) -> None:
    command = ["openssl", "pkcs7", "-inform", "DER", "-in", str(built.avshs.cat), "-print_certs"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # OpenSSL 3.5 prints no blanks around the sign.
    assert re.search(r"CN ?= ?kshs test signing", text)
    assert re.search(r"CN ?= ?kshs test root", text)


@pytest.mark.component
def test_what_is_written_is_read(built: Build, signer: signing.Identity) -> None:
    read = catalogue.parse(built.avshs.cat.read_bytes(), "x")
    assert {member.name for member in read.members} == {"avshs.inf", "avshs.sys"}
    assert read.hardware_ids == ("root\\kshsavshs",)
    assert set(read.certificates) == {signing.der(signer.leaf), signing.der(signer.root)}
    assert read.signed
    for path in members(built):
        assert read.covers(path.read_bytes(), path.name)
    assert not read.covers(built.agent.read_bytes(), "agent")


@pytest.mark.component
def test_signed_and_unsigned_images_have_one_hash(built: Build) -> None:
    """Known from osslsigncode, which prints the hash that it computes."""
    text = subprocess.run(
        ["osslsigncode", "verify", "-in", str(built.client)], capture_output=True, text=True, check=False
    ).stdout
    (printed,) = set(re.findall(r"Calculated message digest\s*: ([0-9A-F]{64})", text))
    data = built.client.read_bytes()
    assert authenticode.pe_hash(data).hex().upper() == printed


@pytest.mark.component
def test_the_same_files_give_the_same_catalogue(built: Build) -> None:
    files = members(built)
    one = catalogue.unsigned(files, ["Root\\X"], 1_700_000_000)
    assert one == catalogue.unsigned(files[::-1], ["Root\\X"], 1_700_000_000)
    assert one != catalogue.unsigned(files, ["Root\\Y"], 1_700_000_000)
    assert not catalogue.parse(one, "x").signed
    with pytest.raises(PackageError, match="has no signature"):
        catalogue_signature.check(one, "x")


def test_a_member_of_an_unknown_kind_takes_nothing_from_the_others(built: Build) -> None:
    """Entries without a hash, with attributes that are empty or of another form, and other named texts."""
    files = members(built)
    name_value, indirect = "1.3.6.1.4.1.311.12.2.1", "1.3.6.1.4.1.311.2.1.4"
    odd: list[list[Attribute]] = [
        [],
        [Attribute({"type": name_value, "values": AnySet([])})],
        [Attribute({"type": indirect, "values": AnySet([core.Any(core.Integer(1))])})],
        [Attribute({"type": "1.2.3", "values": AnySet([core.Any(core.Null())])})],
    ]
    entries = [
        Entry({"tag": bytes([number]), "attributes": Attributes(attributes)})
        for number, attributes in enumerate(odd)
    ]
    trust_list = TrustList(
        {
            "usage": ["1.2.3", "1.3.6.1.4.1.311.12.1.1"],
            "this_update": datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC),
            "algorithm": {"algorithm": "1.3.6.1.4.1.311.12.1.3"},
            "entries": [*entries, *(catalogue._entry(path.name, path.read_bytes()) for path in files)],
            "extensions": [
                {"type": "1.2.3", "value": b"?"},
                {"type": name_value, "value": b"\x02\x01\x01"},
                {"type": name_value, "value": catalogue._name_value("HWID1", "root\\x").dump()},
            ],
        }
    )
    content = {"type": "1.3.6.1.4.1.311.10.1", "content": trust_list}
    signed_data = {"version": 1, "digest_algorithms": [], "content": content, "signers": []}
    read = catalogue.parse(Outer({"type": "1.2.840.113549.1.7.2", "content": signed_data}).dump(), "x")
    assert {member.name for member in read.members} == {"avshs.inf", "avshs.sys"}
    assert read.hardware_ids == ("root\\x",)
    assert all(read.covers(path.read_bytes(), path.name) for path in files)


def test_an_empty_catalogue_is_refused() -> None:
    with pytest.raises(PackageError, match="needs at least one file"):
        catalogue.unsigned([], [], 0)


def test_the_bytes_of_a_small_catalogue(tmp_path: Path) -> None:
    """Against bytes put together by hand from the formats' descriptions."""

    def tlv(tag: int, *parts: bytes) -> bytes:
        body = b"".join(parts)
        size = len(body)
        length = (
            bytes([size])
            if size < 128
            else bytes([0x82, size >> 8, size & 255])
            if size > 255
            else (bytes([0x81, size]))
        )
        return bytes([tag]) + length + body

    def oid(hexadecimal: str) -> bytes:
        return tlv(6, bytes.fromhex("2b060104018237" + hexadecimal))

    def named(name: str, value: str) -> bytes:
        text = (value + "\0").encode("utf-16-le")
        return tlv(0x30, tlv(0x1E, name.encode("utf-16-be")), bytes.fromhex("020410010001"), tlv(4, text))

    (tmp_path / "A.txt").write_bytes(b"content")
    digest = hashlib.sha256(b"content").digest()
    obsolete = tlv(0xA2, tlv(0x80, "<<<Obsolete>>>".encode("utf-16-be")))
    sha256 = tlv(0x30, bytes.fromhex("0609608648016503040201"), b"\x05\x00")
    indirect = tlv(0x30, tlv(0x30, oid("020119"), obsolete), tlv(0x30, sha256, tlv(4, digest)))
    attributes = [
        tlv(0x30, oid("0c0203"), tlv(0x31, b"\x80\x00")),
        tlv(0x30, oid("0c0201"), tlv(0x31, named("File", "a.txt"))),
        tlv(0x30, oid("0c0201"), tlv(0x31, named("OSAttr", catalogue._MEMBER_SYSTEMS))),
        tlv(0x30, oid("020104"), tlv(0x31, indirect)),
    ]
    entry = tlv(0x30, tlv(4, digest), tlv(0x31, *attributes))
    extension = tlv(0x30, oid("0c0201"), tlv(4, named("OS", catalogue._SYSTEM)))
    trust_list = tlv(
        0x30,
        tlv(0x30, oid("0c0101")),
        tlv(4, hashlib.sha256(entry).digest()[:16]),
        tlv(0x17, b"231114221320Z"),
        tlv(0x30, oid("0c0103"), b"\x05\x00"),
        tlv(0x30, entry),
        tlv(0xA0, tlv(0x30, extension)),
    )
    content = tlv(0x30, oid("0a01"), tlv(0xA0, trust_list))
    signed_data = tlv(0x30, b"\x02\x01\x01", b"\x31\x00", content, b"\x31\x00")
    outer = tlv(0x30, bytes.fromhex("06092a864886f70d010702"), tlv(0xA0, signed_data))
    assert catalogue.unsigned([tmp_path / "A.txt"], [], 1_700_000_000) == outer


@pytest.mark.component
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(data=st.data())
def test_a_changed_catalogue_is_never_intact(built: Build, data: st.DataObject) -> None:
    good = built.avshs.cat.read_bytes()
    # The certificate trust list, from the first byte after its type to its end.
    start = good.index(bytes.fromhex("060a2b060104018237") + b"\x0c\x01\x01")
    end = good.index("Root\\KshsAvshs".lower().encode("utf-16-le"))
    position = data.draw(st.integers(start, end - 1))
    changed = bytearray(good)
    changed[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PackageError):
        catalogue_signature.check(bytes(changed), "x")


@pytest.mark.component
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_catalogues_are_refused_or_read(built: Build, data: st.DataObject) -> None:
    good = bytearray(built.avshs.cat.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(good[: data.draw(st.integers(0, len(good)))])
    for function in (catalogue.parse, catalogue_signature.check):
        try:
            function(damaged, "x")
        except PackageError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("data", [b"", b"MZ", b"0\x80", b"[Version]", b"\x30\x03\x02\x01\x01"])
def test_what_is_no_catalogue_is_told(data: bytes) -> None:
    with pytest.raises(PackageError, match=r"^x: is no catalogue"):
        catalogue.parse(data, "x")


@pytest.mark.component
def test_another_signed_thing_is_no_catalogue(built: Build, tmp_path: Path) -> None:
    command = ["osslsigncode", "extract-signature", "-in", str(built.client), "-out", str(tmp_path / "x.p7")]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(PackageError, match="is no catalogue"):
        catalogue.parse((tmp_path / "x.p7").read_bytes(), "x")


@pytest.mark.component
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_every_byte_that_loads_is_hashed(built: Build, data: st.DataObject) -> None:
    image = bytearray(built.agent.read_bytes())
    (header,) = struct.unpack_from("<I", image, 0x3C)
    entry = header + 24 + 112 + 8 * 4
    position = data.draw(st.integers(0x80, len(image) - 1))
    exempt = header + EXEMPT <= position < header + EXEMPT + 4 or entry <= position < entry + 8
    before = authenticode.file_hash(bytes(image))
    image[position] ^= data.draw(st.integers(1, 255))
    if entry <= position < entry + 8:
        return
    try:
        assert (authenticode.file_hash(bytes(image)) == before) == exempt
    except PackageError:
        assert header <= position < entry + 8


@given(st.binary(max_size=600))
def test_any_bytes_have_a_hash_or_an_error(data: bytes) -> None:
    for content in (data, b"MZ" + b"\0" * 58 + b"\x40\0\0\0PE\0\0" + data):
        try:
            assert len(authenticode.file_hash(content)) == 32
        except PackageError as error:
            assert (
                "headers are broken" in str(error)
                or "certificate table" in str(error)
                or "no place" in str(error)
            )


@pytest.mark.component
def test_making_one_needs_the_files(built: Build, signer: signing.Identity, package: Path) -> None:
    (package / "avshs.cat").unlink()
    assert catalogue.make(package, signer).read_bytes() == built.avshs.cat.read_bytes()
    assert sorted(path.name for path in package.iterdir()) == sorted(
        path.name for path in built.avshs.directory.iterdir()
    )
    (package / "avshs.sys").unlink()
    with pytest.raises(PackageError, match=r"avshs.sys: is copied by the INF but missing"):
        catalogue.make(package, signer)
    (package / "avshs.inf").unlink()
    with pytest.raises(PackageError, match="holds no INF file"):
        catalogue.make(package, signer)


def test_two_infs_share_a_catalogue(built: Build, signer: signing.Identity, package: Path) -> None:
    other = (package / "avshs.inf").read_text().replace("Root\\KshsAvshs", "Root\\Other")
    (package / "other.inf").write_text(other)
    read = catalogue.parse(catalogue.make(package, signer).read_bytes(), "x")
    assert sorted(member.name for member in read.members) == ["avshs.inf", "avshs.sys", "other.inf"]
    assert read.hardware_ids == ("root\\kshsavshs", "root\\other")
