# SPDX-License-Identifier: Apache-2.0
"""What the Linux below Wine is asked, where a guest has one: its drivers live in a process of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.guest_text import one_line

if TYPE_CHECKING:
    from vm.shell import Shell

#: Seconds for a question to a guest of which it is not known whether it lives.
QUESTION = 15.0
#: How the crash recorder was started, whatever its folder (drivers/kshsctl/crash.c).
_RECORDER = re.compile(r'kshsctl\.exe"? +crash +[0-9]')


def out_of_memory(shell: Shell, command: str | None) -> str | None:
    """That Linux has ended a part of Wine for want of memory: what was lost with it is no driver's crash."""
    if command is None:
        return None
    ended = one_line(" ".join(text_of(shell.run(command, timeout=QUESTION).stdout).split()), 200)
    killed = [name for name in ended.split() if name.endswith(".exe") or name.startswith("wine")]
    if not killed:
        return None
    return f"the guest ran out of memory, and its Linux ended {', '.join(dict.fromkeys(killed))}"


def recording_in(shell: Shell, command: str | None) -> bool | None:
    """Whether the crash recorder is at work (`Evidence`)."""
    if command is None:
        return None
    return _RECORDER.search(text_of(shell.run(command, timeout=QUESTION).stdout)) is not None


def text_of(raw: bytes | str) -> str:
    """What a command printed, as text, whatever it is."""
    return raw if isinstance(raw, str) else raw.decode("utf-8", errors="replace")
