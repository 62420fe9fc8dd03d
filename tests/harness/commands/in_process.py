# SPDX-License-Identifier: Apache-2.0
"""`kshs` called in this process, for tests of what it says and of its exit code.

What a process of its own ends with is shown once for each code (`test_cli.py`, "started as users start it").
Not for what runs scenarios: pytest is not started within pytest.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
from pathlib import Path

import pytest

from harness import cli


def called(cwd: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The exit code and the streams of one call with `cwd` as the working directory."""
    out, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    code: object = None
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        for name, value in environment.items():
            patch.setenv(name, value)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            try:
                cli.main(list(words))
            except SystemExit as ended:
                code = ended.code
    assert isinstance(code, int), code
    said, complained = (stream.buffer.getvalue().decode() for stream in (out, errors))  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(["kshs", *words], code, said, complained)
