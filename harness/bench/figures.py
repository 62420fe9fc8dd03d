# SPDX-License-Identifier: Apache-2.0
"""The figures of a benchmark, and the goals that they are held against; nothing here measures."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: The keys of ``out/bench.json``: unit, and what the figure is, for people.
KEYS: Mapping[str, tuple[str, str]] = {
    "first_request_s": ("s", "from `kshs run` to the first request, warm cache"),
    "lease_s": ("s", "fork asked for to agent ready"),
    "clone_floor_s": ("s", "the same fork by bare QEMU and one SSH connect"),
    "requests_per_s_single": ("/s", "requests, each sent when the one before has answered"),
    "requests_per_s_pipelined": ("/s", "requests in flight together"),
    "agent_loop_per_s": ("/s", "the agent's own loop over the same steps, from a file in the guest"),
    "naive_per_s": ("/s", "requests, each by a paramiko exec of its own"),
    "suite_s": ("s", "`kshs run` of the whole catalogue, from start to exit"),
    "suite_guest_s": ("s", "of that, time inside the guest, by the guest's clock"),
    "journal_s": ("s", "of `suite_s`, what a run without a journal takes less, in turns"),
    "host_peak_mib": ("MiB", "peak memory of `kshs run` and its guests together (PSS)"),
}

#: Share of a run that its journal may cost.
JOURNAL = 0.03
#: Cost per request may differ by this factor over the sizes of a series and still be called flat.
FLAT_COST = 1.3
#: MiB by which the host's memory may grow over a series and still be called flat.
FLAT_MEMORY_MIB = 16.0
#: Share of what bare guests gain by running beside each other that workers must gain, too.
NEAR_LINEAR = 0.8


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured under one key: every sample, in the order of measurement."""

    samples: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.samples:
            raise ValueError("a figure has at least one sample")

    @property
    def median(self) -> float:
        """The middle sample."""
        return statistics.median(self.samples)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: minimum, median, maximum, samples."""
        return {
            "min": rounded(min(self.samples)),
            "median": rounded(self.median),
            "max": rounded(max(self.samples)),
            "samples": [rounded(sample) for sample in self.samples],
        }


@dataclass(frozen=True, slots=True)
class Point:
    """One size of a series: so many requests, `repeat` of them in each step."""

    requests: int
    repeat: int
    seconds: float
    host_rss_mib: float

    @property
    def cost_ms(self) -> float:
        """Milliseconds a request."""
        return self.seconds / self.requests * 1e3

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "requests": self.requests,
            "requests_a_step": self.repeat,
            "seconds": rounded(self.seconds),
            "cost_ms": rounded(self.cost_ms),
            "host_rss_mib": rounded(self.host_rss_mib),
        }


@dataclass(frozen=True, slots=True)
class Workers:
    """`kshs run -n` so many workers.

    Args:
        n: workers.
        seconds: of the run.
        peak_mib: of the run and its guests.
        one_seconds: of the run that it is compared with.
        bare_times: how many times the work of one guest so many bare guests do beside each other.
        busy: share of the machine's processor time that was used meanwhile, 0 to 1.
    """

    n: int
    seconds: float
    peak_mib: float
    one_seconds: float
    bare_times: float
    busy: float

    @property
    def times(self) -> float:
        """How many times as fast as the run that it is compared with."""
        return self.one_seconds / self.seconds

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "n": self.n,
            "seconds": rounded(self.seconds),
            "peak_mib": rounded(self.peak_mib),
            "times": rounded(self.times),
            "bare_times": rounded(self.bare_times),
            "busy": rounded(self.busy),
        }


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal: what is wanted, what came, whether that is met, and by how much it is or is not."""

    name: str
    met: bool
    got: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"goal": self.name, "met": self.met, "got": self.got}


def goals(
    medians: Mapping[str, float], series: Sequence[Point], workers: Sequence[Mapping[str, Any]] = ()
) -> list[Goal]:
    """The goals, each held against the figures of one run.

    Args:
        medians: by the keys of `KEYS`.
        series: of points; those with equal `repeat` belong together.
        workers: `Workers.as_dict` of each run with several.
    """
    m = medians
    found = [
        _ratio("pipelined >= 0.8 x agent loop", m["requests_per_s_pipelined"], m["agent_loop_per_s"], 0.8),
        _ratio("pipelined >= 100 x naive", m["requests_per_s_pipelined"], m["naive_per_s"], 100.0),
        _ratio("lease <= 1.3 x clone floor", m["lease_s"], m["clone_floor_s"], 1.3, most=True),
    ]
    allowed = 2 * m["suite_guest_s"] + m["lease_s"]
    found.append(
        Goal(
            "suite <= 2 x time in the guest + lease",
            m["suite_s"] <= allowed,
            f"{m['suite_s']:.1f} s of {allowed:.1f} s allowed",
        )
    )
    found.append(_ratio("journal <= 0.03 x suite", m["journal_s"], m["suite_s"], JOURNAL, most=True))
    for repeat in sorted({point.repeat for point in series}):
        found += _flat([point for point in series if point.repeat == repeat], repeat)
    for row in workers[1:]:
        # How far cores carry is the machine's; what workers lose beyond that is ours.
        name = f"{row['n']} workers >= {NEAR_LINEAR} x what as many bare guests give"
        found.append(
            Goal(
                name,
                row["times"] >= NEAR_LINEAR * row["bare_times"],
                f"{row['times']:.2f} times as fast, bare guests {row['bare_times']:.2f}",
            )
        )
    return found


def _ratio(name: str, value: float, base: float, factor: float, *, most: bool = False) -> Goal:
    ratio = value / base
    return Goal(name, ratio <= factor if most else ratio >= factor, f"{ratio:.2f} x")


def _flat(points: Sequence[Point], repeat: int) -> list[Goal]:
    kind = "one request a step" if repeat == 1 else f"{repeat} requests a step"
    sizes = f"{points[0].requests:,} to {points[-1].requests:,} requests, {kind}"
    # What each request costs more as they become many; the first size also pays for warming up.
    cost = points[-1].cost_ms / min(point.cost_ms for point in points)
    growth = points[-1].host_rss_mib - points[0].host_rss_mib
    return [
        Goal(f"flat cost, {sizes}", cost <= FLAT_COST, f"{cost:.2f} x the cheapest size"),
        Goal(f"flat memory, {sizes}", growth <= FLAT_MEMORY_MIB, f"{growth:+.1f} MiB"),
    ]


def document(
    figures: Mapping[str, Figure], series: Sequence[Point], more: Mapping[str, Any]
) -> dict[str, Any]:
    """What is written as ``bench.json``: the keys as numbers, then everything behind them.

    Raises:
        ValueError: a key is missing or not one of `KEYS`.
    """
    if set(figures) != set(KEYS):
        raise ValueError(f"figures are {sorted(figures)}, expected {sorted(KEYS)}")
    medians = {key: figures[key].median for key in KEYS}
    # A peak is the worst that was seen.
    medians["host_peak_mib"] = max(figures["host_peak_mib"].samples)
    workers = more.get("suite", {}).get("workers", ())
    return {
        **{key: rounded(value) for key, value in medians.items()},
        "figures": {key: {"unit": KEYS[key][0], **figures[key].as_dict()} for key in KEYS},
        "goals": [goal.as_dict() for goal in goals(medians, series, workers)],
        "series": [point.as_dict() for point in series],
        **more,
    }


def rounded(value: float) -> float:
    """Four significant digits: more were never measured."""
    return float(f"{value:.4g}")
