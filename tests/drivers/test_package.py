# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from drivers import catalogue, inf, package, signing
from drivers.errors import PackageError

#: A compiler, and where drivers are loaded Wine, are needed.
pytestmark = pytest.mark.component


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
        ("avshs.inf", "holds no INF file"),
        ("avshs.sys", "'avshs.sys' is copied by the INF but missing"),
        ("avshs.cat", "catalogue 'avshs.cat' that avshs.inf names is missing"),
    ],
)
def test_a_missing_file_is_named(package_dir: Path, name: str, told: str) -> None:
    (package_dir / name).unlink()
    with pytest.raises(PackageError, match=told):
        package.load(package_dir)


@pytest.mark.component
def test_two_infs_for_one_device_are_refused(package_dir: Path) -> None:
    (package_dir / "B.INF").write_bytes((package_dir / "avshs.inf").read_bytes())
    with pytest.raises(PackageError, match=r"both install Root\\KshsAvshs; leave one of them"):
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


# ---- everything that is deployed ----------------------------------------------------


def with_files(package_dir: Path, signer: signing.Identity, *, lists: str = "", copies: str = "") -> None:
    """The sample's package with more in its INF's lists, its catalogue made again."""
    edit(package_dir / "avshs.inf", "avshs.sys = 1,,", f"avshs.sys = 1,,\n{lists}")
    edit(package_dir / "avshs.inf", "[Avshs.CopyFiles]\n", f"[Avshs.CopyFiles]\n{copies}")
    catalogue.make(package_dir, signer)


def write(package_dir: Path, *names: str) -> None:
    for name in names:
        (package_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (package_dir / name).write_bytes(b"content of " + name.encode())


OWN = ["avshs.cat", "avshs.inf", "avshs.sys", "kshs-root.cer", "kshs-signing.cer"]


def test_every_file_that_is_copied_is_deployed_in_its_folder(
    package_dir: Path, signer: signing.Identity
) -> None:
    write(package_dir, "firmware.bin", "x64/prop.dll", "listed/notes.txt")
    lists = "firmware.bin = 1\nprop.dll = 1,x64\nnotes.txt = 1,listed\ngone.txt = 1\n"
    with_files(package_dir, signer, lists=lists, copies="FIRMWARE.BIN\nprop.dll\n")
    loaded = package.load(package_dir)
    assert sorted(loaded.files) == sorted([*OWN, "firmware.bin", "x64\\prop.dll", "listed\\notes.txt"])
    assert loaded.files["x64\\prop.dll"] == package_dir / "x64" / "prop.dll"
    before = loaded.digest
    (package_dir / "listed" / "notes.txt").write_text("changed")
    assert package.load(package_dir).digest != before


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("firmware.bin", r"'firmware.bin' is copied by the INF but missing"),
        ("x64/prop.dll", r"'x64/prop.dll' is copied by the INF but missing"),
    ],
)
def test_a_file_that_is_copied_and_missing_is_refused(
    package_dir: Path, signer: signing.Identity, name: str, told: str
) -> None:
    write(package_dir, "firmware.bin", "x64/prop.dll")
    with_files(
        package_dir, signer, lists="firmware.bin = 1\nprop.dll = 1,x64\n", copies="firmware.bin\nprop.dll\n"
    )
    (package_dir / name).unlink()
    with pytest.raises(PackageError, match=told) as caught:
        package.load(package_dir)
    assert "\n" not in str(caught.value)


def test_a_link_that_leads_out_of_the_package_is_refused(
    package_dir: Path, signer: signing.Identity, tmp_path: Path
) -> None:
    write(package_dir, "secret/shadow.bin")
    with_files(package_dir, signer, lists="shadow.bin = 1,secret\n", copies="shadow.bin\n")
    (package_dir / "secret").rename(tmp_path / "outside")
    (package_dir / "secret").symlink_to(tmp_path / "outside")
    with pytest.raises(PackageError, match=r"shadow.bin: lies outside the package"):
        package.load(package_dir)


def further(package_dir: Path, name: str, **changes: str) -> None:
    """A second INF: an extension for the sample's device."""
    text = (package_dir / "avshs.inf").read_text(encoding="utf-8")
    text = text.replace("{4d36e96c-e325-11ce-bfc1-08002be10318}", "{E2F84CE7-8EFA-411C-AA69-97454CA4CB57}")
    text = text.replace("= MEDIA", "= Extension").replace("avshs.sys", "extra.bin")
    for old, new in changes.items():
        text = text.replace(old, new)
    (package_dir / name).write_text(text, encoding="utf-8")


def test_further_infs_come_along_with_their_files(package_dir: Path, signer: signing.Identity) -> None:
    write(package_dir, "extra.bin")
    further(package_dir, "extra.inf")
    catalogue.make(package_dir, signer)
    loaded = package.load(package_dir)
    assert (loaded.name, loaded.sys, loaded.notes) == ("avshs", [package_dir / "avshs.sys"], ())
    assert sorted(loaded.files) == sorted([*OWN, "extra.bin", "extra.inf"])


def test_a_further_inf_that_does_not_fit_is_left_out_and_noted(package_dir: Path) -> None:
    write(package_dir, "extra.bin", "broken.inf")
    further(package_dir, "extra.inf")
    loaded = package.load(package_dir)
    assert sorted(loaded.files) == OWN
    assert [note.partition(":")[0] for note in loaded.notes] == [
        "broken.inf is not used",
        "extra.inf is not deployed",
    ]


def test_an_inf_that_the_device_brings_along_must_be_there(
    package_dir: Path, signer: signing.Identity
) -> None:
    write(package_dir, "extra.bin")
    further(package_dir, "extra.inf")
    edit(
        package_dir / "avshs.inf",
        "CopyFiles = Avshs.CopyFiles",
        "CopyFiles = Avshs.CopyFiles\nCopyINF = EXTRA.INF",
    )
    catalogue.make(package_dir, signer)
    assert "extra.inf" in package.load(package_dir).files
    (package_dir / "extra.bin").write_bytes(b"changed")
    with pytest.raises(PackageError, match=r"extra.bin: is not the file that avshs.cat vouches for"):
        package.load(package_dir)
    (package_dir / "extra.inf").unlink()
    with pytest.raises(PackageError, match=r"'extra.inf' is copied by the INF but missing"):
        package.load(package_dir)


def test_members_of_the_catalogue_come_along(
    package_dir: Path, signer: signing.Identity, tmp_path: Path
) -> None:
    write(package_dir, "tools/setup.exe", "other/setup.exe")
    members = [package_dir / name for name in ("avshs.inf", "avshs.sys", "tools/setup.exe")]
    (tmp_path / "gone.dll").write_bytes(b"in another package")
    raw = catalogue.unsigned([*members, tmp_path / "gone.dll"], ["root\\kshsavshs"], signer.signing_time)
    (tmp_path / "raw").write_bytes(raw)
    signing.sign(tmp_path / "raw", package_dir / "avshs.cat", signer, "x")
    assert sorted(package.load(package_dir).files) == sorted([*OWN, "tools\\setup.exe"])


def test_the_device_that_was_chosen_is_judged(package_dir: Path, signer: signing.Identity) -> None:
    edit(
        package_dir / "avshs.inf",
        "[Models.NTamd64]",
        "[Models.NTamd64]\n%DeviceName% = Other.Device,Root\\Other",
    )
    edit(
        package_dir / "avshs.inf",
        "[Avshs.CopyFiles]",
        "[Other.Device]\nCopyFiles = @other.sys\n[Avshs.CopyFiles]",
    )
    edit(package_dir / "avshs.inf", "avshs.sys = 1,,", "avshs.sys = 1,,\nother.sys = 1")
    write(package_dir, "other.sys")
    catalogue.make(package_dir, signer)
    (package_dir / "other.sys").unlink()
    assert package.load(package_dir, "ROOT\\kshsavshs").sys == [package_dir / "avshs.sys"]
    for hardware_id in (None, "Root\\Other"):
        with pytest.raises(PackageError, match=r"'other.sys' is copied by the INF but missing"):
            package.load(package_dir, hardware_id)
    with pytest.raises(
        PackageError, match=r"names no device Root\\None for x86_64; there: Root\\Other, Root"
    ):
        package.load(package_dir, "Root\\None")


def test_a_driver_for_another_processor_is_called_so(package_dir: Path) -> None:
    edit(package_dir / "avshs.inf", "Models,NTamd64", "Models,NTarm64.10.0...16299")
    with pytest.raises(PackageError, match=r"of x86_64, only for NTarm64.10.0...16299; build it for x64"):
        package.load(package_dir)
