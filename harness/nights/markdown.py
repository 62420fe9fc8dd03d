# SPDX-License-Identifier: Apache-2.0
"""A night for a merge request: a few lines of Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness import guest_text

#: New findings of one cell that are listed.
_SHOWN = 20
_LONG = 300


def summary(name: str, cells: Sequence[Mapping[str, Any]]) -> str:
    """A table of the cells, and what is new in each.

    Args:
        name: of the night.
        cells: as in its record: `cell`, `code`, `said`, and in `more` what the comparison has found.
    """
    return "\n".join(_lines(name, cells)) + "\n"


def _lines(name: str, cells: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    # What is said of repeats is said of all of them together.
    groups = {cell["more"].get("group", cell["cell"]): cell for cell in cells}
    alarms = sum(cell["more"].get("alarms", 0) for cell in groups.values())
    yield f"## Night {_code(name)}: {alarms} new" if alarms else f"## Night {_code(name)}: nothing new"
    yield ""
    yield "| cell | run | against | what |"
    yield "|---|---|---|---|"
    for cell in cells:
        more = cell["more"]
        what = more.get("summary") or f"not known: {cell['said'] or 'it has left no results'}"
        yield (
            f"| {_code(cell['cell'])} | {_code(more.get('run') or '-')} | {_code(more.get('against') or '-')}"
            f" | {_code(what)} |"
        )
    for group, cell in groups.items():
        yield from _new(_code(group), cell["more"].get("new") or [])
    for cell in cells:
        released = cell["more"].get("released")
        if released:
            title = f"{_code(cell['cell'])} against {_code(released['target'])}: {_code(released['summary'])}"
            yield from _new(title, released["new"]) if released["new"] else ("", title)


def _new(title: str, findings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What somebody has to look at."""
    if not findings:
        return
    yield ""
    yield f"### {title}"
    yield ""
    for finding in findings[:_SHOWN]:
        yield f"- **{finding['kind']}** {_code(finding['key'])}: {_code(finding['words'])}"
    if len(findings) > _SHOWN:
        yield f"- and {len(findings) - _SHOWN} more"


def _code(text: str) -> str:
    """Text that a guest may have a part in: no links, no names that are told, no cells of its own."""
    shown = guest_text.one_line(str(text), _LONG).replace("`", "'").replace("|", "\\|")
    return f"`{shown}`"
