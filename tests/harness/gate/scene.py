# SPDX-License-Identifier: Apache-2.0
"""Two signed packages, runs of both, a self-test, keys and a policy: a yes until something is changed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

import drivers.package
from drivers import catalogue, signing
from harness.gate import keys, policy, statement, stating
from harness.gate.deciding import decide, left_open
from harness.gate.facts import Asked
from harness.gate.keys import Trusted
from harness.gate.policy import LoadedPolicy
from harness.gate.verdict import GateVerdict
from harness.gate.waivers import ENDING, Waiver, write
from harness.language.scenario_file import load as load_scenarios
from harness.nights.known_file import KnownFile
from harness.results import seal
from harness.store.database import Store
from harness.store.importing import Importer
from harness.store.selftests import take as take_selftest
from tests.drivers.pe import driver_image
from tests.harness.nights.folders import Case, Results

#: Later than whatever is imported while the tests run: a session of all tests takes most of an hour.
NOW = (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0)
#: A real clock's time, behind every file.
LATER = NOW + timedelta(hours=1)
INF = r"""
[Version]
Signature = "$WINDOWS NT$"
Class = Media
ClassGuid = {4d36e96c-e325-11ce-bfc1-08002be10318}
Provider = %Name%
CatalogFile = relay.cat
DriverVer = 01/01/2026,2.0.0.0
[SourceDisksNames]
1 = %Name%
[SourceDisksFiles]
relay.sys = 1
[DestinationDirs]
Relay.CopyFiles = 13
[Manufacturer]
%Name% = Models, NTamd64
[Models.NTamd64]
%Name% = Relay, Root\Relay
[Relay.NTamd64]
CopyFiles = Relay.CopyFiles
[Relay.CopyFiles]
relay.sys
[Relay.NTamd64.Services]
AddService = relay, 2, Relay.Service
[Relay.Service]
ServiceType = 1
StartType = 3
ErrorControl = 1
ServiceBinary = %13%\relay.sys
[Strings]
Name = "Relay"
"""
SCENARIOS = """
schema = 1

[[scenario]]
id = "relay.one"
title = "One"
rule = "H6"
open = ["source"]
steps = [{ do = "handshake", on = "source" }]

[[scenario]]
id = "relay.two"
title = "Two"
rule = "H4"
open = ["source"]
steps = [{ do = "handshake", on = "source", in_length = "size-1" }]

[[scenario]]
id = "relay.three"
title = "Three"
rule = "H6"
open = ["source"]
steps = [{ do = "handshake", on = "source", argument1 = 7 }]
"""
POLICY = """
schema = 1
name = "relay"

[target]
name = "relay"
hardware_id = 'Root\\Relay'
beside = ["*.pdb"]

[released]
package = "released"
run = "released"

[[require]]
name = "embedded"
guest = "wine"
kernel_builds = ["7601"]
repeats = 2

[require.suite]
paths = ["scenarios/basic.toml"]

[flakes]
suite = 0.7

[[signer]]
name = "ana"
key = "ana.pub"
may = ["waive", "release"]

[[signer]]
name = "bo"
key = "bo.pub"
may = ["second"]
"""
NAMES = ("relay.one", "relay.two", "relay.three")
#: A failure, as a run has it.
WRONG = {"verdict": "failed", "reason": "H6: answer is STATUS_SUCCESS (0x00000000), expected another"}


@cache
def prepared(folder: Path) -> tuple[Path, Path, Path]:
    """A candidate and a released package, signed, and an empty store; for all tests of a process."""
    signer = signing.identity(folder / "identity")
    made = []
    for name, data in (("candidate", b"new"), ("released", b"old")):
        place = folder / name
        place.mkdir()
        (place / "relay.inf").write_text(INF.strip() + "\n")
        (place / "relay.sys").write_bytes(driver_image({"ks.sys": ["KsInitializeDriver"]}, data))
        catalogue.make(place, signer)
        made.append(place)
    Store(str(folder / "store.db"), make=True).close()
    return made[0], made[1], folder / "store.db"


@dataclass(frozen=True)
class Run(Results):
    """A run of one of the packages; `hours` ago, on an image that was `image_days` old."""

    hours: float = 5
    image_days: float | None = 3
    image_expires: datetime | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    sealed: bool = True
    incident: bool = False

    @property
    def begun_at(self) -> datetime:
        """When it was begun."""
        return NOW - timedelta(hours=self.hours)

    def records(self) -> list[dict[str, Any]]:
        """All lines."""
        head, environment, *rest = super().records()
        head["started"] = f"{self.begun_at:%Y-%m-%dT%H:%M:%SZ}"
        head["target"] |= {"hardware_id": r"Root\Relay"}
        if self.files:
            head["target"]["files"] = dict(self.files)
        host = head["host"]
        if self.image_days is not None:
            host["image_made"] = (self.begun_at - timedelta(days=self.image_days)).isoformat()
        if self.image_expires is not None:
            host["image_expires"] = self.image_expires.isoformat()
        return [head, {**environment, "host": host}, *rest]

    def write(self, folder: Path) -> Path:
        """Into a folder of its own below this one, sealed as `kshs run` does it."""
        made = super().write(folder)
        kept = made / "incidents" / self.name
        if self.incident:
            (kept / "one").mkdir(parents=True, exist_ok=True)
            (kept / "one" / "incident.json").write_text("{}")
        if self.sealed:
            seal.write(made, self.name, kept)
        return made


class Scene:
    """All that the gate looks at, in one folder."""

    def __init__(self, folder: Path, made: tuple[Path, Path, Path]) -> None:
        self.folder = folder
        self.candidate = Path(shutil.copytree(made[0], folder / "candidate"))
        self.released = Path(shutil.copytree(made[1], folder / "released"))
        (folder / "scenarios").mkdir()
        self.suite = folder / "scenarios" / "basic.toml"
        self.suite.write_text(SCENARIOS)
        for name in ("ana", "bo", "eve"):
            self.make_key(name)
        self.policy = POLICY
        digests = [drivers.package.load(one) for one in made[:2]]
        mine, before = ({"package": one.digest, "files": one.digests} for one in digests)
        self.runs: dict[str, Run] = {
            "old1": self.run("old1", hours=9, **before),
            "old2": self.run("old2", hours=8, **before),
            "new1": self.run("new1", hours=6, **mine),
            "new2": self.run("new2", hours=5, **mine),
        }
        self.selftest: dict[str, Any] | None = {
            "version": "0.1.0",
            "guest": "wine",
            "started": f"{NOW - timedelta(hours=7):%Y-%m-%dT%H:%M:%SZ}",
            "selected": "all",
            "host": {"image": "f" * 64, "build": "d" * 64},
            "ok": True,
            "cases": [
                {"name": name, "expected": ["crashed"], "verdict": "crashed", "problems": [], "ok": True}
                for name in ("one", "two")
            ],
        }
        self.selftest_folder = "selftest"
        self.known: list[KnownFile] = []
        self.behind: dict[str, Callable[[Path], None]] = {}
        """What becomes of a run's folder before it is imported."""
        self.touched: dict[Path, datetime] = {}
        self.now = NOW
        shutil.copy(made[2], folder / "store.db")
        self.store = Store(str(folder / "store.db"))

    def run(self, name: str, **changes: Any) -> Run:
        """A run in which all passed."""
        return Run(id=name, cases=self.cases(), **changes)

    def cases(self, **wrong: Mapping[str, Any]) -> Sequence[Case]:
        """The suite's scenarios; by the last word of its id what one has otherwise than that it passed."""
        contents = {one.id: one.content for one in load_scenarios(self.suite)}
        return [
            replace(
                Case(name, content=contents.get(name), file="scenarios/basic.toml"),
                **wrong.get(name.partition(".")[2], {}),
            )
            for name in NAMES
        ]

    def change(self, *names: str, **changes: Any) -> None:
        """Changes runs, all of the candidate's by default."""
        for name in names or ("new1", "new2"):
            self.runs[name] = replace(self.runs[name], **changes)

    def fail(self, *names: str, **wrong: Mapping[str, Any]) -> None:
        """Makes scenarios of runs other than passed."""
        self.change(*names, cases=self.cases(**wrong))

    def edit(self, old: str, new: str) -> None:
        """Changes the policy."""
        assert old in self.policy
        self.policy = self.policy.replace(old, new)

    def make_key(self, name: str) -> None:
        """A private and a public key."""
        made = Ed25519PrivateKey.generate()
        secret = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.folder / f"{name}.key").write_bytes(secret)
        public = made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (self.folder / f"{name}.pub").write_bytes(public)

    def results(self, name: str) -> Path:
        """Where a run has left its results."""
        return self.folder / "out" / name

    def take(self) -> None:
        """Writes all of it, and takes it into the store."""
        importer = Importer(self.store)
        for name, run in self.runs.items():
            folder = run.write(self.folder / "out")
            self.behind.get(name, lambda folder: None)(folder)
            importer.take(folder)
        if self.selftest is not None:
            place = self.folder / "out" / self.selftest_folder
            place.mkdir(parents=True)
            (place / "selftest.json").write_text(json.dumps(self.selftest))
            take_selftest(self.store, place)

    def loaded(self) -> LoadedPolicy:
        """The policy, from its file."""
        (self.folder / "gate.toml").write_text(self.policy)
        return policy.load(self.folder / "gate.toml")

    def trusted(self) -> list[Trusted]:
        """Its signers."""
        return keys.of_policy(self.loaded())

    def asked(self) -> Asked:
        """What is asked of the gate."""
        return Asked(self.loaded(), self.candidate, self.now, self.known, touched=self.touched)

    def judge(self) -> GateVerdict:
        """What the gate says."""
        with self.store.reading() as connection:
            return decide(connection, self.asked())

    def waive(
        self,
        scenario: str = "relay.two",
        *,
        by: str = "ana",
        signer: str | None = None,
        file: str = "one",
        second: str | None = None,
        change: Callable[[Waiver], Waiver] = lambda waiver: waiver,
        **changes: Any,
    ) -> Path:
        """A waiver for what is open of a scenario, as ``kshs waiver add`` makes it, or changed."""
        with self.store.reading() as connection:
            _, looked = left_open(connection, self.asked())
        failures = [*looked.waived.open, *(one for one, _ in looked.waived.covered)]
        failure = next(one for one in failures if one.key.endswith(scenario) and one.identity)
        conditions = failure.conditions
        made = Waiver(
            **{
                "schema": 1,
                "id": file,
                "made": NOW - timedelta(hours=1),
                "expires": (NOW + timedelta(days=20)).date(),
                "owner": by,
                "why": "it is meant",
                "target": conditions.target,
                "package": conditions.package,
                "guest": conditions.recipe,
                "scenario": failure.key,
                "what": failure.what,
                "reason": failure.reason,
                "signature": failure.signature,
                "failure": failure.identity,
                **changes,
            }
        )
        folder = self.folder / "waivers"
        folder.mkdir(exist_ok=True)
        path = folder / f"{file}{ENDING}"
        path.write_bytes(write(change(made), keys.signer(str(self.folder / f"{signer or by}.key"))))
        if second is not None:
            self.sign_again(path, second)
        return path

    def sign_again(self, path: Path, name: str) -> None:
        """One more signature on a waiver."""
        from harness.gate import waivers

        found = waivers.load(path, self.trusted(), NOW, 90)
        path.write_bytes(waivers.sign_again(found, keys.signer(str(self.folder / f"{name}.key"))))

    def state(self, path: Path | None = None, by: str = "ana") -> Path:
        """The statement of a yes, signed."""
        path = path or self.folder / "statement.json"
        said = stating.statement_of(self.judge(), "0.1.0")
        path.write_bytes(statement.signed(said, keys.signer(str(self.folder / f"{by}.key"))))
        return path


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
