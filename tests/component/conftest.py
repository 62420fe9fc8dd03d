# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a build, a Wine prefix of this worker's own, a session in it, an agent in that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import drivers.build
from drivers.errors import BuildError
from tests.component.agent import Agent, agent_of
from tests.component.channel import LocalChannel
from tests.component.wine import WineGuest, copy_of, template

HARDWARE_ID = "Root\\KshsAvshs"


@pytest.fixture(scope="session")
def build() -> drivers.build.Build:
    """Everything that runs in a guest, built now if the sources changed."""
    try:
        return drivers.build.build()
    except BuildError as error:
        pytest.fail(f"the component tests need a build: {error}", pytrace=False)


@pytest.fixture(scope="session")
def bare_template() -> Path:
    """A prefix on which nothing of ours was installed, not to be written to."""
    return template()


def install(guest: WineGuest, build: drivers.build.Build) -> None:
    """Everything into a guest, with the verbs that a real deployment uses."""
    guest.hold()
    guest.put(build.recorder)
    guest.must("install-crash-recorder")
    guest.must("install-ks", guest.put(build.refks, "ks.sys"))
    for file in (build.avshs.inf, *build.avshs.sys, build.avshs.cat):
        guest.put(file)
    guest.must("install-device", "C:\\kshs\\avshs.inf", HARDWARE_ID)
    guest.must("install-client", guest.put(build.client, "ksclient.sys"))


def start(guest: WineGuest, build: drivers.build.Build) -> None:
    """The services of a guest on which everything is installed already."""
    guest.hold()
    guest.must("install-device", "C:\\kshs\\avshs.inf", HARDWARE_ID)
    guest.must("install-client", guest.put(build.client, "ksclient.sys"))


@pytest.fixture
def bare_guest(build: drivers.build.Build, bare_template: Path) -> Iterator[WineGuest]:
    """A new prefix for this test alone, a session up, the agent in C:\\kshs, nothing installed."""
    with copy_of(bare_template) as prefix:
        guest = WineGuest(prefix, build.agent)
        try:
            guest.hold()
            yield guest
        finally:
            guest.stop()


@pytest.fixture(scope="module")
def plain_guest(build: drivers.build.Build, bare_template: Path) -> Iterator[WineGuest]:
    """A guest for programs of the tests' own that need nothing of ours."""
    with copy_of(bare_template) as prefix:
        guest = WineGuest(prefix, build.agent, one_cpu=False)
        try:
            yield guest
        finally:
            guest.stop()


@pytest.fixture(scope="session")
def _worker_guest(build: drivers.build.Build, bare_template: Path) -> Iterator[WineGuest]:
    with copy_of(bare_template) as prefix:
        guest = WineGuest(prefix, build.agent, one_cpu=False)
        install(guest, build)
        try:
            yield guest
        finally:
            guest.stop()


@pytest.fixture
def wine_guest(_worker_guest: WineGuest, build: drivers.build.Build) -> Iterator[WineGuest]:
    """This worker's guest with services up and the target in its initial state.

    A test that breaks it (`broken_guest`) ends the session; the next one gets a new session here.
    """
    if not _worker_guest.holding:
        start(_worker_guest, build)
    yield _worker_guest


@pytest.fixture
def broken_guest(wine_guest: WineGuest) -> Iterator[WineGuest]:
    """A guest that this test may break: its session ends with the test, and every process with it."""
    yield wine_guest
    wine_guest.stop()


@pytest.fixture
def agent(wine_guest: WineGuest) -> Iterator[Agent]:
    """A new agent with the target's filter in kernel slot 0, all behaviours and counts reset."""
    with agent_of(wine_guest) as agent:
        agent.open_filter()
        agent.reset()
        yield agent


@pytest.fixture
def local_channel(wine_guest: WineGuest) -> Iterator[LocalChannel]:
    """The bytes of `kshsctl serve`, for those who frame them themselves."""
    channel = wine_guest.channel()
    yield channel
    channel.close()
