# SPDX-License-Identifier: Apache-2.0
"""The model drivers of three families under Wine: a C++ camera that a timer paces, a microphone, and a dock
whose package comes in components."""

from __future__ import annotations

import struct
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import drivers.build
from drivers import folder
from harness.language.model import Target
from harness.language.target import find
from tests.component.agent import (
    HANDSHAKE_BYTES,
    KERNEL,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_NO_MATCH,
    STATUS_SUCCESS,
    Agent,
    C,
    agent_of,
    describe,
    handshake,
)
from tests.component.package_guest import install_package
from tests.component.wine import WineGuest, copy_of

pytestmark = pytest.mark.component

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

VIDEO = uuid.UUID("73646976-0000-0010-8000-00AA00389B71")
RGB24 = uuid.UUID("E436EB7D-524F-11CE-9F53-0020AF0BA770")
VIDEOINFO = uuid.UUID("05589F80-C356-11CE-BF01-00AA0055595A")
AUDIO = uuid.UUID("73647561-0000-0010-8000-00AA00389B71")
PCM = uuid.UUID("00000001-0000-0010-8000-00AA00389B71")
WAVEFORMATEX = uuid.UUID("05589F81-C356-11CE-BF01-00AA0055595A")
KSPROPSETID_CONNECTION = uuid.UUID("1D58C920-AC9B-11CF-A5D6-28DB04C10000")
FRAME_PROTOCOL = uuid.UUID("5F0C8E11-7C1B-4B61-9A2E-305B7D11C401")
GAIN_PROTOCOL = uuid.UUID("C2A4E7B0-51D6-4F0E-8B3C-7E1092D56401")
RATE_PROTOCOL = uuid.UUID("5F0C8E11-7C1B-4B61-9A2E-305B7D11C402")
STOP, ACQUIRE, PAUSE, RUN = range(4)
SET = 2


def opened_with(kinds: tuple[uuid.UUID, ...], sample: int, block: bytes) -> bytes:
    """KSPIN_CONNECT for pin 0 and a KSDATAFORMAT with a block behind it."""
    streaming = uuid.UUID("1A8766A0-62CE-11CF-A5D6-28DB04C10000").bytes_le + bytes(8)
    medium = uuid.UUID("4747B320-62CE-11CF-A5D6-28DB04C10000").bytes_le + bytes(8)
    head = streaming + medium + struct.pack("<IIQII", 0, 0, 0, 0x40000000, 1)
    return (
        head
        + struct.pack("<IIII", 64 + len(block), 0, sample, 0)
        + b"".join(k.bytes_le for k in kinds)
        + block
    )


def video(width: int = 320, height: int = 240) -> bytes:
    """KS_VIDEOINFOHEADER."""
    bitmap = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, width * height * 3, 0, 0, 0, 0)
    return opened_with(
        (VIDEO, RGB24, VIDEOINFO), width * height * 3, bytes(32) + struct.pack("<IIq", 0, 0, 333333) + bitmap
    )


def wave(rate: int = 44100) -> bytes:
    """WAVEFORMATEXTENSIBLE of 16 bits and two channels."""
    block = struct.pack("<HHIIHHHHI", 0xFFFE, 2, rate, rate * 4, 4, 16, 22, 16, 3) + PCM.bytes_le
    return opened_with((AUDIO, PCM, WAVEFORMATEX), 4, block)


def plain() -> bytes:
    """A stream of whatever bytes."""
    nothing = uuid.UUID("0F6417D6-C318-11D0-A43F-00A0C9223196")
    kinds = (
        uuid.UUID("E436EB83-524F-11CE-9F53-0020AF0BA770"),
        uuid.UUID("E436EB8E-524F-11CE-9F53-0020AF0BA770"),
        nothing,
    )
    return opened_with(kinds, 0, b"")


@contextmanager
def installed(
    name: str, build: drivers.build.Build, template: Path, work: Path
) -> Iterator[tuple[WineGuest, Target]]:
    """A guest with the example's driver, deployed with its own INFs."""
    target, _ = find(str(EXAMPLES / name / f"{name}.toml"))
    package = folder.package(EXAMPLES / name / "driver", work)
    with ExitStack() as stack:
        guest = WineGuest(stack.enter_context(copy_of(template)), build.agent)
        stack.callback(guest.stop)
        install_package(guest, build, package, target)
        yield guest, target


@contextmanager
def running(name: str, build: drivers.build.Build, template: Path, work: Path) -> Iterator[Agent]:
    """An agent with a filter of the example's driver in slot 0."""
    with installed(name, build, template, work) as (guest, target), agent_of(guest) as agent:
        agent.done("OPEN_FILTER", side=KERNEL, slot=0, guid=category(target), value=0)
        yield agent


def category(target: Target) -> uuid.UUID:
    """Of a target, as the agent takes it."""
    return uuid.UUID(str(target.category))


def ask(agent: Agent, protocol: uuid.UUID) -> int:
    """The second argument of the answer to a handshake that has to be accepted."""
    record = agent.request(1, handshake(protocol, 0x77, 0))
    assert record.outcome == C["KSHS_OUTCOME_DONE"], describe(record)
    assert record.returned == STATUS_SUCCESS, describe(record)
    answered, first, second = struct.unpack("<16sQQ", record.data[:HANDSHAKE_BYTES])
    assert (uuid.UUID(bytes_le=answered), first) == (protocol, 0x77)
    return int(second)


def set_state(agent: Agent, state: int) -> None:
    """KSPROPERTY_CONNECTION_STATE of the pin."""
    agent.done(
        "PROPERTY",
        struct.pack("<I", state),
        side=KERNEL,
        slot=1,
        guid=KSPROPSETID_CONNECTION,
        value=0,
        value2=SET,
        out_length=4,
        timeout_ms=20000,
        timeout=30.0,
    )


@pytest.fixture(scope="module")
def camera(
    build: drivers.build.Build, bare_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Agent]:
    """With the camera's filter in slot 0."""
    with running("camera", build, bare_template, tmp_path_factory.mktemp("camera")) as agent:
        yield agent


@pytest.fixture(scope="module")
def microphone(
    build: drivers.build.Build, bare_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Agent]:
    """With the microphone's filter in slot 0."""
    with running("audio", build, bare_template, tmp_path_factory.mktemp("audio")) as agent:
        yield agent


def test_the_camera_s_timer_beats_while_it_runs_and_not_after(camera: Agent) -> None:
    """Paced by a KTIMER whose DPC sets it again: Wine 8's own timers lock up the driver's process here."""
    camera.open_pin(1, 0, data=video())
    for _ in range(3):
        before = ask(camera, FRAME_PROTOCOL)
        for state in (ACQUIRE, PAUSE, RUN):
            set_state(camera, state)
        limit = time.monotonic() + 20
        while ask(camera, FRAME_PROTOCOL) < before + 5:
            assert time.monotonic() < limit, "the timer does not beat"
        for state in (PAUSE, ACQUIRE, STOP):
            set_state(camera, state)
        assert ask(camera, FRAME_PROTOCOL) == ask(camera, FRAME_PROTOCOL)
    set_state(camera, ACQUIRE)
    set_state(camera, PAUSE)
    set_state(camera, RUN)
    camera.close(1)
    camera.open_pin(1, 0, data=video())
    assert ask(camera, FRAME_PROTOCOL) == 0
    camera.close(1)


def test_the_camera_wants_its_own_format_and_protocol(camera: Agent) -> None:
    assert camera.try_pin(1, 0, data=video(width=640)).returned == STATUS_NO_MATCH
    camera.open_pin(1, 0, data=video())
    record = camera.request(1, handshake(RATE_PROTOCOL))
    assert record.returned == STATUS_INVALID_DEVICE_REQUEST, describe(record)
    camera.close(1)


def test_the_microphone_answers_the_rate_that_it_was_opened_with(microphone: Agent) -> None:
    for rate in (8000, 44100, 48000):
        microphone.open_pin(1, 0, data=wave(rate))
        assert ask(microphone, RATE_PROTOCOL) == rate
        microphone.close(1)
    assert microphone.try_pin(1, 0, data=wave(96000)).returned == STATUS_NO_MATCH


def test_a_package_in_components_is_deployed_whole(
    build: drivers.build.Build, bare_template: Path, tmp_path: Path
) -> None:
    """The extension's tuning is there when the driver starts; the component is a device with its files."""
    with installed("componentised", build, bare_template, tmp_path) as (guest, target):
        with agent_of(guest) as agent:
            agent.done("OPEN_FILTER", side=KERNEL, slot=0, guid=category(target), value=0)
            agent.open_pin(1, 0, data=plain())
            assert ask(agent, GAIN_PROTOCOL) == 42
            record = agent.request(1, handshake(FRAME_PROTOCOL))
            assert record.returned == STATUS_INVALID_DEVICE_REQUEST, describe(record)
        panel = guest.must("device", r"SWC\VID_FAB1&PID_0D0C")
        assert (panel["inf"], panel["service"]) == ("dock-panel.inf", "")
        files = list((guest.prefix / "drive_c" / "windows").rglob("dock-panel.dat"))
        # Wine 10 leaves it in two places.
        assert {file.read_bytes() for file in files} == {b"presets of the Fabrikam Dock\n"}
