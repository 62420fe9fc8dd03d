# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gzip
import lzma
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from vm import image, reaper
from vm.config import VmConfig
from vm.errors import VmError
from vm.failures import Failures
from vm.files import private_directory, try_lock
from vm.initrd import kernel_release, module_order, modules_directory, write_modules
from vm.progress import Silent
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
    monkeypatch.setattr(image, "failures", Failures())
    return recipe


@pytest.fixture
def config(tmp_path: Path) -> VmConfig:
    return VmConfig(cache_dir=tmp_path / "cache", runtime_dir=Path("/tmp") / f"ks{os.getpid()}")


def test_an_interrupted_build_goes_on_where_it_was(paper: Paper, config: VmConfig) -> None:
    paper.fails_at = "second"
    with pytest.raises(VmError, match="out of paper"):
        image.ensure(config, "paper")
    image.failures.forget()  # the next run is another process
    paper.fails_at = ""
    made = image.ensure(config, "paper")
    assert paper.ran == ["first", "second", "second", "third"]
    assert {path.name for path in made.path.iterdir()} == {"second", "third", "manifest.json"}
    assert {"first", "second", "third"} <= set(made.manifest)
    assert image.ensure(config, "paper") == made
    assert paper.ran == ["first", "second", "second", "third"]
    assert made.path.stat().st_mode & 0o077 == 0


def test_what_failed_is_not_tried_again_in_this_process(paper: Paper, config: VmConfig) -> None:
    paper.fails_at = "second"
    said = set()
    for _ in range(3):
        with pytest.raises(VmError) as caught:
            image.ensure(config, "paper")
        said.add(str(caught.value))
    assert said == {"out of paper"}
    assert paper.ran == ["first", "second"]
    paper.text = "another"
    with pytest.raises(VmError):
        image.ensure(config, "paper")
    assert paper.ran == ["first", "second"] * 2, "what has other inputs may be built"


def test_who_waited_for_a_build_that_failed_does_not_build(paper: Paper, config: VmConfig) -> None:
    """Four workers and a refused package source: it is asked once."""
    paper.fails_at = "second"
    path, _ = image.locate(config, "paper")
    said: list[str] = []
    private_directory(config.cache_dir)
    private_directory(config.images_dir)
    lock = try_lock(path.with_suffix(".lock"))
    assert lock is not None

    class Waits(Silent):
        """Another process fails while this one waits."""

        def step(self, text: str, fraction: float | None = None) -> None:
            said.append(text)
            other = Failures()
            other.remember(
                image.locate(config, "paper")[1], path.with_suffix(".failed"), VmError("no ink", "x")
            )
            lock.release()

    with pytest.raises(VmError, match="x: no ink"):
        image.ensure(config, "paper", Waits())
    assert said == ["waiting for another run that builds the image"]
    assert paper.ran == []


def test_an_old_failure_of_another_run_is_tried_again(paper: Paper, config: VmConfig) -> None:
    paper.fails_at = "second"
    with pytest.raises(VmError):
        image.ensure(config, "paper")
    image.failures.forget()
    paper.fails_at = ""
    made = image.ensure(config, "paper")
    assert made.path.is_dir()
    assert not list(config.images_dir.glob("*.failed"))


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


PACKERS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".xz": lzma.compress, ".gz": gzip.compress}


def kernel_tree(root: Path, suffix: str, place: str = "usr/lib/modules") -> Path:
    """Modules as a distribution stores them: plain in Debian 12, .ko.xz in Debian 13."""
    modules = root / place / "6.12.1-amd64"
    drivers = modules / "kernel" / "drivers"
    drivers.mkdir(parents=True)
    for name, needs in {"net-pci": "net_core,ring", "net_core": "", "ring": "net_core", "loose": ""}.items():
        content = b"\x7fELF\0license=GPL\0depends=" + needs.encode() + b"\0x=y\0"
        (drivers / f"{name}.ko{suffix}").write_bytes(PACKERS[suffix](content))
    (modules / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    return modules


@pytest.mark.parametrize("suffix", PACKERS)
def test_modules_come_after_what_they_need(tmp_path: Path, suffix: str) -> None:
    modules = kernel_tree(tmp_path, suffix)
    order = module_order(modules, ["net_pci", "ext4", "ring"])
    assert [path.name for path in order] == [f"{name}.ko{suffix}" for name in ("net_core", "ring", "net-pci")]
    with pytest.raises(VmError, match="no module floppy"):
        module_order(modules, ["floppy"])


@pytest.mark.parametrize("suffix", PACKERS)
def test_modules_are_unpacked_for_insmod_of_busybox(tmp_path: Path, suffix: str) -> None:
    order = module_order(kernel_tree(tmp_path, suffix), ["net_pci"])
    target = tmp_path / "modules"
    target.mkdir()
    write_modules(order, target)
    assert (target / "order").read_text().split() == ["net_core.ko", "ring.ko", "net_pci.ko"]
    assert all((target / name).read_bytes().startswith(b"\x7fELF") for name in ("ring.ko", "net_pci.ko"))


def test_a_damaged_module_is_named(tmp_path: Path) -> None:
    modules = kernel_tree(tmp_path, ".xz")
    (modules / "kernel/drivers/ring.ko.xz").write_bytes(b"no xz")
    with pytest.raises(VmError, match=r"ring\.ko\.xz: cannot be unpacked"):
        module_order(modules, ["ring"])


@pytest.mark.parametrize("place", ["usr/lib/modules", "lib/modules"])
def test_modules_are_found_with_and_without_a_merged_usr(tmp_path: Path, place: str) -> None:
    modules = kernel_tree(tmp_path, "", place)
    assert kernel_release(tmp_path) == "6.12.1-amd64"
    assert modules_directory(tmp_path, "6.12.1-amd64") == modules
    with pytest.raises(VmError, match="no modules of the kernel 5"):
        modules_directory(tmp_path, "5")
