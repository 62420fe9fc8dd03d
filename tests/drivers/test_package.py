# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from drivers import catalogue, inf, package, signing
from drivers.errors import PackageError


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.component
def test_a_whole_package(package_dir: Path) -> None:
    loaded = package.load(package_dir)
    assert loaded.name == "avshs"
    assert loaded.sys == [package_dir / "avshs.sys"]
    assert [path.name for path in loaded.certificates] == ["kshs-root.cer", "kshs-signing.cer"]
    assert len(loaded.digest) == 64


@pytest.fixture
def package_dir(package: Path) -> Path:  # the fixture, not the module
    return package


@pytest.mark.component
def test_digest_is_over_content_not_place(package_dir: Path, tmp_path: Path) -> None:
    before = package.load(package_dir).digest
    moved = package_dir.rename(tmp_path / "elsewhere")
    assert package.load(moved).digest == before
    (moved / "kshs-signing.cer").unlink()
    assert package.load(moved).digest != before


@pytest.mark.component
def test_names_are_compared_as_windows_does(package_dir: Path) -> None:
    (package_dir / "avshs.sys").rename(package_dir / "AVSHS.SYS")
    (package_dir / "avshs.cat").rename(package_dir / "AvsHs.Cat")
    loaded = package.load(package_dir)
    assert [path.name for path in (*loaded.sys, loaded.cat)] == ["AVSHS.SYS", "AvsHs.Cat"]


@pytest.mark.component
@pytest.mark.parametrize("name", ["avshs.inf", "avshs.sys"])
def test_a_changed_file_is_refused(package_dir: Path, name: str) -> None:
    data = bytearray((package_dir / name).read_bytes())
    data[-1 if name == "avshs.inf" else 0x480] ^= 1
    (package_dir / name).write_bytes(data)
    with pytest.raises(
        PackageError, match=rf"{name}: is not the file that avshs.cat vouches for; make and sign"
    ):
        package.load(package_dir)


@pytest.mark.component
def test_a_resigned_driver_is_still_the_same_file(package_dir: Path, tmp_path: Path) -> None:
    other = signing.identity(tmp_path / "other")
    (package_dir / "avshs.sys").rename(tmp_path / "avshs.sys")
    signing.sign(tmp_path / "avshs.sys", package_dir / "avshs.sys", other, "another signer")
    package.load(package_dir)


@pytest.mark.component
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("avshs.inf", "holds 0 INF files, exactly one is needed"),
        ("avshs.sys", "'avshs.sys' is copied by the INF but missing"),
        ("avshs.cat", "catalogue 'avshs.cat' that avshs.inf names is missing"),
    ],
)
def test_a_missing_file_is_named(package_dir: Path, name: str, told: str) -> None:
    (package_dir / name).unlink()
    with pytest.raises(PackageError, match=told):
        package.load(package_dir)


@pytest.mark.component
def test_two_infs_are_refused(package_dir: Path) -> None:
    (package_dir / "B.INF").write_bytes((package_dir / "avshs.inf").read_bytes())
    with pytest.raises(PackageError, match="holds 2 INF files"):
        package.load(package_dir)


@pytest.mark.component
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("CatalogFile", "NoCatalog", "names no CatalogFile"),
        ("Models,NTamd64", "Models,NTarm64", "names no device|copies no .sys file"),
        ("CopyFiles = Avshs.CopyFiles", "CopyNothing = 1", "copies no .sys file"),
    ],
)
def test_an_inf_that_installs_nothing_is_refused(
    package_dir: Path, signer: signing.Identity, old: str, new: str, told: str
) -> None:
    edit(package_dir / "avshs.inf", old, new)
    if "CatalogFile" not in old:
        catalogue.make(package_dir, signer)
    with pytest.raises(PackageError, match=told):
        package.load(package_dir)


@pytest.mark.component
def test_an_unsigned_catalogue_is_refused(package_dir: Path) -> None:
    information = inf.load(package_dir / "avshs.inf")
    files = [package_dir / "avshs.inf", package_dir / "avshs.sys"]
    (package_dir / "avshs.cat").write_bytes(catalogue.unsigned(files, information.hardware_ids(), 0))
    with pytest.raises(PackageError, match=r"avshs.cat: is not signed"):
        package.load(package_dir)


@pytest.mark.component
def test_a_certificate_of_somebody_else_does_not_do(package_dir: Path, tmp_path: Path) -> None:
    other = signing.identity(tmp_path / "other")
    (package_dir / "kshs-root.cer").write_bytes(signing.der(other.root))
    with pytest.raises(PackageError, match=r"judged by kshs-root.cer, kshs-signing.cer"):
        package.load(package_dir)


@pytest.mark.component
def test_without_certificates_the_signature_itself_counts(package_dir: Path) -> None:
    for path in package_dir.glob("*.cer"):
        path.unlink()
    assert package.load(package_dir).certificates == []
    data = bytearray((package_dir / "avshs.cat").read_bytes())
    data[data.index("OSAttr".encode("utf-16-be")) + 30] ^= 1
    (package_dir / "avshs.cat").write_bytes(data)
    with pytest.raises(PackageError, match="was changed after it was signed"):
        package.load(package_dir)


@pytest.mark.component
def test_a_pem_certificate_will_do(package_dir: Path, signer: signing.Identity) -> None:
    for path in package_dir.glob("*.cer"):
        path.unlink()
    (package_dir / "root.crt").write_bytes(signer.root.read_bytes())
    assert [path.name for path in package.load(package_dir).certificates] == ["root.crt"]


@pytest.mark.component
@pytest.mark.parametrize("data", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nx\n"])
def test_what_is_no_certificate_is_told(package_dir: Path, data: bytes) -> None:
    (package_dir / "kshs-root.cer").write_bytes(data)
    with pytest.raises(PackageError, match=r"kshs-root.cer: is no X.509 certificate"):
        package.load(package_dir)


@pytest.mark.component
@pytest.mark.parametrize("size", [0, 1, 100, 2000])
def test_a_cut_catalogue_is_refused(package_dir: Path, size: int) -> None:
    cat = package_dir / "avshs.cat"
    cat.write_bytes(cat.read_bytes()[:size])
    with pytest.raises(PackageError, match=r"avshs.cat: is no catalogue"):
        package.load(package_dir)


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="is no directory; give the directory"):
        package.load(tmp_path / "none")
