# SPDX-License-Identifier: Apache-2.0
"""`imports.allow`: what it lets pass loads, is said, and is not the driver's fault where it is called."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from drivers import imports
from harness.errors import UsageError
from harness.guests import allowed_imports
from harness.guests.crash_record import LACKING_CALL, crashes_in
from harness.guests.deploy import Kit, check_imports, deploy, offered_by_wine
from harness.guests.provider import VmProvider
from harness.running.attribution import _crash_of
from harness.running.doubts import weigh
from harness.running.ended import Ended
from harness.verdict import Verdict
from tests.harness.guests.test_deploy import kit, run
from tests.harness.guests.test_support_library import Guest, foreign
from vm.config import VmConfig
from vm.image import Image

__all__ = ["foreign", "kit"]

MISSING = [("ntoskrnl.exe", "ExNoSuchThing"), ("ks.sys", "KsNoSuchThing")]
NAMES = ["NTOSKRNL.EXE!ExNoSuchThing", "ks.sys!KsNoSuchThing"]
THEIRS: Any = SimpleNamespace(directory=Path("/theirs"), sys=[Path("/theirs/theirs.sys")])
BUILD: Any = SimpleNamespace(refks=Path("/ours/ks.sys"), avshs=SimpleNamespace(directory=Path("/ours")))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    found = list(MISSING)
    monkeypatch.setattr(imports, "imports", lambda pe: found)
    monkeypatch.setattr(imports, "exports_of", lambda pe: imports.Exports(frozenset({"KsPinHandshake"})))
    return found


def test_the_refusal_says_how_to_let_it_pass(asked: list[tuple[str, str]]) -> None:
    with pytest.raises(
        UsageError, match=r"let it pass by imports.allow in the target file .*; or run it on Windows"
    ):
        check_imports(BUILD, THEIRS)


@pytest.mark.parametrize("wine", [None, "8.0", "10.0"])
def test_only_what_is_named_passes(asked: list[tuple[str, str]], wine: str | None) -> None:
    check_imports(BUILD, THEIRS, wine, NAMES)
    with pytest.raises(UsageError, match=r"imports KsNoSuchThing from ks\.sys"):
        check_imports(BUILD, THEIRS, wine, NAMES[:1])
    with pytest.raises(UsageError, match="imports ExNoSuchThing"):
        check_imports(BUILD, THEIRS, wine, ["ntoskrnl.exe!exnosuchthing", NAMES[1]])


def test_a_module_that_is_missing_as_a_whole_cannot_be_allowed(asked: list[tuple[str, str]]) -> None:
    """Wine loads no driver then; and so nobody is told that it could be let pass."""
    asked[:] = [("theirs2.sys", "Other")]
    with pytest.raises(UsageError, match="has no such module") as refused:
        check_imports(BUILD, THEIRS, None, ["theirs2.sys!Other"])
    assert "imports.allow" not in str(refused.value)


def test_a_framework_driver_is_not_told_of_it(asked: list[tuple[str, str]]) -> None:
    asked[:] = [("wdfldr.sys", "WdfVersionBind")]
    with pytest.raises(UsageError, match="Windows Driver Frameworks") as refused:
        check_imports(BUILD, THEIRS, None, ["wdfldr.sys!WdfVersionBind"])
    assert "imports.allow" not in str(refused.value)


def test_the_record_says_what_was_let_pass_and_what_need_not_be(asked: list[tuple[str, str]]) -> None:
    names = [*NAMES, "ks.sys!KsPinHandshake"]
    said = allowed_imports.notes(THEIRS.sys, names, offered_by_wine(BUILD))
    assert said[0].startswith(
        "imports.allow lets NTOSKRNL.EXE!ExNoSuchThing pass (Wine 8.0 does not have it; Wine 10"
    )
    assert said[2] == "imports.allow need not name ks.sys!KsPinHandshake: it is there"
    assert allowed_imports.notes(THEIRS.sys, [], offered_by_wine(BUILD)) == []


def test_a_run_s_record_has_it(
    foreign: Kit, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = SimpleNamespace(allow=[NAMES[1]])
    named = SimpleNamespace(
        hardware_id=foreign.hardware_id, service=foreign.service, imports=allowed, root_enumerated=None
    )
    provider = VmProvider(VmConfig(), cast("Any", SimpleNamespace(target=named)))
    provider._build, provider._package = foreign.build, foreign.package
    provider._image = Image("d", Path("wine"), {"family": "wine"})
    said = provider.host()["deployment"]
    assert any(line.startswith("imports.allow lets ks.sys!KsNoSuchThing pass (Wine 8.0") for line in said)


def test_it_is_said_while_deploying_and_another_layer(foreign: Kit, asked: list[tuple[str, str]]) -> None:
    allowing = Kit(foreign.build, foreign.package, foreign.hardware_id, foreign.service, allowed=tuple(NAMES))
    assert allowing.digest != foreign.digest
    with pytest.raises(UsageError, match="cannot load in a Wine guest"):
        run(Guest(foreign, version={"version": "8.0"}))
    said: list[str] = []
    deploy(cast("Any", Guest(allowing, version={"version": "8.0"})), allowing, say=said.append)
    assert any(line.startswith("imports.allow lets ks.sys!KsNoSuchThing pass") for line in said)


def test_a_call_of_what_is_not_there_is_no_crash_of_the_driver() -> None:
    record = {
        "kind": "exception",
        "code": "0x80000100",
        "module": "ntdll.dll",
        "offset": "0x10",
        "driver": "x.sys",
    }
    (line,) = crashes_in(json.dumps(record)).driver
    assert line.startswith(LACKING_CALL) and "called by x.sys" in line
    own = "exception 0xc0000005 at x.sys+0x1"
    for crashes, verdict in (((line,), Verdict.ERROR), ((line, own), Verdict.CRASHED), ((), Verdict.CRASHED)):
        crash = _crash_of(crashes)
        assert weigh(Ended(Verdict.CRASHED, "step", crash=crash), ()).verdict is verdict
