# SPDX-License-Identifier: Apache-2.0
"""``kshs bisect``: the first package, or kernel, with which a scenario fails (docs/nights.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from harness import config as settings
from harness.commands.bisect_candidates import Candidate, images, packages
from harness.commands.exit_codes import DONE, INFRASTRUCTURE
from harness.commands.options import ConfigOption, GuestOption, TargetOption, say
from harness.commands.repro_command import DriversOption
from harness.errors import DeployError, HarnessError, UsageError
from harness.progress import Progress
from vm.words import counted

if TYPE_CHECKING:
    from harness.capsule.playing import Player
    from harness.config import Config
    from harness.language.model.scenario import Scenario
    from harness.nights.bisection import Answer


def bisect(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="Its id, or FILE::ID.")],
    good: Annotated[
        str, typer.Option("--good", metavar="PACKAGE", help="An archived package with which it passes.")
    ],
    bad: Annotated[str, typer.Option("--bad", metavar="PACKAGE", help="A later one with which it fails.")],
    archive: Annotated[
        Path | None,
        typer.Option(
            "--packages", metavar="DIR", help="The archive.", show_default="the folder in which both lie"
        ),
    ] = None,
    over_images: Annotated[
        bool, typer.Option("--images", help="Over kernels: --good and --bad name guests.")
    ] = False,
    confidence: Annotated[
        float, typer.Option("--confidence", min=0.5, max=0.9999, help="That is asked of the answer.")
    ] = 0.99,
    rarest: Annotated[
        float,
        typer.Option(
            "--rarest", min=0.001, max=1.0, help="Rate of failures that is looked for at the least."
        ),
    ] = 0.1,
    plays: Annotated[
        int, typer.Option("--plays", min=1, metavar="N", help="How many there are at the most.")
    ] = 500,
    guest: GuestOption = None,
    target: TargetOption = None,
    drivers: DriversOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    config: ConfigOption = None,
) -> int:
    """Names the first package with which it fails.

    Plays the scenario on fresh leases, as often as the failure's rate asks for.

    Ends with 0 where the first bad one is named, with 3 where that cannot be told.
    """
    from harness.guests.package import find_target
    from harness.guests.source import find_guest
    from harness.nights.bisection import Bisection, Limits

    loaded = settings.load(config)
    if over_images and (archive is not None or guest is not None):
        raise UsageError("--good and --bad name guests here", "--images", "without --packages and --guest")
    wanted = _scenario(scenario, loaded)
    known = find_target(target or loaded.run.target, loaded)
    if over_images:
        row = images(known, loaded, good, bad)
    else:
        on = guest or loaded.run.guest
        find_guest(loaded.vm, on)
        row = packages(known, on, good, bad, archive)
    # A program reads the standard output.
    told = Progress(Console(stderr=True, highlight=False) if as_json else None)
    with told as progress, Players(row, loaded, drivers, wanted, progress.say) as players:
        progress.say(f"{len(row)} from {row[0].name} to {row[-1].name}")
        limits = Limits(confidence, rarest, plays)
        answer = Bisection([one.name for one in row], players.play, limits, progress.say).run()
    if as_json:
        typer.echo(json.dumps(_table(wanted, row, answer, players.reason), indent=2))
    else:
        _print(row, answer, players.reason)
    return DONE if answer.first is not None else INFRASTRUCTURE


class Players:
    """Plays the candidates, one of them at hand at a time; a context.

    What is asked of all is the failure that the last one showed first.
    """

    def __init__(
        self,
        row: Sequence[Candidate],
        config: Config,
        drivers: Path | None,
        scenario: Scenario,
        progress: Any,
    ) -> None:
        self._row = row
        self._config = config
        self._drivers = drivers or config.run.drivers
        self._scenario = scenario
        self._say = progress
        self._number: int | None = None
        self._player: Player | None = None
        self._cause: object = None
        #: How it fails, in words.
        self.reason: str | None = None

    def __enter__(self) -> Players:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def play(self, number: int) -> bool | str:
        """See `harness.nights.bisection.Play`.

        Raises:
            PassedOverError: it cannot be installed, or the scenario is skipped there.
            VmError: there are no guests.
        """
        from drivers.errors import BuildError
        from harness.capsule.playing import NotPlayableError
        from harness.nights.bisection import PassedOverError
        from harness.verdict import Verdict
        from vm.errors import GuestLost, GuestTimeout

        try:
            seen = self._at(number).play(self._scenario, fresh=True)
        except (DeployError, UsageError, BuildError) as error:
            raise PassedOverError(f"it does not install: {error}") from None
        except (GuestLost, GuestTimeout) as error:
            raise PassedOverError(f"the guest was lost while it was installed: {error}") from None
        except NotPlayableError as why:
            raise PassedOverError(str(why)) from None
        except HarnessError as error:  # tried several times already
            raise PassedOverError(f"nothing is known of it: {error}") from None
        if seen.scenario["verdict"] == Verdict.PASSED:
            return False
        cause = seen.cause
        reason = cause.words if cause is not None else str(seen.scenario.get("reason"))
        key = cause.key if cause is not None else (reason,)
        if self._cause is None and number == len(self._row) - 1:
            self._cause, self.reason = key, reason
        return True if key == self._cause else reason

    def _at(self, number: int) -> Player:
        from harness.capsule.playing import Player
        from harness.guests.provider import VmProvider

        if self._player is None or self._number != number:
            self._close()
            one = self._row[number]
            provider = VmProvider(
                self._config.vm,
                one.target,
                one.guest,
                source=self._drivers,
                way=self._config.leases_of(one.guest),
                devices=self._config.devices_of(one.guest),
            )
            self._player, self._number = Player(provider, self._say), number
        return self._player

    def _close(self) -> None:
        player, self._player = self._player, None
        if player is not None:
            player.__exit__(None, None, None)


def _scenario(words: str, config: Config) -> Scenario:
    """The one that is meant.

    Raises:
        UsageError: there is none, or there are several of the id.
    """
    from harness.language.scenario_file import CATALOGUE, load

    place, _, name = words.rpartition("::")
    paths = [Path(place)] if place else list(config.run.scenarios or [CATALOGUE])
    if place and not paths[0].is_file():
        raise UsageError("there is no such file", place)
    files = [file for path in paths for file in (sorted(path.rglob("*.toml")) if path.is_dir() else [path])]
    found = [(file, one) for file in files if file.suffix == ".toml" for one in load(file) if one.id == name]
    if len(found) == 1:
        return found[0][1]
    if found:
        raise UsageError(
            f"{len(found)} scenarios are called {name}", hint=f"say which: {found[0][0]}::{name}"
        )
    raise UsageError(f"there is no scenario {name}", place or None, "kshs list shows what there is")


def _print(row: Sequence[Candidate], answer: Answer, reason: str | None) -> None:
    for number, why in sorted(answer.passed_over.items()):
        say(f"passed over: {row[number].name}: {why}")
    if answer.first is None:
        say(f"cannot tell, after {counted(answer.plays, 'play')}: {answer.why}")
        return
    before = max(number for number in range(answer.first) if number not in answer.passed_over)
    bad, good = answer.tallies[answer.first].counts, answer.tallies[before].counts
    sure = f"{_percent(answer.confidence)}, {counted(answer.plays, 'play')}"
    say(f"first bad: {row[answer.first].name} ({sure})")
    say(f"  it fails there in {bad} plays, and with {row[before].name} in {good}")
    if answer.maybe:
        names = ", ".join(row[number].name for number in answer.maybe)
        say(f"  it may have begun with one that was passed over: {names}")
    if reason is not None:
        say(f"  {reason}")


def _percent(confidence: float) -> str:
    """Never more than it is: 99.9 and not 100 %."""
    return f"{int(confidence * 1000) / 10:.1f}%"


def _table(
    scenario: Scenario, row: Sequence[Candidate], answer: Answer, reason: str | None
) -> dict[str, Any]:
    def name(number: int | None) -> str | None:
        return None if number is None else row[number].name

    return {
        "schema": 1,
        "scenario": scenario.id,
        "first": name(answer.first),
        "confidence": int(answer.confidence * 10_000) / 10_000,
        "why": answer.why,
        "reason": reason,
        "maybe": [name(number) for number in answer.maybe],
        "plays": answer.plays,
        "candidates": [
            {
                "name": one.name,
                "guest": one.guest,
                "failed": tally.failed,
                "passed": tally.passed,
                "otherwise": tally.masked,
                "passed_over": answer.passed_over.get(number),
            }
            for number, (one, tally) in enumerate(zip(row, answer.tallies, strict=True))
        ],
    }
