# SPDX-License-Identifier: Apache-2.0
"""`imports.allow` with a driver that imports what Wine lacks: it loads, and a call is nobody's crash."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from drivers import folder
from harness.commands.target_init import Request, author
from harness.config import Config
from harness.errors import UsageError
from harness.guests.package import find_target
from harness.onboarding import wishes
from tests.component.package_guest import PackageProvider
from tests.component.test_target_init import EXAMPLES, plugin_run

pytestmark = pytest.mark.component

#: Functions of every kernel: of the first Wine has a stub, of the second nothing.
MISSING = {
    "IoGetInitialStack": "NTKERNELAPI PVOID NTAPI {}(VOID);",
    "KeGetCurrentNodeNumber": "NTKERNELAPI USHORT NTAPI {}(VOID);",
}
CLOCK = "clock=A7C1D2E0-3B54-4F6A-8C90-5D2E71B40601:sink,source"
SCENARIOS = """
schema = 1
[[scenario]]
id = "imports.elsewhere"
title = "A wrong length never comes to the call"
rule = "H4"
open = ["source"]
steps = [{ do = "handshake", on = "source", in_length = 0 }]

[[scenario]]
id = "imports.called"
title = "The callback of the source calls what is not there"
rule = "H9"
open = ["source"]
steps = [{ do = "handshake", on = "source", protocol = "clock" }]
"""


@pytest.fixture(params=sorted(MISSING))
def missing(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def relay(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A relay whose callback calls a function that kernels have, and no Wine."""
    place = tmp_path / "relay"
    shutil.copytree(EXAMPLES / "relay" / "driver", place / "driver")
    source = place / "driver" / "relay.c"
    text = source.read_text("utf-8")
    begin = "    RELAY_PIN *pin = Pin->Context;\n    ULONG_PTR value;\n\n"
    assert text.count(begin) == 1
    text = text.replace(begin, f"{begin}    (void){missing}();\n")
    start = "/* Called at PASSIVE_LEVEL, possibly by several senders at once. */\n"
    assert start in text
    source.write_text(text.replace(start, f"{MISSING[missing].format(missing)}\n{start}"), encoding="utf-8")
    folder.package(place / "driver", place / "package")
    monkeypatch.chdir(place)
    return place


def init(*allowed: str) -> str:
    request = Request(Path("package"), wishes=wishes.read([CLOCK], imports=allowed), force=True)
    return str(author(request, PackageProvider, lambda text: None).file)


def test_it_is_refused_unless_it_is_allowed(relay: Path, missing: str) -> None:
    words = rf"imports {missing} from ntoskrnl\.exe: .*let it pass by imports\.allow"
    with pytest.raises(UsageError, match=words):
        init()
    with pytest.raises(UsageError, match="is no import of the package's drivers"):
        init("ntoskrnl.exe!KeGetNothing")
    file = init(f"ntoskrnl.exe!{missing}")
    assert find_target(file, Config()).target.imports.allow == [f"ntoskrnl.exe!{missing}"]


def test_a_call_of_it_is_an_error_and_no_crash(relay: Path, missing: str) -> None:
    file = init(f"ntoskrnl.exe!{missing}")
    (relay / "x.scenario.toml").write_text(SCENARIOS, encoding="utf-8")
    done = plugin_run(relay, Path(file), relay / "x.scenario.toml")
    records = [json.loads(line) for line in (relay / "out" / "results.jsonl").read_text().splitlines()]
    verdicts = {r["id"]: (r["verdict"], r["reason"]) for r in records if r["kind"] == "scenario"}
    assert verdicts["imports.elsewhere"] == ("passed", None), done.stdout[-3000:]
    verdict, reason = verdicts["imports.called"]
    assert verdict == "error", reason
    assert "a call of a function that this Wine does not have: exception 0x80000100" in reason
    assert "called by relay.sys" in reason or "relay.sys+" in reason
    assert done.returncode == 1
