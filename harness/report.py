# SPDX-License-Identifier: Apache-2.0
"""report.html: one self-contained file made from the records of a run.

Nothing in it is trusted: every text is escaped by Jinja2, no resource is fetched, and the page's
own policy (a Content-Security-Policy with the hashes of the one style and the one script) forbids
everything else, so that text from a guest could not run even if it slipped through.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from harness import results
from harness.errors import HarnessError
from harness.rules import CLAUSES
from harness.standing import RECORDED, RECORDED_WORDS, standing
from harness.verdict import Verdict

#: The order of routes as columns; others follow in the order of the alphabet.
ROUTES = ("call", "irp", "sync", "event", "port", "apc")


def render(records: Sequence[Mapping[str, Any]]) -> str:
    """The page for the records of one run, as `harness.results.merge` gives them.

    Raises:
        HarnessError: the records hold no run, or a run of a newer schema.
    """
    runs = results.of_kind(records, "run")
    if len(runs) != 1:
        raise HarnessError(f"{len(runs)} runs in these records, one is needed")
    if runs[0].get("schema", 0) > results.SCHEMA:
        raise HarnessError(
            f"these results have schema {runs[0]['schema']}, this kshs reads up to {results.SCHEMA}"
        )
    environment = Environment(
        loader=PackageLoader("harness"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["seconds"] = seconds
    environment.filters["number"] = number
    style, script = _asset("report.css"), _asset("report.js")
    scenarios = _scenarios(records)
    tally, test_tally = results.counts(records), results.counts(records, "test")
    matrix = results.matrix(records)
    return environment.get_template("report.html.j2").render(
        run=runs[0],
        environments=results.of_kind(records, "environment"),
        scenarios=scenarios,
        verdicts=[verdict.value for verdict in Verdict],
        tally=tally,
        total=len(scenarios),
        bar=_bar(tally),
        verdict=_overall(tally + test_tally, runs[0].get("problem")),
        tests=results.of_kind(records, "test"),
        test_tally=test_tally,
        standings={verdict.value: verdict.value for verdict in Verdict} | {RECORDED: RECORDED_WORDS},
        matrix=matrix,
        routes=_columns(matrix),
        rules={rule.value: text for rule, text in CLAUSES.items()},
        sums={rule: sum(routes.values(), Counter()) for rule, routes in _by_rule(scenarios).items()},
        characteristics=_characteristics(scenarios),
        skips=_skips(scenarios),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def write(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Renders into a file, replaced in one step."""
    text = render(records)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def seconds(value: float | None) -> str:
    """A duration for people, from seconds."""
    if value is None:
        return "–"
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    if value < 1:
        return f"{value * 1e3:.0f} ms"
    if value < 90:
        return f"{value:.1f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"


def number(value: Any) -> str:
    """A value of a status block for people: booleans as words, absent values as a dash."""
    if value is None:
        return "–"
    if value is True:
        return "yes"
    if value is False:
        return "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(number(item) for item in value) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {number(item)}" for key, item in value.items()) or "none"
    return str(value)


def _asset(name: str) -> str:
    return (resources.files("harness") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _scenarios(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    steps: dict[tuple[Any, Any], list[Mapping[str, Any]]] = {}
    for step in results.of_kind(records, "step"):
        steps.setdefault((step["order"], step["scenario"]), []).append(step)
    return [
        {**record, "steps": steps.get((record["order"], record["id"]), []), "anchor": f"s{position}"}
        for position, record in enumerate(results.of_kind(records, "scenario"))
    ]


def _columns(matrix: Mapping[str, Mapping[str, Any]]) -> list[str]:
    present = {route for routes in matrix.values() for route in routes}
    return [r for r in ROUTES if r in present] + sorted(present - {*ROUTES, "-"}) + ["-"] * ("-" in present)


def _by_rule(scenarios: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Counter[str]]]:
    # Row sums count scenarios, not cells: one that uses three routes is still one.
    table: dict[str, dict[str, Counter[str]]] = {}
    for scenario in scenarios:
        for rule in scenario["rules"] or ["-"]:
            table.setdefault(rule, {}).setdefault("all", Counter())[standing(scenario, rule)] += 1
    return table


def _bar(tally: Counter[str]) -> list[dict[str, str]]:
    """The parts of the bar that shows how many there are of each verdict, in percent."""
    total = sum(tally.values())
    parts, x = [], 0
    for verdict in Verdict:
        count = tally[verdict.value]
        if count:
            parts.append(
                {"name": verdict.value, "x": f"{100 * x / total:.4f}", "width": f"{100 * count / total:.4f}"}
            )
        x += count
    return parts


def _overall(tally: Counter[str], problem: str | None) -> str:
    """One word for the run: never better than its exit code."""
    for verdict in (Verdict.CRASHED, Verdict.HUNG, Verdict.FAILED, Verdict.ERROR):
        if tally[verdict.value]:
            return verdict.value
    if problem:
        return Verdict.ERROR.value
    return Verdict.PASSED.value if tally[Verdict.PASSED.value] else Verdict.SKIPPED.value


def _characteristics(scenarios: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"scenario": scenario, "step": step, "comparison": comparison}
        for scenario in scenarios
        for step in scenario["steps"]
        for comparison in step["comparisons"]
        if comparison["characteristic"]
    ]


def _skips(scenarios: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    reasons: dict[str, list[Mapping[str, Any]]] = {}
    for scenario in scenarios:
        if scenario["verdict"] == Verdict.SKIPPED:
            reasons.setdefault(scenario.get("reason") or "no reason given", []).append(scenario)
    return dict(sorted(reasons.items(), key=lambda item: -len(item[1])))
