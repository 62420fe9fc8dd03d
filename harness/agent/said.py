# SPDX-License-Identifier: Apache-2.0
"""What an agent says for people, beside its records."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable

from harness.agent.pending import Channel
from harness.errors import AgentLostError

_KEEP_LOG_LINES = 200


class Said:
    """The lines that an agent logs, and what its process leaves when it ends.

    Args:
        channel: to it.
        on_log: gets each line.
    """

    def __init__(self, channel: Channel, on_log: Callable[[str], None] | None) -> None:
        self._channel = channel
        self._on_log = on_log
        self.log: deque[str] = deque(maxlen=_KEEP_LOG_LINES)

    def note(self, text: str) -> None:
        """Lines that it has logged, or that we have to say of it."""
        for line in text.splitlines():
            self.log.append(line)
            if self._on_log is not None:
                self._on_log(line)

    def evidence(self) -> str:
        """Log lines, stderr, exit code."""
        parts = list(self.log)
        with contextlib.suppress(Exception):  # evidence of a dead channel is a bonus
            parts += self._channel.stderr_tail().splitlines()
            if (code := self._channel.exit_code) is not None:
                parts.append(f"exit code {code}")
        return "\n".join(parts)

    def lost(self, why: str) -> AgentLostError:
        """That it is gone, with its last words."""
        tail = self.evidence().strip().splitlines()
        return AgentLostError(f"the agent is gone: {why}", hint=" | ".join(tail[-3:]) or None)
