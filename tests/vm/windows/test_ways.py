# SPDX-License-Identifier: Apache-2.0
"""Which way guests are leased in: the order, the record, and what is told; the machine is played."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.config import load
from vm import guests
from vm.accel import Accelerator
from vm.config import VmConfig
from vm.errors import GuestTimeout, VmError
from vm.template import Layer
from vm.windows import lease, plan, sealed, ways
from vm.windows.profile import BUILTIN, Way


class Told:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, text: str, fraction: float | None = None) -> None:
        self.lines.append(text)


class Bench:
    """A sealed image, and machines that come up or not as `broken` says."""

    def __init__(self, config: VmConfig, monkeypatch: pytest.MonkeyPatch) -> None:
        self.config = config
        self.broken: dict[Way, VmError] = {}
        self.made: list[Way] = []
        self.hv: Any = SimpleNamespace(
            plugin=None, config=config, accelerator=Accelerator("kvm", "played"), qemu_version="7.2.1"
        )
        self.home = sealed.home(config, "win11")
        self.home.mkdir(parents=True)
        self.seal()
        monkeypatch.setattr(lease, "_make", self._make)

    def seal(self, leases: str | None = None, disk: str = "d1") -> None:
        profile = BUILTIN["win11"].model_dump(mode="json") | {"leases": leases}
        manifest = {
            "digest": "d", "name": "win11", "family": "windows", "profile": profile, "disk_sha256": disk,
            "installed": "2026-01-01T00:00:00+00:00", "evaluation_days": None, "medium": {"path": "/m"},
        }  # fmt: skip
        (self.home / "manifest.json").write_text(json.dumps(manifest))

    @property
    def image(self) -> sealed.WindowsImage:
        found = sealed.find(self.config, "win11")
        assert found is not None
        return found

    def _make(self, hv: Any, image: Any, path: Path, key: Any, layer: Layer | None, progress: Any) -> None:
        way = Way(key["way"])
        self.made.append(way)
        if layer is not None:
            layer.prepare(None)  # type: ignore[arg-type]
        if way in self.broken:
            raise ways.WayFailedError(way, self.broken[way])
        path.mkdir(parents=True)
        (path / "in-use").touch()
        manifest = {
            "digest": lease.digest_of(key), "key": key, "image": str(image.path),
            "ways_that_failed": dict(ways.failed(hv, image)),
        }  # fmt: skip
        (path / "manifest.json").write_text(json.dumps(manifest))

    def ensure(self, way: Way | None = None, layer: Layer | None = None) -> tuple[str, list[str]]:
        told = Told()
        self.made.clear()
        template = lease.ensure(self.hv, self.image, layer, told, way=way)
        template.in_use.close()
        facts = guests.find(self.config, "win11").facts(template)
        return str(facts["leases"]), told.lines


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    yield Bench(VmConfig(cache_dir=tmp_path / "cache"), monkeypatch)


SILENT = GuestTimeout("no SSH server within 60 s", "127.0.0.1:4711")


def test_guests_are_forked_where_that_works(bench: Bench) -> None:
    assert bench.ensure() == ("fork", [])
    assert not ways.record_of(bench.image).exists()


def test_a_fork_that_does_not_answer_is_a_failure_of_the_way(bench: Bench) -> None:
    bench.broken[Way.FORK] = SILENT
    used, told = bench.ensure()
    reason = "127.0.0.1:4711: no SSH server within 60 s"
    assert used == f"saved (fork does not work here: {reason})"
    assert told == [f"warning: guest win11: leases by 'fork' do not work here ({reason}); taking 'saved'"]
    assert bench.made == [Way.FORK, Way.SAVED]
    record = json.loads((bench.config.cache_dir / "windows/win11.leases.json").read_text())
    assert record["failed"]["fork"]["reason"] == reason and record["failed"]["fork"]["at"]


def test_the_last_way_is_taken_when_the_others_fail(bench: Bench) -> None:
    bench.broken = {Way.FORK: SILENT, Way.SAVED: VmError("QEMU could not transfer its state (failed)", "g")}
    used, told = bench.ensure()
    assert used.startswith("boot (fork does not work here: ") and "saved does not work here: g: " in used
    assert len(told) == 2 and told[1].endswith("; taking 'boot'")
    layer = Layer("other", lambda shell: None)
    assert bench.ensure(layer=layer)[1] == [], "what is on record is not tried for the next template"
    assert bench.made == [Way.BOOT]


ODD_RECORDS: tuple[Any, ...] = ({"teleport": {"reason": "r"}}, {"fork": "r"}, {"fork": {}}, ["fork"], None)


@pytest.mark.parametrize("change", ["disk", "qemu", "accelerator", "damage", *ODD_RECORDS], ids=str)
def test_the_record_holds_for_one_disk_on_one_host(bench: Bench, change: Any) -> None:
    bench.broken[Way.FORK] = SILENT
    bench.ensure()
    bench.broken.clear()
    if change == "disk":
        bench.seal(disk="d2")
    elif change == "qemu":
        bench.hv.qemu_version = "8.0"
    elif change == "accelerator":
        bench.hv.accelerator = Accelerator("tcg", "played")
    else:
        record = ways.record_of(bench.image)
        value = json.loads(record.read_text())
        record.write_text(json.dumps({**value, "failed": change}) if change in ODD_RECORDS else "{torn")
    assert ways.failed(bench.hv, bench.image) == {}
    assert bench.ensure() == ("fork", [])


def test_the_way_that_was_asked_for_is_the_only_one(bench: Bench) -> None:
    bench.seal(leases="saved")
    assert bench.ensure() == ("saved", [])
    assert bench.ensure(Way.BOOT) == ("boot", []), "what is asked for now wins over the image"
    bench.broken[Way.FORK] = SILENT
    with pytest.raises(VmError) as failed:
        bench.ensure(Way.FORK)
    text = str(failed.value)
    assert text.startswith(
        "guest win11: its guests cannot be leased by 'fork': 127.0.0.1:4711: no SSH server"
    )
    assert text.endswith("leave out `leases` in kshs.toml, and kshs takes a way that works")
    assert bench.made == [Way.FORK]


def test_what_fails_before_the_template_is_saved_is_no_matter_of_the_way(bench: Bench) -> None:
    def fail(shell: object) -> None:
        raise VmError("the driver is refused", "deploy")

    with pytest.raises(VmError, match="deploy: the driver is refused"):
        bench.ensure(layer=Layer("l", fail))
    assert bench.made == [Way.FORK]
    assert ways.failed(bench.hv, bench.image) == {}


def test_old_templates_that_nobody_uses_go(bench: Bench) -> None:
    limit = bench.config.keep_templates
    for number in range(limit + 2):
        bench.ensure(layer=Layer(str(number), lambda shell: None))
    left = [path for path in bench.config.templates_dir.iterdir() if path.is_dir()]
    assert len(left) == limit


def test_the_settings_say_the_way(tmp_path: Path) -> None:
    (tmp_path / "kshs.toml").write_text('[guests.win11]\nleases = "boot"\n[guests.lab]\nedition = "E"\n')
    config = load(tmp_path / "kshs.toml")
    assert config.leases_of("win11") is Way.BOOT
    assert config.leases_of("lab") is None and config.leases_of("wine") is None
    assert config.guests["win11"].leases is Way.BOOT


def test_the_way_makes_it_no_other_guest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small_plan: Callable[..., plan.Plan]
) -> None:
    assert small_plan(leases="boot").digest == small_plan(leases=None).digest
    assert small_plan(tpm=True).digest != small_plan(tpm=False).digest


@pytest.fixture
def small_plan(tmp_path: Path) -> Callable[..., plan.Plan]:
    from tests.vm.windows.discs import make_disc, make_wim
    from tests.vm.windows.test_strategy import IMAGES
    from vm.windows.media import digest
    from vm.windows.profile import WindowsProfile

    iso = make_disc(tmp_path / "medium.iso", {"sources/install.wim": make_wim(tmp_path, IMAGES)})
    agent = tmp_path / "kshsctl.exe"
    agent.write_bytes(b"MZ")

    def make(**settings: Any) -> plan.Plan:
        profile = WindowsProfile.model_validate(
            {"name": "lab", "edition": "ServerStandardEval", "firmware": "bios", **settings}
        )
        return plan.make(plan.Request(profile, iso, agent, sha256=digest(iso)))

    return make
