# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from vm import image, reaper
from vm.config import VmConfig
from vm.errors import VmError
from vm.initrd import module_order
from vm.recipe import Stage, Work


class Paper:
    """A recipe whose stages write a line each and fail where they are told to."""

    name = "paper"
    family = "wine"

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.fails_at = ""
        self.text = "one"

    def inputs(self, config: VmConfig) -> Mapping[str, Any]:
        return {"text": self.text}

    def stages(self) -> Sequence[Stage]:
        return tuple(Stage(name, name, self._stage(name)) for name in ("first", "second", "third"))

    def leftovers(self) -> Sequence[str]:
        return ("first", "none")

    def _stage(self, name: str) -> Any:
        def run(work: Work) -> Mapping[str, Any]:
            self.ran.append(name)
            (work.directory / name).write_text(self.text)
            if name == self.fails_at:
                raise VmError("out of paper")
            return {name: os.getpid()}

        return run


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Paper:
    recipe = Paper()
    monkeypatch.setattr(image, "RECIPES", {"paper": recipe})
    return recipe


@pytest.fixture
def config(tmp_path: Path) -> VmConfig:
    return VmConfig(cache_dir=tmp_path / "cache", runtime_dir=Path("/tmp") / f"ks{os.getpid()}")


def test_an_interrupted_build_goes_on_where_it_was(paper: Paper, config: VmConfig) -> None:
    paper.fails_at = "second"
    with pytest.raises(VmError, match="out of paper"):
        image.ensure(config, "paper")
    paper.fails_at = ""
    made = image.ensure(config, "paper")
    assert paper.ran == ["first", "second", "second", "third"]
    assert {path.name for path in made.path.iterdir()} == {"second", "third", "manifest.json"}
    assert {"first", "second", "third"} <= set(made.manifest)
    assert image.ensure(config, "paper") == made
    assert paper.ran == ["first", "second", "second", "third"]
    assert made.path.stat().st_mode & 0o077 == 0


def test_other_inputs_are_another_image(paper: Paper, config: VmConfig) -> None:
    one = image.ensure(config, "paper")
    paper.text = "two"
    two = image.ensure(config, "paper")
    assert one.path != two.path
    assert one.path.exists()


def test_one_builds_while_others_wait(paper: Paper, config: VmConfig) -> None:
    made: list[image.Image] = []
    threads = [threading.Thread(target=lambda: made.append(image.ensure(config, "paper"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.path for one in made}) == 1
    assert len(made) == 4
    assert paper.ran == ["first", "second", "third"]


def test_an_unknown_recipe_is_refused(config: VmConfig) -> None:
    with pytest.raises(VmError, match="no recipe 'cake'; recipes: wine"):
        image.ensure(config, "cake")


def test_what_would_not_be_gone_on_with_is_reaped(paper: Paper, config: VmConfig) -> None:
    paper.fails_at = "second"
    for text in ("one", "two"):
        paper.text = text
        with pytest.raises(VmError):
            image.ensure(config, "paper")
    wanted, _ = image.locate(config, "paper")
    gone = reaper.reap(config)
    assert len(gone) == 1
    assert [path.name for path in config.images_dir.glob("*.build")] == [f"{wanted.name}.build"]


def test_clean_removes_images(paper: Paper, config: VmConfig) -> None:
    made = image.ensure(config, "paper")
    assert reaper.clean(config) == [f"image {made.path.name}"]
    assert not made.path.exists()


def test_modules_come_after_what_they_need(tmp_path: Path) -> None:
    drivers = tmp_path / "kernel" / "drivers"
    drivers.mkdir(parents=True)
    for name, needs in {"net-pci": "net_core,ring", "net_core": "", "ring": "net_core", "loose": ""}.items():
        (drivers / f"{name}.ko").write_bytes(b"\x7fELF\0license=GPL\0depends=" + needs.encode() + b"\0x=y\0")
    (tmp_path / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    order = [path.stem for path in module_order(tmp_path, ["net_pci", "ext4", "ring"])]
    assert order == ["net_core", "ring", "net-pci"]
    with pytest.raises(VmError, match="no module floppy"):
        module_order(tmp_path, ["floppy"])
