# SPDX-License-Identifier: Apache-2.0
"""Verbs of `kshsctl.exe`, run in a guest over its shell (docs/architecture.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import DeployError
from harness.guest_text import GuestJsonError, lines, load_object

if TYPE_CHECKING:
    from vm.shell import Shell

#: Where everything lies in the guest.
DIRECTORY = r"C:\kshs"
#: Where the crash recorder of guests without bugchecks writes (docs/architecture.md).
CRASHES = DIRECTORY + r"\crashes.jsonl"

#: Beside the agent on guests without bugchecks: its verbs `crash` and `threads`, which start sooner there.
RECORDER = "kshsrec.exe"

REBOOT = 3010
#: Characters of one text in a verb's answer; a log comes as one.
_MAX_TEXT = 4 << 20
#: Seconds that a verb may take, or another command of a deployment.
TIMEOUT = 180.0


class VerbError(DeployError):
    """A verb failed; `answer` is the JSON that it printed all the same, empty where there was none."""

    def __init__(self, message: str, *, answer: Mapping[str, Any], **more: Any) -> None:
        super().__init__(message, **more)
        self.answer = answer


class Kshsctl:
    """Runs verbs of `kshsctl.exe` in a guest."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def command(self, verb: str, *arguments: str) -> str:
        """The guest's command line for a verb."""
        return self._shell.wine([f"{DIRECTORY}\\kshsctl.exe", verb, *arguments])

    def threads(self) -> str:
        """The guest's command line for `threads`, by the program that starts sooner where it is there."""
        quick = self._shell.wine([f"{DIRECTORY}\\{RECORDER}", "threads"])
        return f"{quick} || {self.command('threads')}"

    def call(self, verb: str, *arguments: str, reboot_is_fine: bool = True) -> dict[str, Any]:
        """One verb to its end; its JSON.

        Raises:
            DeployError: it failed (`VerbError`), said no JSON, or wants a reboot where that is not fine.
        """
        done = self._shell.run(self.command(verb, *arguments), timeout=TIMEOUT)
        stdout, stderr = text_of(done.stdout), text_of(done.stderr)
        answer = _json_object(stdout)
        if done.exit_code not in (0, REBOOT):
            said = answer or {}
            reason = " ".join(str(said[key]) for key in ("step", "error", "detail") if said.get(key))
            raise VerbError(
                reason or "failed",
                answer=said,
                step=verb,
                exit_code=done.exit_code,
                log=stderr or ("" if reason else stdout),
            )
        if done.exit_code == REBOOT and not reboot_is_fine:
            raise DeployError(
                "the guest wants a reboot after it", step=verb, exit_code=done.exit_code, log=stderr
            )
        if answer is None:
            raise DeployError("its output is not one JSON object", step=verb, log=stderr or stdout)
        return answer


def text_of(raw: bytes | str) -> str:
    """What a program in the guest printed."""
    return raw if isinstance(raw, str) else raw.decode("utf-8", errors="replace")


def _json_object(text: str) -> dict[str, Any] | None:
    """The one object on stdout; Wine may have said something before it."""
    start = text.find("{")
    if start < 0:
        return None
    try:
        return load_object(text[start:], lambda part: lines(part, _MAX_TEXT))
    except GuestJsonError:
        return None
