# SPDX-License-Identifier: Apache-2.0
"""What a WIM says, whatever its form; and forms that Windows Setup would not read."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vm.windows.discs import SERVER, Image, make_wim, wimlib, with_xml
from vm.errors import InputError, VmError
from vm.windows import wim
from vm.windows.wim import WimImage

XML = "<WIM>{}</WIM>"


def describe(data: bytes) -> tuple[WimImage, ...]:
    return wim.describe(io.BytesIO(data), len(data), "install.wim")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_wim(tmp_path_factory.mktemp("server"), SERVER).read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        ("--compress=LZX",),
        ("--compress=none",),
        ("--compress=XPRESS", "--check"),
        ("--compress=LZMS", "--solid"),
        ("--solid", "--solid-compress=LZX", "--check"),
        ("--compress=LZMS", "--chunk-size=128K"),
    ],
    ids=" ".join,
)
def test_every_form_of_a_wim_is_read(tmp_path: Path, options: tuple[str, ...]) -> None:
    found = describe(make_wim(tmp_path, SERVER, *options).read_bytes())
    assert [image.index for image in found] == [1, 2, 3, 4]
    assert [image.installation_type for image in found] == ["Server Core", "Server"] * 2
    second = found[1]
    assert (second.name, second.edition) == (SERVER[1].name, "ServerStandardEval")
    assert (second.architecture, second.version, second.languages) == (
        "amd64",
        "build 26100.1742",
        ("en-US",),
    )


def test_a_pipable_wim_is_refused_since_setup_does_not_read_it(tmp_path: Path) -> None:
    data = make_wim(tmp_path, SERVER[:1], "--pipable").read_bytes()
    with pytest.raises(InputError, match=r"pipable WIM.*wimlib-imagex export"):
        describe(data)


def test_a_split_wim_is_called_split(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.mkdir()
    for number in range(6):
        (content / f"{number}.bin").write_bytes(bytes([number, 7, *b"%d" % number]) * 900_000)
    whole = make_wim(tmp_path, SERVER[:2], "--compress=none")
    wimlib("split", str(whole), str(tmp_path / "install.swm"), "4")
    parts = sorted(tmp_path.glob("*.swm"))
    assert len(parts) > 1
    for number, part in enumerate(parts, start=1):
        with pytest.raises(
            InputError, match=f"split: it is part {number} of {len(parts)}.*wimlib-imagex join"
        ):
            describe(part.read_bytes())


@pytest.mark.parametrize(
    ("old", "new", "indexes"),
    [
        ('INDEX="2"', 'INDEX="7"', [1, 3, 4, 7]),
        ('INDEX="2"', 'INDEX="x"', [1, 3, 4]),
        ('INDEX="2"', 'INDEX="²"', [1, 3, 4]),
        ('INDEX="2"', 'INDEX="0"', [1, 3, 4]),
        ("<ARCH>9<", "<ARCH>x<", [1, 2, 3, 4]),
        ("<BUILD>26100<", "<BUILD>26i00<", [1, 2, 3, 4]),
    ],
)
def test_an_odd_entry_hides_no_other(server: bytes, old: str, new: str, indexes: list[int]) -> None:
    assert [image.index for image in describe(with_xml(server, old, new))] == indexes


def test_what_an_image_does_not_say_is_left_open(tmp_path: Path) -> None:
    silent = Image("silent", None, None, None, None, None)
    first, second = describe(make_wim(tmp_path, (silent, SERVER[1])).read_bytes())
    assert first == WimImage(1, "silent")
    assert str(first) == "1 silent [no EDITIONID]" and first.version == "build unknown"
    assert not first.server and second.server


@pytest.mark.parametrize("odd", ["", "nine", "0x9", "-9", "9.0", "²", "٣", "9" * 5000])
def test_a_number_that_is_none_is_no_exception(odd: str) -> None:
    text = (
        f'<IMAGE INDEX="1"><WINDOWS><ARCH>{odd}</ARCH><VERSION><MAJOR>{odd}</MAJOR><BUILD>{odd}</BUILD>'
        f'<SPBUILD>{odd}</SPBUILD></VERSION></WINDOWS></IMAGE><IMAGE INDEX="{odd}"/>'
    )
    (image,) = wim.parse(XML.format(text).encode(), "w")
    assert (image.architecture, image.major, image.build, image.revision) == (odd, None, None, None)


def test_names_are_harmless_in_a_terminal() -> None:
    (image,) = wim.parse(
        XML.format('<IMAGE INDEX="1"><NAME>a\n\u009b31m\u202eb</NAME></IMAGE>').encode(), "w"
    )
    assert image.name.isprintable()


@pytest.mark.parametrize(
    ("kind", "edition", "server"),
    [
        ("Server", "ServerStandardEval", True),
        ("Server Core", "", True),
        ("Client", "EnterpriseEval", False),
        ("", "ServerStandard", True),
        ("", "EnterpriseEval", False),
        ("Client", "ServerRdsh", False),
        ("", "", False),
    ],
)
def test_the_installation_type_says_what_a_server_is(kind: str, edition: str, server: bool) -> None:
    assert WimImage(1, installation_type=kind, edition=edition).server is server


@pytest.mark.parametrize("damage", ["magic", "xml", "cut", "empty", "short", "table", "no image"])
def test_a_damaged_wim_is_refused(server: bytes, damage: str) -> None:
    data = bytearray(server)
    if damage == "magic":
        data[0:5] = b"WIMMS"
    elif damage == "xml":
        offset = int.from_bytes(data[80:88], "little")
        data[offset + 2 : offset + 40] = b"\0" * 38
    elif damage == "cut":
        del data[len(data) - 100 :]
    elif damage == "empty":
        data.clear()
    elif damage == "short":
        del data[100:]
    elif damage == "table":
        offset = int.from_bytes(data[56:64], "little")
        data[offset : offset + 16] = b"\x02" * 16
    else:
        data = bytearray(with_xml(bytes(data), "<IMAGE ", "<IMAGO ").replace(*_both("</IMAGE>", "</IMAGO>")))
    with pytest.raises(InputError) as refused:
        describe(bytes(data))
    assert "\n" not in str(refused.value) and refused.value.hint


def _both(old: str, new: str) -> tuple[bytes, bytes]:
    return old.encode("utf-16-le"), new.encode("utf-16-le")


def test_a_wim_that_is_cut_anywhere_is_refused(server: bytes) -> None:
    # The table and the XML data lie at the end, so most cuts are seen before wimlib is asked.
    for at in [*range(0, len(server), 97), len(server) - 1]:
        with pytest.raises(InputError):
            describe(server[:at])


def test_damage_anywhere_is_said_in_one_line(server: bytes) -> None:
    end = len(server)
    xml = int.from_bytes(server[80:88], "little")
    table = int.from_bytes(server[56:64], "little")
    places = [*range(208), *range(table, min(table + 200, end)), *range(xml, end)]

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.lists(st.tuples(st.sampled_from(places), st.integers(0, 255)), min_size=1, max_size=4))
    def damage(changes: list[tuple[int, int]]) -> None:
        data = bytearray(server)
        for at, value in changes:
            data[at] = value
        try:
            describe(bytes(data))
        except InputError as error:
            assert "\n" not in str(error)

    damage()


def test_a_host_without_wimlib_is_told_what_to_install(
    server: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(VmError, match="apt-get install wimtools") as missing:
        describe(server)
    assert not isinstance(missing.value, InputError), "the host's fault"


def test_the_image_is_named_for_people() -> None:
    image = WimImage(2, "Server", edition="ServerStandardEval", installation_type="Server")
    assert str(image) == "2 Server [ServerStandardEval, Server]"
    assert str(replace(image, name="", display_name="S")) == "2 S [ServerStandardEval, Server]"
    assert "without a name" in str(replace(image, name=""))
