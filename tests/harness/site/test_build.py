# SPDX-License-Identifier: Apache-2.0
"""A site built and brought up to date: what is made anew, what stays, and what nobody may put into it."""

from __future__ import annotations

import glob
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.nights.findings import Kind
from harness.nights.known_file import KnownFile
from harness.site import calendar, gates, memory
from harness.site.history import digest
from harness.store.pruning import prune
from tests.harness.commands.in_process import called
from tests.harness.nights.folders import BEGAN, Case, Results
from tests.harness.nights.test_history import ISSUE
from tests.harness.site.pages import Site, counts, of_class, said, text

GOOD = [Case("a"), Case("b")]
BAD = [Case("a", "failed"), Case("b")]
#: What hostile text would do if it could.
EVIL = "</style></title><script>window.ran = 1</script><img src=x onerror='window.ran = 2'>\"' javascript:x"


def run(number: int, cases: list[Case] | None = None, **words: Any) -> Results:
    given = {"command": "kshs run --guest wine --target relay", "package": f"{number:064x}", **words}
    return Results(night=number, cases=GOOD if cases is None else cases, **given)


def files(site: Site) -> dict[str, tuple[int, bytes]]:
    """All files, each with when it was written."""
    found = (path for path in site.out.rglob("*") if path.is_file())
    return {str(path.relative_to(site.out)): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def known(tmp_path: Path, text: str) -> list[KnownFile]:
    from harness.nights.known_file import load

    (tmp_path / "known-issues.toml").write_text(text)
    return [load(tmp_path / "known-issues.toml")]


def test_nothing_is_written_where_nothing_is_new(site: Site) -> None:
    site.take(run(0), run(1))
    assert str(site.build()) == f"{site.out}/index.html: 2 nights of 2 judged, 8 pages written"
    before = files(site)
    assert str(site.build()) == f"{site.out}/index.html: nothing new, 2 nights"
    assert files(site) == before


def test_a_night_that_goes_on_is_told_anew_and_the_others_stay(site: Site) -> None:
    site.take(run(0), run(1))
    site.build()
    before = files(site)
    site.take(run(1, BAD, id="second", package="f" * 64))
    assert site.build().nights == 1
    after = files(site)
    assert after["night/2026-01-01.html"] == before["night/2026-01-01.html"]
    page = site.page()
    assert said(page)["new"] == {"new failure": ["basic.toml::a"]} and "2 cells" in text(page)
    assert text(site.scenario("basic.toml::a")).count("1 of 3") == 1, "two of the first runs, and this one"
    site.take(run(2))
    assert site.build().nights == 1
    assert said(site.page()) == {"better": {"fixed": ["basic.toml::a"]}}


def test_a_run_of_an_earlier_night_makes_all_anew(site: Site) -> None:
    site.take(run(0), run(2))
    site.build()
    site.take(run(1, BAD))
    assert site.build().nights == 3
    assert said(site.page("night/2026-01-02.html"))["new"] == {"new failure": ["basic.toml::a"]}


def test_what_made_the_pages_makes_them_anew(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.take(run(0), run(1))
    site.build()
    assert site.build(limit=5).nights == 2
    path = site.out / memory.FILE
    for damage in (lambda data: data[:-9], lambda data: data.replace(b"passed", b"failed"), lambda data: b""):
        path.write_bytes(damage(path.read_bytes()))
        assert site.build(limit=5).nights == 2
        assert site.build(limit=5).nights == 0
    path.write_text("no memory\n[]")
    assert site.build(limit=5).nights == 2


def test_known_issues_that_change_tell_the_last_night_anew(site: Site, tmp_path: Path) -> None:
    bad = [Case("issue", "failed", reason="H4: length")]
    site.take(run(20, [Case("issue")]), run(21, bad), run(22, bad))
    site.build()
    assert said(site.page())["new"] == {"still failing": ["basic.toml::issue"]}
    later = known(tmp_path, ISSUE.replace("2026-01-22", "2026-03-01"))
    assert site.build(later).nights == 1
    assert said(site.page())["known"] == {"known": ["basic.toml::issue"]}
    assert "KS-1, ana, https://tracker.example/1" in text(site.page())
    assert site.page().xpath("//a[starts-with(@href, 'http')]/@href") == ["https://tracker.example/1"]
    trap = known(tmp_path, ISSUE.replace("2026-01-22", "2026-03-01").replace("https:", "javascript:"))
    site.build(trap)
    assert "javascript://tracker.example/1" in text(site.page())
    assert site.page().xpath("//a[contains(@href, 'tracker')]") == []
    assert said(site.page("night/2026-01-22.html"))["new"], "what was told of a night stays told"


def test_the_window_and_what_lies_before_it(site: Site) -> None:
    site.take(*(run(number, BAD if number == 1 else GOOD) for number in range(6)))
    assert site.build(limit=3).nights == 3
    rows = [text(row) for row in of_class(site.page("nights.html"), "item")]
    assert len(rows) == 6 and rows[0].startswith("2026-01-06 Nothing new")
    assert rows[4].startswith("2026-01-02 not judged") and "1 failed" in rows[4]
    assert "the last 3 nights" in text(site.scenario("basic.toml::a")) and "0 of 3" in text(
        site.scenario("basic.toml::a")
    )
    site.take(run(6, [Case("a")]))
    site.build(limit=3)
    site.take(run(7, [Case("a")]), run(8, [Case("a")]))
    site.build(limit=3)
    there = {path.name for path in (site.out / "scenario").iterdir()}
    assert there == {f"{digest('basic.toml::a')}.html"}, "b is in no night that is shown"
    assert (site.out / "night" / "2026-01-04.html").is_file(), "pages of earlier nights stay"


def test_what_was_pruned_leaves_the_list_and_takes_its_page_along(site: Site) -> None:
    site.take(*(run(number) for number in range(5)))
    site.build(limit=3)
    with site.store.writing() as connection:
        prune(connection, BEGAN.replace(tzinfo=None, day=2, hour=12), set())
    site.take(run(5))
    assert site.build(limit=3).nights == 1
    assert len(of_class(site.page("nights.html"), "item")) == 4
    site.out.joinpath("night", "mine.html").write_text("kept")
    with site.store.writing() as connection:
        prune(connection, BEGAN.replace(tzinfo=None, day=5, hour=12), set())
    site.build(limit=3)
    assert {path.name for path in (site.out / "night").iterdir()} == {"2026-01-06.html", "mine.html"}


def test_repeats_of_a_night_are_one_cell_and_one_row(site: Site) -> None:
    site.take(run(0), run(1, GOOD, id="r1", package="a" * 64), run(1, BAD, id="r2", package="a" * 64))
    site.build()
    page = site.page()
    (cell,) = of_class(page, "cell")
    assert "runs r1, r2" in text(cell).replace("runsr1", "runs r1")
    assert said(page) == {"flaky": {"flaky": ["basic.toml::a"]}}
    row = text(of_class(site.scenario("basic.toml::a"), "history")[0])
    assert "both" in row and "1 of 3" in row
    assert text(of_class(site.page("scenarios.html"), "item")[0]).startswith("both")


def test_the_candidate_and_the_last_release_are_rows_of_their_own(site: Site) -> None:
    released = {"command": "kshs run --guest wine --target released.toml", "package": "e" * 64}
    site.take(run(0), run(1, BAD), run(1, id="old", **released))
    site.build()
    rows = [text(row) for row in site.scenario("basic.toml::a").xpath("//table/tbody/tr")]
    assert len(rows) == 2 and {"relay (released)" in row for row in rows} == {True, False}
    assert next("1 of 2" in row for row in rows if "released" not in row)


def test_errors_of_the_harness_are_no_news_of_a_driver(site: Site) -> None:
    site.take(run(0, [Case("a", "error", reason="the guest was lost"), Case("b")]))
    site.build()
    page = site.page()
    assert text(page.xpath("//h1")[0]) == "Nothing new, but less known"
    assert said(page) == {"unknown": {"new scenario": ["basic.toml::a"]}} and counts(page)["unknown"] == 1
    site.take(run(1, problem="no guest was had", cases=[]))
    site.build()
    assert text(site.page().xpath("//h1")[0]) == "Nothing new, but less known"
    assert "no guest was had" in text(site.page())


def test_crashes_are_grouped_by_signature(site: Site) -> None:
    crash = "bugcheck 0x3b at relay.sys+0x1234"
    cases = [
        Case("a", "crashed", reason=crash),
        Case("b", "crashed", reason=crash),
        Case("c", "hung", reason="never"),
    ]
    site.take(run(0, [Case(name) for name in "abc"]), run(1, cases), run(2, cases[:1]))
    site.build()
    first, second = of_class(site.page("crashes.html"), "event")
    assert "3 times 2026-01-02 to 2026-01-03, also last night" in text(first) and "bugcheck 0x3b" in text(
        first
    )
    assert "1 time 2026-01-02" in text(second) and "hung" in text(second)
    links = [link.get("href") for link in first.xpath(".//a")]
    assert links == [f"scenario/{digest(f'basic.toml::{name}')}.html" for name in "ab"]


def test_causes_are_one_thing_in_all_cells(site: Site) -> None:
    on = [{"recipe": name, "command": f"kshs run --guest {name} --target relay"} for name in ("wine", "lab")]
    for words in on:
        site.take(run(0, id=f"{words['recipe']}0", **words))
        site.take(run(1, [Case("a", "failed"), Case("b", "failed")], id=f"{words['recipe']}1", **words))
    site.build()
    (group,) = of_class(site.page(), "item")
    assert "2 scenarios, 2 cells" in text(group) and group.get("data-cells") == "1 2"
    assert counts(site.page())["new"] == 4, "as the summary counts"


def test_cells_that_broke_are_told(site: Site, tmp_path: Path) -> None:
    from harness.site import broken
    from harness.store.marks import marks

    site.take(run(0), run(1))
    rows = [
        {"cell": "wine.relay.all.1", "code": 0, "said": None, "more": {"run": "night01"}},
        {"cell": f"lab.{EVIL}", "code": 3, "said": f"no room {EVIL}", "more": {"run": None}},
    ]
    (tmp_path / "night.json").write_text(json.dumps({"schema": 1, "cells": rows}))
    with site.store.reading() as connection:
        told = broken.read([tmp_path], marks(connection))
    assert list(told.cells) == ["2026-01-02"]
    site.build(broken=told)
    page = site.page()
    assert text(page.xpath("//h1")[0]) == "Nothing new, but less known"
    assert "1 cell, 1 more broken or not run" in text(page) and f"no room {EVIL}" in text(page)
    assert site.build().nights == 0 and site.build(limit=9).nights == 2
    assert "1 more broken" in text(site.page()), "it is remembered, for the store does not know it"
    other = tmp_path / "other"
    other.mkdir()
    (other / "night.json").write_text(json.dumps({"cells": [{"cell": "x", "more": {}}, rows[0]]}))
    with site.store.reading() as connection:
        site.build(broken=broken.read([other], marks(connection)), limit=9)
    assert "2 more broken" in text(site.page()), "that of another folder stays"
    rows[1]["more"] = {"run": "night01"}
    (tmp_path / "night.json").write_text(json.dumps({"schema": 1, "cells": rows}))
    with site.store.reading() as connection:
        site.build(broken=broken.read([tmp_path], marks(connection)), limit=9)
    assert "1 more broken" in text(site.page()), "the night went on, and the cell was run"
    for row in rows:
        row["more"] = {"run": None}
    (tmp_path / "night.json").write_text(json.dumps({"schema": 1, "cells": rows}))
    os.utime(tmp_path / "night.json", (1768000000, 1768000000))
    alone = broken.read([tmp_path], [])
    assert [(night, len(cells)) for night, cells in alone.cells.items()] == [("2026-01-10", 2)]
    site.build(broken=alone, limit=9)
    assert text(site.page().xpath("//h1")[0]) == "Nothing is known"
    with pytest.raises(UsageError, match=r"there is no night\.json of a night"):
        broken.read([tmp_path / "none"], [])


def test_hostile_text_stays_text_and_names_no_file(site: Site, tmp_path: Path) -> None:
    evil = Case(f"../../{EVIL}", "crashed", reason=EVIL, file=f"../../etc/{EVIL}.toml", rule=EVIL)
    words = {"kernel": EVIL, "recipe": "../../wine", "target": f"../{EVIL}", "problem": EVIL}
    command = (
        f"kshs run --guest ../x --target '../{EVIL.replace(chr(39), '')}' -k '{EVIL.replace(chr(39), '')}'"
    )
    changed = Case("a", requests=[{"information": 0}])
    site.take(run(0, id="..up", **words, command=command), run(1, [evil, changed], **words, command=command))
    site.build()
    there = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    names = {name for name in there if name.startswith("site/")}
    shape = r"site/(\w+\.html|memory\.json|night/\d{4}-\d\d-\d\d\.html|scenario/[0-9a-f]{20}\.html)"
    assert names and all(re.fullmatch(shape, name) for name in names)
    for name in names - {"site/memory.json"}:
        page = (tmp_path / name).read_text()
        assert len(re.findall("<script", page)) <= 1 and page.count("</style>") == 1, name
        parsed = site.page(name.removeprefix("site/"))
        assert parsed.xpath("//img | //iframe | //@onerror | //*[starts-with(@href, 'javascript')]") == []
        ids = parsed.xpath("//@id")
        assert len(ids) == len(set(ids)), f"{name}: ids are there once"
    assert EVIL in text(site.page())


def test_commands_that_people_copy_are_of_one_piece(site: Site) -> None:
    name = "$(reboot)'; `x`[1]"
    site.take(run(0, [Case(name)], id="a; reboot #"), run(1, [Case(name)], id="b; reboot #"))
    site.build()
    (command,) = [text(code) for code in site.page().xpath("//code") if text(code).startswith("kshs compare")]
    assert shlex.split(command) == ["kshs", "compare", "a; reboot #", "b; reboot #"]
    page = site.scenario(f"basic.toml::{name}")
    told = [shlex.split(text(code)) for code in page.xpath("//code") if text(code).startswith("kshs")]
    assert [words[-1] for words in told] == [glob.escape(name)] * 2


def test_every_link_leads_to_something(site: Site) -> None:
    crash = Case("a", "crashed", reason="bugcheck 0x3b at relay.sys+0x1234")
    site.take(run(0), run(1, [crash, Case("b", requests=[{"information": 0}])]), run(2, BAD))
    (site.folder / "g.html").write_text("<!doctype html><title>1.2 &lt;may&gt; go</title>")
    site.build(gates=[site.folder / "g.html"])
    seen = 0
    for path in site.out.rglob("*.html"):
        if path.parent.name == "gate":
            continue
        page = site.page(str(path.relative_to(site.out)))
        ids = set(page.xpath("//@id"))
        for link in page.xpath("//a/@href"):
            seen += 1
            if link.startswith("#"):
                assert link[1:] in ids, f"{path.name}: {link}"
            else:
                assert (path.parent / link).resolve().is_relative_to(site.out.resolve())
                assert (path.parent / link).is_file(), f"{path.name}: {link}"
    assert seen > 60


def test_nothing_comes_from_outside(site: Site) -> None:
    site.take(run(0), run(1, BAD))
    site.build()
    for path in site.out.rglob("*.html"):
        page = path.read_text()
        assert "default-src 'none'" in page
        assert re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", page) == []
        assert re.findall(r"""style=["']""", page) == [], "the page's own policy would refuse it"


def test_pages_of_gates_are_kept_and_linked(site: Site, tmp_path: Path) -> None:
    site.take(run(0))
    page = tmp_path / "verdict.html"
    page.write_text(f"<!doctype html><html><title>Release 2.0: {EVIL.replace('</title>', '')}</title></html>")
    assert site.build(gates=[page, page]).pages
    (link,) = site.page("gates.html").xpath("//main//a")
    assert text(link).startswith("Release 2.0") and re.fullmatch(r"gate/[0-9a-f]{20}\.html", link.get("href"))
    assert (site.out / link.get("href")).read_bytes() == page.read_bytes()
    assert site.page().xpath("//nav//a[@href='gates.html']")
    page.unlink()
    site.take(run(1))
    site.build()
    assert site.page("gates.html").xpath("//main//a"), "it stays"
    (tmp_path / "no.html").write_text("x")
    with pytest.raises(UsageError, match="is no HTML page"):
        site.build(gates=[tmp_path / "no.html"])


def test_gates_beside_a_store_are_found(tmp_path: Path) -> None:
    (tmp_path / gates.FOLDER).mkdir()
    (tmp_path / gates.FOLDER / "b.html").write_text("")
    (tmp_path / gates.FOLDER / "c.txt").write_text("")
    (tmp_path / gates.FOLDER / "d.html").symlink_to("/etc/passwd")
    assert gates.found(tmp_path / "store.db") == [tmp_path / gates.FOLDER / "b.html"]
    assert gates.found(None) == [] and gates.found(tmp_path / "none" / "store.db") == []


def test_a_night_goes_from_noon_to_noon() -> None:
    began = BEGAN.replace(tzinfo=None)
    assert [calendar.night_of(began.replace(hour=hour)) for hour in (0, 11, 12, 23)] == [
        "2026-01-01",
        "2026-01-01",
        "2026-01-02",
        "2026-01-02",
    ]
    assert calendar.night_of(began.replace(year=9999, month=12, day=31, hour=23)) == "9999-12-31"
    assert calendar.in_words("2026-01-05") == "Monday 5 January 2026"


def test_on_the_command_line(tmp_path: Path) -> None:
    assert called(tmp_path, "site", "build", "--store", "s.db", "--out", "o").returncode == 2, "no store"
    run(0).write(tmp_path)
    assert called(tmp_path, "store", "import", "night00", "--store", "s.db").returncode == 0
    done = called(tmp_path, "site", "build", "--store", "s.db", "--out", "o")
    assert done.returncode == 0 and "o/index.html: 1 night of 1 judged" in done.stdout
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "index.html").write_text("mine")
    done = called(tmp_path, "site", "build", "--store", "s.db", "--out", "theirs")
    assert (done.returncode, done.stderr) == (
        2,
        "kshs: theirs: there is a site of somebody else (see --out)\n",
    )
    assert (tmp_path / "theirs" / "index.html").read_text() == "mine"
    (tmp_path / "file").write_text("")
    for words in (
        ["--out", "file"],
        ["--out", "o", "--gate", "none.html"],
        ["--out", "o", "--night", "theirs"],
    ):
        done = called(tmp_path, "site", "build", "--store", "s.db", *words)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, words


def test_an_empty_store_has_a_page(site: Site) -> None:
    site.build()
    assert text(site.page().xpath("//h1")[0]) == "No night yet"
    site.take(run(0))
    site.build()
    assert text(site.page().xpath("//h1")[0]) == "Nothing new"


def test_kinds_have_a_section_each() -> None:
    from harness.nights.findings import Finding
    from harness.site.causes import SECTIONS, section_of

    names = {name for name, *_ in SECTIONS}
    assert {section_of(Finding(kind, "k", "w"), None) for kind in Kind} | {"new"} == names
    assert section_of(Finding(Kind.KNOWN, "k", "w", alarm=True), None) == "new"
