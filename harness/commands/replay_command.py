# SPDX-License-Identifier: Apache-2.0
"""``kshs replay``: a recorded failure, instruction by instruction (docs/field-bugs.md, "Exact replay")."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness import config as settings
from harness.capsule import recording as recordings
from harness.commands.exit_codes import DONE, INFRASTRUCTURE
from harness.commands.options import ConfigOption, console
from harness.errors import UsageError
from harness.guest_text import one_line
from harness.progress import Progress

if TYPE_CHECKING:
    from harness.capsule.recording import Recording
    from harness.replay.proving import Proof
    from vm.config import VmConfig


def replay(
    recording: Annotated[
        Path,
        typer.Argument(
            metavar="RECORDING",
            help="Folder of a recording, of an incident or of a run that was recorded; or a capsule.",
        ),
    ],
    times: Annotated[
        int, typer.Option("--times", min=1, max=1000, metavar="N", help="How often it is replayed.")
    ] = 1,
    gdb: Annotated[
        bool, typer.Option("--gdb", help="Wait for a gdb instead, which can go backwards; say how to begin.")
    ] = False,
    at: Annotated[
        int | None,
        typer.Option(
            "--at", min=0, metavar="N", help="Instruction at which gdb begins.", show_default="last"
        ),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Replay a capsule's recording although no key of yours has signed it."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    config: ConfigOption = None,
) -> None:
    """Replays a recorded failure exactly, also for gdb.

    Exit code 0: status blocks and consoles came the same each time, or gdb has left; 3: they did not.
    """
    if at is not None and not gdb:
        raise UsageError("it is where gdb begins", "--at", "add --gdb")
    from harness.commands.recording_inputs import opened

    chosen = settings.load(config)
    with opened(recording, chosen.capsule.keys, trust=trust) as folder:
        said = recordings.load(folder)
        if gdb:
            _debug(folder, said, chosen.vm, at)
            raise typer.Exit(DONE)
        proofs = _proofs(folder, said, chosen.vm, times)
    same = sum(proof.same for proof in proofs)
    if as_json:
        typer.echo(json.dumps(_table(said, proofs), indent=1))
    else:
        _print(said, proofs, same)
    raise typer.Exit(DONE if same == times else INFRASTRUCTURE)


def _debug(folder: Path, said: Recording, config: VmConfig, at: int | None) -> None:
    from harness.guests import SayProgress
    from harness.replay.debugging import debug
    from vm.image import find
    from vm.recorder import Recorder

    image = find(config, said.image)
    with Recorder(config, SayProgress(typer.echo)) as recorder:
        debug(recorder, image, folder, said, at, typer.echo)


def _proofs(folder: Path, said: Recording, config: VmConfig, times: int) -> list[Proof]:
    from harness.guests import SayProgress
    from harness.replay.proving import prove
    from vm.image import find
    from vm.recorder import Recorder

    image = find(config, said.image)
    proofs: list[Proof] = []
    with Progress() as progress, Recorder(config, SayProgress(progress.say)) as recorder:
        for number in range(times):
            progress.say(f"replay {number + 1} of {times}")
            proofs.append(prove(recorder, image, folder, said, progress.say))
    return proofs


def _table(said: Recording, proofs: list[Proof]) -> dict[str, object]:
    return {
        "scenario": said.scenario,
        "verdict": said.verdict,
        "instructions": said.instructions,
        "replays": [
            {
                "same": proof.same,
                "seconds": proof.seconds,
                "status_blocks": proof.blocks,
                "bytes": proof.bytes_compared,
                "differences": list(proof.differences),
            }
            for proof in proofs
        ],
    }


def _print(said: Recording, proofs: list[Proof], same: int) -> None:
    say = console().print
    first = proofs[0]
    say(f"{said.scenario}: {said.verdict}: {one_line(str(said.reason or '-'))}")
    seconds = ", ".join(f"{proof.seconds:.0f}" for proof in proofs[:20])
    say(f"the same in {same} of {len(proofs)} replays ({seconds} s)")
    say(f"  compared: {first.blocks} answers of the agent, {first.bytes_compared:,} bytes with the consoles")
    for number, proof in enumerate(proofs, start=1):
        for difference in proof.differences:
            say(f"  replay {number}: {one_line(difference)}")
