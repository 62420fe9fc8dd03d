# SPDX-License-Identifier: Apache-2.0
"""A target file is written from what a driver said, and is read as exactly that."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from harness.commands.target_init import Request, Written, author, told
from harness.errors import HarnessError, UsageError
from harness.guests.provider import VmProvider
from harness.language import target
from harness.language.model.format import Format, Identifier
from harness.onboarding.wishes import read
from tests.harness.fake_guest import FakeProvider
from tests.harness.onboarding.fake_driver import AUDIO, CAPTURE, PLAIN, FakeDriver, FakePin
from vm.config import VmConfig

INF = (Path(__file__).parents[3] / "drivers" / "avshs" / "avshs.inf").read_text("utf-8")
A, B = "C5E1B4F2-8D07-4C7B-9A53-2F6E01D9A7B4", "C5E1B4F2-8D07-4C7B-9A53-2F6E01D9A7B5"
WAVE = Format.model_validate(
    {"waveformatextensible": {"nChannels": 2, "nSamplesPerSec": 44100, "wBitsPerSample": 16}}
)
REGISTERS = b"MZ...KsPinRegisterHandshakeCallback"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "package"
    directory.mkdir()
    (directory / "avshs.inf").write_text(INF, "utf-8")
    (directory / "avshs.sys").write_bytes(REGISTERS)
    return directory


def write(package: Path, driver: FakeDriver | None = None, **more: Any) -> Written:
    wishes = read(**more.pop("wishes", {}))
    request = Request(package, wishes=wishes, **more)
    return author(request, lambda loaded: FakeProvider(bend=driver or FakeDriver()), lambda text: None)


THREE = [
    FakePin(flow=1, communication=1, name="In here"),
    FakePin(makes=WAVE, category=CAPTURE, name="Capture\n[pin]\x1b[31m"),
    FakePin(communication=1, name="Preview", possible=0xFFFFFFFF),
]


def test_the_file_says_what_the_driver_said(package: Path) -> None:
    written = write(package, FakeDriver(THREE, {CAPTURE: 0, AUDIO: 0}))
    made = target.load(Path("avshs.toml"))
    assert (made.name, made.package, made.hardware_id, made.service) == (
        "avshs",
        "package",
        r"Root\KshsAvshs",
        "avshs",
    )
    assert made.title == "kshs sample target"
    assert [(pin.id, pin.name, pin.flow, pin.max_instances) for pin in made.pin] == [
        (0, "sink", "in", 4),
        (1, "source", "out", 4),
        (2, "preview", "out", 1000),
    ]
    assert [made.format_of(pin).pack() for pin in made.pin] == [PLAIN.pack(), WAVE.pack(), PLAIN.pack()]
    text = written.file.read_text("utf-8")
    assert "waveformatextensible.nSamplesPerSec = 44100" in text
    assert (
        "# Data out, communication both, at most 4 instances; category KSCATEGORY_CAPTURE; called 'Capture"
        in text
    )
    assert "any number of instances" in text
    assert "\x1b" not in text and text.count("[[pin]]") == 3
    assert max(map(len, text.splitlines())) <= 112


def test_what_only_its_authors_know_is_asked_of_the_user_with_its_line(package: Path) -> None:
    written = write(package, FakeDriver(THREE))
    lines = written.file.read_text("utf-8").splitlines()
    assert [
        lines[number - 1].lstrip("# ").startswith("fill in") or "accepts = []" in lines[number - 1]
        for number, _ in written.to_fill_in
    ] == [True] * 4
    said = "\n".join(told(written))
    assert said.startswith(
        "avshs.toml: 3 pins (sink, source, preview) of Root\\KshsAvshs, found in KSCATEGORY_CAPTURE\n"
    )
    assert f"avshs.toml:{written.to_fill_in[0][0]}: fill in my_protocol" in said
    assert said.endswith("next: kshs target check avshs.toml; kshs run --target avshs.toml")


def test_protocols_names_and_pins_without_callback_are_the_user_s(package: Path) -> None:
    wishes = {
        "protocols": [f"clock={A}", f"layout={{{B}}}:capture"],
        "names": ["2=monitor", "1=capture"],
        "without_callback": ["pin2"],
    }
    written = write(package, FakeDriver(THREE), wishes=wishes)
    made = target.load(written.file)
    assert made.protocols == {"clock": uuid.UUID(A), "layout": uuid.UUID(B)}
    assert [(pin.name, pin.callback, pin.accepts) for pin in made.pin] == [
        ("sink", True, ["clock"]),
        ("capture", True, ["clock", "layout"]),
        ("monitor", False, []),
    ]
    assert written.to_fill_in == ()


def test_a_package_that_registers_no_callbacks_has_none(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (package / "avshs.sys").write_bytes(b"MZ")
    monkeypatch.setattr("drivers.imports.imports", lambda pe: [("ks.sys", "KsInitializeDriver")])
    written = write(package, FakeDriver(THREE))
    made = target.load(written.file)
    assert not any(pin.callback for pin in made.pin)
    assert written.to_fill_in == ()
    assert "no driver of the package names KsPinRegisterHandshakeCallback" in written.file.read_text(
        "utf-8"
    ).replace("\n# ", " ")
    with pytest.raises(UsageError, match="pin source has no handshake callback that could accept clock"):
        write(package, FakeDriver(THREE), force=True, wishes={"protocols": [f"clock={A}:source"]})


def test_a_driver_that_another_may_register_for_is_not_said_to_have_none(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (package / "avshs.sys").write_bytes(b"MZ")
    monkeypatch.setattr("drivers.imports.imports", lambda pe: [("theirlib.sys", "TheirInitialize")])
    assert all(pin.callback for pin in target.load(write(package).file).pin)


def test_a_lookup_at_run_time_counts_as_an_import(package: Path) -> None:
    (package / "avshs.sys").write_bytes("KsPinRegisterHandshakeCallback".encode("utf-16-le"))
    assert all(pin.callback for pin in target.load(write(package).file).pin)


PCI = r"PCI\VEN_1234&DEV_5678"


def test_a_device_of_a_bus_is_refused_by_its_inf_before_anything_is_built(package: Path) -> None:
    (package / "avshs.inf").write_text(INF.replace(r"Root\KshsAvshs", PCI), "utf-8")
    with pytest.raises(UsageError) as refused:
        author(Request(package), lambda loaded: VmProvider(VmConfig(), loaded), lambda text: None)
    said = str(refused.value)
    assert said.startswith(f"{package / 'avshs.inf'}: '{PCI}' is a device that the PCI bus reports, and the")
    assert (
        "run it on a Windows guest that has the device (--guest NAME), and give it one: devices = [" in said
    )
    assert "or say --root-enumerated if the driver runs without its hardware" in said
    assert not Path("avshs.toml").exists()
    made = target.load(write(package, wishes={"root_enumerated": True}).file)
    assert (made.hardware_id, made.root_enumerated) == (PCI, True)


def test_a_pin_that_does_not_open_stays_with_the_reason(package: Path) -> None:
    shut = FakePin(takes=[WAVE])
    written = write(
        package, FakeDriver([shut, FakePin(), FakePin(communication=2), FakePin(communication=4)])
    )
    text = written.file.read_text("utf-8").replace("\n# ", " ")
    assert "It did not open: no format that the pin offers opens it (64 bytes" in text
    assert "It opens connected to another pin alone" in text
    assert "Pin 3 is left out: its communication is bridge: it cannot be connected. Data out" in text
    assert any("format, and interface or medium" in what for _, what in written.to_fill_in)
    made = target.load(written.file)
    assert [(pin.id, pin.name) for pin in made.pin] == [(0, "pin0"), (1, "source"), (2, "pin2")]
    assert made.asks(made.pin[0]) and not made.asks(made.pin[1])


def test_an_interface_of_the_pin_s_own_is_said(package: Path) -> None:
    odd = Identifier(set=uuid.UUID(int=77), id=3)
    made = target.load(write(package, FakeDriver([FakePin(interfaces=[odd]), FakePin()])).file)
    assert made.interface_of(made.pin[0]) == odd
    assert made.interface_of(made.pin[1]) == made.interface


def test_a_format_of_all_pins_is_said_once(package: Path) -> None:
    text = write(package, FakeDriver([FakePin(), FakePin(flow=1)])).file.read_text("utf-8")
    assert text.count("[format]") == 1 and "format.major" not in text


def test_a_file_that_is_there_is_not_replaced_unless_told_so(package: Path) -> None:
    Path("avshs.toml").write_text("mine")
    with pytest.raises(
        UsageError, match=r"avshs\.toml: there is such a file already \(another --out, or --force"
    ):
        write(package)
    assert Path("avshs.toml").read_text() == "mine"
    write(package, force=True)
    assert target.load(Path("avshs.toml"))


def test_a_file_that_somebody_makes_meanwhile_is_not_replaced_either(package: Path) -> None:
    def guests(loaded: object) -> FakeProvider:
        Path("avshs.toml").write_text("mine")
        return FakeProvider(bend=FakeDriver())

    with pytest.raises(UsageError, match=r"avshs\.toml: there is such a file already"):
        author(Request(package, wishes=read()), guests, lambda text: None)
    assert Path("avshs.toml").read_text() == "mine"
    assert [path.name for path in Path().iterdir() if path.name.startswith(".")] == []


def test_out_is_where_the_package_is_relative_to(package: Path) -> None:
    written = write(package, out=Path("deep/er/mine.toml"), name="mine")
    assert target.load(written.file).package == "../../package"


def test_nothing_is_left_of_a_driver_that_is_lost(package: Path) -> None:
    with pytest.raises(HarnessError, match="the driver was lost"):
        write(package, FakeDriver(lost=lambda number: number == 3))
    assert not Path("avshs.toml").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"hardware_id": r"Root\Other"}, r"names no device Root\\Other for x86_64"),
        ({"service": "a b"}, "service: .* is not of the form"),
        ({"out": Path("x.txt")}, "a target file ends in .toml"),
        ({"category": AUDIO}, "--category: the device has no filter in KSCATEGORY_AUDIO"),
        ({"wishes": {"names": ["7=x"]}}, "--pin: 7=x: the filter has no pin 7"),
        ({"wishes": {"without_callback": ["x"]}}, "--no-callback: there is no pin 'x' that can be opened"),
        ({"wishes": {"protocols": [f"a={A}:nix"]}}, "--protocol: there is no pin 'nix'"),
        ({"wishes": {"imports": ["ks.sys!KsNothing"]}}, "--allow-import: 'ks.sys!KsNothing' is no import"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(
    package: Path, more: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.imports.imports", lambda pe: [("ks.sys", "KsInitializeDriver")])
    with pytest.raises(UsageError, match=words) as refused:
        write(package, **more)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"protocols": ["clock"]}, "--protocol: 'clock' is no protocol"),
        ({"protocols": [f"Clock={A}"]}, "is no protocol"),
        ({"protocols": [f"unknown={A}"]}, "a protocol cannot be called 'unknown'"),
        ({"names": ["source"]}, "--pin: 'source' names no pin"),
        ({"names": ["1=a", "2=a"]}, "says anew"),
        ({"imports": ["KsFoo"]}, "--allow-import: 'KsFoo' is no import"),
    ],
)
def test_words_of_the_command_line_have_a_form(words: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read(**words)


def test_of_several_devices_one_that_needs_no_hardware_is_chosen_and_said(package: Path) -> None:
    more = INF.replace("Root\\KshsAvshs", "PCI\\VEN_1234&DEV_5678,Root\\KshsAvshs,Root\\KshsOther")
    (package / "avshs.inf").write_text(more, "utf-8")
    written = write(package)
    assert target.load(written.file).hardware_id == r"Root\KshsAvshs"
    assert written.chosen == (
        r"the device Root\KshsAvshs; --hardware-id names another: PCI\VEN_1234&DEV_5678, Root\KshsOther",
    )
    assert write(package, force=True, hardware_id=r"root\kshsother").chosen == ()


@pytest.mark.parametrize(
    "make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("")]
)
def test_what_is_no_package_is_refused_before_a_guest_is_made(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "package")
    with pytest.raises(UsageError):
        author(Request(tmp_path / "package"), lambda loaded: pytest.fail("a guest"), lambda text: None)
