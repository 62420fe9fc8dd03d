# SPDX-License-Identifier: Apache-2.0
"""Selection by rule, route, tag and id: whole words, where ``-k`` looks for parts of any of them.

Each option may be given several times: one of its values must hold, and so for each kind of option.  A
test in Python has no rule, route or tag; its id is its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, get_args

import pytest

from harness.errors import UsageError
from harness.language.model.scenario import ScenarioRule
from harness.language.model.values import Route
from harness.plugin.items import ScenarioItem
from harness.plugin.refusal import refuse
from vm.words import counted

RULES = tuple(get_args(ScenarioRule))
ROUTES = tuple(route.value for route in Route)
NOTHING = pytest.StashKey[str]()
"""Why nothing was selected, for whoever shows it at the end."""

_OUTPUT = "kshs_nothing"


@dataclass(frozen=True)
class Described:
    """What an item can be selected by."""

    id: str
    rules: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


def describe(item: pytest.Item) -> Described:
    """Of a scenario its rules (`rule` and `also`), routes of its handshakes and tags; of a test its name."""
    if not isinstance(item, ScenarioItem):
        return Described(item.name)
    scenario = item.scenario
    routes = [step.route.value for step in scenario.steps if step.do == "handshake"]
    return Described(
        scenario.id,
        tuple(rule.value for rule in scenario.rules),
        tuple(dict.fromkeys(routes)),
        tuple(scenario.tags),
    )


@dataclass(frozen=True)
class Filters:
    """What is wanted; a kind of which nothing is said takes everything."""

    rules: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        rules: Iterable[str] = (),
        routes: Iterable[str] = (),
        tags: Iterable[str] = (),
        ids: Iterable[str] = (),
    ) -> Filters:
        """From what the user said; rules and routes are words of ours and may be written in any case.

        Raises:
            UsageError: there is no such rule or route, or a pattern is empty.
        """
        for option, values in (("--tag", tags := tuple(tags)), ("--id", ids := tuple(ids))):
            if "" in values:
                raise UsageError("is empty", where=option, hint="kshs list shows what there is")
        known = tuple(_known("--rule", word, RULES) for word in rules)
        return cls(known, tuple(_known("--route", word, ROUTES) for word in routes), tags, ids)

    def __bool__(self) -> bool:
        """Whether anything is said at all."""
        return bool(self.rules or self.routes or self.tags or self.ids)

    def takes(self, item: Described) -> bool:
        """Whether one value of each kind of which something is said holds."""
        return all(self._kinds(item))

    def _kinds(self, item: Described) -> tuple[bool, bool, bool, bool]:
        return (
            not self.rules or not set(self.rules).isdisjoint(item.rules),
            not self.routes or not set(self.routes).isdisjoint(item.routes),
            not self.tags or not set(self.tags).isdisjoint(item.tags),
            not self.ids or any(_matches(item.id, pattern) for pattern in self.ids),
        )

    def why_nothing(self, items: Sequence[Described]) -> UsageError:
        """What to say where these items are all there is, and none of them is taken."""
        kinds = (
            ("--rule", self.rules, sorted({rule for item in items for rule in item.rules})),
            ("--route", self.routes, sorted({route for item in items for route in item.routes})),
            ("--tag", self.tags, sorted({tag for item in items for tag in item.tags})),
            ("--id", self.ids, _patterns(item.id for item in items)),
        )
        among = f"none of the {counted(len(items), 'item')} there"
        for kind, (option, said, known) in enumerate(kinds):
            if said and not any(self._kinds(item)[kind] for item in items):
                return UsageError(
                    f"{among} has {' or '.join(said)}", option, _near(said, known, few=option != "--id")
                )
        together = " ".join(f"{option} {word}" for option, said, _ in kinds for word in said)
        return UsageError(f"{among} has all of this: {together}", hint="kshs list shows what there is")


def _known(option: str, word: str, words: Sequence[str]) -> str:
    found = next((name for name in words if name.lower() == word.lower()), None)
    if found is None:
        raise UsageError(
            f"there is no {option[2:]} {word!r}", where=option, hint=f"there are: {', '.join(words)}"
        )
    return found


def _matches(name: str, pattern: str) -> bool:
    name, pattern = name.lower(), pattern.lower()
    return name == pattern or fnmatchcase(name, pattern)


def _near(said: Sequence[str], known: Iterable[str], *, few: bool) -> str:
    """Words that are like these; all words, where there are few."""
    folded = {name.lower(): name for name in known}
    near = [
        folded[name]
        for word in said
        for name in get_close_matches(word.lower(), list(folded), n=2, cutoff=0.6)
    ]
    if near:
        return f"did you mean {' or '.join(dict.fromkeys(near))}?"
    return f"there are: {', '.join(folded.values())}" if few and folded else "kshs list shows what there is"


def _patterns(ids: Iterable[str]) -> list[str]:
    """The ids, and a pattern for each of their beginnings: length.*, length.input.*"""
    found: dict[str, None] = {}
    for name in ids:
        parts = name.split(".")
        found.update(dict.fromkeys(".".join([*parts[:end], "*"]) for end in range(1, len(parts))))
        found[name] = None
    return list(found)


# ---- hooks -------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """One option for each kind, repeatable."""
    group = parser.getgroup("kshs", "KS handshake harness")
    for name, metavar, text in (
        ("rule", "RULE", "only scenarios of this rule: H1 ... H10, arguments, characteristic"),
        ("route", "ROUTE", f"only scenarios that send by this route: {', '.join(ROUTES)}"),
        ("tag", "TAG", "only scenarios with this tag"),
        ("id", "PATTERN", "only scenarios whose whole id matches: length.input.*"),
    ):
        group.addoption(f"--kshs-{name}", action="append", default=[], metavar=metavar, help=text)


def filters_of(config: pytest.Config) -> Filters:
    """What the command line says.

    Raises:
        pytest.UsageError: a word that there is not.
    """
    values = (config.getoption(f"kshs_{name}", default=[]) for name in ("rule", "route", "tag", "id"))
    try:
        return Filters.of(*values)
    except UsageError as error:
        raise refuse(config, error) from None


def pytest_configure(config: pytest.Config) -> None:
    """A word that there is not is told before anything is collected."""
    filters_of(config)
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(_FromWorkers(config), "kshs-selection-xdist")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects; before ``-k``, so that what is said where nothing is left is about these options."""
    filters = filters_of(config)
    if not filters or not items:
        return
    described = [describe(item) for item in items]
    kept = [item for item, facts in zip(items, described, strict=True) if filters.takes(facts)]
    gone = [item for item, facts in zip(items, described, strict=True) if not filters.takes(facts)]
    if not kept:
        error = filters.why_nothing(described)
        if not hasattr(config, "workeroutput"):
            raise refuse(config, error)
        config.workeroutput[_OUTPUT] = str(error)
    if gone:
        config.hook.pytest_deselected(items=gone)
        items[:] = kept


class _FromWorkers:
    """xdist's controller collects nothing itself: workers tell it why nothing was selected."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """The first worker's word is everybody's: all have the same items."""
        said = getattr(node, "workeroutput", {}).get(_OUTPUT)
        if said and NOTHING not in self._config.stash:
            self._config.stash[NOTHING] = said
            if self._config.hook.pytest_kshs_refused(message=said):
                return
            reporter = self._config.pluginmanager.getplugin("terminalreporter")
            if reporter is not None:
                reporter.write_line(f"ERROR: {said}", red=True)
