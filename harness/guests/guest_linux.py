# SPDX-License-Identifier: Apache-2.0
"""What the Linux below Wine is asked, where a guest has one: its drivers live in a process of it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.guest_text import one_line
from harness.guests.crash_record import LACKING_CALL, crashes_in
from harness.guests.interface import Evidence
from harness.guests.kshsctl import CRASHES

if TYPE_CHECKING:
    from vm.family import Family
    from vm.shell import Shell

#: Seconds for a question to a guest of which it is not known whether it lives.
QUESTION = 15.0
#: How the crash recorder was started, whatever its folder (drivers/kshsctl/crash_install.c).
_RECORDER = re.compile(r'kshs(?:rec|ctl)\.exe"? +crash +[0-9]')

#: What Wine says of a thread that has used up its stack, guard page and all.
_OVERFLOW = re.compile(r"[0-9a-f]*:err:virtual:[a-z_]* stack overflow ")


def asked(shell: Shell, commands: Mapping[str, str], timeout: float = QUESTION) -> dict[str, bytes]:
    """What several command lines print, all of them one question: each would take a tenth of a second.

    Between two answers stands what no guest can have known before.  Whatever prints how programs were
    started prints it, too, and comes last.

    Args:
        shell: of the guest.
        commands: by names of the caller's.
        timeout: seconds for all of them.

    Raises:
        HarnessError: the answers cannot be told apart.
        VmError: the guest does not answer.
    """
    mark = secrets.token_hex(16)
    line = " ".join(f"{{ {command}; }}; echo {mark};" for command in commands.values())
    printed = shell.run(line, timeout=timeout).stdout
    end = f"{mark}\n".encode()
    answers = printed.removesuffix(end).split(end, maxsplit=len(commands) - 1)
    if not printed.endswith(end) or len(answers) != len(commands):
        raise HarnessError("what the guest answers to several questions cannot be told apart")
    return dict(zip(commands, answers, strict=True))


def evidence(shell: Shell, speech: Family) -> Evidence:
    """What such a guest has on record of crashes; where that is none of drivers, whether one may still come.

    Raises:
        HarnessError, VmError: it does not answer.
    """
    questions = {
        "recorded": f"cat {speech.sftp_path(CRASHES)} 2>/dev/null",
        "bugchecks": speech.bugchecks,
        "faults": speech.faults,
        "ended": speech.out_of_memory,
        "programs": speech.programs,
    }
    said = asked(shell, {name: command for name, command in questions.items() if command})
    recorded, bugchecks = (crashes_in(text_of(said.get(name, b""))) for name in ("recorded", "bugchecks"))
    driver = recorded.driver + bugchecks.driver
    other = recorded.other + bugchecks.other
    # Services of Wine, which are no drivers, may be among them: no more than have no record count.
    faults = [] if driver else [_fault(line) for line in text_of(said.get("faults", b"")).splitlines()]
    unrecorded = tuple(faults[len(other) :])
    at_work = "programs" in said and not driver
    return Evidence(
        driver,
        other,
        standstill=None if driver else _out_of_memory(text_of(said.get("ended", b""))),
        records={**recorded.records, **bugchecks.records},
        recording=bool(unrecorded) or _recording_in(text_of(said["programs"])) if at_work else None,
        unrecorded=unrecorded,
    )


def _fault(line: str) -> str:
    """A line of Wine's, in words; a call of what it lacks is no driver's fault, whoever says it."""
    if _OVERFLOW.match(line):
        return (
            f"a stack overflow: {one_line(line, 300)} (Wine ends such a thread and starts no crash recorder)"
        )
    told = f"{one_line(line, 300)} (and the crash recorder has written nothing)"
    return f"{LACKING_CALL}: {told}" if "nimplemented function" in line else told


def _out_of_memory(printed: str) -> str | None:
    """That Linux has ended a part of Wine for want of memory: what was lost with it is no driver's crash."""
    ended = one_line(" ".join(printed.split()), 200)
    killed = [name for name in ended.split() if name.endswith(".exe") or name.startswith("wine")]
    if not killed:
        return None
    return f"the guest ran out of memory, and its Linux ended {', '.join(dict.fromkeys(killed))}"


def _recording_in(printed: str) -> bool:
    """Whether the crash recorder is at work, from how each running program was started."""
    return _RECORDER.search(printed) is not None


def text_of(raw: bytes | str) -> str:
    """What a command printed, as text, whatever it is."""
    return raw if isinstance(raw, str) else raw.decode("utf-8", errors="replace")
