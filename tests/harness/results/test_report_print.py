# SPDX-License-Identifier: Apache-2.0
"""The report whole on narrow screens and on paper, and the files that it links."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

import pypdf
import pytest
from selenium.webdriver.common.by import By

from harness.results import report
from harness.results.attachments import attachments
from harness.verdict import Verdict
from tests.harness.results import test_report_page
from tests.harness.results.test_report import make, scenario, step
from tests.harness.results.test_report_page import Browser, broken, shown

pytestmark = pytest.mark.component

#: Fixtures of the tests beside these.
chromium = test_report_page.chromium
red = test_report_page.red


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_cut_off(chromium: Browser, tmp_path: Path, width: int) -> None:
    every = [
        scenario(f"h{n}.x", verdict, step(0, verdict, route), rules=(f"H{n}",))
        for n in range(1, 11)
        for route in report.ROUTES
        for verdict in (Verdict.PASSED, Verdict.FAILED, Verdict.SKIPPED)
    ]
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        shown(chromium, report.render(make(tmp_path, every)), tmp_path)
        assert chromium.execute_script("return document.documentElement.scrollWidth") <= width
        hidden = chromium.execute_script(
            "const m = document.querySelector('.matrix'); return m.scrollWidth - m.parentElement.clientWidth"
        )
        assert hidden <= 0, "the matrix is whole"
    finally:
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def pages(browser: Browser) -> int:
    pdf = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    return len(pypdf.PdfReader(io.BytesIO(base64.b64decode(pdf))).pages)


def test_a_print_has_a_few_pages(red: Browser, tmp_path: Path) -> None:
    assert pages(red) <= 6
    fine = [item for item in broken(300) if item.verdict is Verdict.PASSED]
    shown(red, report.render(make(tmp_path / "green", fine)), tmp_path)
    assert pages(red) <= 3


def test_what_leads_out_of_the_folder_is_not_linked(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "below").mkdir(parents=True)
    (tmp_path / "secret.log").write_text("secret")
    (out / "link.log").symlink_to(tmp_path / "secret.log")
    (out / "below" / "outside").symlink_to(tmp_path)
    (out / "javascript:x.log").write_text("")
    os.mkfifo(out / "pipe.log")
    found = attachments(out)
    assert [a.href for a in found] == ["javascript%3Ax.log"]


def test_files_of_the_run_are_linked(chromium: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "evidence" / "a b"
    folder.mkdir(parents=True)
    (folder / "serial.log").write_text("boot", "utf-8")
    (tmp_path / ".hidden.log").write_text("", "utf-8")
    records = make(tmp_path, broken(1))
    report.write(records, tmp_path / "report.html")
    chromium.get((tmp_path / "report.html").as_uri())
    links = {a.text: a.get_attribute("href") for a in chromium.find_elements(By.CSS_SELECTOR, ".files a")}
    assert str(links["evidence/a b/serial.log"]).endswith("/evidence/a%20b/serial.log")
    assert ".hidden.log" not in links and "results.jsonl" in links
