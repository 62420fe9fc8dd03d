# SPDX-License-Identifier: Apache-2.0
"""The errors of this room: infrastructure, never a driver."""

from __future__ import annotations


class VmError(Exception):
    """Something about a guest, its image or the host failed.

    ``message`` says what is wrong, ``where`` names the file, guest or program, ``hint`` says what to do.
    ``str()`` of it is the one line that a user sees.
    """

    def __init__(self, message: str, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = " ".join(message.split())
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}; {self.hint}" if self.hint else text


class InputError(VmError):
    """What the user gave (a file, a medium, a setting) is not what it must be."""


class GuestLost(VmError, ConnectionError):  # noqa: N818 - named for what happened
    """The guest or the connection to it is gone: nothing more can be asked of this lease."""


class GuestTimeout(VmError, TimeoutError):  # noqa: N818
    """The guest is there, but did not answer in time."""


class TooMuchOutput(VmError):  # noqa: N818
    """A command in the guest printed more than is kept; it was ended, and nothing of it counts."""


class CommandFailed(VmError):  # noqa: N818
    """A command ended with another exit code than 0, in the guest or on the host."""

    def __init__(
        self,
        message: str,
        where: str | None = None,
        hint: str | None = None,
        *,
        exit_code: int | None = None,
        output: str = "",
    ) -> None:
        super().__init__(message, where, hint)
        self.exit_code = exit_code
        self.output = output
