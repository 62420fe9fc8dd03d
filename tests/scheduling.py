# SPDX-License-Identifier: Apache-2.0
"""Which tests go to a worker of pytest-xdist together, and in which order: with ``--dist loadscope``.

A file's tests go together, since fixtures are made once a file, but for those that share nothing.  What
takes long begins first, so that no worker is left with it when the others are through.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

#: Files, and beginnings of names of tests, that share nothing with those beside them and take seconds each.
ALONE = (
    "tests/component/test_clock.py",
    "tests/component/test_faults.py",
    "tests/component/test_hardware_ids.py",
    "tests/component/test_target_init.py",
    "tests/e2e/test_main_job.py::test_a_dead_agent",
    "tests/e2e/test_main_job.py::test_an_altered_driver",
    "tests/e2e/test_setup_double_bios.py",
    "tests/e2e/test_setup_double_uefi.py",
    "tests/seeded/test_defects.py",
)
#: What takes long, the longest first; the rest comes behind it in the order of the files.
LONG = (
    "tests/e2e/test_killed.py",
    "tests/e2e/test_setup_double_bios.py::test_interrupted",
    "tests/e2e/test_setup_double_uefi.py",
    "tests/e2e/test_setup_double_bios.py",
    "tests/e2e/test_main_job.py",
    "tests/seeded/test_defects.py::test_the_sound_sources",
    "tests/component/test_target_init.py::test_a_run",
    "tests/component/test_provisioning.py",
    "tests/component/test_kernel_calls.py",
    "tests/component/test_catalogue.py",
    "tests/component/",
    "tests/seeded/test_defects.py",
)


def scope_of(nodeid: str) -> str:
    """The name of what goes to a worker together with this test."""
    return nodeid if nodeid.startswith(ALONE) else nodeid.partition("::")[0]


def rank_of(scope: str) -> int:
    """The place in the order; less is earlier."""
    return next((place for place, begin in enumerate(LONG) if scope.startswith(begin)), len(LONG))


class ByScope(LoadScopeScheduling):
    """Hands out the scopes of this project's tests, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


class Hooks:
    """Ours among pytest's and those of pytest-xdist."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> ByScope | None:
        """Only for ``loadscope``: whoever asks for another distribution gets it."""
        if config.getvalue("dist") != "loadscope":
            return None
        config.option.loadscopereorder = False  # by the number of their tests, which says nothing here
        return ByScope(config, log)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """The longest first, where there are several workers; else as they stand in the files."""
        if hasattr(config, "workerinput"):
            items.sort(key=lambda item: rank_of(scope_of(item.nodeid)))
