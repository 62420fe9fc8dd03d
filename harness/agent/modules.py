# SPDX-License-Identifier: Apache-2.0
"""Asks a guest where its drivers are loaded.

On Wine drivers live in processes, each of which has addresses of its own; elsewhere in the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from harness.agent.frames import info_of
from harness.errors import AgentError
from harness.guest_info import Address, GuestModel, Number, Text
from harness.guest_text import one_line

if TYPE_CHECKING:
    from harness.agent.encode import Encoder
    from harness.agent.session import AgentSession

#: Seconds for the question.
_TIMEOUT = 30.0
#: Modules of one process, and processes, that are looked at; Windows has some 250 drivers.
_MAX_MODULES, _MAX_PROCESSES = 1024, 16
_MAX_NAME, _MAX_PATH = 64, 260


def _some(limit: int) -> BeforeValidator:
    def tables(value: Any) -> Any:
        entries = value[:limit] if isinstance(value, (list, tuple)) else []
        return tuple(item for item in entries if isinstance(item, Mapping))

    return BeforeValidator(tables)


class LoadedModule(GuestModel):
    """An image in memory: its file's name, the address and the bytes of it (None: not said), and its file."""

    name: Text = None
    base: Address = None
    size: Number = None
    path: Text = None

    @property
    def key(self) -> str:
        """The name as modules are known by: in lower case, and printable."""
        return one_line(self.name or "", _MAX_NAME).lower()

    @property
    def shown_path(self) -> str:
        """The path, printable."""
        return one_line(self.path or "", _MAX_PATH)


class DriverProcess(GuestModel):
    """A process that drivers live in, or the kernel (`pid` 0)."""

    pid: Number = None
    process: Text = None
    modules: Annotated[tuple[LoadedModule, ...], _some(_MAX_MODULES)] = ()


class _Answer(GuestModel):
    processes: Annotated[tuple[DriverProcess, ...], _some(_MAX_PROCESSES)] = ()


def ask(session: AgentSession, encoder: Encoder) -> tuple[DriverProcess, ...]:
    """The processes with their modules; none where the guest cannot say.

    Raises:
        AgentError: the agent refuses, or does not answer as it should.
        StepHungError: it does not answer at all.
    """
    step = encoder.step("INFO", value=encoder.constant("INFO_MODULES"))
    record = session.run(step, what="where drivers are loaded", timeout=_TIMEOUT)
    if record.outcome != encoder.constant("OUTCOME_DONE"):
        raise AgentError(f"where drivers are loaded cannot be asked for: outcome {record.outcome}")
    return _Answer.model_validate(info_of(record)).processes
