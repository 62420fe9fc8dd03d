# SPDX-License-Identifier: Apache-2.0
"""Hosts of threads and memory: each lease does what a test says, and hosts fall silent when it says so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.fleet.cells import CellItem, SentCell
from harness.fleet.hosts import HostFacts, Taken
from harness.fleet.lease_files import Item
from harness.fleet.links import LostError
from harness.fleet.shards import Needs
from tests.harness.nights.folders import Case, Results

IMAGE, BUILD, PACKAGE = "f" * 64, "d" * 64, "1" * 64
FILE = "scenarios/many.toml"
#: Of the package that hosts deploy.
FILES = {"relay.sys": "9" * 64}


@dataclass
class Said:
    """What a lease leaves: the verdict of each of its items by name, and how its run ended.

    `never`: it does not end; of its items those that have a verdict have ended by then.
    """

    verdicts: Mapping[str, str] = field(default_factory=dict)
    code: int = 0
    problem: str | None = None
    error: str | None = None
    said: str = ""
    image: str = IMAGE
    package: str = PACKAGE
    no_results: bool = False
    never: bool = False
    cancelled: str | None = None


Script = Callable[["ScriptedHost", Mapping[str, Any]], Said]


def passes(_host: ScriptedHost, order: Mapping[str, Any]) -> Said:
    return Said({item["name"]: "passed" for item in order["items"]})


@dataclass
class ScriptedHost:
    name: str
    folder: Path
    script: Script = passes
    cores: int = 2
    silent: bool = False
    session: str = "0" * 12
    quarantined: str | None = None
    draining: bool = False
    code: str = "c"
    leases: dict[str, tuple[Mapping[str, Any], Said]] = field(default_factory=dict)
    others: int = 0
    full: bool = False
    faster: int = 0
    """Leases of another night that come a moment before the first of ours, where the host is full."""
    earlier: dict[str, tuple[Mapping[str, Any], Said]] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)

    def facts(self) -> HostFacts:
        return HostFacts(
            name=self.name,
            session=self.session,
            accelerator="tcg",
            cores=self.cores,
            memory_mib=16_000,
            disk_mib=100_000,
            images=[IMAGE],
            code=self.code,
            version="0",
            uri="",
            quarantined=self.quarantined,
            draining=self.draining,
            at_work=[
                Taken(lease=f"other-{n}", cores=1, memory_mib=1000, guest="wine") for n in range(self.others)
            ],
        )

    def restart(self) -> None:
        """Killed, and at once started anew: it carries nothing of what it had."""
        self.session = f"{int(self.session, 16) + 1:012x}"
        self.earlier |= self.leases
        self.leases = {}

    def begin(self, order: Mapping[str, Any]) -> None:
        if self.full:  # dask keeps it until there is room
            self.others = max(self.others, self.faster)
            return
        assert order["id"] not in self.leases, "a lease is carried once"
        self.end(order, self.script(self, order))

    def end(self, order: Mapping[str, Any], said: Said) -> None:
        """What has come of a lease by now."""
        self.leases[order["id"]] = (order, said)
        if not said.no_results:
            cases = [Case(name, verdict, file=FILE) for name, verdict in said.verdicts.items()]
            run = Results(id=order["id"], cases=cases, image=said.image, package=said.package)
            records = run.but(problem=said.problem).write(self.folder) / "results.jsonl"
            deployed = f'"kind": "environment", "target_files": {json.dumps(FILES)}'
            records.write_text(records.read_text().replace('"kind": "environment"', deployed))

    def files(self, lease: str) -> list[list[Any]]:
        path = self.folder / lease / "results.jsonl"
        if not path.exists():
            return []
        data = path.read_bytes()
        return [["results.jsonl", len(data), hashlib.sha256(data).hexdigest()]]

    def events(self, lease: str) -> list[dict[str, Any]]:
        order, said = (self.earlier | self.leases)[lease]
        found: list[dict[str, Any]] = []
        for item in order["items"]:
            told = {"id": item["name"], "file": FILE}
            found.append({"kind": "begun", **told})
            if item["name"] in said.verdicts:
                verdict = said.verdicts[item["name"]]
                found.append({"kind": "scenario", **told, "verdict": verdict, "reason": "H4: wrong"})
        return found

    def renew(self, leases: Mapping[str, int], hold: float) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for lease, since in leases.items():
            if lease not in self.leases:
                told[lease] = {"known": False, "session": self.session, "busy": self.others}
                continue
            _, said = self.leases[lease]
            result = None
            if not said.never:
                result = {
                    "code": said.code, "error": said.error, "cancelled": said.cancelled, "seconds": 1.0,
                    "files": self.files(lease), "said": said.said,
                }  # fmt: skip
            told[lease] = {"known": True, "events": self.events(lease)[since:], "result": result}
        return told

    def read(self, lease: str, name: str, number: int) -> bytes:
        assert number == 0
        return (self.folder / lease / name).read_bytes()

    def drop(self, lease: str) -> None:
        self.dropped.append(lease)

    def leftovers(self, night: str) -> dict[str, Any]:
        return {
            lease: self.events(lease)
            for lease, (order, _) in (self.earlier | self.leases).items()
            if order["night"] == night and lease not in self.dropped
        }

    def quarantine(self, reason: str | None) -> None:
        self.quarantined = reason

    def has(self, digest: str) -> bool:
        return True

    def cancel(self, lease: str, why: str) -> None:
        pass


class ScriptedLinks:
    """`harness.fleet.links.Links` to such hosts."""

    def __init__(self, hosts: Sequence[ScriptedHost]) -> None:
        self.all = {host.name: host for host in hosts}

    async def hosts(self) -> Mapping[str, HostFacts]:
        return {name: host.facts() for name, host in self.all.items() if not host.silent}

    async def call(self, host: str, function: Callable[..., Any], *arguments: Any) -> Any:
        one = self.all[host]
        if one.silent:
            raise LostError(f"{host} does not answer")
        return getattr(one, function.__name__)(*arguments)

    async def begin(self, host: str, order: Mapping[str, Any], needs: Needs) -> None:
        if self.all[host].silent:
            raise LostError(f"{host} does not answer")
        self.all[host].begin(order)

    async def forget(self, lease: str) -> None:
        pass


def cell(folder: Path, names: Sequence[str], name: str = "c", **expects: str) -> SentCell:
    items = []
    for order, one in enumerate(names):
        begun = {
            "id": one, "title": one, "rules": ["H4"], "file": FILE, "line": 1, "tags": [], "order": order,
            "worker": "", "content": "c1",
        }  # fmt: skip
        item = Item(root="inputs", file=f"fs/home/x/{FILE}", name=one)
        items.append(CellItem(f"{FILE}::{one}", item, begun, 1.0))
    (folder / name).mkdir(parents=True, exist_ok=True)
    order_ = {"guest": "wine", "inputs": "a" * 64, "directory": "fs", "target": "t", "target_is_file": False}
    head = {"id": "0" * 12, "target": {"name": "t"}, "guest": "wine", "command": "kshs run", "options": {}}
    needs = Needs("wine", IMAGE, 1000)
    order_ |= {"settings": {}, "image": IMAGE}
    return SentCell(name, folder / name, needs, tuple(items), (), order_, expects, head)
