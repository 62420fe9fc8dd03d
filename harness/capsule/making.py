# SPDX-License-Identifier: Apache-2.0
"""A capsule from a failure of a run: what was asked, of which driver, on which kernel, and what came."""

from __future__ import annotations

import contextlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.capsule import manifest
from harness.capsule.contents import Contents
from harness.capsule.manifest import DriverPackage, Kernel, Manifest, Origin, Role
from harness.capsule.opened import PACKAGE, SCENARIO, TARGET
from harness.capsule.recorded import put
from harness.capsule.scenario_text import render
from harness.capsule.seen import Seen
from harness.errors import UsageError
from harness.language.scenario_file import load_located

if TYPE_CHECKING:
    from drivers.package import Package
    from harness.guests.package import LoadedTarget
    from harness.language.model import Target
    from harness.language.model.scenario import Scenario

RESULT = "result.jsonl"
#: Of the record of a run, what a capsule keeps: no command lines, no paths, no names of machines.
_OF_THE_RUN = ("kind", "schema", "id", "started", "version", "guest", "target")
_OF_THE_HOST = ("libvirt", "qemu", "accelerator", "image", "build", "deployment")
_PACKAGE_KEY = re.compile(r"^package\s*=.*$", re.MULTILINE)
_BLOCK_FILE = re.compile(r"""block_file\s*=\s*(?:"([^"\n]*)"|'([^'\n]*)')""")


def make(
    seen: Seen,
    scenario: Scenario,
    target: LoadedTarget,
    package: Package,
    out: Path,
    key: Path | None = None,
    recording: Path | None = None,
) -> Manifest:
    """Writes the capsule of a failure; what its manifest says.

    Args:
        seen: the failure.
        scenario: that failed, as it was run.
        target: under test.
        package: of the target, as it was deployed.
        out: the file to write.
        key: ed25519 private key in PEM to sign it with.
        recording: folder of a recording of the failure, which goes along.

    Raises:
        UsageError: package, scenario or recording are not those of the run, or cannot be put into a capsule.
        OSError: it cannot be written.
    """
    recorded = (seen.run.get("target") or {}).get("digest")
    if recorded is not None and recorded != package.digest:
        raise UsageError(
            f"the driver package is {package.digest[:12]} now, and was {recorded[:12]} in the run",
            str(package.directory),
            "run it again, or give the package of that run by --target",
        )
    contents = Contents()
    contents.add(SCENARIO, Role.SCENARIO, render([scenario], _origin(seen)).encode())
    contents.add(TARGET, Role.TARGET, target_text(target.file, target.target).encode())
    contents.add_package(package)
    contents.add(RESULT, Role.RESULT, "".join(f"{json.dumps(r)}\n" for r in _records(seen)).encode())
    with contextlib.ExitStack() as stack:
        if recording is not None:
            stack.enter_context(put(contents, recording, scenario.id, package.digest))
        said = _manifest(seen, target, package, contents)
        contents.write(out, said, key)
    return said


def _manifest(seen: Seen, target: LoadedTarget, package: Package, contents: Contents) -> Manifest:
    recorded = any(file.role is Role.RECORDING for file in contents.files)
    return Manifest(
        schema=manifest.RECORDED if recorded else manifest.SCHEMA,
        origin=_of_run(seen),
        kernel=_kernel(seen),
        target=DriverPackage(
            name=target.target.name,
            title=target.target.title,
            hardware_id=target.target.hardware_id,
            service=target.target.service,
            digest=package.digest,
        ),
        verdict=seen.scenario["verdict"],
        reason=seen.scenario.get("reason"),
        files=contents.files,
        lacks=_lacks(seen),
    )


def scenario_of(seen: Seen, directory: Path) -> Scenario:
    """The scenario of a failure, from the file that it was run from.

    Args:
        seen: the failure.
        directory: paths of the run are relative to it.

    Raises:
        UsageError: the file is not there, is wrong, or has no such scenario, or another one by now.
    """
    name, wanted = str(seen.scenario["file"]), str(seen.scenario["id"])
    file = directory / name
    if not file.is_file():
        raise UsageError(
            "the scenario file of the run is not there", str(file), "call it where the run was called"
        )
    found = next((each.scenario for each in load_located(file) if each.scenario.id == wanted), None)
    if found is None:
        raise UsageError(
            f"there is no scenario {wanted!r} in it any more", str(file), "take the file of the run"
        )
    now = tuple(step.do for step in found.steps)
    if now[: len(seen.own_steps)] != seen.own_steps or found.title != seen.scenario["title"]:
        raise UsageError(
            f"{wanted} was changed since the run", str(file), "run it again, or take the file of the run"
        )
    return found


def target_text(file: Path, target: Target) -> str:
    """A target file as it stands in a capsule: its package lies beside it, and no other file is needed.

    Raises:
        UsageError: it cannot be written like that.
    """
    text = file.read_text(encoding="utf-8-sig")
    moved = _PACKAGE_KEY.sub(f'package = "{PACKAGE}"', text, count=1)
    moved = _BLOCK_FILE.sub(lambda found: f'block = "{_block(file, found)}"', moved)
    try:
        table = tomllib.loads(moved)
        same = type(target).model_validate(table).model_dump() == {**target.model_dump(), "package": PACKAGE}
    except ValueError:
        same = False
    if not same:
        hint = 'write package = "DIR" on a line of its own, and format blocks as block = "HEX"'
        raise UsageError("the target file cannot be put into a capsule", str(file), hint)
    return moved


def _block(file: Path, found: re.Match[str]) -> str:
    return (file.parent / (found[1] or found[2])).read_bytes().hex()


def _origin(seen: Seen) -> list[str]:
    return [
        f"From run {seen.run.get('id', '-')} of {seen.run.get('started', '-')}: {seen.scenario['verdict']}",
        str(seen.scenario.get("reason") or ""),
    ]


def _records(seen: Seen) -> Iterator[Mapping[str, Any]]:
    """The records of the failure, without what tells of the machine and the folders where it was run."""
    run = {key: value for key, value in seen.run.items() if key in _OF_THE_RUN}
    host = seen.run.get("host") or {}
    yield {**run, "host": {key: value for key, value in host.items() if key in _OF_THE_HOST}}
    if seen.environment:
        yield {key: value for key, value in seen.environment.items() if key != "host"}
    yield {**seen.scenario, "file": Path(str(seen.scenario["file"])).name}
    yield from seen.steps


def _of_run(seen: Seen) -> Origin:
    run = seen.run
    return Origin(
        kshs=str(run.get("version", "-")),
        run=str(run.get("id", "-")),
        started=str(run.get("started", "-")),
        scenario=str(seen.scenario["id"]),
    )


def _kernel(seen: Seen) -> Kernel:
    words: Mapping[str, Any] = seen.environment.get("guest") or {}
    host: Mapping[str, Any] = seen.run.get("host") or {}
    return Kernel(
        family=_text(words.get("family")),
        name=_text(words.get("kernel")),
        build=_text(words.get("kernel_build")),
        ks_sha256=_text(words.get("ks.sys sha256")),
        image=_text(host.get("image")),
        recipe=_text(seen.run.get("guest")),
        verifier=_text(words.get("verifier")),
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)[:100]


def _lacks(seen: Seen) -> list[str]:
    if (seen.run.get("options") or {}).get("drivers") is None:
        return []
    return ["class driver and client were built from other sources (--drivers): play it with these, too"]


@dataclass(frozen=True)
class RunOptions:
    """What the run was told, as far as a capsule needs it."""

    target: str | None
    guest: str | None
    drivers: Path | None
    config: Path | None


def options_of(seen: Seen) -> RunOptions:
    """From the record of a run."""
    options: Mapping[str, Any] = seen.run.get("options") or {}
    paths = {name: Path(options[name]) if options.get(name) else None for name in ("drivers", "config")}
    return RunOptions(options.get("target"), options.get("guest"), paths["drivers"], paths["config"])
