# SPDX-License-Identifier: Apache-2.0
"""The report's script, run by a real browser: opening, searching, links, printing, unpacking."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from harness.results import parts, report, tally
from harness.results.record import ScenarioResult
from harness.verdict import Verdict
from tests.harness.results.test_report import EVIL, FINE, SCENARIOS, WRONG, kept, make, scenario, step

pytestmark = pytest.mark.component

#: What hostile text would do if it could: each of these leaves its number in `window.ran`.
HOSTILE = (
    "<script>window.ran = 1</script><img src=x onerror='window.ran = 2'><svg onload='window.ran = 3'></svg>"
    "<iframe srcdoc='<script>parent.ran = 4</script>'></iframe>"
    "<a id=trap href='javascript:void(window.ran = 5)'>trap</a>"
)
HIDDEN = "nowhere but in a step"
#: Positions: SCENARIOS has six; what passed or was skipped of them is 1, 2 and 3.
QUIET = scenario(
    "h7.quiet",
    Verdict.PASSED,
    step(0, Verdict.PASSED, "sync", comparisons=(FINE,), notes=(EVIL, HOSTILE, HIDDEN)),
    rules=("H1",),
)
LAST = "s6"

Browser = webdriver.Chrome


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    profile = tmp_path_factory.mktemp("profile")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Named, because selenium looks for one on the net otherwise.
    chromedriver = shutil.which("chromedriver")
    if chromedriver is None:
        pytest.fail("chromedriver is not installed: apt-get install chromium-driver", pytrace=False)
    driver = webdriver.Chrome(options=options, service=Service(chromedriver))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def page(chromium: Browser, tmp_path: Path) -> Browser:
    """A report that was just opened; the console is empty."""
    return shown(chromium, report.render(make(tmp_path, [*SCENARIOS, QUIET])), tmp_path)


def shown(browser: Browser, html: str, directory: Path, fragment: str = "") -> Browser:
    path = directory / "report.html"
    path.write_text(html, encoding="utf-8")
    browser.get("about:blank")
    browser.get_log("browser")  # type: ignore[no-untyped-call]
    browser.get(path.as_uri() + fragment)
    return browser


def until(browser: Browser, script: str) -> Any:
    """What a JavaScript expression gives, as soon as that is something."""
    return WebDriverWait(browser, 20, poll_frequency=0.02).until(
        lambda b: b.execute_script(f"return {script}"), f"never true: {script}"
    )


def text(browser: Browser, anchor: str) -> str:
    return str(browser.execute_script("return document.getElementById(arguments[0]).textContent", anchor))


def visible(browser: Browser) -> list[str]:
    """Anchors of the scenarios that a search has left."""
    return list(
        browser.execute_script(
            "return Array.from(document.querySelectorAll('details.scenario:not([hidden])'), (s) => s.id)"
        )
    )


def look_for(browser: Browser, words: str) -> list[str]:
    field = browser.find_element(By.ID, "search")
    field.clear()
    field.send_keys(words)
    until(browser, "document.getElementById('shown').textContent.endsWith(' shown')")
    return visible(browser)


def click(browser: Browser, anchor: str) -> None:
    browser.find_element(By.CSS_SELECTOR, f"#{anchor} > summary").click()


def complaints(browser: Browser) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser")]  # type: ignore[no-untyped-call]


def repacked(html: str, bodies: dict[str, str]) -> str:
    found = re.search(r'(<template id="kept">)[^<]+', html)
    assert found
    return html.replace(
        found[0], found[1] + base64.b64encode(gzip.compress(json.dumps(bodies).encode())).decode()
    )


def test_it_opens_without_a_word_on_the_console(page: Browser) -> None:
    assert until(page, "document.getElementById('shown').textContent") == "7 of 7 shown", "the script has run"
    assert page.find_element(By.ID, "s0").get_attribute("open")
    assert not page.find_element(By.ID, "packed").is_displayed()
    assert complaints(page) == []


def test_opening_a_scenario_shows_its_steps(page: Browser) -> None:
    assert HIDDEN not in page.page_source
    click(page, LAST)
    until(page, f"document.querySelector('#{LAST} .step')")
    assert HIDDEN in page.find_element(By.ID, LAST).text
    assert "handshake on source 0" in page.find_element(By.ID, LAST).text
    click(page, LAST)
    click(page, LAST)
    assert len(page.find_elements(By.CSS_SELECTOR, f"#{LAST} .step")) == 1
    assert complaints(page) == []


def test_the_browser_unpacks_what_was_rendered(page: Browser, tmp_path: Path) -> None:
    bodies = kept((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert sorted(bodies) == ["s1", "s2", "s3", LAST]
    page.find_element(By.ID, "open").click()
    until(page, "document.querySelector('.kept') === null")
    for anchor, html in bodies.items():
        same = page.execute_script(
            "const body = document.createElement('div'); body.innerHTML = arguments[1];"
            "return body.innerHTML === document.querySelector(`#${arguments[0]} > .body`).innerHTML",
            anchor,
            html,
        )
        assert same, anchor
    assert until(page, "document.querySelectorAll('details.scenario[open]').length") == 7
    page.find_element(By.ID, "close").click()
    until(page, "document.querySelector('details.scenario[open]') === null")


def test_a_search_reads_what_is_packed(page: Browser) -> None:
    assert look_for(page, HIDDEN) == [LAST], "and nothing had been opened"
    assert until(page, "document.getElementById('shown').textContent") == "1 of 7 shown"
    assert look_for(page, "raw pointers never reach") == ["s3"]
    assert look_for(page, "h6.OUTPUT") == ["s1"]
    assert look_for(page, "0xc0000206") == ["s0"]
    assert look_for(page, "no such words") == []
    assert page.find_element(By.ID, "none").is_displayed()
    assert len(look_for(page, "x\b")) == 7
    assert complaints(page) == []


def test_every_cell_of_the_matrix_finds_as_many_as_it_says(page: Browser) -> None:
    links = page.find_elements(By.CSS_SELECTOR, "a[data-search]")
    assert len(links) >= 9
    for link in links:
        said = sum(int(n) for n in re.findall(r"^\d+", link.text, re.MULTILINE))
        page.execute_script("arguments[0].click()", link)
        assert len(visible(page)) == said, link.get_attribute("data-search")
    assert HIDDEN not in page.page_source, "none of it has needed what is packed"


def test_verdicts_are_shown_and_hidden(page: Browser) -> None:
    page.find_element(By.CSS_SELECTOR, "button.toggle[data-verdict=passed]").click()
    assert visible(page) == ["s4", "s5", "s0", "s3"], "the worst cause first"
    assert look_for(page, HIDDEN) == []
    page.find_element(By.CSS_SELECTOR, "button.toggle[data-verdict=passed]").click()
    assert visible(page) == [LAST]


def test_a_link_opens_and_shows_its_scenario(page: Browser, tmp_path: Path) -> None:
    look_for(page, "h4.short")
    page.execute_script("document.querySelector('#h-characteristics ~ * a[href=\"#s2\"]').click()")
    until(page, "document.querySelector('#s2[open]:not([hidden]) .step')")
    assert "STATUS_NOT_FOUND" in text(page, "s2")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    shown(page, html, tmp_path, f"#{LAST}")
    until(page, f"document.querySelector('#{LAST}[open] .step')")
    assert complaints(page) == []


def test_on_paper_is_what_failed_and_what_was_open(page: Browser) -> None:
    page.execute_script(
        "document.getElementById('s0').open = false;"
        "window.addEventListener('beforeprint', () => { window.paper ="
        " Array.from(document.querySelectorAll('details.scenario[open]'), (s) => [s.id, s.textContent]) })"
    )
    click(page, LAST)
    until(page, f"document.querySelector('#{LAST} .step')")
    page.print_page()
    paper = dict(page.execute_script("return window.paper"))
    assert sorted(paper) == ["s0", "s4", "s5", LAST]
    assert HIDDEN in paper[LAST] and "STATUS_INVALID_BUFFER_SIZE" in paper["s0"]
    assert page.find_element(By.ID, "s0").get_attribute("open") is None, "as it was before"


def test_hostile_text_stays_text_when_it_is_unpacked(page: Browser) -> None:
    page.find_element(By.ID, "open").click()
    until(page, "document.querySelector('.kept') === null")
    for hostile in (EVIL, HOSTILE):
        assert hostile in text(page, LAST)
    assert page.find_elements(By.CSS_SELECTOR, "details script, details img, details iframe, #trap") == []
    look_for(page, "alert(1)")
    assert page.execute_script("return window.ran") is None
    assert complaints(page) == [], "nothing was so much as tried"


def test_what_slipped_through_the_escaping_could_not_run(page: Browser, tmp_path: Path) -> None:
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    shown(page, repacked(html, {**kept(html), LAST: HOSTILE}), tmp_path, f"#{LAST}")
    until(page, "document.getElementById('trap')")
    page.find_element(By.ID, "trap").click()
    look_for(page, "trap")
    assert page.execute_script("return window.ran") is None
    assert any("Content Security Policy" in line for line in complaints(page)), "it was tried"


def test_a_broken_block_is_told(page: Browser, tmp_path: Path) -> None:
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    shown(page, re.sub(r'(<template id="kept">.{40})[^<]+', r"\1", html), tmp_path)
    assert not page.find_element(By.ID, "packed").is_displayed()
    click(page, LAST)
    until(page, "!document.getElementById('packed').hidden")
    assert "sizeof(KSHANDSHAKE)" in page.find_element(By.ID, "s0").text
    assert look_for(page, "h7.quiet") == [LAST], "headings are searched all the same"


def test_an_old_browser_is_told_and_shows_what_failed(page: Browser, tmp_path: Path) -> None:
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    old = page.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": "delete window.DecompressionStream"}
    )
    try:
        shown(page, html, tmp_path)
        assert "results.jsonl" in page.find_element(By.ID, "packed").text
        assert "sizeof(KSHANDSHAKE)" in page.find_element(By.ID, "s0").text
        assert look_for(page, "sizeof(kshandshake)") == ["s0"]
    finally:
        page.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", old)


def test_without_a_script_the_page_says_where_the_rest_is(page: Browser, tmp_path: Path) -> None:
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        shown(page, html, tmp_path)
        assert "results.jsonl" in page.find_element(By.TAG_NAME, "noscript").text
        assert "sizeof(KSHANDSHAKE)" in page.find_element(By.ID, "s0").text
        assert "raw pointers never reach" in page.find_element(By.TAG_NAME, "main").text
    finally:
        page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_run_in_which_everything_failed_needs_no_unpacking(chromium: Browser, tmp_path: Path) -> None:
    failed: list[ScenarioResult] = [s for s in SCENARIOS if s.verdict is Verdict.FAILED]
    html = report.render(make(tmp_path, failed))
    assert 'id="kept"' not in html and "<noscript>" not in html
    shown(chromium, html, tmp_path)
    assert look_for(chromium, "0xc0000206") == ["s0"]
    assert complaints(chromium) == []


def test_a_run_of_thousands_of_steps_is_searched_and_opened_at_once(
    chromium: Browser, tmp_path: Path
) -> None:
    steps = [step(number, Verdict.PASSED, comparisons=(FINE,)) for number in range(10)]
    many = [scenario(f"h6.many.{number}", Verdict.PASSED, *steps) for number in range(500)]
    html = report.render(make(tmp_path, [*many, QUIET]))
    assert len(html) < 1_000_000 < len("".join(kept(html).values()))
    assert tally.counts(parts.read(tmp_path / "results.jsonl"))["passed"] == 501
    shown(chromium, html, tmp_path)
    assert look_for(chromium, HIDDEN) == ["s500"]
    look_for(chromium, "x\b")
    chromium.find_element(By.ID, "open").click()
    until(chromium, "document.querySelector('.kept') === null")
    assert chromium.execute_script("return document.querySelectorAll('.step').length") == 5001


def broken(count: int) -> list[ScenarioResult]:
    """Many failures of one cause, one of another, and what passed."""
    steps = [step(number, Verdict.PASSED, comparisons=(FINE,)) for number in range(3)]
    wrong = step(3, Verdict.FAILED, comparisons=(WRONG, FINE))
    crash = step(0, Verdict.CRASHED, reason="exception 0xC0000005 at avshs.sys+0x1234")
    return [
        *(scenario(f"h4.case.{number}", Verdict.FAILED, *steps, wrong) for number in range(count)),
        scenario("h8.fault", Verdict.CRASHED, crash, rules=("H8",)),
        *(scenario(f"h6.fine.{number}", Verdict.PASSED, *steps, rules=("H6",)) for number in range(count)),
    ]


@pytest.fixture
def red(chromium: Browser, tmp_path: Path) -> Browser:
    return shown(chromium, report.render(make(tmp_path, broken(40))), tmp_path)


def groups(browser: Browser) -> list[tuple[str, int]]:
    """What is said of each cause that is shown, and how many of its scenarios are."""
    found = browser.execute_script(
        "return Array.from(document.querySelectorAll('.cause:not([hidden])'), (g) =>"
        " [g.querySelector('h3').textContent, g.querySelectorAll('details.scenario:not([hidden])').length])"
    )
    return [(" ".join(words.split()), count) for words, count in found]


def test_failures_come_first_and_by_cause(red: Browser) -> None:
    (crash, one), (wrong, many) = groups(red)
    assert "crash at avshs.sys+0x1234" in crash and one == 1
    assert "H4: answer is STATUS_SUCCESS" in wrong and "40 scenarios" in wrong and many == 40
    opened = red.execute_script("return document.querySelectorAll('details.scenario[open]').length")
    assert opened == 2, "the first of each cause is shown in full"
    order = red.execute_script("return Array.from(document.querySelectorAll('main h2'), (h) => h.id)")
    assert order[:3] == ["h-failures", "h-rules", "h-scenarios"]


def test_a_tally_shows_its_verdict_alone(red: Browser) -> None:
    red.find_element(By.CSS_SELECTOR, "button[data-only=crashed]").click()
    assert visible(red) == ["s40"]
    assert len(groups(red)) == 1, "an empty group is not shown"
    assert not red.find_element(By.CSS_SELECTOR, "button[data-only=hung]").is_enabled()


def test_failed_only_and_back(red: Browser) -> None:
    button = red.find_element(By.ID, "loud")
    button.click()
    assert len(visible(red)) == 41
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert len(visible(red)) == 81


def test_the_address_keeps_search_and_filter(red: Browser, tmp_path: Path) -> None:
    look_for(red, "case.1")
    red.find_element(By.CSS_SELECTOR, "button.toggle[data-verdict=passed]").click()
    left = visible(red)
    address = str(red.current_url)
    assert "q=case.1" in address and "without=passed" in address
    shown(red, (tmp_path / "report.html").read_text("utf-8"), tmp_path, "#" + address.split("#")[1])
    until(red, "document.getElementById('shown').textContent.endsWith(' shown')")
    assert visible(red) == left
    assert red.find_element(By.ID, "search").get_attribute("value") == "case.1"
    toggle = red.find_element(By.CSS_SELECTOR, "button.toggle[data-verdict=passed]")
    assert toggle.get_attribute("aria-pressed") == "false"
    assert complaints(red) == []


def test_a_command_runs_one_scenario_again_and_is_copied(red: Browser) -> None:
    red.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite"]})
    place = red.find_element(By.CSS_SELECTOR, "#s0 .again")
    command = place.find_element(By.TAG_NAME, "code").text
    assert command == "kshs run --id h4.case.0 catalogue/h4.toml"
    place.find_element(By.CSS_SELECTOR, "button.copy").click()
    until(red, "document.querySelector('#s0 .copy').textContent !== 'copy'")
    assert red.execute_script("return document.querySelector('#s0 .copy').textContent") in (
        "copied",
        "selected",
    )


def test_rules_lead_to_their_text(red: Browser) -> None:
    for link in red.find_elements(By.CSS_SELECTOR, "a[href^='#rule-']"):
        target = str(link.get_attribute("href")).split("#")[1]
        assert red.find_elements(By.ID, target), target
    red.execute_script("document.querySelector('#s0 a[href=\"#rule-H4\"]').click()")
    assert red.current_url.endswith("#rule-H4")
    assert "sizeof(KSHANDSHAKE)" in red.find_element(By.CSS_SELECTOR, "#rule-H4 + dd").text


def test_preparing_steps_are_folded(chromium: Browser, tmp_path: Path) -> None:
    setup = step(0, Verdict.PASSED, None, comparisons=(FINE,))
    failed = scenario(
        "h4.x", Verdict.FAILED, replace(setup, do="setup"), step(1, Verdict.FAILED, comparisons=(WRONG,))
    )
    shown(chromium, report.render(make(tmp_path, [failed])), tmp_path)
    fold = chromium.find_element(By.CSS_SELECTOR, "#s0 details.setup")
    assert fold.get_attribute("open") is None
    assert fold.find_element(By.TAG_NAME, "summary").text == "1 preparing step, passed"
