# SPDX-License-Identifier: Apache-2.0
"""coverage.html: one self-contained page with the sources in it; texts of guests and files are escaped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from harness.coverage.c_text import text_lines
from harness.coverage.figures import ModuleFigures, Share, ranges
from harness.coverage.model import RunCoverage

HTML = "coverage.html"
#: Lines that are named behind a file.
_NAMED = 40


def render(coverage: RunCoverage, every: Sequence[ModuleFigures]) -> str:
    """The page of a run."""
    environment = Environment(
        loader=PackageLoader("harness.coverage"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    run = {"target": None, "guest": None, "started": None, **coverage.run}
    return environment.get_template("coverage.html.j2").render(
        run=run,
        notes=coverage.notes,
        modules=every,
        files=[_files(coverage, one) for one in every],
        missed_functions=[_functions(one, reached=False) for one in every],
        reached_functions=[_functions(one, reached=True) for one in every],
        scenarios=_scenarios(coverage, every),
    )


def _files(coverage: RunCoverage, one: ModuleFigures) -> list[dict[str, Any]]:
    missed = one.unreached()
    lines: dict[int, dict[int, int]] = {}
    for number, (file, line) in enumerate(one.module.lines):
        lines.setdefault(file, {})[line] = number
    found = []
    for file, known in sorted(lines.items(), key=lambda item: one.module.files[item[0]].shown):
        source = one.module.files[file]
        reached = sum(one.lines >> number & 1 for number in known.values())
        text = text_lines(source.text) if source.text is not None else []
        found.append(
            {
                "shown": source.shown,
                "share": Share(reached, len(known)),
                "missed": _shortened(missed.get(file, [])),
                "open": False,
                "rows": [
                    _row(coverage, one, number, content, known.get(number))
                    for number, content in enumerate(text, 1)
                ],
            }
        )
    return found


def _row(
    coverage: RunCoverage, one: ModuleFigures, number: int, content: str, line: int | None
) -> dict[str, Any]:
    """One line of a source: `line` is its number among those that have code."""
    if line is None:
        return {"line": number, "count": "", "text": content, "style": "", "who": ""}
    count, owner = one.counts[line], one.only.get(line)
    style = "one" if owner is not None else "hit" if count else "phase" if one.lines >> line & 1 else "miss"
    who = coverage.scenarios[owner].id if owner is not None else ""
    return {"line": number, "count": count, "text": content, "style": style, "who": who}


def _functions(one: ModuleFigures, *, reached: bool) -> list[str]:
    """Names of functions, offsets where nobody knows the name."""
    return [
        function.name or f"+0x{function.offset:x}"
        for number, function in enumerate(one.module.functions)
        if bool(one.functions >> number & 1) == reached
    ]


def _scenarios(coverage: RunCoverage, every: Sequence[ModuleFigures]) -> list[dict[str, Any]]:
    rows = []
    alone = [0] * len(coverage.scenarios)
    for one in every:
        for owner in one.only.values():
            alone[owner] += 1
    for place, ran in enumerate(coverage.scenarios):
        cells = []
        for one in every:
            blocks = ran.blocks.get(one.module.name, 0)
            of = one.module.lines_of if one.module.lines else one.module.functions_of
            cells.append({"what": of(blocks).bit_count(), "blocks": blocks.bit_count()})
        rows.append({"id": ran.id, "cells": cells, "alone": alone[place]})
    return rows


def _shortened(lines: Sequence[int]) -> str:
    text = ranges(lines[:_NAMED])
    return text + (f" and {len(lines) - _NAMED} more" if len(lines) > _NAMED else "")
