# SPDX-License-Identifier: Apache-2.0
"""What goes along with a cell: all that its leases read of the user's, where it lies here, and nothing
else.
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.config import Config
from harness.errors import UsageError
from harness.fleet.cells import SentCell
from harness.fleet.lease_files import OF_HOST, LeaseOrder, command, settings_text
from harness.fleet.merging import Keys
from harness.fleet.shards import BESIDE_MIB
from harness.fleet.staging import Asked, FoundItem, Staging, _target_files
from harness.guests.package import LoadedTarget
from harness.language.scenario_file import CATALOGUE
from harness.language.target import load
from tests.harness.plugin.test_plugin import ROOT
from vm.config import VmConfig


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A target beside its package, scenarios here and elsewhere, and what has no business on other hosts."""
    here = tmp_path / "work"
    shutil.copytree(ROOT / "examples" / "relay", here / "relay")
    (here / "relay" / "package").mkdir(exist_ok=True)
    (here / "relay" / "package" / "relay.inf").write_text("[Version]\n")
    (here / "conftest.py").write_text("")
    (here / "secret.txt").write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "more.toml").write_text("schema = 1\n")
    monkeypatch.chdir(here)
    return here


def item(path: Path, name: str, key: str) -> FoundItem:
    return FoundItem(key, path, name, {"order": 0, "file": key.partition("::")[0]}, 1.0, True)


def staged(
    project: Path, items: Sequence[FoundItem], target: str = "avshs", paths: Sequence[Path] = ()
) -> SentCell:
    asked = Asked("c", project / "out", "wine", target, items, paths, False, None, {})
    return Staging(project / ".staged", Config(), lambda text: None).stage(asked)


def test_places_are_the_same_to_each_other_there(project: Path) -> None:
    scenarios = project / "relay" / "scenarios"
    (file,) = list(scenarios.glob("*.toml"))[:1]
    outside = project.parent / "elsewhere" / "more.toml"
    items = [
        item(file, "a", f"relay/scenarios/{file.name}::a"),
        item(outside, "b", f"{outside}::b"),
        item(CATALOGUE / "mode.toml", "mode.two-handles", "harness/catalogue/mode.toml::mode.two-handles"),
    ]
    cell = staged(project, items)
    (tree,) = cell.trees
    names = {one.name for one in tree.listing.files}
    below = f"fs{project}"
    assert names == {
        f"{below}/relay/scenarios/{file.name}",
        f"fs{outside}",
        f"{below}/conftest.py",
        f"{below}/.kshs-lease",
    }
    assert cell.order["directory"] == below and cell.order["target"] == "avshs"
    order = LeaseOrder(
        **cell.order, id="1" * 32, night="2" * 12, shard="c/1", items=tuple(one.item for one in cell.items)
    )
    words = command(order, Path("/k.toml"), Path("/w"), Path("/o"))
    nodes = [word for word in words if "::" in word]
    assert nodes == [
        f"/w/{below}/relay/scenarios/{file.name}::a",
        f"/w/fs{outside}::b",
        f"{CATALOGUE}/mode.toml::mode.two-handles",
    ]
    keys = Keys(cell)
    for name, said in (("a", f"relay/scenarios/{file.name}"), ("b", f"/spool/x/work/fs{outside}")):
        assert keys.key(name, said) == next(one.key for one in items if one.name == name)
    assert keys.key("mode.two-handles", "/usr/lib/python3/harness/catalogue/mode.toml") == items[2].key
    assert keys.key("a", "other/place.toml") is None and keys.key("none", "x.toml") is None


def test_a_target_goes_with_its_package_and_an_absolute_path_in_it_does_not_travel(project: Path) -> None:
    file = project / "relay" / "relay.toml"
    found = set(_target_files(LoadedTarget(load(file), file)))
    assert found == {file, project / "relay" / "package" / "relay.inf"}
    absolute = file.read_text().replace('package = "package"', f'package = "{project}/relay/package"')
    assert absolute != file.read_text()
    file.write_text(absolute)
    with pytest.raises(UsageError, match="an absolute path does not travel to other hosts"):
        list(_target_files(LoadedTarget(load(file), file)))


def test_a_leg_travels_with_its_size_and_each_setting_of_a_guest_does(project: Path) -> None:
    config = Config.model_validate(
        {
            "vm": {
                "memory_mib": 512,
                "connect_timeout": 77,
                "legs": {"wine-big": {"memory_mib": 1024, "cpus": 2, "suite": "trixie"}, "other": {}},
            }
        }
    )
    asked = Asked(
        "c",
        project / "out",
        "wine-big",
        "avshs",
        [item(CATALOGUE / "mode.toml", "mode.two-handles", "m::mode.two-handles")],
        (),
        False,
        None,
        {},
    )
    cell = Staging(project / ".staged", config, lambda text: None).stage(asked)
    assert (cell.needs.cores, cell.needs.memory_mib) == (2, 2 * 1024 + BESIDE_MIB)
    order = LeaseOrder(
        **cell.order, id="1" * 32, night="2" * 12, shard="c/1", items=tuple(one.item for one in cell.items)
    )
    host = VmConfig(cache_dir=project / "cache", suite="bookworm", accelerator="tcg")
    told = Config.model_validate(tomllib.loads(settings_text(order, host, project, None)))
    assert set(told.vm.legs) == {"wine-big"} and told.run.guest == "wine-big"
    assert told.vm.of_leg("wine-big").memory_mib == 1024 and told.vm.of_leg("wine-big").suite == "trixie"
    assert told.vm.cache_dir == project / "cache" and told.vm.accelerator == "tcg"
    for name in VmConfig.model_fields:
        if name not in (*OF_HOST, "image", "apt_sources", "legs"):
            assert getattr(told.vm, name) == getattr(config.vm, name), name
