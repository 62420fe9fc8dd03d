# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C is said, and ends with the exit code that every command has for it."""

from __future__ import annotations

import pytest
import typer

from harness import cli
from harness.commands.exit_codes import INFRASTRUCTURE


def test_ctrl_c_ends_every_command_in_one_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(names: object = ()) -> typer.Typer:
        app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
        app.callback()(lambda: None)

        @app.command("version")
        def version() -> None:
            raise KeyboardInterrupt

        return app

    monkeypatch.setattr(cli, "application", interrupted)
    with pytest.raises(SystemExit) as ended:
        cli.main(["version"])
    assert ended.value.code == INFRASTRUCTURE
    assert capsys.readouterr().err == "kshs: interrupted\n"
