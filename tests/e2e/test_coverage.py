# SPDX-License-Identifier: Apache-2.0
"""What a real guest executes, counted from below it."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import pytest

from drivers import folder
from harness.coverage.figures import figures
from harness.coverage.merging import merge
from harness.coverage.model import ModuleCoverage, Ran, RunCoverage, read
from tests.docs import unreached
from tests.e2e import command

pytestmark = pytest.mark.e2e

LONG = 3600.0
"""Seconds that one suite with coverage may take on a busy host."""
SUCCESS, SHORT = "success.plain.irp", "mode.kernel-client-as-user.irp"


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> RunCoverage:
    out = tmp_path_factory.mktemp("coverage") / "out"
    ran = command.run(out, "--coverage", "--coverage-of", "ntoskrnl.exe", "--id", SUCCESS, "--id", SHORT)
    assert ran.exit_code == 0, ran.output
    assert "coverage of avshs.sys: lines" in ran.output
    found = read(out)
    assert found.notes == ()
    return found


def module(found: RunCoverage, name: str) -> ModuleCoverage:
    of = found.module(name)
    assert of is not None
    return of


def one(found: RunCoverage, name: str) -> Ran:
    return next(ran for ran in found.ran if ran.id == name)


def functions(found: RunCoverage, of: ModuleCoverage, ran: Ran) -> set[str]:
    bits = of.functions_of(ran.blocks.get(of.name, 0))
    return {function.name for n, function in enumerate(of.functions) if bits >> n & 1}


def texts(found: RunCoverage, of: ModuleCoverage, ran: Ran, end: str) -> set[str]:
    """The lines of a source that were reached, as text."""
    bits = of.lines_of(ran.blocks.get(of.name, 0))
    reached = set()
    for n, (file, line) in enumerate(of.lines):
        if bits >> n & 1 and of.files[file].shown.endswith(end):
            text = of.files[file].text
            assert text is not None
            reached.add(text.splitlines()[line - 1].strip())
    return reached


def test_each_scenario_reached_what_it_is_about(counted: RunCoverage) -> None:
    ks, avshs = module(counted, "ks.sys"), module(counted, "avshs.sys")
    accepted, refused = one(counted, SUCCESS), one(counted, SHORT)
    assert "AvshsPinHandshake" in functions(counted, avshs, accepted)
    assert "AvshsPinHandshake" not in functions(counted, avshs, refused), "H5: the callback does not run"
    theirs, ours = (texts(counted, ks, ran, "refks/handshake.c") for ran in (accepted, refused))
    assert any("RequestorMode" in text for text in ours), "the mode is looked at"
    captured = {text for text in theirs if "RefksCaptureIn" in text}
    assert captured and not captured & ours, "and nothing behind it"


def test_what_loads_the_driver_is_no_scenarios(counted: RunCoverage) -> None:
    avshs = module(counted, "avshs.sys")
    assert "DriverEntry" in functions(counted, avshs, one(counted, "deploying"))
    for name in (SUCCESS, SHORT):
        assert "DriverEntry" not in functions(counted, avshs, one(counted, name))


def test_a_closed_binary_has_blocks_and_exported_names(counted: RunCoverage) -> None:
    nt = module(counted, "ntoskrnl.exe")
    assert not nt.lines and nt.why_no_lines
    of = figures(counted, nt)
    assert of.blocks > 50 and 0 < of.export_share.reached < of.export_share.total
    assert "IofCompleteRequest" in functions(counted, nt, one(counted, SUCCESS))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> RunCoverage:
    """All suites over our own drivers, together.

    The catalogue; what the reference class driver alone answers; the probe, which calls the class driver as
    the sample does not; and a device with several filter factories.
    """
    out = tmp_path_factory.mktemp("everything")
    here, components = Path(__file__).parent, command.ROOT / "tests" / "component"
    with_drivers: dict[str, tuple[str | Path, ...]] = {}
    for name in ("probe", "factories"):
        place = out / "with" / name
        shutil.copytree(here / name, place)
        folder.package(components / name, place / "package")
        with_drivers[name] = ("--target", place / f"{name}.toml", place / "in_guest.py")
    suites: dict[str, tuple[str | Path, ...]] = {
        "catalogue": ("-n", "2"),
        "reference": (components / "reference_properties.toml",),
        **with_drivers,
    }
    for name, words in suites.items():
        ran = command.run(out / name, "--coverage", *words, seconds=LONG)
        assert ran.exit_code == 0, ran.output
    return merge([read(out / name) for name in suites])


of_this_debian = pytest.mark.skipif(
    platform.freedesktop_os_release().get("VERSION_CODENAME") != "bookworm",
    reason="docs/unreached.md is of Debian 12, whose compiler and Wine make other lines of the same sources",
)


@pytest.mark.long
@of_this_debian
@pytest.mark.parametrize("name", unreached.MODULES)
def test_what_no_suite_reaches_stands_in_the_docs_with_its_reason(everything: RunCoverage, name: str) -> None:
    """A line is reached, or has its row, and not both."""
    left, rows = unreached.unreached(everything, name), unreached.documented()[name]
    missing = "\n".join(unreached.table((line, "?") for line in left - rows.keys()))
    assert not missing, f"neither reached nor in {unreached.PAGE.name}:\n{missing}"
    stale = sorted(line for line in rows.keys() - left if rows[line] != unreached.RARE)
    assert not stale, f"reached by now, and still in {unreached.PAGE.name}: {stale}"


@pytest.mark.long
@of_this_debian
@pytest.mark.parametrize(("name", "least"), [("avshs.sys", 0.90), ("ks.sys", 0.95)])
def test_nine_lines_of_ten_are_reached(everything: RunCoverage, name: str, least: float) -> None:
    share = figures(everything, module(everything, name)).line_share
    assert share.reached > least * share.total, share
