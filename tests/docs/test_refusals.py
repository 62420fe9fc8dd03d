# SPDX-License-Identifier: Apache-2.0
"""Every message that docs/your-driver.md names under "What you may meet" is one that a test provokes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "your-driver.md"

#: The words of a message that the page names, and a test that meets it: its module, and the words there.
MET = {
    "there is such a file already": ("harness/onboarding/test_author.py", "there is such a file already"),
    "has registered no device interface": (
        "harness/onboarding/test_discovery.py",
        "has registered no device interface: no filter",
    ),
    "the device has no filter": ("harness/onboarding/test_discovery.py", "the device has no filter"),
    "has no pin that can be opened": (
        "harness/onboarding/test_discovery.py",
        "its communication is bridge: it cannot be connected",
    ),
    "the driver was lost while it was asked": (
        "harness/onboarding/test_discovery.py",
        "the driver was lost while it was asked",
    ),
    "there is no INF in": ("harness/language/test_target.py", "there is no INF in"),
    "is not in package/relay.inf": ("harness/language/test_target.py", "is not in"),
    "adds no service": ("harness/language/test_target.py", "adds no service"),
    "is copied by the INF but missing": ("drivers/test_package.py", "copied by the INF but missing"),
    "both install": ("harness/language/test_target.py", "both install"),
    "only for NTarm64": ("drivers/test_package.py", "only for"),
    "this guest would not install the driver": (
        "harness/guests/test_package_files.py",
        "would not install the driver",
    ),
    "installed from a rewritten copy": ("harness/guests/test_package_files.py", "rewritten copy"),
    "Wine ignores Include and Needs": ("component/test_inf_copy.py", "Wine ignores Include"),
    "the target file may be wrong": ("harness/running/test_doubtful_target.py", "target file may be wrong"),
    "pin source does not open": ("harness/running/test_formats.py", "pin source does not open"),
    "this driver cannot load in a Wine guest": (
        "harness/guests/test_allowed_imports.py",
        "cannot load in a Wine guest",
    ),
    "imports.allow lets": ("harness/guests/test_allowed_imports.py", "imports.allow lets"),
    "a call of a function that this Wine does not have": (
        "component/test_target_imports.py",
        "a call of a function that this Wine does not have",
    ),
    "is no import of the": ("harness/language/test_target.py", "is no import of the package's drivers"),
    "is a driver of the Windows Driver Frameworks": (
        "harness/guests/test_allowed_imports.py",
        "Windows Driver Frameworks",
    ),
    "is a port class driver": ("drivers/test_foreign_kinds.py", "is a port class driver"),
    "is a minidriver of the stream": (
        "drivers/test_foreign_kinds.py",
        "is a minidriver of the stream class",
    ),
    "is a device that the PCI bus reports": (
        "harness/onboarding/test_author.py",
        "is a device that the PCI bus reports",
    ),
    "copies 'x.dll', which is not there": (
        "component/test_foreign_build.py",
        "copies 'other.dll', which is not there",
    ),
    "refused its device": ("component/test_start_failures.py", "refused its device"),
    "was not loaded: its DriverEntry": (
        "component/test_start_failures.py",
        "was not loaded: its DriverEntry",
    ),
    "made no device: its AddDevice": ("component/test_start_failures.py", "made no device: its AddDevice"),
    "ended the process of the drivers": (
        "component/test_start_failures.py",
        "ended the process of the drivers",
    ),
    "has not ended within 30 s": ("component/test_start_failures.py", "has not ended within 30 s"),
    "was created without its hardware": (
        "component/test_start_failures.py",
        "was created without its hardware",
    ),
    "was deployed with imports rewritten": (
        "harness/guests/test_support_library.py",
        "deployed with imports rewritten",
    ),
    "cannot load with memory integrity": ("harness/guests/test_windows_deploy.py", "HVCI.*section INIT"),
    "test signing is off": ("harness/guests/test_windows_deploy.py", "test signing is off"),
    "Windows bound version": ("harness/guests/test_windows_deploy.py", "bound version"),
    "called, but not there in the reference ks.sys": (
        "component/test_example.py",
        "called, but not there in the reference ks.sys",
    ),
}  # fmt: skip

#: Words in backticks there that are no messages.
_NO_MESSAGES = re.compile(r"kshs |imports\.allow = ")


def named() -> list[str]:
    """What stands in backticks in that section and has blanks in it, each on one line."""
    section = PAGE.read_text("utf-8").partition("## What you may meet")[2].partition("\n## ")[0]
    found = (" ".join(text.split()) for text in re.findall(r"`([^`]+)`", section))
    return [text for text in found if " " in text and not _NO_MESSAGES.match(text)]


def test_every_message_of_the_page_has_a_test() -> None:
    assert named()
    assert [text for text in named() if not any(words in text for words in MET)] == []


@pytest.mark.parametrize("words", sorted(MET))
def test_the_page_names_it_and_the_test_meets_it(words: str) -> None:
    assert any(words in text for text in named()), "the page does not name it any more"
    module, said = MET[words]
    text = (Path(__file__).parents[1] / module).read_text("utf-8")
    assert re.sub(r'"\s*\n\s*f?r?"', "", text).count(said), f"{module} does not meet it"
