# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import DeployError, UsageError
from harness.guests.deploy import DIRECTORY, Kit, check_imports, deploy

INF = r"""
[Version]
Signature = "$WINDOWS NT$"
[Manufacturer]
%Maker% = Models,NTamd64
[Models.NTamd64]
%Device% = Install,Root\KshsAvshs
[Install]
CopyFiles = @avshs.sys
[SourceDisksNames]
1 = "disk"
[SourceDisksFiles]
avshs.sys = 1
"""


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    def file(name: str, data: bytes | None = None) -> Path:
        path = tmp_path / name
        path.write_bytes(data if data is not None else name.encode() * 10)
        return path

    build: Any = SimpleNamespace(
        agent=file("kshsctl.exe"), client=file("ksclient.sys"), refks=file("ks.sys"),
        recorder=file("kshsrec.exe"), digest="b1",
        avshs=SimpleNamespace(directory=tmp_path),
    )  # fmt: skip
    names = ("avshs.inf", "avshs.sys", "avshs.cat", "root.cer", "data/avshs.bin")
    (tmp_path / "data").mkdir()
    files = {name.replace("/", "\\"): file(name, INF.encode() if ".inf" in name else None) for name in names}
    package: Any = SimpleNamespace(
        name="avshs", directory=tmp_path, inf=files["avshs.inf"], sys=[files["avshs.sys"]],
        cat=files["avshs.cat"], certificates=[files["root.cer"]], files=files, digest="p1", notes=(),
    )  # fmt: skip
    return Kit(build, package, r"Root\KshsAvshs", "avshs")


@dataclass
class FakeShell:
    """A guest that does what kshsctl says it did."""

    kit: Kit
    ks: dict[str, Any] = field(default_factory=lambda: {"present": False})
    family: str = "wine"
    bend: Callable[[str, dict[str, Any]], tuple[int, Any, bytes] | None] = lambda verb, answer: None
    verbs: list[str] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    drivers: list[dict[str, Any]] = field(default_factory=list)
    client: bool = False
    missing: list[str] = field(default_factory=list)
    version: dict[str, Any] | None = None

    def put(self, files: dict[str, Path]) -> None:
        self.files.update(files)

    def wine(self, argv: list[str]) -> str:
        return "\0".join(argv)

    def run(self, command: Any, timeout: float | None = None) -> Any:
        if not isinstance(command, str):
            self.verbs.append("sh")
            answer: Any = {}
            verb = "sh"
        else:
            _, verb, *arguments = command.split("\0")
            self.verbs.append(verb)
            answer = self.verb(verb, arguments)
        bent = self.bend(verb, answer)
        code, said, stderr = bent or (0, answer, b"")
        stdout = said if isinstance(said, bytes) else json.dumps(said).encode()
        return SimpleNamespace(exit_code=code, stdout=stdout, stderr=stderr)

    def verb(self, verb: str, arguments: list[str]) -> dict[str, Any]:
        if verb == "install-ks":
            self.ks = {"present": True, "ours": True, "sha256": sha(self.kit.build.refks)}
        elif verb == "install-client":
            self.client = True
            self.drivers.append(self.driver("KsHsClient", self.kit.build.client))
        elif verb == "install-device":
            self.drivers.append(self.driver("avshs", self.kit.package.sys[0]))
        elif verb == "info":
            return {
                "agent": {"abi": 1, "pointer_size": 8}, "family": self.family,
                "kernel": {"arch": "x86_64"}, "wine": self.version, "ks": self.ks, "drivers": self.drivers,
                "client": {"loaded": self.client}, "missing_apis": self.missing,
            }  # fmt: skip
        return {}

    @staticmethod
    def driver(service: str, path: Path) -> dict[str, Any]:
        return {"service": service, "state": "running", "sha256": sha(path)}


def run(shell: FakeShell) -> dict[str, Any]:
    return deploy(shell, shell.kit)  # type: ignore[arg-type]


def test_a_wine_guest_gets_everything_in_order(kit: Kit) -> None:
    shell = FakeShell(kit)
    info = run(shell)
    assert shell.verbs == [
        "info", "install-ks", "install-crash-recorder", "install-cert", "sh", "install-client",
        "install-device", "ping", "info", "sh", "sh",
    ]  # fmt: skip
    assert shell.files[rf"{DIRECTORY}\target\avshs.sys"] == kit.package.sys[0]
    assert shell.files[rf"{DIRECTORY}\target\data\avshs.bin"].name == "avshs.bin"
    assert shell.files[rf"{DIRECTORY}\kshsrec.exe"] == kit.build.recorder
    assert info["client"]["loaded"]


def bend_verb(verb: str, code: int, answer: Any, stderr: bytes = b"") -> Any:
    return lambda seen, honest: (code, answer, stderr) if seen == verb else None


@pytest.mark.parametrize(
    ("bend", "says"),
    [
        (
            bend_verb("install-device", 1, {"step": "update", "error": 0xE000022F, "detail": "no catalogue"}),
            r"deploy: install-device, exit code 1: update 3758096943 no catalogue",
        ),
        (
            bend_verb("install-client", 1, b"", b"first\nservice: access denied\n"),
            r"install-client, exit code 1: failed; its last words: first \| service: access denied",
        ),
        (bend_verb("install-device", 3010, {"reboot": True}), "install-device, exit code 3010: .*reboot"),
        (bend_verb("install-device", 0, {"reboot": True}), "install-device: .*reboot"),
        (bend_verb("ping", 0, b"wine: nothing"), "ping: its output is not one JSON object"),
        (bend_verb("sh", 1, b"", b"sh: no fifo"), "the guest's shell failed.*no fifo"),
        (bend_verb("info", 0, {"agent": {"pointer_size": 4}}), "pointers of 4 bytes; avshs is for x86_64"),
    ],
)
def test_the_step_that_fails_is_named_with_its_code_and_last_words(kit: Kit, bend: Any, says: str) -> None:
    with pytest.raises(DeployError, match=says):
        run(FakeShell(kit, bend=bend))


def change(**more: Any) -> Any:
    def bend(verb: str, honest: dict[str, Any]) -> Any:
        if verb != "info" or not honest["drivers"]:
            return None
        if "driver" in more:
            honest = {
                **honest,
                "drivers": [{**honest["drivers"][-1], **more["driver"]}, honest["drivers"][0]],
            }
        return 0, {**honest, **{k: v for k, v in more.items() if k != "driver"}}, b""

    return bend


@pytest.mark.parametrize(
    ("bend", "says"),
    [
        (change(driver={"sha256": "00" * 32}), "another avshs.sys than was sent"),
        (change(driver={"state": "stopped"}), "service avshs is stopped"),
        (change(drivers=[{"service": "x"}]), "does not list the service KsHsClient"),
        (change(client={"loaded": False}), "the client is not loaded"),
        (change(ks={"present": True, "ours": True, "sha256": "no"}), "another reference ks.sys"),
        (change(ks={"present": False}), "the guest has no ks.sys"),
    ],
)
def test_what_the_guest_has_must_be_what_was_sent(kit: Kit, bend: Any, says: str) -> None:
    with pytest.raises(DeployError, match=says):
        run(FakeShell(kit, bend=bend))


def test_calls_that_a_kernel_lacks_and_nobody_needs_are_no_reason(kit: Kit) -> None:
    run(FakeShell(kit, missing=["NtCancelIoFileEx", "NtCancelSynchronousIoFile"]))


def test_a_foreign_ks_in_wine_is_refused(kit: Kit) -> None:
    with pytest.raises(DeployError, match=r"ks\.sys that is not ours"):
        run(FakeShell(kit, ks={"present": True, "ours": False}))


def test_the_digest_follows_everything_that_goes_in(kit: Kit) -> None:
    other: Any = SimpleNamespace(**{**vars(kit.package), "digest": "p2"})
    digests = {
        kit.digest,
        Kit(kit.build, other, kit.hardware_id, kit.service).digest,
        Kit(kit.build, kit.package, r"Root\Other", kit.service).digest,
    }
    assert len(digests) == 3
    assert kit.digest == Kit(kit.build, kit.package, kit.hardware_id, kit.service).digest


def test_a_driver_that_wine_cannot_load_is_refused_before_it_is_deployed(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    from drivers import imports

    asked = [("ntoskrnl.exe", "IoCompleteRequest"), ("ks.sys", "KsNoSuchThing")]
    monkeypatch.setattr(imports, "imports", lambda pe: asked)
    monkeypatch.setattr(imports, "exports_of", lambda pe: imports.Exports(frozenset({"KsPinHandshake"})))
    foreign: Any = SimpleNamespace(directory=Path("/theirs"), sys=[Path("/theirs/theirs.sys")])
    ours: Any = SimpleNamespace(directory=Path("/ours"), sys=[])
    build: Any = SimpleNamespace(refks=Path("/ours/ks.sys"), avshs=ours)
    with pytest.raises(UsageError, match=r"theirs\.sys imports KsNoSuchThing from ks\.sys") as caught:
        check_imports(build, foreign)
    assert "\n" not in str(caught.value)
    assert "IoCompleteRequest" not in str(caught.value)
    check_imports(build, ours)


def test_the_guests_own_wine_judges_the_imports(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image's version may not be known before; the guest's is, and it may be the older one."""
    from drivers import import_rewrite, imports

    monkeypatch.setattr(imports, "imports", lambda pe: [("ntoskrnl.exe", "IoReportTargetDeviceChange")])
    monkeypatch.setattr(imports, "exports_of", lambda pe: imports.Exports(frozenset()))
    foreign: Any = SimpleNamespace(directory=Path("/theirs"), sys=[Path("/theirs/theirs.sys")])
    build: Any = SimpleNamespace(refks=Path("/ours/ks.sys"), avshs=SimpleNamespace(directory=Path("/ours")))
    check_imports(build, foreign)
    check_imports(build, foreign, "10.0")
    with pytest.raises(
        UsageError, match=r"imports IoReportTargetDeviceChange from ntoskrnl.exe: Wine has only a stub"
    ):
        check_imports(build, foreign, "8.0")

    as_it_is = lambda driver, offered: import_rewrite.Rewritten(driver.name, driver.read_bytes(), ())  # noqa: E731
    monkeypatch.setattr(import_rewrite, "rewrite", as_it_is)
    kit.build.avshs.directory = Path("/ours")  # type: ignore[attr-defined, misc]
    for version, refused in (("8.0", True), ("10.0", False)):
        shell = FakeShell(kit, version={"version": version})
        if refused:
            with pytest.raises(UsageError, match="IoReportTargetDeviceChange"):
                run(shell)
            assert shell.verbs == ["info"]
        else:
            run(shell)


@pytest.mark.parametrize(
    "odd",
    [
        {"drivers": [7, None, {"service": ["avshs"]}]},
        {"drivers": "avshs"},
        {"ks": "present"},
        {"ks": ["present"]},
        {"client": "loaded"},
        {"agent": 8},
        {"kernel": "NT", "agent": None},
    ],
    ids=str,
)
def test_a_guest_that_says_odd_things_of_itself_is_refused_in_one_line(kit: Kit, odd: dict[str, Any]) -> None:
    shell = FakeShell(kit)
    shell.bend = lambda verb, answer: (0, {**answer, **odd}, b"") if verb == "info" else None
    with pytest.raises(DeployError) as caught:
        run(shell)
    assert len(str(caught.value).splitlines()) == 1
