# SPDX-License-Identifier: Apache-2.0
"""The guests that a user names: `vm.guests`, whose refusals are usage errors here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.guests.interface import Say

if TYPE_CHECKING:
    from vm.config import VmConfig
    from vm.guests import GuestSource
    from vm.windows.profile import Way


def find_guest(
    config: VmConfig, name: str, way: Way | None = None, devices: Sequence[str] = ()
) -> GuestSource:
    """Where guests of this name come from.

    Raises:
        UsageError: there is no such guest, or it is not made yet.
    """
    import vm.guests

    with _users_to_mend():
        return vm.guests.find(config, name, way=way, devices=devices)


def usable_guest(
    config: VmConfig, name: str, say: Say, way: Way | None = None, devices: Sequence[str] = ()
) -> GuestSource:
    """As `find_guest`, for somebody who is about to lease some.

    Raises:
        UsageError: also where they may not be used any more.
    """
    found = find_guest(config, name, way, devices)
    with _users_to_mend():
        found.check(say)
    return found


@contextlib.contextmanager
def _users_to_mend() -> Iterator[None]:
    from vm.errors import InputError

    try:
        yield
    except InputError as error:
        raise UsageError(error.message, where=error.where, hint=error.hint) from None
