# SPDX-License-Identifier: Apache-2.0
"""A Windows guest as `kshsctl` and the documentation describe it, without Windows: its verbs, its
SetupAPI log, its Driver Verifier.  Nobody has seen a real one answer (docs/windows.md)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.guests.deploy import Kit
from harness.guests.verifier import Verifier

INF = """[Version]
Signature = "$WINDOWS NT$"
CatalogFile = avshs.cat
DriverVer = 11/22/2026,1.2.0.4
[Manufacturer]
%Maker% = Models,NTamd64
[Models.NTamd64]
%Device% = Install,Root\\KshsAvshs
[Install]
"""

#: Verb and honest answer -> exit code, answer (bytes are printed as they are), stderr; None: the honest one.
Bend = Callable[[str, dict[str, Any]], tuple[int, Any, bytes] | None]


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def kit(folder: Path, verifier: Verifier | None = None) -> Kit:
    def file(name: str, data: bytes | None = None) -> Path:
        path = folder / name
        path.write_bytes(data if data is not None else name.encode() * 10)
        return path

    build: Any = SimpleNamespace(
        agent=file("kshsctl.exe"),
        client=file("ksclient.sys"),
        refks=file("ks.sys"),
        recorder=file("kshsrec.exe"),
        digest="b1",
    )
    names = ("avshs.inf", "avshs.sys", "avshs.cat", "root.cer", "signer.cer")
    files = {name: file(name, INF.encode() if name == "avshs.inf" else None) for name in names}
    package: Any = SimpleNamespace(
        name="avshs", inf=files["avshs.inf"], sys=[files["avshs.sys"]], cat=files["avshs.cat"],
        certificates=[files["root.cer"], files["signer.cer"]], files=files, digest="p1", notes=(),
    )  # fmt: skip
    return Kit(build, package, r"Root\KshsAvshs", "avshs", verifier)


def section(title: str, *body: str, status: str = "SUCCESS") -> str:
    """As "Format of a Text Log Section" has it."""
    lines = [
        f">>>  [{title}]",
        ">>>  Section start 2026/11/23 00:10:54.123",
        *body,
        "<<<  Section end 2026/11/23 00:10:55.456",
        f"<<<  [Exit status: {status}]",
    ]
    return "\r\n".join(lines) + "\r\n\r\n"


@dataclass
class FakeWindows:
    """The guest's shell."""

    kit: Kit
    policy: dict[str, Any] = field(
        default_factory=lambda: {"test_signing": True, "secure_boot": False, "hvci": False}
    )
    bend: Bend = lambda verb, answer: None
    #: What is in the log before, and what installing the device adds.
    log: bytes = b""
    writes: bytes = b""
    keeps_log: bool = True
    #: Driver Verifier: flags; names with how often each was loaded; whether it takes volatile drivers.
    flags: int = 0
    settings: list[str] = field(default_factory=list)
    watched: dict[str, int] = field(default_factory=dict)
    takes_volatile: bool = True
    commands: list[str] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    running: dict[str, Path] = field(default_factory=dict)

    def put(self, files: dict[str, Path]) -> None:
        self.files.update(files)

    def wine(self, argv: list[str]) -> str:
        return "\0".join(argv)

    def run(self, command: Any, timeout: float | None = None) -> Any:
        assert isinstance(command, str), "no POSIX shell there"
        program, verb, *arguments = command.split("\0")
        if program == "verifier":
            self.commands.append(" ".join([program, verb, *arguments]))
            code = self.verifier(verb, arguments)
            return SimpleNamespace(exit_code=code, stdout=b"" if code != 1 else b"refused\r\n", stderr=b"")
        if verb != "setupapi-log":
            self.commands.append(verb)
        answer = self.verb(verb, arguments)
        code, said, stderr = self.bend(verb, answer) or (0, answer, b"")
        if verb == "setupapi-log" and not self.keeps_log:
            code, said = 1, {"step": "open", "error": "this guest has no log", "detail": "File not found"}
        stdout = said if isinstance(said, bytes) else json.dumps(said).encode()
        return SimpleNamespace(exit_code=code, stdout=stdout, stderr=stderr)

    def verifier(self, verb: str, arguments: list[str]) -> int:
        if verb == "/rc":
            self.settings = arguments[arguments.index("/driver") + 1 :]
            return 2
        if verb == "/volatile":
            if not self.takes_volatile:
                return 1
            self.watched.update(dict.fromkeys(arguments[1:], 0))
        return 0

    def start(self, service: str, path: Path) -> None:
        self.running[service] = path
        if path.name in self.watched:
            self.watched[path.name] += 1

    def verb(self, verb: str, arguments: list[str]) -> dict[str, Any]:
        match verb:
            case "install-cert":
                stores = [["Root", "TrustedPublisher"], ["TrustedPublisher"]]
                return {"certificates": [{"stores": found} for found in stores]}
            case "install-client":
                self.start("KsHsClient", self.kit.build.client)
            case "install-device":
                self.start("avshs", self.kit.package.sys[0])
                self.log += self.writes
            case "device":
                return {
                    "instance": r"ROOT\MEDIA\0000", "service": "avshs", "started": True, "problem": 0,
                    "problem_status": None, "inf": "oem7.inf", "version": "1.2.0.4",
                }  # fmt: skip
            case "setupapi-log":
                answer: dict[str, Any] = {
                    "length": len(self.log),
                    "head": base64.b64encode(self.log[:4]).decode(),
                }
                if arguments:
                    at = int(arguments[0])
                    answer["data"] = base64.b64encode(self.log[at : at + 32768]).decode()
                return answer
            case "info":
                return self.info()
        return {}

    def info(self) -> dict[str, Any]:
        def part(names: dict[str, int | None]) -> dict[str, Any]:
            return {
                "flags": self.flags,
                "drivers": [{"name": name, "loads": loads} for name, loads in names.items()],
            }

        on = bool(self.flags or self.settings)
        return {
            "agent": {"abi": 1, "pointer_size": 8},
            "family": "windows",
            "kernel": {"arch": "x86_64"},
            "ks": {"present": True, "ours": False, "sha256": "1"},
            "drivers": [
                {"service": service, "state": "running", "path": rf"C:\x\{path.name}", "sha256": sha(path)}
                for service, path in self.running.items()
            ],
            "client": {"loaded": "KsHsClient" in self.running},
            "verifier": {
                "flags": self.flags,
                "drivers": self.settings,
                "settings": part(dict.fromkeys(self.settings)) if on else None,
                "active": part(dict(self.watched)) if on else None,
            },
            "missing_apis": ["NtCancelIoFileEx"],
            **self.policy,
        }
