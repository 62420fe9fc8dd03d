# SPDX-License-Identifier: Apache-2.0
"""A store of many nights is read as far as it counts: the site is the same, byte for byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.site import judging
from tests.harness.nights.folders import Case
from tests.harness.site.pages import Site
from tests.harness.site.test_build import run


@pytest.mark.parametrize("latest", [1, 3])
def test_what_lies_before_the_latest_runs_is_looked_at_where_they_say_too_little(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, latest: int
) -> None:
    bad = [Case("a", "failed"), Case("b")]
    site.take(*(run(number, bad if number == 3 else None) for number in range(7)))
    site.take(run(7, recipe="lab", command="kshs run --guest lab --target relay"), run(8, bad))
    site.take(run(8, bad, id="lab8", recipe="lab", command="kshs run --guest lab --target relay"))
    site.build()
    there = site.out
    site.out = tmp_path / "other"
    monkeypatch.setattr(judging, "_LATEST", latest)
    site.build()
    pages = sorted(path.relative_to(there) for path in there.rglob("*.html"))
    assert len(pages) > 10
    assert pages == sorted(path.relative_to(site.out) for path in site.out.rglob("*.html"))
    for page in pages:
        assert (there / page).read_bytes() == (site.out / page).read_bytes(), page
    shutil.rmtree(site.out)
