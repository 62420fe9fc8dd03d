# SPDX-License-Identifier: Apache-2.0
"""Which image of which medium is taken, and which is refused, with what one has to know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.vm.windows.discs import SERVER, Image, make_disc, make_wim, with_xml
from vm.errors import InputError
from vm.windows import media, wim
from vm.windows.media import KNOWN_MEDIA, KnownMedia, Wanted
from vm.windows.profile import BUILTIN, WindowsProfile

WANTED = Wanted(
    "server2025",
    edition="ServerStandardEval",
    installation="Server",
    minimum_build=26100,
    language="en-US",
    evaluation=True,
)


def _medium(
    folder: Path, images: tuple[Image, ...], name: str = "install.wim", kind: str = "udf"
) -> media.Media:
    return media.read(make_disc(folder / "medium.iso", {f"sources/{name}": make_wim(folder, images)}, kind))


def _choose(medium: media.Media, wanted: Wanted = WANTED) -> wim.WimImage:
    return media.choose(medium, wanted, expected_sha256=medium.sha256, known=None)


def _refusal(medium: media.Media, wanted: Wanted = WANTED) -> str:
    with pytest.raises(InputError) as refused:
        _choose(medium, wanted)
    assert "\n" not in str(refused.value) and refused.value.where == str(medium.path)
    return str(refused.value)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> media.Media:
    return _medium(tmp_path_factory.mktemp("server"), SERVER)


@pytest.mark.parametrize("name", ["install.wim", "INSTALL.WIM", "Install.Esd", "INSTALL.ESD"])
@pytest.mark.parametrize("kind", ["udf", "joliet", "rock ridge", "iso 9660"])
def test_the_images_are_read_through_the_iso(tmp_path: Path, name: str, kind: str) -> None:
    medium = _medium(tmp_path, SERVER[:2], name, kind)
    assert [image.name for image in medium.images] == [image.name for image in SERVER[:2]]
    assert medium.wim_path.lower() == f"/sources/{name.lower()}"
    assert medium.size == medium.path.stat().st_size


def test_edition_and_type_choose_whatever_the_index(server: media.Media, tmp_path: Path) -> None:
    assert _choose(server).index == 2
    assert _choose(_medium(tmp_path, tuple(reversed(SERVER)))).index == 3


def test_an_image_is_chosen_by_index_and_by_name(server: media.Media) -> None:
    assert _choose(server, Wanted("x", image_index=3)).edition == "ServerDatacenterEval"
    assert _choose(server, Wanted("x", image_name=SERVER[0].name)).index == 1
    assert _choose(server, Wanted("x", image_name=SERVER[1].name.upper())).index == 2


def test_a_known_medium_needs_no_word_of_the_user(server: media.Media) -> None:
    known = KnownMedia("this one", server.sha256, None, 180)
    assert media.choose(server, WANTED, expected_sha256=None, known=known).index == 2


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted("w", edition="ServerStandardEval"), "w wants edition ServerStandardEval; 2 images fit"),
        (
            Wanted("w", edition="EnterpriseEval"),
            "w wants edition EnterpriseEval; no image of the medium fits",
        ),
        (Wanted("w", image_index=7), "w wants image_index 7; no image"),
        (Wanted("w", image_name="Pro"), "w wants image_name 'Pro'; no image"),
        (replace(WANTED, minimum_build=26200), "is build 26100; server2025 wants build 26200 or later"),
        (replace(WANTED, maximum_build=20348, minimum_build=20348), "wants build 20348"),
        (replace(WANTED, language="de-DE"), "speaks en-US, not de-DE"),
        (replace(WANTED, architecture="arm64"), "is for amd64, and the guest is arm64"),
    ],
)
def test_what_does_not_fit_is_refused(server: media.Media, wanted: Wanted, message: str) -> None:
    assert message in _refusal(server, wanted)


@pytest.mark.parametrize("chosen", [{"image_index": 2}, {"image_name": "x"}, {}], ids=str)
@pytest.mark.parametrize(
    ("image", "problem"),
    [
        (Image("x", "ServerStandard"), "edition ServerStandardEval"),
        (Image("x", "ServerTurbineEval"), "edition ServerStandardEval"),
        (Image("x", "ServerTurbineCorEval", "Server Core"), "edition ServerStandardEval"),
        (Image("x", kind="Server Core"), "installation type Server"),
        (Image("x", None), "edition ServerStandardEval"),
    ],
)
def test_the_edition_counts_however_the_image_was_chosen(
    tmp_path: Path, chosen: dict[str, object], image: Image, problem: str
) -> None:
    medium = _medium(tmp_path, (Image("other", "ServerDatacenterEval"), image))
    said = _refusal(medium, replace(WANTED, **chosen))  # type: ignore[arg-type]
    assert problem in said and "server2025 wants" in said
    assert f"2 x [{image.edition or 'no EDITIONID'}, {image.kind}]" in said
    assert "1 other [ServerDatacenterEval, Server]" in said, "what else there is"


def test_a_guest_that_counts_on_an_evaluation_gets_one(tmp_path: Path) -> None:
    medium = _medium(tmp_path, (Image("Pro", "Professional", "Client"),))
    for chosen in ({"image_index": 1}, {"image_name": "pro"}, {}):
        wanted = replace(Wanted("lab", evaluation=True), **chosen)  # type: ignore[arg-type]
        assert "is no evaluation, and lab counts on one (evaluation_days)" in _refusal(medium, wanted)
    assert "would ask for a key" in _refusal(medium, Wanted("lab", edition="Professional"))
    assert _choose(medium, Wanted("lab", image_index=1)).index == 1, "chosen with open eyes"
    assert _choose(medium, Wanted("lab", edition="Professional", licensed=True)).index == 1


def test_a_profile_says_what_it_counts_on() -> None:
    assert all(profile.wanted().evaluation for profile in BUILTIN.values())
    assert not WindowsProfile(name="lab").wanted().evaluation
    keyed = WindowsProfile(name="lab", product_key="AAAAA-BBBBB-CCCCC-DDDDD-EEEEE")
    assert keyed.wanted().licensed


@pytest.mark.parametrize("name", BUILTIN)
def test_the_built_in_guests_take_their_image_alone(tmp_path: Path, name: str) -> None:
    profile = BUILTIN[name]
    build = str(profile.minimum_build)
    right = Image("right", profile.edition, profile.installation, build=build)
    n = Image("N", "EnterpriseSNEval", "Client", build=build)
    core = Image("core", profile.edition, "Server Core", build=build)
    retail = Image("retail", (profile.edition or "").removesuffix("Eval"), profile.installation, build=build)
    assert _choose(_medium(tmp_path, (retail, core, n, right)), profile.wanted()).name == "right"
    assert "no image of the medium fits" in _refusal(_medium(tmp_path, (retail, core, n)), profile.wanted())
    untyped = _medium(tmp_path, (replace(right, kind=None), retail))
    assert _choose(untyped, profile.wanted()).index == 1, "a medium that does not say the type"


def test_only_the_image_that_is_chosen_is_judged(tmp_path: Path) -> None:
    odd = Image("odd", None, None, None, None, None)
    wim_file = make_wim(tmp_path, (odd, SERVER[1], replace(SERVER[2], arch="x")))
    data = with_xml(wim_file.read_bytes(), 'INDEX="2"', 'INDEX="9"')
    medium = media.read(make_disc(tmp_path / "m.iso", {"sources/install.wim": data}))
    assert _choose(medium).index == 9
    by_index = replace(
        WANTED, edition=None, installation=None, language=None, minimum_build=0, evaluation=False
    )
    assert "says no architecture" in _refusal(medium, replace(by_index, image_index=1))
    assert "is for x, and the guest is amd64" in _refusal(medium, replace(by_index, image_index=3))


def test_an_image_without_a_version_will_do_where_none_is_wanted(tmp_path: Path) -> None:
    medium = _medium(tmp_path, (Image("Server", build=None),))
    assert _choose(medium, Wanted("lab", edition="ServerStandardEval")).version == "build unknown"
    assert "does not say its build; server2025 wants build 26100 or later" in _refusal(medium)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image("Server", arch="12"), "is for arm64, and the guest is amd64"),
        (Image("Server", arch="0"), "is for x86, and the guest is amd64"),
        (
            Image("Server", language="de-DE"),
            "speaks de-DE, not en-US; the medium offers: 1 Server [ServerStandardEval, Server]; set locale",
        ),
        (Image("Server", language=None), "speaks no language that it names, not en-US"),
    ],
)
def test_a_medium_of_another_kind_is_refused(tmp_path: Path, image: Image, message: str) -> None:
    assert message in _refusal(_medium(tmp_path, (image,)))


def test_an_unknown_iso_is_refused_with_the_hash_to_give(server: media.Media) -> None:
    with pytest.raises(InputError) as caught:
        media.choose(server, WANTED, expected_sha256=None, known=KNOWN_MEDIA["server2025"])
    assert f"--sha256 {server.sha256}" in str(caught.value)


def test_a_wrong_hash_is_refused(server: media.Media) -> None:
    with pytest.raises(InputError, match="not 00"):
        media.choose(server, WANTED, expected_sha256="00" * 32, known=None)


def test_an_iso_without_a_wim_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no sources/install\.wim"):
        media.read(make_disc(tmp_path / "m.iso", {"sources/boot.txt": b"no Windows here"}))
    with pytest.raises(InputError, match=r"no sources/install\.wim"):
        media.read(make_disc(tmp_path / "m.iso", {"install.wim": b"elsewhere"}))


@pytest.mark.parametrize(
    "names", [("install.swm", "install2.swm"), ("INSTALL.SWM",), ("install.swm", "install.swm2")]
)
def test_a_split_image_is_called_split(tmp_path: Path, names: tuple[str, ...]) -> None:
    files: dict[str, bytes | Path] = {f"sources/{name}": b"MSWIM" for name in names}
    with pytest.raises(InputError, match="is split") as refused:
        media.read(make_disc(tmp_path / "m.iso", files))
    assert all(name in str(refused.value) for name in names)
    assert "wimlib-imagex join" in str(refused.value)


def test_an_empty_wim_is_called_empty(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"/sources/install\.wim: the WIM is empty"):
        media.read(make_disc(tmp_path / "m.iso", {"sources/install.wim": b""}))


@pytest.mark.parametrize("kind", ["udf", "iso 9660"])
def test_a_cut_medium_says_what_it_should_be(tmp_path: Path, kind: str) -> None:
    whole = make_disc(tmp_path / "m.iso", {"sources/install.wim": make_wim(tmp_path, SERVER[:1])}, kind)
    size = whole.stat().st_size
    cut = tmp_path / "cut.iso"
    for left in (size - 1, size - 2048, size // 2, 17 * 2048, 3):
        cut.write_bytes(whole.read_bytes()[:left])
        with pytest.raises(InputError, match="damaged or cut off") as refused:
            media.read(cut, KNOWN_MEDIA["server2025"])
        assert f"it has {left:,} bytes" in str(refused.value)
        assert "download it again" in str(refused.value) and "8,152,356,864 bytes" in str(refused.value)
        with pytest.raises(InputError, match="compare its SHA-256"):
            media.read(cut)


def test_no_iso_and_no_file_are_refused(tmp_path: Path) -> None:
    junk = tmp_path / "junk.iso"
    junk.write_bytes(b"\0" * 70_000)
    with pytest.raises(InputError, match="not an ISO image; check --iso"):
        media.read(junk)
    with pytest.raises(InputError, match="there is no such file; check --iso"):
        media.read(tmp_path / "absent.iso")
