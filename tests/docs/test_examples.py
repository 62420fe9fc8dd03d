# SPDX-License-Identifier: Apache-2.0
"""docs/examples: what CI systems and systemd say of the files, and what their scripts do."""

from __future__ import annotations

import email
import json
import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.docs.pages import ROOT
from tests.docs.test_blocks import parse

EXAMPLES = ROOT / "docs" / "examples"
GITHUB = EXAMPLES / "github-nightly.yml"
GITLAB = EXAMPLES / "gitlab-nightly.yml"
UNITS = ("kshs-nightly@.service", "kshs-nightly@.timer")
#: Stands for kshs: leaves a summary, says what it was called with, and ends as it is told.
KSHS = """#!/bin/sh
echo "$*" >>"$CALLS"
mkdir -p out/night && echo "## Night" >out/night/summary.md
exit "$KSHS_ENDS"
"""


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(path.read_text("utf-8"))
    return found


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin", "kshs", KSHS)
    return tmp_path


def shell(place: Path, words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    calls = {"CALLS": str(place / "calls"), "PATH": f"{place / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(
        words,
        cwd=place,
        env={**calls, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_example_is_known_here() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == {
        *(GITHUB.name, GITLAB.name, *UNITS),
        "notify-mail.sh",
    }
    page = (ROOT / "docs" / "nights.md").read_text("utf-8")
    assert [path.name for path in EXAMPLES.iterdir() if f"examples/{path.name}" not in page] == []


@pytest.mark.parametrize(("schema", "path"), [("github-workflows", GITHUB), ("gitlab-ci", GITLAB)])
def test_the_ci_knows_every_key(schema: str, path: Path) -> None:
    """By the schemas that check-jsonschema brings along."""
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*words, path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schemas_see_what_is_wrong(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(GITHUB.read_text("utf-8").replace("runs-on:", "runs_on:"))
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", wrong]
    assert subprocess.run(words, capture_output=True, timeout=60, check=False).returncode == 1


def test_what_they_call_is_there_with_its_options() -> None:
    calls = []
    for path in EXAMPLES.iterdir():
        for line in path.read_text("utf-8").splitlines():
            found = re.search(r"(?:^|/| )(kshs nightly .*?)(?: \|\||$| \$\{)", line)
            if found and not line.lstrip().startswith("#"):
                calls.append(shlex.split(found[1].replace("$NIGHT", "lab").replace("%i", "lab")))
    assert len(calls) == 3
    for words in calls:
        parse(words[1:])


@pytest.mark.parametrize("ends", [0, 1, 2, 3])
@pytest.mark.parametrize("store", ["", "postgresql://db/nights"])
def test_github(place: Path, ends: int, store: str) -> None:
    night, _, last = [step for step in read(GITHUB)["jobs"]["night"]["steps"] if step.get("id") != ""][1:]
    given = {"KSHS_ENDS": str(ends), "KSHS_STORE": store}
    files = {"GITHUB_OUTPUT": str(place / "output"), "GITHUB_STEP_SUMMARY": str(place / "summary")}
    bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
    done = shell(place, [*bash, night["run"]], **given, **files)
    assert done.returncode == 0, "what follows is run all the same"
    called = (place / "calls").read_text()
    assert called == f"nightly lab --out out/night{f' --store {store}' if store else ''}\n"
    assert (place / "summary").read_text() == "## Night\n"
    name, _, code = (place / "output").read_text().strip().partition("=")
    assert last["env"]["CODE"] == f"${{{{ steps.night.outputs.{name} }}}}"
    done = shell(place, [*bash, last["run"]], CODE=code)
    assert done.returncode == ends
    assert bool(done.stdout.startswith("::error::")) == bool(ends)
    assert ("new speaks against a driver" in done.stdout) == (ends == 1)


@pytest.mark.parametrize("ends", [0, 1, 3])
def test_gitlab(place: Path, ends: int) -> None:
    jobs = read(GITLAB)
    script = "\n".join(jobs[".kshs"]["script"])
    done = shell(place, ["sh", "-ec", script], KSHS_ENDS=str(ends), NIGHT="lab", KSHS_STORE="n.db")
    assert done.returncode == ends
    assert (place / "calls").read_text() == "nightly lab --out out/night --store n.db\n"
    assert jobs[".kshs"]["allow_failure"] == {"exit_codes": 3}


@pytest.mark.parametrize("token", ["", "secret"])
def test_gitlab_comments_on_a_merge_request(place: Path, token: str) -> None:
    (after,) = read(GITLAB)["kshs change"]["after_script"]
    program(place / "bin", "curl", '#!/bin/sh\nfor word; do echo "$word"; done >>"$CALLS"\n')
    (place / "out" / "night").mkdir(parents=True)
    (place / "out" / "night" / "summary.md").write_text("## Night\n")
    ids = {"CI_API_V4_URL": "https://g/api/v4", "CI_PROJECT_ID": "7", "CI_MERGE_REQUEST_IID": "9"}
    done = shell(place, ["sh", "-ec", after], KSHS_COMMENTS=token, **ids)
    assert done.returncode == 0, done.stderr
    calls = place / "calls"
    said = calls.read_text().splitlines() if calls.exists() else []
    assert bool(said) == bool(token)
    if token:
        assert said[-1] == "https://g/api/v4/projects/7/merge_requests/9/notes"
        assert f"PRIVATE-TOKEN: {token}" in said and "body=<out/night/summary.md" in said


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """By systemd-analyze, of the Debian package systemd; with programs and folders that are there."""
    for name in UNITS:
        text = (EXAMPLES / name).read_text("utf-8")
        (tmp_path / name).write_text(text.replace("/srv/kshs/.venv/bin/kshs", "/usr/bin/env"))
    done = verified(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    broken = (tmp_path / UNITS[1]).read_text().replace("OnCalendar=*-*-*", "OnCalender=*-*-*")
    (tmp_path / UNITS[1]).write_text(broken)
    assert "OnCalender" in verified(tmp_path).stderr


def verified(folder: Path) -> subprocess.CompletedProcess[str]:
    units = [folder / name.replace("@", "@lab") for name in UNITS]
    for unit, name in zip(units, UNITS, strict=True):
        unit.unlink(missing_ok=True)
        unit.symlink_to(folder / name)
    return subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_LOG_LEVEL": "warning"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


CELL = {"cell": "wine.relay.all.1", "code": 1, "seconds": 2.0, "said": None}
NEW = {
    "kind": "new failure",
    "key": "basic.toml::a",
    "words": "failed in 0 of 1 before, in 1 of 1 now",
    "issue": None,
}


@pytest.mark.parametrize(
    ("code", "more", "said", "subject"),
    [
        (0, {"summary": "nothing new", "new": []}, None, None),
        (1, {"summary": "1 new failure", "new": [NEW]}, None, "kshs, night lab: 1 new"),
        (3, {}, "no room", "kshs, night lab: less is known than before"),
    ],
)
def test_a_mail_is_sent_where_there_is_something_to_tell(
    place: Path, code: int, more: dict[str, Any], said: str | None, subject: str | None
) -> None:
    program(place / "bin", "sendmail", '#!/bin/sh\n[ "$*" = -t ] && cat >"$CALLS"\n')
    night = {"night": "lab", "exit_code": code, "cells": [{**CELL, "said": said, "more": more}]}
    done = subprocess.run(
        [EXAMPLES / "notify-mail.sh", "drivers@example.com"],
        cwd=place,
        env={"PATH": f"{place / 'bin'}:{os.environ['PATH']}", "CALLS": str(place / "mail")},
        input=json.dumps(night),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if subject is None:
        assert not (place / "mail").exists()
        return
    mail = email.message_from_string((place / "mail").read_text())
    assert (mail["To"], mail["Subject"]) == ("drivers@example.com", subject)
    text = str(mail.get_payload())
    assert text.startswith(f"wine.relay.all.1: {more.get('summary') or said}\n")
    assert ("new failure in wine.relay.all.1: basic.toml::a: failed in" in text) == bool(more.get("new"))
