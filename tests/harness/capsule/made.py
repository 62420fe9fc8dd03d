# SPDX-License-Identifier: Apache-2.0
"""A failure, a target with a package, and capsules of them, without a guest."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from drivers.package import Package
from harness.capsule import manifest
from harness.capsule.making import make
from harness.capsule.seen import Seen, of_records
from harness.guests.package import LoadedTarget
from harness.language import target as targets
from harness.language.model.scenario import Scenario
from harness.results.record import Comparison, ScenarioResult, StepResult, scenario_records
from harness.verdict import Verdict

TARGET = """# SPDX-License-Identifier: Apache-2.0
schema = 1
name = "relay"
title = "Relay"
service = "relay"
hardware_id = 'Root\\Relay'
category = "6994AD04-93EF-11D0-A3CC-00A0C9223196"
package = "../relay package"

[format]
major = "73646976-0000-0010-8000-00AA00389B71"
sub = "e436eb7d-524f-11ce-9f53-0020af0ba770"
specifier = "05589f80-c356-11ce-bf01-00aa0055595a"
block_file = "block.bin"

[protocols]
sync = "C5E1B4F2-8D07-4C7B-9A53-2F6E01D9A7B4"

[[pin]]
id = 0
name = "source"
flow = "out"
accepts = ["sync"]
"""

SCENARIO: dict[str, Any] = {
    "id": "relay.twice",
    "title": "Two requests, the second unknown",
    "rule": "H9",
    "open": ["source"],
    "steps": [
        {"do": "handshake", "on": "source", "argument1": 7},
        {"do": "sleep", "ms": 10},
        {"do": "handshake", "on": "source", "protocol": "unknown", "note": "declined", "repeat": 8},
        {"do": "seen", "pin": "source"},
    ],
}


def scenario(**changes: Any) -> Scenario:
    return Scenario.model_validate({**SCENARIO, **changes})


def wrong(status: int = 0xC00000BB, rule: str = "H9", field: str = "answer") -> Comparison:
    return Comparison(
        field,
        "STATUS_INVALID_DEVICE_REQUEST (0xC0000010)",
        f"STATUS_NOT_SUPPORTED (0x{status:08X})",
        False,
        rule,
        got_value=status,
    )


def result(of: Scenario, *, fails: bool = True, comparison: Comparison | None = None, **numbers: Any) -> Any:
    """What running it gave: its last request fails, or all is well."""
    last = max((i for i, step in enumerate(of.steps) if step.do == "handshake"), default=-1)
    steps = [StepResult(0, "open", "setup", Verdict.PASSED)]
    for index, step in enumerate(of.steps):
        bad = fails and index == last
        block = {"numbers": {"answer": 0xC00000BB if bad else 0, "information": 0, **numbers}}
        steps.append(
            StepResult(
                index + 1,
                f"{step.do} {index}",
                step.do,
                Verdict.FAILED if bad else Verdict.PASSED,
                status_block=block if step.do == "handshake" else None,
                comparisons=(comparison or wrong(),) if bad else (),
                reason="H9: answer is wrong" if bad else None,
            )
        )
    verdict = Verdict.FAILED if fails else Verdict.PASSED
    reason = "H9: answer is wrong" if fails else None
    return ScenarioResult(
        of.id, of.title, ("H9",), verdict, "scenarios/relay.toml", reason=reason, steps=tuple(steps)
    )


def records(of: ScenarioResult, digest: str | None = None, **run: Any) -> list[dict[str, Any]]:
    return [
        {
            "kind": "run",
            "schema": 1,
            "id": "r1",
            "started": "2026-11-02T01:02:03Z",
            "version": "0.1.0",
            "command": "kshs run --out /home/somebody/secret",
            "guest": "wine",
            "target": {"name": "relay", "digest": digest},
            "host": {"machine": "Linux somebody", "image": "ab" * 32},
            "options": {},
            **run,
        },
        {
            "kind": "environment",
            "guest": {"family": "wine", "kernel": "Wine 8.0 as NT 6.1.7601", "kernel_build": "7601"},
            "info": {},
            "host": {"machine": "Linux somebody"},
        },
        *scenario_records(of, order=0, worker="gw0"),
    ]


def failure(**changes: Any) -> Seen:
    return of_records(records(result(scenario(**changes))), "test")


def loaded_target(folder: Path) -> LoadedTarget:
    """A target file with a format block in a file, and its package elsewhere."""
    (folder / "relay package").mkdir(parents=True)
    (folder / "target").mkdir()
    file = folder / "target/relay.toml"
    file.write_text(TARGET, encoding="utf-8")
    (folder / "target/block.bin").write_bytes(bytes(range(88)))
    return LoadedTarget(targets.load(file), file)


def package(folder: Path) -> Package:
    """Its package: files as they are deployed, one of them in a folder."""
    files = {}
    for name in ("relay.inf", "relay.sys", "relay.cat", "amd64\\data.bin"):
        path = folder / "relay package" / name.replace("\\", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode() * 10)
        files[name] = path
    certificate = folder / "relay package/root.cer"
    certificate.write_bytes(b"certificate")
    found = SimpleNamespace(
        files=files, certificates=[certificate], digest="c" * 64, directory=folder / "relay package"
    )
    return cast("Package", found)


def capsule(folder: Path, *, key: Path | None = None, seen: Seen | None = None) -> Path:
    """A capsule of the failure."""
    target = loaded_target(folder)
    out = folder / "relay.capsule"
    make(seen or failure(), scenario(), target, package(folder), out, key)
    return out


def plain_manifest(**files: bytes) -> dict[str, bytes]:
    """Members of a capsule with these files and a manifest that fits them."""
    from harness.capsule.archive import digest

    said = {
        "schema": manifest.SCHEMA,
        "kind": "kshs capsule",
        "origin": {"kshs": "0", "run": "r", "started": "-", "scenario": "a.b"},
        "kernel": {},
        "target": {"name": "relay"},
        "verdict": "failed",
        "reason": None,
        "files": [
            {"name": name, "role": "evidence", "size": len(data), "sha256": digest(data)}
            for name, data in files.items()
        ],
        "lacks": [],
    }
    return {manifest.NAME: json.dumps(said).encode(), **files}
