# SPDX-License-Identifier: Apache-2.0
"""Run by test_main_job.py through `kshs run`: the agent is killed between two requests."""

import pytest

KILL = r"""
killed=0
for entry in /proc/[0-9]*; do
    if tr '\0' ' ' <$entry/cmdline 2>/dev/null | grep -q '^C:.kshs.[k]shsctl.exe serve'; then
        kill -9 ${entry#/proc/} && killed=1
    fi
done
[ $killed = 1 ]
"""

pytestmark = pytest.mark.e2e


def test_before(handshake):
    assert handshake("source").answer == 0


def test_agent_dies(handshake, guest):
    handshake("source")
    guest.lease.shell.run(KILL)
    handshake("source")


def test_after(handshake):
    assert handshake("source").answer == 0
