# SPDX-License-Identifier: Apache-2.0
"""Nights as a strip: one letter a night, and the strip drawn."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from itertools import groupby

from markupsafe import Markup

from harness.results.rates import wilson
from harness.verdict import Verdict

#: A night of which nothing is known, and one in which both outcomes came on identical inputs.
NOT_RUN, MIXED = ".", "m"
LETTERS = {
    Verdict.PASSED: "p",
    Verdict.SKIPPED: "s",
    Verdict.ERROR: "e",
    Verdict.FAILED: "f",
    Verdict.HUNG: "h",
    Verdict.CRASHED: "c",
}
WORDS = {letter: verdict.value for verdict, letter in LETTERS.items()} | {MIXED: "both", NOT_RUN: "not run"}
#: From what says least to what outranks all else.
_ORDER = ".spemfhc"
_TELLING = "pfhcm"
_BAD = "fhc"
_CELL, _HIGH = 5, 14


def worst(letters: Iterable[str]) -> str:
    """The letter of a whole."""
    return max(letters, key=_ORDER.index, default=NOT_RUN)


def together(strips: Collection[str]) -> str:
    """The worst of each night, of strips of one length."""
    different = set(strips)
    if len(different) == 1:
        return next(iter(different))
    return "".join(map(worst, zip(*different, strict=True)))


def counts(verdicts: str, tries: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Attempts that failed, and all that tell of the driver.

    Args:
        verdicts: the strip, with the nights that `tries` is about set to `NOT_RUN`.
        tries: failed and all of nights with other than one attempt.
    """
    failed = sum(verdicts.count(letter) for letter in _BAD)
    n = sum(verdicts.count(letter) for letter in _TELLING)
    for more_failed, more in tries:
        failed, n = failed + more_failed, n + more
    return failed, n


@lru_cache(maxsize=4096)
def interval(failed: int, n: int) -> str:
    """Wilson's interval of a rate, in words."""
    low, high = wilson(failed, n)
    return f"{100 * low:.1f} to {100 * high:.1f}%"


@lru_cache(maxsize=4096)
def said(strip: str) -> str:
    """A strip in words, for those who do not see it."""
    numbers = [(strip.count(letter), word) for letter, word in WORDS.items()]
    told = ", ".join(f"{number} {word}" for number, word in numbers if number)
    return f"{len(strip)} nights, the oldest first: {told}"


@lru_cache(maxsize=4096)
def drawn(strip: str) -> Markup:
    """A strip as a picture; equal nights beside each other are one box."""
    boxes, at = [], 0
    for letter, group in groupby(strip):
        length = len(list(group))
        boxes.append(
            f'<rect class="n-{letter if letter != NOT_RUN else "x"}" x="{at * _CELL}" y="0"'
            f' width="{length * _CELL}" height="{_HIGH}"/>'
        )
        at += length
    lines = "".join(f"M{number * _CELL} 0v{_HIGH}" for number in range(1, len(strip)))
    width = len(strip) * _CELL
    # Letters of our own alone come this far.
    return Markup(  # noqa: S704
        f'<svg class="strip" role="img" aria-label="{said(strip)}" viewBox="0 0 {width} {_HIGH}"'
        f' width="{width}" height="{_HIGH}">{"".join(boxes)}<path class="n-line" d="{lines}"/></svg>'
    )
