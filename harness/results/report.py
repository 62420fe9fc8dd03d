# SPDX-License-Identifier: Apache-2.0
"""report.html: one self-contained file made from the records of a run.

Nothing in it is trusted: every text is escaped by Jinja2, no resource is fetched, and the page's
own policy (a Content-Security-Policy with the hashes of the one style and the one script) forbids
everything else, so that text from a guest could not run even if it slipped through.

What needs reading, one scenario of each cause, is in the page as it is.  The steps of all others are
nine tenths of it; they are rendered and escaped like those, then kept as one compressed block
that the script unpacks when somebody first wants any of it (docs/results.md, "report.html").
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import itertools
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from importlib import resources
from operator import itemgetter
from pathlib import Path
from typing import Any

from jinja2 import BytecodeCache, Environment, PackageLoader, StrictUndefined, select_autoescape
from jinja2.bccache import Bucket
from markupsafe import Markup

from harness.errors import HarnessError
from harness.results import parts, tally
from harness.results.again import again
from harness.results.attachments import attachments
from harness.results.cause import LOUD, grouped
from harness.results.rule_outcome import RECORDED, RECORDED_WORDS
from harness.rules import CLAUSES
from harness.verdict import Verdict, worst

#: The order of routes as columns; others follow in the order of the alphabet.
ROUTES = ("call", "irp", "sync", "event", "port", "apc")

#: Of zlib: a tenth smaller than its default, for a hundredth of a second.
_COMPRESSION = 8
#: Of zlib: with the header and trailer of gzip.
_GZIP = 31
_HEADING = itemgetter("verdict", "index", "name", "do", "route", "mode", "rule", "reason")
_COMPARISON = itemgetter("field", "expected", "got", "ok", "rule", "clause", "characteristic")
#: Types of values that `number` makes the same text of whenever they are equal and of one type.
_SCALARS = frozenset({str, int, float, bool, type(None)})


class _Compiled(BytecodeCache):
    """Templates as they were compiled, in memory."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """From there, where it is of the same source."""
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        """To there."""
        self._kept[bucket.key] = bucket.bytecode_to_string()


_COMPILED = _Compiled()


def render(records: Sequence[Mapping[str, Any]], folder: Path | None = None) -> str:
    """The page for the records of one run, as `harness.results.parts.write` gives them.

    ``folder`` is where the page will be: what else is there is linked from it.

    Raises:
        HarnessError: the records hold no run, or a run of a newer schema.
    """
    runs = tally.of_kind(records, "run")
    if len(runs) != 1:
        raise HarnessError(f"{len(runs)} runs in these records, one is needed")
    if runs[0].get("schema", 0) > parts.SCHEMA:
        raise HarnessError(
            f"these results have schema {runs[0]['schema']}, this kshs reads up to {parts.SCHEMA}"
        )
    environment = environment_of(runs[0])
    pieces = _Pieces(environment)
    style, script = _asset("report.css"), _asset("report.js")
    scenarios = _scenarios(records)
    loud = {verdict.value for verdict in LOUD}
    totals, test_totals = tally.counts(records), tally.counts(records, "test")
    matrix = tally.matrix(records)
    causes = _causes(scenarios)
    first = {members[0]["anchor"] for _, members in causes}
    packed = [s for s in scenarios if s["anchor"] not in first and not _is_odd(s)]
    left_out = {s["anchor"] for s in packed}
    with ThreadPoolExecutor(1) as pool:
        # zlib lets others run: the rest of the page is rendered meanwhile.
        block = _Block(pool)
        for scenario in packed:
            block.add(scenario["anchor"], pieces.body(scenario))
        return environment.get_template("report.html.j2").render(
            run=runs[0],
            environments=tally.of_kind(records, "environment"),
            causes=causes,
            quiet=[s for s in scenarios if s["verdict"] not in loud],
            loud=sorted(loud),
            attachments=attachments(folder) if folder is not None else [],
            bodies={s["anchor"]: pieces.body(s) for s in scenarios if s["anchor"] not in left_out},
            kept=block.close if packed else None,
            verdicts=[verdict.value for verdict in Verdict],
            tally=totals,
            total=len(scenarios),
            bar=_bar(totals),
            verdict=_overall(totals + test_totals, runs[0].get("problem")),
            tests=tally.of_kind(records, "test"),
            test_totals=test_totals,
            outcomes={verdict.value: verdict.value for verdict in Verdict} | {RECORDED: RECORDED_WORDS},
            matrix=matrix,
            routes=_columns(matrix),
            rules={rule.value: text for rule, text in CLAUSES.items()},
            sums=tally.by_rule(records),
            characteristics=_characteristics(scenarios),
            skips=tally.skipped(scenarios),
            style=style,
            script=script,
            style_hash=_hash(style),
            script_hash=_hash(script),
        )


def environment_of(run: Mapping[str, Any]) -> Environment:
    """Templates and filters for the page of a run; templates are compiled once a process."""
    environment = Environment(
        loader=PackageLoader("harness.results"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_COMPILED,
    )
    environment.filters["seconds"] = seconds
    environment.filters["number"] = number
    environment.filters["folds"] = folds
    environment.filters["read"] = lambda block: {k: v for k, v in block.items() if k != "numbers"}
    environment.filters["again"] = functools.partial(again, run)
    return environment


def write(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Renders into a file, replaced in one step."""
    text = render(records, path.parent)
    fresh = path.with_name(f".{path.name}.new")
    # Half of a surrogate pair cannot be written; all else can.
    fresh.write_text(text, encoding="utf-8", errors="replace")
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


def folds(steps: Sequence[Mapping[str, Any]]) -> list[tuple[bool, list[Mapping[str, Any]]]]:
    """Steps in runs: those that merely prepared and worked are to be folded, the others to be shown."""
    runs = itertools.groupby(steps, lambda step: step["do"] == "setup" and step["verdict"] == "passed")
    return [(folded, list(run)) for folded, run in runs]


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


class _Pieces:
    """The macros of scenario.html.j2, for Python and as functions for all templates.

    A run has thousands of steps and repeats itself: what most of them share is rendered once.
    """

    def __init__(self, environment: Environment) -> None:
        environment.globals["heading"] = self.heading
        environment.globals["rows"] = self.rows
        environment.globals["compared"] = self.compared
        macros: Any = environment.get_template("scenario.html.j2").module
        # True and 1 are equal and read differently, hence typed.
        once = functools.partial(functools.lru_cache, maxsize=None, typed=True)
        self.body: Callable[[Mapping[str, Any]], str] = macros.body
        self._heading: Callable[..., str] = once()(macros.step_heading)
        self._row = once()(macros.row)
        self._comparison = once()(macros.comparison)
        #: Fields and answers of a step's characteristics, as the cells behind its name.
        environment.globals["answers"] = once()(macros.answers)

    def heading(self, step: Mapping[str, Any]) -> str:
        """What a step was and how it ended."""
        return self._heading(*_HEADING(step))

    def rows(self, mapping: Mapping[str, Any]) -> Markup:
        """One row for each key."""
        row = self._row
        return _joined(
            [row(key, value if type(value) in _SCALARS else number(value)) for key, value in mapping.items()]
        )

    def compared(self, comparisons: Iterable[Mapping[str, Any]]) -> Markup:
        """One row for each comparison: what was judged before what was only recorded."""
        in_order = sorted(comparisons, key=itemgetter("characteristic"))
        return _joined([self._comparison(*_COMPARISON(c)) for c in in_order])


def _joined(rendered: Iterable[Markup]) -> Markup:
    # Markup's own join asks of each whether it has been escaped; what macros give always has.
    return Markup("".join(rendered))  # noqa: S704


def _is_odd(scenario: Mapping[str, Any]) -> bool:
    """Whether a scenario that did not fail has something to read all the same."""
    loud = {verdict.value for verdict in LOUD}
    return scenario["verdict"] not in loud and bool(
        scenario["evidence"]
        or len(scenario.get("attempts") or ()) > 1
        or any(step["verdict"] in loud for step in scenario["steps"])
    )


class _Block:
    """Rendered bodies by anchor as JSON, gzip and base64, which no HTML can be in.

    Compressed as they come: all of them are some 40 MB.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._file = io.BytesIO()
        # No GzipFile: one that is not closed, as of a report that fails, complains when it is collected.
        self._gzip = zlib.compressobj(_COMPRESSION, wbits=_GZIP)
        self._last: Future[int] | None = None
        self._opening = "{"

    def add(self, anchor: str, body: str) -> None:
        """One more; what was given before is compressed by then, so that no more than two are in memory."""
        text = f"{self._opening}{json.dumps(anchor)}:{json.dumps(body)}"
        self._opening = ","
        if self._last is not None:
            self._last.result()
        self._last = self._pool.submit(self._write, text)

    def close(self) -> str:
        """All of it."""
        if self._last is not None:
            self._last.result()
        self._write("}")
        self._file.write(self._gzip.flush())
        return base64.b64encode(self._file.getvalue()).decode("ascii")

    def _write(self, text: str) -> int:
        return self._file.write(self._gzip.compress(text.encode("ascii")))


def _asset(name: str) -> str:
    return (resources.files("harness.results") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _scenarios(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    steps = {key: [*map(_shown, found)] for key, found in tally.steps_of(records).items()}
    recorded = {(one["order"], one["scenario"]): one for one in tally.of_kind(records, "recording")}
    return [
        {
            **record,
            "steps": steps.get((record["order"], record["id"]), []),
            "recording": recorded.get((record["order"], record["id"])),
            "anchor": f"s{position}",
        }
        for position, record in enumerate(tally.of_kind(records, "scenario"))
    ]


def _shown(step: Mapping[str, Any]) -> Mapping[str, Any]:
    """A step as the page has it: where nothing was left behind, without the counts that judge nothing."""
    block = step.get("status_block") or {}
    if step["verdict"] == "passed" and block.get("op") == "release_all":
        judged = [one for one in step["comparisons"] if not one["characteristic"]]
        return {**step, "status_block": None, "comparisons": judged}
    return step


def _causes(scenarios: Sequence[Mapping[str, Any]]) -> list[tuple[Any, list[Mapping[str, Any]]]]:
    return list(grouped((scenario, scenario["steps"]) for scenario in scenarios).items())


def _columns(matrix: Mapping[str, Mapping[str, Any]]) -> list[str]:
    present = {route for routes in matrix.values() for route in routes}
    return [r for r in ROUTES if r in present] + sorted(present - {*ROUTES, "-"}) + ["-"] * ("-" in present)


def _bar(totals: Counter[str]) -> list[dict[str, str]]:
    """The parts of the bar that shows how many there are of each verdict, in percent."""
    total = sum(totals.values())
    parts, x = [], 0
    for verdict in Verdict:
        count = totals[verdict.value]
        if count:
            parts.append(
                {"name": verdict.value, "x": f"{100 * x / total:.4f}", "width": f"{100 * count / total:.4f}"}
            )
        x += count
    return parts


def _overall(totals: Counter[str], problem: str | None) -> str:
    """One word for the run: never better than its exit code."""
    known = [verdict for verdict in Verdict if totals[verdict.value]]
    return worst([*known, *([Verdict.ERROR] if problem else [])]).value


def _characteristics(scenarios: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Scenarios with such answers, each with its steps that have some."""
    found = []
    for scenario in scenarios:
        recorded = []
        for step in scenario["steps"]:
            answers = tuple((c["field"], c["got"]) for c in step["comparisons"] if c["characteristic"])
            if answers:
                recorded.append({"name": step["name"], "answers": answers})
        if recorded:
            count = sum(len(step["answers"]) for step in recorded)
            found.append(
                {"anchor": scenario["anchor"], "id": scenario["id"], "recorded": recorded, "count": count}
            )
    return found
