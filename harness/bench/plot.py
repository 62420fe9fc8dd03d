# SPDX-License-Identifier: Apache-2.0
"""The series of a benchmark as one SVG picture: cost per request and host memory over their number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_WIDTH, _HEIGHT, _GAP = 360, 220, 70
_LEFT, _TOP, _BOTTOM = 70, 40, 60
_COLOURS = ("#1f77b4", "#d95f02")


def svg(series: Sequence[Mapping[str, Any]]) -> str:
    """The picture; both axes of the costs and the sizes are logarithmic, that of the memory begins at 0.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not series:
        raise ValueError("there is no series to draw")
    width = _LEFT + 2 * _WIDTH + _GAP + 30
    height = _TOP + _HEIGHT + _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    sizes = [float(point["requests"]) for point in series]
    low, high = _decades(sizes)
    costs = [float(point["cost_ms"]) for point in series]
    cost_low, cost_high = _decades(costs)
    ceiling = math.ceil(max(float(point["host_rss_mib"]) for point in series) * 1.25 / 50) * 50
    parts += _panel(
        series, "cost_ms", "milliseconds a request", _LEFT, (low, high),
        lambda value: (math.log10(value) - cost_low) / (cost_high - cost_low),
        [(10.0**power, f"{10.0**power:g}") for power in range(cost_low, cost_high + 1)],
    )  # fmt: skip
    parts += _panel(
        series, "host_rss_mib", "memory of the host's process, MiB", _LEFT + _WIDTH + _GAP, (low, high),
        lambda value: value / ceiling,
        [(ceiling * part / 5, f"{ceiling * part / 5:g}") for part in range(6)],
    )  # fmt: skip
    return "\n".join([*parts, "</svg>", ""])


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Powers of ten around the values, at least one decade."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return (low, high) if high > low else (low, low + 1)


def _panel(
    series: Sequence[Mapping[str, Any]],
    key: str,
    title: str,
    left: int,
    decades: tuple[int, int],
    place: Callable[[float], float],
    ticks: Sequence[tuple[float, str]],
) -> list[str]:
    low, high = decades

    def x(requests: float) -> float:
        return left + _WIDTH * (math.log10(requests) - low) / (high - low)

    def y(value: float) -> float:
        return _TOP + _HEIGHT * (1 - place(value))

    parts = [f'<text x="{left}" y="{_TOP - 18}" font-size="14">{title}</text>']
    for value, text in ticks:
        parts.append(
            f'<line x1="{left}" x2="{left + _WIDTH}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>'
            f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{text}</text>'
        )
    for power in range(low, high + 1):
        at = x(10.0**power)
        parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{_TOP + _HEIGHT}" stroke="#ddd"/>'
            f'<text x="{at:.1f}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle">10^{power}</text>'
        )
    for number, repeat in enumerate(sorted({int(point["requests_a_step"]) for point in series})):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [
            (x(float(p["requests"])), y(float(p[key]))) for p in series if p["requests_a_step"] == repeat
        ]
        line = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" fill="{colour}"/>' for px, py in points]
        name = "one request a step" if repeat == 1 else f"{repeat} requests a step"
        parts.append(
            f'<text x="{left + number * 160}" y="{_TOP + _HEIGHT + 42}" fill="{colour}">{name}</text>'
        )
    return parts
