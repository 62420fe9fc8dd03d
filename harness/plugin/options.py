# SPDX-License-Identifier: Apache-2.0
"""What the command line and kshs.toml say to the plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import config as settings
from harness.driver_tree import check_tree
from harness.errors import UsageError


class Options:
    """The plugin's options in one process of a session.

    Raises:
        UsageError: kshs.toml is wrong.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        path = self._option("kshs_config")
        self.settings = settings.load(Path(path) if path else None)
        out = self._option("kshs_out")
        self.out = Path(out).absolute() if out else None

    def _option(self, name: str) -> Any:
        return self._config.getoption(name, default=None)

    @property
    def guest_name(self) -> str:
        """Recipe of the guest."""
        return self._option("kshs_guest") or self.settings.run.guest

    @property
    def target_name(self) -> str:
        """As the user said it."""
        return self._option("kshs_target") or self.settings.run.target

    @property
    def coverage(self) -> bool:
        """Whether it is counted what of drivers is executed."""
        return bool(self._option("kshs_coverage"))

    @property
    def coverage_of(self) -> tuple[str, ...]:
        """Modules of which it is counted besides the target's drivers and ks.sys."""
        return tuple(self._option("kshs_coverage_of") or ())

    def folders(self, kind: str) -> list[Path]:
        """What was given by --sources or --symbols (`kind`), absolute.

        Raises:
            UsageError: one of them is not there.
        """
        found = [Path(word).absolute() for word in self._option(f"kshs_{kind}") or ()]
        for path in found:
            if not path.exists():
                raise UsageError("there is no such directory", where=str(path), hint=f"check --{kind}")
        return found

    @property
    def command(self) -> str | None:
        """The command line for the report; None where pytest was called by itself."""
        command: str | None = self._option("kshs_command")
        return command

    def to_repeat(self) -> dict[str, str]:
        """The options of ``kshs run`` that running a part of it again needs as well."""
        names = ("guest", "target", "drivers", "config")
        given = {name: self._option(f"kshs_{name}") for name in names}
        usual = {"guest": self.settings.run.guest, "target": self.settings.run.target}
        return {name: str(value) for name, value in given.items() if value and value != usual.get(name)}

    @property
    def selection(self) -> str | None:
        """What was selected by: the expression of -k, behind the other options where there are some."""
        expression: str | None = self._option("keyword") or None
        words = [
            f"--{kind} {word}"
            for kind in ("rule", "route", "tag", "id")
            for word in self._option(f"kshs_{kind}") or ()
        ]
        if not words:
            return expression
        return " ".join([*words, *([f"-k {expression}"] if expression else [])])

    @property
    def only_lists(self) -> bool:
        """Whether pytest is to show what there is, and to run none of it."""
        names = ("collectonly", "setuponly", "setupplan")
        return any(self._option(name) for name in names)

    def drivers(self) -> Path | None:
        """Another tree of C sources than the installed one.

        Raises:
            UsageError: there is none at the place that was given.
        """
        given = self._option("kshs_drivers")
        source = Path(given).absolute() if given else self.settings.run.drivers
        if source is not None:
            check_tree(source)
        return source
