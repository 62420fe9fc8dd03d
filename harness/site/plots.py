# SPDX-License-Identifier: Apache-2.0
"""Plots as SVG that stands in a page: drawn by pygal, coloured by the page's own style, light or dark.

What pygal adds for a page of its own is taken out: a style and a script, which the pages' policy forbids, and
its random ids, for the same nights shall give the same page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

from harness.results.rates import wilson

_WIDTH, _HEIGHT = 820, 230
#: Nights that are named below a plot, at most.
_NAMED = 10
#: Up to so many nights each has a dot.
_DOTTED = 20
#: Lines of one plot, as many as have a colour.
LINES = 6
_OURS: Mapping[str, Any] = {
    "js": (),
    "width": _WIDTH,
    "height": _HEIGHT,
    "margin": 6,
    "spacing": 8,
    "show_legend": False,
    "no_prefix": True,
    "show_minor_x_labels": False,
    "tooltip_fancy_mode": False,
    "disable_xml_declaration": True,
    "truncate_label": -1,
    "max_scale": 6,
}
#: Parts that are for pygal's own script alone.
_LEFT_OUT = frozenset({"style", "script", "defs", "desc", "title"})
_OVERLAYS = frozenset({"tooltip", "text-overlay", "tooltip-overlay"})


@dataclass(frozen=True)
class Plot:
    """A picture, and what its colours mean: class of the style, and name; nothing where there is one."""

    title: str
    picture: Markup
    legend: tuple[tuple[str, str], ...] = ()


def bars(title: str, nights: Sequence[str], series: Mapping[str, Sequence[float | None]], unit: str) -> Plot:
    """Bars upon each other, one a night; colours are those of the series' names."""
    from pygal import StackedBar

    chart = StackedBar(**_OURS, y_title=unit, x_labels=_short(nights), x_labels_major=_named(nights))
    for name, values in series.items():
        chart.add(name, [value or None for value in values])
    classes = [f"s-{name}" for name in series]
    return Plot(title, _svg(chart, title, classes), tuple(zip(classes, series, strict=True)))


def lines(title: str, nights: Sequence[str], series: Mapping[str, Sequence[float | None]], unit: str) -> Plot:
    """A line each; where a night has no value the line is broken."""
    from pygal import Line

    chart = Line(
        **_OURS,
        y_title=unit,
        x_labels=_short(nights),
        x_labels_major=_named(nights),
        allow_interruptions=True,
        include_x_axis=True,
        show_dots=len(nights) <= _DOTTED,
        dots_size=2,
    )
    for name, values in list(series.items())[:LINES]:
        chart.add(name, list(values))
    classes = [f"l-{number}" for number in range(LINES)]
    legend = tuple(zip(classes, series, strict=False)) if len(series) > 1 else ()
    return Plot(title, _svg(chart, title, classes), legend)


def rates(title: str, rows: Mapping[str, tuple[int, int]]) -> Plot:
    """Rates of failures in percent, each with Wilson's interval; of each how many failed of how many."""
    from pygal import Bar

    chart = Bar(**{**_OURS, "show_minor_x_labels": True}, y_title="failed, %", range=(0, 100))
    chart.x_labels = [str(number) for number in range(1, len(rows) + 1)]
    values = []
    for failed, n in rows.values():
        low, high = wilson(failed, n)
        values.append({"value": 100 * failed / n, "ci": {"low": 100 * low, "high": 100 * high}})
    chart.add("rate", values)
    return Plot(title, _svg(chart, title, ["s-failed"]))


def _short(nights: Sequence[str]) -> list[str]:
    return [night[5:] for night in nights]


def _named(nights: Sequence[str]) -> list[str]:
    """Those that are named: the last one, and some before it at equal distances."""
    step = -(-len(nights) // _NAMED) or 1
    return [night[5:] for night in nights[::-1][::step]][::-1]


def _svg(chart: Any, title: str, classes: Sequence[str]) -> Markup:
    root = chart.render_tree()
    _clean(root)
    for name in list(root.attrib):
        del root.attrib[name]
    root.set("class", "chart")
    root.set("role", "img")
    root.set("aria-label", title)
    root.set("viewBox", f"0 0 {_WIDTH} {_HEIGHT}")
    for element in root.iter():
        words = (element.get("class") or "").split()
        number = next((int(word[6:]) for word in words if word[:6] == "color-" and word[6:].isdigit()), None)
        if number is not None:
            words.append(classes[number % len(classes)])
            element.set("class", " ".join(words))
        element.attrib.pop("id", None)
    # Of pygal's tree, which escapes what it writes; names of scenarios and guests are in it as text alone.
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704


def _clean(element: Any) -> None:
    for child in list(element):
        words = set((child.get("class") or "").split())
        if not isinstance(child.tag, str) or child.tag in _LEFT_OUT or words & _OVERLAYS:
            element.remove(child)
        else:
            child.attrib.pop("style", None)
            _clean(child)
