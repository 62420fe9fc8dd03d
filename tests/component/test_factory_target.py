# SPDX-License-Identifier: Apache-2.0
"""A filter of a device's second factory is a target like any other, on Wine, too (factories/)."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from drivers import folder
from harness.commands.target_check import check
from harness.commands.target_init import Request, author
from harness.config import Config
from harness.guests.package import find_target
from harness.onboarding import wishes
from tests.component.agent import PROTOCOL_A
from tests.component.factory_words import OF_CLOSED, OF_SECOND, SHARED
from tests.component.package_guest import PackageProvider
from tests.component.test_example import CONFTEST
from tests.component.test_target_init import ROOT, plugin_run

pytestmark = pytest.mark.component

SOURCES = Path(__file__).with_name("factories")
#: Lengths, what succeeds, both ends of a connection, and what is left of it all.
CHOSEN = tuple(f"--kshs-id={name}.*" for name in ("length", "success", "connected", "leaks"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the driver's package."""
    folder.package(SOURCES, tmp_path / "package")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("category", "instance"), [(OF_SECOND, 0), (SHARED, 1)], ids=["by its own category", "by its number"]
)
def test_the_second_factory_s_filter_is_a_target_that_runs(
    place: Path, category: uuid.UUID, instance: int
) -> None:
    wished = wishes.read((f"a={PROTOCOL_A}",), (), ())
    written = author(
        Request(Path("package"), name="second", category=category, instance=instance, wishes=wished),
        PackageProvider,
        lambda text: None,
    )
    assert written.to_fill_in == ()
    found = find_target(str(written.file), Config())
    assert (found.target.category, found.target.instance) == (category, instance)
    assert [pin.id for pin in found.target.pin] == [0, 1, 2]
    check(found, PackageProvider, "local")
    done = plugin_run(place, written.file, ROOT / "harness" / "catalogue", CONFTEST, *CHOSEN)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    records = [json.loads(line) for line in (place / "out" / "results.jsonl").read_text().splitlines()]
    verdicts = [(record["id"], record["verdict"]) for record in records if record["kind"] == "scenario"]
    assert {verdict for _, verdict in verdicts} <= {"passed", "skipped"}, verdicts
    passed = {name.split(".")[0] for name, verdict in verdicts if verdict == "passed"}
    assert {"length", "success", "connected", "leaks"} <= passed, verdicts


@pytest.mark.parametrize("category", [SHARED, OF_CLOSED], ids=["shared", "closed to user mode"])
def test_each_category_names_a_target(place: Path, category: object) -> None:
    """Where two share it, too; a filter that lets no user in opens for kernel mode."""
    assert author(
        Request(Path("package"), name="other", category=category),  # type: ignore[arg-type]
        PackageProvider,
        lambda text: None,
    ).file.is_file()
