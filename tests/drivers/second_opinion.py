# SPDX-License-Identifier: Apache-2.0
"""osslsigncode's opinion on a signature, beside that of the code under test."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from drivers.errors import SigningError
from drivers.toolchain import find_program


def verify(path: Path, trusted: Path, catalogue: Path | None = None) -> None:
    """Raise `SigningError` unless a signature is intact and leads to a certificate in ``trusted`` (PEM).

    Without ``catalogue`` the file's own signature is meant, with it the file must be a member of that signed
    catalogue.
    """
    command = ["verify", *_offline(), "-CAfile", str(trusted)]
    if catalogue is not None:
        command += ["-catalog", str(catalogue)]
    code, text = _osslsigncode(*command, "-in", str(path))
    if code != 0:
        what = f"is not covered by {catalogue.name}" if catalogue else "has no valid signature"
        raise SigningError(f"{what}: {_reason(text)}", path.name)


@cache
def _offline() -> tuple[str, ...]:
    """The option that keeps newer versions from fetching revocation lists."""
    _, usage = _osslsigncode("verify", "--help")
    return next(((name,) for name in ("-ignore-crl", "-ignore-cdp") if name in usage), ())


def _osslsigncode(*arguments: str) -> tuple[int, str]:
    program = find_program("osslsigncode", "osslsigncode")
    done = subprocess.run(
        [program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def _reason(text: str) -> str:
    """The line of its output that says most."""
    lines = [line.strip() for line in text.splitlines() if line.strip() not in ("", "Failed", "Succeeded")]
    words = ("error", "mismatch", "fail", "no sig")
    telling = [line for line in lines if any(word in line.lower() for word in words)]
    return (telling or lines or ["no reason given"])[0][:200]
