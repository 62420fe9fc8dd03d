# SPDX-License-Identifier: Apache-2.0
"""Thirty nights on the embedded guest, with drivers that are built for them: all is said as it is scripted.

Each night is ``kshs nightly`` as a process of its own, on real guests; one package has one template.  It
takes some ten minutes, and more the first time, when the image of the other Debian release is made.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e import archived, thirty
from tests.e2e.command import command_line, environment
from tests.e2e.thirty import Scripted

pytestmark = [pytest.mark.e2e, pytest.mark.long]

PATIENCE = 3600.0


def test_thirty_nights(tmp_path: Path) -> None:
    for name, (changes, stamp) in thirty.PACKAGES.items():
        archived.archive(tmp_path / "archive" / name, changes, stamp)
    (tmp_path / "scenarios").mkdir()

    def play(number: int, night: Scripted) -> tuple[int, str]:
        text = archived.SCENARIOS + ("" if night.gone else archived.GOES)
        (tmp_path / "scenarios" / "relay.toml").write_text(text)
        (tmp_path / "relay.toml").write_text(archived.TARGET.format(package=f"archive/{night.package}"))
        (tmp_path / "kshs.toml").write_text(thirty.settings(night))
        (tmp_path / "known-issues.toml").unlink(missing_ok=True)
        known = thirty.issues(night)
        if known is not None:
            (tmp_path / "known-issues.toml").write_text(known)
        done = subprocess.run(
            command_line("nightly", "lab", "--out", f"night{number:02d}"),
            cwd=tmp_path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        return done.returncode, done.stdout

    thirty.played(tmp_path, play)
