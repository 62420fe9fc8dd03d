# SPDX-License-Identifier: Apache-2.0
"""The command ``kshs``: which commands there are, and how each of them ends.

Exit codes of every command (`harness.commands.exit_codes`): 0 done (``run``: everything that ran has
passed), 1 a driver failed, crashed or hung, 2 bad usage or configuration, 3 our own infrastructure failed.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from drivers.errors import BuildError
from harness.commands.exit_codes import DONE, INFRASTRUCTURE, USAGE
from harness.commands.version import version_option
from harness.errors import HarnessError, UsageError
from vm.errors import InputError, VmError

#: What typer makes of Ctrl-C where it does not end the process itself; no command of ours ends so.
_INTERRUPTED = 130
#: Commands in the order of the help, each with its place: a function, or an application that has commands.
_PLACES = {
    "run": "run_command:run",
    "list": "listing:list_scenarios",
    "select": "select_command:select",
    "coverage": "coverage_command:coverage",
    "report": "report:report",
    "dump": "dump:dump",
    "compare": "compare:compare",
    "diff": "diff_command:diff",
    "nightly": "nightly_command:nightly",
    "bisect": "bisect_command:bisect",
    "fuzz": "fuzz:fuzz",
    "build": "build:build",
    "doctor": "doctor:doctor",
    "guests": "guests:guests",
    "shell": "shell_command:shell",
    "clean": "clean:clean",
    "provision": "provision:provision",
    "bench": "bench:bench",
    "selftest": "selftest:selftest",
    "repro": "repro_command:repro",
    "minimize": "repro_command:minimize",
    "replay": "replay_command:replay",
    "scheduler": "scheduler_command:scheduler",
    "version": "version:show_version",
    "target": "target_command:target_app",
    "capsule": "capsule_command:capsule_app",
    "store": "store_command:store_app",
    "site": "site_command:site_app",
    "baseline": "baseline_command:baseline_app",
    "gate": "gate_command:gate_app",
    "waiver": "waiver_command:waiver_app",
    "worker": "worker_command:worker_app",
    "hosts": "hosts_command:hosts_app",
}


def kshs(
    version: Annotated[
        bool,
        typer.Option("--version", callback=version_option, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """KS handshake harness: end-to-end tests of IOCTL_KS_HANDSHAKE on real kernels.

    `kshs run` runs the whole catalogue against the sample driver in the embedded guest;
    `kshs run --target FILE` runs it against yours (docs/your-driver.md).
    """


def application(names: Iterable[str] = tuple(_PLACES)) -> typer.Typer:
    """kshs with these commands; importing all of them takes half a second that a run need not wait."""
    app = typer.Typer(
        name="kshs",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        epilog="Exit codes: 0 done (run: all has passed), 1 a driver failed, crashed or hung, 2 bad usage or"
        " configuration, 3 our own infrastructure failed. KSHS_DEBUG=1 shows where an error came from.",
    )
    app.callback()(kshs)
    for name in names:
        module, attribute = _PLACES[name].split(":")
        found = getattr(importlib.import_module(f"harness.commands.{module}"), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found)
        else:
            app.command(name)(found)
    return app


def _with_help(words: list[str], app: typer.Typer) -> list[str]:
    """What has commands of its own says which, where it is given none."""
    alone = len(words) == 1 and words[0] in _PLACES and app.registered_groups
    return [*words, "--help"] if alone or not words else words


def split_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Ours, and those behind ``--``, which are pytest's."""
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def main(arguments: list[str] | None = None) -> None:
    """Runs a command; every error is one clear line, and KSHS_DEBUG=1 shows where it came from."""
    ours, theirs = split_arguments(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        if theirs and ours[:1] != ["run"]:
            raise UsageError("only run takes arguments behind --", hint="kshs run [PATHS...] -- PYTEST_ARGS")
        # Whoever asks for something else than a command wants to know which there are.
        app = application(ours[:1] if ours[:1] and ours[0] in _PLACES else _PLACES)
        code = app(
            args=_with_help(ours, app),
            prog_name="kshs",
            obj=theirs,
            standalone_mode=False,
        )
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
    except (HarnessError, VmError, BuildError) as error:
        code = _fail(
            str(error), error, USAGE if isinstance(error, (UsageError, InputError)) else INFRASTRUCTURE
        )
    except (KeyboardInterrupt, typer.Abort) as error:
        code = _fail("interrupted", error, INFRASTRUCTURE)
    except BrokenPipeError:
        # Whoever read our output is gone; nothing may be written any more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = DONE
    except Exception as error:
        shown = getattr(error, "format_message", None)
        if shown is not None:  # what click says of wrong arguments
            code = _fail(shown(), error, USAGE)
        else:
            code = _fail(f"unexpected {type(error).__name__}: {error}", error, INFRASTRUCTURE)
    sys.exit(code or DONE)


def _terminate(_number: int, _frame: object) -> None:
    """As Ctrl-C: a CI that cancels a job must not leave guests behind.  A second one ends at once."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise KeyboardInterrupt


def _fail(text: str, error: BaseException, code: int) -> int:
    if os.environ.get("KSHS_DEBUG"):
        import traceback

        traceback.print_exception(error)
    for number, line in enumerate(text.splitlines() or ["failed"]):
        print(f"kshs: {line}" if number == 0 else f"      {line}", file=sys.stderr)
    if isinstance(error, Exception) and code == INFRASTRUCTURE and not os.environ.get("KSHS_DEBUG"):
        unexpected = not isinstance(error, (HarnessError, VmError, BuildError))
        if unexpected:
            print("      KSHS_DEBUG=1 shows where", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
