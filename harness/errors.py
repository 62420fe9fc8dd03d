# SPDX-License-Identifier: Apache-2.0
"""What can go wrong in the harness itself, as types.

Each error is one clear line for people: what is wrong, where, and what to do about it.  None of
them ever says anything about a driver: a driver's misbehaviour is a verdict (`harness.verdict`),
not an exception.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.guest_text import shown


class HarnessError(Exception):
    """Our own infrastructure failed (verdict ``error``, exit code 3).

    Args:
        message: what is wrong, one line.
        where: the file, key, step or guest that it is about.
        hint: what to do, preferably a command.
    """

    def __init__(self, message: str, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        # Files that somebody sent have names that he chose.
        line = f"{shown(self.where)}: {self.message}" if self.where else self.message
        return f"{line} ({self.hint})" if self.hint else line


class UsageError(HarnessError):
    """The user asked for something impossible or wrote a wrong setting (exit code 2)."""


class DeployError(HarnessError):
    """The target or our own drivers could not be put into the guest.

    Args:
        message: what the step said.
        step: the verb of `kshsctl` or the action that failed.
        exit_code: of the command, where there was one.
        log: the last lines of its output.
        artefacts: texts by file name that are worth keeping with the run.
    """

    def __init__(
        self,
        message: str,
        *,
        step: str,
        exit_code: int | None = None,
        log: str = "",
        hint: str | None = None,
        artefacts: Mapping[str, str] | None = None,
    ) -> None:
        self.step = step
        self.exit_code = exit_code
        self.log = log.strip()
        self.artefacts = dict(artefacts or {})
        code = f", exit code {exit_code}" if exit_code is not None else ""
        super().__init__(message, where=f"deploy: {step}{code}", hint=hint)

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}; its last words: {' | '.join(self.log.splitlines()[-5:])}" if self.log else text


class AgentError(HarnessError):
    """The agent's stream broke the protocol or the agent reported an error of its own."""


class AgentLostError(AgentError):
    """The channel to the agent ended although the session was not closed."""


class DriverGoneError(AgentError):
    """The agent lives and says that the driver was lost, or hung, under a question of the harness's own.

    Args:
        what: the question.
        hung: that it did not answer in its time; else what it lived in is gone.
    """

    def __init__(self, what: str, *, hung: bool) -> None:
        super().__init__("no answer in its time" if hung else "the kernel side vanished under it", what)
        self.hung = hung


class AbiMismatchError(AgentError):
    """The agent was compiled from another `kshs_abi.h` than the one this harness reads."""


class StepNotReachedError(AgentError):
    """The step stood behind the one that ended the session and was never carried out."""


class LimitError(HarnessError):
    """All the time that a step or a scenario has was over, and nothing says that a request of it hangs.

    Args:
        what: step or scenario.
        limit: seconds that it had.
    """

    def __init__(self, what: str, limit: float) -> None:
        hint = f"limit_s of the {what}, or limits.{what}_s in kshs.toml"
        super().__init__(f"the {limit:g} s of the {what} were over, and no request was overdue", hint=hint)


class StepHungError(Exception):
    """No record came within the step's own time and the margin: evidence, not a harness failure.

    Not a `HarnessError` on purpose: a driver that never returns is what the harness looks for.

    Args:
        seq: of the step that was in flight.
        begun: whether the agent had announced its beginning.
        waited: seconds since it was begun, or since it became the oldest open one.
    """

    def __init__(self, seq: int, *, begun: bool, waited: float) -> None:
        state = "begun and never ended" if begun else "never begun"
        super().__init__(f"step {seq} was {state}: no record within {waited:.1f} s")
        self.seq = seq
        self.begun = begun
        self.waited = waited
