# SPDX-License-Identifier: Apache-2.0
"""``kshs baseline``: what is accepted, what differs from it, and accepting (docs/nights.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from harness.commands.exit_codes import DONE, DRIVER
from harness.commands.options import ConfigOption, say
from harness.commands.store_command import RunArgument
from harness.commands.store_option import StoreOption, open_store
from harness.errors import UsageError
from vm.words import counted

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from harness.nights.baseline import Held, Standing
    from harness.store.queries import RunInfo

baseline_app = typer.Typer(
    name="baseline",
    add_completion=False,
    rich_markup_mode=None,
    help="Accepted values of all that the contract leaves open.",
)

PatternOption = Annotated[
    str | None, typer.Option("--scenario", metavar="PATTERN", help="Of scenario ids: silent.filter.*")
]
#: Scenarios of one heading that are shown.
_SHOWN = 40


@baseline_app.command("show")
def show(
    pattern: Annotated[
        str | None, typer.Argument(metavar="PATTERN", help="Of scenario ids: their accepted values.")
    ] = None,
    varying: Annotated[
        bool, typer.Option("--varying", help="Fields that vary in fact, with what was seen of them.")
    ] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Says who has accepted what, when and why; with a pattern, the values."""
    from harness.nights.conditions import described
    from harness.store import queries

    with open_store(store, config) as opened, opened.reading() as connection:
        found = queries.acceptances(connection)
        if varying:
            _show_varying(connection)
            return
        for one in found:
            say(
                f"{one.id}  {one.at:%Y-%m-%d}  {one.who}: {one.why} ({counted(one.scenarios, 'scenario')}"
                f' of "{one.pattern}", run {one.run}; {described(one.conditions)})'
            )
        if pattern is not None:
            _show_values(connection, pattern)
    if not found:
        say("nothing is accepted yet")


def _show_varying(connection: Connection) -> None:
    from harness.nights.field_words import values_in_words
    from harness.store import queries

    lines = queries.all_varying(connection)
    for key, position, field, seen in lines:
        say(f"{key}: step {position + 1}, {field}: {values_in_words(field, seen)}")
    say(f"{counted(len(lines), 'field')} came differently on identical inputs")


def _show_values(connection: Connection, pattern: str) -> None:
    """The last accepted answers of each scenario, on each guest."""
    from harness.nights.baseline import matches
    from harness.nights.field_words import value_words
    from harness.store import queries
    from harness.store.lists import load_lists

    acceptances = {one.id: one for one in queries.acceptances(connection)}
    latest: dict[tuple[object, ...], queries.AcceptedList] = {}
    for one in queries.accepted(connection, list(acceptances)):
        if matches(one.key, pattern):
            on = acceptances[one.acceptance].conditions
            latest[one.scenario, on.target, on.kernel, on.ks_digest, on.verifier] = one
    lists = load_lists(connection, {one.answers for one in latest.values()})
    for one in latest.values():
        say(f"{one.key} (acceptance {one.acceptance})")
        for step in lists[one.answers]:
            values = ", ".join(
                f"{name} {value_words(name, value)}"
                for name, value in step.fields.items()
                if value is not None
            )
            say(f'  step {step.position + 1}, "{step.name}": {values or "nothing came back"}')


@baseline_app.command("diff")
def diff(
    run: RunArgument = "last",
    store: StoreOption = None,
    config: ConfigOption = None,
) -> int:
    """Holds a run against what was accepted; on a new kernel build, against the nearest older one's.

    Ends with 1 where something differs from what was accepted, on this build or on the nearest.
    """
    with open_store(store, config) as opened, opened.reading() as connection:
        found, standing = _stand(connection, run)
    say(f"run {found.name}, {_described(found)}")
    _print_held("differs from what was accepted", standing.differs)
    first = [held for held in standing.first if held.changes]
    _print_held("first values here, and other than on the nearest build", first)
    alike = len(standing.first) - len(first)
    if alike:
        near = {held.acceptance.conditions.kernel for held in standing.first}
        names = ", ".join(sorted(filter(None, near)))
        say(f"first values here, as on the nearest build: {alike} ({names})")
    if standing.unknown:
        say(f"never accepted: {len(standing.unknown)}")
    say(f"as accepted: {len(standing.same)}")
    return DRIVER if standing.differs or first else DONE


@baseline_app.command("accept")
def accept(
    who: Annotated[str, typer.Option("--who", metavar="NAME", help="Who accepts it.")],
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Why it is right, or to be expected.")],
    run: RunArgument = "last",
    scenario: PatternOption = None,
    every: Annotated[bool, typer.Option("--all", help="Everything that passed in the run.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Accepts what a run got: of one scenario, of a pattern, or of all; only what passed can be accepted."""
    from harness.nights.baseline import matches
    from harness.store.accepting import accept as put_on_record

    if (scenario is None) == (not every):
        raise UsageError("say which", hint="--scenario ID, --scenario PATTERN, or --all")
    if not who.strip() or not why.strip():
        raise UsageError("say who accepts it, and why", hint="--who NAME --why TEXT")
    pattern = scenario or "*"
    with open_store(store, config) as opened, opened.writing() as connection:
        found, standing = _stand(connection, run)
        meant = [one for one in standing.to_accept if matches(one.key, pattern)]
        known = [held for held in standing.same if matches(held.outcome.key, pattern)]
        if not meant and not known:
            raise UsageError(
                "nothing that passed in this run is meant", where=pattern, hint="check --scenario"
            )
        if meant:
            answers: Mapping[int, int] = {one.scenario: one.answers or 0 for one in meant}
            put_on_record(connection, found.id, answers, who=who.strip(), why=why.strip(), pattern=pattern)
    as_before = f"; {len(known)} were accepted as they are" if known else ""
    say(f"{counted(len(meant), 'scenario')} of run {found.name} accepted{as_before}")


def _stand(connection: Connection, words: str) -> tuple[RunInfo, Standing]:
    from harness.nights.baseline import hold
    from harness.nights.night import choose
    from harness.store import queries
    from harness.store.lists import load_lists

    chosen = choose(connection, words)
    if len(chosen) != 1:
        raise UsageError("give one run", where=words)
    run = chosen[0]
    acceptances = queries.acceptances(connection)
    standing = hold(
        queries.outcomes(connection, [run.id]),
        run.conditions,
        acceptances,
        queries.accepted(connection, [one.id for one in acceptances]),
        lambda numbers: load_lists(connection, numbers),
        queries.varying(connection),
    )
    return run, standing


def _described(run: RunInfo) -> str:
    from harness.nights.conditions import described

    return described(run.conditions)


def _print_held(heading: str, found: Iterable[Held]) -> None:
    from harness.nights.words import changes_in_words

    shown = list(found)
    if not shown:
        return
    say(f"{heading}: {len(shown)}")
    for held in shown[:_SHOWN]:
        one = held.acceptance
        say(f"  {held.outcome.key} (accepted {one.at:%Y-%m-%d} by {one.who} on {one.conditions.kernel})")
        for line in changes_in_words(held.changes):
            say(line)
    if len(shown) > _SHOWN:
        say(f"  and {len(shown) - _SHOWN} more")
