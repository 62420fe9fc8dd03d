# SPDX-License-Identifier: Apache-2.0
"""``kshs repro`` and ``kshs minimize``: whether a failure comes here, and the least that makes it come."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.capsule.agreement import Difference, Outcome
from harness.capsule.seen import Seen
from harness.commands.exit_codes import DONE, DRIVER
from harness.commands.inputs import check_output, unwritten
from harness.commands.options import ConfigOption, console
from harness.commands.replay_inputs import Asked, Unpacked
from harness.errors import UsageError
from harness.guest_text import one_line
from harness.language.model.scenario import Scenario
from harness.progress import Progress
from harness.results import rates

_MOST_DIFFERENCES = 12
_MOST_ID, _MOST_TITLE = 120, 200

CapsuleArgument = Annotated[Path, typer.Argument(metavar="CAPSULE", help="Made by kshs capsule make.")]
OtherTarget = Annotated[
    str | None,
    typer.Option("--target", metavar="FILE", help="Another driver than the capsule's: a newer build, say."),
]
DriversOption = Annotated[
    Path | None,
    typer.Option("--drivers", metavar="DIR", help="C sources to build instead of the installed ones."),
]
NearestGuest = Annotated[
    str | None,
    typer.Option("--guest", metavar="NAME", help="Another one.", show_default="nearest to the capsule's"),
]
RunsOption = Annotated[
    int, typer.Option("--runs", min=1, max=1000, metavar="N", help="How often, each on a fresh lease.")
]


def repro(
    capsule: CapsuleArgument,
    runs: Annotated[
        int | None,
        typer.Option(
            "--runs",
            min=1,
            max=100_000,
            metavar="N",
            help="How often, each on a fresh lease.",
            show_default="5; 1000 with --until-failure",
        ),
    ] = None,
    guest: NearestGuest = None,
    target: OtherTarget = None,
    drivers: DriversOption = None,
    verifier: Annotated[
        bool, typer.Option("--verifier", help="On a guest with Driver Verifier (Windows; Wine has none).")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the last guest running, and say how to get at it.")
    ] = False,
    record: Annotated[
        bool, typer.Option("--record", help="Record each run, and keep the first failure's for kshs replay.")
    ] = False,
    until_failure: Annotated[
        bool, typer.Option("--until-failure", help="Record runs, at most --runs, until one fails.")
    ] = False,
    recording: Annotated[
        Path | None,
        typer.Option("--recording", metavar="DIR", help="For it.", show_default="out/recordings/SCENARIO"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    config: ConfigOption = None,
) -> None:
    """Plays a capsule: does it come here, how often.

    Exit code 1: it fails here, as it did or otherwise; 0: it passed each time.
    """
    from harness.capsule import agreement
    from harness.commands.repro_plays import plain, recorded

    asked = Asked(capsule, guest, target, drivers, config, verifier=verifier, keep=keep)
    runs = runs or (1000 if until_failure else 5)
    records = record or until_failure
    if keep and records:
        hint = "leave out --keep"
        raise UsageError("a recorded guest cannot be kept: its recording ends with it", hint=hint)
    if recording is not None and not records:
        raise UsageError("nothing is recorded", "--recording", "add --record or --until-failure")
    with Unpacked(asked) as unpacked, Progress() as progress:
        if records:
            done = recorded(unpacked, runs, recording, progress.say, until_failure=until_failure)
        else:
            done = plain(unpacked, runs, progress.say, keep=keep)
    played, kept = done.seen, done.kept
    outcomes = [agreement.outcome(unpacked.then, now) for now in played]
    table = _table(unpacked, played, outcomes)
    if done.recording is not None:
        table["recording"] = str(done.recording)
    if kept is not None:
        table["kept"] = {name: str(value) for name, value in dataclasses.asdict(kept).items()}
    if as_json:
        console().print(json.dumps(table, indent=1))
    else:
        _print(table)
        for line in kept.lines() if kept is not None else ():
            console().print(line)
        if done.recording is not None:
            console().print(f"recorded in {done.recording}: kshs replay {done.recording}")
    fails = any(each is not Outcome.NOT_REPRODUCED for each in outcomes)
    raise typer.Exit(DRIVER if fails else DONE)


def minimize(
    capsule: CapsuleArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Scenario file to write.")],
    runs: RunsOption = 5,
    bound: Annotated[
        float,
        typer.Option("--bound", min=0.1, max=1.0, help="Of the failure's rate, the least that may be left."),
    ] = 0.8,
    guest: NearestGuest = None,
    target: OtherTarget = None,
    drivers: DriversOption = None,
    config: ConfigOption = None,
) -> None:
    """Writes the smallest scenario that still fails the same way."""
    from harness.capsule.minimizing import Minimizer
    from harness.capsule.scenario_text import render

    check_output(out, "--out")
    with Unpacked(Asked(capsule, guest, target, drivers, config)) as unpacked, Progress() as progress:
        with unpacked.player(progress.say) as player:
            minimizer = Minimizer(player, unpacked.then, runs, bound, progress.say)
            found = minimizer.minimize(unpacked.scenario)
        origin = unpacked.manifest.origin
    text = render(
        [named(found.scenario)],
        [
            f"Minimised from {origin.scenario} of {_where(origin.run)}, {origin.started}:"
            f" {_verdict(unpacked)}",
            one_line(str(found.seen.scenario.get("reason") or "")),
            f"fails in {found.after.hits} of {found.after.runs} runs; before: {found.before.hits} of"
            f" {found.before.runs}, {len(unpacked.scenario.steps)} steps",
        ],
    )
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise unwritten(out, error) from None
    steps = f"{len(found.scenario.steps)} of {len(unpacked.scenario.steps)} steps"
    rate = f"fails in {found.after.hits} of {found.after.runs} runs"
    console().print(f"{out}: {steps} are left after {found.candidates} candidates; {rate}")


def _where(run: str | None) -> str:
    return f"run {run}" if run is not None else "a trace"


def _verdict(unpacked: Unpacked) -> str:
    """As it was judged; a trace may show no failure of itself."""
    verdict = unpacked.manifest.verdict
    return verdict.value if verdict is not None else "not judged"


def named(scenario: Scenario) -> Scenario:
    """A minimised scenario under a name of its own, since results are compared by names."""
    title = f"Least of: {scenario.title}"
    return scenario.model_copy(update={"id": f"{scenario.id}.least"[:_MOST_ID], "title": title[:_MOST_TITLE]})


def _table(unpacked: Unpacked, played: list[Seen], outcomes: list[Outcome]) -> dict[str, Any]:
    from harness.capsule import agreement

    counts = agreement.tally(outcomes)
    low, high = rates.wilson(counts[Outcome.REPRODUCED], len(outcomes))
    verdict = next(each for each in Outcome if counts[each])
    shown = played[outcomes.index(verdict)]
    differences: list[Difference] = list(agreement.differences(unpacked.then, shown))
    return {
        "scenario": unpacked.scenario.id,
        "guest": unpacked.guest,
        "chosen": unpacked.choice.why,
        "then": {"verdict": _verdict(unpacked), "reason": unpacked.manifest.reason},
        "now": {"verdict": shown.scenario["verdict"], "reason": shown.scenario.get("reason")},
        "outcome": verdict.value,
        "runs": len(outcomes),
        "counts": {each.value: counts[each] for each in Outcome},
        "interval": [round(low, 4), round(high, 4)],
        "differences": [
            {"step": each.step, "field": each.field, "then": each.then, "now": each.now}
            for each in differences
        ],
    }


def _print(table: dict[str, Any]) -> None:
    say = console().print
    hits = table["counts"][Outcome.REPRODUCED.value]
    low, high = table["interval"]
    rate = f"{hits} of {table['runs']} runs ({low:.0%} to {high:.0%})"
    say(f"{table['outcome']}: {rate} on guest {table['guest']} ({one_line(table['chosen'])})")
    for when in ("then", "now"):
        said = table[when]
        say(f"  {when + ':':<6} {said['verdict']}: {one_line(str(said['reason'] or '-'))}")
    for each in table["differences"][:_MOST_DIFFERENCES]:
        change = f"{each['field']} was {_number(each['then'])}, is {_number(each['now'])}"
        say(f"  {one_line(each['step'])}: {change}")
    more = len(table["differences"]) - _MOST_DIFFERENCES
    if more > 0:
        say(f"  and {more} more numbers (--json has all)")


def _number(value: Any) -> str:
    return f"{value:#x}" if isinstance(value, int) and value > 9 else str(value)
