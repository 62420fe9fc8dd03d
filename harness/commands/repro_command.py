# SPDX-License-Identifier: Apache-2.0
"""``kshs repro`` and ``kshs minimize``: whether a failure comes here, and the least that makes it come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.capsule.agreement import Difference, Outcome
from harness.capsule.seen import Seen
from harness.commands.exit_codes import DONE, DRIVER
from harness.commands.inputs import check_output, unwritten
from harness.commands.options import ConfigOption, GuestOption, console
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
RunsOption = Annotated[
    int, typer.Option("--runs", min=1, max=1000, metavar="N", help="How often, each on a fresh lease.")
]


def repro(
    capsule: CapsuleArgument,
    runs: RunsOption = 5,
    guest: GuestOption = None,
    target: OtherTarget = None,
    drivers: DriversOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    config: ConfigOption = None,
) -> None:
    """Plays a capsule: does it come here, how often.

    Exit code 1: it fails here, as it did or otherwise; 0: it passed each time.
    """
    from harness.capsule import agreement
    from harness.capsule.playing import NotPlayableError

    with Unpacked(Asked(capsule, guest, target, drivers, config)) as unpacked, Progress() as progress:
        played: list[Seen] = []
        with unpacked.player(progress.say) as player:
            for number in range(runs):
                progress.say(f"run {number + 1} of {runs}")
                try:
                    played.append(player.play(unpacked.scenario, fresh=True))
                except NotPlayableError as why:
                    raise UsageError(
                        f"guest {unpacked.guest} cannot show it: {why}",
                        str(capsule),
                        "choose another --guest",
                    ) from None
    outcomes = [agreement.outcome(unpacked.then, now) for now in played]
    table = _table(unpacked, played, outcomes)
    if as_json:
        console().print(json.dumps(table, indent=1))
    else:
        _print(table)
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
    guest: GuestOption = None,
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
            f"Minimised from {origin.scenario} of run {origin.run}, {origin.started}: {_verdict(unpacked)}",
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
    say(f"{table['outcome']}: {rate} on guest {table['guest']}")
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
