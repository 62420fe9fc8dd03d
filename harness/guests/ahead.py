# SPDX-License-Identifier: Apache-2.0
"""The next guest, begun in a thread while the present one is still in use."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, Protocol, TypeVar

from harness.errors import HarnessError


class _Closes(Protocol):
    def close(self) -> None:
        """Throws it away; never raises."""


GuestT = TypeVar("GuestT", bound=_Closes)


class GuestAhead(Generic[GuestT]):
    """A guest that is on its way.

    The thread is a daemon: a hypervisor that never answers does not keep the process from ending, and what is
    left of its guest then is the reaper's.

    Args:
        fork: gives the guest; whatever it raises is of no interest, since the next try will show it again.
    """

    def __init__(self, fork: Callable[[], GuestT]) -> None:
        self._fork = fork
        self._coming: Future[GuestT] = Future()
        threading.Thread(target=self._run, name="kshs-lease-ahead", daemon=True).start()

    @property
    def is_there(self) -> bool:
        """Whether nobody needs to wait for it."""
        return self._coming.done() and self._coming.exception() is None

    def take(self, seconds: float) -> GuestT | None:
        """The guest; None where it could not be had.

        Args:
            seconds: how long it is waited for; more than everything that the fork waits for by itself.

        Raises:
            HarnessError: nothing came of it in that time.
        """
        if not wait([self._coming], timeout=seconds).done:
            self._coming.add_done_callback(_close)
            raise HarnessError(
                f"a guest that was begun ahead is not there after {seconds:.0f} s, and nothing says why: the"
                " hypervisor does not answer",
                hint="see kshs.log, then kshs clean",
            )
        # What was wrong will show again, and be said then.
        return None if self._coming.exception() is not None else self._coming.result()

    def drop(self, seconds: float) -> None:
        """Throws the guest away: now or, if it does not come within these seconds, when it is there."""
        with contextlib.suppress(HarnessError):
            guest = self.take(seconds)
            if guest is not None:
                guest.close()

    def _run(self) -> None:
        try:
            guest = self._fork()
        except BaseException as error:
            self._coming.set_exception(error)
        else:
            self._coming.set_result(guest)


def _close(coming: Future[GuestT]) -> None:
    with contextlib.suppress(BaseException):  # it failed, and nobody wants to know
        coming.result().close()
