# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vm import reaper, template
from vm.config import VmConfig
from vm.events import GuestEvents
from vm.files import read_json, remove_tree, write_json
from vm.hypervisor import Hypervisor


@pytest.fixture
def config(tmp_path: Path) -> VmConfig:
    return VmConfig(
        cache_dir=tmp_path / "cache", runtime_dir=Path("/tmp") / f"kt{os.getpid()}", keep_templates=1
    )


def saved(config: VmConfig, name: str, age: int) -> Path:
    place = config.templates_dir / name
    place.mkdir(parents=True)
    (place / "in-use").touch()
    write_json(place / "manifest.json", {"digest": name, "parent": None})
    os.utime(place / "in-use", (10_000 - age, 10_000 - age))
    return place


def test_what_another_process_prunes_meanwhile_is_no_error(
    config: VmConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two prune: one reads a manifest, the other removes that template, the first looks at its age."""
    new, old, older = (saved(config, f"wine-{name}", age) for name, age in (("a", 0), ("b", 1), ("c", 2)))

    def read(path: Path) -> dict[str, Any] | None:
        content = read_json(path)
        if path.parent == old:
            remove_tree(old)
        return content

    monkeypatch.setattr(template, "read_json", read)
    assert template.prune(config) == [older]
    assert new.exists()
    assert not old.exists()


def test_the_last_ones_stay_and_so_do_those_in_use(config: VmConfig) -> None:
    new, old, older = (saved(config, f"wine-{name}", age) for name, age in (("a", 0), ("b", 1), ("c", 2)))
    claimed = template.claim(older, "wine-c")
    assert claimed is not None
    os.utime(older / "in-use", (1, 1))
    assert template.prune(config) == [old]
    claimed[1].close()
    assert template.prune(config) == [older]
    assert new.exists()


def test_notes_of_failed_images_go_with_clean(config: VmConfig) -> None:
    config.images_dir.mkdir(parents=True)
    note = config.images_dir / "wine-0.failed"
    note.touch()
    assert reaper.clean(config) == []
    assert not note.exists()


def test_a_forgotten_guest_leaves_nothing_behind(config: VmConfig) -> None:
    """A run of thousands of leases has one hypervisor."""
    hypervisor = Hypervisor(config)
    for number in range(3):
        domain: Any = SimpleNamespace(uuid=f"u{number}", events=GuestEvents())
        hypervisor._guests[domain.uuid] = domain.events
        hypervisor._domains[domain.uuid] = domain
        hypervisor.forget(domain)
        hypervisor.forget(domain)
    assert (hypervisor._guests, hypervisor._domains) == ({}, {})
