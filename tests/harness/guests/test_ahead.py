# SPDX-License-Identifier: Apache-2.0
"""The guest that is begun ahead: it comes, or the next try says why not, or the wait for it ends."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.guests.ahead import GuestAhead
from harness.guests.provider import VmProvider
from vm.image import Image


class Guest:
    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


def test_it_is_had_once() -> None:
    guest = Guest()
    assert GuestAhead(lambda: guest).take(60) is guest
    assert not guest.closed.is_set()


def test_it_says_when_nobody_has_to_wait_for_it() -> None:
    guest, go = Guest(), threading.Event()

    def fork() -> Guest:
        go.wait()
        return guest

    ahead = GuestAhead(fork)
    assert not ahead.is_there
    go.set()
    ahead.take(60)
    assert ahead.is_there


@pytest.mark.parametrize("error", [OSError("no space"), TimeoutError("no answer"), KeyboardInterrupt()])
def test_what_went_wrong_is_left_to_the_next_try(error: BaseException) -> None:
    def fork() -> Guest:
        raise error

    ahead = GuestAhead(fork)
    assert ahead.take(60) is None
    assert not ahead.is_there
    ahead.drop(60)


def test_one_that_never_comes_is_told_and_thrown_away_when_it_comes_after_all() -> None:
    guest, go = Guest(), threading.Event()

    def fork() -> Guest:
        go.wait()
        return guest

    ahead = GuestAhead(fork)
    with pytest.raises(HarnessError, match="begun ahead is not there after 0 s"):
        ahead.take(0)
    go.set()
    assert guest.closed.wait(60)


def test_nobody_who_ends_waits_for_one_that_never_comes() -> None:
    go = threading.Event()
    alive = set(threading.enumerate())

    def fork() -> Guest:
        go.wait()
        return Guest()

    GuestAhead(fork).drop(0)
    (thread,) = set(threading.enumerate()) - alive
    assert thread.daemon
    go.set()
    thread.join(60)


def test_one_that_nobody_wants_any_more_is_thrown_away() -> None:
    guest = Guest()
    GuestAhead(lambda: guest).drop(60)
    assert guest.closed.is_set()


def test_a_provider_waits_no_longer_than_its_guests_can_take(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.harness.guests.test_guests import provider, windows

    waited: list[float] = []

    class Never:
        def take(self, seconds: float) -> None:
            waited.append(seconds)
            raise HarnessError("not there")

        def drop(self, seconds: float) -> None:
            raise AssertionError("it was taken")

    given: VmProvider = provider()
    never: Any = Never()
    for image in (Image("d", Path("wine"), {"family": "wine"}), windows()):
        given._image, given._ahead = image, never
        with pytest.raises(HarnessError, match="not there"):
            given.acquire()
    given.close()
    wine, nt = waited
    assert 60 < wine < 900
    assert nt > 1800, "without KVM Windows needs half an hour to boot"
