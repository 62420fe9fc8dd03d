# SPDX-License-Identifier: Apache-2.0
"""The command ``kshs``: which commands there are, and how each of them ends.

Exit codes of every command (`harness.commands.exit_codes`): 0 done (``run``: everything that ran has
passed), 1 a driver failed, crashed or hung, 2 bad usage or configuration, 3 our own infrastructure failed.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer

from drivers.errors import BuildError
from harness.commands.baseline_command import baseline_app
from harness.commands.bench import bench
from harness.commands.build import build
from harness.commands.capsule_command import capsule_app
from harness.commands.clean import clean
from harness.commands.compare import compare
from harness.commands.doctor import doctor
from harness.commands.dump import dump
from harness.commands.exit_codes import DONE, INFRASTRUCTURE, USAGE
from harness.commands.fuzz import fuzz
from harness.commands.guests import guests
from harness.commands.listing import list_scenarios
from harness.commands.nightly_command import nightly
from harness.commands.provision import provision
from harness.commands.report import report
from harness.commands.repro_command import minimize, repro
from harness.commands.run_command import run
from harness.commands.selftest import selftest
from harness.commands.shell_command import shell
from harness.commands.store_command import store_app
from harness.commands.target_command import target_app
from harness.commands.version import show_version, version_option
from harness.errors import HarnessError, UsageError
from vm.errors import InputError, VmError

app = typer.Typer(
    name="kshs",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Exit codes: 0 done (run: all has passed), 1 a driver failed, crashed or hung, 2 bad usage or"
    " configuration, 3 our own infrastructure failed. KSHS_DEBUG=1 shows where an error came from.",
)


@app.callback()
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


for _name, _command in (
    ("run", run),
    ("list", list_scenarios),
    ("report", report),
    ("dump", dump),
    ("compare", compare),
    ("nightly", nightly),
    ("fuzz", fuzz),
    ("build", build),
    ("doctor", doctor),
    ("guests", guests),
    ("shell", shell),
    ("clean", clean),
    ("provision", provision),
    ("bench", bench),
    ("selftest", selftest),
    ("repro", repro),
    ("minimize", minimize),
    ("version", show_version),
):
    app.command(_name)(_command)
app.add_typer(target_app)
app.add_typer(capsule_app)
app.add_typer(store_app)
app.add_typer(baseline_app)

#: Commands that have commands of their own: alone they say which.
_GROUPS = (["target"], ["capsule"], ["store"], ["baseline"])


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
        code = app(
            args=[*ours, "--help"] if ours in ([], *_GROUPS) else ours,
            prog_name="kshs",
            obj=theirs,
            standalone_mode=False,
        )
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
