# SPDX-License-Identifier: Apache-2.0
"""The site in a real browser, as a person uses it: looked for, filtered, by keyboard, on paper, by axe."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pypdf
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from harness.site.history import digest
from tests.harness.nights.folders import DECLINED, Case, Results
from tests.harness.results import test_report_page
from tests.harness.results.test_report_page import Browser, complaints, until
from tests.harness.site.pages import Site
from tests.harness.site.test_build import EVIL

pytestmark = pytest.mark.component

#: A fixture of the tests of the report.
chromium = test_report_page.chromium

GUESTS = {
    "wine": "Wine 8.0 as NT 6.1.7601",
    "server": "Windows Server 10.0.26100.1742",
    "lab": "lab, 10.0.22631",
}
TARGETS = ("relay", "released")
CRASH = "bugcheck 0x3b at relay.sys+0x1234"
PAGES = ("index.html", "nights.html", "scenarios.html", "crashes.html", "gates.html")


def cases(number: int, guest: str, target: str) -> list[Case]:
    """What a night of the lab finds: in the last one of everything something."""
    made = {
        name: Case(name)
        for name in ("length.0", "length.1", "length.2", "mode.irp", "silent", "steady", EVIL)
    }
    if target == "released":
        return list(made.values())
    made["wobbly"] = Case("wobbly", attempts=("failed", "passed") if number % 5 == 2 else ())
    if number in (3, 4):
        made["length.2"] = Case("length.2", "failed", reason="H4: length")
    if number == 9:
        for name in ("length.0", "length.1"):
            made[name] = Case(name, "failed", reason="H4: answer is STATUS_SUCCESS (0x00000000)")
        made["silent"] = Case("silent", requests=[{"information": 0, "answer": DECLINED}])
        if guest == "lab":
            made["mode.irp"] = Case("mode.irp", "crashed", reason=CRASH)
            made["steady"] = Case("steady", "error", reason="the guest was lost")
            made[EVIL] = Case(EVIL, "failed", reason=EVIL)
    return list(made.values())


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Ten nights of six cells, and a gate's page."""
    site = Site(tmp_path_factory.mktemp("lab"))
    with site.store:
        for number in range(10):
            for guest, kernel in GUESTS.items():
                for target in TARGETS:
                    run = Results(
                        number,
                        cases(number, guest, target),
                        id=f"{guest}{target}{number}",
                        kernel=kernel,
                        recipe=guest,
                        package=f"{number:064x}" if target == "relay" else "e" * 64,
                        command=f"kshs run --guest {guest} --target {target}",
                    )
                    site.take(run)
        (site.folder / "gate.html").write_text("<!doctype html><title>Release 2.0 may go</title>")
        site.build(gates=[site.folder / "gate.html"])
        yield site


def opened(browser: Browser, site: Site, page: str, fragment: str = "") -> Browser:
    browser.get("about:blank")
    browser.get_log("browser")  # type: ignore[no-untyped-call]
    browser.get((site.out / page).as_uri() + fragment)
    return browser


def scenario(name: str) -> str:
    return f"scenario/{digest(f'basic.toml::{name}')}.html"


def shown(browser: Browser) -> int:
    return int(browser.execute_script("return document.querySelectorAll('.item:not([hidden])').length"))


def look_for(browser: Browser, words: str) -> int:
    field = browser.find_element(By.ID, "search")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(words)
    count = shown(browser)
    said = browser.find_element(By.ID, "shown").text
    assert said.startswith(f"{count} of "), said
    return count


def test_every_page_opens_without_a_word_on_the_console(chromium: Browser, lab: Site) -> None:
    for page in (*PAGES, "night/2026-01-05.html", *(scenario(name) for name in ("silent", "wobbly", EVIL))):
        opened(chromium, lab, page)
        assert complaints(chromium) == [], page
        assert chromium.execute_script("return window.ran") is None, page
        assert chromium.find_element(By.TAG_NAME, "h1").text


def test_what_is_new_comes_first_and_is_open(chromium: Browser, lab: Site) -> None:
    page = opened(chromium, lab, "index.html")
    assert page.find_element(By.TAG_NAME, "h1").text == "11 new"
    headings = [h.text.split(" ")[0] for h in page.find_elements(By.CSS_SELECTOR, "main h2")]
    assert headings[:6] == ["New", "Known", "Flaky", "Infrastructure", "Fixed", "Cells"]
    groups = page.find_elements(By.CSS_SELECTOR, "details.item")
    assert [group.get_attribute("open") is not None for group in groups] == [
        "g-new" in str(g.get_attribute("class")) for g in groups
    ]
    first = groups[0]
    assert "2 scenarios, 3 cells" in first.text and "STATUS_SUCCESS (0x00000000)" in first.text
    changed = next(group for group in groups if "changed characteristic" in group.text)
    cells = [cell.text for cell in changed.find_elements(By.CSS_SELECTOR, ".changes tbody td")]
    assert cells[1:3] == ["STATUS_SUCCESS (0x00000000)", "STATUS_INVALID_DEVICE_REQUEST (0xC0000010)"]


def test_from_a_failure_to_its_history_and_back_to_the_night(chromium: Browser, lab: Site) -> None:
    page = opened(chromium, lab, "index.html")
    page.find_element(By.LINK_TEXT, "basic.toml::length.0").click()
    assert page.find_element(By.TAG_NAME, "h1").text == "length.0"
    rows = page.find_elements(By.CSS_SELECTOR, "table.history tbody tr")
    assert len(rows) == 6
    pictures = page.find_elements(By.CSS_SELECTOR, ".chart")
    assert pictures[0].get_attribute("aria-label") == "How long it took"
    assert all(picture.rect["height"] > 80 for picture in pictures) and len(pictures) == 2
    page.find_element(By.LINK_TEXT, "2026-01-10").click()
    assert page.find_element(By.TAG_NAME, "h1").text == "11 new"
    page.find_element(By.LINK_TEXT, "The night before").click()
    assert page.find_element(By.TAG_NAME, "h1").text == "Nothing new"


def test_a_cell_of_the_matrix_leads_to_what_it_was_held_against(chromium: Browser, lab: Site) -> None:
    page = opened(chromium, lab, "index.html")
    chips = page.find_elements(By.CSS_SELECTOR, "a.chip")
    assert len(chips) == 6
    chip = next(chip for chip in chips if chip.text.endswith("5 new"))
    number = str(chip.get_attribute("href")).rpartition("-")[2]
    assert not page.find_element(By.CSS_SELECTOR, f"#cell-{number} .body").is_displayed()
    chip.click()
    until(page, f"document.querySelector('#cell-{number}[open]')")
    cell = page.find_element(By.ID, f"cell-{number}").text
    assert "kshs compare labrelay8 labrelay9" in cell and "2026-01-09 02:00" in cell


def test_search_and_filter_without_a_server(chromium: Browser, lab: Site) -> None:
    page = opened(chromium, lab, "index.html")
    every = shown(page)
    assert look_for(page, "STATUS_success 0x00000000") == 2
    assert look_for(page, "relay.sys") == 1
    assert look_for(page, "no such words") == 0
    assert page.find_element(By.ID, "none").is_displayed()
    page.find_element(By.ID, "reset").click()
    assert shown(page) == every
    select = Select(page.find_element(By.ID, "cell"))
    words = [option.text for option in select.options]
    select.select_by_visible_text(next(word for word in words if word.endswith("wine · relay (released)")))
    assert shown(page) == 0, "the released driver has nothing to be told"
    select.select_by_index(0)
    page = opened(chromium, lab, "scenarios.html")
    Select(page.find_element(By.ID, "state")).select_by_value("new failure")
    assert shown(page) == 4
    assert look_for(page, "length") == 2
    address = str(page.current_url)
    assert "q=length" in address and "state=new+failure" in address
    opened(chromium, lab, "scenarios.html", "#" + address.partition("#")[2])
    assert shown(page) == 2 and page.find_element(By.ID, "search").get_attribute("value") == "length"
    opened(chromium, lab, "nights.html")
    Select(page.find_element(By.ID, "state")).select_by_value("bad")
    assert look_for(page, "2026-01-1") == 1
    assert complaints(page) == []


def test_by_keyboard_alone(chromium: Browser, lab: Site) -> None:
    page = opened(chromium, lab, "index.html")
    body = page.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    assert page.switch_to.active_element.text == "Skip to the content"
    page.switch_to.active_element.send_keys(Keys.ENTER)
    assert page.execute_script("return document.activeElement.id") == "main"
    body.send_keys("/")
    assert page.execute_script("return document.activeElement.id") == "search"
    page.switch_to.active_element.send_keys("relay.sys")
    assert shown(page) == 1
    page.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert shown(page) > 1
    for _ in range(3):  # over the choice of a cell, to the first cause
        if page.execute_script("return document.activeElement.tagName") != "SUMMARY":
            page.switch_to.active_element.send_keys(Keys.TAB)
    assert page.execute_script("return document.activeElement.tagName") == "SUMMARY"
    ring = page.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert ring == "solid", "what has the focus is seen"
    page.switch_to.active_element.send_keys(Keys.ENTER)
    assert page.execute_script("return document.activeElement.parentElement.open") is False


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_cut_off(chromium: Browser, lab: Site, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for page in (*PAGES, scenario("length.0"), scenario(EVIL)):
            opened(chromium, lab, page)
            assert chromium.execute_script("return document.documentElement.scrollWidth") <= width, page
            hidden = chromium.execute_script(
                "return Array.from(document.querySelectorAll('.scroll'),"
                " (e) => e.scrollWidth - e.clientWidth)"
            )
            assert all(pixels <= 0 for pixels in hidden), page
    finally:
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_on_paper(chromium: Browser, lab: Site) -> None:
    page = opened(chromium, lab, "index.html")
    pdf = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    read = pypdf.PdfReader(io.BytesIO(base64.b64decode(pdf)))
    words = " ".join(" ".join(part.extract_text().split()) for part in read.pages)
    assert len(read.pages) <= 5
    assert "11 new" in words and "relay.sys" in words and "labrelay8" in words, (
        "what is closed is on paper, too"
    )
    assert "Last night" not in words, "the way through the site is not"
    assert page.find_elements(By.CSS_SELECTOR, "#cell-1[open]") == [], "and closed again behind it"


def axe(browser: Browser) -> list[str]:
    """What axe-core complains of in the page, each with where."""
    source = resources.files("selenium_axe_python") / "axe-core" / "axe.min.js"
    browser.execute_script(source.read_text(encoding="utf-8"))
    found: dict[str, Any] = browser.execute_async_script(
        "axe.run(document, {resultTypes: ['violations']}).then(arguments[arguments.length - 1])"
    )
    assert found["passes"], "it has looked"
    return [f"{one['id']}: {node['html'][:120]}" for one in found["violations"] for node in one["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(chromium: Browser, lab: Site, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        grounds = set()
        for page in (*PAGES, scenario("silent"), scenario("length.0")):
            opened(chromium, lab, page)
            grounds.add(chromium.execute_script("return getComputedStyle(document.body).backgroundColor"))
            chromium.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
            assert axe(chromium) == [], page
        assert grounds == {"rgb(246, 247, 249)" if scheme == "light" else "rgb(18, 22, 29)"}
    finally:
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_axe_would_find_something(chromium: Browser, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text("<!doctype html><html><img src='x.png'><button></button></html>")
    chromium.get(path.as_uri())
    assert {line.partition(":")[0] for line in axe(chromium)} >= {"image-alt", "button-name", "html-has-lang"}


def test_without_a_script_all_is_there(chromium: Browser, lab: Site) -> None:
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page = opened(chromium, lab, "index.html")
        assert "STATUS_SUCCESS (0x00000000)" in page.find_element(By.TAG_NAME, "main").text
    finally:
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
