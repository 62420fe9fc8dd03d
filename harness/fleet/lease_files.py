# SPDX-License-Identifier: Apache-2.0
"""What a lease runs with: its command line and its settings, from what came with it and what the host is."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.language.scenario_file import CATALOGUE
from harness.language.toml_literal import literal
from vm.config import VmConfig

#: Settings of [vm] that belong to the host which runs a lease; all others come with the lease.
OF_HOST = ("uri", "cache_dir", "runtime_dir", "accelerator", "qemu")
#: How kshs is called.
KSHS = (sys.executable, "-m", "harness.cli")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Item(BaseModel):
    """One item: `catalogue` ones lie in the shipped catalogue, others in what came with the lease."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: Literal["catalogue", "inputs"]
    file: str
    name: str


class LeaseOrder(BaseModel):
    """A lease as it is sent; digests name all that it runs.

    `image` is the sealed image's, `image_tree`, `build` and `inputs` those of trees
    (`harness.fleet.content`); an image of None: the guests are not ours (`pytest_kshs_provider`).
    `directory` is where the run was called, and `target` the target's file, both below the inputs; a target
    that is no path is a name.  `settings` are tables of kshs.toml.  `silence_s`: when
    who sent it gives it up, so that nobody runs it any more by then.  `cores`, `memory_mib` and `alone` are
    those of `harness.fleet.shards.Needs`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    night: str = Field(pattern=r"^[0-9a-f]{12}$")
    shard: str
    guest: str
    image: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    image_tree: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    build: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    inputs: str = Field(pattern=r"^[0-9a-f]{64}$")
    directory: str
    target: str
    target_is_file: bool
    items: tuple[Item, ...] = Field(min_length=1)
    settings: dict[str, Any]
    silence_s: float | None = Field(default=None, gt=0)
    cores: int = Field(default=1, ge=1)
    memory_mib: int = Field(default=0, ge=0)
    alone: bool = False


def settings_text(order: LeaseOrder, host: VmConfig, work: Path, build: Path | None) -> str:
    """The lease's kshs.toml."""
    vm = {**order.settings.get("vm", {}), **_of_host(host)}
    if order.image is not None:
        vm["image"] = order.image
    run = {"guest": order.guest, "target": target_of(order, work)}
    if build is not None:
        run["build"] = str(build)
    tables = {**order.settings, "vm": vm, "run": run}
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in tables.items() if value)


def command(order: LeaseOrder, config: Path, work: Path, out: Path) -> list[str]:
    """Words of kshs: ``run`` of the lease's items, each by its node id."""
    nodes = [f"{_root(order, item, work) / item.file}::{item.name}" for item in order.items]
    words = ["run", *nodes, "--guest", order.guest, "--target", target_of(order, work)]
    # The night's report is made where all of its shards are.
    words += ["--config", str(config), "--out", str(out), "--", "-p", "no:cacheprovider", "--kshs-no-report"]
    return words


def target_of(order: LeaseOrder, work: Path) -> str:
    """As ``--target`` takes it."""
    return str(work / order.target) if order.target_is_file else order.target


def _root(order: LeaseOrder, item: Item, work: Path) -> Path:
    return CATALOGUE if item.root == "catalogue" else work


def _of_host(host: VmConfig) -> dict[str, Any]:
    return {name: str(getattr(host, name)) for name in OF_HOST}


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)


def _value(value: Any) -> str:
    """As `literal`, but for numbers with a point, keys that are not bare, and what is not said."""
    if isinstance(value, float):
        return repr(value) if value == value and abs(value) != float("inf") else "inf"
    if isinstance(value, Mapping):
        items = {key: item for key, item in value.items() if item is not None}
        return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in items.items()) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return literal(value)
