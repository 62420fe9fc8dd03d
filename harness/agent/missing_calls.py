# SPDX-License-Identifier: Apache-2.0
"""Asks a guest which functions its reference class driver was called for and lacks.

`harness.results.missing_calls` says what becomes of the names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers import abi
from harness.agent.encode import Encoder
from harness.agent.frames import info_of
from harness.results.missing_calls import of_info

if TYPE_CHECKING:
    from harness.agent.session import AgentSession

#: Seconds for the one question.
_TIMEOUT = 15.0


def ask(session: AgentSession) -> list[str]:
    """The names as of now; the `info` that a run begins with knows those of the driver's start only.

    Raises:
        AgentError, StepHungError: the agent does not answer.
    """
    encoder = Encoder(abi.load())
    step = encoder.step("INFO", value=encoder.constant("INFO_CALLS"))
    record = session.run(step, what="functions called in vain", timeout=_TIMEOUT)
    return of_info(info_of(record))
