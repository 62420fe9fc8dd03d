# SPDX-License-Identifier: Apache-2.0
"""The channel to an agent that waits in the guest (harness.agent.waiting_agent)."""

from __future__ import annotations

import contextlib
import shlex
import time
from typing import TYPE_CHECKING

from harness.agent import waiting_agent
from harness.errors import AgentLostError
from vm.errors import VmError

if TYPE_CHECKING:
    from vm.channel import Channel
    from vm.shell import Shell

#: Seconds for asking a guest how its agent ended; it may be dead itself.
_QUESTION = 10.0


class WaitingAgentChannel:
    """A forwarded connection to the relay; how the agent ended is asked for when somebody wants to know.

    Raises:
        AgentLostError: nobody waits there, or no more.
    """

    def __init__(self, shell: Shell, port: int = waiting_agent.PORT) -> None:
        self._shell = shell
        self._words: tuple[int | None, str] | None = None
        try:
            self._channel: Channel = shell.forward(port)
            self._channel.write(b"%d\n" % round(time.time()))
        except (OSError, VmError) as error:
            raise AgentLostError(
                f"no agent is waiting: {error}", where="agent", hint=self.stderr_tail().strip() or None
            ) from None

    def read(self, n: int, timeout: float | None = None) -> bytes:
        """As `vm.channel.Channel.read`."""
        return self._channel.read(n, timeout)

    def write(self, data: bytes) -> None:
        """As `vm.channel.Channel.write`."""
        self._channel.write(data)

    def close(self) -> None:
        """Ends the agent's stdin and the channel; never raises."""
        self._channel.close()

    def stderr_tail(self) -> str:
        """The end of the agent's stderr; empty where the guest does not tell."""
        return self._last_words()[1]

    @property
    def exit_code(self) -> int | None:
        """Of the agent, where it has ended and the guest tells."""
        return self._last_words()[0]

    def _last_words(self) -> tuple[int | None, str]:
        if self._words is None:
            # Asked once, whatever comes of it: a guest that hangs must not be waited for again and again.
            self._words = (None, "")
            script = f"sh -c {shlex.quote(waiting_agent.last_words_script())}"
            with contextlib.suppress(OSError, VmError):
                done = self._shell.run(script, timeout=_QUESTION)
                first, _, rest = done.stdout.decode(errors="replace").partition("\n")
                self._words = (int(first) if first.strip().isdigit() else None, rest)
        return self._words
